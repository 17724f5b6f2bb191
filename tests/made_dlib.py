"""A small network in the layout of dlib's recogniser, written as dlib writes it."""

import math
import struct

import numpy as np


def whole(value: int) -> bytes:
    """dlib's whole number: a byte of sign and length, then its bytes, lowest first."""
    size = max((abs(value).bit_length() + 7) // 8, 1)
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


def real(value: float) -> bytes:
    """A number as a whole one of 24 bits times a power of two."""
    share, power = math.frexp(value)
    return whole(int(share * 2**24)) + whole(power - 24)


def text(word: str) -> bytes:
    """Text with its length before it."""
    return whole(len(word)) + word.encode()


def shape(*sizes: int) -> bytes:
    """Four sizes."""
    return b"".join(whole(size) for size in (*sizes, 1, 1, 1, 1)[:4])


def tensor(numbers: np.ndarray) -> bytes:
    """Numbers in a row."""
    return whole(2) + shape(numbers.size) + struct.pack(f"<{numbers.size}f", *numbers.ravel())


VIEW = whole(1) + shape(1)
EMPTY = whole(2) + b"".join(whole(0) for _ in range(4))
END = b"110" + 3 * EMPTY


class MadeDlib:
    """stem: its channels. blocks: (channels, stride). The weights are drawn from ``seed``."""

    def __init__(self, stem: int = 3, blocks: tuple[tuple[int, int], ...] = ((3, 1), (5, 2)), seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.layers: list[bytes] = []
        self._convolution(3, stem, 7, 2, 0)
        self.layers += [text("relu_"), text("max_pool_2") + b"".join(map(whole, (3, 3, 2, 2, 0, 0)))]
        before = stem
        for width, stride in blocks:
            self._convolution(before, width, 3, stride, 0 if stride > 1 else 1)
            self.layers.append(text("relu_"))
            self._convolution(width, width, 3, 1, 1)
            if stride > 1:
                self.layers.append(text("avg_pool_2") + b"".join(map(whole, (2, 2, 2, 2, 0, 0))))
            self.layers += [text("add_prev_"), text("relu_")]
            before = width
        self.layers.append(text("avg_pool_2") + b"".join(map(whole, (0, 0, 1, 1, 0, 0))))
        weights = self.rng.normal(size=before * 4)
        head = whole(4) + whole(before) + tensor(weights) + VIEW + VIEW + whole(1) + 4 * real(1.0)
        self.layers.append(text("fc_2") + head)

    def _convolution(self, before: int, width: int, side: int, stride: int, padding: int) -> None:
        weights = self.rng.normal(size=width * before * side * side + width) / side
        sizes = b"".join(map(whole, (width, side, side, stride, stride, padding, padding)))
        self.layers.append(text("con_4") + tensor(weights) + sizes + VIEW + VIEW + 4 * real(1.0))
        gains = 1 + 0.1 * self.rng.normal(size=2 * width)
        self.layers.append(text("affine_") + tensor(gains) + VIEW + VIEW + whole(0))

    def written(self, side_px: int = 150) -> bytes:
        """The file."""
        ladder = whole(2) * (len(self.layers) - 1) + whole(1) * 3 + whole(3)
        means = b"".join(map(real, (122.782, 117.001, 104.298)))
        start = whole(1) + text("loss_metric_2") + real(0.04) + real(0.6) + ladder
        start += text("input_rgb_image_sized") + means + whole(side_px) + whole(side_px)
        ends = [END + whole(1), *[END] * (len(self.layers) - 1)]
        return start + b"".join(layer + end for layer, end in zip(self.layers, ends, strict=True))
