"""The page of a scan: one HTML file with class bars, pictures of each class and the valence/arousal plane."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from emorph.core.encode import jpeg_url
from emorph.core.errors import EmorphError
from emorph.core.expressions import Emotion
from emorph.core.outputs import rendered, write_text
from emorph.core.records import FaceRecord
from emorph.core.types import UInt8
from emorph.data.index import KINDS, FaceIndex
from emorph.data.report import COLUMNS, ScanReport, code_name, table_rows, used_columns

THUMB_PX = 88
QUALITY = 82  # of JPEGs on the page
N_THUMBS = 10
CELLS = 40  # of the valence/arousal plane, along each side
TEMPLATE = Path(__file__).with_name("page.html.j2")


@dataclass(frozen=True)
class ClassRow:
    """What the page shows of one class: its counts, the share of the largest class, and pictures as data URLs."""

    name: str
    color: str
    train: int
    val: int
    share: float
    thumbs: list[str]


@dataclass(frozen=True)
class Cell:
    """One cell of the plane: its column and row from the top left, its opacity, and what it says when pointed at."""

    x: int
    y: int
    opacity: float
    title: str


# Okabe and Ito's colours, told apart with any colour vision
COLORS = ("#5b6770", "#e69f00", "#0072b2", "#d6b800", "#56b4e9", "#009e73", "#d55e00", "#cc79a7")


def write_page(path: Path, report: ScanReport) -> None:
    """Write the page; it appears complete or not at all. Raises DataError if it cannot be written."""
    rows = table_rows(report)
    text = rendered(
        TEMPLATE,
        report=report,
        rows=rows,
        columns=COLUMNS,
        used=used_columns(rows),
        classes=_classes(report),
        cells=_plane(report.faces),
        n_cells=CELLS,
        means=_class_means(report.faces),
        problems=report.index.problems.by_kind(),
        done=KINDS,
    )
    write_text(path, text, option="--html")


def _classes(report: ScanReport) -> list[ClassRow]:
    usable = report.after_holdout()
    codes = [code for code in report.codes() if code is None or code < len(Emotion)]
    largest = max(usable["train"][code] + usable["val"][code] for code in codes)
    rows = []
    for code in codes:
        train, val = usable["train"][code], usable["val"][code]
        color = COLORS[code] if code is not None else COLORS[0]
        shown = _sample([face for face in report.faces if face.label == code], report.seed)
        thumbs = [t for face in shown if (t := _thumb(report.index, face))] if report.index.checked else []
        rows.append(ClassRow(code_name(code), color, train, val, (train + val) / max(largest, 1), thumbs))
    return rows


def _sample(faces: list[FaceRecord], seed: int) -> list[FaceRecord]:
    chosen = np.random.default_rng(seed).permutation(len(faces))[:N_THUMBS]
    return [faces[i] for i in sorted(chosen)]


def _thumb(index: FaceIndex, face: FaceRecord) -> str | None:
    """The face as a data URL; None if its picture cannot be read after all."""
    try:
        pixels = _square(index.pixels(face), face)
    except EmorphError:
        return None
    small = cv2.resize(pixels, (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA)
    return jpeg_url(small.astype(np.uint8, copy=False), QUALITY)


def _square(pixels: UInt8, face: FaceRecord) -> UInt8:
    """The square around the face's box, or the middle of the picture."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = face.box or (0, 0, width, height)
    side = int(np.clip(max(right - left, bottom - top) * (1.2 if face.box else 1), 1, min(width, height)))
    x = int(np.clip((left + right - side) / 2, 0, width - side))
    y = int(np.clip((top + bottom - side) / 2, 0, height - side))
    return pixels[y : y + side, x : x + side]


def _plane(faces: list[FaceRecord]) -> list[Cell]:
    """The cells with faces, darker with more of them; the root, because most faces are neutral or happy."""
    counts: Counter[tuple[int, int]] = Counter()
    for face in faces:
        if face.valence is not None and face.arousal is not None:
            x = min(int((face.valence + 1) / 2 * CELLS), CELLS - 1)
            y = min(int((1 - face.arousal) / 2 * CELLS), CELLS - 1)
            counts[x, y] += 1
    most = max(counts.values(), default=1)
    return [Cell(x, y, round(0.12 + 0.88 * (n / most) ** 0.5, 3), f"{n:,}") for (x, y), n in sorted(counts.items())]


def _class_means(faces: list[FaceRecord]) -> list[tuple[str, str, float, float]]:
    """Name, colour and mean valence and arousal of each class that has them."""
    means = []
    for emotion in Emotion:
        known = [
            (face.valence, face.arousal) for face in faces if face.label == emotion.value and face.valence is not None
        ]
        if known:
            valence, arousal = np.array(known, float).mean(axis=0)
            means.append((emotion.title, COLORS[emotion.value], float(valence), float(arousal)))
    return means
