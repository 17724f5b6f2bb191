"""Segments of a film, encoded each on its own, and the film that they are joined to with the sound of the source."""

from __future__ import annotations

import heapq
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from emorph.core.errors import ClipError
from emorph.core.files import written_beside
from emorph.video.clip import FILM_SUFFIXES, Clip, library, opened, said_by
from emorph.video.frames import Form

if TYPE_CHECKING:
    from av import VideoFrame

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".gif": "gif"}
N_THREADS = 2  # of the encoder, whose output depends on it: the same on every machine
# Constant quality at which a difference is hard to see at normal speed; measured in bench/video.py.
# No frame waits for a later one, so that segments can be joined packet by packet. x264's trees of macroblocks are off:
# on processors with AVX-512 they read what nobody wrote where a picture is no multiple of 128 px wide, so that now and
# then two runs gave other files.
OPTIONS = {
    "libx264": {"crf": "18", "preset": "veryfast", "bf": "0", "x264-params": "mbtree=0"},
    "libvpx-vp9": {
        "crf": "16",
        "b": "0",
        "deadline": "good",
        "cpu-used": "5",
        "lag-in-frames": "0",
        "auto-alt-ref": "0",
    },
    "ffv1": {},
}
_KEPT = {
    "libx264": {*("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"),
                *("yuv420p10le", "yuv422p10le", "yuv444p10le")},
    "libvpx-vp9": {"yuv420p", "yuv422p", "yuv444p"},
    "ffv1": {"bgr0"},
}  # fmt: skip
_HALVED = {"yuv420p": "yuv444p", "yuvj420p": "yuvj444p", "yuv422p": "yuv444p", "yuvj422p": "yuvj444p",
           "yuv420p10le": "yuv444p10le", "yuv422p10le": "yuv444p10le"}  # fmt: skip
GIF_COLOURS = 256
GIF_BYTES = 0.4  # of a pixel of a frame, as measured on films of faces; each frame is stored by itself
LARGE_GIF, MOST_GIF = 50e6, 1e9  # bytes from which a sentence says so, and from which a GIF is refused


@dataclass(frozen=True)
class Stored:
    """How a film is stored. codec: of its segments; a GIF is made of lossless ones at the end. remarks: sentences."""

    codec: str
    form: Form
    remarks: tuple[str, ...]


def stored(clip: Clip, suffix: str) -> Stored:
    """How the frames of a clip are stored in a file of this kind."""
    codec = {".webm": "libvpx-vp9", ".gif": "ffv1"}.get(suffix, "libx264")
    pix_fmt, said = clip.pix_fmt, []
    if pix_fmt not in _KEPT[codec]:
        deep = clip.bits > 8 and "yuv420p10le" in _KEPT[codec]
        pix_fmt = "bgr0" if codec == "ffv1" else "yuv420p10le" if deep else "yuv420p"
    if codec == "libx264" and (clip.width % 2 or clip.height % 2):
        if pix_fmt in _HALVED:
            said.append(
                f"{clip.name} has an odd size ({clip.width}x{clip.height}), so colour is stored for every pixel "
                "(H.264 High 4:4:4), which some players do not show; a .webm result is shown everywhere."
            )
        pix_fmt = _HALVED.get(pix_fmt, pix_fmt)
    if clip.bits > 8:
        kept = f"the rest of the film keeps its {clip.bits} bits" if "10le" in pix_fmt else "so is the whole result"
        curve = f", in its own curve ({clip.curve}, HDR)" if clip.curve else ""
        said.append(f"{clip.name} has {clip.bits} bits a channel: faces are edited in 8 bits{curve}; {kept}.")
    left = sorted(set(clip.others))
    if left:
        said.append(f"{clip.name}: its tracks of {' and '.join(left)} are left out; pictures and sound are kept.")
    if clip.audio and suffix == ".gif":
        said.append(f"{clip.name} has sound, which a GIF does not hold.")
    if suffix == ".gif" and gif_bytes(clip) > LARGE_GIF:
        said.append(
            f"A GIF of {clip.name} takes about {gif_bytes(clip) / 1e6:.0f} MB, because each frame is stored by itself; "
            ".mp4 or .webm takes far less."
        )
    return Stored(codec, Form(clip.width, clip.height, pix_fmt), tuple(said))


