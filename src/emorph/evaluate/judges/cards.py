"""What is known of each ONNX network: its picture, its classes, what it was trained on, its terms, its owner's page."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from emorph.core.commands import command
from emorph.core.downloads import HSEMOTION_NAMES, download, present
from emorph.core.errors import DataError, MissingAssetError, UnknownNameError

Kind = Literal["emotion", "identity"]
Crop = Literal["box", "arcface"]
ARCFACE_PX = 112
NOUNS: dict[Kind, str] = {"emotion": "judge", "identity": "recogniser"}

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class NetworkCard:
    """One network: a judge, which tells emotions apart, or a recogniser, which tells persons apart.

    side_px: of its square picture. crop: "box" is a detector's box, stretched; "arcface" the five-point alignment,
    which is 112 px.
    channels: their order in the network's input. mean, std: of (x / 255 - mean) / std, in the order of ``channels``.
    classes: of the first outputs, in the network's order, in its own words; empty for a recogniser.
    has_va: valence and arousal follow the classes. trained_on: data sets with their splits, "affectnet/train".
    page: where its owner gives it.
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

    @property
    def noun(self) -> str:
        """What it is."""
        return NOUNS[self.kind]

    @property
    def file(self) -> str:
        """The file's name, as its owner names it or as it is to be named."""
        return f"{self.name}.onnx"

    def locate(self, path: Path | str | None = None) -> Path:
        """The network's file: ``path``, or the user's copy below ``emorph.core.assets.home()``.

        Raises MissingAssetError, with the place to get it from and to put it at.
        """
        if path is None:
            return present(self.name).path
        if not Path(path).is_file():
            raise MissingAssetError(f"the {self.noun} {self.name} needs {path}, which is not there; check the path.")
        return Path(path)

    @classmethod
    def read(cls, path: Path) -> NetworkCard:
        """A card that a user wrote for a file of his own: JSON with this class's fields. Raises DataError."""
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            card = cls(**{key: _frozen(value) for key, value in found.items()})
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(
                f"{path} is not a card of a judge or recogniser ({error}); its fields are {', '.join(_FIELDS)}."
            ) from None
        if card.crop not in get_args(Crop):
            raise DataError(f"{path}: crop must be one of {', '.join(get_args(Crop))}, found {card.crop!r}.")
        if card.crop == "arcface" and card.side_px != ARCFACE_PX:
            raise DataError(f"{path}: the crop arcface has {ARCFACE_PX} px; make that its side_px, or box its crop.")
        rows = (card.mean, card.std)
        if (
            card.kind not in ("emotion", "identity")
            or card.channels not in ("RGB", "BGR")
            or type(card.side_px) is not int
            or any(len(row) != 3 or not all(isinstance(x, int | float) for x in row) for row in rows)
            or (card.kind == "identity") != (card.crop == "arcface" and not card.classes)
        ):
            raise DataError(
                f"{path} is not a card of a judge or recogniser: "
                "its kind, side, channels, crop, classes or scaling do not fit."
            )
        return card

    def as_json(self) -> dict[str, Any]:
        """For reports, and for ``read``."""
        return asdict(self)


def _frozen(value: Any) -> Any:
    """JSON's list as a tuple."""
    return tuple(value) if isinstance(value, list) else value


_FIELDS = tuple(field.name for field in fields(NetworkCard))


def check_fair(name: str, trained_on: Collection[str], split: str) -> None:
    """Raises DataError if a judge was trained on ``split``, say "affectnet/train", which it is asked to judge."""
    if split in trained_on:
        raise DataError(f"{name} was trained on {split}, so it cannot judge it; take another judge or split.")


def network_card(name: str, kind: Kind) -> NetworkCard:
    """The card called ``name``, of this kind or of the other. Raises UnknownNameError with the nearest name."""
    if name not in CARDS:
        raise UnknownNameError(NOUNS[kind], name, [card.name for card in CARDS.values() if card.kind == kind])
    return CARDS[name]


def not_onnx(file: Path) -> str:
    """What to say of a file that is named as a judge and is no ONNX file, such as HSEmotion's .pt."""
    if file.stem in CARDS and file.stem in HSEMOTION_NAMES:
        return (
            f"{file} is HSEmotion's PyTorch file, which holds a program; its ONNX file is wanted: "
            f"{command('models', 'get', file.stem)} (or {download(file.stem).url}), then --judge {file.stem}"
        )
    return (
        f"{file} is no judge: a folder of emorph's, an .onnx file with its card beside it, or a name is; for EmoNet's "
        "own file write --judge emonet_8, and for HSEmotion's networks the name of their ONNX file, such as "
        f"--judge {HSEMOTION_NAMES[0]}."
    )


_HSE_CLASSES = ("Anger", "Contempt", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise")
_HALF = (0.5, 0.5, 0.5)


def _hsemotion(name: str) -> NetworkCard:
    small = name == "mbf_va_mtl"
    return NetworkCard(
        name=name,
        kind="emotion",
        side_px=112 if small else 260 if "_b2_" in name else 224,
        crop="box",
        channels="RGB",
        mean=_HALF if small else IMAGENET_MEAN,
        std=_HALF if small else IMAGENET_STD,
        classes=tuple(c for c in _HSE_CLASSES if not (name.endswith("_7") and c == "Contempt")),
        has_va=name.endswith("_va_mtl"),
        trained_on=("vggface2/train", "affectnet/train"),  # first to tell persons apart
        terms=download(name).terms,
        page=download(name).page,
    )


def recogniser_card(
    name: str, trained_on: str = "", channels: Literal["RGB", "BGR"] = "RGB", terms: str = "", page: str = ""
) -> NetworkCard:
    """A recogniser in ArcFace's format: 112 px by five points, (x - 127.5) / 127.5."""
    return NetworkCard(
        name=name,
        kind="identity",
        side_px=ARCFACE_PX,
        crop="arcface",
        channels=channels,
        mean=_HALF,
        std=_HALF,
        classes=(),
        has_va=False,
        trained_on=(trained_on,) if trained_on else (),
        terms=terms,
        page=page,
    )


def _known_recogniser(name: str, trained_on: str, channels: Literal["RGB", "BGR"] = "RGB") -> NetworkCard:
    return recogniser_card(name, trained_on, channels, download(name).terms, download(name).page)


_ALL: tuple[NetworkCard, ...] = (
    *(_hsemotion(name) for name in HSEMOTION_NAMES),
    *(_known_recogniser(f"glint360k_cosface_{net}", "glint360k/train") for net in ("r18", "r34", "r50", "r100")),
    _known_recogniser("w600k_r50", "webface600k/train"),
    _known_recogniser("adaface_ir50_ms1mv2", "ms1mv2/train", "BGR"),
    _known_recogniser("adaface_ir101_webface12m", "webface12m/train", "BGR"),
)

CARDS: dict[str, NetworkCard] = {card.name: card for card in _ALL}
