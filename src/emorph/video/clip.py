"""What a film's file holds, told by its content; one that cannot be edited is refused in one sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from emorph.core.commands import install
from emorph.core.errors import ClipError, MissingAssetError
from emorph.core.formats import START_BYTES, is_picture

if TYPE_CHECKING:
    from av.container import InputContainer

FILM_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".gif")  # that can be written
FILM_NAMES = (*FILM_SUFFIXES[:-1], ".avi", ".ts", ".m2ts")  # that no picture has
MAX_FRAME_PX = 8192 * 4320
LEAST_SIDE_PX = 16
HDR_CURVES = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273
# FFmpeg is told which of its parsers to use, so that no file can make it open playlists or addresses.
_PARSERS = (
    (rb"....ftyp|....(moov|mdat|wide|free|skip)", "mov"),
    (rb"\x1aE\xdf\xa3", "matroska"),
    (rb"GIF8[79]a", "gif"),
    (rb"RIFF....AVI ", "avi"),
    (rb"\x47.{187}\x47", "mpegts"),
)


@dataclass(frozen=True)
class Clip:
    """A film that can be read.

    width, height: px of a frame, upright. rotation: degrees by which the file says that its frames are to be turned.
    time_base: seconds a tick of its time stamps. rate: frames a second on average. pix_fmt: FFmpeg's name of how its
    pixels are stored. n_frames: as the file states, 0 if it does not. duration_s: likewise. audio: codecs of its tracks
    of sound. others: kinds of what else it holds. curve: "PQ" or "HLG" of a film in HDR, else "".
    bits: of a channel. sound_rates: ticks a second of the tracks of sound.
    aspect: width of a pixel over its height, upright.
    """

    path: Path
    parser: str
    width: int
    height: int
    rotation: int
    time_base: Fraction
    rate: Fraction
    pix_fmt: str
    n_frames: int
    duration_s: float
    audio: tuple[str, ...]
    others: tuple[str, ...]
    curve: str
    bits: int
    sound_rates: tuple[int, ...] = ()
    aspect: Fraction = Fraction(1)

    @property
    def name(self) -> str:
        """How messages call it."""
        return self.path.name


def is_film(path: Path, *, gifs: bool = True) -> bool:
    """Whether a file is a film, by its content or, where that is no picture's, by its name.

    gifs: whether an animated GIF counts.
    """
    start = _start(path)
    if parser_of(start) == "gif":
        return gifs and _is_animated(path)
    if is_picture(start):
        return False
    return bool(parser_of(start)) or path.suffix.lower() in FILM_NAMES


def parser_of(start: bytes) -> str:
    """FFmpeg's name of what parses a file that starts so; "" for what is no film."""
    if re.match(rb"GIF8", start) is None and is_picture(start):
        return ""
    return next((name for signature, name in _PARSERS if re.match(signature, start, re.DOTALL)), "")


