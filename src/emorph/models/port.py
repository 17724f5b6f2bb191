"""Loads any file of the diffusion autoencoder or the rig, official or ours; what it is shows in its keys and shapes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from emorph.core.assets import FLAME_PAGE, ICT_PAGE
from emorph.core.errors import CheckpointError, MissingAssetError
from emorph.core.files import file_digest
from emorph.core.pretrained import CONFIG_FILE, WEIGHTS_FILE, locate, read_config
from emorph.face3d.convert import COMPANIONS, convert_flame, is_flame_source
from emorph.face3d.flame import KIND as FLAME
from emorph.face3d.ict_source import MODEL_FILE, convert_ict, is_ict_source
from emorph.models import diffae, directions, judge, rig
from emorph.models.deca import DecaEncoder
from emorph.models.diffae import DiffAE, DiffAEConfig
from emorph.models.directions import Directions, DirectionsConfig, LatentStats
from emorph.models.emoca import EmocaEncoder
from emorph.models.judge import JudgeConfig
from emorph.models.rig import Rig, RigConfig
from emorph.models.sources import Role, Source, read_face_encoder, read_safetensors
from emorph.models.weights import COUNTER, save_model

OFFICIAL_FILE = "last.ckpt"
DIRECTIONS_FOLDER = "directions"
_BATCH_STATISTICS = ("running_mean", "running_var", COUNTER)
ModelConfig = DiffAEConfig | JudgeConfig | RigConfig


@dataclass(frozen=True)
class ModelInfo:
    """What a model file or folder is. training: epoch, step and the like, where the file tells them.

    config: of an autoencoder, a judge or a rig. labels: of directions or a judge. weights: the file of the numbers,
    with its size and hash.
    """

    role: Role
    layout: str
    weights: Path
    file_bytes: int
    sha256: str
    n_parameters: int
    config: ModelConfig | None
    labels: tuple[str, ...]
    has_latent_stats: bool
    training: Mapping[str, int | str]


def load(name: str | Path, *, image_size: int | None = None) -> DiffAE:
    """A diffusion autoencoder from any of its files, in float32 and evaluation mode.

    name: a folder of ours, a bundled model or a hub id; an official ``last.ckpt``, with or without a latent net, or the
    folder around it; a state dict as .pt, .pth or .safetensors; a checkpoint of a training run (its EMA is taken).
    Of a file with averaged weights (``ema_model.*``) those are taken, as the official code does.
    image_size: side of the pictures in pixels, for a bare state dict that does not show it.
    Raises UnknownNameError, and CheckpointError if it is missing, damaged, unsafe, something else, or does not fit.

    >>> type(load("emorph-base")).__name__
    'DiffAE'
    """
    path = _inside(locate(name))
    if path.is_dir():
        return DiffAE.from_pretrained(path)
    source = Source.read(path)
    source.need("autoencoder", "an autoencoder")
    config = source.config(image_size)
    return DiffAE.from_tensors(config, source.weights | source.statistics, path.name)


def autoencoder_config(name: str | Path, *, image_size: int | None = None) -> DiffAEConfig:
    """The sizes of an autoencoder, without its numbers. As ``load``."""
    path = _inside(locate(name))
    if path.is_dir():
        return DiffAEConfig.parse(read_config(path, diffae.KIND), str(path))
    source = Source.read(path, numbers=False)
    source.need("autoencoder", "an autoencoder")
    return source.config(image_size)


def load_rig(name: str | Path, *, image_size: int | None = None, num_heads: int = 1) -> Rig:
    """A rig from any of its files, in float32 and evaluation mode.

    name: a folder of ours, a bundled model or a hub id; an official ``model*.pt`` of stage 1 or 2, whose encoder shows
    in its keys; a checkpoint of a training run (its EMA is taken). image_size, num_heads: for a bare state dict of
    unofficial sizes, see ``rig_config_from_state``. Raises as ``load``.
    """
    path = _inside(locate(name))
    if path.is_dir():
        return Rig.from_pretrained(path)
    source = Source.read(path)
    source.need("rig", "a rig")
    return Rig.from_tensors(source.rig_config(image_size, num_heads), source.weights, path.name)


def role_of(name: str | Path) -> Role:
    """What a file or folder is, without its numbers. Raises as ``load``."""
    path = _inside(locate(name))
    return _folder_config(path)[0] if path.is_dir() else Source.read(path, numbers=False).role


def is_rig(name: str | Path) -> bool:
    """Whether a folder, a bundled model or a hub id is a rig; no weights are read. Raises as ``load``."""
    path = _inside(locate(name))
    return path.is_dir() and _folder_config(path)[0] == "rig"


def load_face_encoder(name: str | Path) -> DecaEncoder:
    """DECA from ``deca_model.tar``, or EMOCA (an ``EmocaEncoder``) from its checkpoint, whichever the file holds.

    name: a path, a folder of ``convert``, or "deca" or "emoca" for the files that ``emorph models list`` names.
    Raises MissingAssetError, with the page to get it from, UnknownNameError, and CheckpointError.
    """
    path = locate(name)
    if path.is_dir():
        role = _folder_config(path)[0]
        if role not in (DecaEncoder.name, EmocaEncoder.name):
            raise CheckpointError(f"{path} is a folder of another model ({role}), but DECA or EMOCA is needed here.")
        path /= WEIGHTS_FILE
    file = read_face_encoder(path)
    return EmocaEncoder.from_file(file) if file.kind == EmocaEncoder.name else DecaEncoder.from_file(file)


def read_directions(name: str | Path) -> Directions:
    """Directions from a folder of ours, a hub id, or an official classifier's ``last.ckpt``.

    The classifier of 40 classes is the official one of CelebA's attributes and gets their names; in others the classes
    are called class_0, class_1, ... Raises UnknownNameError or CheckpointError, as ``load``.
    """
    path = _inside(locate(name))
    if path.is_dir():
        return Directions.from_pretrained(path)
    source = Source.read(path)
    source.need("directions", "directions (a classifier)")
    weight, bias = source.weights["weight"].float().clone(), source.weights["bias"].float().clone()
    return Directions(weight, bias, source.labels(), source.stats(weight.shape[1]))


def directions_beside(name: str | Path) -> Directions | None:
    """The directions that lie in ``directions`` beside an autoencoder's file or in its folder; None without any.

    Raises as ``load``.
    """
    place = locate(name)
    folder = (place if place.is_dir() else place.parent) / DIRECTIONS_FOLDER
    return read_directions(folder) if folder.is_dir() else None


def read_latent_stats(path: str | Path) -> LatentStats:
    """Mean and standard deviation of z_sem from an official ``latent.pkl``, latent or classifier checkpoint."""
    source = Source.read(Path(path))
    if not source.statistics:
        raise CheckpointError(f"{source.name} is {source.what}; it holds no statistics of z_sem.")
    return source.stats(source.statistics["conds_mean"].numel())


def convert(
    source: str | Path, folder: str | Path, *, dtype: torch.dtype = torch.float32, image_size: int | None = None
) -> Path:
    """Write an official file as a folder of ours: an autoencoder, a rig, directions, a face model or a face encoder.

    source: as in ``load``; or FLAME's model file or its folder; or a copy of ICT-FaceKit's repository; or DECA's or
    EMOCA's file. dtype: of the weights, but not of directions and face models. Raises MissingAssetError if a folder
    holds nothing of these or a file beside it is lacking, and CheckpointError also if ``folder`` is there, not empty.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder} exists already; give a new folder, nothing was written.")
    path = _inside(locate(source))
    if path.is_dir() and is_ict_source(path):
        convert_ict(path, folder / MODEL_FILE)
        return folder
    if is_flame_source(path):
        convert_flame(path, folder)
        return folder
    _refuse_what_is_no_model(path)
    role = role_of(path)
    if role == "directions" and path.is_file():
        read_directions(path).save_pretrained(folder)
    elif role == "rig":
        load_rig(path, image_size=image_size).save_pretrained(folder, dtype=dtype)
    elif role in (DecaEncoder.name, EmocaEncoder.name):
        save_model(folder, role, {}, load_face_encoder(path).state_dict(), dtype=dtype)
    else:
        load(path, image_size=image_size).save_pretrained(folder, dtype=dtype)
    return folder


