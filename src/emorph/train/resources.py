"""What a run takes of memory and disk, computed from the shapes of its tensors."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from emorph.train.config import RunConfig

ADAM_STATES = 2  # running means of the gradient and of its square, each of a parameter's size


@dataclass(frozen=True)
class Resources:
    """Of one device, in bytes.

    parameters: of the model, trained: those that learn. checkpoint: one on disk. activations: what one round of a batch
    keeps for the backward pass; None where it was neither measured nor estimated, and ``how`` then says why.
    """

    parameters: int
    trained: int
    checkpoint: int
    weights: int
    gradients: int
    optimiser: int
    average: int
    activations: int | None
    how: str

    @property
    def memory(self) -> int:
        """Everything together; without activations where they are not known."""
        return self.weights + self.gradients + self.optimiser + self.average + (self.activations or 0)

    def to_json(self) -> dict[str, Any]:
        """All fields, and their sum."""
        return {**asdict(self), "memory": self.memory}


@dataclass(frozen=True)
class Activations:
    """Memory that a forward pass keeps for the backward pass: so many bytes, and so many more for each face."""

    fixed: float
    per_face: float

    @classmethod
    def from_total(cls, total: int, n: int, config: RunConfig, loss: nn.Module) -> Activations:
        """Of a pass over n faces. Mixed precision keeps the weights in two bytes besides, whatever n is."""
        weights = sum(p.numel() for p in loss.parameters() if p.requires_grad and p.ndim > 1)
        fixed = 2 * weights if config.optim.precision == "bf16-mixed" else 0
        return cls(fixed, (total - fixed) / n)


def resources(
    config: RunConfig, micro_batch: int, *, n_devices: int = 1, activations: Activations | None = None, how: str = ""
) -> Resources:
    """Computed for a device that takes ``micro_batch`` faces at a time. how: how the activations are known."""
    with torch.device("meta"):
        trial = config.trial(1)
        loss: nn.Module = trial[0] if trial else config.new_model()
    model = loss.get_submodule("model") if trial else loss
    trained = sum(p.numel() * p.element_size() for p in loss.parameters() if p.requires_grad)
    of_model = _bytes(model.state_dict())
    everything = _bytes(loss.state_dict())
    asked = sum(map(_bytes, _frozen(loss)))
    learning = trained * (1 + (n_devices > 1))  # several devices also hold gradients in buckets, to exchange them
    return Resources(
        parameters=sum(p.numel() for p in model.parameters()),
        trained=sum(p.numel() for p in loss.parameters() if p.requires_grad),
        checkpoint=2 * of_model + ADAM_STATES * trained + (everything - of_model),
        weights=everything + asked,
        gradients=learning,
        optimiser=ADAM_STATES * trained,
        average=of_model,
        activations=None if activations is None else round(activations.fixed + activations.per_face * micro_batch),
        how=how,
    )


def size(n_bytes: float) -> str:
    """ "812 kB", "1.23 GB"."""
    for limit, unit in ((1e6, "kB"), (1e9, "MB")):
        if n_bytes < limit:
            return f"{n_bytes / limit * 1000:.0f} {unit}"
    return f"{n_bytes / 1e9:.3g} GB" if n_bytes < 1e12 else f"{n_bytes / 1e12:.3g} TB"


def _frozen(loss: nn.Module) -> list[dict[str, Tensor]]:
    """The tensors of each network that a loss asks but neither trains nor saves: its ``frozen``, if it has any."""
    parts: list[nn.Module] = getattr(loss, "frozen", [])
    return [part.state_dict() for part in parts]


def _bytes(state: dict[str, Tensor]) -> int:
    return sum(value.numel() * value.element_size() for value in state.values())


class SavedBytes:
    """While it is entered, counts the memory that is kept for the backward pass, the parameters aside."""

    def __init__(self, module: nn.Module) -> None:
        own = (*module.parameters(), *module.buffers(), *(value for part in _frozen(module) for value in part.values()))
        self._own = {tensor.untyped_storage()._cdata for tensor in own}
        self._seen: dict[int, int] = {}
        self._alive: list[Tensor] = []  # else a storage that is freed gives its address to the next
        self._hooks = saved_tensors_hooks(self._pack, lambda tensor: tensor)

    @property
    def total(self) -> int:
        """Bytes so far."""
        return sum(self._seen.values())

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._own:
            self._seen[storage._cdata] = storage.nbytes()
            self._alive.append(tensor)
        return tensor

    def __enter__(self) -> SavedBytes:
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)
        self._alive.clear()


@cache
def estimated_activations(config_json: str, config_class: type[RunConfig]) -> Activations | None:
    """From shapes alone, without a number being computed; None where the task has no trial, or it takes more."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    config = config_class.model_validate_json(config_json)
    if not config.runs_on_shapes:
        return None
    n = 2  # a batch of one would let some shapes collapse
    with FakeTensorMode():
        trial = config.trial(n)
        if trial is None:
            return None
        loss, inputs = trial
        loss.train()
        mixed = config.optim.precision == "bf16-mixed"
        with SavedBytes(loss) as saved, torch.autocast("cpu", torch.bfloat16) if mixed else nullcontext():
            loss(*inputs)
        return Activations.from_total(saved.total, n, config, loss)
