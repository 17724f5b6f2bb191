"""Reads the file of dlib's face recogniser (King 2017): dlib's own serialisation, of which nothing is taken on trust.

dlib writes whole numbers as a byte of sign and length and their bytes, lowest first; other numbers as a whole number
times a power of two; text and tensors with their length before them. A network is a ladder of version numbers, from the
loss down to the input, then the input and every layer above it with its weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from emorph.core.errors import CheckpointError
from emorph.core.types import Float32

MAX_BYTES = 2**27  # the published file has 22 MB
_MAX_TEXT = 64
_MAX_RUNGS = 1024
_INPUT_VERSION = 3  # of the lowest layer, where the ladder ends
_TENSOR_VERSION, _VIEW_VERSION = 2, 1


@dataclass(frozen=True)
class Layer:
    """One layer of the file. name: dlib's own. sizes: its whole numbers, in the file's order. numbers: its weights."""

    name: str
    sizes: tuple[int, ...] = ()
    numbers: Float32 = field(default_factory=lambda: np.zeros(0, np.float32))


@dataclass(frozen=True)
class DlibNet:
    """mean: of red, green and blue, taken off pictures of 0..255. side_px: of a picture. layers: from the input up."""

    mean: tuple[float, float, float]
    side_px: int
    layers: tuple[Layer, ...]


def read_dlib_net(path: Path) -> DlibNet:
    """The network that a .dat file of dlib's metric loss holds. Raises CheckpointError for anything else."""
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from None
    if size > MAX_BYTES:
        raise CheckpointError(f"{path.name} has {size / 2**20:.0f} MB, far more than dlib's recogniser; get it again.")
    reader = _Reader(data, path.name)
    reader.expect(1, "its version")
    if reader.text() != "loss_metric_2":
        raise reader.error("its loss is not the one of dlib's recogniser")
    reader.reals(2)  # margin and threshold of the loss, which training alone needs
    n_layers = _ladder(reader)
    if reader.text() != "input_rgb_image_sized":
        raise reader.error("its input is not a colour picture of one size")
    mean = (reader.real(), reader.real(), reader.real())
    rows, columns = reader.whole(), reader.whole()
    if rows != columns or not 0 < rows <= 1024:
        raise reader.error(f"its pictures have {rows} x {columns} px")
    layers = tuple(_layer(reader, is_lowest=not i) for i in range(n_layers))
    if reader.place != len(data):
        raise reader.error("something follows the last layer")
    return DlibNet(mean, rows, layers)


class _Reader:
    """The bytes, and how far they are read."""

    def __init__(self, data: bytes, name: str) -> None:
        self.data, self.name, self.place = data, name, 0

    def error(self, what: str) -> CheckpointError:
        return CheckpointError(
            f"{self.name} is not dlib's face recogniser, or is damaged ({what}, byte {self.place}); get it again with: "
            "pip install --force-reinstall face_recognition_models"
        )

    def take(self, n: int) -> bytes:
        found = self.data[self.place : self.place + n]
        if n < 0 or len(found) != n:
            raise self.error("it ends too early")
        self.place += n
        return found

    def whole(self) -> int:
        head = self.take(1)[0]
        n = head & 0x0F
        if n > 8 or head & 0x70:
            raise self.error("a whole number is expected")
        value = int.from_bytes(self.take(n), "little")
        return -value if head & 0x80 else value

    def real(self) -> float:
        digits, power = self.whole(), self.whole()
        if abs(power) > 1000:
            raise self.error("a number is expected")
        return digits * 2.0**power

    def text(self) -> str:
        n = self.whole()
        if not 0 <= n <= _MAX_TEXT:
            raise self.error("a name is expected")
        return self.take(n).decode("ascii", errors="replace")

    def expect(self, value: int, what: str) -> None:
        if self.whole() != value:
            raise self.error(f"{what} is not {value}")

    def views(self) -> None:
        """Which parts of a layer's tensor are its weights and offsets: the layer's sizes tell the shapes, too."""
        for _ in range(2):
            self.expect(_VIEW_VERSION, "the version of a part")
            self._shape()

    def tensor(self) -> Float32:
        self.expect(_TENSOR_VERSION, "the version of a tensor")
        n = self._shape()
        found = np.frombuffer(self.take(4 * n), "<f4").astype(np.float32)
        if not np.isfinite(found).all():
            raise self.error("a weight is not a finite number")
        return found

    def _shape(self) -> int:
        sizes = [self.whole() for _ in range(4)]
        if any(not 0 <= size <= MAX_BYTES for size in sizes):
            raise self.error("a shape is expected")
        n = sizes[0] * sizes[1] * sizes[2] * sizes[3]
        if n > MAX_BYTES:
            raise self.error("a tensor is larger than the file")
        return n

    def wholes(self, n: int) -> tuple[int, ...]:
        return tuple(self.whole() for _ in range(n))

    def reals(self, n: int) -> None:
        for _ in range(n):
            self.real()


def _ladder(reader: _Reader) -> int:
    """How many layers follow: a rung of 2 is a layer, one of 1 a mark that a layer refers to."""
    n_layers = 1
    for _ in range(_MAX_RUNGS):
        rung = reader.whole()
        if rung == _INPUT_VERSION:
            return n_layers
        if rung not in (1, 2):
            raise reader.error(f"a layer has the version {rung}")
        n_layers += rung == 2
    raise reader.error("it has too many layers")


def _convolution(reader: _Reader) -> Layer:
    numbers = reader.tensor()
    sizes = reader.wholes(7)  # filters; rows, columns; strides; paddings
    reader.views()
    reader.reals(4)  # how fast weights and offsets learn
    return Layer("con", sizes, numbers)


def _affine(reader: _Reader) -> Layer:
    numbers = reader.tensor()
    reader.views()
    return Layer("affine", reader.wholes(1), numbers)


def _linear(reader: _Reader) -> Layer:
    sizes = reader.wholes(2)  # outputs, inputs
    numbers = reader.tensor()
    reader.views()
    reader.whole()
    reader.reals(4)
    return Layer("fc", sizes, numbers)


_LAYERS: dict[str, Callable[[_Reader], Layer]] = {
    "con_4": _convolution,
    "affine_": _affine,
    "relu_": lambda _: Layer("relu"),
    "add_prev_": lambda _: Layer("add"),
    "max_pool_2": lambda reader: Layer("max pool", reader.wholes(6)),
    "avg_pool_2": lambda reader: Layer("mean pool", reader.wholes(6)),
    "fc_2": _linear,
}


def _layer(reader: _Reader, *, is_lowest: bool) -> Layer:
    name = reader.text()
    if name not in _LAYERS:
        raise reader.error("a layer of another kind is in it" if name.isprintable() else "a layer is expected")
    layer = _LAYERS[name](reader)
    if any(flag not in b"01" for flag in reader.take(3)):  # what training keeps in mind, and three empty tensors
        raise reader.error("a layer is expected to end")
    for _ in range(3):
        reader.tensor()
    if is_lowest:
        reader.whole()  # pictures per face
    return layer