def _refuse_what_is_no_model(path: Path) -> None:
    """Raises MissingAssetError for a folder that holds no model, CheckpointError for what only lies beside one."""
    if path.is_dir() and not (path / CONFIG_FILE).exists():
        raise MissingAssetError(
            f"{path} holds nothing to convert: no generic_model.pkl or flame2023.pkl (FLAME, from {FLAME_PAGE}), no "
            f"FaceXModel (ICT-FaceKit, from {ICT_PAGE}), no {OFFICIAL_FILE} and no {CONFIG_FILE}; a model that is one "
            "file, as DECA's, is named itself."
        )
    if path.name in COMPANIONS:
        raise CheckpointError(f"{path.name} comes along with FLAME's model file: name generic_model.pkl or the folder.")
    if path.is_dir() and _folder_config(path)[0] == FLAME:
        raise CheckpointError(f"{path} is a FLAME model that was converted before; use it as it is.")


def describe(name: str | Path, *, image_size: int | None = None) -> ModelInfo:
    """What a file or folder is; its weights are hashed but not loaded. Raises as ``load``."""
    path = _inside(locate(name))
    if is_flame_source(path):
        raise CheckpointError(
            f"{path} is FLAME as its owner gives it; look into what this writes: emorph models convert {path} -o flame"
        )
    labels: tuple[str, ...] = ()
    config: ModelConfig | None = None
    training: Mapping[str, int | str] = {}
    if path.is_dir():
        role, config, labels = _folder_config(path)
        layout, path = "emorph folder", path / WEIGHTS_FILE
        if not path.is_file():
            raise CheckpointError(f"{path.parent} has no {WEIGHTS_FILE}; copy the whole folder again.")
        shapes = read_safetensors(path, numbers=False)
        has_stats = "conds_mean" in shapes
        weights = {key: tensor for key, tensor in shapes.items() if not key.startswith("conds_")}
    else:
        source = Source.read(path, numbers=False)
        role, layout, training = source.role, source.layout, source.facts
        weights, has_stats = source.weights, bool(source.statistics)
        if role == "rig":
            config = source.rig_config(image_size)
        else:
            config = source.config(image_size) if role == "autoencoder" else None
        labels = source.labels() if role == "directions" else ()
    digest = file_digest(path)
    n_parameters = sum(tensor.numel() for key, tensor in weights.items() if not _no_parameter(key))
    size = path.stat().st_size
    return ModelInfo(role, layout, path, size, digest, n_parameters, config, labels, has_stats, training)