def gif_bytes(clip: Clip) -> float:
    """About how large a GIF of the whole clip would be."""
    n_frames = clip.n_frames or clip.duration_s * float(clip.rate)
    return GIF_BYTES * clip.width * clip.height * n_frames


def check_gif(clip: Clip) -> None:
    """Raises ClipError for a clip that is too long or too large for a GIF."""
    if gif_bytes(clip) > MOST_GIF:
        raise ClipError(
            f"a GIF of {clip.name} ({clip.width}x{clip.height}, {clip.duration_s:.0f} s) would take about "
            f"{gif_bytes(clip) / 1e9:.1f} GB; name the result as .mp4 or .webm, or cut the film."
        )


def check_holds(clip: Clip, suffix: str) -> None:
    """Raises ClipError if a file of this kind does not hold the clip's sound as it is."""
    if suffix not in CONTAINERS:
        raise ClipError(
            f"emorph does not write films as {suffix or 'a file without suffix'}; use {', '.join(FILM_SUFFIXES)}."
        )
    if not clip.audio or suffix == ".gif":
        return
    av = library()
    try:
        with opened(clip.path, clip.parser) as source, av.open(io.BytesIO(), "w", format=CONTAINERS[suffix]) as to:
            _add_audio(source, to)
            to.start_encoding()
    except (av.error.FFmpegError, ValueError):
        raise ClipError(
            f"{suffix} does not hold sound as {' and '.join(clip.audio)}, which {clip.name} has; "
            "name the result as .mkv, which holds all, or as the source is."
        ) from None


class Segment:
    """Encodes frames to a file of its own, which begins with a whole picture."""

    def __init__(self, path: Path, clip: Clip, stored: Stored) -> None:
        self._clip, self._stored = clip, stored
        self._container = library().open(f"file:{path}", "w", format="nut", options={"fflags": "bitexact"})
        self._stream: Any = None

    def add(self, picture: VideoFrame) -> None:
        """The next frame, with its own time stamp."""
        if self._stream is None:
            self._stream = self._started(picture)
        picture.pict_type = 0
        self._container.mux(self._stream.encode(picture))

    def close(self) -> None:
        """Finish the file."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
        self._container.close()

    def _started(self, picture: VideoFrame) -> Any:
        form, clip = self._stored.form, self._clip
        stream = self._container.add_stream(self._stored.codec, rate=clip.rate, options=OPTIONS[self._stored.codec])
        stream.width, stream.height, stream.pix_fmt = form.width, form.height, form.pix_fmt
        stream.time_base = clip.time_base
        context = stream.codec_context
        context.time_base, context.thread_count = clip.time_base, N_THREADS
        context.sample_aspect_ratio = clip.aspect
        if form.pix_fmt.startswith("yuv"):
            for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
                setattr(context, name, int(getattr(picture, name)))
        return stream


@contextmanager
def segment(path: Path, clip: Clip, stored: Stored) -> Iterator[Segment]:
    """A segment that appears whole or not at all. Raises ClipError where it cannot be written."""
    with writing(path), written_beside(path) as draft:
        made = Segment(draft, clip, stored)
        try:
            yield made
        finally:
            made.close()


def join(
    clip: Clip, segments: Sequence[Path], out: Path, stored: Stored, metadata: Mapping[str, str], end_s: float | None
) -> None:
    """Write the film from its segments, with the source's sound packet by packet, whole or not at all.

    end_s: sound after it is left out. Raises ClipError.
    """
    suffix = out.suffix.lower()
    with writing(out), written_beside(out) as draft:
        options = {"fflags": "bitexact"}
        if suffix in (".mp4", ".m4v", ".mov"):  # by default such a file tells when its tracks begin in whole ms
            options |= {"movflags": "faststart", "movie_timescale": str(_common_timescale(clip))}
        with library().open(f"file:{draft}", "w", format=CONTAINERS[suffix], options=options) as to:
            to.metadata.update(metadata)
            if suffix == ".gif":
                _write_gif(segments, to, clip, stored)
            else:
                _write_tracks(clip, segments, to, end_s)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What FFmpeg or the system cannot write inside is a ClipError."""
    av = library()
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        raise ClipError(f"{path} cannot be written ({said_by(error)}); make room, or choose another output.") from None


