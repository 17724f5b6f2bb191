"""From names and files to what a run asks: judges of emotions, recognisers, face models, networks that compare."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from emorph.core.commands import install
from emorph.core.downloads import present
from emorph.core.errors import CheckpointError, DataError, MissingAssetError, UnknownNameError
from emorph.core.expressions import Emotion
from emorph.core.images import luminance, to_tensor
from emorph.core.pretrained import BUNDLED, WEIGHTS_FILE, locate, stated_kind
from emorph.core.types import CropSpec, FaceCoeffs, Float32, Float64, UInt8
from emorph.evaluate.judges.asked import COMPARED_PX, POINTS_PX, CropPlan, PanelComparer, PanelEncoder, PanelJudge
from emorph.evaluate.judges.cards import CARDS, Kind, NetworkCard, network_card, not_onnx, recogniser_card
from emorph.evaluate.judges.digits import digits_of, tensor_digits
from emorph.evaluate.judges.onnx_networks import EmotionJudge, Recogniser
from emorph.evaluate.judges.own import judge_crops
from emorph.evaluate.judges.table import JUDGES, open_judge
from emorph.evaluate.metrics.table import by_network
from emorph.face3d.camera import CROP_SIDE_PX
from emorph.face3d.fit import fit_landmarks
from emorph.face3d.ict import ICT
from emorph.models.backends import exported_judge
from emorph.models.backends.exported_judge import ExportedJudge
from emorph.models.inception import Inception
from emorph.models.judge import Judge
from emorph.models.port import load_face_encoder
from emorph.models.weights import fingerprint

BUNDLED_JUDGE = "emorph-judge"
BUNDLED_TRAINED_ON = ("fer2013/train",)
FACE_MODELS = ("ict-facekit", "deca", "emoca")
FEATURES = "inception-fid"
_PART = 16  # pictures at once, which bounds the memory of large networks


def load_judge(name: str, threads: int) -> PanelJudge:
    """The bundled one, a folder of one, one of ``JUDGES``, a card's name, or an .onnx file with its card beside it.

    Raises MissingAssetError for a file that is not here, UnknownNameError, CheckpointError, DataError.
    """
    if name in JUDGES:
        return open_judge(name, threads)
    if name in CARDS or name.endswith(".onnx"):
        return _onnx(name, threads)
    try:
        folder = locate(name)
    except UnknownNameError as error:
        if name == BUNDLED_JUDGE:
            raise MissingAssetError(
                f"needs {BUNDLED_JUDGE}, which this copy of emorph does not hold; get it with "
                f"`{install(again=True)}`, or name another judge: --judge."
            ) from None
        raise UnknownNameError("judge", name, [BUNDLED_JUDGE, *JUDGES, *CARDS]) from error
    if folder.is_file():
        raise CheckpointError(not_onnx(folder))
    judge: Judge | ExportedJudge
    if stated_kind(folder) == exported_judge.KIND:
        judge = ExportedJudge(folder)
        digits, weights = judge.stated.fingerprint, folder / exported_judge.JUDGE_FILE
    else:
        judge = Judge.from_pretrained(folder)
        digits, weights = fingerprint(judge), folder / WEIGHTS_FILE
    config = judge.config

    def answer(crops: UInt8) -> Float64:
        return judge_crops(judge, list(luminance(to_tensor(crops))))

    plan = CropPlan("ffhq", config.image_size, config.crop)
    return PanelJudge(
        id=f"{folder.name}@{digits_of(weights)}",
        emotions=config.emotions,
        plan=plan,
        answer=answer,
        trained_on=BUNDLED_TRAINED_ON if folder == BUNDLED / BUNDLED_JUDGE else (),
        card={"name": name, "kind": "emotion", **config.model_dump(mode="json")},
        fingerprint=digits,
    )


def _onnx(name: str, threads: int) -> PanelJudge:
    card, path = _card_and_file(name, None, "emotion")
    try:
        emotions = tuple(Emotion.parse(word) for word in card.classes)
    except UnknownNameError as error:
        raise DataError(f"the card of {path.name}: {error}") from None
    judge = EmotionJudge.load(card, path, threads=threads)
    return PanelJudge(
        id=f"{card.name}@{digits_of(path)}",
        emotions=emotions,
        plan=CropPlan(card.crop, card.side_px),
        answer=lambda crops: judge(crops).rows(emotions),
        trained_on=card.trained_on,
        has_va=card.has_va,
        card=card.as_json(),
    )


def load_recogniser(name: str, threads: int) -> PanelEncoder:
    """A card's name, or an .onnx file in ArcFace's format. Raises as ``load_judge``."""
    card, path = _card_and_file(name, recogniser_card(Path(name).stem), "identity")
    network = Recogniser.load(card, path, threads=threads)
    plan = CropPlan("arcface", card.side_px, CropSpec())
    known = card.as_json() | {"scales_its_picture_itself": network.is_raw}
    return PanelEncoder(f"{card.name}@{digits_of(path)}", plan, network, card.trained_on, known)


def _card_and_file(name: str, default: NetworkCard | None, kind: Kind) -> tuple[NetworkCard, Path]:
    """Of a card's name; or of an .onnx file: the card beside it (FILE.json), that of its name, or the default.

    Raises CheckpointError for a card of another kind, whether its file is here or not.
    """
    path = Path(name).expanduser() if name.endswith(".onnx") else None
    if path is None:
        card: NetworkCard | None = network_card(name, kind)
    else:
        own = path.with_suffix(".json")
        card = NetworkCard.read(own) if own.is_file() else CARDS.get(path.stem, default)
    if card is None:
        if path is not None and not path.is_file():
            raise DataError(f"{name} is not there; check the path.")
        raise DataError(f"{name} needs a card that names its classes and scaling: {Path(name).stem}.json beside it.")
    if card.kind != kind:
        told, option = ("persons", "--recogniser") if card.kind == "identity" else ("emotions", "--judge")
        raise CheckpointError(f"{name} tells {told} apart; it is a {option}.")
    return card, card.locate(path)


def load_face_model(name: str) -> PanelEncoder:
    """ICT-FaceKit fitted to the landmarks, or DECA or EMOCA by their official files; or a file of one of these.

    Raises MissingAssetError, UnknownNameError, CheckpointError.
    """
    if name == FACE_MODELS[0] or name.endswith(".npz"):
        return _fitted(None if name == FACE_MODELS[0] else Path(name).expanduser())
    if name not in FACE_MODELS and not Path(name).expanduser().exists():
        raise UnknownNameError("face model", name, FACE_MODELS)
    network = load_face_encoder(name)

    def answer(crops: UInt8) -> Float32:
        parts = (torch.from_numpy(crops[i : i + _PART]) for i in range(0, len(crops), _PART))
        with torch.inference_mode():
            return np.concatenate([_row(network.encode(to_tensor(part.numpy()))) for part in parts])

    card = {"name": network.name, "kind": "face model", "n_shape": 100, "n_expression": 50}
    plan = CropPlan("deca", CROP_SIDE_PX)
    return PanelEncoder(f"{network.name}@{tensor_digits(network)}", plan, answer, card=card, role="face model")


def _fitted(path: Path | None) -> PanelEncoder:
    model = ICT.load(path)

    def answer(points: Float32) -> Float32:
        fit = fit_landmarks(model, torch.from_numpy(points), POINTS_PX)
        return _row(fit.coeffs, fit.ok.float().numpy())

    sizes = _coefficients(model)
    card = {"name": model.name, "kind": "face model, fitted to 68 landmarks", **sizes}
    plan = CropPlan("points", POINTS_PX)
    return PanelEncoder(f"ict-facekit@{tensor_digits(model)}", plan, answer, card=card, role="face model")


def _coefficients(model: ICT) -> dict[str, int]:
    """How many numbers of shape and expression a fit has."""
    points = torch.zeros(1, 68, 2)
    coeffs = fit_landmarks(model, points, POINTS_PX).coeffs
    return {"n_shape": coeffs.shape.shape[1], "n_expression": coeffs.expression.shape[1]}


def _row(coeffs: FaceCoeffs, trusted: Float32 | None = None) -> Float32:
    """(n, 1 + shape + expression + 3): whether they can be trusted, the coefficients, and the head's pose."""
    first = np.ones(len(coeffs), np.float32) if trusted is None else trusted
    parts = [part.float().cpu().numpy() for part in (coeffs.shape, coeffs.expression, coeffs.pose)]
    found: Float32 = np.concatenate([first[:, None], *parts], axis=1)
    return found


