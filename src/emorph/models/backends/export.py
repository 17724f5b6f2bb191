"""Write a model as ONNX graphs that are checked to give torch's numbers, with a card."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emorph.core.commands import install
from emorph.core.config import Config
from emorph.core.errors import CheckpointError, MissingAssetError
from emorph.core.pretrained import CONFIG_FILE, atomic_folder, locate
from emorph.diffusion.noise import seeded_noise
from emorph.models.backends import exported, exported_judge
from emorph.models.backends.exported import (
    ENCODER_FILE,
    MAX_NAME,
    OUTER_FILE,
    UNET_FILE,
    ExportConfig,
    ExportedDiffAE,
)
from emorph.models.backends.exported_judge import JUDGE_FILE, JudgeExportConfig
from emorph.models.backends.graphs import EXTRA, engine, open_graph
from emorph.models.beside import DIRECTIONS_FOLDER, folder_beside
from emorph.models.diffae import DiffAE
from emorph.models.fitted_on import short_name
from emorph.models.judge import Judge
from emorph.models.painter import PAINTER_FOLDER, painter_folder
from emorph.models.port import load_any
from emorph.models.sizes import unfold
from emorph.models.weights import count_parameters, fingerprint

AGREES = 1e-4  # largest difference between graph and torch, over torch's largest value; float32 sums give about 1e-5
OPSET = 18
CARD_FILE = "README.md"
LARGEST = 2**31 - 2**24  # bytes of one ONNX file, some of them for what is no weight
OnPart = Callable[[int, int], None]  # (parts done, all parts)


@dataclass(frozen=True)
class _Part:
    """A network that becomes a graph. inputs: examples by name; batched: those whose first axis is the batch."""

    file: str
    network: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    unbatched: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Plan:
    """Everything that an export writes. beside: folders that are copied, by their names."""

    parts: tuple[_Part, ...]
    kind: str
    config: Config
    what: str
    beside: dict[str, Path]
    losses: tuple[Any, ...] = ()


def export(name: str | Path, folder: Path | str, on_part: OnPart | None = None) -> dict[str, float]:
    """Write an autoencoder's encoder and U-Net, or a judge, as ONNX graphs into a folder, which appears whole.

    name: as in ``emorph.models.load_any``. An autoencoder's directions and painter are copied beside its graphs.
    Returns each graph's largest difference to torch, over torch's largest value. Raises MissingAssetError without the
    libraries for it, CheckpointError for other kinds, a folder in use, or a graph that does not give torch's numbers.
    """
    _check_libraries()
    plan = _plan(name)
    own = [CONFIG_FILE, CARD_FILE, DIRECTIONS_FOLDER, PAINTER_FOLDER, *(part.file for part in plan.parts)]
    differences: dict[str, float] = {}
    with atomic_folder(Path(folder), own=own) as draft:
        for i, part in enumerate(plan.parts):
            if on_part:
                on_part(i, len(plan.parts))
            _write_graph(part, draft / part.file)
            differences[part.file] = _checked(part, draft / part.file)
        for copy, source in plan.beside.items():
            shutil.copytree(source, draft / copy)
        meta: dict[str, Any] = {"format": "emorph", "version": 1, "kind": plan.kind}
        meta["config"] = plan.config.model_dump(mode="json")
        if plan.losses:
            meta["losses"] = [dict(row) for row in plan.losses]
        (draft / CONFIG_FILE).write_text(json.dumps(meta, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (draft / CARD_FILE).write_text(_card(plan, differences), encoding="utf-8")
    if on_part:
        on_part(len(plan.parts), len(plan.parts))
    return differences


def _check_libraries() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingAssetError(f"writing ONNX needs {error.name}: `{install(EXTRA)}`.") from None


def _plan(name: str | Path) -> _Plan:
    model = load_any(name)
    if isinstance(model, nn.Module) and 4 * count_parameters(model) > LARGEST:
        raise CheckpointError(f"{name} has {count_parameters(model):,} parameters, too many for one ONNX file of 2 GB.")
    if isinstance(model, ExportedDiffAE | exported_judge.ExportedJudge):
        raise CheckpointError(f"{name} is exported already; copy its folder.")
    if isinstance(model, DiffAE):
        return _autoencoder(name, model)
    if isinstance(model, Judge):
        return _judge(name, model)
    raise CheckpointError(f"{name} is neither an autoencoder nor a judge; other models have no ONNX form here.")


def _autoencoder(name: str | Path, model: DiffAE) -> _Plan:
    c = model.config
    x = seeded_noise([1, 2], (c.image_channels, c.image_size, c.image_size))
    t, z = torch.tensor([500]), seeded_noise([3, 4], (c.z_dim,))
    whole = _Whole(model)
    with torch.inference_mode():
        deep = whole(x, t, z)[1].clone()
    at = {"x": x, "t": t, "z": z}
    parts = (
        _Part(ENCODER_FILE, _Encode(model), {"x": x}, ("z",)),
        _Part(UNET_FILE, whole, at, ("raw", "deep"), ("t",)),
        _Part(OUTER_FILE, _Outer(model), {**at, "deep": deep.detach()}, ("raw",), ("t",)),
    )
    place = locate(name)
    directions = folder_beside(place, DIRECTIONS_FOLDER)
    painter = painter_folder(name)
    beside = {DIRECTIONS_FOLDER: directions} if directions.is_dir() else {}
    in_graphs = count_parameters(model) - (count_parameters(model.latent_net) if model.latent_net else 0)
    config = ExportConfig(
        model=c.model_copy(update={"latent": None}),
        made_from=short_name(name)[:MAX_NAME],
        fingerprint=model.fingerprint,
        encoder_digest=model.encoder_digest,
        n_parameters=in_graphs,
    )
    beside = {**beside, PAINTER_FOLDER: painter} if painter else beside
    return _Plan(parts, exported.KIND, config, "a diffusion autoencoder", beside, model.losses)


def _judge(name: str | Path, judge: Judge) -> _Plan:
    x = seeded_noise([1, 2], (1, judge.config.image_size, judge.config.image_size)).clamp(-1, 1)
    part = _Part(JUDGE_FILE, _Probabilities(judge), {"x": x}, ("probabilities",))
    config = JudgeExportConfig(
        model=judge.config, made_from=short_name(name)[:MAX_NAME], fingerprint=fingerprint(judge),
        n_parameters=count_parameters(judge),
    )  # fmt: skip
    return _Plan((part,), exported_judge.KIND, config, "a judge of expressions", {})


class _Encode(nn.Module):
    def __init__(self, model: DiffAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model.encode(x)


class _Whole(nn.Module):
    def __init__(self, model: DiffAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, t: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        raw, deep = self.model.with_deep(self.model.seen(x), t, self.model.z_modulations(z))
        return unfold(raw, self.model.config.patch_size), deep


class _Outer(nn.Module):
    def __init__(self, model: DiffAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, t: Tensor, z: Tensor, deep: Tensor) -> Tensor:
        raw = self.model.outer(self.model.seen(x), t, self.model.z_modulations(z), deep)
        return unfold(raw, self.model.config.patch_size)


class _Probabilities(nn.Module):
    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self.judge = judge

    def forward(self, x: Tensor) -> Tensor:
        p: Tensor = (self.judge(x).softmax(dim=1) + self.judge(x.flip(-1)).softmax(dim=1)) / 2
        return p


def _write_graph(part: _Part, path: Path) -> None:
    """One graph, of any batch. Raises CheckpointError for what the exporter cannot translate."""
    shapes = {name: None if name in part.unbatched else {0: torch.export.Dim.DYNAMIC} for name in part.inputs}
    try:
        with _quiet():
            torch.onnx.export(
                part.network.eval(),
                kwargs=part.inputs,
                f=path,
                input_names=list(part.inputs),
                output_names=list(part.outputs),
                dynamic_shapes=shapes,
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise CheckpointError(f"{path.name} cannot be written as ONNX by this torch ({reason}).") from None


def _checked(part: _Part, path: Path) -> float:
    """The largest difference to torch, over torch's largest value, of two rows and of one. Raises CheckpointError."""
    graph = open_graph(path, engine("onnx"))
    largest = 0.0
    for rows in (2, 1):
        given = {name: value if name in part.unbatched else value[:rows] for name, value in part.inputs.items()}
        with torch.inference_mode():
            ours = part.network(**given)
        theirs = graph.run(given, part.outputs)
        for a, b in zip(ours if isinstance(ours, tuple) else (ours,), theirs, strict=True):
            largest = max(largest, float((a - b).abs().max() / a.abs().max().clamp(min=1e-12)))
    if not largest <= AGREES:  # also where it is no number
        raise CheckpointError(f"{path.name} differs from torch by {largest:.1e} of its largest value, over {AGREES:g}.")
    return largest


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter speaks to its developers: on stdout, in warnings and in logs."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)


