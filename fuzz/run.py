"""Damages files in ways that know their structure, and reads them: whatever is wrong must be said in an EmorphError.

make fuzz                                    # 1,500 of each kind
python fuzz/run.py --n 5000 --kind parquet   # more of one
python fuzz/run.py --kind csv --seed 812     # one input again, with its traceback
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from emorph.core.errors import EmorphError
from mutations import mutate
from targets import TARGETS, Target, seeded

LIMIT_S = 20  # for one file of a few kilobytes
FOUND = Path(__file__).parent / "found"


@dataclass(frozen=True)
class Finding:
    """Something that came out instead of a sentence. place: of the innermost line of emorph's own code."""

    kind: str
    seed: int
    error: str
    place: str


@dataclass
class Outcome:
    """Of one kind: how many inputs were read, and how many refused with a sentence."""

    kind: str
    read: int
    refused: int
    seconds: float
    findings: list[Finding]


class TooLongError(BaseException):
    """No Exception, so that no handler of the code under test takes it for its own."""


def fuzz(target: Target, seeds: range, folder: Path) -> Outcome:
    """Read one damaged file for each seed."""
    outcome = Outcome(target.name, 0, 0, 0.0, [])
    start = time.perf_counter()
    files = target.seeds(folder)
    whole = {file: file.read_bytes() for file in files}
    for seed in seeds:
        rng = seeded(target.name, seed)
        file = rng.choice(files)
        file.write_bytes(mutate(rng, whole[file], target.ways))
        finding = read_one(target, file, seed, outcome)
        if finding is not None:
            outcome.findings.append(finding)
            FOUND.mkdir(exist_ok=True)
            shutil.copy(file, FOUND / f"{target.name.replace(' ', '-')}-{seed}{file.suffix}")
        file.write_bytes(whole[file])
        shutil.rmtree(folder / "out", ignore_errors=True)
    outcome.seconds = time.perf_counter() - start
    return outcome


def read_one(target: Target, file: Path, seed: int, outcome: Outcome) -> Finding | None:
    """Read a file; None if it was read or refused with a sentence."""
    noise: list[str] = []
    try:
        with _in_time(), _heard(noise):
            target.read(file)
        outcome.read += 1
    except EmorphError as error:
        outcome.refused += 1
        if not str(error).strip():
            return Finding(target.name, seed, "an error without a sentence", _place(error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return Finding(target.name, seed, f"{type(error).__name__}: {str(error)[:120]}", _place(error))
    return Finding(target.name, seed, noise[0], "beside a sentence") if noise else None


@contextlib.contextmanager
def _heard(noise: list[str]) -> Iterator[None]:
    """Note what is printed, and errors that Python could only print: a user would see them around the sentence."""
    before, printed = sys.unraisablehook, io.StringIO()
    sys.unraisablehook = lambda told: noise.append(f"unraisable {told.exc_value!r}"[:120])
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        sys.unraisablehook = before
        if printed.getvalue():
            noise.append(f"printed {printed.getvalue()[:80]!r}")


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooLongError(f"more than {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _place(error: BaseException) -> str:
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if f"{os.sep}emorph{os.sep}" in frame.filename]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "outside emorph"


def quiet() -> None:
    """Keep the readers below emorph from speaking of every damaged file."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    os.environ["EMORPH_OFFLINE"] = "1"
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")


def main() -> int:
    """Exit status 1 if anything was found."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--n", type=int, default=1500, help="inputs of each kind")
    words.add_argument("--kind", choices=[target.name for target in TARGETS], action="append")
    words.add_argument("--seed", type=int, help="this input alone, with its traceback")
    words.add_argument("--first", type=int, default=0, help="first seed")
    asked = words.parse_args()
    quiet()
    seeds = range(asked.first, asked.first + asked.n) if asked.seed is None else range(asked.seed, asked.seed + 1)
    outcomes = []
    for target in TARGETS:
        if asked.kind and target.name not in asked.kind:
            continue
        with tempfile.TemporaryDirectory() as folder:
            if asked.seed is not None:
                _again(target, asked.seed, Path(folder))
            outcome = fuzz(target, seeds, Path(folder))
        outcomes.append(outcome)
        print(
            f"{outcome.kind:<14} {len(seeds):>6} inputs {outcome.read:>6} read {outcome.refused:>6} refused "
            f"{len(outcome.findings):>5} found {outcome.seconds:>7.1f} s",
            flush=True,
        )
        places = collections.Counter((f.error[:90], f.place) for f in outcome.findings)
        for (error, place), count in places.most_common(12):
            seed = next(f.seed for f in outcome.findings if (f.error[:90], f.place) == (error, place))
            print(f"    {count} x {error!r} at {place}: --kind '{outcome.kind}' --seed {seed}", flush=True)
    found = sum(len(outcome.findings) for outcome in outcomes)
    print(f"{sum(o.read + o.refused for o in outcomes) + found:,} inputs, {found} found")
    return int(found > 0)


def _again(target: Target, seed: int, folder: Path) -> None:
    """One input, whose error is let through to the console."""
    files = target.seeds(folder)
    rng = seeded(target.name, seed)
    file = rng.choice(files)
    file.write_bytes(mutate(rng, file.read_bytes(), target.ways))
    try:
        target.read(file)
    except EmorphError as error:
        print(f"refused: {error}")
    except Exception:
        traceback.print_exc()


if __name__ == "__main__":
    sys.exit(main())
