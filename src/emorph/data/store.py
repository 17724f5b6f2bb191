"""A prepared set of face crops on disk, memory-mapped, as a map-style data set of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from emorph.core.errors import DataError, MissingAssetError, UnknownNameError
from emorph.core.expressions import Emotion
from emorph.core.types import UInt8
from emorph.data.memory import Sample

AFFECT_COLUMNS = ("valence", "arousal")


@dataclass(frozen=True)
class CropWindow:
    """The square of a stored picture that is used: left, top, side, in its pixels."""

    left: int
    top: int
    side: int


class FaceStore(Dataset[Sample]):
    """Face crops with emotion labels: a Parquet file, or a folder of Arrow files (``datasets.save_to_disk``).

    Needs the columns ``image`` (encoded bytes) and ``label`` (a word); uses ``split`` and ``identity`` if present.
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
        table = open_table(Path(path))
        self._content = content_of(Path(path), table)
        missing = {"image", "label"} - set(table.column_names)
        if missing:
            raise DataError(f"{path} has no column {sorted(missing)[0]!r}; found {', '.join(table.column_names)}.")
        if split is not None:
            if "split" not in table.column_names:
                raise DataError(f"{path} has no column 'split', but split {split!r} is asked for.")
            splits = np.array(table["split"][:])
            if not (splits == split).any():
                raise DataError(f"{path} has no rows of split {split!r}; found {', '.join(sorted(set(splits)))}.")
            table = table.select(np.flatnonzero(splits == split))
        self._table = table
        self._pictures = table.select_columns([c for c in ("image", "landmarks68") if c in table.column_names])
        self.path = Path(path)
        self.split = split
        self.side_px = side_px
        self.channels = channels
        self.window = window
        self.labels = np.array(label_codes(table["label"][:], self.path), np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        import cv2  # here, because a run on faces in memory does without it

        row = self._pictures[int(index)]
        pixels = self._decode(row["image"], int(index))
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
            points = np.frombuffer(row["landmarks68"], "<f2").reshape(68, 2).astype(np.float32)
            # pixel centres are whole numbers, so the square begins half a pixel before its first centre
            sample["landmarks"] = torch.from_numpy((points - [w.left - 0.5, w.top - 0.5]) * (2 / w.side) - 1).float()
        return sample

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the table's columns."""
        return tuple(self._table.column_names)

    def of_split(self, split: str) -> FaceStore:
        """The faces of another split, read in the same way. Raises DataError if there are none."""
        return FaceStore(self.path, side_px=self.side_px, channels=self.channels, split=split, window=self.window)

    def column(self, name: str) -> list[Any]:
        """One column of the (split's) table, as a list."""
        if name not in self._table.column_names:
            raise DataError(f"{self.path} has no column {name!r}; found {', '.join(self._table.column_names)}.")
        values: list[Any] = list(self._table[name][:])  # the column itself is walked row by row
        return values

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
        return [*self._content, self.split, len(self), self.side_px, self.channels, str(self.window)]

    def _decode(self, encoded: bytes, index: int) -> UInt8:
        import cv2

        flag = cv2.IMREAD_GRAYSCALE if self.channels == 1 else cv2.IMREAD_COLOR_RGB
        pixels: UInt8 | None = cv2.imdecode(np.frombuffer(encoded, np.uint8), flag)
        if pixels is None:
            raise DataError(f"{self.path}, row {index}: the picture cannot be decoded.")
        return pixels


def label_codes(words: Sequence[str | None], path: Path) -> list[int]:
    """AffectNet's code of each label, -1 for none. Raises DataError naming the row of a word that is no emotion."""
    known: dict[str | None, int] = {None: -1, "": -1}
    for row, word in enumerate(words):
        if word in known:
            continue
        try:
            known[word] = Emotion.parse(str(word)).value
        except UnknownNameError as error:
            raise DataError(f"{path}, row {row} of the column 'label': {error}") from None
    return [known[word] for word in words]


def content_of(path: Path, table: Any) -> list[Any]:
    """What tells the content of an opened table without reading it all; the same wherever it lies.

    A Parquet file: its size and time. A folder: the fingerprint that ``datasets`` keeps, which of a prepared set is its
    plan's, and the sizes of its files.
    """
    if path.is_file():
        stat = path.stat()
        return [stat.st_size, stat.st_mtime_ns]
    files = [Path(entry["filename"]) for entry in table.cache_files]
    return [table._fingerprint, [[file.name, file.stat().st_size] for file in files]]


def open_table(path: Path) -> Any:
    """The rows of a Parquet file or of a folder of Arrow files. Raises DataError if it is neither."""
    try:
        import datasets
    except ImportError:
        raise MissingAssetError(
            "reading training data needs the extra packages: pip install 'emorph[train]'."
        ) from None
    if not path.exists():
        raise DataError(f"{path}: there is no such data set. Check [data] path; it is taken from {Path.cwd()}.")
    datasets.disable_progress_bars()
    try:
        if path.is_dir():
            return datasets.load_from_disk(str(path))
        return datasets.Dataset.from_parquet(str(path))
    except Exception as error:  # datasets and pyarrow raise many kinds; all mean the same to a user
        raise DataError(
            f"{path} is neither a Parquet file nor a saved Arrow data set ({error}). To make one of photos or of a raw "
            f"data set: emorph data prepare {path} PREPARED, and name PREPARED."
        ) from None
