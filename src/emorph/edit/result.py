"""What an edit gives, by whichever model."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from PIL import Image

from emorph.core.levels import rgba
from emorph.core.types import AlignedFace, Float32, Photo, Target
from emorph.edit.change import CropChange, Finish, outlines, paste_all

Goal = TypeVar("Goal")


@dataclass(frozen=True, repr=False)
class Edit(Generic[Goal]):
    """One edited photo.

    photo: the result, at the source photo's own size. source: the photo it was made from.
    faces: the crops that were changed. n_faces: how many faces the photo has, changed or not.
    target: what the first of them shows now: an Editor's ``Target``, or a RigEditor's ``Look``.
    before, after: the first crop, float32 (S, S, C) in 0..255: what the model started from, and what it drew.
    seconds: time taken, shared with the edits made in the same call.
    mask: polygons x, y, x, y, ... in photo pixels, one a face; outside them no pixel was touched.
    """

    photo: Photo
    source: Photo
    faces: tuple[AlignedFace, ...]
    n_faces: int
    target: Goal
    before: Float32
    after: Float32
    seconds: float
    mask: tuple[tuple[int, ...], ...] = ()

    def __repr__(self) -> str:
        """In a line, without the pixels."""
        height, width = self.photo.pixels.shape[:2]
        shows = self.target.word if isinstance(self.target, Target) else type(self.target).__name__
        strength = f" at strength {self.target.strength:g}" if isinstance(self.target, Target) else ""
        faces = f"{len(self.faces)} of {self.n_faces} face{'' if self.n_faces == 1 else 's'}"
        return f"Edit({self.source.name}, {width}x{height} px: {shows}{strength}, {faces}, {self.seconds:.1f} s)"

    @property
    def face(self) -> AlignedFace:
        """The crop of the face that was changed; of several, the first from the left."""
        return self.faces[0]

    @property
    def score(self) -> float:
        """The detector's lowest confidence among the faces that were changed."""
        return min(face.landmarks.score for face in self.faces)

    @property
    def image(self) -> Image.Image:
        """The result as a PIL image: RGB in 8 bits, or RGBA where the photo is transparent.

        ``save`` keeps the photo's colour profile in a PNG; ``emorph.core.images.write_photo`` keeps all that there is.
        Neither says by itself that the picture was edited: ``Editor.edit_folder`` does, for one photo too.
        """
        image = Image.fromarray(rgba(self.photo))
        if self.photo.icc is not None:
            image.info["icc_profile"] = self.photo.icc
        return image


def pasted_edits(
    photo: Photo,
    faces: Sequence[AlignedFace],
    n_faces: int,
    targets: Sequence[Goal],
    changes: Sequence[Sequence[CropChange]],
    started_s: float,
    finish: Callable[[Goal], Finish] | None = None,
) -> list[Edit[Goal]]:
    """The photo with each target, from the changes of its faces' crops.

    targets: of the first face. changes: a row for each face, in it one for each target. started_s: when the work on
    them began, by ``time.perf_counter``. finish(target): what is done to a face after its change is pasted.
    """
    results = [
        paste_all(photo, faces, of_target, finish and finish(target))
        for target, of_target in zip(targets, zip(*changes, strict=True), strict=True)
    ]
    seconds = time.perf_counter() - started_s
    masks = [outlines(photo, faces, of_target) for of_target in zip(*changes, strict=True)]
    return [
        Edit(result, photo, tuple(faces), n_faces, target, change.before, change.drawn, seconds, mask)
        for result, target, change, mask in zip(results, targets, changes[0], masks, strict=True)
    ]
