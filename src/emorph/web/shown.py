"""Photos as a page shows them: small, and in the colours of every screen."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from emorph.core.decode import to_srgb
from emorph.core.images import read_photo
from emorph.core.types import Photo
from emorph.edit.live import PREVIEW_PX, shrunk


def preview_image(photo: Photo | Path) -> Image.Image:
    """A photo, or a picture file that emorph wrote, at PREVIEW_PX at most, in sRGB."""
    if isinstance(photo, Path):
        photo = read_photo(photo)
    small = shrunk(photo, min(1.0, PREVIEW_PX / max(photo.pixels.shape[:2])))
    image = Image.fromarray(small.pixels)
    return image if small.icc is None else to_srgb(image, small.icc)
