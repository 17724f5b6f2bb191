"""What emorph must know of a kind of model: how it is recognised, loaded, described and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor

from emorph.core.config import Config
from emorph.core.pretrained import WEIGHTS_FILE, read_config
from emorph.models.sources import Source
from emorph.models.weights import PretrainedModule

M = TypeVar("M")
P = TypeVar("P", bound=PretrainedModule)
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Hints:
    """What the user says about a file where its weights do not show it.

    image_size: side of the pictures in pixels; None if nothing is said. num_heads: of the attention, in a rig.
    """

    image_size: int | None = None
    num_heads: int = 1


@dataclass(frozen=True)
class Facts:
    """What can be said about a model without its numbers. labels: names of its classes, where it has any.

    n_parameters: where it is stated; None where the weights' file shows it.
    """

    config: Config | None = None
    labels: tuple[str, ...] = ()
    n_parameters: int | None = None


def no_facts(*_: object) -> Facts:
    """Of a kind whose models are all alike."""
    return Facts()


def no_detail(_: Weights) -> str:
    """Of a kind whose name says enough."""
    return ""


@dataclass(frozen=True)
class FolderForm(Generic[M]):
    """A kind as a folder of config.json and model.safetensors, or of another file.

    kind: what its config.json states. module: of a network that writes itself, its class.
    """

    kind: str
    load: Callable[[Path], M]
    facts: Callable[[Path], Facts] = no_facts
    module: type[PretrainedModule] | None = None
    weights_file: str = WEIGHTS_FILE


@dataclass(frozen=True)
class FileForm(Generic[M]):
    """A kind as a file of weights, official or bare.

    sort: the kind's tensors under the names of its modules; None if the file is something else. It may be handed
    tensors without numbers (on the "meta" device), and raises CheckpointError for a file of this kind that is broken.
    detail: what messages add to the kind's name about one file.
    """

    sort: Callable[[Source], Weights | None]
    load: Callable[[Source, Weights, Hints], M]
    facts: Callable[[Source, Weights, Hints], Facts] = no_facts
    detail: Callable[[Weights], str] = no_detail


@dataclass(frozen=True)
class Release:
    """A kind as its owner publishes it: files that are no model yet, and are converted once.

    title: what it is called. fits: whether a path is the release. convert: writes it to a folder; its last argument is
    the version that the user says it is, None for the one that its files tell, and has_versions whether it minds.
    main: the files that it is known by, in words. companions: files that only lie beside them, and are refused by
    themselves.
    """

    title: str
    fits: Callable[[Path], bool]
    convert: Callable[[Path, Path, str | None], object]
    main: str
    companions: tuple[str, ...] = ()
    has_versions: bool = False


@dataclass(frozen=True)
class ModelKind(Generic[M]):
    """One kind of model: the words for it, the forms that it comes in, and how it is written.

    what: its name in messages, with its article. use: what one does with it, as a command to the reader.
    save: writes a folder of it, its floats as the given type; None if there is no such folder, or nothing to convert.
    """

    name: str
    what: str
    use: str
    folder: FolderForm[M] | None = None
    file: FileForm[M] | None = None
    release: Release | None = None
    save: Callable[[M, Path, torch.dtype], None] | None = None


def folder_of(module: type[P]) -> FolderForm[P]:
    """The folders that a network writes itself."""

    def facts(folder: Path) -> Facts:
        return Facts(module.config_type.parse(read_config(folder, module.kind), str(folder)))

    return FolderForm(module.kind, module.from_pretrained, facts, module)


def save_module(module: PretrainedModule, folder: Path, dtype: torch.dtype) -> None:
    """``ModelKind.save`` of a network that writes itself."""
    module.save_pretrained(folder, dtype=dtype)
