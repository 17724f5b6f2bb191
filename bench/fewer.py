"""Time against fidelity: fewer evaluations, time steps fitted to them, and deep features used again.

python bench/fewer.py --data FACES.parquet           writes the table, on faces of its split "val"
python bench/fewer.py --data FACES.parquet --fit     tries bends of the time steps, on faces of its split "train"

Each face is inverted and drawn again with its own code, and with another face's, which stands for an edit; the latter
is held against the same with REFERENCE evaluations. Nothing is random. Times are of the U-Net alone, both directions.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from emorph.diffusion.samplers import Denoise, Solver, solver
from emorph.diffusion.schedule import FITTED, Schedule, logsnr_steps
from emorph.models import DiffAE, load
from emorph.models.reuse import DeepReuse
from fidelity import held_out, scores
from support.measure import clock_s, table, write_section

REFERENCE = 40
STEPS = (4, 5, 6, 8, 10)
BENDS = [(a, b) for a in (-0.15, 0.0, 0.15) for b in (0.25, 0.5, 0.75)]
FIT_STEPS = (4, 6, 8)


@dataclass(frozen=True)
class Way:
    """One line of the table. straight: whether deep features go on along a line, or are taken as they are."""

    solver: str
    steps: int
    reuse: int = 1
    straight: bool = True

    @property
    def words(self) -> str:
        """For the table."""
        kept = "" if self.reuse == 1 else f", reuse {self.reuse}" + ("" if self.straight else " (as they are)")
        return f"{self.solver}{kept}"


WAYS = [
    *(Way(name, n) for n in STEPS for name in ("dpm", "dpm-fitted")),
    *(Way("dpm", n, 2, straight) for n in (8, 12, 20) for straight in (False, True)),
]


class Measure:
    """Faces, their codes, and what many evaluations make of them with each other's codes."""

    def __init__(self, model: DiffAE, x: Tensor) -> None:
        self.model, self.x = model, x
        self.z = model.encode(x)
        self.z_to = self.z.roll(1, 0)
        dpm = solver("dpm")
        schedule = dpm.schedule(model.diffusion, REFERENCE)
        _, self.wanted, _ = self.drawn(dpm, schedule, model.denoiser)

    def drawn(
        self, by: Solver, schedule: Schedule, denoiser: Callable[[Tensor], Denoise]
    ) -> tuple[Tensor, Tensor, float]:
        """The faces drawn again, drawn with the other codes, and the seconds of inverting and drawing them again."""
        before = clock_s()
        x_T = by.invert(denoiser(self.z), self.x, schedule)
        again = by.sample(denoiser(self.z), x_T, schedule).clamp(-1, 1)
        seconds = clock_s() - before
        return again, by.sample(denoiser(self.z_to), x_T, schedule).clamp(-1, 1), seconds

    def denoiser(self, way: Way) -> Callable[[Tensor], Denoise]:
        """The model's, and where it is asked for, with features taken as DeepCache does."""
        if way.reuse == 1 or way.straight:
            return lambda z: self.model.denoiser(z, reuse=way.reuse)

        def made(z: Tensor) -> Denoise:
            reuse = DeepReuse(self.model.at(z), way.reuse, self.model.diffusion, straight=False)
            return self.model.denoiser_by(reuse.evaluate)

        return made


def fit(measure: Measure) -> str:
    """A table of bends: the mean squared error of both pictures together, in levels of 255."""
    by = solver("dpm")
    rows = []
    for a, b in BENDS:
        cells = []
        for n in FIT_STEPS:
            schedule = bent(measure.model.diffusion, n, (a, b))
            again, edited, _ = measure.drawn(by, schedule, measure.model.denoiser)
            error = (again - measure.x).square().mean() + (edited - measure.wanted).square().mean()
            cells.append(f"{float(error) * 127.5**2:.2f}")
        rows.append([f"{a:g}, {b:g}{' (FITTED)' if (a, b) == FITTED else ''}", *cells])
        print(*rows[-1], flush=True)
    return table(["bend", *(f"{n} evaluations" for n in FIT_STEPS)], rows)


def bent(process: Schedule, n: int, bend: tuple[float, float]) -> Schedule:
    """The time steps of n evaluations with any bend."""
    chosen = np.array(logsnr_steps(process.snr, n + 1, bend))
    alpha_bars = process.alphas_cumprod[chosen]
    betas = 1.0 - alpha_bars / np.concatenate([[1.0], alpha_bars[:-1]])
    return Schedule(process.timesteps[chosen], betas, process.n_train_steps)


def compare(measure: Measure, repeats: int) -> str:
    """The table of all ways; times are medians, in turns."""
    seconds: dict[Way, list[float]] = {way: [] for way in WAYS}
    rows = []
    for _ in range(repeats):
        for way in WAYS:
            by = solver(way.solver)
            schedule = by.schedule(measure.model.diffusion, way.steps)
            again, edited, took = measure.drawn(by, schedule, measure.denoiser(way))
            seconds[way].append(took / len(measure.x))
            if len(seconds[way]) == repeats:
                psnr, ssim = scores(measure.x, again)
                psnr_to, ssim_to = scores(measure.wanted, edited)
                rows.append(
                    [
                        way.words,
                        way.steps,
                        f"{float(np.median(seconds[way])):.3f}",
                        f"{psnr.mean():.2f}" if np.isfinite(psnr).all() else "exact",
                        f"{ssim.mean():.4f} ({ssim.min():.4f})",
                        f"{psnr_to.mean():.2f}",
                        f"{ssim_to.mean():.4f} ({ssim_to.min():.4f})",
                    ]
                )
                print(*rows[-1], flush=True)
    header = ["solver", "evaluations", "s a face", "PSNR", "SSIM (worst)", "edit's PSNR", "edit's SSIM (worst)"]
    return table(header, rows)


@torch.inference_mode()
def main() -> None:
    """Measure and write the section "Fewer and cheaper evaluations"."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--faces", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="emorph-base")
    parser.add_argument("--fit", action="store_true")
    asked = parser.parse_args()
    if not asked.data:
        print("bench/fewer.py needs faces: --data lfw_expressions.parquet. RESULTS.md is left as it is.")
        return
    with torch.inference_mode(False):
        model = load(asked.model).requires_grad_(False)
    c, split = model.config, "train" if asked.fit else "val"
    measure = Measure(model, held_out(model, asked.data, asked.faces, split))
    if asked.fit:
        print(fit(measure))
        return
    runs = "one run" if asked.repeats == 1 else f"medians of {asked.repeats} runs"
    body = f"""{asked.model}, {asked.faces} faces of {asked.data.name}, split val, {c.image_size} px, levels 0..255:
each face inverted and drawn again with the same number of evaluations in each direction; {runs}, in turns,
float32, in torch. The edit is the face drawn with another face's code, against the same with {REFERENCE} evaluations.
"dpm-fitted" has its time steps moved by FITTED; `--fit` tries others. "Reuse 2" computes the deep layers at every
second evaluation and continues them in between; "as they are" takes the last ones, which is DeepCache's own way.

{compare(measure, asked.repeats)}
"""
    command = f"python bench/fewer.py --data {asked.data.name} --faces {asked.faces} --repeats {asked.repeats}"
    write_section("Fewer and cheaper evaluations", command, body)


if __name__ == "__main__":
    main()
