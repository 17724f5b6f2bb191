"""A model's weights: put into its modules, written to a folder and read from one, told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import torch
from torch import Tensor, nn

from emorph.core.config import Config
from emorph.core.errors import CheckpointError, ConfigError
from emorph.core.pretrained import atomic_folder, locate, read_config, read_weights, write_model
from emorph.core.unpickle import read_torch_file

AnyConfig = TypeVar("AnyConfig", bound=Config)
AnyModule = TypeVar("AnyModule", bound=nn.Module)
COUNTER = "num_batches_tracked"  # of BatchNorm; nothing here computes with it, and some files are without


def save_model(
    folder: Path | str,
    kind: str,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    *,
    dtype: torch.dtype = torch.float32,
    exact: Mapping[str, Tensor] | None = None,
    losses: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write config.json and model.safetensors; the folder appears complete or not at all.

    tensors: stored as ``dtype`` where they are floats. exact: others, stored as they are. losses: see
    ``emorph.core.pretrained.stated_losses``. Raises CheckpointError.
    """
    stored = {key: value.to(dtype) if value.is_floating_point() else value for key, value in tensors.items()}
    with atomic_folder(Path(folder)) as draft:
        write_model(draft, kind, config, stored | dict(exact or {}), losses)


def read_model(name: str | Path, kind: str, config: type[AnyConfig]) -> tuple[AnyConfig, dict[str, Tensor], str]:
    """Configuration, tensors and path of a folder of ``save_model``, a bundled model, or a hub id.

    Raises CheckpointError or UnknownNameError.
    """
    folder = locate(name)
    return config.parse(read_config(folder, kind), str(folder)), read_weights(folder), str(folder)


class PretrainedModule(nn.Module):
    """A network that is built from its sizes alone, written to a folder of ours, and read from one.

    kind: what its folders' config.json states. config_type: of its sizes.
    """

    kind: ClassVar[str]
    config_type: ClassVar[type[Config]]
    config: Config

    def save_pretrained(self, folder: Path | str, *, dtype: torch.dtype = torch.float32) -> None:
        """Write config.json and model.safetensors; the folder appears complete or not at all."""
        save_model(folder, self.kind, self.config.model_dump(mode="json"), self.state_dict(), dtype=dtype)

    @classmethod
    def from_pretrained(cls, name: str | Path) -> Self:
        """Load a folder of ``save_pretrained``, a bundled model, or a hub id, in float32 and evaluation mode.

        Official files load with ``emorph.models``' functions. Raises CheckpointError or UnknownNameError.
        """
        return cls.from_tensors(*read_model(name, cls.kind, cls.config_type))

    @classmethod
    def from_tensors(cls, config: Any, tensors: Mapping[str, Tensor], source: str) -> Self:
        """A model of copies of these weights, in float32 and evaluation mode; nothing is drawn at random first.

        config: its sizes, of ``config_type``. tensors: keys as in ``state_dict()``.
        Raises CheckpointError, naming the first key that does not fit ``source``, before memory is taken.
        """
        return filled(lambda: cls(config), tensors, source)


def read_state(path: Path | str) -> dict[str, Tensor]:
    """The state dict that a file of torch holds. Raises CheckpointError."""
    content = read_torch_file(path)
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(f"{Path(path).name} holds no state dict; get it again.")
    return {str(key): value for key, value in content.items()}


def filled(build: Callable[[], AnyModule], tensors: Mapping[str, Tensor], source: str) -> AnyModule:
    """A module of copies of these weights, in evaluation mode; nothing is drawn at random first.

    Raises CheckpointError, naming the first key that does not fit ``source``, before memory is taken.
    """
    try:
        with torch.device("meta"):
            module = build()
    except ConfigError as error:  # channels that no GroupNorm can split
        raise CheckpointError(f"{source} does not fit: {error}") from None
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:  # sizes that no tensor can have
        reason = str(error).splitlines()[0][:120]
        raise CheckpointError(f"{source} does not fit: no network has such sizes ({reason}).") from None
    load_strictly(module, tensors, source)
    module.eval()
    return module


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """``load_state_dict`` whose error names the first difference; fills a module on "meta" with copies, too.

    Only BatchNorm's counts of batches may be missing; they are then 0. Raises CheckpointError.
    """
    expected = module.state_dict()
    uncounted = {key: torch.zeros((), dtype=torch.int64) for key in expected if key.endswith(COUNTER)}
    given = {key: value for key, value in uncounted.items() if key not in tensors} | dict(tensors)
    for key, value in expected.items():
        if key not in given:
            raise CheckpointError(f"{source} does not fit: {key} is missing (expected shape {tuple(value.shape)}).")
        if given[key].shape != value.shape:
            raise CheckpointError(
                f"{source} does not fit: {key} has shape {tuple(given[key].shape)}, expected {tuple(value.shape)}."
            )
    for key in given:
        if key not in expected:
            raise CheckpointError(f"{source} does not fit: it holds {key}, which this model does not have.")
    on_meta = any(value.is_meta for value in expected.values())
    fitting = {key: given[key].to(value.dtype, copy=on_meta) for key, value in expected.items()}
    module.load_state_dict(fitting, assign=on_meta)


def fingerprint(module: nn.Module) -> str:
    """Eight hexadecimal digits that tell models apart by their weights (the first 64 numbers of each tensor)."""
    digest = hashlib.sha256()
    for key, value in module.state_dict().items():
        digest.update(key.encode())
        digest.update(value.detach().flatten()[:64].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:8]


def count_parameters(module: nn.Module) -> int:
    """Number of weights of a module."""
    return sum(p.numel() for p in module.parameters())
