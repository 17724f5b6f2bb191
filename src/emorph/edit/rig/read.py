"""From a photo to the faces that a rig can change: crop, 3D coefficients, and the code of what these do not tell."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from emorph.core.errors import NoFaceError
from emorph.core.images import luminance, to_tensor
from emorph.core.types import Landmarks, Photo
from emorph.edit.rig.parts import RigFace
from emorph.faces.align import align
from emorph.faces.detect import SURE_SCORE, Detector, find_faces, select_faces
from emorph.models.rig import Rig
from emorph.models.rig_faces import FaceReader

MOST_SHIFT = 0.5  # of its box's side: a face farther from where it was is another one
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PhotoReader:
    """Finds the faces of photos and reads them for a rig.

    mesh_device: where the 3D face is fitted. detector, min_score: how faces are sought, see ``find_faces``.
    """

    rig: Rig
    reader: FaceReader
    mesh_device: torch.device
    detector: Detector = "auto"
    min_score: float = SURE_SCORE

    def read(self, photo: Photo, which: str | int, min_face_px: int) -> list[RigFace]:
        """The chosen faces. Of several, those that no 3D face fits are left out, and a warning names them.

        Raises NoFaceError, also where no 3D face fits any.
        """
        landmarks = find_faces(photo, min_face_px=min_face_px, detector=self.detector, min_score=self.min_score)
        chosen = select_faces(landmarks, which, photo, min_score=self.min_score)
        fits = [self._fitted(photo, one, len(landmarks)) for one in chosen]
        unfit = [(number, reason) for number, (_, reason) in enumerate(fits, start=1) if reason]
        if len(unfit) == len(fits):
            several = f"any of the {len(fits)} faces" if len(fits) > 1 else "the face"
            reasons = "; ".join(dict.fromkeys(reason for _, reason in unfit))
            raise NoFaceError(f"no 3D face fits {several} found in {photo.name}: {reasons}.")
        for number, reason in unfit:
            _log.warning("%s: face %d from the left is left out: no 3D face fits it: %s.", photo.name, number, reason)
        return [face for face, reason in fits if not reason]

    def read_again(self, photo: Photo, own: Landmarks) -> RigFace:
        """The face of an edited photo that lies where ``own`` lay in its source. Others are not looked at.

        Raises NoFaceError if no face is found where it was, or no 3D face fits the one that is.
        """
        side = own.box[2] - own.box[0]
        landmarks = find_faces(photo, min_face_px=min(40, side // 2), detector=self.detector)
        nearest = min(landmarks, key=lambda other: _apart(other, own), default=None)
        if nearest is None or _apart(nearest, own) > MOST_SHIFT * side:
            raise NoFaceError(
                f"the face that was changed in {photo.name} is not found again in the result; "
                "it may be distorted. Try a smaller change."
            )
        again, reason = self._fitted(photo, nearest, len(landmarks))
        if reason:
            raise NoFaceError(f"no 3D face fits the face that was changed in {photo.name}: {reason}.")
        return again

    @torch.inference_mode()
    def as_one_person(self, faces: Sequence[RigFace]) -> list[RigFace]:
        """Faces that this reader has read, read together: photos of one person, who has one shape.

        Raises NoFaceError if one of them does not fit that shape.
        """
        pictures = torch.cat([face.picture.expand(-1, 3, -1, -1) for face in faces]).to(self.mesh_device)
        points = torch.from_numpy(np.stack([face.aligned.crop_points() for face in faces])).float()
        reading = self.reader.read(pictures.contiguous(), points.to(self.mesh_device), persons=[0] * len(faces))
        for face, reason in zip(faces, reading.reasons, strict=True):
            if reason:
                raise NoFaceError(f"{face.photo.name} does not show the person of the other photos: {reason}.")
        return [replace(face, coeffs=reading.coeffs[i : i + 1]) for i, face in enumerate(faces)]

    @torch.inference_mode()
    def _fitted(self, photo: Photo, landmarks: Landmarks, n_faces: int) -> tuple[RigFace, str]:
        """A face with its coefficients and code, and why these are not to be trusted, or ""."""
        config = self.rig.config
        aligned = align(photo, landmarks, config.image_size, config.crop)
        picture = to_tensor(aligned.pixels)
        picture = luminance(picture) if config.image_channels == 1 else picture
        points = torch.from_numpy(aligned.crop_points()).float()
        reading = self.reader.read(
            picture.expand(-1, 3, -1, -1).contiguous().to(self.mesh_device), points[None].to(self.mesh_device)
        )
        picture = picture.to(next(self.rig.parameters()).device)
        code = self.rig.encode(picture)
        return RigFace(photo, n_faces, aligned, picture, reading.coeffs, code), reading.reasons[0]


def _apart(one: Landmarks, other: Landmarks) -> float:
    """How far two faces of a photo lie from each other, in its pixels."""
    return float(np.linalg.norm(one.points.mean(axis=0) - other.points.mean(axis=0)))
