"""How fast `emorph evaluate` is, and whether its headline scores rank four kinds of edits as a person would.

python bench/evaluate.py --data lfw_expressions.parquet [--faces 100] [--model emorph-base] [--workers 1 2 4]

The edits (faces x 8 emotions, at strengths 1 and 1.5) are made beforehand and kept in runs/evaluate: stop with Ctrl-C
and run it again to resume. Faces are found again, as in any user's photos; the data set's own landmarks are not used.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emorph.core.images import read_photo, to_tensor
from emorph.edit.pipeline import Editor
from emorph.evaluate.judges.dlib_recogniser import chip_of, descriptors_of
from emorph.evaluate.judges.own import crop_for, judge_crops
from emorph.evaluate.metrics.table import metrics
from emorph.evaluate.metrics.takes import Takes
from emorph.faces.detect import find_faces
from emorph.models.judge import Judge
from support.edit_sets import edit_sets
from support.measure import median_s, table, write_section
from support.settings import settings

ROOT = Path(__file__).parent.parent
WORK = ROOT / "runs" / "evaluate"
STRONG = 1.5
LIMIT_S = 300
BATCHES = (8, 32, 64, 128)
N_TIMED = 64  # faces that each part is timed on
LARGE_PX = 256  # fidelity is timed on pictures of the usual size
NAMES = ("unedited", "swapped", "edited", "strong")  # as edit_sets calls them; "edited" must come first


def main() -> None:
    """Make the sets, time the command and its parts, and write the section "Evaluation"."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--faces", type=int, default=100)
    parser.add_argument("--model", default="emorph-base")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    arguments = parser.parse_args()
    if not arguments.data:
        print("bench/evaluate.py needs held-out faces: --data lfw_expressions.parquet. RESULTS.md is left as it is.")
        return
    editor = Editor.from_pretrained(arguments.model, device="cpu")
    folder = WORK / f"{editor.model_id}-{settings(editor, arguments.data)}-{arguments.faces}"
    folder.mkdir(parents=True, exist_ok=True)
    sets = {path.stem: path for path in edit_sets(arguments.data, folder, editor, arguments.faces, STRONG)}
    n_edits = len(sets["edited"].read_text().splitlines()) - 1
    timed = {n: command_s(sets["edited"], folder / f"report_{n}_workers", n) for n in arguments.workers}
    ranking = compared([sets[name] for name in NAMES], folder / "report")
    parts = part_rates(sorted((folder / "edited_1").glob("*.png"))[:N_TIMED])
    command = f"python bench/evaluate.py --data {arguments.data.name} --faces {arguments.faces}"
    write_section("Evaluation", command, text(editor.model_id, arguments, n_edits, timed, parts, ranking))


def command_s(edits: Path, out: Path, workers: int) -> float:
    """Wall time of one whole `emorph evaluate`, from start to page."""
    shutil.rmtree(out, ignore_errors=True)
    words = [sys.executable, "-m", "emorph", "evaluate", str(edits), "-o", str(out), "--workers", str(workers)]
    before = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode > 1:
        raise SystemExit(done.stderr)
    return time.perf_counter() - before


def compared(sets: list[Path], out: Path) -> dict[str, Any]:
    """The tables of `emorph evaluate --compare`; a finished part is not done again."""
    words = [sys.executable, "-m", "emorph", "evaluate", "--compare", *map(str, sets), "-o", str(out), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode > 1:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def part_rates(paths: list[Path]) -> list[tuple[str, str]]:
    """(what, faces or pairs a second) of each judge and measure that is always here, one process."""
    photos = [read_photo(path) for path in paths]
    faces = [find_faces(photo)[:1] for photo in photos]
    seen = [(photo, found[0]) for photo, found in zip(photos, faces, strict=True) if found]
    large = torch.nn.functional.interpolate(to_tensor(np.stack([p.pixels for p, _ in seen[:8]])), size=LARGE_PX)
    judge = Judge.from_pretrained("emorph-judge")
    crops = [crop_for(judge, photo, face) for photo, face in seen]

    def rate(n: int, work: Callable[[], object]) -> str:
        return f"{n / median_s(work, repeats=3):.1f}"

    rows = [
        ("finding the face and its 68 points", rate(len(photos), lambda: [find_faces(photo) for photo in photos])),
        ("dlib's recogniser", rate(len(seen), lambda: descriptors_of([chip_of(*item) for item in seen]))),
        ("cutting out the judge's crop", rate(len(seen), lambda: [crop_for(judge, *item) for item in seen])),
    ]
    for batch in BATCHES:
        many = (crops * (batch // len(crops) + 1))[:batch]
        rows.append((f"emorph-judge, batches of {batch}", rate(batch, functools.partial(judge_crops, judge, many))))
    for metric in metrics(Takes.RECONSTRUCTION):
        if not metric.network:
            work = functools.partial(metric.load(), large, large.flip(-1), data_range=2)
            rows.append((f"{metric.title}, {LARGE_PX} px, pairs", rate(len(large), work)))
    return rows


def text(
    model: str,
    arguments: argparse.Namespace,
    n_edits: int,
    timed: dict[int, float],
    parts: list[tuple[str, str]],
    ranking: dict[str, Any],
) -> str:
    """The section's body."""
    best = min(timed, key=lambda n: timed[n])
    rows = [[n, f"{seconds:.0f}", f"{n_edits / seconds:.1f}"] for n, seconds in timed.items()]
    side = {row["measure"]: row for row in ranking["tables"]["side_by_side"]["rows"]}
    shown = [[title, *(number(row[name]) for name in NAMES)] for title, row in side.items()]
    verdict = "as a person would" if all(ranks(row) for row in side.values()) else "NOT as a person would"
    limit = "within" if timed[best] < LIMIT_S else "NOT within"
    return f"""One command makes the whole report (faces, dlib's recogniser, `emorph-judge`, geometry, fidelity, tables,
page) of {n_edits} edits ({arguments.faces} held-out faces of {arguments.data.name} x 8 emotions, `{model}`), made
beforehand; {os.cpu_count()} cores, {limit} {LIMIT_S} s:

{table(["processes", "seconds", "pairs a second"], rows)}

Each part alone, in one process of {torch.get_num_threads()} threads, on {N_TIMED} of these faces. Judges in ONNX files
are not here to be timed; graphs as tiny as the tests' would say nothing of the real ones.

{table(["part", "faces a second"], parts)}

The headline scores of four sets of the same photos (mean, 95 % interval; bootstrap by photo): nothing done, the photo
of another person who has the wanted label, edits at strength 1, and at {STRONG:g}. They rank {verdict}: edits above
doing nothing and above another person in every one.

{table(["", *NAMES], shown)}
"""


def number(cell: Any) -> str:
    """A cell of the report's JSON as text."""
    return cell if isinstance(cell, str) else f"{cell['mean']:.3f} ({cell['low']:.3f} to {cell['high']:.3f})"


def ranks(row: dict[str, Any]) -> bool:
    """Whether the edits at strength 1 have the better headline score than doing nothing and than swapping."""
    values = {name: row[name]["mean"] for name in NAMES if isinstance(row[name], dict)}
    return len(values) == len(NAMES) and values["edited"] > max(values["unedited"], values["swapped"])


if __name__ == "__main__":
    main()
