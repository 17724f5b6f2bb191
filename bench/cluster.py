"""A Dask cluster against one process: the same faces and scores to the bit, with a worker killed in the middle.

python bench/cluster.py --pack faces.parquet --photos 2000 --edits 800: the pack's labelled pictures become photos in
folders; each edit is one of them with the lower half blurred a little. `emorph data prepare` and `emorph evaluate` do
both, alone and with --cluster local:4, of whose workers one is killed once half of the work is done.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2

import emorph
from emorph.core.commands import install
from emorph.core.expressions import Emotion
from emorph.core.images import read_photo, write_image
from emorph.core.machine import usable_cores
from emorph.data.index import decode_bytes
from support.measure import table, write_section

POLL_S = 0.2
SPAWNED = "--multiprocessing-fork"  # in the command line of a worker process


def main() -> None:
    """Measure and write the section "Cluster"."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, help="a Parquet file of faces with image and label")
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--edits", type=int, default=800)
    parser.add_argument("--workers", type=int, default=4)
    args = parser.parse_args()
    if not args.pack:
        print("bench/cluster.py needs a pack of faces: --pack faces.parquet. RESULTS.md is left as it is.")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = write_photos(args.pack, folder / "photos", args.photos)
        edits = write_edits(photos[: args.edits], folder)
        rows = [
            compared("data prepare", len(photos), args.workers, folder, prepare_words(folder / "photos"), n_parts),
            compared("evaluate", args.edits, args.workers, folder, evaluate_words(edits), n_lines),
        ]
    busy = ", beside other work, so that times say little" if os.getloadavg()[2] > args.workers + 1 else ""
    body = f"""{args.pack.name}, emorph {emorph.__version__}. Of the {args.workers} worker processes one is killed with
SIGKILL once half of the work is done; its tasks go to the others. Wall time, with the start of all processes, of which
{usable_cores()} at once have a core here{busy}.

{table(["command", "items", "one process, s", "cluster, s", "killed when done", "results"], rows)}
"""
    write_section(
        "Cluster", f"python bench/cluster.py --pack {args.pack.name} --photos {args.photos} --edits {args.edits}", body
    )


def write_photos(pack: Path, folder: Path, n: int) -> list[Path]:
    """So many labelled pictures of a pack as files, in a folder for each label."""
    import pyarrow as pa
    import pyarrow.compute as compute
    import pyarrow.parquet as parquet

    rows = parquet.read_table(pack, columns=["image", "label"])
    rows = rows.filter(compute.is_in(rows["label"], value_set=pa.array([emotion.word for emotion in Emotion]))).slice(
        0, n
    )
    paths = []
    for number, (encoded, label) in enumerate(zip(*(column.to_pylist() for column in rows.columns), strict=True)):
        path = folder / label / f"{number:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, decode_bytes(encoded, path.name))
        paths.append(path)
    return paths


def write_edits(photos: list[Path], folder: Path) -> Path:
    """A table of photos and edits of them, which are written, too."""
    (folder / "edits").mkdir()
    with (folder / "edits.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "edited", "target", "strength"])
        for photo in photos:
            pixels = read_photo(photo).pixels
            half = len(pixels) // 2
            pixels[half:] = cv2.GaussianBlur(pixels[half:], (0, 0), 1)
            edited = folder / "edits" / photo.name
            write_image(edited, pixels)
            writer.writerow([photo, edited, "happy", 1])
    return folder / "edits.csv"


def prepare_words(photos: Path) -> Callable[[Path], list[str]]:
    """The command that prepares into a folder."""
    return lambda out: ["data", "prepare", str(photos), str(out), "--size", "128", "--holdout", "20"]


def evaluate_words(edits: Path) -> Callable[[Path], list[str]]:
    """The command that measures into a folder."""
    return lambda out: ["evaluate", str(edits), "-o", str(out)]


def n_parts(out: Path) -> int:
    """Parts of a prepared set that are there; a part holds a few faces."""
    return len(list((out / "parts").glob("*.arrow")))


def n_lines(out: Path) -> int:
    """Faces on record."""
    path = out / "faces.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def compared(
    name: str, n: int, workers: int, folder: Path, words: Callable[[Path], list[str]], n_done: Callable[[Path], int]
) -> tuple[object, ...]:
    """A command alone, then by a cluster with a killed worker: a row of the table."""
    alone, many = (folder / f"{name.replace(' ', '_')}_{how}" for how in ("alone", "many"))
    alone_s, _ = run([*words(alone), "--workers", "1"])
    total = n_done(alone)
    many_s, killed_at = run([*words(many), "--cluster", f"local:{workers}"], lambda: n_done(many) >= total / 2)
    if not killed_at:
        raise SystemExit(
            f"emorph {name} was over before a worker could be killed; give it more with --photos and --edits"
        )
    differing = differences(alone, many)
    told = "the same to the bit" if not differing else f"{len(differing)} files differ, such as {differing[0]}"
    return name, f"{n:,}", f"{alone_s:.0f}", f"{many_s:.0f}", f"{killed_at / many_s:.0%} of its time", told


def run(words: list[str], due: Callable[[], bool] | None = None) -> tuple[float, float]:
    """Run emorph, and kill one of its workers once it is due: seconds in all, and until then (0: it never was)."""
    try:
        import psutil
    except ImportError:
        raise SystemExit(f"bench/cluster.py needs Dask: `{install('cluster')}`") from None
    before, killed_s = time.monotonic(), 0.0
    process = subprocess.Popen([sys.executable, "-m", "emorph", *words], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        time.sleep(POLL_S)
        if due and not killed_s and due():
            workers = [
                child for child in psutil.Process(process.pid).children(recursive=True) if SPAWNED in child.cmdline()
            ]
            max(workers, key=lambda child: child.cpu_times().user).kill()
            killed_s = time.monotonic() - before
    if process.returncode not in (0, 1):  # 1: photos without a face
        raise SystemExit(f"emorph {' '.join(words)} ended with {process.returncode}")
    return time.monotonic() - before, killed_s


def differences(some: Path, others: Path) -> list[str]:
    """The files of two folders that are not the same; the page is left out, and the tables' line with the command."""
    names = {
        path.relative_to(folder).as_posix() for folder in (some, others) for path in folder.rglob("*") if path.is_file()
    }
    kept = [name for name in sorted(names) if not name.endswith(".html")]
    return [name for name in kept if not same(some / name, others / name)]


def same(a: Path, b: Path) -> bool:
    return a.exists() and b.exists() and content(a) == content(b)


def content(path: Path) -> bytes:
    """Of a file, without the lines that tell its command."""
    return b"".join(line for line in path.read_bytes().splitlines(keepends=True) if b"emorph evaluate " not in line)


if __name__ == "__main__":
    main()
