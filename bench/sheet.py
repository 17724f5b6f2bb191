"""The whole sheet of one photo: cold (a new process, from start to file) and warm (in one process), and its memory."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import emorph
from emorph.core.images import read_photo
from emorph.edit.change import paste
from emorph.edit.painted_mouth import inside_painted_by
from emorph.edit.pipeline import Editor
from support.measure import median_s, table, write_section

PHOTO = Path(__file__).parent.parent / "examples" / "astronaut.png"
COLD_RUNS, WARM_RUNS = 5, 7


def cold() -> tuple[float, float]:
    """Median seconds and peak MB of `emorph sheet` as a process of its own."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(COLD_RUNS + 1):
            before = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "emorph", "sheet", str(PHOTO), "-o", folder], check=True, capture_output=True
            )
            seconds.append(time.perf_counter() - before)
    peak_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # the largest child
    return statistics.median(seconds[1:]), peak_kb / 1024


def main() -> None:
    """Measure and write the section "Sheet"."""
    cold_s, peak_mb = cold()
    editor = Editor.from_pretrained("emorph-base")
    photo = read_photo(PHOTO)
    faces = editor.faces(photo)
    targets = editor.sheet_targets()
    changes = editor.changes(faces, targets)[0]

    def paste_all() -> None:
        for change in changes:
            paste(photo, faces[0], change)

    pasted = [paste(photo, faces[0], change) for change in changes]
    finish = inside_painted_by(editor.painter)

    def paint_all() -> None:
        for target, change, result in zip(targets, changes, pasted, strict=True):
            if finish is not None:
                finish(target)(photo, result, faces[0], change)

    rows = [
        ("process, start to file (cold)", f"{cold_s:.2f}"),
        ("whole sheet (warm)", f"{median_s(lambda: editor.sheet(photo), repeats=WARM_RUNS):.2f}"),
        ("  find and align the face", f"{median_s(lambda: editor.faces(photo), repeats=WARM_RUNS):.3f}"),
        (
            "  move, invert and draw eight crops",
            f"{median_s(lambda: editor.changes(faces, targets), repeats=WARM_RUNS):.2f}",
        ),
        ("  paste them into the photo", f"{median_s(paste_all, repeats=WARM_RUNS):.2f}"),
        ("  paint their mouths", f"{median_s(paint_all, repeats=WARM_RUNS):.2f}"),
    ]
    height, width = photo.pixels.shape[:2]
    body = f"""One photo ({width}x{height} px), eight emotions, {editor.steps} evaluations in each direction,
emorph {emorph.__version__}; medians of {COLD_RUNS} and {WARM_RUNS} runs. Peak memory of the process: {peak_mb:.0f} MB.

{table(["step", "seconds"], rows)}
"""
    write_section("Sheet", "python bench/sheet.py", body)


if __name__ == "__main__":
    main()
