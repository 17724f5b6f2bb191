"""The table of metrics: every row can be computed as it says, and nothing else in the package knows a metric's name."""

from __future__ import annotations

import ast
import inspect
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import emorph.evaluate
from emorph.core.errors import ConfigError, UnknownNameError
from emorph.core.expressions import Emotion
from emorph.evaluate.metrics.identity import Pairs
from emorph.evaluate.metrics.metric import Metric
from emorph.evaluate.metrics.table import METRICS, by_network, metric, register
from emorph.evaluate.metrics.takes import PICTURES, Takes

N = 5
SRC = Path(__file__).parents[1] / "src" / "emorph"
rng = np.random.default_rng(0)


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """A picture in [-1, 1] and a noisy copy, (1, 3, 192, 192)."""
    a = torch.from_numpy(rng.random((1, 3, 192, 192), np.float32)) * 2 - 1
    return a, (a + 0.1 * torch.from_numpy(rng.standard_normal(a.shape).astype(np.float32))).clamp(-1, 1)


def points() -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=(N, 68, 2)) * 40 + 100)


def of_bits() -> np.ndarray:
    return rng.integers(0, 2, N).astype(np.float64)


def probabilities() -> np.ndarray:
    found = rng.random((N, 3))
    return found / found.sum(axis=1, keepdims=True)


PLACES = np.array([0, 1, 2, 0, 1])
SAME = np.eye(N, 7, dtype=bool)
MASK = torch.zeros(1, 1, 192, 192)
MASK[:, :, 60:120, 60:120] = 1
CURVE = [(0.2, 0.9), (0.5, 0.7)]
EMOTIONS = (Emotion.NEUTRAL, Emotion.FEAR, Emotion.SURPRISE)

SAMPLES: dict[Takes, Callable[[], tuple[Any, ...]]] = {
    Takes.RECONSTRUCTION: pictures,
    Takes.SURROUNDINGS: pictures,
    Takes.MASKED: lambda: (*pictures(), MASK),
    Takes.EDITED: pictures,
    Takes.OWN_MASK: lambda: (*pictures(), MASK),
    Takes.LANDMARKS: lambda: (points(), points()),
    Takes.INSIDE: lambda: (*pictures(), points()[:1], points()[:1]),
    Takes.ANSWERS: lambda: (probabilities(), PLACES),
    Takes.BLEND: lambda: (probabilities(), probabilities()),
    Takes.RECOGNISED: lambda: (of_bits(), of_bits()),
    Takes.BOTH: lambda: (of_bits(), of_bits(), of_bits()),
    Takes.DESCRIPTORS: lambda: tuple(rng.normal(size=(2, N, 128))),
    Takes.FEATURES: lambda: tuple(rng.normal(size=(2, N, 32))),
    Takes.IDENTITIES: lambda: (rng.random((3, N)),),
    Takes.THRESHOLD: lambda: (rng.random(N), 0.6),
    Takes.GALLERY: lambda: (rng.random((N, 7)), np.arange(N), SAME),
    Takes.OTHER_PHOTOS: lambda: (rng.random((N, 7)), SAME, 0.6),
    Takes.PAIRS: lambda: (Pairs(np.array([0.3]), np.array([0.8, 0.9])), rng.random(N)),
    Takes.SHAPE: lambda: tuple(rng.normal(size=(2, N, 10))),
    Takes.EXPRESSION: lambda: tuple(rng.normal(size=(2, N, 10))),
    Takes.POSE: lambda: tuple(rng.normal(size=(2, N, 3))),
    Takes.CONFUSION: lambda: (EMOTIONS, PLACES, np.array([0, 2, 2, 0, 1])),
    Takes.SWEEP: lambda: ([0.0, 0.5, 1.0], [0.1, 0.4, 0.7]),
    Takes.TRADEOFF: lambda: (of_bits(), of_bits(), of_bits()),
    Takes.CURVE: lambda: (CURVE,),
    Takes.MATCHED: lambda: (CURVE, 0.3),
    Takes.VALENCE_AROUSAL: lambda: tuple(rng.random((2, N))),
    Takes.FEATURE_SETS: lambda: tuple(torch.from_numpy(x) for x in rng.normal(size=(2, 12, 6))),
    Takes.LANDMARK_SETS: lambda: tuple(rng.normal(size=(2, N, 68, 2))),
}
ONE_AT_A_TIME = PICTURES | {Takes.INSIDE}
N_VALUES = {
    **dict.fromkeys(ONE_AT_A_TIME, 1),
    **{takes: N for takes in Takes if takes.of == "image" and takes not in ONE_AT_A_TIME},
}


def test_every_kind_of_metric_has_a_sample() -> None:
    assert set(SAMPLES) == set(Takes)


