"""Small data sets in published layouts, made for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

HEADER = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
POINTS = ";".join(f"{v:.2f}" for v in np.linspace(5, 35, 136))


def picture(path: Path, seed: int = 0, side: int = 40) -> Path:
    """A picture of smooth noise, so that two seeds look nothing alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    assert cv2.imwrite(str(path), cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC))
    return path


def row(name: str, code: object, *, box: str = "4,5,30,31", points: str = POINTS, affect: str = "0.1,0.2") -> str:
    """One line of an AffectNet list."""
    return f"{name},{box},{points},{code},{affect}"


def affectnet(root: Path, train: Sequence[str], val: Sequence[str], *, header: bool = True) -> Path:
    """The two lists, without pictures."""
    root.mkdir(parents=True, exist_ok=True)
    for name, rows in (("training.csv", train), ("validation.csv", val)):
        (root / name).write_text("\n".join([*([HEADER] if header else []), *rows]) + "\n")
    return root
