"""What an edit gives."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from emorph.core.types import AlignedFace, Float32, Photo, Target


@dataclass(frozen=True)
class Edit:
    """One edited photo.

    photo: the result, at the source photo's own size. source: the photo it was made from.
    n_faces: how many faces the photo has, edited or not.
    before, after: the model's crops, float32 (S, S, C) in 0..255: its reconstruction and its edit.
    seconds: time taken, shared with the edits made in the same call.
    """

    photo: Photo
    source: Photo
    face: AlignedFace
    n_faces: int
    target: Target
    before: Float32
    after: Float32
    seconds: float

    @property
    def image(self) -> Image.Image:
        """The result as a PIL image, with the photo's colour profile, which ``save`` keeps in a PNG."""
        image = Image.fromarray(self.photo.pixels)
        if self.photo.icc is not None:
            image.info["icc_profile"] = self.photo.icc
        return image
