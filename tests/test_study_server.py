"""A running study over HTTP: no vote lost, none double, everybody goes on where they were, blocks stay balanced."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from emorph.core.errors import ConfigError
from emorph.study.records import read_design, read_participants, read_trials, read_votes

sys.path.append(str(Path(__file__).parents[1] / "bench"))
pytest.importorskip("fastapi", reason="serving needs the extra emorph[study]")
pytest.importorskip("uvicorn", reason="serving needs the extra emorph[study]")

from support.people import Person, Served, all_take_part, made_study

N_PEOPLE = 24
N_KILLS = 2


def agree(study: Path, people: list[Person]) -> None:
    """The file holds what was acknowledged, and nothing else of those who finished."""
    stored: dict[tuple[str, int, str], str] = {}
    for vote in read_votes(study):
        key = (vote.participant, vote.slot, vote.question)
        assert key not in stored, f"{key} was counted twice"
        stored[key] = pressed(vote.task, vote.answer, vote.position)
    for person in people:
        for (slot, question), answer in person.acknowledged.items():
            assert stored[person.id, slot, question] == answer, "an acknowledged vote was lost or changed"
        if person.code:
            assert sum(key[0] == person.id for key in stored) == len(person.acknowledged)


def pressed(task: str, answer: str, position: str) -> str:
    """Which button gave a stored answer."""
    if task == "identification" or answer == "tie":
        return answer
    return position if answer == "a" else {"left": "right", "right": "left"}[position]


def test_people_take_part_while_the_server_is_killed(tmp_path: Path) -> None:
    made_study(tmp_path, trials=6)
    study = tmp_path / "study"
    people = [Person(0, seed, think_s=(0.3, 0.6)) for seed in range(N_PEOPLE)]

    async def all_and_the_killer(served: Served) -> None:
        for person in people:
            person.port = served.port
        taking_part = asyncio.create_task(all_take_part(people, start_s=1.0))
        for _ in range(N_KILLS):
            await asyncio.sleep(1.5)
            assert not taking_part.done(), "they were too fast to be interrupted"
            await asyncio.to_thread(served.stop, signal.SIGKILL)
            await asyncio.to_thread(served.start)
        await taking_part

    with Served(study) as served:
        asyncio.run(all_and_the_killer(served))
    assert all(person.code for person in people)
    assert sum(person.n_retries for person in people) > 0
    assert sum(person.went_back for person in people) == 0, "somebody was asked again what was acknowledged"
    agree(study, people)
    assert [p.completion for p in sorted(read_participants(study), key=lambda p: p.id)] == [
        person.code for person in sorted(people, key=lambda person: person.id)
    ]
    check_counts(study, at_most_apart=1)


def check_counts(study: Path, *, at_most_apart: int) -> None:
    """How often those who finished have seen each trial."""
    finished = {person.id for person in read_participants(study) if person.finished is not None}
    seen = Counter(
        vote.trial
        for vote in read_votes(study)
        if vote.participant in finished
        and not vote.repeat_of
        and vote.control != "attention"
        and vote.question in ("realism" if vote.task == "preference" else "emotion",)
    )
    for task in read_design(study).tasks:
        counts = [seen[trial.id] for trial in read_trials(study) if trial.task == task and trial.control != "attention"]
        assert max(counts) - min(counts) <= at_most_apart, Counter(counts)


def test_blocks_of_those_who_leave_go_to_others_until_all_is_balanced(tmp_path: Path) -> None:
    """With three in ten leaving, everything a study needs is done in the end, and nothing twice."""
    n_wanted = 7
    made_study(tmp_path, trials=6, participants=n_wanted)
    study = tmp_path / "study"
    text = (study / "study.toml").read_text(encoding="utf-8")
    (study / "study.toml").write_text(
        text.replace("return_after_min = 120.0", "return_after_min = 0.005"), encoding="utf-8"
    )
    rng = random.Random(2)
    people: list[Person] = []

    async def come(served: Served) -> None:
        while sum(bool(person.code) for person in people) < n_wanted:
            leaves = rng.randint(0, 8) if rng.random() < 0.3 else None
            person = Person(served.port, len(people), leaves_after=leaves)
            people.append(person)
            await person.take_part()
            if person.leaves_after is not None or person.is_refused:
                await asyncio.sleep(0.4)  # longer than a block waits
            assert len(people) < 60

    with Served(study) as served:
        asyncio.run(come(served))
        late = Person(served.port, 999)
        asyncio.run(late.take_part())
    assert late.is_refused, "nobody else is needed"
    assert any(person.leaves_after is not None for person in people)
    blocks = Counter(person.block for person in read_participants(study) if person.finished is not None)
    assert blocks == Counter(range(n_wanted))
    check_counts(study, at_most_apart=1)
    agree(study, people)


def test_who_was_away_too_long_goes_on_only_while_the_block_is_free(tmp_path: Path) -> None:
    made_study(tmp_path, trials=4)
    study = tmp_path / "study"
    text = (study / "study.toml").read_text(encoding="utf-8")
    (study / "study.toml").write_text(
        text.replace("return_after_min = 120.0", "return_after_min = 0.005"), encoding="utf-8"
    )

    async def story(served: Served) -> tuple[Person, Person]:
        first = Person(served.port, 1, leaves_after=2)
        await first.take_part()
        await asyncio.sleep(0.4)
        first.leaves_after = 4
        await first.take_part()  # nobody has asked for the block meanwhile
        await asyncio.sleep(0.4)
        second = Person(served.port, 2)
        await second.take_part()
        first.leaves_after = None
        with pytest.raises(RuntimeError, match=r"410 .*expired"):
            await first.take_part()
        return first, second

    with Served(study) as served:
        first, second = asyncio.run(story(served))
    assert len(first.acknowledged) == 4
    by_id = {person.id: person for person in read_participants(study)}
    assert by_id[first.id].block == by_id[second.id].block == 0


def test_a_panel_member_comes_back_by_the_panel_and_cannot_take_part_twice(tmp_path: Path) -> None:
    made_study(tmp_path, trials=3)
    study = tmp_path / "study"
    text = (study / "study.toml").read_text(encoding="utf-8")
    text = text.replace('panel_parameter = ""', 'panel_parameter = "PROLIFIC_PID"')
    text = text.replace('return_url = ""', 'return_url = "https://panel.example/done?cc={code}&who={participant}"')
    (study / "study.toml").write_text(text, encoding="utf-8")

    async def story(served: Served) -> tuple[Person, Person, bytes]:
        first = Person(served.port, 1, panel="abc123", leaves_after=2)
        await first.take_part()
        again = Person(served.port, 2, panel="abc123")
        await again.take_part()
        third = Person(served.port, 3, panel="abc123")
        await third.take_part()
        assert third.is_refused
        return first, again, (await again._try("GET", f"/p/{again.id}"))[2]

    with Served(study) as served:
        first, again, page = asyncio.run(story(served))
    assert first.id == again.id
    assert len(read_participants(study)) == 1
    assert f"https://panel.example/done?cc={again.code}&amp;who=abc123".encode() in page


def test_a_study_that_was_changed_after_the_first_participant_is_not_served(
    tmp_path: Path, emorph: Callable[..., tuple[int, str, str]]
) -> None:
    made_study(tmp_path, trials=3)
    study = tmp_path / "study"
    with Served(study) as served:
        asyncio.run(Person(served.port, 1).take_part())
    text = (study / "study.toml").read_text(encoding="utf-8")
    (study / "study.toml").write_text(text.replace("fast_s = 0.5", "fast_s = 9.0"), encoding="utf-8")
    status, _, said = emorph("study", "serve", study)
    assert status == 2
    assert "study.toml was changed after the first participant (exclude)" in said
    (study / "study.toml").write_text(text.replace('title = "Faces"', 'title = "Other"'), encoding="utf-8")
    with Served(study) as served:
        asyncio.run(Person(served.port, 2).take_part())
    assert len(read_participants(study)) == 2


def test_export_and_delete_one_participant(tmp_path: Path, emorph: Callable[..., tuple[int, str, str]]) -> None:
    made_study(tmp_path, trials=3)
    study = tmp_path / "study"
    with Served(study) as served:
        people = [Person(served.port, seed) for seed in range(3)]
        asyncio.run(all_take_part(people))
        status, text, _ = emorph("study", "export", study, people[0].id)
        assert status == 0
        assert text.count('"slot"') == len(people[0].acknowledged)
        status, text, _ = emorph("study", "delete", study, people[0].id, "--yes")
        assert (status, text) == (0, f"{len(people[0].acknowledged)} votes deleted.\n")
        later = Person(served.port, 9)
        asyncio.run(later.take_part())  # the server goes on
    assert {vote.participant for vote in read_votes(study)} == {people[1].id, people[2].id, later.id}
    blocks = {person.id: person.block for person in read_participants(study)}
    assert sorted(blocks.values()) == [0, 1, 2], "the block was given to the next one"
    everything = b"".join(path.read_bytes() for path in study.glob("study.sqlite*"))
    assert people[0].id.encode() not in everything, "what was deleted can still be read in the file"
    status, text, _ = emorph("study", "export", study)
    assert text.count("\n") == 1 + len(read_votes(study))
    assert emorph("study", "delete", study, people[0].id, "--yes")[0] == 2
    status, text, error = emorph("study", "delete", study, people[0].id)
    assert (status, text) == (2, ""), "asked for confirmation, but there is nobody to delete"
    assert "nobody in" in error


def test_a_vote_tells_what_was_seen(tmp_path: Path) -> None:
    made_study(tmp_path, trials=6)
    study = tmp_path / "study"
    with Served(study) as served:
        person = Person(served.port, 1, think_s=(0.05, 0.05))
        asyncio.run(person.take_part())
    votes = read_votes(study)
    trials = {trial.id: trial for trial in read_trials(study)}
    for vote in votes:
        assert vote.seconds_browser == pytest.approx(0.05)
        assert vote.seconds_server is not None
        assert 0.05 <= vote.seconds_server < 10
        if vote.control != "attention":
            trial = trials[vote.trial]
            for name in ("task", "source", "target", "strength", "control", "method", "method_a", "method_b"):
                assert getattr(vote, name) == getattr(trial, name), name
    checks = [vote for vote in votes if vote.control == "attention"]
    assert len(checks) == 2
    assert all(vote.expected for vote in checks)
    assert sum(vote.repeat_of != "" for vote in votes) == 2 * 3 + 2


def test_the_design_is_checked_before_anybody_comes(tmp_path: Path) -> None:
    made_study(tmp_path, trials=3)
    study = tmp_path / "study"
    (study / "consent.ja.txt").write_text("", encoding="utf-8")
    served = Served(study)
    with pytest.raises(RuntimeError, match=r"consent\.ja\.txt is empty"):
        served.start()


def test_commits_answer_only_what_is_on_the_disk(tmp_path: Path) -> None:
    """A piece that fails leaves the others."""
    from emorph.study.commits import Commits
    from emorph.study.store import Store

    commits = Commits(tmp_path)

    def write(name: str) -> Callable[[Store], None]:
        return lambda store: store.write_fact(name, "x")

    def fail(store: Store) -> Any:
        store.write_fact("half", "x")
        raise ConfigError("no")

    good, bad, other = commits.submit(write("good")), commits.submit(fail), commits.submit(write("other"))
    assert good.result() is None
    assert other.result() is None
    with pytest.raises(ConfigError):
        bad.result()
    commits.close()
    store = Store(tmp_path)
    assert [store.fact(name) for name in ("good", "half", "other")] == ["x", None, "x"]
    store.close()


def test_a_full_disk_is_acknowledged_to_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be committed fails for all who wait for it, and the next commit is tried anew."""
    from emorph.study.commits import Commits
    from emorph.study.store import Store

    commits, whole = Commits(tmp_path), Store.transaction
    failing = [True]

    @contextlib.contextmanager
    def full(store: Store) -> Iterator[None]:
        with whole(store):
            yield
            if failing:
                raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Store, "transaction", full)
    with pytest.raises(sqlite3.OperationalError):
        commits.submit(lambda store: store.write_fact("vote", "x")).result()
    failing.clear()
    assert commits.submit(lambda store: store.fact("vote")).result() is None
    commits.submit(lambda store: store.write_fact("vote", "x")).result()
    commits.close()


def test_a_commit_is_on_the_disk_when_it_ends(tmp_path: Path) -> None:
    """Full synchronisation and the write-ahead log: a kill cannot show it, only a power cut could."""
    from emorph.study.store import Store

    store = Store(tmp_path)
    found = [store._file.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")]
    store.close()
    assert found == [2, "wal"]


def test_who_it_is_is_not_asked_where_the_photo_is_not_shown(tmp_path: Path) -> None:
    made_study(tmp_path, trials=8)
    study = tmp_path / "study"
    text = (study / "study.toml").read_text(encoding="utf-8")
    (study / "study.toml").write_text(text.replace("unedited = false", "unedited = true"), encoding="utf-8")
    with Served(study) as served:
        asyncio.run(all_take_part([Person(served.port, seed) for seed in range(2)]))
    asked = {(vote.control, vote.question) for vote in read_votes(study) if vote.task == "preference"}
    assert ("unedited", "realism") in asked
    assert ("unedited", "emotion") in asked
    assert ("unedited", "identity") not in asked
    assert ("", "identity") in asked
