"""Films made from the example photo, for tests: it shifts and grows, or is cut to something else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from emorph.core.images import read_photo
from emorph.core.types import UInt8

ROOT = Path(__file__).resolve().parent.parent
SIDE = 160
RATE = 25
View = Callable[[float], UInt8 | None]


def astronaut(side: int = SIDE) -> UInt8:
    """The example photo, made small around the face."""
    pixels = read_photo(ROOT / "examples" / "astronaut.png").pixels[0:300, 80:380]
    small: UInt8 = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
    return small


def moving_face(at_s: float, side: int = SIDE) -> UInt8:
    """The photo at a time: it drifts to the right and grows by a tenth a second."""
    scale, shift = 1 + 0.1 * at_s, 8 * at_s
    matrix = np.float32([[scale, 0, shift], [0, scale, 0]])
    moved: UInt8 = cv2.warpAffine(astronaut(side), matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
    return moved


def wall(at_s: float, side: int = SIDE) -> UInt8:
    """Smooth colours without a face."""
    y, x = np.mgrid[:side, :side] / side
    return (np.stack([x, y, 1 - x], axis=2) * 200 + 20 * np.sin(at_s)).astype(np.uint8)


def write_clip(
    path: Path,
    frames: Sequence[UInt8],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    ticks: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 12800),
    n_sounds: int = 0,
    sound_codec: str = "aac",
    rotation: int = 0,
    curve: int | None = None,
) -> Path:
    """Write a film. ticks: time stamps in units of ``time_base``, by default RATE frames a second. n_sounds: sines."""
    pts = list(ticks) if ticks is not None else [round(i / RATE / time_base) for i in range(len(frames))]
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=RATE)
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt, video.time_base = pix_fmt, time_base
        video.codec_context.time_base = time_base
        if curve is not None:
            video.codec_context.color_trc = curve
        if rotation:
            video.set_display_rotation(rotation)
        sounds = [container.add_stream(sound_codec, rate=48000, layout="mono") for _ in range(n_sounds)]
        for pixels, tick in zip(frames, pts, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = tick, time_base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for number, sound in enumerate(sounds):
            _write_sine(container, sound, 220 * (number + 1), float(pts[-1] * time_base) + 1 / RATE)
    return path


def face_clip(path: Path, n_frames: int = 12, **options: object) -> Path:
    """A film of the moving face."""
    return write_clip(path, [moving_face(i / RATE) for i in range(n_frames)], **options)  # type: ignore[arg-type]


def packets_of(path: Path, kind: str) -> list[list[tuple[Fraction, bytes]]]:
    """Time in seconds and content of each packet of each track of a kind, "audio" or "video"."""
    found = []
    with av.open(str(path)) as container:
        n_tracks = len(getattr(container.streams, kind))
    for number in range(n_tracks):
        with av.open(str(path)) as container:
            stream = getattr(container.streams, kind)[number]
            packets = [packet for packet in container.demux(stream) if packet.dts is not None]
            found.append([(packet.pts * packet.time_base, bytes(packet)) for packet in packets])
    return found


def frames_of(path: Path) -> tuple[list[Fraction], list[UInt8]]:
    """Times in seconds and RGB pixels of a film's frames."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [frame.pts * frame.time_base for frame in frames], [frame.to_ndarray(format="rgb24") for frame in frames]


def _write_sine(container: av.container.OutputContainer, stream: object, hertz: float, length_s: float) -> None:
    t = np.arange(round(48000 * length_s)) / 48000
    wave = (0.2 * np.sin(2 * np.pi * hertz * t)).astype(np.float32)
    for start in range(0, len(wave), 1024):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        container.mux(stream.encode(frame))  # type: ignore[attr-defined]
    container.mux(stream.encode(None))  # type: ignore[attr-defined]
