"""Ways to damage a file that know where its structure lies: lengths, numbers, names, and the order of its parts."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable

Mutation = Callable[[random.Random, bytes], bytes]

_NUMBERS = (0, 1, -1, 127, 128, 255, 256, 0x7FFF, 0xFFFF, 2**31 - 1, -(2**31), 2**32 - 1, 2**48, 2**63 - 1, -(2**63))
# What a value of a text may become: another type, another size, a path that leads elsewhere, a text that is none.
_TYPES = (b"null", b"true", b"-1", b"0", b"1e999", b"NaN", b"-Infinity", b"nan", b"inf", b"[]", b"{}", b'""', b"''")
_NESTS = (b"[[[]]]", b'[1, 2.5, "x"]', b'{"a": 1}', b"[" * 3000, b"1" * 400, b"a" * 5000, b"1979-05-27")
_PATHS = (b'"../../../etc/passwd"', b'"/dev/null"', b'"C:\\\\x.png"', b".", b"..", b"~", b"-o")
_SIGNS = (b'"\\u0000"', b'"\\ud800"', b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", "é顔".encode(), b"\r", b";")
_VALUES = (*_TYPES, *_NESTS, *_PATHS, *_SIGNS)
_TOKEN = re.compile(rb'"(?:[^"\\\n]|\\.)*"|[-+]?\d[\d.eE+-]*|[A-Za-z_]\w+')


def flip(rng: random.Random, data: bytes) -> bytes:
    """A few bits somewhere, more often near the beginning or the end, where headers and directories lie."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        out[_place(rng, len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def number(rng: random.Random, data: bytes) -> bytes:
    """A number of 1 to 8 bytes becomes one at which arithmetic goes wrong."""
    size = rng.choice((1, 2, 4, 8))
    order = rng.choice("<>")
    packed = struct.pack(f"{order}Q", rng.choice(_NUMBERS) & (2**64 - 1))
    packed = packed[:size] if order == "<" else packed[-size:]
    at = _place(rng, len(data))
    return data[:at] + packed + data[at + size :]


def cut(rng: random.Random, data: bytes) -> bytes:
    """The end is missing, or a piece."""
    at = _place(rng, len(data))
    return data[:at] if rng.random() < 0.5 else data[:at] + data[at + rng.randrange(1, 64) :]


def repeat(rng: random.Random, data: bytes) -> bytes:
    """A piece comes twice, or stands elsewhere, too."""
    start = _place(rng, len(data))
    piece = data[start : start + rng.choice((1, 4, 16, 64, 512))]
    at = rng.choice((start, _place(rng, len(data))))
    return data[:at] + piece * rng.choice((1, 1, 2, 50)) + data[at:]


def value(rng: random.Random, data: bytes) -> bytes:
    """A word, number or text becomes another value, or changes places with one of the file's own."""
    window = data[: 1 << 16] if rng.random() < 0.7 else data
    tokens = [match.span() for match in _TOKEN.finditer(window)]
    if not tokens:
        return number(rng, data)
    start, end = rng.choice(tokens)
    other = rng.choice(tokens)
    new = rng.choice(_VALUES) if rng.random() < 0.7 else data[slice(*other)]
    return data[:start] + new + data[end:]


def line(rng: random.Random, data: bytes) -> bytes:
    """A line is missing, comes twice, or another one stands in its place."""
    lines = data.splitlines(keepends=True)
    if len(lines) < 2:
        return value(rng, data)
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[i] = rng.choice((b"", lines[i] * 2, lines[j], lines[i].rstrip() + lines[j]))
    return b"".join(lines)


def encoding(rng: random.Random, data: bytes) -> bytes:
    """A text in another encoding."""
    text = data.decode("utf-8", errors="replace")
    return text.encode(rng.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp037")), errors="replace")


BINARY: tuple[Mutation, ...] = (flip, number, cut, repeat)
TEXT: tuple[Mutation, ...] = (value, value, value, line, cut, repeat, flip, encoding)
MIXED: tuple[Mutation, ...] = (flip, number, value, cut, repeat)  # a binary file with names in it


def mutate(rng: random.Random, data: bytes, ways: tuple[Mutation, ...]) -> bytes:
    """One to four mutations, one on another."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(ways)(rng, data) or b"\0"
    return data


def _place(rng: random.Random, size: int) -> int:
    near = min(size, 256)
    where = rng.random()
    if where < 0.35:
        return rng.randrange(near)
    return size - 1 - rng.randrange(near) if where < 0.5 else rng.randrange(size)