def read_clip(path: Path) -> Clip:
    """What the file says of itself. Raises ClipError, MissingAssetError without PyAV."""
    if not path.is_file():
        raise ClipError(f"there is no file {path}; check its name.")
    start = _start(path)
    if not start:
        raise ClipError(f"{path.name} is empty (0 bytes); download it again or export it again.")
    parser = parser_of(start)
    if not parser:
        what = "a picture, not a film; give it a picture's name" if is_picture(start) else "no film that emorph reads"
        raise ClipError(
            f"{path.name} is {what}. It reads mp4, mov, mkv, webm, gif, avi and ts, whatever the name says."
        )
    with opened(path, parser) as container, reading(path):
        if not container.streams.video:
            raise ClipError(f"{path.name} has no pictures, only {_kinds(container)}; give a film that has some.")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise ClipError(
                f"{path.name} is stored in a way that FFmpeg does not read here; export it as H.264 in mp4."
            )
        if parser == "mov":
            _check_bytes(path, stream)
        _check_size(path.name, stream.width, stream.height)
        first = next(iter(container.decode(stream)), None)
        if first is None:
            raise ClipError(f"{path.name} holds no frame that can be decoded; it is damaged, export it again.")
        _check_size(path.name, first.width, first.height)
        turned = round(first.rotation) % 360
        flat = turned % 180 == 0
        aspect = stream.sample_aspect_ratio or Fraction(1)
        return Clip(
            path, parser,
            width=first.width if flat else first.height,
            height=first.height if flat else first.width,
            rotation=turned,
            time_base=stream.time_base or Fraction(1, 90_000),
            rate=stream.average_rate or stream.guessed_rate or Fraction(25),
            pix_fmt=first.format.name,
            n_frames=stream.frames,
            duration_s=_duration_s(container, stream),
            audio=tuple(each.codec_context.name for each in container.streams.audio),
            others=tuple(each.type for each in container.streams if each.type not in ("audio", "video")),
            curve=HDR_CURVES.get(int(first.color_trc or 0), ""),
            bits=max(part.bits for part in first.format.components),
            sound_rates=tuple(each.time_base.denominator for each in container.streams.audio if each.time_base),
            aspect=aspect if flat else 1 / aspect,
        )  # fmt: skip


@contextmanager
def opened(path: Path, parser: str) -> Iterator[InputContainer]:
    """The file, open for reading. Raises ClipError if it cannot be opened; see ``reading`` for what comes then."""
    with reading(path):
        container: InputContainer = library().open(f"file:{path}", format=parser, metadata_errors="replace")
    with container:
        yield container


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What FFmpeg cannot read inside is a ClipError."""
    av = library()
    try:
        yield
    except (av.error.FFmpegError, ValueError) as error:
        raise ClipError(
            f"{path.name} cannot be read as a film ({said_by(error)}); it is damaged or cut off, export it again."
        ) from None


def library() -> Any:
    """PyAV. Raises MissingAssetError."""
    try:
        import av
    except ImportError:
        raise MissingAssetError(f"films need PyAV: `{install('video')}`.") from None
    av.logging.set_level(None)  # a level makes FFmpeg's threads wait for Python's lock, and decoding can hang
    return av


def said_by(error: BaseException) -> str:
    """The reason within an error of FFmpeg's or the system's, without the path."""
    return str(getattr(error, "strerror", None) or error).rstrip(".")


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(START_BYTES)
    except OSError:
        return b""


def _check_bytes(path: Path, stream: Any) -> None:
    """Raises ClipError for an mp4 or mov that lists packets beyond its end; PyAV before 16 does not tell the list."""
    ends = [entry.pos + entry.size for entry in getattr(stream, "index_entries", None) or ()]
    n_bytes = path.stat().st_size
    if max(ends, default=0) > n_bytes:
        n_left = sum(end <= n_bytes for end in ends)
        raise ClipError(
            f"{path.name} is cut off: {n_left} of the {len(ends)} frames that it lists are in the file; download it "
            "again or export it again."
        )


def _is_animated(path: Path) -> bool:
    try:
        with Image.open(path, formats=["GIF"]) as image:
            return bool(getattr(image, "is_animated", False))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _kinds(container: InputContainer) -> str:
    return " and ".join(sorted({stream.type for stream in container.streams})) or "nothing"


def _check_size(name: str, width: int, height: int) -> None:
    if not width * height:  # FFmpeg's answer also to sizes that cannot be
        raise ClipError(f"{name} states no size that its frames can have; it is damaged, export it again.")
    if width * height > MAX_FRAME_PX:
        raise ClipError(
            f"{name} has frames of {width}x{height} px; at most {MAX_FRAME_PX:,} px are read, make it smaller."
        )
    if min(width, height) < LEAST_SIDE_PX:
        raise ClipError(f"{name} has frames of {width}x{height} px, too small to show a face; give a larger film.")


def _duration_s(container: InputContainer, stream: Any) -> float:
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    else:
        seconds = (container.duration or 0) / 1e6
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0
