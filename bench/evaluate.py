"""How fast `emorph evaluate` is, and whether its headline scores rank four kinds of edits as a person would.

python bench/evaluate.py --data lfw_expressions.parquet [--faces 100] [--model emorph-base] [--workers 1 2 4]

The edits (faces x 8 emotions, at strengths 1 and 1.5) are made beforehand and kept in runs/evaluate: stop with Ctrl-C
and run it again to resume. Faces are found again, as in any user's photos; the data set's own landmarks are not used.
Processor time is told beside the clock's, because other work on the machine hardly changes it.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from emorph.core.images import read_photo
from emorph.core.machine import usable_cores
from emorph.core.types import Photo
from emorph.edit.pipeline import Editor
from emorph.evaluate.judges.dlib_recogniser import chip_of, descriptors_of
from emorph.evaluate.judges.own import crop_for, judge_crops
from emorph.evaluate.measure.surroundings import Surroundings
from emorph.evaluate.metrics.metric import Metric
from emorph.evaluate.metrics.table import metrics
from emorph.evaluate.metrics.takes import Takes
from emorph.faces.detect import find_faces
from emorph.models.judge import Judge
from support.edit_sets import edit_sets
from support.measure import alternating_s, table, write_section
from support.settings import settings

ROOT = Path(__file__).parent.parent
WORK = ROOT / "runs" / "evaluate"
STRONG = 1.5
LIMIT_S = 300
WORKERS = [1, 2, 4]
BATCHES = (8, 32, 64, 128)
N_TIMED = 64  # edits that each part is timed on
PICTURES = (Takes.SURROUNDINGS, Takes.MASKED, Takes.INSIDE, Takes.EDITED)  # what an edit's pictures are measured by
NAMES = ("unedited", "swapped", "edited", "strong")  # as edit_sets calls them


@dataclass(frozen=True)
class Spent:
    """What a command took: seconds by the clock, and of all its processes' processor time."""

    wall_s: float
    cpu_s: float