def _card(plan: _Plan, differences: dict[str, float]) -> str:
    """What lies in the folder, for people."""
    stated: dict[str, Any] = plan.config.model_dump()
    rows = [
        f"| `{part.file}` | {_shapes(part, tuple(part.inputs))} | {', '.join(part.outputs)} | "
        f"{differences[part.file]:.0e} |"
        for part in plan.parts
    ]
    return f"""# {stated["made_from"]}, as ONNX

{plan.what.capitalize()} with {stated["n_parameters"]:,} parameters, float32, opset {OPSET}, made from weights
{stated["fingerprint"]} of `{stated["made_from"]}`. The terms of those weights hold for these files, too.

| graph | inputs | outputs | largest difference to torch |
| --- | --- | --- | --- |
{chr(10).join(rows)}

B is any number of rows. Pictures are in [-1, 1]; the difference is over the largest value, measured after writing.
{_use(plan)}"""


def _shapes(part: _Part, names: Sequence[str]) -> str:
    def shape(name: str) -> str:
        sizes = [str(n) for n in part.inputs[name].shape]
        return ", ".join(sizes if name in part.unbatched else ["B", *sizes[1:]])

    return "; ".join(f"{name} ({shape(name)})" for name in names)


def _use(plan: _Plan) -> str:
    if plan.kind == exported_judge.KIND:
        return "\nemorph asks it: `emorph evaluate edits.csv --judge FOLDER`.\n"
    return """
`raw` is what config.json calls the model's prediction, at time step `t`, from 0 to 999, of the pictures `x` with the
code `z` that the encoder gives. `unet_outer.onnx` needs the deep features of another evaluation (`--reuse`).
emorph edits with it: `emorph edit photo.jpg --to happy --model FOLDER --backend onnx`, or `--backend openvino`.
"""
