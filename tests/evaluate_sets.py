"""Small made sets of photos and edits with a small judge, for the tests of ``emorph evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from emorph.core.expressions import Emotion
from emorph.core.images import read_photo, write_image
from emorph.core.records import ScoreRecord, SeenFace
from emorph.core.types import CropSpec
from emorph.evaluate.judges.asked import PROBABILITY, CropPlan, NotMeasured, PanelJudge
from emorph.evaluate.judges.panel import Panel
from emorph.evaluate.measure.inputs import Pair
from emorph.evaluate.measure.records import Identified, Records
from emorph.evaluate.report.summary import Summary, summarise
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


EMOTIONS = (Emotion.NEUTRAL, Emotion.HAPPY, Emotion.SURPRISE, Emotion.FEAR)
JUDGE = PanelJudge("judge@1", EMOTIONS, CropPlan("ffhq", 16, CropSpec()), lambda crops: np.zeros((len(crops), 4)))
PANEL = Panel((JUDGE,), (NotMeasured("emonet_8", "needs emonet_8.pth, get it from https://example.org"),))
N_PERSONS = 20


class Made:
    """Records of made faces: persons lie 0.8 apart, two photos of one 0.3."""

    def __init__(self, *, photos_each: int = 2) -> None:
        rng = np.random.default_rng(0)
        self.records = Records()
        self.judged: list[Identified] = []
        self.rng = rng
        self.sources = [(f"p{i}", f"s{i}_{k}") for i in range(N_PERSONS) for k in range(photos_each)]
        centres = {f"p{i}": self.direction(0.8 / 2**0.5) for i in range(N_PERSONS)}
        self.places = {id: centres[person] + self.direction(0.3 / 2**0.5) for person, id in self.sources}
        for id, place in self.places.items():
            self.add(id, place, Emotion.NEUTRAL)

    def direction(self, length: float) -> np.ndarray:
        found = self.rng.normal(size=128)
        return found / np.linalg.norm(found) * length

    def add(self, id: str, place: np.ndarray, shown: Emotion, p: float = 0.7) -> None:
        points = tuple((float(i), float(i % 7)) for i in range(68))
        face = SeenFace(id, "", (64, 64), 1, (0, 0, 9, 9), points, 1.0, tuple(place.tolist()))
        rest = (1 - p) / (len(EMOTIONS) - 1)
        answers = [ScoreRecord(id, PROBABILITY + e.word, p if e == shown else rest, JUDGE.id) for e in EMOTIONS]
        self.records.add([face], answers)

    def edit(
        self,
        method: str,
        target: Emotion,
        shown: Emotion,
        *,
        moved: float = 0.1,
        strength: float = 1.0,
        swap: bool = False,
        p: float = 0.7,
        sources: Sequence[int] | None = None,
    ) -> None:
        """Edit all sources, or some, to ``target``; the judge then sees ``shown``."""
        for i in range(len(self.sources)) if sources is None else sources:
            person, source = self.sources[i]
            other = self.sources[(i + 7) % len(self.sources)][1]
            id = f"{source}-{method}{target.word}{strength}"
            place = self.places[other if swap else source] + (self.direction(moved) if moved else 0)
            self.add(id, place, shown, p)
            values = {"mae_outside": 0.001, "expression_distance": moved, "pose_distance": moved / 10}
            self.records.add([], [ScoreRecord(id, metric, value) for metric, value in values.items()])
            pair = Pair(method, Path(f"{source}.png"), Path(f"{id}.png"), target, strength, person)
            self.judged.append(Identified(pair, source, id))

    def summary(self, panel: Panel = PANEL) -> Summary:
        return summarise(self.judged, self.records, panel)
