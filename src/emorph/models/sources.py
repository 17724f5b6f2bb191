"""What a file of weights is, seen from its keys, and its tensors sorted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from emorph.core.errors import CheckpointError
from emorph.core.inert import Placeholder
from emorph.core.unpickle import read_torch_file
from emorph.models.diffae import DiffAEConfig, latent_stats_from
from emorph.models.directions import LatentStats
from emorph.models.recognise import diffae_config_from_state, rig_config_from_state
from emorph.models.rig import RigConfig

Role = Literal["autoencoder", "directions", "latents", "judge", "rig", "deca", "emoca", "flame"]

FACE_NETWORKS = ("E_flame", "E_detail", "D_detail", "E_expression")
STATISTICS = ("conds_mean", "conds_std")
FACTS = ("epoch", "global_step", "pytorch-lightning_version")
_BODY = ("time_embed.", "input_blocks.", "middle_block.", "output_blocks.", "encoder.", "latent_net.")
_RIG = "denoisingUNet."
_FOREIGN = (
    ("deca.", "an EMOCA checkpoint"),
    ("E_flame", "a DECA model"),
    ("lin0.model.", "the LPIPS metric's weights"),
)
# fmt: off
CELEBA_ATTRIBUTES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache",
    "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks",
    "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick",
    "Wearing_Necklace", "Wearing_Necktie", "Young",
)
# fmt: on


@dataclass(frozen=True)
class Source:
    """A file's content, sorted.

    weights: without prefix, of the role's module. statistics: conds_mean and conds_std. x_T, hyper_parameters: where
    an official file has them; neither is trusted further than ``diffae_config_from_state`` says.
    """

    name: str
    role: Role
    layout: str
    weights: dict[str, Tensor]
    statistics: dict[str, Tensor]
    x_T: Tensor | None
    hyper_parameters: Mapping[Any, Any]
    facts: Mapping[str, int | str]

    @classmethod
    def read(cls, path: Path, *, numbers: bool = True) -> Source:
        """numbers: False gives the tensors of a safetensors file as shapes only (of others, nothing is read yet)."""
        if _is_safetensors(path):
            content: Any = read_safetensors(path, numbers=numbers)
            layout = "safetensors"
        else:
            content = read_torch_file(path)
            layout = "bare state dict"
        if not isinstance(content, dict):
            raise CheckpointError(f"{path.name} holds no state dict but a {type(content).__name__}.")
        is_lightning = isinstance(content.get("state_dict"), dict)
        state = content["state_dict"] if is_lightning else content
        hyper = content.get("hyper_parameters") if is_lightning else None
        hyper = hyper.mapping if isinstance(hyper, Placeholder) else hyper
        found = {key: content[key] for key in FACTS if is_lightning and isinstance(content.get(key), int | str)}
        role, tensors = _sort(state, path.name, is_lightning=is_lightning)
        return cls(
            name=path.name,
            role=role,
            layout="Lightning checkpoint" if is_lightning else layout,
            statistics={key: tensors.pop(key) for key in STATISTICS if key in tensors},
            x_T=tensors.pop("x_T", None),
            weights=tensors,
            hyper_parameters=hyper if isinstance(hyper, dict) else {},
            facts=found,
        )

    @property
    def what(self) -> str:
        """What messages call this file."""
        if self.role == "directions":
            return f"an official emotion/attribute classifier ({len(self.weights['weight'])} classes)"
        named: dict[Role, str] = {"rig": "a DiffusionRig model", "deca": "a DECA model", "emoca": "an EMOCA checkpoint"}
        if self.role in named:
            return named[self.role]
        return "a diffusion autoencoder" if self.role == "autoencoder" else "a file of z_sem's statistics (latent.pkl)"

    def need(self, role: Role, expected: str) -> None:
        """Raises CheckpointError, naming what this is and how it is used, if it has another role."""
        use = {
            "autoencoder": "load it with emorph.models.load",
            "directions": "pass it as directions=",
            "latents": "read it with emorph.models.port.read_latent_stats",
            "rig": "load it with emorph.models.load_rig, or name it in emorph transfer --model",
            "deca": "load it with emorph.models.port.load_face_encoder",
            "emoca": "load it with emorph.models.port.load_face_encoder",
        }
        if self.role != role:
            raise CheckpointError(f"{self.name} is {self.what}, not {expected}; {use[self.role]}.")

    def config(self, image_size: int | None) -> DiffAEConfig:
        """Sizes of an autoencoder."""
        known = self.hyper_parameters
        return diffae_config_from_state(
            self.weights, image_size=image_size, hyper_parameters=known, x_T=self.x_T, source=self.name
        )

    def rig_config(self, image_size: int | None, num_heads: int = 1) -> RigConfig:
        """Sizes of a rig."""
        return rig_config_from_state(self.weights, image_size=image_size, num_heads=num_heads, source=self.name)

    def labels(self) -> tuple[str, ...]:
        """Names of a classifier's classes."""
        n_classes = len(self.weights["weight"])
        if n_classes == len(CELEBA_ATTRIBUTES):
            return CELEBA_ATTRIBUTES
        return tuple(f"class_{i}" for i in range(n_classes))

    def stats(self, z_dim: int) -> LatentStats:
        """conds_mean and conds_std, (z_dim,)."""
        return latent_stats_from(self.statistics, z_dim, self.name)


