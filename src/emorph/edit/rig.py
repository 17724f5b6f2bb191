"""Expression, pose, light or looks of one photo onto others, through a rig's buffers. Read top to bottom."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from emorph.core.errors import ConfigError, MissingAssetError, NoFaceError, ShapeError, UnknownNameError
from emorph.core.images import luminance, read_photo, to_levels, to_tensor
from emorph.core.pretrained import bundled_models
from emorph.core.types import AlignedFace, FaceCoeffs, Float32, Photo
from emorph.diffusion.noise import seeded_noise
from emorph.diffusion.samplers import ddim_invert, ddim_sample
from emorph.edit.pipeline import OnStep, PhotoSource, choose_device
from emorph.face3d.camera import keep_centred
from emorph.face3d.model import FaceModel
from emorph.faces.align import align
from emorph.faces.detect import find_faces, select_faces
from emorph.faces.paste import paste_change
from emorph.models.diffae import fingerprint
from emorph.models.port import load_rig
from emorph.models.rig import Rig
from emorph.models.rig_faces import FaceReader, NetworkReader, open_face, open_reader, rig_buffers

Part = Literal["expression", "pose", "light", "code"]
PARTS: tuple[Part, ...] = get_args(Part)
DEFAULT_RIG = "emorph-rig"
DEFAULT_STEPS = 20


@dataclass(frozen=True)
class RigFace:
    """A face as a rig knows it.

    aligned: its crop of ``photo``, which has ``n_faces``. picture: (1, C, S, S) in [-1, 1]. coeffs: of one face, in
    the crop's frame. code: (1, code_dim).
    """

    photo: Photo
    n_faces: int
    aligned: AlignedFace
    picture: Tensor
    coeffs: FaceCoeffs
    code: Tensor


@dataclass(frozen=True)
class Transfer:
    """One photo that took something over.

    photo: the result, at the source's own size. faces: of the source, that were changed. coeffs: of the first, after.
    before, after: the rig's crops of the first, float32 (S, S, C) in 0..255: its reconstruction and its edit.
    """

    photo: Photo
    source: Photo
    faces: tuple[RigFace, ...]
    parts: tuple[Part, ...]
    coeffs: FaceCoeffs
    before: Float32
    after: Float32
    seconds: float

    @property
    def image(self) -> Image.Image:
        """The result as a PIL image."""
        return Image.fromarray(self.photo.pixels)


class RigEditor:
    """Takes parts of a target's face over to source photos.

    The buffers of the source's face change, and the rig draws the face anew from the noise that holds the rest.
    """

    def __init__(
        self,
        rig: Rig,
        source_reader: FaceReader,
        target_reader: FaceReader | None = None,
        *,
        model_id: str = "unnamed",
        device: str | torch.device = "auto",
        steps: int = DEFAULT_STEPS,
    ) -> None:
        self.device = choose_device(device)
        # float64, which the geometry needs, is not there on Apple's GPUs
        self.mesh_device = torch.device("cpu") if self.device.type == "mps" else self.device
        self.rig = rig.to(self.device).eval().requires_grad_(False)
        self.source_reader, self.target_reader = source_reader, target_reader or source_reader
        for reader in (self.source_reader, self.target_reader):
            _move(reader, self.mesh_device)
        self.face: FaceModel = self.source_reader.face
        self.model_id = model_id
        self.steps = steps
        self._schedule = rig.diffusion.respaced(steps)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = DEFAULT_RIG,
        *,
        face_model: str | Path | None = None,
        source_encoder: str | None = None,
        target_encoder: str | None = None,
        device: str | torch.device = "auto",
        steps: int = DEFAULT_STEPS,
    ) -> RigEditor:
        """Load a bundled rig, a folder, a hub id, or an official checkpoint file.

        face_model: ict_face.npz or a converted FLAME folder. source_encoder, target_encoder: "landmarks", "deca" or
        "emoca"; by default "landmarks" for a rig of ICT-FaceKit's faces, "deca" for one of FLAME's.
        Raises MissingAssetError, UnknownNameError, CheckpointError, ConfigError.
        """
        if str(name) == DEFAULT_RIG and not Path(name).exists() and DEFAULT_RIG not in bundled_models():
            raise MissingAssetError(
                "emorph brings no rig along: train one with `emorph train run examples/emorph-rig/rig.toml`, and name "
                "its folder, or an official DiffusionRig checkpoint, as the model."
            )
        rig = load_rig(name)
        face = open_face(rig.config.face, face_model)
        usual = "landmarks" if rig.config.face == "ict" else "deca"
        encoders = [source_encoder or usual, target_encoder or source_encoder or usual]
        readers = {encoder: open_reader(encoder, face) for encoder in dict.fromkeys(encoders)}
        model_id = f"{Path(name).name}-{fingerprint(rig)}"
        source, target = (readers[encoder] for encoder in encoders)
        return cls(rig, source, target, model_id=model_id, device=device, steps=steps)

    # -- photo -> faces with coefficients and code -----------------------------------------------------------------

    def sources(self, photo: PhotoSource, which: str = "largest", *, min_face_px: int = 40) -> list[RigFace]:
        """The chosen faces of a source photo. Raises ImageError, and NoFaceError also where no 3D face fits."""
        return self._read(photo, self.source_reader, which, min_face_px)

    def target(self, photo: PhotoSource, which: str = "largest", *, min_face_px: int = 40) -> RigFace:
        """The face to take from; of several chosen ones the first. Raises as ``sources``."""
        return self._read(photo, self.target_reader, which, min_face_px)[0]

    @torch.inference_mode()
    def _read(self, photo: PhotoSource, reader: FaceReader, which: str, min_face_px: int) -> list[RigFace]:
        photo, config = read_photo(photo), self.rig.config
        found = find_faces(photo, min_face_px=min_face_px)
        faces = []
        for landmarks in select_faces(found, which, photo):
            aligned = align(photo, landmarks, config.image_size, config.crop)
            picture = to_tensor(aligned.pixels)
            picture = luminance(picture) if config.image_channels == 1 else picture
            to_crop = np.linalg.inv(aligned.crop_to_photo)
            points = torch.from_numpy(landmarks.points @ to_crop[:2, :2].T + to_crop[:2, 2]).float()
            reading = reader.read(
                picture.expand(-1, 3, -1, -1).contiguous().to(self.mesh_device), points[None].to(self.mesh_device)
            )
            if reading.reasons[0]:
                raise NoFaceError(f"no 3D face fits the face found in {photo.name}: {reading.reasons[0]}.")
            picture = picture.to(self.device)
            code = self.rig.encode(picture)
            faces.append(RigFace(photo, len(found), aligned, picture, reading.coeffs, code))
        return faces

    # -- faces -> pictures ---------------------------------------------------------------------------------------

    @torch.inference_mode()
    def pictures(
        self, face: RigFace, coeffs: FaceCoeffs, code: Tensor, *, seed: int | None = None, on_step: OnStep | None = None
    ) -> Tensor:
        """The face as it is, and with other coefficients and code: (2, C, S, S), clamped to [-1, 1].

        seed: None starts both from the noise that holds the picture (DDIM run backwards), which keeps what the buffers
        do not tell; a number starts both from this seed's noise, as the official code does.
        """
        side, n_steps = self.rig.config.image_size, self.steps
        own, other = (
            rig_buffers(self.face, c.to(self.mesh_device), side).to(self.device) for c in (face.coeffs, coeffs)
        )
        total = n_steps if seed is not None else 2 * n_steps

        def told(before: int) -> Callable[[int, Tensor, Tensor], None] | None:
            return on_step and (lambda i, x, x0: on_step(before + i + 1, total))

        if seed is None:
            x_T = ddim_invert(self.rig.denoiser(own, face.code), face.picture, self._schedule, on_step=told(0))
        else:
            x_T = seeded_noise([seed], face.picture.shape[1:], self.device)
        denoise = self.rig.denoiser(torch.cat([own, other]), torch.cat([face.code, code]))
        start = x_T.expand(2, -1, -1, -1)
        return ddim_sample(denoise, start, self._schedule, on_step=told(total - n_steps)).clamp(-1, 1)

    # -- all of it ------------------------------------------------------------------------------------------------

    def transfer(
        self,
        sources: Sequence[PhotoSource],
        target: PhotoSource,
        parts: Iterable[str] = ("expression",),
        *,
        album: bool = False,
        face: str = "largest",
        seed: int | None = None,
        on_step: OnStep | None = None,
    ) -> list[Transfer]:
        """Each source photo with the parts of the target's face.

        parts: "expression" (with the jaw), "pose" (the face stays centred), "light", "code" (what else there is).
        album: the sources show one person, whose shape is then the mean of theirs; seed: see ``pictures``.
        Raises ImageError, NoFaceError, UnknownNameError.
        """
        chosen = check_parts(parts)
        giver = self.target(target)
        read = [self.sources(photo, face) for photo in sources]
        shape = mean_shape([faces[0] for faces in read]) if album and read else None
        return [self.apply(faces, giver, chosen, shape=shape, seed=seed, on_step=on_step) for faces in read]

    def apply(
        self,
        faces: Sequence[RigFace],
        target: RigFace,
        parts: Iterable[str],
        *,
        shape: Tensor | None = None,
        seed: int | None = None,
        on_step: OnStep | None = None,
    ) -> Transfer:
        """The photo of these faces with the parts of a target's, pasted back. shape: (1, n), instead of their own."""
        started, chosen = time.perf_counter(), check_parts(parts)
        result, first = faces[0].photo, None
        for number, own in enumerate(faces):
            if shape is not None:
                own = replace(own, coeffs=replace(own.coeffs, shape=shape))
            coeffs = taken_over(self.face, own.coeffs, target.coeffs, chosen)
            code = target.code if "code" in chosen else own.code
            report = on_step and _share(on_step, number, len(faces))
            before, after = to_levels(self.pictures(own, coeffs, code, seed=seed, on_step=report))
            result = paste_change(result, own.aligned, before, after)
            first = first or (coeffs, before, after)
        if first is None:
            raise NoFaceError("no face is given to change.")
        return Transfer(result, faces[0].photo, tuple(faces), chosen, *first, time.perf_counter() - started)


