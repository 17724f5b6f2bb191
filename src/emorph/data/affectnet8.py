"""AffectNet's later release of eight labels: cropped faces, and four small numpy files of annotations for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from emorph.core.errors import DataError
from emorph.core.records import FaceRecord
from emorph.core.types import Float32
from emorph.data.index import FaceIndex, unit_pair

SPLITS = {"val": "val_set", "train": "train_set"}
MAX_ANNOTATION_BYTES = 65536


def fits(root: Path) -> bool:
    """Whether ``root`` holds a train_set or val_set with annotations."""
    return any((root / name / "annotations").is_dir() for name in SPLITS.values())


def what_is_lacking(root: Path) -> str | None:
    """What to say of a folder that holds this release's pictures without their annotations; None for another folder."""
    there = [name for name in SPLITS.values() if (root / name / "images").is_dir()]
    if not there or fits(root):
        return None
    return (
        f"{root} holds AffectNet's {there[0]}/images, but not {there[0]}/annotations: four files for each picture, "
        "NUMBER_exp.npy (its emotion, 0 to 7), NUMBER_val.npy and NUMBER_aro.npy (valence and arousal), NUMBER_lnd.npy "
        "(68 landmarks). They come in the same archive; unpack it whole."
    )


def read(root: Path, *, landmarks: bool = False) -> FaceIndex:
    """train_set and val_set, by their annotations. Raises DataError if no face remains.

    landmarks: keep the 68 points; they are checked in any case.
    """
    index = FaceIndex(root, "affectnet-8")
    for split, name in SPLITS.items():
        if (root / name / "annotations").is_dir():
            _read_set(index, name, split, landmarks)
    if not index.records:
        raise DataError(f"{root}: no face of train_set and val_set can be used; look at their annotations folders.")
    return index


def _read_set(index: FaceIndex, name: str, split: str, landmarks: bool) -> None:
    labels, images = index.root / name / "annotations", index.root / name / "images"
    pictures = {path.stem: path.name for path in images.iterdir()} if images.is_dir() else {}
    listed = {path.stem.rpartition("_")[0] for path in labels.glob("*_exp.npy")}
    for number in sorted(listed | set(pictures), key=_by_number):
        if number not in listed:
            index.problems.add("missing annotation", f"{name}/images/{pictures[number]}: no {number}_exp.npy")
            continue
        record = _record(index, name, split, number, pictures.get(number, f"{number}.jpg"), landmarks)
        if record is not None:
            index.records.append(record)


def _by_number(stem: str) -> tuple[int, str]:
    return (int(stem) if stem.isascii() and stem.isdigit() else -1, stem)


def _record(index: FaceIndex, name: str, split: str, number: str, picture: str, landmarks: bool) -> FaceRecord | None:
    where = f"{name}/{number}"
    stem = index.root / name / "annotations" / number
    try:
        code = float(_scalar(stem, "exp"))
    except (OSError, ValueError, TypeError, MemoryError) as error:
        index.rows[split, None] += 1
        index.problems.add("unreadable annotation", f"{where}_exp.npy: {error}")
        return None
    if code not in range(11):
        index.rows[split, None] += 1
        index.problems.add("unknown label", f"{where}: expression {code:g}")
        return None
    index.rows[split, int(code)] += 1
    if code > 7:
        index.problems.add("no emotion (codes 8 to 10)", f"{where}: {code:g}")
    try:
        valence, arousal = unit_pair(float(_scalar(stem, "val")), float(_scalar(stem, "aro")), where, index.problems)
    except (OSError, ValueError, TypeError, MemoryError) as error:
        index.problems.add("valence/arousal out of range", f"{where}: {error}")
        valence, arousal = None, None
    points = _points(stem)
    if points is None:
        index.problems.add("bad landmarks", where)
    return FaceRecord(
        where,
        f"{name}/images/{picture}",
        label=int(code),
        valence=valence,
        arousal=arousal,
        landmarks=points if landmarks else None,
        split=split,
        source=index.layout,
    )


def _scalar(stem: Path, what: str) -> Any:
    """A value that is stored as text in some releases and as a number in others."""
    array = _load(stem, what)
    if array.size != 1:
        raise ValueError(f"{array.size} values instead of one")
    return array.reshape(()).item()


def _points(stem: Path) -> Float32 | None:
    try:
        points = _load(stem, "lnd").astype(np.float32).reshape(68, 2)
    except (OSError, ValueError, TypeError, MemoryError):
        return None
    return points if np.isfinite(points).all() else None


def _load(stem: Path, what: str) -> Any:
    path = stem.with_name(f"{stem.name}_{what}.npy")
    if path.stat().st_size > MAX_ANNOTATION_BYTES:
        raise ValueError(f"{path.stat().st_size} bytes are not an annotation")
    return np.load(path, allow_pickle=False)  # never a pickle: it could run a program
