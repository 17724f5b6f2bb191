"""Faces drawn anew by a rig: parts of one photo on others, or action units set. Read top to bottom."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from emorph.core.device import choose_device
from emorph.core.errors import NoFaceError
from emorph.core.images import luminance, read_photo, to_tensor
from emorph.core.types import FaceCoeffs, Float32, Landmarks, OnStep, Photo
from emorph.diffusion.samplers import solver
from emorph.edit.action_units import moved
from emorph.edit.pipeline import PhotoSource
from emorph.edit.rig_draw import RigPainter, paste_drawing
from emorph.edit.rig_parts import Look, Part, RigFace, check_parts, mean_shape, taken_over, turn_deg
from emorph.face3d.model import FaceModel
from emorph.faces.align import align
from emorph.faces.detect import find_faces, select_faces
from emorph.models.port import load_rig
from emorph.models.rig import Rig
from emorph.models.rig_faces import FaceReader, NetworkReader, open_face, open_reader
from emorph.models.weights import fingerprint

DEFAULT_RIG = "emorph-rig"
DEFAULT_STEPS = 10
MOST_TURN_DEG = 20.0  # of a head whose own pixels are moved
MOST_SHIFT = 0.5  # of its box's side: a face farther from where it was is another one
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RigEdit:
    """One photo, drawn anew.

    photo: the result, at the source's own size. faces: of the source, that were changed. parts: what may have moved.
    coeffs: of the first face, after. before, after: crops of it, float32 (S, S, C) in 0..255: moved to where the edit
    has its landmarks, and as the rig draws it. turned_deg: how far the head was turned.
    seconds: time taken, shared with the edits made in the same call.
    """

    photo: Photo
    source: Photo
    faces: tuple[RigFace, ...]
    parts: tuple[Part, ...]
    coeffs: FaceCoeffs
    before: Float32
    after: Float32
    turned_deg: float
    seconds: float

    @property
    def image(self) -> Image.Image:
        """The result as a PIL image."""
        return Image.fromarray(self.photo.pixels)


class RigEditor:
    """Takes parts of a target's face over to source photos, or sets action units.

    The photo's pixels go where the source's mesh goes, and the rig draws what its new buffers show beside that.
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
        solver_name: str = "dpm",
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
        self.solver_name = solver_name
        self._painter = RigPainter(self.rig, self.face, solver(solver_name), steps, self.mesh_device)

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
        solver_name: str = "dpm",
    ) -> RigEditor:
        """Load a bundled rig, a folder, a hub id, or an official checkpoint file.

        face_model: ict_face.npz or a converted FLAME folder. source_encoder, target_encoder: "landmarks", "deca" or
        "emoca"; by default "landmarks" for a rig of ICT-FaceKit's faces, "deca" for one of FLAME's.
        Raises MissingAssetError, UnknownNameError, CheckpointError, ConfigError.
        """
        rig = load_rig(name)
        face = open_face(rig.config.face, face_model)
        usual = "landmarks" if rig.config.face == "ict" else "deca"
        encoders = [source_encoder or usual, target_encoder or source_encoder or usual]
        readers = {encoder: open_reader(encoder, face, skin=rig.config.skin) for encoder in dict.fromkeys(encoders)}
        model_id = f"{Path(name).name}-{fingerprint(rig)}"
        source, target = (readers[encoder] for encoder in encoders)
        return cls(rig, source, target, model_id=model_id, device=device, steps=steps, solver_name=solver_name)

    # -- photo -> faces with coefficients and code -----------------------------------------------------------------

    def sources(self, photo: PhotoSource, which: str | int = "largest", *, min_face_px: int = 40) -> list[RigFace]:
        """The chosen faces of a source photo: "largest", "left", "all", or a number from left to right, from 1.

        Of all faces, those that no 3D face fits are left out, and a warning names them.
        Raises ImageError, and NoFaceError also where no 3D face fits any.
        """
        return self._read(read_photo(photo), self.source_reader, which, min_face_px)

    def target(self, photo: PhotoSource, which: str | int = "largest", *, min_face_px: int = 40) -> RigFace:
        """The face to take from; of several chosen ones the first. Raises as ``sources``."""
        return self._read(read_photo(photo), self.target_reader, which, min_face_px)[0]

    def reread(self, edit: RigEdit) -> RigFace:
        """The first face that was changed, read again off the result. Others in the photo are not looked at.

        Raises NoFaceError if no face is found where it was, or no 3D face fits the one that is.
        """
        own = edit.faces[0].aligned.landmarks
        side = own.box[2] - own.box[0]
        found = find_faces(edit.photo, min_face_px=min(40, side // 2))
        nearest = min(found, key=lambda other: _apart(other, own), default=None)
        if nearest is None or _apart(nearest, own) > MOST_SHIFT * side:
            raise NoFaceError(
                f"the face that was changed in {edit.photo.name} is not found again in the result; "
                "it may be distorted: change it less."
            )
        again, reason = self._fitted(edit.photo, self.source_reader, nearest, len(found))
        if reason:
            raise NoFaceError(f"no 3D face fits the face that was changed in {edit.photo.name}: {reason}.")
        return again

    def _read(self, photo: Photo, reader: FaceReader, which: str | int, min_face_px: int) -> list[RigFace]:
        found = find_faces(photo, min_face_px=min_face_px)
        chosen = select_faces(found, which, photo)
        read = [self._fitted(photo, reader, landmarks, len(found)) for landmarks in chosen]
        unfit = [(number, reason) for number, (_, reason) in enumerate(read, start=1) if reason]
        if len(unfit) == len(read):
            several = f"any of the {len(read)} faces" if len(read) > 1 else "the face"
            reasons = "; ".join(dict.fromkeys(reason for _, reason in unfit))
            raise NoFaceError(f"no 3D face fits {several} found in {photo.name}: {reasons}.")
        for number, reason in unfit:
            _log.warning("%s: face %d from the left is left out: no 3D face fits it: %s.", photo.name, number, reason)
        return [face for face, reason in read if not reason]

    @torch.inference_mode()
    def _fitted(self, photo: Photo, reader: FaceReader, landmarks: Landmarks, n_faces: int) -> tuple[RigFace, str]:
        """A face with its coefficients and code, and why these are not to be trusted, or ""."""
        config = self.rig.config
        aligned = align(photo, landmarks, config.image_size, config.crop)
        picture = to_tensor(aligned.pixels)
        picture = luminance(picture) if config.image_channels == 1 else picture
        points = torch.from_numpy(aligned.crop_points()).float()
        reading = reader.read(
            picture.expand(-1, 3, -1, -1).contiguous().to(self.mesh_device), points[None].to(self.mesh_device)
        )
        picture = picture.to(self.device)
        code = self.rig.encode(picture)
        return RigFace(photo, n_faces, aligned, picture, reading.coeffs, code), reading.reasons[0]

    # -- all of it ------------------------------------------------------------------------------------------------

    def transfer(
        self,
        sources: Sequence[PhotoSource],
        target: PhotoSource,
        parts: Iterable[str] = ("expression",),
        *,
        album: bool = False,
        face: str | int = "largest",
        seed: int | None = None,
        on_step: OnStep | None = None,
    ) -> list[RigEdit]:
        """Each source photo with the parts of the target's face.

        parts: "expression" (with the jaw), "pose" (the face stays centred), "light", "code" (what else there is).
        album: the sources show one person, whose shape is then the mean of theirs.
        seed: None moves the photo's own pixels and draws the rest from the noise that holds them; a head turns by
        MOST_TURN_DEG at most, beyond which its far side would have to be made up. A number draws the whole face anew
        from this seed's noise, as the official code does.
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
    ) -> RigEdit:
        """The photo of these faces with the parts of a target's, pasted back. shape: (1, n), instead of their own."""
        return self.apply_each(faces, [target], parts, shape=shape, seed=seed, on_step=on_step)[0]

    def apply_each(
        self,
        faces: Sequence[RigFace],
        targets: Sequence[RigFace],
        parts: Iterable[str],
        *,
        shape: Tensor | None = None,
        seed: int | None = None,
        on_step: OnStep | None = None,
    ) -> list[RigEdit]:
        """As ``apply``, for each target; a face that has the target's parts already costs nothing.

        The noise that holds a face as it is, which parts that move nothing start from, is found once for all targets;
        where landmarks move, each target needs that of the moved face.
        """
        chosen = check_parts(parts)
        if shape is not None:
            faces = [replace(face, coeffs=replace(face.coeffs, shape=shape)) for face in faces]
        most_deg = MOST_TURN_DEG if seed is None else 180.0
        looks = [
            [
                Look(
                    taken_over(self.face, face.coeffs, target.coeffs, chosen, most_deg=most_deg),
                    target.code if "code" in chosen else face.code,
                )
                for target in targets
            ]
            for face in faces
        ]
        return self._drawn(faces, looks, chosen, seed, on_step)

    def express(
        self,
        faces: Sequence[RigFace],
        units: Mapping[str, float],
        strengths: Sequence[float] = (1.0,),
        *,
        seed: int | None = None,
        on_step: OnStep | None = None,
    ) -> list[RigEdit]:
        """The photo of these faces with action units set, for each strength: 0 is as it is, 1 these values.

        units: by the face model's names, see ``emorph.edit.action_units``. Raises ConfigError for a model without.
        """
        looks = [
            [
                Look(replace(own, expression=moved(self.face, own.expression, units, strength)), face.code)
                for strength in strengths
            ]
            for face in faces
            for own in [face.coeffs]
        ]
        return self._drawn(faces, looks, ("expression",), seed, on_step)

    def _drawn(
        self,
        faces: Sequence[RigFace],
        looks: Sequence[Sequence[Look]],
        parts: tuple[Part, ...],
        seed: int | None,
        on_step: OnStep | None,
    ) -> list[RigEdit]:
        """An edit for each column of ``looks``, which has a row for each face of the photo."""
        if not faces:
            raise NoFaceError("no face is given to change.")
        started = time.perf_counter()
        drawings = self._painter.draw(faces, looks, seed=seed, on_step=on_step)
        photos = []
        for column in range(len(looks[0])):
            photo = faces[0].photo
            for face, of_face in zip(faces, drawings, strict=True):
                photo = paste_drawing(photo, face, of_face[column])
            photos.append(photo)
        seconds = time.perf_counter() - started
        return [
            RigEdit(
                photo=photo,
                source=faces[0].photo,
                faces=tuple(faces),
                parts=parts,
                coeffs=look.coeffs,
                before=drawing.change.before,
                after=drawing.lit,
                turned_deg=turn_deg(faces[0].coeffs.pose, look.coeffs.pose),
                seconds=seconds,
            )
            for photo, look, drawing in zip(photos, looks[0], drawings[0], strict=True)
        ]


def _apart(one: Landmarks, other: Landmarks) -> float:
    """How far two faces of a photo lie from each other, in its pixels."""
    return float(np.linalg.norm(one.points.mean(axis=0) - other.points.mean(axis=0)))


def _move(reader: FaceReader, device: torch.device) -> None:
    for part in (reader.face, reader.network if isinstance(reader, NetworkReader) else None):
        if isinstance(part, nn.Module):
            part.to(device)
