"""The table of metrics, and the package's front door."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
from emorph.evaluate.metrics.table import METRICS, metric

import emorph.evaluate
from emorph.core.errors import UnknownNameError


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_can_be_computed_and_says_what_it_is(name: str) -> None:
    entry = metric(name)
    function = entry.load()
    assert callable(function)
    assert inspect.getdoc(function)
    assert entry.lowest < entry.highest
    assert entry.compares
    assert entry.source


def test_a_misspelt_metric_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="metric 'ssmi' is not known; did you mean 'ssim'"):
        metric("ssmi")


@pytest.mark.parametrize("name", emorph.evaluate.__all__)
def test_the_front_door_opens(name: str) -> None:
    assert callable(getattr(emorph.evaluate, name))


def test_importing_the_package_costs_no_torch() -> None:
    code = "import sys, emorph.evaluate, emorph.evaluate.metric; print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'spnr'"):
        _ = emorph.evaluate.spnr
