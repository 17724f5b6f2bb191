"""Frames of a film: decoded upright as they will be encoded, and changed where an edit changed them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from emorph.core.errors import ClipError
from emorph.core.types import Float64, UInt8
from emorph.video.clip import Clip, library, opened, reading

if TYPE_CHECKING:
    from av import VideoFrame

PART_STEP_PX = 16  # so that parts hold whole blocks of colour
PREVIEW_S = 3.0
PREVIEW_PX = 360  # the shorter side
_TURNS = {90: "transpose=cclock", 180: "hflip,vflip", 270: "transpose=clock"}  # FFmpeg counts counterclockwise


@dataclass(frozen=True)
class Form:
    """How frames are handed on. width, height: px. pix_fmt: FFmpeg's name. until_s: where the film ends, or None."""

    width: int
    height: int
    pix_fmt: str
    until_s: float | None = None


@dataclass(frozen=True)
class Part:
    """A rectangle of a frame: px, of which right and bottom are the first beyond it."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def around(cls, points: Float64, size: tuple[int, int]) -> Part:
        """The part of a frame of ``size`` (width, height) that holds points (n, 2), as far as they lie within it.

        It begins at multiples of PART_STEP_PX, and is nowhere smaller.
        """
        most = [max(0, (side - 1) // PART_STEP_PX * PART_STEP_PX) for side in size]
        low, high = np.floor(points.min(axis=0)).astype(int), np.ceil(points.max(axis=0)).astype(int) + 1
        left, top = (int(v) // PART_STEP_PX * PART_STEP_PX for v in np.clip(low, 0, most))
        ends = (-(-int(v) // PART_STEP_PX) * PART_STEP_PX for v in high)
        right, bottom = (
            min(side, max(end, start + PART_STEP_PX)) for side, end, start in zip(size, ends, (left, top), strict=True)
        )
        return cls(left, top, right, bottom)

    @property
    def corner(self) -> tuple[int, int]:
        """(left, top)."""
        return self.left, self.top

    def values(self, plane: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
        """What of a stored plane of a frame of ``size`` (width, height) lies in the part; shares its memory."""
        across, down = -(-size[0] // plane.shape[1]), -(-size[1] // plane.shape[0])
        return plane[self.top // down : -(-self.bottom // down), self.left // across : -(-self.right // across)]


@dataclass(frozen=True)
class Frame:
    """One frame, upright. number: from 0. pts, duration: ticks of the clip's time base, duration 0 if not known."""

    number: int
    pts: int
    duration: int
    picture: VideoFrame

    def pixels(self, part: Part | None = None) -> UInt8:
        """uint8 (H, W, 3) RGB, of a part or of the whole."""
        picture = self.picture if part is None else _cut(self.picture, part)
        rgb: UInt8 = np.asarray(picture.to_ndarray(format="rgb24", **_colours(self.picture, to_rgb=True)), np.uint8)
        return rgb


def previewed(form: Form) -> Form:
    """The same small, and its first PREVIEW_S alone."""
    scale = min(1.0, PREVIEW_PX / min(form.width, form.height))
    width, height = (max(2, 2 * round(side * scale / 2)) for side in (form.width, form.height))
    if scale == 1:
        width, height = form.width, form.height
    return Form(width, height, form.pix_fmt, PREVIEW_S)


def read_frames(clip: Clip, form: Form) -> Iterator[Frame]:
    """The frames in order. Raises ClipError for damage, for sizes that change, and for a film that ends too early."""
    number, last, first = 0, None, None
    with opened(clip.path, clip.parser) as container, reading(clip.path):
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        prepare = _Prepared(clip, form)
        for picture in container.decode(stream):
            pts = picture.pts if picture.pts is not None else _next_pts(last, clip)
            if last is not None and pts <= last:
                pts = last + 1
            first = pts if first is None else first
            if form.until_s is not None and float((pts - first) * clip.time_base) >= form.until_s:
                return
            yield Frame(number, pts, picture.duration or 0, prepare(picture, number, pts))
            number, last = number + 1, pts
    _check_whole(clip, number, first or 0, last or 0)


def picture_of(pixels: UInt8, form: Form, pts: int, time_base: Fraction) -> VideoFrame:
    """A frame of a film from RGB pixels (H, W, 3), stored as the form says, with BT.709 or, if it is small, BT.601."""
    av = library()
    blank = av.VideoFrame(form.width, form.height, form.pix_fmt)
    made: VideoFrame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24").reformat(
        format=form.pix_fmt, **_colours(blank, to_rgb=False)
    )
    if form.pix_fmt.startswith("yuv"):
        made.colorspace, made.color_range = (1 if form.height >= 720 else 5), 1
    made.pts, made.time_base = pts, time_base
    return made


def with_change(frame: VideoFrame, before: UInt8, after: UInt8, part: Part | None = None) -> VideoFrame:
    """The frame with RGB pixels (H, W, 3) ``after`` where they differ from ``before``, its own.

    part: whose pixels they are; by default the whole frame's. All else stays bit for bit.
    Where colour is stored for blocks of pixels, a block is changed if one of its pixels is.
    """
    apart = cv2.absdiff(before, after)
    changed = (apart[..., 0] | apart[..., 1] | apart[..., 2]) > 0
    if not changed.any():
        return frame
    new = library().VideoFrame.from_ndarray(after, format="rgb24")
    new = new.reformat(format=frame.format.name, **_colours(frame, to_rgb=False))
    size = (frame.width, frame.height)
    part = part or Part(0, 0, *size)
    result = _blank(frame, *size)
    for i in range(len(frame.planes)):
        own, edited, out = (_plane(each, i) for each in (frame, new, result))
        out[...] = own
        np.copyto(part.values(out, size), edited, where=_in_blocks(changed, edited.shape))
    return result


