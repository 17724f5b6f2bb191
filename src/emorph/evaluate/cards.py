"""What is known of each judge: its picture, its classes, what it was trained on, its terms, and where to get it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from emorph.core.assets import home
from emorph.core.errors import DataError, MissingAssetError, UnknownNameError

Kind = Literal["emotion", "identity"]
Crop = Literal["box", "arcface"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class JudgeCard:
    """One judge.

    side_px: of its square picture. crop: "box" is a detector's box, stretched; "arcface" the five-point alignment.
    channels: their order in the network's input. mean, std: of (x / 255 - mean) / std, in the order of ``channels``.
    classes: of the first outputs, in the network's order, in its own words; empty for a recogniser.
    has_va: valence and arousal follow the classes. trained_on: data sets with their splits, "affectnet/train".
    page: where its owner gives it; url: the file itself, where one may simply be downloaded.
    """

    name: str
    kind: Kind
    side_px: int
    crop: Crop
    channels: Literal["RGB", "BGR"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    classes: tuple[str, ...]
    has_va: bool
    trained_on: tuple[str, ...]
    terms: str
    page: str
    url: str = ""

    @property
    def file(self) -> str:
        """The file's name, as its owner names it or as it is to be named."""
        return f"{self.name}.onnx"

    def locate(self, path: Path | str | None = None) -> Path:
        """The judge's file: ``path``, or the user's copy below ``emorph.core.assets.home()``.

        Raises MissingAssetError, with the place to get it from and to put it at.
        """
        place = home() / "judges" / self.file if path is None else Path(path)
        if not place.is_file():
            remedy = f"get it from {self.url or self.page} and put it at {place}"
            raise MissingAssetError(f"the judge {self.name} needs {self.file}: {remedy} (terms: {self.terms}).")
        return place


def check_fair(name: str, trained_on: Collection[str], split: str) -> None:
    """Raises DataError if a judge was trained on ``split``, say "affectnet/train", which it shall judge."""
    if split in trained_on:
        raise DataError(f"{name} was trained on {split}, so it cannot judge it; take another judge or split.")


def judge_card(name: str) -> JudgeCard:
    """The card called ``name``. Raises UnknownNameError with the nearest name."""
    if name not in CARDS:
        raise UnknownNameError("judge", name, CARDS)
    return CARDS[name]


_HSE_CLASSES = ("Anger", "Contempt", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise")
_HSE_PAGE = "https://github.com/sb-ai-lab/EmotiEffLib"
_INSIGHTFACE_PAGE = "https://github.com/deepinsight/insightface/tree/master/model_zoo"
_ADAFACE_PAGE = "https://github.com/mk-minchul/AdaFace"
_HALF = (0.5, 0.5, 0.5)


def _hsemotion(name: str, side_px: int) -> JudgeCard:
    small = name == "mbf_va_mtl"
    return JudgeCard(
        name=name,
        kind="emotion",
        side_px=side_px,
        crop="box",
        channels="RGB",
        mean=_HALF if small else IMAGENET_MEAN,
        std=_HALF if small else IMAGENET_STD,
        classes=tuple(c for c in _HSE_CLASSES if not (name.endswith("_7") and c == "Contempt")),
        has_va=name.endswith("_va_mtl"),
        trained_on=("vggface2/train", "affectnet/train"),
        terms="code Apache-2.0; trained on AffectNet, so research use",
        page=_HSE_PAGE,
        url=f"{_HSE_PAGE}/raw/main/models/affectnet_emotions/onnx/{name}.onnx",
    )


def _recogniser(name: str, trained_on: str, terms: str, page: str, channels: Literal["RGB", "BGR"]) -> JudgeCard:
    return JudgeCard(
        name=name,
        kind="identity",
        side_px=112,
        crop="arcface",
        channels=channels,
        mean=_HALF,
        std=_HALF,
        classes=(),
        has_va=False,
        trained_on=(trained_on,),
        terms=terms,
        page=page,
    )


_HSEMOTION_SIDES = {
    "enet_b0_8_best_vgaf": 224,
    "enet_b0_8_best_afew": 224,
    "enet_b0_8_va_mtl": 224,
    "mobilevit_va_mtl": 224,
    "enet_b2_8": 260,
    "enet_b2_7": 260,
    "mbf_va_mtl": 112,
}
_EXPORTED = "code MIT; exported to ONNX by the user"
_RESEARCH = "non-commercial research"

_ALL: tuple[JudgeCard, ...] = (
    *(_hsemotion(name, side_px) for name, side_px in _HSEMOTION_SIDES.items()),
    *(
        _recogniser(f"glint360k_cosface_{net}", "glint360k/train", _RESEARCH, _INSIGHTFACE_PAGE, "RGB")
        for net in ("r18", "r34", "r50", "r100")
    ),
    _recogniser("w600k_r50", "webface600k/train", f"{_RESEARCH}; part of buffalo_l", _INSIGHTFACE_PAGE, "RGB"),
    *(
        _recogniser(f"adaface_{net}_{data}", f"{data}/train", _EXPORTED, _ADAFACE_PAGE, "BGR")
        for net, data in (("ir50", "ms1mv2"), ("ir101", "webface12m"))
    ),
)

CARDS: dict[str, JudgeCard] = {card.name: card for card in _ALL}
