"""Who sees what: every trial equally often, left as often as right, no picture twice in a row, no photo twice."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np
import pytest

from emorph.core.errors import ConfigError
from emorph.study import balance
from emorph.study.allocation import Allocation
from emorph.study.records import ORIGINAL, Blocks, Design, Identification, Preference, Screen
from emorph.study.trials import DRAWN, StudyPicture, make_trials

EIGHT = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")


def made(
    *,
    n_sources: int = 12,
    methods: Iterable[str] = "AB",
    targets: tuple[str, ...] = ("happy", "sad"),
    n_real: int = 0,
    **keys: object,
) -> Allocation:
    """A study without pictures. keys: of the design; both tasks are asked unless one is None."""
    values = {"preference": Preference(), "identification": Identification(), **keys}
    design = Design(title="made", methods=tuple(methods), targets=targets, strengths=(1.0,), **values)  # type: ignore[arg-type]
    sources = [f"s{i:03d}" for i in range(n_sources)]
    pictures = [StudyPicture(f"{s}.jpg", ORIGINAL, s) for s in sources]
    pictures += [
        StudyPicture(f"{s}{t}{m}.jpg", m, s, t, 1.0) for s in sources for t in design.targets for m in design.methods
    ]
    pictures += [StudyPicture(f"real{i}.jpg", "", f"r{i:03d}", EIGHT[i % 8]) for i in range(n_real)]
    pictures += [StudyPicture("smile.jpg", DRAWN, DRAWN), StudyPicture("frown.jpg", DRAWN, DRAWN)]
    return Allocation(design, make_trials(design, pictures))


CASES = {
    "two methods": {},
    "five methods, incomplete blocks": {"methods": "ABCDE", "n_sources": 30},
    "few photos": {"n_sources": 3, "methods": "ABC"},
    "one photo, asked for": {"n_sources": 1, "targets": EIGHT[1:], "blocks": Blocks(same_source=True)},
    "one photo, three methods": {
        "n_sources": 1, "methods": "ABC", "targets": EIGHT[1:], "blocks": Blocks(same_source=True, repeated=3)
    },
    "controls": {"n_real": 9, "preference": Preference(unedited=True), "methods": "ABC"},
    "all targets, four methods": {"methods": "ABCD", "targets": EIGHT, "n_sources": 40, "blocks": Blocks(trials=25)},
}  # fmt: skip


@pytest.mark.parametrize("keys", CASES.values(), ids=CASES.keys())
def test_after_any_number_of_people_counts_differ_by_one_at_most(keys: dict[str, object]) -> None:
    allocation = made(**keys)  # type: ignore[arg-type]
    shown: Counter[str] = Counter()
    on_left: Counter[str] = Counter()
    n_people = 2 * max(allocation.n_blocks.values()) + 3
    for number in range(n_people):
        for screen in main_screens(allocation.screens(number)):
            shown[screen.trial.id] += 1
            on_left[screen.trial.id] += screen.position == "left"
        for task in allocation.design.tasks:
            counts = [shown[trial.id] for trial in allocation.trials(task)]
            assert max(counts) - min(counts) <= 1, f"{task} after {number + 1} people"
    for trial in allocation.trials("preference"):
        assert abs(2 * on_left[trial.id] - shown[trial.id]) <= 1, trial.id


@pytest.mark.parametrize("keys", CASES.values(), ids=CASES.keys())
def test_each_person_sees_a_fair_block(keys: dict[str, object]) -> None:
    allocation = made(**keys)  # type: ignore[arg-type]
    blocks = allocation.design.blocks
    for number in range(min(2 * max(allocation.n_blocks.values()), 60)):
        screens = allocation.screens(number)
        assert [screen.slot for screen in screens] == list(range(len(screens)))
        for before, after in itertools.pairwise(screens):
            assert not set(before.trial.pictures) & set(after.trial.pictures), f"block {number}, {before}, {after}"
        for task in allocation.design.tasks:
            own = [screen for screen in screens if screen.trial.task == task]
            main = main_screens(own)
            assert len(main) <= blocks.trials
            if not blocks.same_source:
                once = [screen for screen in own if not screen.repeat_of]
                assert max(Counter(screen.trial.source for screen in once).values()) == 1
            assert sum(screen.trial.control == "attention" for screen in own) == blocks.attention
            check_repeats(own)
        check_sides(main_screens(screens))


def main_screens(screens: Iterable[Screen]) -> list[Screen]:
    return [screen for screen in screens if not screen.repeat_of and screen.trial.control != "attention"]


def check_repeats(screens: list[Screen]) -> None:
    """Each comes later than its first showing, mirrored."""
    first = {screen.trial.id: screen for screen in screens if not screen.repeat_of}
    for screen in screens:
        if screen.repeat_of:
            assert screen.repeat_of == screen.trial.id
            before = first[screen.repeat_of]
            assert before.slot + 1 < screen.slot
            assert {before.position, screen.position} in ({"left", "right"}, {""})


def check_sides(screens: list[Screen]) -> None:
    """Of each pair of methods, and of each method, left and right differ by one at most."""
    pairs: dict[tuple[str, str], int] = defaultdict(int)
    methods: dict[str, int] = defaultdict(int)
    for screen in screens:
        if screen.trial.task == "preference":
            turn = 1 if screen.position == "left" else -1
            pairs[screen.trial.method_a, screen.trial.method_b] += turn
            methods[screen.trial.method_a] += turn
            methods[screen.trial.method_b] -= turn
    assert all(abs(turn) <= 1 for turn in (*pairs.values(), *methods.values())), (dict(pairs), dict(methods))


def test_sides_of_any_tournament_are_even() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        names = [f"m{i}" for i in range(rng.integers(2, 9))]
        pairs = [tuple(rng.choice(names, 2, replace=False)) for _ in range(rng.integers(1, 40))]
        left = balance.sides(pairs, rng)
        turns: Counter[str] = Counter()
        of_pair: Counter[frozenset[str]] = Counter()
        for (a, b), a_left in zip(pairs, left, strict=True):
            turns[a] += 1 if a_left else -1
            turns[b] -= 1 if a_left else -1
            of_pair[frozenset((a, b))] += 1 if a_left == (a < b) else -1
        assert max(map(abs, turns.values())) <= 1
        assert max(map(abs, of_pair.values())) <= 1


def test_blocks_hold_every_kind_about_equally_often() -> None:
    allocation = made(methods="ABC", targets=EIGHT, n_sources=48, blocks=Blocks(trials=24, attention=1))
    for number in range(allocation.n_blocks["preference"]):
        main = [s.trial for s in main_screens(allocation.screens(number)) if s.trial.task == "preference"]
        targets = Counter(trial.target for trial in main)
        pairs = Counter((trial.method_a, trial.method_b) for trial in main)
        assert max(targets[t] for t in EIGHT) - min(targets[t] for t in EIGHT) <= 3, targets
        assert max(pairs.values()) - min(pairs.values()) <= 4, pairs


def test_the_seed_decides_everything() -> None:
    once, again, other = made(seed=4), made(seed=4), made(seed=5)
    assert [once.screens(n) for n in range(6)] == [again.screens(n) for n in range(6)]
    assert [once.choices(n) for n in range(6)] == [again.choices(n) for n in range(6)]
    assert [once.screens(n) for n in range(6)] != [other.screens(n) for n in range(6)]


def test_choices_are_shuffled_for_each_person_or_fixed() -> None:
    shuffled, fixed = made(), made(identification=Identification(order="fixed"))
    assert len({tuple(shuffled.choices(n)) for n in range(10)}) > 5
    assert {tuple(fixed.choices(n)) for n in range(10)} == {EIGHT}
    assert sorted(shuffled.choices(3)) == sorted(EIGHT)


def test_a_block_that_cannot_be_ordered_is_refused() -> None:
    allocation = made(
        n_sources=1, targets=("happy",), blocks=Blocks(repeated=1, attention=0), exclude={"failed_checks": 0}
    )
    with pytest.raises(ConfigError, match="no order in which no picture comes twice in a row"):
        allocation.screens(0)


def test_an_unedited_photo_is_not_shown_above_itself() -> None:
    allocation = made(preference=Preference(unedited=True))
    controls = [trial for trial in allocation.trials("preference") if trial.control == "unedited"]
    assert {trial.method_b for trial in controls} == {ORIGINAL}
    assert {trial.original for trial in controls} == {""}
    assert Counter(trial.method_a for trial in controls) == {"A": 12, "B": 12}
    assert all(trial.original for trial in allocation.trials("preference") if not trial.control)
