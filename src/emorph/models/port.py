"""The doors to every model: what a file or folder is, what it holds, loaded, or written as a folder of ours.

What emorph knows of each kind of model is in ``emorph.models.kinds``; nothing here is about one kind alone but the
functions that promise one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from emorph.core.commands import command
from emorph.core.config import Config
from emorph.core.errors import CheckpointError, ConfigError, MissingAssetError
from emorph.core.files import file_digest
from emorph.core.pretrained import CONFIG_FILE, WEIGHTS_FILE, locate
from emorph.models.deca import DecaEncoder
from emorph.models.deca_file import FaceEncoderFile
from emorph.models.diffae import DiffAE, DiffAEConfig, latent_stats_from
from emorph.models.directions import Directions, LatentStats
from emorph.models.kinds import all_kinds, kind_of_file, kind_of_folder
from emorph.models.kinds.autoencoder import AUTOENCODER, file_config, folder_config
from emorph.models.kinds.directions import DIRECTIONS
from emorph.models.kinds.face_encoders import ENCODERS, encoder_of
from emorph.models.kinds.kind import Hints, ModelKind, Weights
from emorph.models.kinds.rig import RIG
from emorph.models.rig import Rig
from emorph.models.sources import MEAN, OFFICIAL_FILE, OFFICIAL_NOISE, STATISTICS, Source, inside, read_safetensors
from emorph.models.weights import COUNTER

_BATCH_STATISTICS = ("running_mean", "running_var", COUNTER)
_NO_PARAMETERS = (*STATISTICS, OFFICIAL_NOISE)
M = TypeVar("M")


@dataclass(frozen=True)
class ModelInfo:
    """What a model file or folder is.

    role: the name of its kind. config: its sizes, for kinds that have them. labels: of directions or a judge. weights:
    the file of the numbers, with its size and hash. training: epoch, step and the like, where the file tells them.
    """

    role: str
    layout: str
    weights: Path
    file_bytes: int
    sha256: str
    n_parameters: int
    config: Config | None
    labels: tuple[str, ...]
    has_latent_stats: bool
    training: Mapping[str, int | str]


def load_any(name: str | Path, *, image_size: int | None = None) -> Any:
    """Whatever model a file or folder holds, in float32 and evaluation mode.

    name: a folder of ours, a bundled model or a hub id; an official file or the folder around it; a state dict as .pt,
    .pth or .safetensors; a checkpoint of a training run (its EMA is taken). image_size: side of the pictures in
    pixels, for a bare state dict that does not show it.
    Raises UnknownNameError, and CheckpointError if it is missing, damaged, unsafe, unknown, or does not fit.

    >>> load_any("emorph-judge").config.image_size
    48
    """
    return _load_any(inside(locate(name)), Hints(image_size))[1]


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
    return _load(name, AUTOENCODER, "an autoencoder", Hints(image_size))


def autoencoder_config(name: str | Path, *, image_size: int | None = None) -> DiffAEConfig:
    """The sizes of an autoencoder, without its numbers. As ``load``."""
    path = inside(locate(name))
    if path.is_dir():
        return folder_config(path)
    source = Source.read(path, numbers=False)
    return file_config(source, _sorted_as(AUTOENCODER, source, "an autoencoder"), Hints(image_size))


def load_rig(name: str | Path, *, image_size: int | None = None, num_heads: int = 1) -> Rig:
    """A rig from any of its files, in float32 and evaluation mode.

    name: a folder of ours, a bundled model or a hub id; an official ``model*.pt`` of stage 1 or 2, whose encoder shows
    in its keys; a checkpoint of a training run (its EMA is taken). image_size, num_heads: for a bare state dict of
    unofficial sizes, see ``rig_config_from_state``. Raises as ``load``.
    """
    return _load(name, RIG, "a rig", Hints(image_size, num_heads))


def read_directions(name: str | Path) -> Directions:
    """Directions from a folder of ours, a hub id, or an official classifier's ``last.ckpt``.

    The classifier of 40 classes is the official one of CelebA's attributes and gets their names; in others the classes
    are called class_0, class_1, ... Raises UnknownNameError or CheckpointError, as ``load``.
    """
    return _load(name, DIRECTIONS, "directions (a classifier)", Hints())


def read_latent_stats(path: str | Path) -> LatentStats:
    """Mean and standard deviation of z_sem from an official ``latent.pkl``, latent or classifier checkpoint."""
    source = Source.read(Path(path))
    kind, weights = kind_of_file(source)
    if MEAN not in weights:
        raise CheckpointError(f"{source.name} is {_told(kind, weights)}; it holds no statistics of z_sem.")
    return latent_stats_from(weights, weights[MEAN].numel(), source.name)


def load_face_encoder(name: str | Path) -> DecaEncoder:
    """DECA from ``deca_model.tar``, or EMOCA (an ``EmocaEncoder``) from its checkpoint, whichever the file holds.

    name: a path, a folder of ``convert``, or "deca" or "emoca" for the files that ``emorph models list`` names.
    Raises MissingAssetError, with the page to get it from, UnknownNameError, and CheckpointError.
    """
    path = locate(name)
    if path.is_dir():
        kind = kind_of_folder(path)
        if kind.name not in ENCODERS:
            raise CheckpointError(
                f"{path} is a folder of another model ({kind.name}), but DECA or EMOCA is needed here."
            )
        path /= WEIGHTS_FILE
    return encoder_of(FaceEncoderFile.read(path))


def kind_of(name: str | Path) -> str:
    """The name of a file's or folder's kind, as in ``emorph.models.kinds``, without its numbers. Raises as ``load``.

    >>> kind_of("emorph-base")
    'autoencoder'
    """
    path = inside(locate(name))
    return (kind_of_folder(path) if path.is_dir() else kind_of_file(Source.read(path, numbers=False))[0]).name


def is_rig(name: str | Path) -> bool:
    """Whether a folder, a bundled model or a hub id is a rig; no weights are read. Raises as ``load``."""
    path = inside(locate(name))
    return path.is_dir() and kind_of_folder(path) is RIG


def convert(
    source: str | Path,
    folder: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    image_size: int | None = None,
    version: str | None = None,
) -> Path:
    """Write a model as a folder of ours, or a 3D face model's release as what ``emorph`` reads.

    source: as in ``load_any``; or FLAME's model file or its folder; or a copy of ICT-FaceKit's repository.
    dtype: of the weights, but not of directions and face models. version: of FLAME, "2020" or "2023", where the name
    of its file does not tell it. Raises MissingAssetError if a folder holds nothing of
    these or a file beside it is lacking, and CheckpointError also if ``folder`` is there and not empty.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder} exists already; give a new folder, nothing was written.")
    path = inside(locate(source))
    for kind in all_kinds():
        if kind.release and kind.release.fits(path):
            _refuse_version(version if not kind.release.has_versions else None, path)
            kind.release.convert(path, folder, version)
            return folder
    _refuse_version(version, path)
    _refuse_what_is_no_model(path)
    kind, model = _load_any(path, Hints(image_size), to_write=True)
    assert kind.save is not None
    kind.save(model, folder, dtype)
    return folder


