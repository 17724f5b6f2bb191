"""What is left of a film's edit that is killed or out of room: ``python bench/video_stops.py --data CLIP``.

CLIP is a film that shows a face, of which ``--frames`` are taken. The command is killed (kill -9) at ``--kills``
moments that lie evenly over its work, each time going on with what the one before left; then it runs to its end, and
the film is compared with that of an undisturbed run, byte for byte. Once more it is stopped by Ctrl-C, and once by a
limit on how large files may grow, which ends writing like a full disk.
"""

from __future__ import annotations

import argparse
import functools
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from emorph.video.clip import read_clip
from emorph.video.passes import SEGMENT_FRAMES
from support.films import stretch
from support.measure import table, write_section

WAIT_S = 1800.0  # for a moment to come; a busy machine takes long
LARGEST_BYTES = 300_000  # that a file may have on the full disk


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a film with a face")
    parser.add_argument("--frames", type=int, default=300, help="so many frames from its middle")
    parser.add_argument("--kills", type=int, default=10, help="how often it is killed")
    parser.add_argument("--steps", type=int, default=2, help="evaluations of the model in each direction")
    options = parser.parse_args()
    if not options.data:
        print("bench/video_stops.py needs a film: --data CLIP. RESULTS.md is left as it is.")
        return
    words = ["--to", "happy", "--steps", str(options.steps)]
    with tempfile.TemporaryDirectory() as folder:
        film, rows = stretch(options.data, options.frames, Path(folder)), []
        whole = _edited(film, Path(folder) / "whole", words)
        rows += _killed(film, Path(folder) / "killed", words, options.kills, whole)
        rows += _interrupted(film, Path(folder) / "stopped", words, whole)
        rows += _out_of_room(film, Path(folder) / "full", words, whole)
    command = f"python bench/video_stops.py --data CLIP --frames {options.frames} --kills {options.kills}"
    header = ("what happened", "what was left", "what the same command then made")
    about = f"{options.data.name}, {options.frames} frames, {options.steps} evaluations each way.\n\n"
    write_section("Films that are stopped", f"{command} --steps {options.steps}", about + table(header, rows))


def _command(film: Path, out: Path, words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "emorph", "edit", str(film), "-o", str(out), *words]


def _edited(film: Path, folder: Path, words: Sequence[str]) -> bytes:
    """The film that the command makes when it is left alone."""
    folder.mkdir(exist_ok=True)
    subprocess.run(_command(film, folder / "out.mp4", words), check=True, capture_output=True)
    return (folder / "out.mp4").read_bytes()


def _killed(film: Path, folder: Path, words: Sequence[str], n: int, whole: bytes) -> list[tuple[str, str, str]]:
    folder.mkdir()
    work, chance, rows = folder / ".out.mp4.work", random.Random(0), []
    n_steps = 2 * -(-read_clip(film).n_frames // SEGMENT_FRAMES)
    for moment in range(n):
        process = subprocess.Popen(_command(film, folder / "out.mp4", words), stderr=subprocess.DEVNULL)
        _wait(process, functools.partial(_has_finished, work, moment * n_steps // n))
        time.sleep(chance.uniform(0, 2))
        process.kill()
        process.wait()
        looked, made = (len(list(work.glob(name))) for name in ("look_*.npz", "film_*.nut"))
        whole_yet = "no film" if not (folder / "out.mp4").exists() else "the film"
        rows.append(
            (f"killed, {moment + 1} of {n}", f"{looked} segments looked at, {made} made, {whole_yet}", "goes on")
        )
    same = _edited(film, folder, words) == whole
    rows[-1] = (*rows[-1][:2], f"{_verdict(same)}; {_left(folder)}")
    return rows


def _interrupted(film: Path, folder: Path, words: Sequence[str], whole: bytes) -> list[tuple[str, str, str]]:
    folder.mkdir()
    work = folder / ".out.mp4.work"
    process = subprocess.Popen(
        _command(film, folder / "out.mp4", words),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a background job of a shell ignores
    )
    _wait(process, lambda: any(work.glob("film_*.nut")))
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=WAIT_S)[1].strip().splitlines()[-1].replace(str(folder), "FOLDER")
    same = _edited(film, folder, words) == whole
    return [("Ctrl-C", f"exit status {process.returncode}: {said}", f"{_verdict(same)}; {_left(folder)}")]


def _out_of_room(film: Path, folder: Path, words: Sequence[str], whole: bytes) -> list[tuple[str, str, str]]:
    folder.mkdir()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_BYTES, LARGEST_BYTES))

    full = subprocess.run(
        _command(film, folder / "out.mp4", words), stderr=subprocess.PIPE, text=True, preexec_fn=limit, check=False
    )
    said = full.stderr.strip().splitlines()[-1].replace(str(folder), "FOLDER")
    halves = [path.name for path in folder.rglob("*.part")]
    same = _edited(film, folder, words) == whole
    left = f"exit status {full.returncode}: {said} Half-written files: {', '.join(halves) or 'none'}."
    return [("files that may not grow, like a full disk", left, f"{_verdict(same)}; {_left(folder)}")]


def _has_finished(work: Path, least: int) -> bool:
    return len([*work.glob("look_*.npz"), *work.glob("film_*.nut")]) >= least


def _wait(process: subprocess.Popen[str] | subprocess.Popen[bytes], come: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while process.poll() is None and not come() and time.monotonic() < deadline:
        time.sleep(0.05)


def _verdict(same: bool) -> str:
    return "the undisturbed film, byte for byte" if same else "ANOTHER FILM than the undisturbed run"


def _left(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return f"in the folder: {', '.join(names)}"


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", "src")
    main()
