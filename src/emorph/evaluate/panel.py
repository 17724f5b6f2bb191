"""The judges that a run asks, whatever their files: each with its crop, its classes, and an id of its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from emorph.core.errors import CheckpointError, MissingAssetError, UnknownNameError
from emorph.core.expressions import Emotion
from emorph.core.images import luminance, to_tensor
from emorph.core.pretrained import WEIGHTS_FILE, locate
from emorph.core.types import CropSpec, Float64, Landmarks, Photo, UInt8
from emorph.evaluate.cards import CARDS, check_fair
from emorph.evaluate.emonet_judge import TRAINED_ON, EmoNetJudge, emonet_crop
from emorph.evaluate.emotion import judge_crops
from emorph.evaluate.judges import EmotionJudge, EmotionReading, box_crop
from emorph.faces.align import align
from emorph.models.emonet import SIDE_PX
from emorph.models.judge import Judge

BUNDLED_JUDGE = "emorph-judge"
BUNDLED_TRAINED_ON = ("fer2013/train",)
EMONETS: dict[str, Literal[5, 8]] = {"emonet_8": 8, "emonet_5": 5}


@dataclass(frozen=True)
class CropPlan:
    """How a judge wants its face cut out; plain enough to be handed to another process."""

    kind: Literal["ffhq", "box", "emonet"]
    side_px: int
    spec: CropSpec

    def cut(self, photo: Photo, landmarks: Landmarks) -> UInt8:
        """The face, uint8 (S, S, 3) RGB. Raises NoFaceError or ShapeError for a face that cannot be cut out."""
        if self.kind == "ffhq":
            return align(photo, landmarks, self.side_px, self.spec).pixels
        if self.kind == "box":
            return box_crop(photo, landmarks, self.side_px)
        return emonet_crop(photo, landmarks)


@dataclass(frozen=True)
class PanelJudge:
    """A judge of emotions. id: its name and the first digits of its file's SHA-256.

    emotions: it tells apart. answer: from crops uint8 (n, S, S, 3) to probabilities (n, len(emotions)).
    trained_on: data sets with their splits, as far as its card says.
    """

    id: str
    emotions: tuple[Emotion, ...]
    plan: CropPlan
    answer: Callable[[UInt8], Float64]
    trained_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class NotMeasured:
    """A judge or metric that is not there. why: "needs X, get it with Y"."""

    name: str
    why: str


@dataclass(frozen=True)
class Panel:
    """The judges that are there, and those that are not."""

    judges: tuple[PanelJudge, ...]
    missing: tuple[NotMeasured, ...]

    @classmethod
    def load(cls, names: Sequence[str], *, threads: int = 0) -> Panel:
        """names: the bundled judge, a folder of one, a card's name (``emorph.evaluate.cards``), emonet_8, emonet_5.

        A judge whose file is not here is listed as missing. Raises UnknownNameError for a name that means nothing,
        CheckpointError for a damaged file.
        """
        judges, missing = [], []
        for name in dict.fromkeys(names):
            try:
                judges.append(_judge(name, threads))
            except MissingAssetError as error:
                missing.append(NotMeasured(name, str(error)))
        return cls(tuple(judges), tuple(missing))

    def refuse_unfair(self, split: str) -> None:
        """Raises DataError if a judge was trained on ``split``, say "affectnet/train", which it shall judge."""
        for judge in self.judges:
            check_fair(judge.id.partition("@")[0], judge.trained_on, split)


def _judge(name: str, threads: int) -> PanelJudge:
    if name in EMONETS:
        return _emonet(name)
    if name in CARDS:
        return _onnx(name, threads)
    try:
        folder = locate(name)
    except UnknownNameError as error:
        if name == BUNDLED_JUDGE:
            raise MissingAssetError(
                f"needs {BUNDLED_JUDGE}, which this copy of emorph does not hold; get it with "
                "pip install --force-reinstall emorph, or name another judge: --judge."
            ) from None
        raise UnknownNameError("judge", name, [BUNDLED_JUDGE, *EMONETS, *CARDS]) from error
    judge = Judge.from_pretrained(folder)
    config = judge.config

    def answer(crops: UInt8) -> Float64:
        return judge_crops(judge, list(luminance(to_tensor(crops))))

    plan = CropPlan("ffhq", config.image_size, config.crop)
    trained_on = BUNDLED_TRAINED_ON if name == BUNDLED_JUDGE else ()
    return PanelJudge(f"{folder.name}@{_digits(folder / WEIGHTS_FILE)}", config.emotions, plan, answer, trained_on)


def _onnx(name: str, threads: int) -> PanelJudge:
    card = CARDS[name]
    if card.kind != "emotion":
        raise CheckpointError(f"{name} tells persons apart, not emotions; it cannot be a --judge.")
    emotions = tuple(Emotion.parse(word) for word in card.classes)
    path = card.locate()
    judge = EmotionJudge.load(name, path, threads=threads)
    plan = CropPlan("box", card.side_px, CropSpec())
    return PanelJudge(f"{name}@{_digits(path)}", emotions, plan, _reader(judge, emotions), card.trained_on)


def _emonet(name: str) -> PanelJudge:
    judge = EmoNetJudge.load(EMONETS[name])
    emotions = tuple(judge.model.classes)
    digest = hashlib.sha256()
    for tensor in judge.model.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    plan = CropPlan("emonet", SIDE_PX, CropSpec())
    return PanelJudge(f"{name}@{digest.hexdigest()[:8]}", emotions, plan, _reader(judge, emotions), TRAINED_ON)


def _reader(judge: Callable[[UInt8], EmotionReading], emotions: tuple[Emotion, ...]) -> Callable[[UInt8], Float64]:
    def answer(crops: UInt8) -> Float64:
        found: Float64 = judge(crops).probabilities[:, list(emotions)].astype(np.float64)
        return found

    return answer


def _digits(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()[:8]
