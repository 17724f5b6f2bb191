"""The kinds of model that emorph knows: one file a kind, one line in this table."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emorph.core.errors import CheckpointError
from emorph.core.pretrained import stated_kind
from emorph.models.kinds.kind import ModelKind, Weights
from emorph.models.sources import Source

# In the order in which a file is held against them: a kind whose files could pass for another's comes before it.
KINDS: dict[str, str] = {
    "emoca": "emorph.models.kinds.face_encoders:EMOCA",
    "deca": "emorph.models.kinds.face_encoders:DECA",
    "directions": "emorph.models.kinds.directions:DIRECTIONS",
    "rig": "emorph.models.kinds.rig:RIG",
    "latents": "emorph.models.kinds.latents:LATENTS",
    "autoencoder": "emorph.models.kinds.autoencoder:AUTOENCODER",
    "judge": "emorph.models.kinds.judge:JUDGE",
    "exported-autoencoder": "emorph.models.kinds.exported:EXPORTED_AUTOENCODER",
    "exported-judge": "emorph.models.kinds.exported:EXPORTED_JUDGE",
    "dlib-recogniser": "emorph.models.kinds.loss_nets:DLIB",
    "emotion-net": "emorph.models.kinds.loss_nets:EMOTION_NET",
    "shape-net": "emorph.models.kinds.loss_nets:SHAPE_NET",
    "painter": "emorph.models.kinds.painter:PAINTER",
    "ict": "emorph.models.kinds.face_models:ICT",
    "flame": "emorph.models.kinds.face_models:FLAME",
}


def all_kinds() -> Iterator[ModelKind[Any]]:
    """Every kind of the table, in its order."""
    for place in KINDS.values():
        module, name = place.split(":")
        kind: ModelKind[Any] = getattr(importlib.import_module(module), name)
        yield kind


def kind_of_file(source: Source) -> tuple[ModelKind[Any], Weights]:
    """The first kind that a file fits, and its tensors as that kind names them. Raises CheckpointError."""
    for kind in all_kinds():
        weights = kind.file.sort(source) if kind.file else None
        if weights is not None:
            return kind, weights
    example = next(iter(source.state), "none")
    raise CheckpointError(f"{source.name} is not a model that emorph knows: its keys are like {example}.")


def kind_of_folder(folder: Path) -> ModelKind[Any]:
    """The kind that a folder's config.json states. Raises CheckpointError."""
    stated = stated_kind(folder)
    for kind in all_kinds():
        if kind.folder and kind.folder.kind == stated:
            return kind
    known = ", ".join(kind.folder.kind for kind in all_kinds() if kind.folder)
    raise CheckpointError(f"{folder} holds a model of the kind {stated!r}, which emorph does not know; known: {known}.")