def _refuse_version(version: str | None, path: Path) -> None:
    if version is not None:
        raise ConfigError(f"--version is for FLAME's files, and {path} is none; leave it out.")


def _refuse_what_is_no_model(path: Path) -> None:
    """Raises MissingAssetError for a folder that holds no model, CheckpointError for what only lies beside one."""
    releases = [kind.release for kind in all_kinds() if kind.release]
    for release in releases:
        if path.name in release.companions:
            raise CheckpointError(
                f"{path.name} comes along with {release.title}'s model file: name {release.main}, or the folder."
            )
    if path.is_dir() and not (path / CONFIG_FILE).exists():
        holds = ", ".join(f"no {release.main}" for release in reversed(releases))
        raise MissingAssetError(
            f"{path} holds nothing to convert: {holds}, no {OFFICIAL_FILE} and no {CONFIG_FILE}; a model that is one "
            "file, as DECA's, is named itself."
        )


def model_info(name: str | Path, *, image_size: int | None = None) -> ModelInfo:
    """What a file or folder is; its weights are hashed but not loaded. Raises as ``load``."""
    path = inside(locate(name))
    for kind in all_kinds():
        if kind.release and kind.release.fits(path):
            raise CheckpointError(
                f"{path} is {kind.release.title} as its owner gives it; look into what this writes: "
                f"{command('models', 'convert', path, '-o', kind.name)}"
            )
    if path.is_dir():
        kind = kind_of_folder(path)
        assert kind.folder is not None
        facts, layout, training = kind.folder.facts(path), "emorph folder", {}
        path /= kind.folder.weights_file
        if not path.is_file():
            raise CheckpointError(f"{path.parent} has no {path.name}; copy the whole folder again.")
        weights = read_safetensors(path, numbers=False) if path.name == WEIGHTS_FILE else {}
    else:
        source = Source.read(path, numbers=False)
        kind, weights = kind_of_file(source)
        assert kind.file is not None
        facts = kind.file.facts(source, weights, Hints(image_size))
        layout, training = source.layout, dict(source.facts)
    return ModelInfo(
        role=kind.name,
        layout=layout,
        weights=path,
        file_bytes=path.stat().st_size,
        sha256=file_digest(path),
        n_parameters=facts.n_parameters or sum(tensor.numel() for key, tensor in weights.items() if _is_parameter(key)),
        config=facts.config,
        labels=facts.labels,
        has_latent_stats=MEAN in weights,
        training=training,
    )


