"""Scanning the lists of all of AffectNet: seconds, memory, and whether every count is right.

python bench/scan.py: two lists of 420,299 made rows, 68 landmarks each, with AffectNet's counts and no pictures, are
written to a temporary folder (0.4 GB) and scanned by `emorph data scan --no-files` in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import emorph
from emorph.data.affectnet import COLUMNS, MANUAL_LISTS
from emorph.data.index import CODE_NAMES
from support.measure import table, write_section

# Mollahosseini et al. 2017, table 3: rows of each code in both lists together; validation has 500 of each
TOTALS = (75374, 134915, 25959, 14590, 6878, 4303, 25382, 4250, 33588, 12145, 82915)
HELD_OUT = 500
N_PAIRS = 50_000  # different points
PHOTO_PX = 425  # AffectNet's median


@dataclass(frozen=True)
class Scan:
    """One scan: wall and CPU seconds, the process's peak memory in bytes, and what it printed."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    found: dict[str, Any]


def write_lists(root: Path, share: float) -> int:
    """Both lists with this share of AffectNet's rows; their size in bytes."""
    totals = [max(2, round(n * share)) for n in TOTALS]
    held_out = [min(round(HELD_OUT * share), n // 2) for n in totals]
    of_list = {"train": [n - v for n, v in zip(totals, held_out, strict=True)], "val": held_out}
    for split, name in MANUAL_LISTS.items():
        with (root / name).open("w", encoding="ascii") as file:
            file.write(",".join(COLUMNS) + "\n")
            file.writelines(made_rows(of_list[split], seed=len(split)))
    return sum((root / name).stat().st_size for name in MANUAL_LISTS.values())


def made_rows(counts: list[int], seed: int) -> Iterator[str]:
    """Lines of a list with so many rows of each code, in no order: a file, a box and points of its own in each."""
    rng = np.random.default_rng(seed)
    pairs = np.array([f"{x:.2f};{y:.2f}" for x, y in rng.uniform(0, PHOTO_PX, (N_PAIRS, 2))], dtype=object)
    codes = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    for part in np.array_split(codes, 1 + len(codes) // 4096):
        points = pairs[rng.integers(0, N_PAIRS, (len(part), 68))]
        boxes = rng.integers(1, PHOTO_PX // 2, (len(part), 4)).tolist()
        affects = rng.uniform(-1, 1, (len(part), 2)).round(6).tolist()
        for code, where, box, affect in zip(part.tolist(), points, boxes, affects, strict=True):
            valence, arousal = affect if code < 8 else (-2, -2)
            name = f"{box[0]}/{rng.bytes(28).hex()}.jpg"
            yield f"{name},{','.join(map(str, box))},{';'.join(where)},{code},{valence},{arousal}\n"


def scanned(root: Path) -> Scan:
    """Run the command and measure its process. Raises RuntimeError with its last words if it fails."""
    command = [sys.executable, "-m", "emorph", "data", "scan", str(root), "--no-files", "--json"]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        before = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - before
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode:
            raise RuntimeError(err.read().decode()[-500:])
        kilobytes = usage.ru_maxrss if sys.platform != "darwin" else usage.ru_maxrss // 1024
        return Scan(wall_s, usage.ru_utime + usage.ru_stime, 1024 * kilobytes, json.loads(out.read()))


def differences(found: dict[str, Any]) -> list[str]:
    """Where a scan of the whole lists departs from AffectNet's counts; empty if nowhere."""
    wrong = []
    for name, total in zip(CODE_NAMES, TOTALS, strict=True):
        row = found["counts"][name]
        expected = {"listed_total": total}
        if row["code"] < 8:
            expected |= {"train": total - HELD_OUT, "val": HELD_OUT}
        wrong += [f"{name}: {key} {row[key]:,}, not {n:,}" for key, n in expected.items() if row[key] != n]
    wanted = {"train": sum(TOTALS[:8]) - 8 * HELD_OUT, "val": 8 * HELD_OUT}
    if found["total"] != sum(TOTALS) or found["usable"] != wanted:
        wrong.append(f"in all {found['total']:,} rows and {found['usable']}, not {sum(TOTALS):,} and {wanted}")
    return wrong


def main() -> None:
    """Measure and write the section "Scan"."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the rows, to try the script; writes nothing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        size = write_lists(Path(folder), arguments.share)
        scans = [scanned(Path(folder)) for _ in range(arguments.repeats)]
    if arguments.share < 1:
        print(*(f"{scan.found['total']:,} rows in {scan.wall_s:.2f} s" for scan in scans), sep="\n")
        return
    wrong = differences(scans[0].found)
    if wrong:
        sys.exit("the counts are wrong: " + "; ".join(wrong))
    found = scans[0].found
    rows = [
        ("seconds", f"{statistics.median(scan.wall_s for scan in scans):.1f}"),
        ("CPU seconds", f"{statistics.median(scan.cpu_s for scan in scans):.1f}"),
        ("peak memory", f"{max(scan.peak_bytes for scan in scans) / 1e6:.0f} MB"),
    ]
    how = f"medians of {arguments.repeats}, process start included; emorph {emorph.__version__}"
    usable = found["usable"]
    body = f"""{found["total"]:,} made rows with landmarks ({size / 1e6:.0f} MB), no pictures.
All eleven counts are AffectNet's; after the hold-out of {HELD_OUT} of each emotion {usable["train"]:,} faces
train and {usable["val"]:,} validate ({how}).

{table(["", "scan"], rows)}
"""
    write_section("Scan", "python bench/scan.py", body)


if __name__ == "__main__":
    main()