def _cut(frame: VideoFrame, part: Part) -> VideoFrame:
    """A part of a frame as a frame of its own, stored alike."""
    cut, size = _blank(frame, part.right - part.left, part.bottom - part.top), (frame.width, frame.height)
    for i in range(len(frame.planes)):
        _plane(cut, i)[...] = part.values(_plane(frame, i), size)
    return cut


def _blank(frame: VideoFrame, width: int, height: int) -> VideoFrame:
    """A frame for pixels stored as another's, with its time and colours."""
    blank: VideoFrame = library().VideoFrame(width, height, frame.format.name)
    blank.pts, blank.duration = frame.pts, frame.duration
    if frame.time_base is not None:
        blank.time_base = frame.time_base
    blank.colorspace, blank.color_range = frame.colorspace, frame.color_range
    return blank


def _in_blocks(changed: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Whether any pixel of each stored value's block changed, for a plane of ``shape`` (h, w) or (h, w, n)."""
    height, width = changed.shape
    down, across = -(-height // shape[0]), -(-width // shape[1])
    padded = np.zeros((shape[0] * down, shape[1] * across), bool)
    padded[:height, :width] = changed
    blocks = np.zeros(shape[:2], bool)
    for row, column in itertools.product(range(down), range(across)):
        blocks |= padded[row::down, column::across]
    return blocks.reshape(*shape[:2], *(1 for _ in shape[2:]))


def _plane(frame: VideoFrame, index: int) -> NDArray[Any]:
    """A plane's values without its padding: (h, w), or (h, w, 4) of packed colours; shares the frame's memory."""
    plane, parts = frame.planes[index], frame.format.components
    kind = np.uint16 if max(part.bits for part in parts) > 8 else np.uint8
    values: NDArray[Any] = np.frombuffer(memoryview(plane), kind)
    rows = values.reshape(plane.height, plane.line_size // np.dtype(kind).itemsize)
    if len(frame.planes) == 1 and len(parts) > 1:
        return rows[:, : plane.width * 4].reshape(plane.height, plane.width, 4)
    return rows[:, : plane.width]


def _colours(frame: VideoFrame, *, to_rgb: bool) -> dict[str, Any]:
    """The same matrix and range in both directions, or colours would drift."""
    if not frame.format.name.startswith("yuv"):
        return {}
    known = {1, 4, 5, 6, 7, 9, 10}
    matrix = int(frame.colorspace) if int(frame.colorspace) in known else (1 if frame.height >= 720 else 5)
    matrix = 5 if matrix == 6 else 9 if matrix == 10 else matrix  # swscale's names of the same matrices
    full = int(frame.color_range) == 2 or frame.format.name.startswith("yuvj")
    ranges = (2 if full else 1, 2)
    source, target = ranges if to_rgb else ranges[::-1]
    side = "src" if to_rgb else "dst"
    return {f"{side}_colorspace": matrix, "src_color_range": source, "dst_color_range": target}


def _next_pts(last: int | None, clip: Clip) -> int:
    return 0 if last is None else last + max(1, round(1 / (clip.rate * clip.time_base)))


def _check_whole(clip: Clip, n: int, first: int, last: int) -> None:
    """Raises ClipError for a film of ``n`` frames that states more.

    The count of an mp4 or mov is not compared: where it was trimmed, an edit list hides frames that are counted.
    """
    missing_s = clip.duration_s - float((last - first) * clip.time_base) - float(1 / clip.rate)
    if n == 1:
        raise ClipError(f"{clip.name} has a single frame; save it as a picture and edit that.")
    is_counted = clip.parser != "mov" and clip.n_frames > n + 1
    if is_counted or missing_s > max(1.0, 0.1 * clip.duration_s):
        said = f"{clip.n_frames} frames" if is_counted else f"{clip.duration_s:.1f} s"
        raise ClipError(f"{clip.name} is cut off: it ends after {n} frames and states {said}; export it again.")


class _Prepared:
    """Turns, scales and stores frames as the form says."""

    def __init__(self, clip: Clip, form: Form) -> None:
        self._clip, self._form = clip, form
        self._graph: Any = None
        self._size: tuple[int, int, str] | None = None

    def __call__(self, picture: VideoFrame, number: int, pts: int) -> VideoFrame:
        size = (picture.width, picture.height, picture.format.name)
        if self._size is None:
            self._size, self._graph = size, self._made(picture)
        if size != self._size:
            raise ClipError(
                f"{self._clip.name} changes its size or colour format at frame {number} "
                f"({self._size[0]}x{self._size[1]} to {size[0]}x{size[1]}); export it with one size."
            )
        if self._graph is not None:
            picture.pts = pts
            self._graph.push(picture)
            picture = self._graph.pull()
        picture.pts, picture.time_base = pts, self._clip.time_base
        return picture

    def _made(self, picture: VideoFrame) -> Any:
        form, clip = self._form, self._clip
        steps = [_TURNS[clip.rotation]] if clip.rotation in _TURNS else []
        if (form.width, form.height) != (clip.width, clip.height):
            steps.append(f"scale={form.width}:{form.height}:flags=area")
        if picture.format.name != form.pix_fmt:
            steps.append(f"format={form.pix_fmt}")
        if not steps:
            return None
        graph = library().filter.Graph()
        nodes = [
            graph.add_buffer(
                width=picture.width, height=picture.height, format=picture.format, time_base=clip.time_base
            )
        ]
        for step in ",".join(steps).split(","):
            name, _, options = step.partition("=")
            nodes.append(graph.add(name, options or None))
        nodes.append(graph.add("buffersink"))
        for one, other in itertools.pairwise(nodes):
            one.link_to(other)
        graph.configure()
        return graph
