"""Pictures that are several: which of its frames or pages is meant, and never one that nobody chose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import TiffImagePlugin

from emorph.core.errors import ImageError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

MOST_PAGES = 1000  # of a TIFF that are looked at; a hostile one lists millions
_SUBFILE, _SUB_IFDS, _DNG_VERSION = 254, 330, 50706
_PREVIEW, _MASK = 1, 4  # bits of NewSubfileType (TIFF 6.0)


def choose_frame(image: ImageFile, name: str, frame: int | None) -> None:
    """Go to a frame of an animation or a page of a TIFF, counted from 1.

    frame: None for the only one. What a format itself calls the main picture (HEIC, MPO) needs no choice, and small
    copies and masks of a TIFF are no pages. Raises ImageError if there are several and none is chosen, or not so many.
    """
    pages = _tiff_pages(image, name) if isinstance(image, TiffImagePlugin.TiffImageFile) else None
    n_frames = len(pages) if pages is not None else int(getattr(image, "n_frames", 1))
    what = "page" if pages is not None else "frame"
    if frame is None:
        if n_frames > 1 and image.format != "HEIF":
            raise ImageError(
                f"{name} has {n_frames} {what}s; choose one with --frame 1 to {n_frames}, "
                "or export one as a picture of its own."
            )
        return
    if not 1 <= frame <= n_frames:
        raise ImageError(f"{name} has {n_frames} {what}{'s' * (n_frames > 1)}, and no {what} {frame}.")
    image.seek(pages[frame - 1] if pages is not None else frame - 1)


def _tiff_pages(image: TiffImagePlugin.TiffImageFile, name: str) -> list[int]:
    """The numbers of the pictures in a TIFF that are neither small copies nor masks of another; it stands at the first.

    Raises ImageError for a camera's raw file, of which only the preview could be read.
    """
    pages, is_raw = [], _DNG_VERSION in image.tag_v2
    for number in range(MOST_PAGES):
        try:
            image.seek(number)
            kind = int(image.tag_v2.get(_SUBFILE, 0))
        except Exception:  # the end, or damage past the first page, which is then all there is
            break
        if not kind & (_PREVIEW | _MASK):
            pages.append(number)
        elif number == 0 and kind & _PREVIEW:
            is_raw |= _SUB_IFDS in image.tag_v2
    if is_raw:
        raise ImageError(f"{name} is a camera's raw file; develop it, and export a TIFF.")
    image.seek(pages[0] if pages else 0)
    return pages or [0]
