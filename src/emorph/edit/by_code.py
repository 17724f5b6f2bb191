"""The diffusion autoencoder's way to edit: z_sem alone moves, and x_T holds the rest (Preechakul et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from emorph.core.errors import CheckpointError
from emorph.core.images import to_levels
from emorph.core.types import FaceCode, OnStep, Target
from emorph.edit import latent
from emorph.edit.change import CropChange
from emorph.edit.codec import Codec
from emorph.models.directions import Directions


def read_code(codec: Codec, model_id: str, crops: Tensor, on_step: OnStep | None = None) -> FaceCode:
    """z_sem and x_T of crops (B, C, S, S) in [-1, 1], each by itself; their tone is taken off before, and kept."""
    tone = codec.model.tone(crops)
    seen = tone.take_off(crops)
    z = codec.model.encode(seen)
    return FaceCode(z, codec.invert(seen, z, on_step), model_id, tone)


def drawn_targets(
    codec: Codec,
    directions: Directions | None,
    code: FaceCode,
    targets: Sequence[Target],
    on_step: OnStep | None = None,
) -> Tensor:
    """Reconstruction and edits of B faces as one batch: (B, 1 + n_targets, C, S, S) in [-1, 1], with their tone.

    A target of strength 0 is the reconstruction itself. Raises CheckpointError for a code without x_T, and
    MissingAssetError without directions.
    """
    if code.x_T is None:
        raise CheckpointError("this code has no x_T, so it cannot be decoded; encode the face again.")
    active = [i for i, target in enumerate(targets) if target.strength]
    rows = code.z_sem[:, None]
    if active:
        known = latent.need_directions(directions, code.model_id)
        rows = torch.cat([rows, latent.edited_codes(code.z_sem, known, [targets[i] for i in active])], dim=1)
    x_T = code.x_T[:, None].expand(-1, rows.shape[1], -1, -1, -1)
    flat = codec.decode(x_T.flatten(0, 1), rows.flatten(0, 1), on_step)
    pictures = torch.unflatten(flat, 0, rows.shape[:2])
    pictures = pictures if code.tone is None else code.tone.put_back(pictures)
    row_of = {i: 1 + k for k, i in enumerate(active)}
    return pictures[:, [0, *(row_of.get(i, 0) for i in range(len(targets)))]]


def code_changes(
    codec: Codec,
    model_id: str,
    directions: Directions | None,
    crops: Tensor,
    targets: Sequence[Target],
    on_step: OnStep | None = None,
) -> list[list[CropChange]]:
    """What each target changes in crops (B, C, S, S) in [-1, 1]: they are inverted, and drawn with the target's z_sem.

    One list a crop. Raises as ``drawn_targets``.
    """
    total = 2 * codec.steps
    code = read_code(codec, model_id, crops, on_step and (lambda done, _: on_step(done, total)))
    then = on_step and (lambda done, _: on_step(codec.steps + done, total))
    drawn = drawn_targets(codec, directions, code, targets, then)
    return [[CropChange(rows[0], after) for after in rows[1:]] for rows in map(to_levels, drawn)]
