"""Packs of face crops to one pack of mouths: what the painter is trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from emorph.core.commands import install
from emorph.core.errors import DataError, MissingAssetError, NoFaceError, ShapeError, UnknownNameError
from emorph.core.expressions import Emotion
from emorph.core.types import Float64
from emorph.data.tables import FaceTable, open_table, picture_bytes
from emorph.faces.mouth_crop import cut, face_unit, mouth_crop

STORED_PX = 144  # side of a stored mouth
STORED_UNITS = 1.95  # which is so wide: half as wide again as what is painted, for turns, shifts and warps
JPEG_QUALITY = 97
NEEDED = {"image", "landmarks68", "quad_px", "split", "identity", "source_set", "label"}


def held_out(identity: str, source_set: str, split: str) -> bool:
    """Whether no painter may see a person: those of a pack's own held-out split, and more of London's besides.

    Of the London Face Set, whose persons every comparison with a real smile needs, those are held out too whose
    identity, after the word "painter", has an even SHA-256: with the pack's own 35 of 68.
    """
    if split != "train":
        return True
    return source_set == "london" and int(hashlib.sha256(f"painter{identity}".encode()).hexdigest(), 16) % 2 == 0


def prepare_mouths(
    packs: Sequence[Path], target: Path, *, on_step: Callable[[int, int], None] | None = None
) -> dict[str, int]:
    """Cut the mouths of all faces in packs of aligned crops, and write them as one Parquet file that FaceStore reads.

    packs: Parquet files with ``image``, ``landmarks68`` (float16, crop pixels), ``quad_px`` (side of the crop in pixels
    of its photo), ``split``, ``identity``, ``source_set`` and ``label``. Returns how many mouths each split has; faces
    whose mouth lies outside their crop are left out. Raises DataError, MissingAssetError.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingAssetError(f"preparing training data needs the extra packages: `{install('train')}`.") from None
    tables = [open_table(Path(pack)) for pack in packs]
    total = sum(len(table.rows) for table in tables)
    rows: list[dict[str, Any]] = []
    for done, (pack, row, encoded) in enumerate(_rows(packs, tables), start=1):
        mouth = _mouth(row, encoded, pack)
        if mouth is not None:
            rows.append(mouth)
        if on_step:
            on_step(done, total)
    if not rows:
        raise DataError(f"{', '.join(pack.name for pack in packs)}: no face has its mouth inside its crop.")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_suffix(".part")
    pq.write_table(pa.Table.from_pylist(rows), draft, row_group_size=1000, compression="none")
    draft.replace(target)
    splits = [row["split"] for row in rows]
    return {split: splits.count(split) for split in sorted(set(splits))}


def _rows(packs: Sequence[Path], tables: Sequence[FaceTable]) -> Iterator[tuple[Path, Mapping[str, Any], bytes]]:
    """Every face: its pack, its row, and its encoded picture."""
    for pack, table in zip(packs, tables, strict=True):
        missing = NEEDED - set(table.columns)
        if missing:
            raise DataError(f"{pack} has no column {sorted(missing)[0]!r}; found {', '.join(table.columns)}.")
        for i, row in enumerate(table.rows):
            yield pack, row, picture_bytes(row["image"], i, table, pack)


def _mouth(row: Mapping[str, Any], picture: bytes, pack: Path) -> dict[str, Any] | None:
    pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise DataError(f"{pack}: the picture of {row['identity']} cannot be decoded.")
    points: Float64 = np.frombuffer(row["landmarks68"], "<f2").reshape(68, 2).astype(np.float64)
    try:
        crop = mouth_crop(points, (STORED_PX, STORED_PX), STORED_UNITS)
        mouth = np.clip(np.rint(cut(pixels, crop)), 0, 255).astype(np.uint8)
    except (NoFaceError, ShapeError):
        return None
    encoded = cv2.imencode(".jpg", mouth[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    sharpest = min(
        1.0, float(row["quad_px"]) / pixels.shape[0]
    )  # a crop that was enlarged shows no more than its photo
    return {
        "image": encoded.tobytes(),
        "landmarks68": crop.points(points).astype("<f2").tobytes(),
        "label": _emotion(row["label"]),
        "identity": row["identity"],
        "split": "val" if held_out(row["identity"], row["source_set"], row["split"]) else "train",
        "source_set": row["source_set"],
        "unit_px": face_unit(points) * sharpest,
    }


def _emotion(word: str) -> str:
    """A label that names an emotion, else none: GENKI's "not happy" is no emotion."""
    try:
        return Emotion.parse(word).word if word else ""
    except UnknownNameError:
        return ""