def _load(name: str | Path, kind: ModelKind[M], wanted: str, hints: Hints) -> M:
    """A model of one kind. wanted: what messages call it where something else is found."""
    assert kind.folder is not None
    assert kind.file is not None
    path = inside(locate(name))
    if path.is_dir():
        _refuse_graphs(path, kind)
        return kind.folder.load(path)
    source = Source.read(path)
    return kind.file.load(source, _sorted_as(kind, source, wanted), hints)


def _refuse_graphs(path: Path, wanted: ModelKind[Any]) -> None:
    """Raises CheckpointError, saying how it is used, for a folder of exported graphs."""
    if (path / CONFIG_FILE).is_file():
        kind = kind_of_folder(path)
        if kind is not wanted and kind.folder is not None and kind.folder.weights_file != WEIGHTS_FILE:
            raise CheckpointError(f"{path} holds {kind.what}; {kind.use}.")


def _load_any(path: Path, hints: Hints, *, to_write: bool = False) -> tuple[ModelKind[Any], Any]:
    """A model of whichever kind. to_write: refuse kinds that no folder is written of, before memory is taken."""
    source = None if path.is_dir() else Source.read(path)
    kind, weights = (kind_of_folder(path), {}) if source is None else kind_of_file(source)
    if to_write and kind.save is None:
        raise CheckpointError(f"{path} is {kind.what}; {kind.use}.")
    if source is None:
        assert kind.folder is not None
        return kind, kind.folder.load(path)
    assert kind.file is not None
    return kind, kind.file.load(source, weights, hints)


def _sorted_as(wanted: ModelKind[Any], source: Source, words: str) -> Weights:
    """The tensors of a file that must be of this kind. Raises CheckpointError, naming what it is and how it is used."""
    kind, weights = kind_of_file(source)
    if kind is not wanted:
        raise CheckpointError(f"{source.name} is {_told(kind, weights)}, not {words}; {kind.use}.")
    return weights


def _told(kind: ModelKind[Any], weights: Weights) -> str:
    """What messages call a file of this kind."""
    return kind.what + (kind.file.detail(weights) if kind.file else "")


def _is_parameter(key: str) -> bool:
    """Not a BatchNorm's statistics, a buffer of official files, nor the latent net's second name for a tensor."""
    return not key.endswith(_BATCH_STATISTICS) and ".cond_layers." not in key and key not in _NO_PARAMETERS
