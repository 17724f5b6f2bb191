"""Timing by the median of repeats, and writing each measurement's section of RESULTS.md."""

from __future__ import annotations

import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

RESULTS = Path(__file__).parent.parent / "RESULTS.md"


def median_s(work: Callable[[], object], *, repeats: int, warm_up: int = 1) -> float:
    """Median wall time of ``work`` in seconds, after ``warm_up`` calls that do not count."""
    for _ in range(warm_up):
        work()
    times = []
    for _ in range(repeats):
        before = time.perf_counter()
        work()
        times.append(time.perf_counter() - before)
    return statistics.median(times)


def clock_s() -> float:
    """Seconds of a clock that fits the number of threads.

    Of one thread its processor time, which does not count what other programs take of the core; of several the wall
    time.
    """
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def alternating_s(works: Mapping[str, Callable[[], object]], *, repeats: int, warm_up: int = 1) -> dict[str, float]:
    """Median seconds (``clock_s``) of each work, in turns, so that whatever disturbs the machine disturbs all alike."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for i in range(warm_up + repeats):
        for name, work in works.items():
            before = clock_s()
            work()
            if i >= warm_up:
                times[name].append(clock_s() - before)
    return {name: statistics.median(values) for name, values in times.items()}


def matrix_rate(dtype: torch.dtype, repeats: int, side: int = 1536) -> float:
    """Floating-point operations a second of large products: of two matrices, or in a convolution, the faster of both.

    The library of the one does not use all instructions of every maker's processors, that of the other does.
    """
    a, b = (torch.randn(side, side).to(dtype) for _ in range(2))
    x, w = torch.randn(16, side // 3, 16, 16).to(dtype), torch.randn(side // 3, side // 3, 3, 3).to(dtype)
    works = {"product": lambda: a @ b, "convolution": lambda: torch.nn.functional.conv2d(x, w, padding=1)}
    counts = {"product": 2 * side**3, "convolution": 2 * 9 * x[:, 0].numel() * (side // 3) ** 2}
    with torch.inference_mode():
        seconds = alternating_s(works, repeats=repeats)
    return max(counts[name] / seconds[name] for name in works)


def machine() -> str:
    """The machine in one line: processor, threads, versions."""
    if torch.cuda.is_available():
        chip = torch.cuda.get_device_name(0)
    else:
        cpuinfo = Path("/proc/cpuinfo")
        found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
        chip = found[1] if found else platform.processor() or platform.machine()
    threads = torch.get_num_threads()
    return f"{chip}, {threads} threads; Python {platform.python_version()}, torch {torch.__version__}"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def write_section(title: str, command: str, body: str, *, given: Sequence[str] | None = None) -> None:
    """Print a section, and write it into RESULTS.md: a new one, or in the place of one that the same command made.

    What another command made stays: a shorter run, or one with other options, does not take a whole one's place unless
    its section is deleted first. given: the words that this run was started with, by default the command line's.
    """
    command = full_command(command, sys.argv[1:] if given is None else given)
    section = f"## {title}\n\n`{command}` on {machine()}.\n\n{body.strip()}\n"
    print(section)
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else "# Measurements\n"
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    known = pattern.search(text)
    before = re.search(r"^`(python bench/.+?)` on ", known[0], re.MULTILINE) if known else None
    if before is not None and before[1] != command:
        print(
            f"RESULTS.md is left as it is: `{before[1]}` made this section of it. To have this one there, delete that."
        )
        return
    text = pattern.sub(lambda _: section + "\n", text) if known else f"{text.rstrip()}\n\n{section}"
    RESULTS.write_text(text.rstrip() + "\n", encoding="utf-8")


def full_command(command: str, given: Sequence[str]) -> str:
    """A command with all options that a run was started with, those that it does not state at its end.

    given: words of a command line; of paths only the names are told.

    >>> full_command("python bench/judge.py --data a.parquet", ["--data", "data/a.parquet", "--judge", "runs/mine"])
    'python bench/judge.py --data a.parquet --judge mine'
    """
    words = command.split()
    is_stated = True
    for word in given:
        if word.startswith("--"):
            is_stated = word.partition("=")[0] in words
        if not is_stated:
            words.append(word if word.startswith("--") else Path(word).name)
    return " ".join(words)
