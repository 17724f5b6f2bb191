"""What scan, prepare, edit, evaluate and z_sem cost by the number of items: time and memory, a line each.

python bench/size.py --counts 1000 10000 100000 --dear 10000: made photos of 120 px, all different, of one face; made
weights where a model is needed, so that what is left is what each command does around its networks. Each is a process
of its own.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import emorph
from emorph.evaluate.scores.gallery import MOST_PHOTOS
from emorph.models.diffae import DiffAE
from support.measure import table, write_section
from support.size_items import (
    PHOTO_PX,
    ROW_GROUP,
    Place,
    copied,
    ids,
    lines_by_face,
    write_edits,
    write_faces,
    write_model,
    write_photos,
)

N_MEASURED = 12  # edits whose records stand for those of all, where records are made
EDITED = "edit, all on record"
ENCODE = "--encode"  # this script, as the process that encodes
# A small process between, because a process's peak memory begins with that of the one that started it.
LAUNCHER = """
import json, os, subprocess, sys
process = subprocess.Popen([sys.executable, *sys.argv[1:]], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(json.dumps([usage.ru_utime + usage.ru_stime, usage.ru_maxrss, os.waitstatus_to_exitcode(status)]))
"""


@dataclass(frozen=True)
class Cost:
    """Of one process: CPU seconds, with its start, and peak memory in bytes."""

    cpu_s: float
    peak_bytes: int


def scan(place: Place) -> list[str]:
    return ["-m", "emorph", "data", "scan", str(place.photos), "--json"]


def prepare(place: Place) -> list[str]:
    return ["-m", "emorph", "data", "prepare", str(place.photos), place.out("set"), "--size", "64", "--workers", "1"]


def edit(place: Place) -> list[str]:
    model = [f"--model={place.folder / 'model'}", f"--directions={place.folder / 'directions'}", "--anyway"]
    photos = [str(place.photos / word) for word in ("happy", "sad")]
    return ["-m", "emorph", "edit", *photos, "--to", "happy", *model, "--steps", "2", "-o", place.out("edited")]


def edited(place: Place) -> list[str]:
    return [*edit(place)[:-1], place.out("recorded")]


def evaluate(place: Place) -> list[str]:
    return ["-m", "emorph", "evaluate", str(place.edits), "-o", place.out("report"), "--workers", "1"]


def report(place: Place) -> list[str]:
    return ["-m", "emorph", "evaluate", str(place.listed), "-o", place.out("reported"), "--workers", "1"]


def z_sem(place: Place) -> list[str]:
    return [__file__, ENCODE, str(place.faces), str(place.folder / "model"), place.out("cache")]


# Each with what is done a second time, where an earlier run has done it all.
WORKS: dict[str, tuple[Callable[[Place], list[str]], str]] = {
    "scan": (scan, ""),
    "prepare": (prepare, "prepare, all done before"),
    "edit": (edit, ""),
    EDITED: (edited, ""),
    "evaluate": (evaluate, ""),
    "report": (report, ""),
    "z_sem": (z_sem, "z_sem, all cached"),
}
DEAR = ("prepare", "edit", "evaluate")


def main() -> None:
    """Measure and write the section "Cost by size"."""
    if sys.argv[1:2] == [ENCODE]:
        encode(*map(Path, sys.argv[2:]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--dear", type=int, help=f"the most items of {', '.join(DEAR)}, which take their time")
    args = parser.parse_args()
    if len(args.counts) < 2:
        parser.error("--counts: name at least two, such as 100 1000")
    costs: dict[str, list[Cost]] = {}
    for n in sorted(args.counts):
        works = [work for work in args.works if work not in DEAR or n <= (args.dear or n)]
        with tempfile.TemporaryDirectory() as name:
            place = made(Path(name), n, works)
            for work in works:
                words, again = WORKS[work]
                for title in filter(None, (work, again)):
                    costs.setdefault(title, []).append(run(words(place)))
                    print(f"{title}, {n:,} items: {costs[title][-1]}", file=sys.stderr, flush=True)
        write_costs(args, sorted(args.counts)[: sorted(args.counts).index(n) + 1], costs)


def write_costs(args: argparse.Namespace, counts: Sequence[int], costs: dict[str, list[Cost]]) -> None:
    """The section, as far as the counts are measured."""
    command = f"python bench/size.py --counts {' '.join(map(str, counts))}"
    command += f" --dear {args.dear}" if args.dear else ""
    command += f" --works {' '.join(args.works)}" if args.works != list(WORKS) else ""
    write_section("Cost by size", command, body(counts, costs, args.dear))


def made(folder: Path, n: int, works: Sequence[str]) -> Place:
    """Items for these works."""
    place = Place(folder, n)
    photos = write_photos(place) if set(works) - {"report"} else []
    if "evaluate" in works:
        write_edits(place, photos)
    if "report" in works:
        write_records(place)
    if {"edit", EDITED, "z_sem"} & set(works):
        write_model(folder)
    if EDITED in works:
        write_edited(place, photos)
    if "z_sem" in works:
        write_faces(place, photos)
    return place


def write_records(place: Place) -> None:
    """Edits and what is on record of them: a few measured ones again and again, as other files of other faces."""
    few = Place(place.folder / "few", N_MEASURED)
    write_edits(few, write_photos(few))
    run(evaluate(few))
    pairs = [tuple(map(Path, row[:2])) for row in list(csv.reader(few.edits.open(encoding="utf-8")))[1:]]
    faces, scores = (lines_by_face(few.folder / "report" / name) for name in ("faces.jsonl", "scores.jsonl"))
    rng, out = np.random.default_rng(0), Path(place.out("reported"))
    out.mkdir()
    with (
        place.listed.open("w", newline="", encoding="utf-8") as listed,
        (out / "faces.jsonl").open("w", encoding="utf-8") as seen,
        (out / "scores.jsonl").open("w", encoding="utf-8") as scored,
    ):
        rows = csv.writer(listed)
        rows.writerow(["source", "edited", "target", "strength"])
        for number in range(place.n):
            pair = pairs[number % len(pairs)]
            copies = [copied(path, place.folder / "listed" / path.parent.name, number) for path in pair]
            rows.writerow([*copies, "happy", 1])
            for old, new in zip(ids(pair), ids(copies), strict=True):
                for line in faces[old]:
                    values = np.add(line["descriptor"], rng.normal(0, 0.05, len(line["descriptor"])))
                    seen.write(json.dumps(line | {"id": new, "descriptor": values.round(6).tolist()}) + "\n")
                scored.writelines(json.dumps(line | {"id": new}) + "\n" for line in scores[old])


def write_edited(place: Place, photos: Sequence[Path]) -> None:
    """What an edit of all photos leaves: a few results again and again, as the photos' own, and their records."""
    few = Place(place.folder / "few edits", N_MEASURED)
    write_photos(few)
    write_model(few.folder)
    run(edit(few))
    known = [json.loads(line) for line in Path(few.out("edited"), "edits.jsonl").read_text("utf-8").splitlines()]
    out = Path(place.out("recorded"))
    out.mkdir()
    with (out / "edits.jsonl").open("w", encoding="utf-8") as records:
        for number, photo in enumerate(photos):
            record, result = known[number % len(known)], out / f"{photo.stem}_happy.png"
            os.link(record["edited"], result)
            row = {"id": result.name, "source": str(photo), "edited": str(result)}
            records.write(json.dumps(record | row) + "\n")


def encode(faces: Path, model: Path, cache: Path) -> None:
    """The codes of a file of faces, into a cache and from it."""
    from emorph.data.store import FaceStore
    from emorph.train.codes import encode_all

    loaded = DiffAE.from_pretrained(model)
    encode_all(loaded, FaceStore(faces, side_px=loaded.config.image_size, channels=1), cache, mirror=True)


def run(words: Sequence[str]) -> Cost:
    """What a Python process costs. Raises SystemExit with its last words if it fails."""
    ran = subprocess.run([sys.executable, "-c", LAUNCHER, *words], capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"{' '.join(words)}: {ran.stderr[-800:]}")
    cpu_s, peak, code = json.loads(ran.stdout)
    if code not in (0, 1):  # 1: some items failed
        raise SystemExit(f"{' '.join(words)} ended with {code}: {ran.stderr[-800:]}")
    return Cost(cpu_s, peak if sys.platform == "darwin" else 1024 * peak)


def body(counts: Sequence[int], costs: dict[str, list[Cost]], dear: int | None) -> str:
    """What the section says."""
    header = ["", *(f"{n:,}: CPU s" for n in counts), *(f"{n:,}: MB" for n in counts), "ms a further item", "KB"]
    rows = []
    for title, of in costs.items():
        further = [each(counts, [cost.cpu_s for cost in of], i) for i in range(1, len(of))]
        memory = [each(counts, [cost.peak_bytes for cost in of], i) for i in range(1, len(of))]
        gaps = ["-"] * (len(counts) - len(of))
        seconds = [*(f"{cost.cpu_s:.1f}" for cost in of), *gaps]
        peaks = [*(f"{cost.peak_bytes / 1e6:.0f}" for cost in of), *gaps]
        told = ", ".join(f"{1e3 * value:.2f}" for value in further), ", ".join(f"{value / 1e3:.1f}" for value in memory)
        rows.append((title, *seconds, *peaks, *told))
    most = f" At most {dear:,} items of {', '.join(DEAR)}: they look at every picture." if dear else ""
    return f"""Made photos of {PHOTO_PX} px and made weights; emorph {emorph.__version__}. CPU time and peak memory
of a process, with its start. "ms a further item" and "KB", which it adds to the peak, are between one count and the
next: where they are the same, cost grows as the input does. "report": `emorph evaluate` of edits that are all on
record, here those of {N_MEASURED} edits again and again under other names; it holds each edit against
{MOST_PHOTOS:,} of the photos, whose distances to each other take memory until there are as many. "{EDITED}":
what is done for {N_MEASURED} photos, as that of all. "z_sem": of a Parquet file with groups of {ROW_GROUP:,} rows,
which are read whole and then mapped: pages of the file count, and the system takes them back where it needs them.{most}

{table(header, rows)}
"""


def each(counts: Sequence[int], values: Sequence[float], i: int) -> float:
    """What an item adds between a count and the one before."""
    return (values[i] - values[i - 1]) / (counts[i] - counts[i - 1])


if __name__ == "__main__":
    main()
