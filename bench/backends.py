"""What computes the networks: torch, ONNX Runtime, OpenVINO, compiled torch, in float32 and bfloat16, in turns.

python bench/backends.py [--preset ffhq128] [--batch 1] [--compile] [--folder GRAPHS]

Weights are random: time does not depend on them, but differences do; of a trained model they are smaller. --folder
keeps the graphs between runs.
"""

from __future__ import annotations

import argparse
import copy
import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from emorph.models import DiffAE, DiffAEConfig
from emorph.models.backends.export import export
from emorph.models.backends.exported import holds_graphs, read_exported
from emorph.models.backends.graphs import ENGINES, OpenVinoGraph
from support.measure import alternating_s, matrix_rate, table, write_section
from support.published import random_weights

Work = Callable[[], Tensor]


class _OpenVinoBf16(OpenVinoGraph):
    """OpenVINO with the processor's bfloat16; not offered for editing."""

    precision = "bf16"


def eager(model: DiffAE, x: Tensor, t: Tensor, z: Tensor, context: Callable[[], AbstractContextManager[Any]]) -> Work:
    """One evaluation in torch."""
    denoise = model.denoiser(z)

    def run() -> Tensor:
        with context():
            return denoise(x, t).float()

    return run


def compiled(model: DiffAE, x: Tensor, t: Tensor, z: Tensor, cache: Path) -> Work:
    """One evaluation by torch.compile with frozen weights, its kernels kept in ``cache``."""
    import torch._inductor.config as inductor

    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache)
    inductor.freezing = True
    network = torch.compile(model)

    def run() -> Tensor:
        eps: Tensor = network(x, t, z)
        return eps

    return run


def works(model: DiffAE, folder: Path, batch: int, *, with_compile: bool) -> dict[str, Work]:
    """Every way to compute one evaluation."""
    c = model.config
    x = torch.randn(batch, c.image_channels, c.image_size, c.image_size)
    t, z = torch.full((batch,), 500), torch.randn(batch, c.z_dim)
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x_last = x.to(memory_format=torch.channels_last)
    found = {
        "torch": eager(model, x, t, z, nullcontext),
        "torch, channels last": eager(last, x_last, t, z, nullcontext),
        "torch, channels last, bf16": eager(last, x_last, t, z, lambda: torch.autocast("cpu", torch.bfloat16)),
    }
    if with_compile:
        found["torch, compiled"] = compiled(model, x, t, z, folder / "compiled")
    for backend in ENGINES:
        denoise = read_exported(folder / "graphs", backend).denoiser(z)
        found[backend] = lambda d=denoise: d(x, t)  # type: ignore[misc]
    bf16 = read_exported(folder / "graphs", "openvino")
    bf16.engine = _OpenVinoBf16
    denoise = bf16.denoiser(z)
    found["openvino, bf16"] = lambda: denoise(x, t)
    return found


@torch.inference_mode()
def main() -> None:
    """Measure and write the section "Backends"."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="ffhq128", choices=("ffhq128", "ffhq256"))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="also with torch.compile, which takes minutes to start")
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made, torch.inference_mode(False):
        folder: Path = asked.folder or Path(made)
        model = DiffAE(DiffAEConfig.preset(asked.preset)).eval().requires_grad_(False)
        random_weights(model)
        if not holds_graphs(folder / "graphs"):
            model.save_pretrained(folder / asked.preset)
            export(folder / asked.preset, folder / "graphs")
        with torch.inference_mode():
            body = report(model, works(model, folder, asked.batch, with_compile=asked.compile), asked)
    words = f"--preset {asked.preset} --batch {asked.batch} --repeats {asked.repeats}"
    write_section("Backends", f"python bench/backends.py {words}{' --compile' if asked.compile else ''}", body)


def report(model: DiffAE, ways: dict[str, Work], asked: argparse.Namespace) -> str:
    """The table: times in turns, and how far each is from torch."""
    c = model.config
    with FlopCounterMode(display=False) as counter:
        ways["torch"]()
    flops = counter.get_total_flops()
    z = torch.randn(asked.batch, c.z_dim)
    x, t, network = (
        torch.randn(asked.batch, c.image_channels, c.image_size, c.image_size),
        torch.tensor([500]),
        model.at(z),
    )
    _, deep = network.with_deep(x, t)
    with FlopCounterMode(display=False) as outer:
        network.outer(x, t, deep)
    rate = matrix_rate(torch.float32, asked.repeats)
    exact = ways["torch"]()
    off = {name: float((work() - exact).abs().max() / exact.abs().max()) for name, work in ways.items()}
    seconds = alternating_s(ways, repeats=asked.repeats)
    rows = [
        [name, f"{1000 * s:.0f}", f"{seconds['torch'] / s:.2f}", f"{flops / s / rate:.0%}", f"{off[name]:.0e}"]
        for name, s in seconds.items()
    ]
    header = ["backend", "ms", "times torch", "share of the matrix rate (float32)", "largest difference"]
    return f"""One U-Net evaluation of {asked.preset} ({c.image_size} px), batch {asked.batch},
{flops / 1e9:.0f} GFLOP, random weights; medians of {asked.repeats} runs in turns. Large products run at
{rate / 1e9:.0f} GFLOP/s in float32 here. The difference is over the largest value; random weights pass rounding on more
than trained ones do. The outer blocks alone, which `--reuse` computes in between, are
{outer.get_total_flops() / flops:.0%} of the operations.

{table(header, rows)}
"""


if __name__ == "__main__":
    main()
