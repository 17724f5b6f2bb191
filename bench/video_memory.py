"""How much memory a long film takes: ``python bench/video_memory.py --data CLIP``.

CLIP is a film that shows a face; it is played over and over until it has ``--frames`` frames. While the command edits
it, the memory that it holds is read whenever another segment is finished. What does not grow with these does not grow
with the length of a film. Linux.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from emorph.video.clip import read_clip
from emorph.video.encode import join, segment, stored
from emorph.video.frames import read_frames
from support.measure import table, write_section


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a film with a face")
    parser.add_argument("--frames", type=int, default=384, help="of the long film")
    parser.add_argument("--steps", type=int, default=2, help="evaluations of the model in each direction")
    options = parser.parse_args()
    if not options.data:
        print("bench/video_memory.py needs a film: --data CLIP. RESULTS.md is left as it is.")
        return
    with tempfile.TemporaryDirectory() as folder:
        film = _long(options.data, options.frames, Path(folder))
        rows, peak_mb = _held(film, Path(folder) / "out.mp4", options.steps)
    clip = read_clip(options.data)
    about = (
        f"{options.data.name}, {clip.width}x{clip.height} px, {options.frames} frames. At most {peak_mb:.0f} MB.\n\n"
    )
    command = f"python bench/video_memory.py --data CLIP --frames {options.frames} --steps {options.steps}"
    write_section("Memory of long films", command, about + table(("finished", "MB held then"), rows))


def _long(film: Path, n: int, folder: Path) -> Path:
    """The film again and again, ``n`` frames without sound."""
    clip = read_clip(film)
    held, tick, number = stored(clip, ".mp4"), round(1 / (clip.rate * clip.time_base)), 0
    with segment(folder / "long.nut", clip, held) as made:
        while number < n:
            for frame in read_frames(clip, held.form):
                frame.picture.pts = number * tick
                made.add(frame.picture)
                number += 1
                if number == n:
                    break
    silent = replace(clip, n_frames=n, duration_s=0.0)
    join(silent, [folder / "long.nut"], folder / "long.mp4", held, {}, 0.0)
    return folder / "long.mp4"


def _held(film: Path, out: Path, steps: int) -> tuple[list[tuple[str, str]], float]:
    """What the command holds when another segment is looked at or made, and at most, MB."""
    command = [
        sys.executable,
        "-m",
        "emorph",
        "edit",
        str(film),
        "-o",
        str(out),
        "--to",
        "happy",
        "--steps",
        str(steps),
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    work, rows, peak_mb, last = out.with_name(f".{out.name}.work"), [], 0.0, (0, 0)
    while process.poll() is None:
        peak_mb = max(peak_mb, _mb(process.pid, "VmHWM"))
        done = (len(list(work.glob("look_*.npz"))), len(list(work.glob("film_*.nut"))))
        if done != last and sum(done) > sum(last):
            rows.append((f"{done[0]} looked at, {done[1]} made", f"{_mb(process.pid, 'VmRSS'):.0f}"))
            last = done
        time.sleep(0.1)
    if process.returncode or not out.exists():
        raise SystemExit(f"the command ended with {process.returncode}.")
    return rows, peak_mb


def _mb(process: int, name: str) -> float:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", "src")
    main()
