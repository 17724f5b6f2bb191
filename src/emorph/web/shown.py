"""Photos as a page shows them: small, and in the colours of every screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from emorph.core.decode import to_srgb
from emorph.core.images import read_photo
from emorph.core.types import Photo
from emorph.edit.live import PREVIEW_PX, shrunk

if TYPE_CHECKING:
    from emorph.web.sessions import Session


def preview_image(photo: Photo | Path) -> Image.Image:
    """A photo, or a picture file that emorph wrote, at PREVIEW_PX at most, in sRGB."""
    if isinstance(photo, Path):
        photo = read_photo(photo)
    small = shrunk(photo, min(1.0, PREVIEW_PX / max(photo.pixels.shape[:2])))
    image = Image.fromarray(small.pixels)
    return image if small.icc is None else to_srgb(image, small.icc)


def divided(left: Image.Image, right: Image.Image, session: Session) -> Any:
    """Two pictures of a session's photo, divided at its face, so that some of that is seen of both.

    Raises Refused without a photo.
    """
    import gradio as gr

    photo = session.photo
    box = photo.faces[session.face].box
    return gr.ImageSlider((left, right), slider_position=50 * float(box[0] + box[2]) / photo.photo.pixels.shape[1])
