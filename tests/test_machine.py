"""What a process may use of a machine, by files as Linux lays them out: a container's limits, a job's inside."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from emorph.core.machine import free_memory, usable_cores
from emorph.train.free_memory import free_here

GB = 10**9
V1_NONE = 9223372036854771712  # what version 1 says where nothing is limited
MEMINFO = {"proc/meminfo": "MemTotal: 64000000 kB\nMemFree: 1 kB\nMemAvailable: 32000000 kB\n"}
V2 = "sys/fs/cgroup"
V1 = "sys/fs/cgroup/memory"

Files = Mapping[str, str]


def made(root: Path, *files: Files) -> Path:
    for name, text in {name: text for each in files for name, text in each.items()}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def v2(group: str, most: int | str, used: int, cache: int = 0) -> Files:
    stat = f"anon 5\ninactive_file {cache}\nslab 7\n"
    return {
        f"{V2}{group}/memory.max": f"{most}\n",
        f"{V2}{group}/memory.current": f"{used}\n",
        f"{V2}{group}/memory.stat": stat,
    }


def v1(group: str, most: int, used: int, cache: int = 0) -> Files:
    return {
        f"{V1}{group}/memory.limit_in_bytes": f"{most}\n",
        f"{V1}{group}/memory.usage_in_bytes": f"{used}\n",
        f"{V1}{group}/memory.stat": f"inactive_file 3\ntotal_inactive_file {cache}\n",
    }


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {}, 32 * GB * 1024 // 1000),
        ("0::/\n", v2("", 8 * GB, 3 * GB), 5 * GB),
        ("0::/\n", v2("", 8 * GB, 3 * GB, cache=GB), 6 * GB),
        ("0::/\n", v2("", 8 * GB, 9 * GB), 0),
        ("0::/\n", v2("", "max", 3 * GB), 32 * GB * 1024 // 1000),
        ("0::/job_1/step_0\n", {**v2("/job_1", 4 * GB, GB), **v2("/job_1/step_0", "max", GB)}, 3 * GB),
        ("0::/job_1/step_0\n", {**v2("/job_1", 4 * GB, GB), **v2("/job_1/step_0", 2 * GB, GB)}, GB),
        ("0::/job_1\n", {**v2("/job_1", 4 * GB, GB), **v2("/job_2", GB, GB)}, 3 * GB),
        ("5:cpu:/\n4:memory:/a/b\n0::/\n", {**v1("", V1_NONE, GB), **v1("/a", 4 * GB, GB, GB)}, 4 * GB),
        ("4:memory:/a/b\n", {**v1("/a", 4 * GB, GB), **v1("/a/b", 3 * GB, GB)}, 2 * GB),
        ("4:memory:/docker/0f\n", v1("", 4 * GB, GB), 3 * GB),  # the container sees its own group as the outermost
        ("4:cpu,cpuacct:/\n", v1("", 4 * GB, GB), 32 * GB * 1024 // 1000),
        ("0::/../..\n", v2("", 8 * GB, 3 * GB), 5 * GB),
    ],
)
def test_free_memory_is_what_the_narrowest_group_leaves(
    groups: str, files: Files, expected: int, tmp_path: Path
) -> None:
    assert free_memory(made(tmp_path, MEMINFO, {"proc/self/cgroup": groups}, files)) == expected


def test_without_control_groups_the_machine_tells(tmp_path: Path) -> None:
    assert free_memory(made(tmp_path, MEMINFO)) == 32_000_000 * 1024
    here = free_memory()
    assert here is None or 0 < here < 2**60


def test_a_training_run_is_held_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emorph.core.machine._left_by_groups", lambda root: iter([1000]))
    assert free_here("cpu") == 1000


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {}, 16),
        ("0::/\n", {f"{V2}/cpu.max": "max 100000\n"}, 16),
        ("0::/\n", {f"{V2}/cpu.max": "150000 100000\n"}, 2),
        ("0::/a/b\n", {f"{V2}/a/cpu.max": "400000 100000\n", f"{V2}/a/b/cpu.max": "max 100000\n"}, 4),
        ("0::/\n", {f"{V2}/cpu.max": "1000 100000\n"}, 1),
        ("0::/\n", {f"{V2}/cpu.max": "9900000 100000\n"}, 16),
        (
            "3:cpu,cpuacct:/a\n",
            {f"{V2}/cpu/a/cpu.cfs_quota_us": "300000\n", f"{V2}/cpu/a/cpu.cfs_period_us": "100000\n"},
            3,
        ),
        (
            "3:cpu,cpuacct:/a\n",
            {f"{V2}/cpu/a/cpu.cfs_quota_us": "-1\n", f"{V2}/cpu/a/cpu.cfs_period_us": "100000\n"},
            16,
        ),
    ],
)
def test_cores_are_those_of_the_affinity_and_of_the_narrowest_group(
    groups: str, files: Files, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 99)
    assert usable_cores(made(tmp_path, {"proc/self/cgroup": groups}, files)) == expected
