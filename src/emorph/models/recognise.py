"""The sizes of a diffusion autoencoder or a rig, read off the keys and shapes of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from torch import Tensor

from emorph.core.errors import CheckpointError, ConfigError
from emorph.models.diffae import DiffAEConfig
from emorph.models.latent import LatentNetConfig
from emorph.models.rig import N_BUFFERS, RigConfig

PRESETS = ("ffhq128", "ffhq256")
OFFICIAL_ATTENTION_SIDE = 16  # every published DiffAE and rig attends on maps of this side, whatever its picture
OFFICIAL_RIG_DROPOUT = 0.1
RIG_UNET = "denoisingUNet."

Weights = Mapping[str, Tensor]
AnyConfig = TypeVar("AnyConfig", DiffAEConfig, RigConfig)


def diffae_config_from_state(
    state: Weights,
    *,
    image_size: int | None = None,
    hyper_parameters: Mapping[Any, Any] | None = None,
    x_T: Tensor | None = None,
    source: str = "the state dict",
) -> DiffAEConfig:
    """The configuration whose model has these weights (only keys and shapes are read; keys without a prefix).

    Weights do not tell the side of the picture. It is taken, in this order, from ``image_size``; the official
    ``hyper_parameters``; the preset with the same sizes; the one level that attends, if only one does (official models
    attend at 16 x 16); the official buffer ``x_T``. num_heads and the schedule are the hyper-parameters', or 1 and
    linear. Folded pictures (patch_size) are known only to emorph's own config.json: patch_size is 1 here.
    Raises CheckpointError if these are not the weights of a diffusion autoencoder, or nothing tells the side.
    """
    known = dict(hyper_parameters or {})
    try:
        fields, attending = _sizes(state)
    except KeyError as error:
        raise CheckpointError(f"{source} does not fit: {error.args[0]} is missing.") from None
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"{source} does not fit: the sizes of a diffusion autoencoder cannot be read off its weights ({error})."
        ) from None
    side = image_size or _integer(known.get("img_size"))
    preset = _preset(fields, attending)
    if preset and side in (None, preset.image_size):
        fields = preset.model_dump() | {"latent": fields["latent"]}
        side = preset.image_size
    if side is None and len(attending) == 1:
        side = OFFICIAL_ATTENTION_SIDE << attending[0]
    if side is None and x_T is not None and x_T.ndim == 4 and x_T.shape[-1] == x_T.shape[-2]:
        side = int(x_T.shape[-1])
    if side is None:
        raise CheckpointError(
            f"{source} does not say how large its pictures are (attention at {len(attending)} levels); "
            "pass it as image_size=, for example image_size=128."
        )
    schedule = known.get("beta_scheduler")
    rest = {
        "image_size": side,
        "attention_resolutions": tuple(side >> level for level in attending),
        "num_heads": _heads(known),
        "schedule": schedule if isinstance(schedule, str) else "linear",
    }
    return _parsed(DiffAEConfig, fields | rest, source)


def rig_config_from_state(
    state: Weights, *, image_size: int | None = None, num_heads: int = 1, source: str = "the state dict"
) -> RigConfig:
    """The configuration whose rig has these weights (only keys and shapes are read).

    The encoder shows in its blocks. Weights do not tell the side of the picture nor the attention's heads: the side is
    ``image_size``, or follows from the one level that attends, at 16 x 16; the official model has one head.
    Raises CheckpointError if these are not the weights of a rig, or nothing tells the side.
    """
    unet = {key.removeprefix(RIG_UNET): value for key, value in state.items() if key.startswith(RIG_UNET)}
    try:
        _, model_channels = unet["time_embed.0.weight"].shape
        per_level = _blocks_per_level(unet)
        mult, attending = _levels(unet, "", per_level, model_channels)
        fields = {
            "encoder": "resnet50" if "encoder.layer1.0.conv3.weight" in state else "resnet18",
            "encoder_width": int(state["encoder.conv1.weight"].shape[0]),
            "model_channels": model_channels,
            "channel_mult": mult,
            "num_res_blocks": per_level - 1,
            "code_dim": int(state["encoder.fc.weight"].shape[0]),
            "image_channels": int(unet["input_blocks.0.0.weight"].shape[1]) - N_BUFFERS,
        }
    except KeyError as error:
        raise CheckpointError(f"{source} does not fit: {error.args[0]} is missing.") from None
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"{source} does not fit: the sizes of a rig cannot be read off its weights ({error})."
        ) from None
    side = image_size or (OFFICIAL_ATTENTION_SIDE << attending[0] if len(attending) == 1 else None)
    if side is None:
        raise CheckpointError(
            f"{source} does not say how large its pictures are (attention at {len(attending)} levels); "
            "pass it as image_size=, for example image_size=256."
        )
    sides = tuple(side >> level for level in attending)
    rest = {"num_heads": num_heads, "dropout": OFFICIAL_RIG_DROPOUT, "attention_resolutions": sides}
    return _parsed(RigConfig, {**fields, **rest, "image_size": side}, source)


def latent_config_from_state(state: Weights) -> LatentNetConfig | None:
    """The latent net's configuration from the keys ``latent_net.*``; None if there are none."""
    if not any(key.startswith("latent_net.") for key in state):
        return None
    embed_dim, time_channels = state["latent_net.time_embed.0.weight"].shape
    hidden, z_dim = state["latent_net.layers.0.linear.weight"].shape
    return LatentNetConfig(
        z_dim=z_dim,
        hidden=hidden,
        num_layers=_count(state, "latent_net.layers."),
        embed_dim=embed_dim,
        time_channels=time_channels,
    )


