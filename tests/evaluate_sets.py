"""Small made sets of photos and edits with a small judge, for the tests of ``emorph evaluate``."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from emorph.core.images import read_photo, write_image
from emorph.models.judge import Judge, JudgeConfig

EXAMPLE = Path(__file__).parents[1] / "examples" / "astronaut.png"
LABELS = ("neutral", "happy", "sad")
CROP_PX = 240


def save_judge(folder: Path, seed: int = 0) -> Path:
    """A judge with random weights that answers differently to different faces."""
    torch.manual_seed(seed)
    judge = Judge(JudgeConfig.parse({"labels": LABELS, "image_size": 16, "channels": (8, 16), "num_res_blocks": 1}))
    for name, value in judge.state_dict().items():
        if name.endswith("norm2.weight"):
            value.fill_(1.0)
    judge.eval().save_pretrained(folder)
    return folder


def face(gain: float = 1.0, stretch: float = 1.0) -> np.ndarray:
    """The example's face, small enough to be quick, in another light or of other proportions; uint8 (H, W, 3)."""
    pixels = read_photo(EXAMPLE).pixels[:CROP_PX, 110 : 110 + CROP_PX]
    wide = cv2.resize(pixels, (round(CROP_PX * stretch), CROP_PX), interpolation=cv2.INTER_AREA)
    return np.clip(wide * gain, 0, 255).astype(np.uint8)


def smudged(pixels: np.ndarray, level: int) -> np.ndarray:
    """With a mouth of another brightness, as if it had been edited."""
    edited = pixels.copy()
    height, width = pixels.shape[:2]
    edited[int(0.55 * height) : int(0.6 * height), int(0.44 * width) : int(0.56 * width)] = level
    return edited


def made_set(folder: Path) -> Path:
    """Two sources, each edited to happy at 0.5 and 1 and to sad at 1; returns the CSV."""
    lines = ["source,edited,target,strength,identity"]
    for person, pixels in {"ann": face(), "bob": face(0.7, 1.15)}.items():
        write_image(folder / f"{person}.png", pixels)
        for target, strength, level in (("happy", 0.5, 200), ("happy", 1, 250), ("sad", 1, 20)):
            name = f"{person}_{target}_{strength}.png"
            write_image(folder / name, smudged(pixels, level))
            lines.append(f"{person}.png,{name},{target},{strength},{person}")
    table = folder / "made.csv"
    table.write_text("\n".join(lines) + "\n")
    return table
