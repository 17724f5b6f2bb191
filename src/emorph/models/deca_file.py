"""The networks in a file of DECA or EMOCA, however the file nests them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from emorph.core.errors import CheckpointError
from emorph.models.sources import NoStateDictError, Source

EncoderName = Literal["deca", "emoca"]
COMMON_NETWORKS = ("E_flame", "E_detail", "D_detail")
EMOCA_NETWORK = "E_expression"
_NETWORKS = (*COMMON_NETWORKS, EMOCA_NETWORK)
_EMOTION_OUTPUTS = 50
_WITH_JAW_OR_POSE = (53, 56)


@dataclass(frozen=True)
class FaceEncoderFile:
    """A file of DECA or EMOCA. weights: the networks' tensors, keys as in their modules; buffers are left out."""

    name: str
    kind: EncoderName
    weights: dict[str, Tensor]

    @classmethod
    def read(cls, path: Path) -> FaceEncoderFile:
        """``deca_model.tar``, or an EMOCA checkpoint; which, shows in its keys.

        A network's tensors may also lie side by side under their full keys, as safetensors or torch.save keep them.
        Raises CheckpointError if it is missing, damaged, unsafe, or something else.
        """
        try:
            return cls.of(Source.read(path))
        except NoStateDictError as error:
            raise CheckpointError(f"{str(error).rstrip('.')}: it is neither DECA's nor EMOCA's file.") from None

    @classmethod
    def of(cls, source: Source) -> FaceEncoderFile:
        """The same of a file that is open already. Raises CheckpointError."""
        weights = face_networks(source.state)
        lacking = lacking_networks(weights)
        if len(lacking) == len(COMMON_NETWORKS):
            raise CheckpointError(f"{source.name} is neither DECA's nor EMOCA's file: it holds none of their networks.")
        if lacking:
            raise CheckpointError(f"{source.name} is incomplete: it has no {lacking[0]}; get the whole file again.")
        last_layer = weights.get(f"{EMOCA_NETWORK}.layers.2.weight", torch.empty(_EMOTION_OUTPUTS, 0))
        if len(last_layer) in _WITH_JAW_OR_POSE:
            raise CheckpointError(
                f"{source.name} is an EMOCA that also gives the jaw or the pose ({len(last_layer)} values); "
                "the released v1 and v2 give 50, and only these are read."
            )
        return cls(source.name, encoder_name(weights), weights)


def face_networks(state: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The tensors of DECA's and EMOCA's networks, under their full keys, however the file nests them."""
    flat: dict[str, Tensor] = {}
    for key, value in state.items():
        inner = value.items() if isinstance(value, dict) and key in _NETWORKS else ()
        for full, tensor in ((key, value), *((f"{key}.{name}", part) for name, part in inner)):
            if isinstance(full, str) and isinstance(tensor, Tensor):
                flat[full.removeprefix("deca.")] = tensor
    return {key: tensor for key, tensor in flat.items() if _network(key) in _NETWORKS}


def lacking_networks(weights: Mapping[str, Tensor]) -> list[str]:
    """Which of the three networks that both files hold are not among these tensors."""
    there = {_network(key) for key in weights}
    return [network for network in COMMON_NETWORKS if network not in there]


def encoder_name(weights: Mapping[str, Tensor]) -> EncoderName:
    """Whose networks these are: EMOCA has one more than DECA."""
    return "emoca" if any(_network(key) == EMOCA_NETWORK for key in weights) else "deca"


def _network(key: str) -> str:
    return key.partition(".")[0]
