"""How few network evaluations give the edit of fifteen? Print the README's table for a model's folder.

python examples/emorph-base/steps.py MODEL london.parquet

Crops of three held-out people, four emotions, mouths not painted; one thread.
"""

from __future__ import annotations

import argparse
import io
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from emorph.core.expressions import Emotion
from emorph.core.types import AlignedFace, Photo, Target
from emorph.data.mouths import held_out
from emorph.edit.pipeline import Editor
from emorph.evaluate.metrics.fidelity import ssim

REFERENCE = 15
TRIED = (("dpm", (3, 4, 5, 6, 8, 10)), ("ddim", (6, 10)))
TARGETS = [Target(emotion) for emotion in (Emotion.HAPPY, Emotion.SAD, Emotion.SURPRISE, Emotion.ANGER)]
N_PEOPLE = 3


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("portraits", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    faces = portraits(arguments.portraits, Editor.from_pretrained(arguments.model, device="cpu"))
    reference, _ = drawn(arguments.model, faces, REFERENCE, "dpm")
    print("| solver | evaluations each way | SSIM, mean | SSIM, least | mean difference, levels | s an edit |")
    print("| --- " * 6 + "|")
    for solver, counts in TRIED:
        for steps in counts:
            made, seconds = drawn(arguments.model, faces, steps, solver)
            alike = ssim(made, reference, data_range=255.0)
            away = float((made - reference).abs().mean())
            print(f"| {solver} | {steps} | {alike.mean():.3f} | {alike.min():.3f} | {away:.2f} | {seconds:.2f} |")


def portraits(pack: Path, editor: Editor) -> list[AlignedFace]:
    """The faces of a few people whom no model saw."""
    rows = [r for r in pq.read_table(pack).to_pylist() if r["label"] == "neutral"]
    rows = [r for r in rows if held_out(r["identity"], r["source_set"], r["split"])]
    chosen = [rows[i] for i in np.linspace(0, len(rows) - 1, min(N_PEOPLE, len(rows))).astype(int)]
    pixels = [np.asarray(Image.open(io.BytesIO(row["image"])).convert("RGB")) for row in chosen]
    return [face for each in pixels for face in editor.faces(Photo(each))]


def drawn(model: Path, faces: list[AlignedFace], steps: int, solver: str) -> tuple[Tensor, float]:
    """Every edit's crop (n, 3, S, S) in 0..255, and the processor's seconds for one, encoding included."""
    editor = Editor.from_pretrained(model, device="cpu", steps=steps, solver_name=solver)
    started_s = time.process_time()
    changes = [change for of_face in editor.changes(faces, TARGETS) for change in of_face]
    seconds = (time.process_time() - started_s) / len(changes)
    return torch.stack([torch.from_numpy(change.after).permute(2, 0, 1) for change in changes]), seconds


if __name__ == "__main__":
    main()
