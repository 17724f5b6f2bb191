"""The judges and recognisers that a run asks: each with its crop, what it answers, and an id of its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from emorph.core.errors import CheckpointError, DataError, MissingAssetError, UnknownNameError
from emorph.core.expressions import Emotion
from emorph.core.images import luminance, to_tensor
from emorph.core.pretrained import WEIGHTS_FILE, locate
from emorph.core.records import Embedding, ScoreRecord
from emorph.core.types import CropSpec, Float32, Float64, Landmarks, Photo, UInt8
from emorph.evaluate.cards import CARDS, JudgeCard, Kind, check_fair, judge_card, recogniser_card
from emorph.evaluate.emonet_judge import TRAINED_ON, EmoNetJudge, emonet_crop
from emorph.evaluate.emotion import judge_crops
from emorph.evaluate.judges import EmotionJudge, EmotionReading, Recogniser, arcface_crop, box_crop
from emorph.faces.align import align
from emorph.models.emonet import SIDE_PX
from emorph.models.judge import Judge

BUNDLED_JUDGE = "emorph-judge"
BUNDLED_TRAINED_ON = ("fer2013/train",)
EMONETS: dict[str, Literal[5, 8]] = {"emonet_8": 8, "emonet_5": 5}
PROBABILITY = "probability_"  # + an emotion's word
AFFECT = ("valence", "arousal")
DIGITS = 6  # of what is written down


@dataclass(frozen=True)
class CropPlan:
    """How a judge wants its face cut out; plain enough to be handed to another process."""

    kind: Literal["ffhq", "box", "emonet", "arcface"]
    side_px: int
    spec: CropSpec

    def cut(self, photo: Photo, landmarks: Landmarks) -> UInt8:
        """The face, uint8 (S, S, 3) RGB. Raises NoFaceError or ShapeError for a face that cannot be cut out."""
        if self.kind == "ffhq":
            return align(photo, landmarks, self.side_px, self.spec).pixels
        if self.kind == "box":
            return box_crop(photo, landmarks, self.side_px)
        if self.kind == "arcface":
            return arcface_crop(photo, landmarks)
        return emonet_crop(photo, landmarks)


@dataclass(frozen=True)
class PanelJudge:
    """A judge of emotions. id: its name and the first digits of its file's SHA-256.

    emotions: it tells apart. answer: from crops uint8 (n, S, S, 3) to the numbers (n, len(outputs)).
    trained_on: data sets with their splits, as far as its card says. has_va: it tells valence and arousal, too.
    card: for people.
    """

    id: str
    emotions: tuple[Emotion, ...]
    plan: CropPlan
    answer: Callable[[UInt8], Float64]
    trained_on: tuple[str, ...] = ()
    has_va: bool = False
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what it answers: a probability of each emotion, then perhaps valence and arousal."""
        return (*(PROBABILITY + emotion.word for emotion in self.emotions), *(AFFECT if self.has_va else ()))

    def judge(self, ids: Sequence[str], crops: UInt8) -> list[ScoreRecord]:
        """Its answers for the crops of these faces."""
        rows = zip(ids, self.answer(crops), strict=True)
        return [
            ScoreRecord(id, name, round(float(value), DIGITS), self.id)
            for id, row in rows
            for name, value in zip(self.outputs, row, strict=True)
        ]


@dataclass(frozen=True)
class PanelRecogniser:
    """A network that tells persons apart. answer: from crops to unit vectors (n, D); the rest as in ``PanelJudge``."""

    id: str
    plan: CropPlan
    answer: Callable[[UInt8], Float32]
    trained_on: tuple[str, ...] = ()
    card: Mapping[str, Any] = field(default_factory=dict)

    def judge(self, ids: Sequence[str], crops: UInt8) -> list[Embedding]:
        """Its vectors for the crops of these faces."""
        rows = zip(ids, self.answer(crops), strict=True)
        return [Embedding(id, self.id, tuple(round(float(v), DIGITS) for v in row)) for id, row in rows]


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
    recognisers: tuple[PanelRecogniser, ...] = ()

    @property
    def asked(self) -> tuple[PanelJudge | PanelRecogniser, ...]:
        """All that look at crops."""
        return (*self.judges, *self.recognisers)

    @classmethod
    def load(cls, names: Sequence[str], recognisers: Sequence[str] = (), *, threads: int = 0) -> Panel:
        """What is asked besides dlib's network, which always is.

        names: of judges: the bundled one, a folder of one, a card's name (``emorph.evaluate.cards``), emonet_8,
        emonet_5, or an .onnx file with its card beside it. recognisers: cards' names, or .onnx files in ArcFace's
        format. One whose file is not here is listed as missing. Raises UnknownNameError for a name that means nothing,
        CheckpointError for a damaged file, DataError for a wrong card.
        """
        judges, persons, missing = [], [], []
        for name in dict.fromkeys(names):
            try:
                judges.append(_judge(name, threads))
            except MissingAssetError as error:
                missing.append(NotMeasured(name, str(error)))
        for name in dict.fromkeys(recognisers):
            try:
                persons.append(_recogniser(name, threads))
            except MissingAssetError as error:
                missing.append(NotMeasured(name, str(error)))
        return cls(tuple(judges), tuple(missing), tuple(persons))

    def refuse_unfair(self, split: str) -> None:
        """Raises DataError if a judge was trained on ``split``, say "affectnet/train", which it shall judge."""
        for judge in self.asked:
            check_fair(judge.id.partition("@")[0], judge.trained_on, split)


