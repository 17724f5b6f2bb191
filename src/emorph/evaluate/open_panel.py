"""From names and files to what a run asks: judges of emotions, recognisers, face models, networks that compare."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from emorph.core.downloads import present
from emorph.core.errors import CheckpointError, DataError, MissingAssetError, UnknownNameError
from emorph.core.expressions import Emotion
from emorph.core.files import file_digest
from emorph.core.images import luminance, to_tensor
from emorph.core.pretrained import WEIGHTS_FILE, locate
from emorph.core.types import CropSpec, FaceCoeffs, Float32, Float64, UInt8
from emorph.evaluate.asked import POINTS_PX, CropPlan, PanelComparer, PanelEncoder, PanelJudge
from emorph.evaluate.cards import CARDS, JudgeCard, Kind, judge_card, not_onnx, recogniser_card
from emorph.evaluate.emonet_judge import TRAINED_ON, EmoNetJudge
from emorph.evaluate.emotion import judge_crops
from emorph.evaluate.judges import EmotionJudge, EmotionReading, Recogniser
from emorph.evaluate.perceptual import LPIPS, Net, backbone_file, find_files
from emorph.evaluate.surroundings import NETWORKS_PX
from emorph.evaluate.texture import DISTS
from emorph.face3d.camera import CROP_SIDE_PX
from emorph.face3d.fit import fit_landmarks
from emorph.face3d.ict import ICT
from emorph.models.emonet import SIDE_PX
from emorph.models.inception import Inception
from emorph.models.judge import Judge
from emorph.models.port import load_face_encoder

BUNDLED_JUDGE = "emorph-judge"
BUNDLED_TRAINED_ON = ("fer2013/train",)
EMONETS: dict[str, Literal[5, 8]] = {"emonet_8": 8, "emonet_5": 5}
FACE_MODELS = ("ict-facekit", "deca", "emoca")
COMPARERS = ("lpips_alex", "lpips_vgg", "dists")
FEATURES = "inception-fid"
COMPARED_PX = NETWORKS_PX
_PART = 16  # pictures at once, which bounds the memory of large networks


def load_judge(name: str, threads: int) -> PanelJudge:
    """The bundled one, a folder of one, a card's name, emonet_8, emonet_5, or an .onnx file with its card beside it.

    Raises MissingAssetError for a file that is not here, UnknownNameError, CheckpointError, DataError.
    """
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
    if folder.is_file():
        raise CheckpointError(not_onnx(folder))
    judge = Judge.from_pretrained(folder)
    config = judge.config

    def answer(crops: UInt8) -> Float64:
        return judge_crops(judge, list(luminance(to_tensor(crops))))

    plan = CropPlan("ffhq", config.image_size, config.crop)
    return PanelJudge(
        id=f"{folder.name}@{digits_of(folder / WEIGHTS_FILE)}",
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
        id=f"{card.name}@{digits_of(path)}",
        emotions=emotions,
        plan=CropPlan(card.crop, card.side_px),
        answer=_reader(judge, emotions, has_va=card.has_va),
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
    return PanelJudge(
        id=f"{name}@{_tensor_digits(judge.model)}",
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


def digits_of(path: Path) -> str:
    """The first eight digits of a file's SHA-256."""
    return file_digest(path)[:8]


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
    return PanelEncoder(f"{network.name}@{_tensor_digits(network)}", plan, answer, card=card, role="face model")


def _fitted(path: Path | None) -> PanelEncoder:
    model = ICT.load(path)

    def answer(points: Float32) -> Float32:
        fit = fit_landmarks(model, torch.from_numpy(points), POINTS_PX)
        return _row(fit.coeffs, fit.ok.float().numpy())

    sizes = _coefficients(model)
    card = {"name": model.name, "kind": "face model, fitted to 68 landmarks", **sizes}
    plan = CropPlan("points", POINTS_PX)
    return PanelEncoder(f"ict-facekit@{_tensor_digits(model)}", plan, answer, card=card, role="face model")


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


def load_comparer(metric: str) -> PanelComparer:
    """LPIPS with one of its networks, or DISTS. Raises MissingAssetError, CheckpointError."""
    network: LPIPS | DISTS
    if metric == "dists":
        files = (backbone_file("vgg"), present("dists").path)
        network = DISTS.from_files(*files)
    else:
        net: Net = "alex" if metric == "lpips_alex" else "vgg"
        files = find_files(net)
        network = LPIPS.from_files(net, *files)

    def answer(a: UInt8, b: UInt8) -> Float64:
        with torch.inference_mode():
            parts = [network(to_tensor(a[i : i + _PART]), to_tensor(b[i : i + _PART])) for i in range(0, len(a), _PART)]
        found: Float64 = torch.cat(parts).double().numpy()
        return found

    card = {"name": metric, "kind": "distance of pictures", "side_px": COMPARED_PX}
    return PanelComparer(f"{metric}@{digits_of(files[0])}-{digits_of(files[1])}", metric, answer, card)


def _tensor_digits(module: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for tensor in module.state_dict().values():
        digest.update(tensor.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()[:8]