def load_features() -> PanelEncoder:
    """Inception v3 as FID and KID use it. Raises MissingAssetError, CheckpointError."""
    path = present(FEATURES).path
    network = Inception.from_file(path)

    def answer(crops: UInt8) -> Float32:
        with torch.inference_mode():
            parts = [network(to_tensor(crops[i : i + _PART])).numpy() for i in range(0, len(crops), _PART)]
        return np.concatenate(parts)

    card = {"name": FEATURES, "kind": "features of pictures", "side_px": COMPARED_PX}
    plan = CropPlan("ffhq", COMPARED_PX)
    return PanelEncoder(f"{FEATURES}@{digits_of(path)}", plan, answer, card=card, role="features")


def load_comparer(name: str) -> PanelComparer:
    """A network that compares pictures, of those that the table of metrics names.

    Raises MissingAssetError, CheckpointError.
    """
    rows = by_network()[name]
    network = rows[0].load_network()

    def answer(a: UInt8, b: UInt8) -> Float64:
        with torch.inference_mode():
            pairs = ((to_tensor(a[i : i + _PART]), to_tensor(b[i : i + _PART])) for i in range(0, len(a), _PART))
            parts = [torch.as_tensor(network.answer(*pair)) for pair in pairs]
        found: Float64 = torch.cat(parts).double().numpy()
        return found

    card = {"name": name, "kind": "distance of pictures", "side_px": COMPARED_PX}
    return PanelComparer(f"{name}@{'-'.join(map(digits_of, network.files))}", name, answer, rows, card)