def _sizes(state: Weights) -> tuple[dict[str, Any], list[int]]:
    """Every field of the configuration that weights tell, and the levels (0 = full side) that attend."""
    embed_dim, model_channels = state["time_embed.time_embed.0.weight"].shape
    per_level = _blocks_per_level(state)
    mult, attending = _levels(state, "", per_level, model_channels)
    encoder_mult, encoder_attending = _levels(state, "encoder.", per_level, model_channels)
    shared = min(len(mult), len(encoder_mult))
    if {n for n in attending if n < shared} != {n for n in encoder_attending if n < shared}:
        raise ValueError("encoder and U-Net attend at different sides")
    fields = {
        "model_channels": model_channels,
        "channel_mult": mult,
        "encoder_channel_mult": encoder_mult,
        "num_res_blocks": per_level - 1,
        "z_dim": int(state["encoder.out.3.weight"].shape[0]),
        "embed_dim": embed_dim,
        "image_channels": int(state["input_blocks.0.0.weight"].shape[1]),
        "latent": latent_config_from_state(state),
    }
    return fields, sorted({*attending, *encoder_attending})


def _blocks_per_level(state: Weights) -> int:
    """Input blocks of a level with its down block: the first output block with an up block ends the deepest level.

    A down block has the keys of any residual block, but an up block is a second one in its output block.
    """
    n_blocks = _count(state, "output_blocks.")
    for i in range(n_blocks):
        if any(f"output_blocks.{i}.{j}.in_layers.2.weight" in state for j in (1, 2)):
            return i + 1
    return n_blocks


def _levels(state: Weights, part: str, per_level: int, model_channels: int) -> tuple[tuple[int, ...], list[int]]:
    """Channel multipliers of a network's levels, and the levels that attend."""
    n_levels, rest = divmod(_count(state, f"{part}input_blocks."), per_level)
    if rest:
        raise ValueError(f"{part}input_blocks do not split into levels of {per_level}")
    mult, attending = [], []
    for level in range(n_levels):
        block = f"{part}input_blocks.{1 + level * per_level}"
        factor, remainder = divmod(state[f"{block}.0.in_layers.2.weight"].shape[0], model_channels)
        if remainder or not factor:
            raise ValueError(f"{block} has no multiple of {model_channels} channels")
        mult.append(factor)
        if f"{block}.1.qkv.weight" in state:
            attending.append(level)
    return tuple(mult), attending


def _count(state: Weights, prefix: str) -> int:
    """How many children a list of modules has."""
    return len({key[len(prefix) :].partition(".")[0] for key in state if key.startswith(prefix)})


def _preset(fields: Mapping[str, Any], attending: list[int]) -> DiffAEConfig | None:
    for name in PRESETS:
        preset = DiffAEConfig.preset(name)
        sides = tuple(preset.image_size >> level for level in attending)
        same = all(getattr(preset, key) == value for key, value in fields.items() if key != "latent")
        if same and sides == preset.attention_resolutions:
            return preset
    return None


def _parsed(kind: type[AnyConfig], values: dict[str, Any], source: str) -> AnyConfig:
    try:
        return kind.parse(values, source)
    except ConfigError as error:
        raise CheckpointError(f"{source} does not fit: {str(error).removeprefix(f'{source}: ')}") from None


def _heads(hyper_parameters: Mapping[Any, Any]) -> int:
    return _integer(hyper_parameters.get("net_beatgans_attn_head")) or 1


def _integer(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None