def check_parts(parts: Iterable[str]) -> tuple[Part, ...]:
    """The parts in their order, each once. Raises UnknownNameError, ConfigError if there is none."""
    asked = set(parts)
    for part in asked:
        if part not in PARTS:
            raise UnknownNameError("part", part, PARTS)
    if not asked:
        raise ConfigError(f"name what to take over: {', '.join(PARTS)}.")
    return tuple(part for part in PARTS if part in asked)


def taken_over(face: FaceModel, source: FaceCoeffs, target: FaceCoeffs, parts: Sequence[Part]) -> FaceCoeffs:
    """The source's face with parts of the target's; a turned head stays where it was in the picture."""
    result = source
    if "expression" in parts:
        result = replace(result, expression=target.expression, jaw=target.jaw)
    if "light" in parts:
        result = replace(result, light=target.light)
    if "pose" in parts:
        before = face.landmarks(face.vertices(result), result.pose)
        result = replace(result, pose=target.pose)
        result = keep_centred(result, face.landmarks(face.vertices(result), result.pose), before)
    return result


def mean_shape(faces: Sequence[RigFace]) -> Tensor:
    """The shape (1, n) of one person, from several photos. Raises ShapeError if there is none."""
    if not faces:
        raise ShapeError("a mean shape needs a face; found none.")
    return torch.cat([face.coeffs.shape for face in faces]).mean(dim=0, keepdim=True)


def _share(on_step: OnStep, number: int, n_faces: int) -> OnStep:
    return lambda done, total: on_step(number * total + done, n_faces * total)


def _move(reader: FaceReader, device: torch.device) -> None:
    for part in (reader.face, reader.network if isinstance(reader, NetworkReader) else None):
        if isinstance(part, nn.Module):
            part.to(device)
