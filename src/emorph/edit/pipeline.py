"""From a photo to an edited photo: align, encode, edit, decode, paste back. Read top to bottom."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from emorph.core.device import choose_device
from emorph.core.errors import CheckpointError, MissingAssetError
from emorph.core.expressions import Emotion
from emorph.core.images import luminance, read_photo, to_levels, to_tensor
from emorph.core.types import AlignedFace, FaceCode, Landmarks, OnStep, Photo, Target
from emorph.diffusion.noise import seeded_noise
from emorph.edit import latent
from emorph.edit.codec import Codec
from emorph.edit.redraw import Change, motions, moved, paste
from emorph.edit.result import Edit
from emorph.edit.sheet import grid, tiles
from emorph.faces.align import align
from emorph.faces.detect import find_faces, select_faces
from emorph.models.diffae import DiffAE
from emorph.models.directions import Directions
from emorph.models.latent import sample_latents
from emorph.models.port import directions_beside, load, read_directions
from emorph.models.weights import fingerprint

DEFAULT_MODEL = "emorph-base"
DEFAULT_STEPS = 15  # network evaluations in each direction; chosen in bench/RESULTS.md, "Fidelity"

PhotoSource = str | Path | Image.Image | NDArray[Any] | Photo


class Editor:
    """Edits the expression of faces in photos with a diffusion autoencoder and directions in its z_sem.

    Encoding (an inversion) is the expensive half and is done once a face; all targets then decode as one batch.
    """

    def __init__(
        self,
        model: DiffAE,
        directions: Directions | None = None,
        *,
        model_id: str = "unnamed",
        device: str | torch.device = "auto",
        steps: int = DEFAULT_STEPS,
        solver_name: str = "dpm",
    ) -> None:
        self.device = choose_device(device)
        self.model = model.to(self.device).eval().requires_grad_(False)
        self.directions = directions.to(self.device) if directions else None
        self.model_id = model_id
        self.steps = steps
        self.solver_name = solver_name
        self.codec = Codec(self.model, steps=steps, solver_name=solver_name)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = DEFAULT_MODEL,
        *,
        directions: str | Path | None = None,
        device: str | torch.device = "auto",
        steps: int = DEFAULT_STEPS,
        solver_name: str = "dpm",
    ) -> Editor:
        """Load a bundled model, a folder, a hub id, or an official checkpoint file.

        directions: a folder or classifier checkpoint; by default the ones inside the model's folder, if any.
        Raises UnknownNameError, CheckpointError.
        """
        model = load(name)
        found = read_directions(directions) if directions else directions_beside(name)
        if found and found.weight.shape[1] != model.config.z_dim:
            raise CheckpointError(
                f"{directions or name}: the directions are for z_sem of {found.weight.shape[1]} numbers, "
                f"but the model's has {model.config.z_dim}."
            )
        model_id = f"{Path(name).name}-{fingerprint(model)}"  # no path: it goes into files that are published
        return cls(model, found, model_id=model_id, device=device, steps=steps, solver_name=solver_name)

    # -- photo -> aligned faces ----------------------------------------------------------------------------------

    def faces(self, photo: PhotoSource, which: str | int = "largest", *, min_face_px: int = 40) -> list[AlignedFace]:
        """The chosen faces of a photo, cropped as the model wants them.

        which: "largest", "left", "all", or a number from left to right, from 1. Raises ImageError, NoFaceError.
        """
        photo = read_photo(photo)
        return self.align(photo, select_faces(find_faces(photo, min_face_px=min_face_px), which, photo))

    def align(self, photo: Photo, chosen: Sequence[Landmarks]) -> list[AlignedFace]:
        """Faces of known landmarks, cropped as the model wants them."""
        config = self.model.config
        return [align(photo, landmarks, config.image_size, config.crop) for landmarks in chosen]

    # -- aligned faces -> code -----------------------------------------------------------------------------------

    @torch.inference_mode()
    def encode(self, faces: Sequence[AlignedFace], *, on_step: OnStep | None = None) -> FaceCode:
        """z_sem and x_T of faces; a face's code does not depend on the others."""
        pictures = self._pictures(faces)
        z = self.model.encode(pictures)
        return FaceCode(z, self.codec.invert(pictures, z, on_step), self.model_id)

    # -- code -> edited code -> pictures -------------------------------------------------------------------------

    @torch.inference_mode()
    def decode(self, x_T: Tensor, z: Tensor, *, on_step: OnStep | None = None) -> Tensor:
        """Pictures (B, C, S, S), clamped to [-1, 1], from x_T of the same shape and z (B, z_dim)."""
        return self.codec.decode(x_T, z, on_step)

    @torch.inference_mode()
    def decode_targets(self, code: FaceCode, targets: Sequence[Target], *, on_step: OnStep | None = None) -> Tensor:
        """Reconstruction and edits of B faces as one batch: (B, 1 + n_targets, C, S, S) in [-1, 1].

        A target of strength 0 is the reconstruction itself. Raises MissingAssetError without directions.
        """
        if code.model_id != self.model_id:
            raise CheckpointError(f"this code was made by {code.model_id!r} and cannot be read by {self.model_id!r}.")
        if code.x_T is None:
            raise CheckpointError("this code has no x_T, so it cannot be decoded; encode the face again.")
        active = [i for i, target in enumerate(targets) if target.strength]
        rows = code.z_sem[:, None]
        if active:
            moved = latent.edited_codes(code.z_sem, self._need_directions(), [targets[i] for i in active])
            rows = torch.cat([rows, moved], dim=1)
        n_faces, n_rows = rows.shape[:2]
        x_T = code.x_T[:, None].expand(-1, n_rows, -1, -1, -1)
        flat = self.decode(x_T.flatten(0, 1), rows.flatten(0, 1), on_step=on_step)
        pictures = flat.reshape(n_faces, n_rows, *flat.shape[1:])
        row_of = {i: 1 + k for k, i in enumerate(active)}
        return pictures[:, [0, *(row_of.get(i, 0) for i in range(len(targets)))]]

    # -- all of it ------------------------------------------------------------------------------------------------

    def edit(
        self,
        photo: PhotoSource,
        to: str | Emotion | None = None,
        strength: float = 1.0,
        *,
        valence: float | None = None,
        arousal: float | None = None,
        face: str | int = "largest",
        on_step: OnStep | None = None,
    ) -> Edit:
        """One photo, one emotion, or valence and arousal in [-1, 1]. strength 0 returns the photo bit for bit.

        Of valence and arousal, one that is not given stays as it is. face: as for ``faces``; with "all", every face is
        edited, and ``.face`` is the left-most.
        Raises UnknownNameError, ConfigError, ImageError, NoFaceError, MissingAssetError.
        """
        emotion = None if to is None else Emotion.parse(to)
        target = Target(emotion, strength, valence, arousal)
        return self.edit_many(photo, [target], face=face, on_step=on_step)[0]

    def edit_many(
        self,
        photo: PhotoSource,
        targets: Sequence[Target],
        *,
        face: str | int = "largest",
        min_face_px: int = 40,
        on_step: OnStep | None = None,
    ) -> list[Edit]:
        """One photo, several targets: encoded once, decoded as one batch. on_step(done, total) reports progress."""
        started = time.perf_counter()
        self._check_targets(targets)
        photo = read_photo(photo)
        found = find_faces(photo, min_face_px=min_face_px)
        faces = self.align(photo, select_faces(found, face, photo))
        edits = self.edit_faces(photo, faces, targets, on_step=on_step)
        seconds = time.perf_counter() - started
        return [replace(edit, n_faces=len(found), seconds=seconds) for edit in edits]

    def edit_faces(
        self, photo: Photo, faces: Sequence[AlignedFace], targets: Sequence[Target], *, on_step: OnStep | None = None
    ) -> list[Edit]:
        """Several targets for faces of a photo that are found and cropped (``align``) already."""
        started = time.perf_counter()
        changes = self.changes(faces, targets, on_step=on_step)
        results = []
        for i in range(len(targets)):
            result = photo
            for aligned, of_face in zip(faces, changes, strict=True):
                result = paste(result, aligned, of_face[i])
            results.append(result)
        seconds = time.perf_counter() - started
        return [
            Edit(result, photo, faces[0], len(faces), target, change.before, change.after, seconds)
            for result, target, change in zip(results, targets, changes[0], strict=True)
        ]

    def changes(
        self, faces: Sequence[AlignedFace], targets: Sequence[Target], *, on_step: OnStep | None = None
    ) -> list[list[Change]]:
        """What each target changes in the crop of each face: one list a face.

        Directions that know how landmarks move give changes with a motion (see ``emorph.edit.redraw``); others, such as
        the official ones, move z_sem alone, as the diffusion autoencoder's paper does.
        """
        if self.directions is not None and self.directions.landmarks is not None:
            return self._redrawn(faces, targets, self.directions, on_step)
        total = 2 * self.steps
        code = self.encode(faces, on_step=on_step and (lambda done, _: on_step(done, total)))
        decoded = self.decode_targets(
            code, targets, on_step=on_step and (lambda done, _: on_step(self.steps + done, total))
        )
        return [[Change(rows[0], after) for after in rows[1:]] for rows in map(to_levels, decoded)]

    @torch.inference_mode()
    def _redrawn(
        self, faces: Sequence[AlignedFace], targets: Sequence[Target], directions: Directions, on_step: OnStep | None
    ) -> list[list[Change]]:
        """Move landmarks, invert the moved crops, draw them with the target's z_sem."""
        pictures = self._pictures(faces)
        active = [target for target in targets if target.strength]
        if not active:
            return [[Change(levels, levels)] * len(targets) for levels in to_levels(pictures)]
        z = self.model.encode(pictures)
        z_to = latent.edited_codes(z, directions, active)
        fields, opened = motions(faces, latent.landmark_steps(z[:, None], z_to, directions))
        started = moved(pictures, fields)
        new = torch.from_numpy(opened).flatten(0, 1)[:, None].to(started.device)
        drawn = self.codec.redraw(started.flatten(0, 1), z_to.flatten(0, 1), new, on_step).view_as(started)
        results = []
        for own, before, after, *how in zip(to_levels(pictures), started, drawn, fields, opened, strict=True):
            rows = iter(zip(to_levels(before), to_levels(after), *how, strict=True))
            results.append([Change(*next(rows)) if target.strength else Change(own, own) for target in targets])
        return results

    def sheet(self, photo: PhotoSource, strength: float = 1.0, *, face: str | int = "largest") -> Image.Image:
        """Original and the eight emotions side by side, cropped around the face, as one picture."""
        return grid([tiles(self.edit_many(photo, self.sheet_targets(strength), face=face))])

    def sheet_targets(self, strength: float = 1.0) -> list[Target]:
        """Every emotion that the directions know, in AffectNet's order. Raises MissingAssetError if they know none."""
        directions = self._need_directions()
        known = latent.editable(directions)
        if not known:
            raise MissingAssetError(
                f"these directions know no emotion: their classes are {', '.join(directions.labels[:5])}, ... "
                "Train directions on faces labelled with emotions: `emorph train run classifier.toml`."
            )
        return [Target(emotion, strength) for emotion in known]

    @torch.inference_mode()
    def sample(self, seeds: Sequence[int], *, latent_steps: int = 50, on_step: OnStep | None = None) -> Tensor:
        """Faces from nothing, (len(seeds), C, S, S) in [-1, 1], one seed each; needs a model with a latent net.

        latent_steps: evaluations of the latent net; those of the pictures' network are the editor's own ``steps``.
        Raises MissingAssetError.
        """
        net, stats = self.model.latent_net, self.model.latent_stats
        if net is None or stats is None:
            raise MissingAssetError(
                f"{self.model_id} has no latent net, so it cannot draw faces from nothing; train one with "
                "`emorph train run latent.toml`, or load a latent checkpoint (ffhq256_autoenc_latent)."
            )
        shape = (self.model.config.image_channels, *[self.model.config.image_size] * 2)
        z_noise = seeded_noise([seed ^ 0x5EED for seed in seeds], (self.model.config.z_dim,), self.device)
        z = sample_latents(net, stats, z_noise, latent_steps)
        return self.codec.generate(seeded_noise(seeds, shape, self.device), z, on_step)

    # -- small parts ------------------------------------------------------------------------------------------------

    def _pictures(self, faces: Sequence[AlignedFace]) -> Tensor:
        x = to_tensor(np.stack([face.pixels for face in faces]))
        if self.model.config.image_channels == 1:
            x = luminance(x)
        return x.to(self.device)

    def _need_directions(self) -> Directions:
        if self.directions is None:
            raise MissingAssetError(
                f"{self.model_id} can encode and reconstruct faces, but knows no emotions. Train directions with "
                "`emorph train run classifier.toml`, then load it with directions=FOLDER."
            )
        return self.directions

    def _check_targets(self, targets: Sequence[Target]) -> None:
        """Fail on an unknown target before the expensive part, not after."""
        if any(target.strength for target in targets):
            latent.check_known(self._need_directions(), targets)