def _judge(name: str, threads: int) -> PanelJudge:
    if name in EMONETS:
        return _emonet(name)
    if name in CARDS or name.endswith(".onnx"):
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
    return PanelJudge(
        id=f"{folder.name}@{_digits(folder / WEIGHTS_FILE)}",
        emotions=config.emotions,
        plan=plan,
        answer=answer,
        trained_on=BUNDLED_TRAINED_ON if name == BUNDLED_JUDGE else (),
        card={"name": name, "kind": "emotion", **config.model_dump(mode="json")},
    )


def _onnx(name: str, threads: int) -> PanelJudge:
    card, path = _card_and_file(name, None, "emotion")
    try:
        emotions = tuple(Emotion.parse(word) for word in card.classes)
    except UnknownNameError as error:
        raise DataError(f"the card of {path.name}: {error}") from None
    judge = EmotionJudge.load(card, path, threads=threads)
    return PanelJudge(
        id=f"{card.name}@{_digits(path)}",
        emotions=emotions,
        plan=CropPlan("box", card.side_px, CropSpec()),
        answer=_reader(judge, emotions, has_va=card.has_va),
        trained_on=card.trained_on,
        has_va=card.has_va,
        card=card.as_json(),
    )


def _recogniser(name: str, threads: int) -> PanelRecogniser:
    card, path = _card_and_file(name, recogniser_card(Path(name).stem), "identity")
    network = Recogniser.load(card, path, threads=threads)
    plan = CropPlan("arcface", card.side_px, CropSpec())
    known = card.as_json() | {"scales_its_picture_itself": network.is_raw}
    return PanelRecogniser(f"{card.name}@{_digits(path)}", plan, network, card.trained_on, known)


def _card_and_file(name: str, default: JudgeCard | None, kind: Kind) -> tuple[JudgeCard, Path]:
    """Of a card's name; or of an .onnx file: the card beside it (FILE.json), that of its name, or the default.

    Raises CheckpointError for a card of another kind, whether its file is here or not.
    """
    path = Path(name).expanduser() if name.endswith(".onnx") else None
    if path is None:
        card: JudgeCard | None = judge_card(name)
    else:
        own = path.with_suffix(".json")
        card = JudgeCard.read(own) if own.is_file() else CARDS.get(path.stem, default)
    if card is None:
        raise DataError(f"{name} needs a card that names its classes and scaling: {Path(name).stem}.json beside it.")
    if card.kind != kind:
        told, option = ("persons", "--recogniser") if card.kind == "identity" else ("emotions", "--judge")
        raise CheckpointError(f"{name} tells {told} apart; it is a {option}.")
    return card, card.locate(path)


def _emonet(name: str) -> PanelJudge:
    judge = EmoNetJudge.load(EMONETS[name])
    emotions = tuple(judge.model.classes)
    digest = hashlib.sha256()
    for tensor in judge.model.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return PanelJudge(
        id=f"{name}@{digest.hexdigest()[:8]}",
        emotions=emotions,
        plan=CropPlan("emonet", SIDE_PX, CropSpec()),
        answer=_reader(judge, emotions, has_va=True),
        trained_on=TRAINED_ON,
        has_va=True,
        card={"name": name, "kind": "emotion", "side_px": SIDE_PX, "classes": [e.word for e in emotions]},
    )


def _reader(
    judge: Callable[[UInt8], EmotionReading], emotions: tuple[Emotion, ...], *, has_va: bool
) -> Callable[[UInt8], Float64]:
    def answer(crops: UInt8) -> Float64:
        reading = judge(crops)
        columns = [reading.probabilities[:, emotion] for emotion in emotions]
        if has_va and reading.valence is not None and reading.arousal is not None:
            columns += [reading.valence, reading.arousal]
        found: Float64 = np.stack(columns, axis=1).astype(np.float64)
        return found

    return answer


def _digits(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()[:8]
