"""Reads the recorded cases of tests/golden: the official models' outputs for seeded weights and inputs."""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

GOLDEN = Path(__file__).parent / "golden"
sys.path.insert(0, str(GOLDEN))
import seeded_weights  # noqa: E402


@functools.cache
def case(name: str) -> Case:
    return Case(name)


class Case:
    """One recorded case: its json, its arrays, its seeded weights, and the comparison at its tolerance."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.info: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())
        npz = GOLDEN / f"{name}.npz"
        self.arrays = dict(np.load(npz)) if npz.exists() else {}

    def weights(self, table: str = "state_dict", strip: str = "", seed_offset: int = 0) -> dict[str, Tensor]:
        """Seeded weights for the keys of ``table`` that start with ``strip``, which is taken off."""
        aliases = {k.removeprefix(strip): v.removeprefix(strip) for k, v in self.info.get("aliases", {}).items()}
        shapes = {k.removeprefix(strip): tuple(s) for k, s, _ in self.info[table] if k.startswith(strip)}
        own = {k: s for k, s in shapes.items() if k not in aliases}
        filled = seeded_weights.fill(own, self.info["seed"] + seed_offset)
        if seed_offset == 0 and table != "classifier_state_dict":
            assert seeded_weights.crc(filled) == self.info["weights_crc32"], "numpy's random stream differs"
        return {k: torch.from_numpy(filled[aliases.get(k, k)]) for k in shapes}

    def load_into(self, module: nn.Module, **kwargs: Any) -> None:
        """Also of a module on the device "meta", which costs no weights of its own."""
        module.load_state_dict(self.weights(**kwargs), strict=True, assign=next(module.parameters()).is_meta)
        module.eval()

    def input(self, name: str) -> Tensor:
        spec = dict(self.info["inputs"][name])
        if spec.pop("stored"):
            return torch.from_numpy(self.arrays[f"in_{name}"])
        recipe = getattr(seeded_weights, spec.pop("recipe"))
        return torch.from_numpy(recipe(spec.pop("key"), spec.pop("shape"), spec.pop("seed"), **spec))

    def check(self, name: str, found: Tensor | np.ndarray) -> None:
        """Assert that ``found`` equals the recorded output within its tolerance, unstored pixels included."""
        spec = self.info["outputs"][name]
        found = np.asarray(found.detach() if isinstance(found, Tensor) else found)
        assert list(found.shape) == spec["shape"]
        stored = found
        if "stored" in spec:
            step = int(spec["stored"].rstrip("]").rsplit(":", 1)[1])
            stored = found[..., ::step, ::step]
        error = np.abs(stored - self.arrays[f"out_{name}"]).max()
        assert error <= spec["atol"], f"{self.name}.{name}: max error {error:.3g} > {spec['atol']:.3g}"
        for key, value in (("mean", found.mean()), ("std", found.std()), ("max_abs", np.abs(found).max())):
            assert abs(value - spec[f"full_{key}"]) <= spec["atol"], f"{self.name}.{name}: {key}"