@pytest.mark.parametrize("name", METRICS)
def test_every_row_can_be_computed_as_it_says(name: str) -> None:
    row = metric(name)
    function = row.load()
    assert inspect.getdoc(function)
    assert row.bounds[0] < row.bounds[1]
    assert row.source
    arguments = SAMPLES[row.takes]()
    options = {"data_range": 2} if row.takes in ONE_AT_A_TIME else {}
    if row.network:  # its weights are another's, so that it may not be here; the test of networks asks it
        inspect.signature(function).bind(*arguments, **options)
        return
    values = np.atleast_1d(np.asarray(function(*arguments, **options), dtype=np.float64))
    assert values.shape == (N_VALUES.get(row.takes, 1),)
    assert np.isfinite(values).all()
    assert (values >= row.bounds[0] - 1e-9).all()
    assert (values <= row.bounds[1] + 1e-9).all()
    if row.of_itself is not None and row.takes in PICTURES | {Takes.LANDMARKS, Takes.SHAPE, Takes.POSE}:
        equal = (arguments[0], arguments[0], *arguments[2:])
        assert np.asarray(function(*equal, **options)) == pytest.approx(row.of_itself, abs=1e-5)


def test_a_row_that_cannot_be_computed_is_found() -> None:
    """The test above in reverse: rows with a wrong kind or a function that is not there."""
    wrong = Metric(name="x", title="X", takes=Takes.ANSWERS, better="higher", source="-", function="fidelity:psnr")
    with pytest.raises((TypeError, AttributeError)):
        wrong.load()(*SAMPLES[wrong.takes]())
    absent = Metric(name="x", title="X", takes=Takes.ANSWERS, better="higher", source="-", function="fidelity:absent")
    with pytest.raises(AttributeError, match="absent"):
        absent.load()


@pytest.mark.parametrize("name", by_network())
def test_the_networks_of_the_table_can_be_asked_for(name: str) -> None:
    (loader,) = {row.network for row in by_network()[name]}
    row = Metric(name="x", title="X", takes=Takes.SURROUNDINGS, better="lower", source="-", function=loader)
    assert callable(row.load())
    assert {row.takes for row in by_network()[name]} <= {Takes.RECONSTRUCTION, Takes.SURROUNDINGS, Takes.EDITED}


def test_a_misspelt_metric_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="metric 'ssmi' is not known; did you mean 'ssim'"):
        metric("ssmi")


def test_a_taken_name_and_bounds_turned_round_are_refused() -> None:
    taken = metric("ssim")
    with pytest.raises(ConfigError, match="there is a metric 'ssim' already"):
        register(taken)
    turned = Metric(name="new", title="New", takes=Takes.LANDMARKS, better="lower", source="-", bounds=(1.0, 0.0))
    with pytest.raises(ConfigError, match="must be \\(lowest, highest\\)"):
        register(turned)
    assert "new" not in METRICS


def typed(folder: Path, words: set[str]) -> Iterator[str]:
    """Where a string of the source is one of the words; documentation does not count."""
    for path in sorted(folder.rglob("*.py")):
        if path.name == "table.py" and path.parent.name == "metrics":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in words:
                yield f"{path.relative_to(SRC)}:{node.lineno} {node.value!r}"


def test_no_metrics_name_is_typed_outside_the_table() -> None:
    names = set(METRICS) | {row.title for row in METRICS.values()}
    exceptions = {f"evaluate/__init__.py {name!r}" for name in emorph.evaluate.__all__}  # functions of these names
    exceptions.add("evaluate/metrics/dists.py 'dists'")  # a file of weights, which is called so, too
    exceptions.add("evaluate/report/needs.py 'dists'")  # the same file
    found = [place for room in ("evaluate", "cli") for place in typed(SRC / room, names)]
    assert [place for place in found if re.sub(r":\d+", "", place) not in exceptions] == []


ROOMS = ("metrics", "judges", "measure", "scores", "report")


def test_each_room_uses_only_those_before_it() -> None:
    found = []
    for path in sorted((SRC / "evaluate").rglob("*/*.py")):
        allowed = ROOMS[: ROOMS.index(path.parent.name) + 1]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("emorph.evaluate."):
                room = str(node.module).split(".")[2]
                if room not in allowed:
                    found.append(f"{path.relative_to(SRC)}:{node.lineno} {node.module}")
    assert found == []


@pytest.mark.parametrize("name", emorph.evaluate.__all__)
def test_the_front_door_opens(name: str) -> None:
    assert callable(getattr(emorph.evaluate, name))


def test_importing_the_package_and_the_table_costs_no_torch() -> None:
    code = "import sys, emorph.evaluate.metrics.table; print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'spnr'"):
        _ = emorph.evaluate.spnr


def test_what_a_row_says_for_people() -> None:
    turned = metric("pose_distance")
    assert turned.label.endswith(", degrees")
    assert turned.factor == pytest.approx(180 / math.pi)
    assert metric("psnr").range_text == "any"
    assert metric("ssim").range_text == "-1 to 1"
    assert metric("rmse").range_text == "0 up"
