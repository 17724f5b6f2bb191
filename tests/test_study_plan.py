"""How many people a study needs: more for less, and what was promised is kept."""

from __future__ import annotations

import numpy as np
import pytest

from emorph.core.errors import ConfigError
from emorph.study.simulate import Wish, plan, simulate

WIDE = Wish(methods=2, photos=30, value=0.09, people_sd=0.3, photos_sd=0.2)


def test_the_number_that_is_named_is_enough_and_fewer_are_not() -> None:
    (option,) = plan(WIDE, (20,), n_studies=15).options
    assert option.people is not None
    assert simulate(WIDE, option.people, 20, 15, 0).reached <= 0.09
    assert simulate(WIDE, option.people - 2, 20, 15, 0).reached > 0.085
    assert option.minutes == pytest.approx(2 + 20 * 8 / 60)
    assert option.hours == pytest.approx(option.people * option.minutes / 60)


def test_more_trials_need_fewer_people_and_each_table_needs_its_own() -> None:
    few, many = plan(WIDE, (10, 40), n_studies=15).options
    assert few.people is not None
    assert many.people is not None
    assert few.people > 1.5 * many.people
    (split,) = plan(Wish(**{**WIDE.__dict__, "tables": 4}), (40,), n_studies=15).options
    assert split.people is not None
    assert split.people > 1.5 * many.people


def test_few_photos_bound_what_people_can_tell() -> None:
    found = plan(Wish(photos=4, photos_sd=1.0, value=0.03), (30,), n_studies=8)
    assert found.options[0].people is None
    assert "not to be had with 4 photos" in found.sentences()[1]


def test_power_grows_with_people_and_is_alpha_without_a_difference() -> None:
    wish = Wish(methods=2, photos=30, goal="power", value=0.8, better=0.65, people_sd=0.3, photos_sd=0.2)
    powers = [simulate(wish, people, 20, 40, 0).reached for people in (6, 20, 60)]
    assert powers[0] < powers[1] < powers[2]
    assert powers[2] > 0.9
    nothing = Wish(**{**wish.__dict__, "better": 0.5001})
    assert simulate(nothing, 20, 20, 100, 0).reached <= 0.08


def test_identification_is_planned_too() -> None:
    (option,) = plan(Wish(task="identification", methods=2, value=0.06), (20,), n_studies=15).options
    assert option.people is not None
    # a share of one half of n independent answers has a half-width of 0.98 / sqrt(n); clusters need more
    assert option.people * 10 > (0.98 / 0.06) ** 2
    wish = Wish(task="identification", methods=2, goal="power", value=0.8, better=0.2)
    powers = [simulate(wish, people, 20, 30, 0).reached for people in (5, 40)]
    assert powers[0] < powers[1]
    assert powers[1] > 0.9


def test_every_rung_is_told_of_and_the_seed_decides() -> None:
    heard: list[tuple[int, int]] = []
    found = plan(WIDE, (20,), n_studies=6, on_step=lambda *step: heard.append(step))
    assert [people for _, people in sorted(heard)] == [step.people for step in found.options[0].steps]
    assert found == plan(WIDE, (20,), n_studies=6)
    assert all(np.isfinite(step.error) for step in found.options[0].steps)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": 1}, "two methods or more; found 1"),
        ({"photos": 1}, "two photos or more; found 1"),
        ({"value": 0.0}, "half-width lies between 0 and 1; found 0"),
        ({"ties": 1.0}, "ties lies between 0 and 0.9; found 1"),
        ({"tables": 0}, "one table at least; found 0"),
        ({"goal": "power", "better": 0.4}, "chance of the better method lies above 0.5 and up to 0.95; found 0.4"),
    ],
)
def test_a_wish_that_cannot_be_meant_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan(Wish(**changes))  # type: ignore[arg-type]
