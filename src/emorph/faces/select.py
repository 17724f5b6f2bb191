"""The faces of a photo that a user asks for, without those that are better left alone."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from emorph.core.errors import NoFaceError, UnknownNameError
from emorph.core.landmarks import SURE_SCORE
from emorph.core.types import Landmarks, Photo

_log = logging.getLogger(__name__)


def select_faces(
    faces: Sequence[Landmarks], which: str | int, photo: Photo, *, min_score: float = SURE_SCORE
) -> list[Landmarks]:
    """The faces that a user asks for.

    which: "largest", "left" (left-most in the picture), "all" (left to right), or a number (2 or "2") that counts
        from 1, left to right.
    min_score: weaker detections are no faces. Of "all", faces whose points are doubtful are left out, and a warning
        names them.
    Raises NoFaceError if there is none or not so many, if all are too weak, or if the points of those that are asked
    for are not to be trusted; UnknownNameError for another word.
    """
    word = str(which).strip().lower()
    number = int(word) if re.fullmatch(r"-?[0-9]{1,6}", word) else None
    if number is None and word not in ("largest", "left", "all"):
        numbers = range(1, 1 + sum(face.score >= min_score for face in faces))
        raise UnknownNameError("face", str(which), ["largest", "left", "all", *map(str, numbers)])
    sure = _sure(faces, photo, min_score)
    in_order = sorted(sure, key=lambda face: face.box[0] + face.box[2])
    if word == "all":
        return _trusted(in_order, photo)
    if number is not None and not 1 <= number <= len(sure):
        count = f"{len(sure)} face{'s' if len(sure) > 1 else ''}"
        raise NoFaceError(
            f"{photo.name} has {count}, there is no face {number} (--face {number}, or face={number} in Python); "
            "they count from 1, left to right."
        )
    chosen = max(sure, key=area_px) if word == "largest" else in_order[(number or 1) - 1]
    if chosen.doubt:
        raise NoFaceError(_untrusted(photo, [chosen]))
    return [chosen]


def area_px(face: Landmarks) -> int:
    """Of the face's box."""
    left, top, right, bottom = face.box
    return int(right - left) * int(bottom - top)


def _sure(faces: Sequence[Landmarks], photo: Photo, min_score: float) -> list[Landmarks]:
    sure = [face for face in faces if face.score >= min_score]
    if sure:
        return sure
    height, width = photo.pixels.shape[:2]
    if not faces:
        raise NoFaceError(
            f"no face found in {photo.name} ({width}x{height} px). "
            "Try a smaller --min-face (min_face_px in Python), turn the photo upright, or crop closer."
        )
    best = max(faces, key=lambda face: face.score)
    left, top, right, bottom = best.box
    raise NoFaceError(
        f"no sure face found in {photo.name} ({width}x{height} px): what looks most like one, {right - left} px at "
        f"({(left + right) // 2}, {(top + bottom) // 2}), has a score of {best.score:.2f}, and the limit is "
        f"{min_score:g}. If it is a face, give a smaller --min-score (min_score in Python)."
    )


def _trusted(faces: list[Landmarks], photo: Photo) -> list[Landmarks]:
    doubtful = [face for face in faces if face.doubt]
    if len(doubtful) == len(faces):
        raise NoFaceError(_untrusted(photo, doubtful))
    for number, face in enumerate(faces, start=1):
        if face.doubt:
            _log.warning("%s: face %d from the left is left out: %s.", photo.name, number, face.doubt)
    return [face for face in faces if not face.doubt]


def _untrusted(photo: Photo, faces: Sequence[Landmarks]) -> str:
    several = len(faces) > 1
    what = f"the {len(faces)} faces" if several else "the face"
    left = "they are left as they are" if several else "it is left as it is"
    return (
        f"the features of {what} in {photo.name} cannot be placed reliably, so {left}: {faces[0].doubt}. "
        f"{'The heads' if several else 'The head'} may be turned too far, or partly hidden; "
        "choose another face with --face, or use a more frontal photo."
    )
