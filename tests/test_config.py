"""Configurations: TOML there and back, and errors that name the key."""

from pathlib import Path

import pytest
from pydantic import Field

from emorph.core.config import Config
from emorph.core.errors import ConfigError
from emorph.models import DiffAEConfig
from emorph.train.sections import BudgetConfig
from emorph.train.tasks.autoencoder import AutoencoderConfig
from tiny import tiny_config


def config(**budget: float) -> AutoencoderConfig:
    values = {"out": "run", "data": {"path": "faces.parquet"}, "model": tiny_config().model_dump(), "budget": budget}
    return AutoencoderConfig.parse(values)


def test_toml_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    before = config(steps=5)
    path.write_text(before.to_toml())
    assert AutoencoderConfig.from_toml(path) == before


def test_paths_start_at_the_configuration_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    path = tmp_path / "sub" / "run.toml"
    path.write_text(config(steps=5).to_toml())
    read = AutoencoderConfig.read(path)
    assert (read.out, read.data.path) == (str(tmp_path / "sub" / "run"), str(tmp_path / "sub" / "faces.parquet"))


def test_unknown_key_names_its_neighbour(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(config(steps=5).to_toml().replace("batch_size", "batchsize"))
    with pytest.raises(ConfigError, match=r"'optim.batchsize' is not known; did you mean 'batch_size'"):
        AutoencoderConfig.from_toml(path)


class Inner(Config):
    size: int = 1
    text: str = ""


class Outer(Config):
    optional: Inner | None = None
    several: tuple[Inner, ...] = ()
    numbers: dict[str, float] = Field(default_factory=dict)
    on: bool = False


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optional": {"sise": 2}}, "'optional.sise' is not known; did you mean 'size'"),
        ({"optional": {"zzz": 2}}, "'optional.zzz' is not known; known here: size, text"),
        ({"several": [{}, {"zzz": 2}]}, r"'several\.1\.zzz' is not known; known here: size, text"),
    ],
)
def test_unknown_keys_of_inner_tables_name_what_is_known_there(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Outer.parse(values)


def test_any_text_and_any_table_come_back(tmp_path: Path) -> None:
    hostile = 'two\nlines, "quoted", a \\ and a \t\r\x00\x7f\x85 é 顔'
    before = Outer(
        optional=Inner(text=hostile), several=(Inner(size=2), Inner(text=hostile)), numbers={"a b.c": 1e-5, "d": 2.0}
    )
    path = tmp_path / "outer.toml"
    path.write_text(before.to_toml(), encoding="utf-8")
    assert Outer.from_toml(path) == before


def test_wrong_type_says_what_was_found() -> None:
    with pytest.raises(ConfigError, match=r"num_heads.*found 'two'"):
        DiffAEConfig.parse({**tiny_config().model_dump(), "num_heads": "two"})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"several": [{}, {"size": "6"}]}, r"several\.1\.size: write a number, without quotes \(found '6'\)"),
        ({"optional": {"size": True}}, r"optional\.size: write a number, without quotes \(found True\)"),
        ({"numbers": {"a": "1e-4"}}, r"numbers\.a: write a number"),
        ({"on": 1}, r"on: write true or false, without quotes \(found 1\)"),
        ({"on": "yes"}, "on: write true or false"),
    ],
)
def test_text_is_no_number_and_a_number_no_truth(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Outer.parse(values)


def test_numbers_are_taken_however_they_are_written() -> None:
    found = Outer.parse({"optional": {"size": 1e4, "text": "6"}, "numbers": {"a": 1}, "on": True})
    assert found == Outer(optional=Inner(size=10_000, text="6"), numbers={"a": 1.0}, on=True)


@pytest.mark.parametrize(("budget", "found"), [({}, "none of them"), ({"max_minutes": 5}, "none of them")])
def test_budget_is_stated(budget: dict[str, float], found: str) -> None:
    with pytest.raises(ConfigError, match=found):
        config(**budget)


def test_budget_in_any_unit() -> None:
    assert BudgetConfig(samples=300_000).n_steps(287_651, 32) == 9375
    assert BudgetConfig(epochs=2).n_steps(100, 32) == 7
    assert BudgetConfig(steps=7).n_steps(100, 32) == 7


@pytest.mark.parametrize("mult", [[], [0], [-1], [1] * 40])
def test_hostile_sizes_are_refused(mult: list[int]) -> None:
    with pytest.raises(ConfigError, match="channel_mult"):
        DiffAEConfig.parse({**tiny_config().model_dump(), "channel_mult": mult})


def test_image_size_must_fit_the_levels() -> None:
    with pytest.raises(
        ConfigError, match=r"^the configuration: image_size 30 is not divisible by 4, which channel_mult and"
    ):
        DiffAEConfig.parse({**tiny_config().model_dump(), "image_size": 30})


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such configuration file"):
        AutoencoderConfig.from_toml(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("out = ")
    with pytest.raises(ConfigError, match="is not TOML"):
        AutoencoderConfig.from_toml(tmp_path / "bad.toml")