def _common_timescale(clip: Clip) -> int:
    """Ticks a second in which pictures and sound begin exactly where they did."""
    ticks = clip.time_base.denominator
    for rate in clip.sound_rates:
        if math.lcm(ticks, rate) < 2**31:
            ticks = math.lcm(ticks, rate)
    return ticks


def _write_tracks(clip: Clip, segments: Sequence[Path], to: Any, end_s: float | None) -> None:
    with opened(clip.path, clip.parser) as source, opened(segments[0], "nut") as first:
        video = to.add_stream_from_template(first.streams.video[0])
        video.time_base = clip.time_base
        pairs = _add_audio(source, to)
        tracks = [_timed(_video_packets(segments, clip), video)]
        if pairs:
            tracks.append(_audio_packets(source, pairs, end_s))
        for _, packet in heapq.merge(*tracks, key=lambda timed: timed[0]):
            to.mux_one(packet)


def _add_audio(source: Any, to: Any) -> dict[int, Any]:
    """A track for each of the source's, by its index. Raises what FFmpeg does for sound that a file does not hold."""
    pairs = {}
    for stream in source.streams.audio:
        pairs[stream.index] = to.add_stream_from_template(stream)
        pairs[stream.index].metadata.update(stream.metadata)
    return pairs


def _audio_packets(source: Any, pairs: Mapping[int, Any], end_s: float | None) -> Iterator[tuple[float, Any]]:
    for packet in source.demux(*[source.streams[index] for index in pairs]):
        if packet.dts is None:  # the end of a track
            continue
        at_s = float(packet.dts * packet.time_base)
        if end_s is not None and at_s >= end_s:
            continue
        packet.stream = pairs[packet.stream.index]
        yield at_s, packet


def _video_packets(segments: Iterable[Path], clip: Clip) -> Iterator[Any]:
    """The packets of all segments in the clip's time base, each as long as up to the next."""
    held: Any = None
    first: int | None = None
    for path in segments:
        with opened(path, "nut") as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.pts is None:
                    continue
                pts = _in_ticks(packet.pts, packet.time_base, clip.time_base)
                packet.time_base = clip.time_base
                packet.pts = packet.dts = pts
                first = pts if first is None else first
                if held is not None:
                    held.duration = pts - held.pts
                    yield held
                held = packet
    if held is not None and first is not None:
        held.duration = _last_duration(clip, first, held.pts)
        yield held


def _last_duration(clip: Clip, first: int, last: int) -> int:
    """Ticks for which the last frame is shown: up to the end that the source states, if that is near."""
    usual = max(1, round(1 / (clip.rate * clip.time_base)))
    left = first + round(Fraction(clip.duration_s) / clip.time_base) - last
    return left if usual / 2 < left < 100 * usual else usual


def _in_ticks(value: int, base: Fraction, wanted: Fraction) -> int:
    return round(value * base / wanted)


def _timed(packets: Iterable[Any], stream: Any) -> Iterator[tuple[float, Any]]:
    for packet in packets:
        packet.stream = stream
        yield float(packet.dts * packet.time_base), packet


def _write_gif(segments: Sequence[Path], to: Any, clip: Clip, stored: Stored) -> None:
    """A palette for each frame, because one for all would need all frames at once."""
    av = library()
    stream = to.add_stream("gif", rate=clip.rate)
    stream.width, stream.height, stream.pix_fmt = stored.form.width, stored.form.height, "pal8"
    stream.time_base = stream.codec_context.time_base = Fraction(1, 100)
    last = -1
    for path in segments:
        with opened(path, "nut") as container:
            for frame in container.decode(video=0):
                indexed = Image.fromarray(frame.to_ndarray(format="rgb24")).quantize(GIF_COLOURS)
                palette = np.zeros((256, 4), np.uint8)
                colours = np.array(indexed.getpalette("RGB"), np.uint8).reshape(-1, 3)
                palette[:, 0] = 255  # FFmpeg's palettes are alpha, red, green, blue
                palette[: len(colours), 1:] = colours
                paletted = av.VideoFrame.from_ndarray((np.asarray(indexed), palette), format="pal8")
                last = max(last + 1, _in_ticks(frame.pts or 0, frame.time_base or clip.time_base, Fraction(1, 100)))
                paletted.pts, paletted.time_base = last, Fraction(1, 100)
                to.mux(stream.encode(paletted))
    to.mux(stream.encode(None))
