"""A prepared set of face crops on disk, memory-mapped, as a map-style data set of tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from emorph.core.errors import DataError
from emorph.core.split_words import split_word
from emorph.core.types import Float32, UInt8
from emorph.data.memory import Sample
from emorph.data.tables import FaceTable, open_table, picture_bytes

AFFECT_COLUMNS = ("valence", "arousal")
N_LANDMARK_BYTES = 68 * 2 * 2


@dataclass(frozen=True)
class CropWindow:
    """The square of a stored picture that is used: left, top, side, in its pixels."""

    left: int
    top: int
    side: int


class FaceStore(Dataset[Sample]):
    """Face crops with emotion labels, in any form that ``emorph.data.tables.open_table`` reads.

    Needs the columns ``image`` (an encoded picture) and ``label`` (a word, or a class with a name); uses ``split`` and
    ``identity`` if present.
    Items: image uint8 (C, S, S); label int64 (AffectNet's code, -1 for a face without one); index int64; and, with
    a column ``landmarks68`` (float16 x, y in pixels of the stored picture), landmarks float32 (68, 2) in [-1, 1]
    over the picture's sides.
    Raises DataError naming what is missing.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        side_px: int,
        channels: int = 3,
        split: str | None = None,
        window: CropWindow | None = None,
    ) -> None:
        self.path = Path(path)
        table = open_table(self.path)
        if split is not None:
            table = replace(table, rows=table.rows.select(_rows_of(split, table, self.path)))
        self._table = table
        self._pictures = table.rows.select_columns([c for c in ("image", "landmarks68") if c in table.columns])
        self.split = split
        self.side_px = side_px
        self.channels = channels
        self.window = window
        self.labels = np.array(table.label_codes(self.path), np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        import cv2  # here, because a run on faces in memory does without it

        row = self._pictures[int(index)]
        pixels = self._decode(picture_bytes(row["image"], int(index), self._table, self.path), int(index))
        if not self.window and pixels.shape[0] != pixels.shape[1]:
            raise DataError(
                f"{self.path}, row {index}: the picture is {pixels.shape[1]}x{pixels.shape[0]}; set a window in [data]."
            )
        w = self.window or CropWindow(0, 0, pixels.shape[0])
        if self.window:
            if w.left + w.side > pixels.shape[1] or w.top + w.side > pixels.shape[0]:
                raise DataError(f"{self.path}, row {index}: a {pixels.shape[1]}x{pixels.shape[0]} picture has no {w}.")
            pixels = pixels[w.top : w.top + w.side, w.left : w.left + w.side]
        if pixels.shape[0] != self.side_px:
            shrink = pixels.shape[0] > self.side_px
            size = (self.side_px, self.side_px)
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC)
        image = torch.from_numpy(np.ascontiguousarray(pixels.reshape(self.side_px, self.side_px, -1)))
        sample = {
            "image": image.permute(2, 0, 1).contiguous(),
            "label": torch.tensor(self.labels[index]),
            "index": torch.tensor(int(index)),
        }
        if "landmarks68" in row:
            points = self._points(row["landmarks68"], int(index))
            # pixel centres are whole numbers, so the square begins half a pixel before its first centre
            sample["landmarks"] = torch.from_numpy((points - [w.left - 0.5, w.top - 0.5]) * (2 / w.side) - 1).float()
        return sample

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the table's columns."""
        return self._table.columns

    def of_split(self, split: str) -> FaceStore:
        """The faces of another split, read in the same way. Raises DataError if there are none."""
        return FaceStore(self.path, side_px=self.side_px, channels=self.channels, split=split, window=self.window)

    def column(self, name: str) -> list[Any]:
        """One column of the (split's) table, as a list."""
        if name not in self.columns:
            raise DataError(f"{self.path} has no column {name!r}; found {', '.join(self.columns)}.")
        return self._table.column(name)

    def affect(self) -> NDArray[np.float64] | None:
        """Valence and arousal in [-1, 1], (n, 2); None without the two columns.

        NaN in both where one is missing or outside, such as AffectNet's -2 for "none".
        """
        if not set(AFFECT_COLUMNS) <= set(self.columns):
            return None
        pairs = np.array([self.column(name) for name in AFFECT_COLUMNS], dtype=np.float64).T  # None becomes NaN
        known = (np.abs(pairs) <= 1).all(axis=1, keepdims=True)  # NaN compares as False
        return np.where(known, pairs, np.nan)

    def facts(self) -> list[Any]:
        """What its items follow from, for a fingerprint: the content and not its place, the split, and the crop."""
        return [*self._table.content, self.split, len(self), self.side_px, self.channels, str(self.window)]

    def _points(self, packed: bytes | None, index: int) -> Float32:
        if packed is None or len(packed) != N_LANDMARK_BYTES:
            raise DataError(
                f"{self.path}, row {index}: landmarks68 must be 68 pairs of float16, {N_LANDMARK_BYTES} bytes, found "
                f"{'none' if packed is None else len(packed)}."
            )
        return np.frombuffer(packed, "<f2").reshape(68, 2).astype(np.float32)

    def _decode(self, encoded: bytes, index: int) -> UInt8:
        import cv2

        flag = cv2.IMREAD_GRAYSCALE if self.channels == 1 else cv2.IMREAD_COLOR_RGB
        pixels: UInt8 | None = cv2.imdecode(np.frombuffer(encoded, np.uint8), flag)
        if pixels is None:
            raise DataError(f"{self.path}, row {index}: the picture cannot be decoded.")
        return pixels


def _rows_of(split: str, table: FaceTable, path: Path) -> NDArray[np.int64]:
    """Numbers of the rows of a split, by its own word or, where no row has that, by any word for it."""
    if "split" not in table.columns:
        raise DataError(f"{path} has no column 'split', but split {split!r} is asked for.")
    words = table.column("split")
    found = np.flatnonzero([word == split for word in words])
    if not len(found):
        found = np.flatnonzero([split_word(word) == split_word(split) for word in words])
    if not len(found):
        known = ", ".join(sorted({str(word) for word in words}))
        raise DataError(f"{path} has no rows of split {split!r}; found {known or 'no row at all'}.")
    return found
