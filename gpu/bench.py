"""Training steps of emorph-base and the official sizes: images a second and share of the device's own matrix rate.

python gpu/bench.py            base, ffhq128, ffhq256 and the rig, fp32 and bf16, compiled and not; some minutes
python gpu/bench.py --tiny     small models, a minute on a CPU, to try the script

A step is what the training loop does with a batch: loss, gradients, their clipping, AdamW, the average of the weights,
and reading the loss. The faces are made and lie on the device; reading data is measured by bench/train.py.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "src"))

from emorph.core.config import read_toml  # noqa: E402
from emorph.train.config import RunConfig  # noqa: E402
from emorph.train.ema import EMA  # noqa: E402
from emorph.train.tasks.autoencoder import AutoencoderConfig  # noqa: E402
from emorph.train.tasks.rig import RigRunConfig  # noqa: E402

TINY: dict[str, Any] = {"model_channels": 32, "channel_mult": [1, 1], "num_res_blocks": 1, "attention_resolutions": [8]}
TINY_CODE: dict[str, Any] = {"encoder_channel_mult": [1, 1, 1], "embed_dim": 32, "z_dim": 32}
RECIPE = read_toml(HERE.parent / "examples" / "emorph-base" / "1_faces.toml")["model"]
# name -> task, model, batch: base.toml's 256; the largest of 16, 32, 64 that fits 80 GB in fp32; for the rig 8
CASES: dict[str, tuple[type[RunConfig], dict[str, Any], int]] = {
    "base": (AutoencoderConfig, RECIPE, 256),
    "ffhq128": (AutoencoderConfig, {"preset": "ffhq128"}, 64),
    "ffhq256": (AutoencoderConfig, {"preset": "ffhq256"}, 16),
    "rig": (RigRunConfig, {"image_size": 256, "encoder": "resnet18"}, 8),
}
TINY_CASES: dict[str, tuple[type[RunConfig], dict[str, Any], int]] = {
    "base": (AutoencoderConfig, {**RECIPE, "image_size": 32, **TINY, **TINY_CODE}, 2),
    "ffhq128": (AutoencoderConfig, {"image_size": 32, **TINY, **TINY_CODE}, 2),
    "ffhq256": (AutoencoderConfig, {"image_size": 32, "patch_size": 2, **TINY, **TINY_CODE}, 2),
    "rig": (RigRunConfig, {"image_size": 32, "encoder": "resnet18", **TINY}, 2),
}
VARIANTS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "bf16": {"precision": "bf16-mixed"},
    "bf16, channels last": {"precision": "bf16-mixed", "channels_last": True},
    "bf16, compiled": {"precision": "bf16-mixed", "compile": True},
    "bf16, compiled, channels last": {"precision": "bf16-mixed", "compile": True, "channels_last": True},
}
WARM_UP = 3


@dataclass(frozen=True)
class Row:
    """One measurement; without numbers, ``failure`` says why. first_s: of the first step, compiling included."""

    case: str
    variant: str
    batch: int
    images_per_s: float | None = None
    share: float | None = None
    memory_gb: float | None = None
    first_s: float | None = None
    failure: str = ""


def main() -> None:
    """Measure, print, and write gpu/out/bench.json and bench.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="small models, to try the script without a GPU")
    parser.add_argument("--steps", type=int, default=10, help="that are timed")
    parser.add_argument("--batch", type=int, help="instead of each case's own")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--out", type=Path, default=HERE / "out")
    asked = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not asked.tiny:
        sys.exit("there is no GPU here; python gpu/bench.py --tiny tries the script without one.")
    side = 256 if asked.tiny else 8192
    peaks = {name: matrix_rate(device, kind, side) for name, kind in (("32", torch.float32), ("bf", torch.bfloat16))}
    rows = []
    for case in asked.cases:
        for variant in asked.variants:
            kind, model, own_batch = (TINY_CASES if asked.tiny else CASES)[case]
            batch = asked.batch or own_batch
            config = kind.parse(
                {
                    "out": "unused",
                    "data": {"path": "unused"},
                    "model": model,
                    "optim": {"batch_size": batch, **VARIANTS[variant]},
                    "budget": {"steps": 1},
                }
            )
            rows.append(measure(case, variant, config, device, asked.steps, peaks[config.optim.precision[:2]]))
            print(json.dumps(asdict(rows[-1])), flush=True)
    asked.out.mkdir(parents=True, exist_ok=True)
    told = {"machine": machine(device), "tiny": asked.tiny, "matrix_rates": peaks, "rows": [asdict(r) for r in rows]}
    (asked.out / "bench.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    text = section(rows, peaks, side, machine(device), asked)
    (asked.out / "bench.md").write_text(text, encoding="utf-8")
    print(f"\n{text}")


def measure(case: str, variant: str, config: RunConfig, device: torch.device, steps: int, peak: float) -> Row:
    """Run one case in one variant. A model too large for the device, or one that cannot be compiled, is a row, too."""
    batch = config.optim.batch_size
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        step, flops = training_step(config, device)
        before = time.perf_counter()
        step()
        first_s = time.perf_counter() - before
        for _ in range(WARM_UP):
            step()
        step_s = statistics.median(timed(step) for _ in range(steps))
    except torch.OutOfMemoryError:
        return Row(case, variant, batch, failure="does not fit the device")
    except torch._dynamo.exc.TorchDynamoException as error:  # no compiler, a kernel that it cannot make
        return Row(case, variant, batch, failure=f"cannot be compiled: {str(error).splitlines()[0][:200]}")
    finally:
        torch._dynamo.reset()
    memory = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else None
    return Row(case, variant, batch, batch / step_s, flops / step_s / peak, memory, first_s)


def training_step(config: RunConfig, device: torch.device) -> tuple[Callable[[], None], float]:
    """A step that may be repeated, and the floating-point operations of one."""
    optim = config.optim
    trial = config.trial(optim.batch_size)
    assert trial is not None
    with device:
        loss, inputs = trial[0].to(device), made(trial[1], device)
    if optim.channels_last:
        loss.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    average = EMA(copy.deepcopy(loss.get_submodule("model")), optim.ema_decay)
    optimizer = torch.optim.AdamW(loss.parameters(), lr=optim.lr, fused=True)
    loss.train()
    ready: Any = torch.compile(loss) if optim.compile else loss
    mixed = optim.precision == "bf16-mixed"

    def step_with(module: Any) -> None:
        with torch.autocast(device.type, torch.bfloat16) if mixed else nullcontext():
            value = module(*inputs)["loss"]
        torch.autograd.backward(value)
        torch.nn.utils.clip_grad_norm_(loss.parameters(), optim.grad_clip)
        optimizer.step()
        optimizer.zero_grad()
        average.update(loss.get_submodule("model"))
        value.item()  # the log asks for it

    with FlopCounterMode(display=False) as counter:
        step_with(loss)
    return lambda: step_with(ready), float(counter.get_total_flops())


def made(inputs: tuple[torch.Tensor, ...], device: torch.device) -> tuple[torch.Tensor, ...]:
    """Random numbers in place of the zeros that a trial brings; whole numbers, labels and steps, stay."""
    return tuple(torch.randn(x.shape, device=device) if x.is_floating_point() else x.to(device) for x in inputs)


def timed(work: Callable[[], object]) -> float:
    """Wall seconds of a step, which waits for the device by itself."""
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


def matrix_rate(device: torch.device, kind: torch.dtype, side: int) -> float:
    """Floating-point operations a second of one large matrix product, the best of five."""
    a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))

    def product() -> None:
        (a @ b)[0, 0].item()

    product()
    return 2 * side**3 / min(timed(product) for _ in range(5))


def machine(device: torch.device) -> str:
    """The device and the versions."""
    name = torch.cuda.get_device_name() if device.type == "cuda" else "a CPU"
    return f"{name}, torch {torch.__version__}"


def section(rows: list[Row], peaks: dict[str, float], side: int, where: str, asked: argparse.Namespace) -> str:
    """The section for bench/RESULTS.md."""
    lines = [
        f"## Training on a GPU\n\n`python gpu/bench.py{' --tiny' * asked.tiny}` on {where}.\n",
        f"Medians of {asked.steps} steps. A product of two {side} x {side} matrices runs at {peaks['32'] / 1e12:.3g} "
        f"TFLOP/s in fp32 and {peaks['bf'] / 1e12:.3g} in bf16 here.\n",
        "| model | variant | batch | images/s | share of the matrix rate | memory, GB | first step, s |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        if row.images_per_s is None or row.share is None:
            cells = [row.failure, "-", "-", "-"]
        else:
            memory = "-" if row.memory_gb is None else f"{row.memory_gb:.1f}"
            cells = [f"{row.images_per_s:.1f}", f"{row.share:.0%}", memory, f"{row.first_s:.1f}"]
        lines.append(f"| {' | '.join([row.case, row.variant, str(row.batch), *cells])} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
