"""The kinds of DECA and EMOCA: their official files, and our folders of their weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from emorph.core.pretrained import WEIGHTS_FILE
from emorph.models.deca import DecaEncoder
from emorph.models.deca_file import FaceEncoderFile, encoder_name, face_networks, lacking_networks
from emorph.models.emoca import EmocaEncoder
from emorph.models.kinds.kind import FileForm, FolderForm, ModelKind, Weights
from emorph.models.sources import Source
from emorph.models.weights import save_model

ENCODERS: dict[str, type[DecaEncoder]] = {encoder.name: encoder for encoder in (DecaEncoder, EmocaEncoder)}


def encoder_of(file: FaceEncoderFile) -> DecaEncoder:
    """DECA or EMOCA, whichever the file holds. Raises CheckpointError."""
    return ENCODERS[file.kind].from_file(file)


def _sorter(name: str) -> Callable[[Source], Weights | None]:
    def sort(source: Source) -> Weights | None:
        networks = face_networks(source.state)
        return networks if not lacking_networks(networks) and encoder_name(networks) == name else None

    return sort


def _save(model: DecaEncoder, folder: Path, dtype: torch.dtype) -> None:
    save_model(folder, model.name, {}, model.state_dict(), dtype=dtype)


def _kind(name: str, what: str) -> ModelKind[DecaEncoder]:
    return ModelKind(
        name=name,
        what=what,
        use="load it with emorph.models.port.load_face_encoder",
        folder=FolderForm(name, lambda folder: encoder_of(FaceEncoderFile.read(folder / WEIGHTS_FILE))),
        file=FileForm(_sorter(name), lambda source, weights, hints: encoder_of(FaceEncoderFile.of(source))),
        save=_save,
    )


DECA = _kind(DecaEncoder.name, "a DECA model")
EMOCA = _kind(EmocaEncoder.name, "an EMOCA checkpoint")
