"""Timing by the median of repeats, and writing each measurement's section of RESULTS.md."""

from __future__ import annotations

import platform
import re
import statistics
import time
from collections.abc import Callable, Sequence
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


def write_section(title: str, command: str, body: str) -> None:
    """Replace the section ``title`` of RESULTS.md, or add it; print it too."""
    section = f"## {title}\n\n`{command}` on {machine()}.\n\n{body.strip()}\n"
    print(section)
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else "# Measurements\n"
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    known = pattern.search(text)
    text = pattern.sub(lambda _: section + "\n", text) if known else f"{text.rstrip()}\n\n{section}"
    RESULTS.write_text(text.rstrip() + "\n", encoding="utf-8")
