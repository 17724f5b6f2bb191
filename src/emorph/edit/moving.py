"""The bundled model's way to edit: crops are moved to the target's landmarks, and drawn again with its z_sem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from emorph.core.images import to_levels
from emorph.core.types import AlignedFace, OnStep, Target
from emorph.edit import latent
from emorph.edit.change import CropChange
from emorph.edit.codec import Codec
from emorph.edit.redraw import Motions, motions, move_crops, taken_codes
from emorph.edit.steady import held_steady, on_skin, softened
from emorph.models.diffae import DiffAE
from emorph.models.directions import Directions


def moved_changes(
    model: DiffAE,
    codec: Codec,
    directions: Directions,
    faces: Sequence[AlignedFace],
    crops: Tensor,
    targets: Sequence[Target],
    on_step: OnStep | None = None,
) -> list[list[CropChange]]:
    """What each target changes in the crop of each face: one list a face. Strength 0 changes nothing.

    crops: pictures of the faces (n, C, S, S) in [-1, 1]. directions: such as know landmarks.
    """
    active = [target for target in targets if target.strength]
    if not active:
        return [[CropChange.nothing(levels)] * len(targets) for levels in to_levels(crops)]
    tone = model.tone(crops)
    seen = tone.take_off(crops)
    z = model.encode(seen)
    z_to = latent.edited_codes(z, directions, active)
    steps = latent.landmark_steps(z[:, None], z_to, directions, [latent.is_even(target) for target in active])
    creases = [latent.creases(directions, [target]) for target in active]
    motion = motions(faces, steps, frontal=True, openings=[latent.openings(directions, active)] * len(faces))
    z_to = taken_codes(z[:, None], z_to, [face.crop_points() for face in faces])
    moved, drawn = redrawn(codec, seen, z_to, motion, on_step)
    results = []
    toned = map(tone.put_back, (moved, drawn))
    fields = (motion.fields, motion.opened, motion.landmarks)
    for own, before, after, *of_face in zip(to_levels(crops), *toned, *fields, strict=True):
        made = map(CropChange, to_levels(before), to_levels(after), *of_face)
        rows = (replace(change, creases=kinds) for change, kinds in zip(made, creases, strict=True))
        results.append([next(rows) if target.strength else CropChange.nothing(own) for target in targets])
    return results


def redrawn(
    codec: Codec, seen: Tensor, z_to: Tensor, motion: Motions, on_step: OnStep | None = None
) -> tuple[Tensor, Tensor]:
    """Crops moved, and as the model draws them then: (B, n, C, S, S) in [-1, 1] each.

    seen: crops without their tone, (B, C, S, S) in [-1, 1]. z_to: (B, n, z_dim), with which they are drawn.
    """
    moved = move_crops(seen, motion.fields)
    flat = moved.flatten(0, 1)
    new, share = (
        torch.from_numpy(each).flatten(0, 1)[:, None].to(moved.device) for each in (motion.opened, motion.drawable)
    )
    drawn = codec.redraw(flat, z_to.flatten(0, 1), new, on_step)
    share = share * torch.maximum(on_skin(flat, share), new)  # what opens is dark, and to be drawn
    return moved, held_steady(flat, softened(flat, drawn, new), share).view_as(moved)
