"""A file of weights as it lies on disk, opened without running anything in it; its kind is recognised elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from emorph.core.errors import CheckpointError
from emorph.core.inert import Placeholder
from emorph.core.pretrained import CONFIG_FILE, WEIGHTS_FILE
from emorph.core.stand_ins import refuse_stand_in
from emorph.core.unpickle import read_torch_file

MEAN, STD = STATISTICS = ("conds_mean", "conds_std")  # of z_sem, as official files and our folders call them
OFFICIAL_NOISE = "x_T"  # a buffer of official autoencoders: noise for the pictures of their log
OFFICIAL_FILE = "last.ckpt"  # in the folder that an official run leaves
_FACTS = ("epoch", "global_step", "pytorch-lightning_version")
# Keys under which training programs keep a state dict, averaged weights first; of torch, GFPGAN, timm and others.
_WRAPPERS = ("params_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model", "params", "net")
_MAX_WRAPPERS = 4  # one in another
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel, and of torch.compile
_HALVES = ("ema_model.", "online_model.", "model.")  # of Lightning modules and ema-pytorch, before a wrapper's prefix
_COUNTERS = ("n_averaged", "initted", "step")  # of torch's AveragedModel and ema-pytorch
_FOREIGN = (
    ("deca.", "an EMOCA checkpoint"),
    ("E_flame", "a DECA model"),
    ("lin0.model.", "the LPIPS metric's weights"),
)


def inside(path: Path) -> Path:
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


class NoStateDictError(CheckpointError):
    """A file that can be read, but holds something else than weights."""


@dataclass(frozen=True)
class Source:
    """What a file holds.

    layout: how it is kept, for people. state: the state dict, as it is nested. hyper_parameters: of a Lightning
    checkpoint; not to be trusted further than the weights confirm. facts: its epoch, step and version, where it has
    them.
    """

    name: str
    layout: str
    is_lightning: bool
    state: Mapping[Any, Any]
    hyper_parameters: Mapping[Any, Any]
    facts: Mapping[str, int | str]

    @classmethod
    def read(cls, path: Path, *, numbers: bool = True) -> Source:
        """numbers: False gives the tensors of a safetensors file as shapes only (of others, all is read).

        Raises CheckpointError if the file is damaged, unsafe, or holds no state dict.
        """
        if is_safetensors(path):
            content: Any = read_safetensors(path, numbers=numbers)
            layout = "safetensors"
        else:
            content = read_torch_file(path)
            layout = "bare state dict"
        if not isinstance(content, dict):
            raise NoStateDictError(f"{path.name} holds no state dict but a {type(content).__name__}.")
        if not isinstance(content.get("state_dict"), dict):
            state = bare_keys(unwrapped(content), path.name)
            return cls(path.name, layout, is_lightning=False, state=state, hyper_parameters={}, facts={})
        hyper = content.get("hyper_parameters")
        hyper = hyper.mapping if isinstance(hyper, Placeholder) else hyper
        return cls(
            name=path.name,
            layout="Lightning checkpoint",
            is_lightning=True,
            state=bare_keys(unwrapped(content["state_dict"]), path.name),
            hyper_parameters=hyper if isinstance(hyper, dict) else {},
            facts={key: content[key] for key in _FACTS if isinstance(content.get(key), int | str)},
        )

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """The state dict, of nothing but tensors.

        Raises CheckpointError if it belongs to a network that is none of emorph's models, or holds anything else.
        """
        for start, what in _FOREIGN:
            if any(isinstance(key, str) and key.startswith(start) for key in self.state):
                raise CheckpointError(f"{self.name} is {what}; a diffusion autoencoder's file is needed here.")
        tensors: dict[str, Tensor] = {}
        for key, value in self.state.items():
            if not isinstance(key, str) or not isinstance(value, Tensor):
                raise CheckpointError(
                    f"{self.name} is not a checkpoint that emorph knows: {key if isinstance(key, str) else 'a key'} is "
                    f"a {type(value).__name__}, where a state dict has tensors."
                )
            tensors[key] = value
        return tensors


def unwrapped(content: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The state dict inside the dicts that training programs put around it; averaged weights before others."""
    for _ in range(_MAX_WRAPPERS):
        held = (content.get(name) for name in _WRAPPERS)
        inner = next((part for part in held if isinstance(part, dict) and part), None)
        if inner is None:
            break
        content = inner
    return content


def bare_keys(state: Mapping[Any, Any], name: str) -> dict[Any, Any]:
    """A state dict without the prefixes and counters of wrappers: of several devices, compilation, and averaging.

    Raises CheckpointError if two keys differ in nothing else.
    """
    bare: dict[Any, Any] = {}
    for key, value in state.items():
        if key in _COUNTERS:
            continue
        own = _bare(key) if isinstance(key, str) else key
        if own in bare:
            raise CheckpointError(f"{name} holds {own} twice, with a wrapper's prefix and without; save it once.")
        bare[own] = value
    return bare


def _bare(key: str) -> str:
    """ "ema_model.module.encoder.0" is "ema_model.encoder.0"; "_orig_mod.encoder.0" is "encoder.0"."""
    half = next((prefix for prefix in _HALVES if key.startswith(prefix)), "")
    rest = key[len(half) :]
    while rest.startswith(_PREFIXES):
        rest = rest.partition(".")[2]
    return ("model." if half == "online_model." else half) + rest


def is_safetensors(path: Path) -> bool:
    """A safetensors file starts with the length of its JSON header (8 bytes) and that header."""
    refuse_stand_in(path)
    try:
        with path.open("rb") as file:
            head = file.read(9)
        size = path.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from None
    return path.suffix == ".safetensors" or (head[8:] == b"{" and int.from_bytes(head[:8], "little") < size)


def read_safetensors(path: Path, *, numbers: bool) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or only their shapes (on "meta"). Raises CheckpointError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            if numbers:
                return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
            return {
                key: torch.empty(file.get_slice(key).get_shape(), device="meta")
                for key in file.keys()  # noqa: SIM118
            }
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path.name} is damaged or not a safetensors file ({error}); copy it again.") from None