def _sort(state: Mapping[Any, Any], name: str, *, is_lightning: bool) -> tuple[Role, dict[str, Tensor]]:
    """What a state dict is, and the tensors that matter, without their prefix. Raises CheckpointError."""
    networks = _face_networks(state)
    if not _lacking(networks):
        return ("emoca" if _has(networks, FACE_NETWORKS[3]) else "deca"), networks
    for start, what in _FOREIGN:
        if any(isinstance(key, str) and key.startswith(start) for key in state):
            raise CheckpointError(f"{name} is {what}; a diffusion autoencoder's file is needed here.")
    tensors: dict[str, Tensor] = {}
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{name} is not a checkpoint that emorph knows: {key if isinstance(key, str) else 'a key'} is a "
                f"{type(value).__name__}, where a state dict has tensors."
            )
        tensors[key.removeprefix("module.")] = value
    if "classifier.weight" in tensors:
        return "directions", _classifier(tensors, name)
    if any(key.startswith(_RIG) for key in tensors):
        return "rig", tensors
    if "conds_mean" in tensors and set(tensors) <= {"conds", *STATISTICS}:
        return "latents", {key: tensors[key] for key in tensors if key != "conds"}
    return "autoencoder", _body(tensors, name, is_lightning=is_lightning)


def _classifier(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The raw classifier, not its average: manipulation uses it officially, too."""
    found = {"weight": tensors["classifier.weight"]}
    if found["weight"].ndim != 2:
        raise CheckpointError(f"{name} does not fit: classifier.weight has {found['weight'].ndim} dimensions, not 2.")
    if "classifier.bias" not in tensors or tensors["classifier.bias"].shape != found["weight"].shape[:1]:
        raise CheckpointError(f"{name} does not fit: classifier.bias is missing or has another length than the weight.")
    found["bias"] = tensors["classifier.bias"]
    return found | {key: tensors[key] for key in STATISTICS if key in tensors}


def _body(tensors: Mapping[str, Tensor], name: str, *, is_lightning: bool) -> dict[str, Tensor]:
    prefix = next((p for p in ("ema_model.", "model.") if any(key.startswith(p) for key in tensors)), "")
    if is_lightning and prefix == "model.":
        raise CheckpointError(
            f"{name} has no averaged weights (ema_model.*), which official models are used with; get the whole file."
        )
    buffers = {"x_T", *STATISTICS}
    found = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    if not any(key.startswith(_BODY) for key in found):
        example = next(iter(tensors), "none")
        raise CheckpointError(f"{name} is not a model that emorph knows: its keys are like {example}.")
    for key in tensors:
        if not key.startswith((prefix, "model.")) and key not in buffers:
            raise CheckpointError(f"{name} does not fit: it holds {key}, which this model does not have.")
    return found | {key: value for key, value in tensors.items() if key in buffers}


@dataclass(frozen=True)
class FaceEncoderFile:
    """A file of DECA or EMOCA. weights: the networks' tensors, keys as in their modules; buffers are left out."""

    name: str
    kind: Literal["deca", "emoca"]
    weights: dict[str, Tensor]


def read_face_encoder(path: Path) -> FaceEncoderFile:
    """The networks of ``deca_model.tar``, or of an EMOCA checkpoint; which, shows in its keys.

    A network's tensors may also lie side by side under their full keys, as safetensors or torch.save keep them.
    Raises CheckpointError if it is missing, damaged, unsafe, or something else.
    """
    content: Any = read_safetensors(path, numbers=True) if _is_safetensors(path) else read_torch_file(path)
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    weights = _face_networks(state if isinstance(state, dict) else {})
    lacking = _lacking(weights)
    if len(lacking) == 3:
        raise CheckpointError(f"{path.name} is neither DECA's nor EMOCA's file: it holds none of their networks.")
    if lacking:
        raise CheckpointError(f"{path.name} is incomplete: it has no {lacking[0]}; get the whole file again.")
    is_emoca = _has(weights, FACE_NETWORKS[3])
    n_outputs = weights.get("E_expression.layers.2.weight", torch.empty(50, 0)).shape[0]
    if n_outputs in (53, 56):
        raise CheckpointError(
            f"{path.name} is an EMOCA that also gives the jaw or the pose ({n_outputs} values); "
            "the released v1 and v2 give 50, and only these are read."
        )
    return FaceEncoderFile(path.name, "emoca" if is_emoca else "deca", weights)


def _face_networks(state: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The tensors of DECA's and EMOCA's networks, under their full keys, however the file nests them."""
    flat: dict[str, Tensor] = {}
    for key, value in state.items():
        inner = value.items() if isinstance(value, dict) and key in FACE_NETWORKS else ()
        for full, tensor in ((key, value), *((f"{key}.{name}", part) for name, part in inner)):
            if isinstance(full, str) and isinstance(tensor, Tensor):
                flat[full.removeprefix("deca.")] = tensor
    return {key: tensor for key, tensor in flat.items() if key.partition(".")[0] in FACE_NETWORKS}


def _has(weights: Mapping[str, Tensor], network: str) -> bool:
    return any(key.partition(".")[0] == network for key in weights)


def _lacking(weights: Mapping[str, Tensor]) -> list[str]:
    """Of the three networks that both files hold."""
    return [network for network in FACE_NETWORKS[:3] if not _has(weights, network)]


def _is_safetensors(path: Path) -> bool:
    """A safetensors file starts with the length of its JSON header (8 bytes) and that header."""
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