def main() -> None:
    """Make the sets, time the command and its parts, and write the section "Evaluation"."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--faces", type=int, default=100)
    parser.add_argument("--model", default="emorph-base")
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    arguments = parser.parse_args()
    if not arguments.data:
        print("bench/evaluate.py needs held-out faces: --data lfw_expressions.parquet. RESULTS.md is left as it is.")
        return
    editor = Editor.from_pretrained(arguments.model, device="cpu")
    folder = WORK / f"{editor.model_id}-{settings(editor, arguments.data)}-{arguments.faces}"
    folder.mkdir(parents=True, exist_ok=True)
    sets = {path.stem: path for path in edit_sets(arguments.data, folder, editor, arguments.faces, STRONG)}
    n_edits = len(sets["edited"].read_text().splitlines()) - 1
    timed: list[tuple[str, Spent]] = []
    for n in arguments.workers:
        out = folder / f"report_{n}_workers"
        shutil.rmtree(out, ignore_errors=True)
        timed.append((str(n), evaluated(sets["edited"], out, n)))
    last = arguments.workers[-1]
    timed.append((f"{last}, all on record before", evaluated(sets["edited"], folder / f"report_{last}_workers", last)))
    ranking = compared([sets[name] for name in NAMES], folder / "report")
    parts = part_rates(folder)
    command = f"python bench/evaluate.py --data {arguments.data.name} --faces {arguments.faces}"
    if arguments.workers != WORKERS:
        command += f" --workers {' '.join(map(str, arguments.workers))}"
    write_section("Evaluation", command, text(editor.model_id, arguments, n_edits, timed, parts, ranking))


def evaluated(edits: Path, out: Path, workers: int) -> Spent:
    """One whole `emorph evaluate`, from start to page."""
    words = [sys.executable, "-m", "emorph", "evaluate", str(edits), "-o", str(out), "--workers", str(workers)]
    before, of_others = time.perf_counter(), children_s()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode > 1:
        raise SystemExit(done.stderr)
    return Spent(time.perf_counter() - before, children_s() - of_others)


def children_s() -> float:
    """Processor time of all processes that have ended so far under this one."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def compared(sets: list[Path], out: Path) -> dict[str, Any]:
    """The tables of `emorph evaluate --compare`; a finished part is not done again."""
    words = [sys.executable, "-m", "emorph", "evaluate", "--compare", *map(str, sets), "-o", str(out), "--json"]
    done = subprocess.run([*words, "--workers", str(usable_cores())], capture_output=True, text=True, check=False)
    if done.returncode > 1:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def part_rates(folder: Path) -> list[tuple[str, str]]:
    """(what, faces or pairs a second) of each judge and measure that is always here, one process."""
    paths = sorted((folder / "edited_1").glob("*.png"))[:N_TIMED]
    photos = [read_photo(path) for path in paths]
    faces = [find_faces(photo)[:1] for photo in photos]
    seen = [(photo, found[0]) for photo, found in zip(photos, faces, strict=True) if found]
    judge = Judge.from_pretrained("emorph-judge")
    chips = [chip_of(*item) for item in seen]
    crops = [crop_for(judge, *item) for item in seen]
    works: dict[str, tuple[int, Callable[[], object]]] = {
        "finding the face and its 68 points": (len(photos), lambda: [find_faces(photo) for photo in photos]),
        "cutting out the recogniser's chip": (len(seen), lambda: [chip_of(*item) for item in seen]),
        "dlib's recogniser, in torch": (len(chips), lambda: descriptors_of(chips)),
        "cutting out the judge's crop": (len(seen), lambda: [crop_for(judge, *item) for item in seen]),
    }
    for batch in BATCHES:
        many = (crops * (batch // len(crops) + 1))[:batch]
        works[f"emorph-judge, batches of {batch}"] = (batch, functools.partial(judge_crops, judge, many))
    sources = {path: folder / "sources" / f"{path.stem.partition('_')[0]}.png" for path in paths}
    around = {source: surroundings_of(source) for source in sorted(set(sources.values()))}
    pairs = [(around[sources[path]], photo) for path, photo in zip(paths, photos, strict=True)]
    for row in metrics(*PICTURES):
        if not row.network:
            works[f"{row.title}, pairs"] = (len(pairs), functools.partial(measured, pairs, row))
    seconds = alternating_s({name: work for name, (_, work) in works.items()}, repeats=3)
    return [(name, f"{n / seconds[name]:.1f}") for name, (n, _) in works.items()]


def surroundings_of(path: Path) -> Surroundings:
    """A source photo with its largest face."""
    photo = read_photo(path)
    return Surroundings(photo, find_faces(photo)[0])


def measured(pairs: list[tuple[Surroundings, Photo]], row: Metric) -> list[float]:
    """A metric of each pair of a source and its edit."""
    return [around.measured(photo, [row])[row.name] for around, photo in pairs]


def text(
    model: str,
    arguments: argparse.Namespace,
    n_edits: int,
    timed: list[tuple[str, Spent]],
    parts: list[tuple[str, str]],
    ranking: dict[str, Any],
) -> str:
    """The section's body."""
    rows = [
        [name, f"{spent.wall_s:.0f}", f"{spent.cpu_s:.0f}", f"{n_edits / spent.cpu_s:.1f}"] for name, spent in timed
    ]
    side = {row["measure"]: row for row in ranking["tables"]["side_by_side"]["rows"]}
    shown = [[title, *(number(row[name]) for name in NAMES)] for title, row in side.items()]
    verdict = "as a person would" if all(ranks(row) for row in side.values()) else "NOT as a person would"
    limit = "within" if timed[0][1].cpu_s < LIMIT_S else "NOT within"
    cores, (_, load, _) = usable_cores(), os.getloadavg()
    return f"""One command makes the whole report (faces, dlib's recogniser, `emorph-judge`, geometry, fidelity, tables,
page) of {n_edits} edits ({arguments.faces} held-out faces of {arguments.data.name} x 8 emotions, `{model}`), made
beforehand; {limit} {LIMIT_S} s of processor time; {cores} usable core{"s" if cores > 1 else ""} on a machine with
a load of {load:.1f}. "All on record before" is the start, the tables and the page alone.

{table(["processes", "seconds", "processor seconds", "pairs a processor second"], rows)}

Each part alone, in one process of {torch.get_num_threads()} threads, on {N_TIMED} of these edits, in turns. Judges in
ONNX files are not here to be timed; graphs as tiny as the tests' would say nothing of the real ones.

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
