"""A diffusion autoencoder on crops of faces that are found already: what a target changes in them, codes, new faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emorph.core.device import choose_device, laid_out
from emorph.core.errors import CheckpointError
from emorph.core.images import luminance, to_tensor
from emorph.core.target import checked_strengths
from emorph.core.types import AlignedFace, Expression, FaceCode, OnStep, Target
from emorph.edit import latent
from emorph.edit.by_code import code_changes, drawn_targets, read_code
from emorph.edit.change import CropChange
from emorph.edit.codec import Codec
from emorph.edit.moving import moved_changes
from emorph.models.diffae import DiffAE
from emorph.models.directions import Directions

DEFAULT_STEPS = 15  # network evaluations in each direction; chosen in bench/RESULTS.md, "Fidelity"


class CropEditor:
    """What an editor does between photo and photo: a face's changes do not depend on those that are drawn with it."""

    def __init__(
        self,
        model: DiffAE,
        directions: Directions | None = None,
        *,
        model_id: str = "unnamed",
        device: str | torch.device = "auto",
        steps: int | None = None,
        solver_name: str = "dpm",
        reuse: int = 1,
    ) -> None:
        self.device = choose_device(device)
        self.model = laid_out(model, self.device).eval().requires_grad_(False)
        self.directions = directions.to(self.device) if directions else None
        self.model_id = model_id
        self.steps = steps or model.config.edit_steps or DEFAULT_STEPS
        self.solver_name = solver_name
        self.codec = Codec(self.model, steps=self.steps, solver_name=solver_name, reuse=reuse)

    @property
    def moves_faces(self) -> bool:
        """Whether faces are moved to the target's landmarks, and not only drawn with its z_sem."""
        return self.directions is not None and self.directions.landmarks is not None

    # -- crops -> what changes in them: the one place where the model draws

    @torch.inference_mode()
    def changes(
        self, faces: Sequence[AlignedFace], targets: Sequence[Target], *, on_step: OnStep | None = None
    ) -> list[list[CropChange]]:
        """What each target changes in the crop of each face: one list a face. Strength 0 changes nothing.

        Raises MissingAssetError without directions, UnknownNameError for an emotion that they do not know.
        """
        crops = self.pictures(faces)
        if self.directions is not None and self.moves_faces:
            return moved_changes(self.model, self.codec, self.directions, faces, crops, targets, on_step)
        return code_changes(self.codec, self.model_id, self.directions, crops, targets, on_step)

    # -- the paper's path: z_sem alone moves, and x_T holds the rest

    @torch.inference_mode()
    def z_sem(self, faces: Sequence[AlignedFace]) -> NDArray[np.float32]:
        """z_sem of faces alone, float32 (n, z_dim): one evaluation of the encoder, no x_T."""
        crops = self.pictures(faces)
        return self.model.encode(self.model.tone(crops).take_off(crops)).float().cpu().numpy()

    @torch.inference_mode()
    def encode(self, faces: Sequence[AlignedFace], *, on_step: OnStep | None = None) -> FaceCode:
        """z_sem and x_T of faces; a face's code does not depend on the others."""
        return read_code(self.codec, self.model_id, self.pictures(faces), on_step)

    @torch.inference_mode()
    def decode(self, x_T: Tensor, z: Tensor, *, on_step: OnStep | None = None) -> Tensor:
        """Pictures (B, C, S, S), clamped to [-1, 1], from x_T of the same shape and z (B, z_dim).

        They are as the model sees pictures: a code's tone, if it has one, is still to be put back.
        """
        return self.codec.decode(x_T, z, on_step)

    @torch.inference_mode()
    def decode_targets(self, code: FaceCode, targets: Sequence[Target], *, on_step: OnStep | None = None) -> Tensor:
        """Reconstruction and edits of B faces as one batch: (B, 1 + n_targets, C, S, S) in [-1, 1].

        A target of strength 0 is the reconstruction itself. Raises MissingAssetError without directions.
        """
        if code.model_id != self.model_id:
            raise CheckpointError(f"this code was made by {code.model_id!r} and cannot be read by {self.model_id!r}.")
        return drawn_targets(self.codec, self.directions, code, targets, on_step)

    # -- new faces

    @torch.inference_mode()
    def sample(self, seeds: Sequence[int], *, latent_steps: int = 50, on_step: OnStep | None = None) -> Tensor:
        """New faces, (len(seeds), C, S, S) in [-1, 1], one seed each; needs a model with a latent net.

        latent_steps: evaluations of the latent net; those of the pictures' network are the editor's own ``steps``.
        Raises MissingAssetError.
        """
        return self.codec.generate(seeds, latent.new_codes(self.model, self.model_id, seeds, latent_steps), on_step)

    # -- small parts

    def sheet_targets(self, strength: float = 1.0, to: Sequence[Expression] = ()) -> list[Target]:
        """What ``to`` lists, or every emotion that the directions know, in AffectNet's order.

        Raises MissingAssetError if they know none.
        """
        if to:
            return [replace(Target.asked(each), strength=strength) for each in to]
        return [Target(emotion, strength) for emotion in latent.need_emotions(self.known_directions())]

    def pictures(self, faces: Sequence[AlignedFace]) -> Tensor:
        """Crops as the model takes them: float (B, C, S, S) in [-1, 1] on its device."""
        crops = to_tensor(np.stack([face.pixels for face in faces]))
        return (luminance(crops) if self.model.config.image_channels == 1 else crops).to(self.device)

    def known_directions(self) -> Directions:
        """The editor's directions. Raises MissingAssetError if it has none."""
        return latent.need_directions(self.directions, self.model_id)

    def check_targets(self, targets: Sequence[Target]) -> None:
        """Fail on an unknown target before the expensive part, not after. Raises as ``changes``, and ConfigError."""
        for target in targets:
            checked_strengths(target.strength)
        if any(target.strength for target in targets):
            latent.check_known(self.known_directions(), targets)
