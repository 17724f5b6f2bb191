"""Preparing faces against plain decoding of the same files in one run, and what a second process gives."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import cv2

import emorph
from emorph.core.errors import ImageError
from emorph.data.index import FaceIndex
from emorph.data.layouts import open_index
from emorph.data.prepare import Settings, prepare, usable_cores
from support.measure import table, write_section


def decoding_rate(index: FaceIndex) -> float:
    """Pictures a second that one process decodes, as preparation does it."""
    before = time.perf_counter()
    n_read = 0
    for record in index.usable():
        try:
            index.pixels(record)
        except ImageError:
            continue
        n_read += 1
    return n_read / (time.perf_counter() - before)


def preparing_rate(index: FaceIndex, settings: Settings, workers: int) -> float:
    """Pictures a second from the first written part to the last, so without the start of processes."""
    steps: list[tuple[float, int]] = []

    def note(done: int, total: int, before: int) -> None:
        if done:
            steps.append((time.perf_counter(), done))

    with tempfile.TemporaryDirectory() as folder:
        prepare(index, Path(folder) / "set", settings, workers=workers, on_step=note)
    (first, n_first), (last, n_last) = steps[0], steps[-1]
    return (n_last - n_first) / (last - first)


def main() -> None:
    """Measure and write the section "Preparation"."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a data set, such as AffectNet's folder")
    parser.add_argument("--size", type=int, default=256, help="side of the crops in px")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    if not args.data:
        print("bench/prepare.py needs a data set: --data AffectNet. RESULTS.md is left as it is.")
        return
    cv2.setNumThreads(1)
    index, settings = open_index(args.data), Settings(side_px=args.size)
    counts = [1, 2] if usable_cores() > 1 else [1]
    decoding: list[float] = []
    preparing: dict[int, list[float]] = {n: [] for n in counts}
    for _ in range(args.repeats):  # taken in turns, so that a busy machine slows all alike
        decoding.append(decoding_rate(index))
        for n in counts:
            preparing[n].append(preparing_rate(index, settings, n))
    decoded = statistics.median(decoding)
    rows = [("decode only, 1 process", f"{decoded:.0f}", f"{decoded:.0f}", "1")]
    for n in counts:
        per_s = statistics.median(preparing[n])
        name = f"prepare, {n} process{'es' if n > 1 else ''}"
        rows.append((name, f"{per_s:.1f}", f"{per_s / n:.1f}", f"{decoded * n / per_s:.1f}"))
    scaling = ""
    if 2 in preparing:
        ratio = statistics.median(b / a for a, b in zip(preparing[1], preparing[2], strict=True))
        scaling = f" Two processes give {ratio:.2f} times one."
    body = f"""{len(index.usable())} pictures of {args.data.name}, crops of {args.size} px, emorph {emorph.__version__};
medians of {args.repeats} runs, {usable_cores()} usable cores, without the start of processes.{scaling}

{table(["what", "images/s", "images/s per core", "core time of one decoding"], rows)}
"""
    write_section("Preparation", f"python bench/prepare.py --data {args.data.name} --size {args.size}", body)


if __name__ == "__main__":
    main()
