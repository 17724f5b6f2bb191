"""Preparing faces against plain decoding of the same files in one run, and what a second process gives.

python bench/prepare.py --data AffectNet; with --enlarge 4000 also of the same pictures as photos of 4000 px.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

import emorph
from emorph.core.errors import ImageError
from emorph.core.machine import usable_cores
from emorph.core.records import Box, FaceRecord
from emorph.data.index import FaceIndex
from emorph.data.layouts import open_index
from emorph.data.prepare import Settings, encode, prepare
from support.measure import table, write_section

REPEATS = 3


def decoding_rate(index: FaceIndex) -> float:
    """Pictures a second of CPU time that one process decodes, as preparation does it."""
    before = time.process_time()
    n_read = 0
    for record in index.usable():
        try:
            index.pixels(record)
        except ImageError:
            continue
        n_read += 1
    return n_read / (time.process_time() - before)


def preparing_rate(index: FaceIndex, settings: Settings, workers: int) -> float:
    """Pictures a second from the first written part to the last, so without the start of processes.

    Of one process by its CPU time, which other work on the machine hardly changes; of several by the clock.
    """
    steps: list[tuple[float, int]] = []
    clock = time.process_time if workers == 1 else time.perf_counter

    def note(done: int, total: int, before: int) -> None:
        if done:
            steps.append((clock(), done))

    with tempfile.TemporaryDirectory() as folder:
        prepare(index, Path(folder) / "set", settings, workers=workers, on_step=note)
    (first, n_first), (last, n_last) = steps[0], steps[-1]
    return (n_last - n_first) / (last - first)


def enlarged(index: FaceIndex, folder: Path, longer_px: int) -> FaceIndex:
    """The same pictures as JPEG photos whose longer side has so many pixels, with some noise, and their boxes moved."""
    rng = np.random.default_rng(0)
    records: list[FaceRecord] = []
    for record in index.usable():
        try:
            pixels = index.pixels(record)
        except ImageError:
            continue
        factor = longer_px / max(pixels.shape[:2])
        large = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(large + rng.normal(0, 3, large.shape), 0, 255).astype(np.uint8)
        name = f"{len(records):06d}.jpg"
        (folder / name).write_bytes(encode(noisy, "JPEG"))
        box: Box | None = None
        if record.box is not None:
            left, top, right, bottom = (factor * edge for edge in record.box)
            box = left, top, right, bottom
        records.append(replace(record, path=name, box=box, landmarks=None))
    return FaceIndex(folder, index.layout, records)


def main() -> None:
    """Measure and write the section "Preparation"."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a data set, such as AffectNet's folder")
    parser.add_argument("--size", type=int, default=256, help="side of the crops in px")
    parser.add_argument("--enlarge", type=int, metavar="PX", help="measure photos of this longer side, too")
    parser.add_argument("--first", type=int, help="measure so many of the pictures")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    args = parser.parse_args()
    if not args.data:
        print("bench/prepare.py needs a data set: --data AffectNet. RESULTS.md is left as it is.")
        return
    cv2.setNumThreads(1)
    index, settings = open_index(args.data), Settings(side_px=args.size)
    index.records = index.records[: args.first]
    with tempfile.TemporaryDirectory() as folder:
        parts = [measured(index, settings, args.repeats, index.root.name)]
        if args.enlarge:
            large = enlarged(index, Path(folder), args.enlarge)
            parts.append(measured(large, settings, args.repeats, f"{index.root.name} at {args.enlarge:,} px"))
    options = [f" --enlarge {args.enlarge}" if args.enlarge else "", f" --first {args.first}" if args.first else ""]
    options += [f" --repeats {args.repeats}" if args.repeats != REPEATS else ""]
    command = f"python bench/prepare.py --data {args.data.name} --size {args.size}{''.join(options)}"
    write_section("Preparation", command, "\n".join(parts))


def measured(index: FaceIndex, settings: Settings, repeats: int, name: str) -> str:
    """What the section says of one set."""
    counts = [1, 2] if usable_cores() > 1 else [1]
    decoding: list[float] = []
    preparing: dict[int, list[float]] = {n: [] for n in counts}
    for _ in range(repeats):  # taken in turns, so that a busy machine slows all alike
        decoding.append(decoding_rate(index))
        for n in counts:
            preparing[n].append(preparing_rate(index, settings, n))
    decoded = statistics.median(decoding)
    rows = [("decode only, 1 process", f"{decoded:.0f}", f"{decoded:.0f}", "1")]
    for n in counts:
        per_s = statistics.median(preparing[n])
        what = f"prepare, {n} process{'es' if n > 1 else ''}"
        rows.append((what, f"{per_s:.1f}", f"{per_s / n:.1f}", f"{decoded * n / per_s:.1f}"))
    scaling = ""
    if 2 in preparing:
        ratio = statistics.median(b / a for a, b in zip(preparing[1], preparing[2], strict=True))
        scaling = f" Two processes give {ratio:.2f} times one."
    runs = "one run" if repeats == 1 else f"medians of {repeats} runs"
    return f"""{len(index.usable())} pictures of {name}, crops of {settings.side_px} px, emorph {emorph.__version__};
{runs}, {usable_cores()} usable cores, without the start of processes. One process is measured by
its CPU time, several by the clock.{scaling}

{table(["what", "images/s", "images/s per core", "core time of one decoding"], rows)}
"""


if __name__ == "__main__":
    main()
