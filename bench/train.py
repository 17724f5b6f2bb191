"""A training step of the autoencoder on the CPU: images a second, share of the matrix rate, share of waiting for data.

python bench/train.py [--data FACES.parquet]: faces of its split "train"; without --data, made ones of the same size in
a Parquet file. The sizes are emorph-base's. Every variant is one run of the training loop, data reading and all; the
baseline is the bare step: the same loss and optimiser on one batch that is already in memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import cv2
import datasets
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from emorph.core.config import read_toml
from emorph.core.expressions import Emotion
from emorph.data.store import FaceStore
from emorph.train.loop import train
from emorph.train.tasks.autoencoder import AutoencoderConfig
from support.measure import matrix_rate, median_s, table, write_section

EXAMPLE = Path(__file__).parents[1] / "examples" / "emorph-base-64" / "1_start.toml"
MADE_FACES, MADE_PX = 256, 128
TRIED_MATRIX = 384
WORTH_IT = 0.5  # of the rate in fp32: below, the processor only imitates bf16, and its runs would take an hour
SKIPPED = 2  # steps before the caches are warm

VARIANTS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "fp32, one worker": {"workers": 1},
    "fp32, channels last": {"channels_last": True},
    "bf16": {"precision": "bf16-mixed"},
    "fp32, compiled": {"compile": True},
}


def made_faces(path: Path) -> Path:
    """A Parquet file of smooth gray pictures as JPEG, which decode like faces."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(MADE_FACES):
        coarse = rng.integers(0, 256, (9, 9), np.uint8)
        _, jpeg = cv2.imencode(".jpg", cv2.resize(coarse, (MADE_PX, MADE_PX), interpolation=cv2.INTER_CUBIC))
        rows.append({"image": jpeg.tobytes(), "label": Emotion(i % len(Emotion)).word, "split": "train"})
    datasets.disable_progress_bars()
    datasets.Dataset.from_list(rows).to_parquet(str(path))
    return path


def run_config(out: Path, data: Path, steps: int, batch: int, variant: dict[str, Any]) -> AutoencoderConfig:
    """emorph-base's first part with another budget, and what the variant changes."""
    values = read_toml(EXAMPLE)
    optim = {key: value for key, value in variant.items() if key != "workers"}
    values["out"] = str(out)
    values["data"] |= {"path": str(data), "workers": variant.get("workers", 0), "class_power": 0.0}
    values["optim"] |= {"batch_size": batch, "precision": "32-true"} | optim
    values |= {"budget": {"steps": steps}, "log": {"every_steps": 1}}
    return AutoencoderConfig.parse(values)


def faces_of(config: AutoencoderConfig) -> FaceStore:
    """The data set, opened again for each run."""
    return config.open_faces()


def loop_rate(config: AutoencoderConfig) -> tuple[float, float]:
    """Steps a second and share of waiting, medians over the steps of one run."""
    train(config, faces_of(config), accelerator="cpu", devices=1, show_progress=False)
    lines = (Path(config.out) / "stats.jsonl").read_text().splitlines()[SKIPPED:]
    rows = [json.loads(line) for line in lines]
    return statistics.median(r["steps_per_s"] for r in rows), statistics.median(r["wait_share"] for r in rows)


def bare_step(config: AutoencoderConfig, batch: int, repeats: int) -> tuple[float, float]:
    """Seconds of loss, gradients and optimiser on made inputs, and the floating-point operations of it."""
    loss, inputs = config.trial(batch)
    loss.train()
    optimizer = torch.optim.AdamW(loss.parameters(), fused=True)
    mixed = config.optim.precision == "bf16-mixed"

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16) if mixed else nullcontext():
            value = loss(*inputs)["loss"]
        torch.autograd.backward(value)
        optimizer.step()
        optimizer.zero_grad()

    with FlopCounterMode(display=False) as counter:
        step()
    return median_s(step, repeats=repeats), float(counter.get_total_flops())


def has_bf16() -> bool:
    """Whether this processor multiplies bf16 at a rate that training can use."""
    return matrix_rate(torch.bfloat16, 1, TRIED_MATRIX) > WORTH_IT * matrix_rate(torch.float32, 1, TRIED_MATRIX)


def measure(data: Path, work: Path, steps: int, batch: int, names: list[str]) -> str:
    """The table of all variants."""
    dtypes = (torch.float32, torch.bfloat16) if "bf16" in names else (torch.float32,)
    peak = {dtype: matrix_rate(dtype, steps) for dtype in dtypes}
    bare_s, flops = bare_step(run_config(work / "bare", data, 1, batch, {}), batch, steps)
    share = flops / bare_s / peak[torch.float32]
    rows = [["bare step, fp32", f"{batch / bare_s:.1f}", "1.00", f"{share:.0%}", "-"]]
    for i, name in enumerate(names):
        config = run_config(work / str(i), data, steps + SKIPPED, batch, VARIANTS[name])
        rate, wait = loop_rate(config)
        best = peak[torch.bfloat16 if config.optim.precision == "bf16-mixed" else torch.float32]
        rows.append([name, f"{batch * rate:.1f}", f"{bare_s * rate:.2f}", f"{flops * rate / best:.0%}", f"{wait:.2%}"])
        print(*rows[-1], flush=True)
    header = ["run", "images/s", "times the bare step", "share of the matrix rate", "waiting for data"]
    rates = ", ".join(
        f"{rate / 1e9:.0f} GFLOP/s in {str(dtype).removeprefix('torch.')}" for dtype, rate in peak.items()
    )
    missing = "" if "bf16" in names else " bf16 is left out: this processor has no fast products of it."
    return f"""{flops / batch / 1e9:.1f} GFLOP an image, batch {batch}; medians of {steps} steps. Large products (of
matrices or in convolutions, the faster of both) run at {rates} here.{missing}

{table(header, rows)}
"""


def main() -> None:
    """Measure and write the section "Training"."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a Parquet file of faces, instead of made ones")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--compile", action="store_true", help="also with torch.compile, whose start takes a minute")
    asked = parser.parse_args()
    left_out = set() if asked.compile else {"fp32, compiled"}
    names = [name for name in VARIANTS if name not in (left_out if has_bf16() else {*left_out, "bf16"})]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        data = asked.data.resolve() if asked.data else made_faces(work / "faces.parquet")
        body = measure(data, work, asked.steps, asked.batch, names)
    command = "python bench/train.py" + (f" --data {asked.data.name}" if asked.data else "")
    write_section("Training", command + (" --compile" if asked.compile else ""), body)


if __name__ == "__main__":
    main()
