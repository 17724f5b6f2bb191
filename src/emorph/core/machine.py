"""Memory and processors that this process may use, also where a container or a cluster's job limits them.

Linux limits by control groups, which lie in each other: cgroups(7). root: of the file system, for tests.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

# Of either version of control groups: the limit, what is used, and how memory.stat calls the part of that which is only
# a cache of files, and is given up when memory is short.
_MEMORY = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes that this process can still get; None where that cannot be told."""
    known = [_available(root), *_left_by_groups(root)]
    return min((n for n in known if n is not None), default=None)


def usable_cores(root: Path = Path("/")) -> int:
    """Processors that this process may keep busy, at least 1; of a limit such as 1.5, both."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([here, *(math.ceil(share) for share in _shares(root))]))


def _available(root: Path) -> int | None:
    """What the whole machine has free."""
    available = _table(root / "proc/meminfo").get("MemAvailable:")
    if available is not None:
        return 1024 * available
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _left_by_groups(root: Path) -> Iterator[int]:
    """What each group leaves its processes."""
    for group in _groups("memory", root):
        for limit, used, cache in _MEMORY:
            for most, now in zip(_numbers(group / limit), _numbers(group / used), strict=False):
                if most < math.inf:
                    yield max(0, int(most - now) + _table(group / "memory.stat").get(cache, 0))


def _shares(root: Path) -> Iterator[float]:
    """By how many processors each group limits its processes."""
    for group in _groups("cpu", root):
        limits = _numbers(group / "cpu.max") or [
            *_numbers(group / "cpu.cfs_quota_us"),
            *_numbers(group / "cpu.cfs_period_us"),
        ]
        if len(limits) == 2 and 0 < limits[0] < math.inf:  # microseconds of each so many; -1 or "max": no limit
            yield limits[0] / limits[1]


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """Folders of the control group that this process is in, and of those around it, as far as they are to be seen."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)  # version 2 names no controllers
        if not controllers or controller in controllers.split(","):
            top = root / "sys/fs/cgroup" / (controller if controllers else "")
            inner = top / path.lstrip("/")
            yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(top))


def _numbers(path: Path) -> list[float]:
    """The numbers of a file, of which "max" is infinite; none where there is no file."""
    return [math.inf if word == "max" else float(word) for line in _lines(path) for word in line.split()]


def _table(path: Path) -> dict[str, int]:
    """Lines of a name and a number, maybe with its unit."""
    rows = [line.split() for line in _lines(path)]
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
