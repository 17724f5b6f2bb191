"""New files and the reference of keys: made from the models that read them, so that they cannot be out of date."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from emorph.core.errors import ConfigError, UnknownNameError
from emorph.train.keys import keys_of
from emorph.train.new import new_text, presets, write_new
from emorph.train.search.space import Space
from emorph.train.tasks import ABOUT, TASKS, config_class, read_task
from emorph.train.tasks.classifier import ClassifierConfig

COMMENTED = re.compile(r"^# (\w+ = .+|\[[\w.]+\])$", re.MULTILINE)
Emorph = Any


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("task", TASKS)
def test_a_new_file_is_read_and_its_comments_are_what_holds(task: str, tmp_path: Path) -> None:
    text = new_text(task)
    config = read_task(written(tmp_path, text))
    uncommented = COMMENTED.sub(r"\1", text.partition("# [")[0])
    assert uncommented.count("\n# ") < text.count("\n# ") - 5
    assert read_task(written(tmp_path, uncommented + text[len(text.partition("# [")[0]) :])) == config


def test_what_a_new_file_states_stands_in_its_own_table() -> None:
    values = tomllib.loads(new_text("classifier"))
    assert (values["budget"], values["head"]) == ({"epochs": 40}, {})


def test_the_comments_of_tables_that_are_not_there_are_toml_too(tmp_path: Path) -> None:
    config = read_task(written(tmp_path, COMMENTED.sub(r"\1", new_text("autoencoder"))))
    assert config.model.latent is not None  # type: ignore[attr-defined]


@pytest.mark.parametrize("task", TASKS)
def test_every_key_has_a_sentence_and_every_field_is_a_key(task: str) -> None:
    keys = keys_of(task)
    assert [key.path for key in keys if not key.sentence] == []
    assert [key.path for key in keys if len(key.sentence) > 250 or "\n" in key.sentence] == []
    top = {key.path.partition(".")[0] for key in keys}
    assert top == set(config_class(task).model_fields)
    assert len({key.path for key in keys}) == len(keys)


def test_a_key_tells_its_type_limits_unit_and_default() -> None:
    by_path = {key.path: key for key in keys_of("autoencoder")}
    lr = by_path["optim.lr"]
    assert (lr.kind, lr.default, lr.required) == ("number, above 0", "0.0001", False)
    assert by_path["budget.max_minutes"].unit == "minutes"
    assert by_path["data.path"].required
    assert by_path["optim.precision"].kind == '"32-true" | "bf16-mixed"'
    assert by_path["model.crop.shift"].kind == "list of 2: number, number"
    assert by_path["model.latent.hidden"].apart
    assert by_path["model.preset"].kind == '"ffhq128" | "ffhq256"'
    assert {key.path: key.default for key in keys_of("latent")}["optim.batch_size"] == "256"  # a subclass's own


def test_the_command_shows_keys_and_presets(emorph: Emorph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, out, _ = emorph("train", "keys", "rig")
    assert status == 0
    assert "\n[optim]\n" in out
    assert '  loss_weight: "plain" | "p2" | "min_snr"; default "p2"\n      How the time steps' in out
    assert len(json.loads(emorph("train", "keys", "rig", "--json")[1])) == len(keys_of("rig"))
    assert "did you mean 'rig'" in emorph("train", "keys", "rigg")[2]
    listed = emorph("train", "new", "--list")[1]
    assert all(f"\n{name} " in listed for name in (*presets(), *TASKS))
    assert set(ABOUT) == set(TASKS)
    monkeypatch.chdir(tmp_path)
    assert emorph("train", "new", "celebahq-128")[:2] == (0, "celebahq-128.toml\n")
    assert (tmp_path / "celebahq-128.toml").read_text() == presets()["celebahq-128"].text
    assert "is there already" in emorph("train", "new", "celebahq-128")[2]
    assert emorph("train", "new")[0] == 2


def test_the_missions_runs_have_presets_that_are_read(tmp_path: Path) -> None:
    tasks = {preset.task for preset in presets().values()}
    assert {"autoencoder", "classifier", "latent", "rig"} <= tasks
    for name, preset in presets().items():
        assert preset.about.endswith(".")
        write_new(name, tmp_path / f"{name}.toml")
        if "[search]" in preset.text:
            space = Space.read(tmp_path / f"{name}.toml")
            assert space.config(space.start()).task == preset.task
        else:
            assert read_task(tmp_path / f"{name}.toml").task == preset.task


def test_what_is_neither_task_nor_preset_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'rig-ffhq'"):
        new_text("rig-fhq")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_new("rig", tmp_path / "no" / "rig.toml")


CLASSIFIER = 'task = "classifier"\nout = "o"\nmodel = "m"\n[data]\npath = "f"\nsplit = "train"\n'


def test_a_classifiers_budget_is_called_as_elsewhere_and_old_names_are_read(tmp_path: Path) -> None:
    said: list[str] = []
    new = read_task(written(tmp_path, CLASSIFIER + '[budget]\nepochs = 7\n[head]\nbalance = "classes"\n'), said.append)
    assert said == []
    old = read_task(written(tmp_path, CLASSIFIER + '[head]\nepochs = 7\nbalance = "sampling"\n'), said.append)
    assert old == new
    assert said == [
        f"{tmp_path / 'run.toml'}: head.epochs is now called budget.epochs; it is still read.",
        f'{tmp_path / "run.toml"}: head.balance = "sampling" is now called "classes"; it is still read.',
    ]
    assert isinstance(new, ClassifierConfig)
    assert read_task(written(tmp_path, new.to_toml()), said.append) == new
    assert len(said) == 2  # what it writes has no old name
    with pytest.raises(ConfigError, match=r"head\.epochs and \[budget\] are two answers"):
        read_task(written(tmp_path, CLASSIFIER + "[budget]\nepochs = 7\n[head]\nepochs = 8\n"))
    with pytest.raises(ConfigError, match=r"budget\.max_minutes does nothing here"):
        read_task(written(tmp_path, CLASSIFIER + "[budget]\nmax_minutes = 7\n"))
