"""PNG of 16 bits a channel, which Pillow does not write in colour."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from emorph.core.types import UInt16

_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}  # of gray, gray and alpha, RGB, RGBA
_SUB = 1  # the filter that stores each byte as its difference from the pixel before
_ROWS_AT_ONCE = 64
_LEVEL = 5
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_OF_PIXELS = (b"IHDR", b"IDAT", b"IEND")


def write_deep_png(file: BinaryIO, levels: UInt16, options: Mapping[str, Any]) -> None:
    """Write levels uint16 (H, W, 1 to 4). options: as for Pillow, which writes all but the pixels. PNG, 3rd edition.

    Raises OSError.
    """
    height, width, channels = levels.shape
    stand_in = io.BytesIO()
    Image.new({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels], (1, 1)).save(stand_in, "PNG", **options)
    file.write(_SIGNATURE)
    file.write(_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPE[channels], 0, 0, 0)))
    pixels_written = False
    for kind, body in _chunks(stand_in.getvalue()):
        if kind == b"IDAT" and not pixels_written:
            for part in _compressed(levels):
                file.write(_chunk(b"IDAT", part))
            pixels_written = True
        elif kind not in _OF_PIXELS:
            file.write(_chunk(kind, body))
    file.write(_chunk(b"IEND", b""))


def _compressed(levels: UInt16) -> Iterator[bytes]:
    packer = zlib.compressobj(_LEVEL)
    pixel_bytes = 2 * levels.shape[2]
    for top in range(0, len(levels), _ROWS_AT_ONCE):
        rows = np.ascontiguousarray(levels[top : top + _ROWS_AT_ONCE].astype(">u2")).view(np.uint8)
        rows = rows.reshape(len(rows), -1)
        lines = np.full((len(rows), 1 + rows.shape[1]), _SUB, np.uint8)
        lines[:, 1 : 1 + pixel_bytes] = rows[:, :pixel_bytes]
        lines[:, 1 + pixel_bytes :] = rows[:, pixel_bytes:] - rows[:, :-pixel_bytes]  # modulo 256
        if part := packer.compress(lines.tobytes()):
            yield part
    yield packer.flush()


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while at < len(png):
        size, kind = struct.unpack_from(">I4s", png, at)
        yield kind, png[at + 8 : at + 8 + size]
        at += 12 + size


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
