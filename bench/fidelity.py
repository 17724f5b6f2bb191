"""Fidelity against the number of network evaluations: held-out faces through invert and sample, for both solvers.

python bench/fidelity.py --data FACES.parquet [--faces 32]: faces of its split "val" with their
landmarks; without --data, the example photo's face alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from emorph.core.images import to_pixels
from emorph.core.types import AlignedFace
from emorph.diffusion.samplers import SOLVERS
from emorph.edit.pipeline import Editor
from emorph.evaluate import psnr, ssim
from emorph.models.diffae import DiffAE
from support.measure import table, write_section
from support.validation import read_faces

ROOT = Path(__file__).parent.parent
EVALUATIONS = (6, 10, 15, 25, 50, 100)
PERFECT = 0.9999


@torch.inference_mode()
def held_out(model: DiffAE, data: Path, n: int, split: str = "val") -> Tensor:
    """n faces of a split, evenly spread, as the model sees them: (n, C, S, S) in [-1, 1] without their tone."""
    faces = read_faces(data, split)
    rows = np.linspace(0, len(faces) - 1, n).round().astype(int)
    editor = Editor(model, device="cpu")
    return seen(editor, [editor.align(faces[i].photo, [faces[i].landmarks])[0] for i in rows])


def seen(editor: Editor, faces: Sequence[AlignedFace]) -> Tensor:
    """Crops as the editor's model sees them."""
    crops = editor.pictures(faces)
    return editor.model.tone(crops).take_off(crops).clamp(-1, 1)


def scores(x: Tensor, y: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """PSNR (dB) and SSIM of each picture in whole levels, data range 255."""
    a, b = (torch.from_numpy(to_pixels(pictures)).permute(0, 3, 1, 2).float() for pictures in (x, y))
    return psnr(a, b, data_range=255).numpy(), ssim(a, b, data_range=255).numpy()


@torch.inference_mode()
def main() -> None:
    """Measure and write the section "Fidelity" and its plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--faces", type=int, default=32)
    parser.add_argument("--model", default="emorph-base")
    arguments = parser.parse_args()
    editor = Editor.from_pretrained(arguments.model, device="cpu")
    model = editor.model
    if arguments.data:
        x = held_out(model, arguments.data, arguments.faces)
    else:
        x = seen(editor, editor.faces(ROOT / "examples" / "astronaut.png"))
    denoise = model.denoiser(model.encode(x))
    found: dict[str, list[tuple[float, float, float]]] = {}
    for name, solver in SOLVERS.items():
        for n in EVALUATIONS:
            steps = solver.schedule(model.diffusion, n)
            psnr, ssim = scores(x, solver.sample(denoise, solver.invert(denoise, x, steps), steps))
            found.setdefault(name, []).append((float(psnr.mean()), float(ssim.mean()), float(ssim.min())))
            if ssim.min() > PERFECT:
                break
            print(f"{name} {n}: PSNR {psnr.mean():.2f}, SSIM {ssim.mean():.4f}, worst {ssim.min():.4f}", flush=True)
    rows = [[n, *(cell for name in SOLVERS for cell in cells(found[name], i))] for i, n in enumerate(EVALUATIONS)]
    header = ["evaluations", *(f"{name} {what}" for name in SOLVERS for what in ("PSNR", "SSIM", "worst SSIM"))]
    if arguments.data:
        plot(found)
    source = f"{len(x)} faces of {arguments.data.name}, split val" if arguments.data else "the example photo's face"
    body = f"""{arguments.model}, {source}, {model.config.image_size} px, levels 0..255: each face, as the model
sees it, inverted and sampled again with the same number of network evaluations in each direction; nothing is random.
Means over faces; "worst" is the lowest.
A solver is not taken further once its worst SSIM is above {PERFECT} ("-").
The editor's default is {editor.steps} evaluations of "{editor.solver_name}".

{table(header, rows)}

![SSIM and PSNR against the number of evaluations](fidelity.png)
"""
    if arguments.data:
        command = f"python bench/fidelity.py --data {arguments.data.name} --faces {arguments.faces}"
        write_section("Fidelity", command, body)
    else:
        print(body + "\nRESULTS.md is not changed: its numbers are for many faces (--data).")


def cells(values: list[tuple[float, float, float]], i: int) -> list[str]:
    """PSNR, SSIM and worst SSIM of one solver at one number of evaluations."""
    if i >= len(values):
        return ["-"] * 3
    return [
        f"{value:.{digits}f}" if np.isfinite(value) else "exact"
        for value, digits in zip(values[i], (2, 4, 4), strict=True)
    ]


def plot(found: dict[str, list[tuple[float, float, float]]]) -> None:
    """Write bench/fidelity.png."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for name, values in found.items():
        for axis, column in zip(axes, (1, 0), strict=True):
            axis.plot(EVALUATIONS[: len(values)], [value[column] for value in values], marker="o", label=name)
    axes[0].axhline(0.98, color="gray", linewidth=0.8, linestyle="--")
    for axis, title in zip(axes, ("SSIM of the reconstruction", "PSNR of the reconstruction, dB"), strict=True):
        axis.set(xscale="log", xlabel="network evaluations in each direction", title=title)
        axis.set_xticks(EVALUATIONS, labels=[str(n) for n in EVALUATIONS])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(ROOT / "bench" / "fidelity.png", dpi=110)


if __name__ == "__main__":
    main()