def _no_parameter(key: str) -> bool:
    """Whether an entry is a BatchNorm's statistics, or the second name that the latent net lists a tensor under."""
    return key.endswith(_BATCH_STATISTICS) or ".cond_layers." in key


def _inside(path: Path) -> Path:
    """The folder or file to read: of a run's checkpoint its EMA, of an official folder its last.ckpt.

    The weights of a folder of ours stand for the folder, whose config.json says more than they do.
    """
    if path.name == WEIGHTS_FILE and (path.parent / CONFIG_FILE).exists():
        return path.parent
    if path.is_dir() and not (path / CONFIG_FILE).exists():
        for inner in (path / "ema", path / OFFICIAL_FILE):
            if (inner / CONFIG_FILE).exists() or inner.is_file():
                return inner
    return path


def _folder_config(folder: Path) -> tuple[Role, ModelConfig | None, tuple[str, ...]]:
    try:
        kind = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8")).get("kind")
    except (OSError, ValueError, AttributeError):
        kind = diffae.KIND  # read_config says what is wrong
    if kind == directions.KIND:
        labels = DirectionsConfig.parse(read_config(folder, directions.KIND), str(folder)).labels
        return "directions", None, labels
    if kind == judge.KIND:
        config = JudgeConfig.parse(read_config(folder, judge.KIND), str(folder))
        return "judge", config, config.labels
    if kind == rig.KIND:
        return "rig", RigConfig.parse(read_config(folder, rig.KIND), str(folder)), ()
    if kind in (DecaEncoder.name, EmocaEncoder.name, FLAME):
        return kind, None, ()
    return "autoencoder", DiffAEConfig.parse(read_config(folder, diffae.KIND), str(folder)), ()
