"""A study under load: two hundred people at once, a server that is killed under them, and dropouts.

python bench/study.py: no vote may be lost or counted twice, and every trial must be shown as often as any other.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emorph.core.machine import usable_cores
from emorph.study.allocation import Allocation
from emorph.study.records import read_design, read_participants, read_trials, read_votes
from support.measure import table, write_section
from support.people import Person, Served, all_take_part, made_study

LIMIT_S = 0.1  # in which 95 % of the votes must be acknowledged
RETURN_AFTER_S = 5.0  # a dropout's block goes back


@dataclass(frozen=True)
class Outcome:
    """What became of the votes. lost: acknowledged and not stored, or stored otherwise. double: stored twice.

    more: stored for those who finished, and never acknowledged: none, as each was asked for until it was.
    """

    acknowledged: int
    lost: int
    double: int
    more: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--think", type=float, nargs=2, default=(2.0, 6.0), help="seconds from pictures to answer")
    options = parser.parse_args()
    people, kills, think_s = options.people, options.kills, tuple(options.think)
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            under_load(Path(folder) / "load", people, think_s),
            killed(Path(folder) / "kill", people, think_s, kills),
            dropouts(Path(folder) / "drop", people // 2),
        ]
    header = ("what", "people", "answers acknowledged", "lost", "double", "never acknowledged", "found")
    cores, (load, *_) = usable_cores(), os.getloadavg()
    note = f"Server and people share {cores} core(s) with whatever else runs there: load average {load:.0f}."
    body = f"{table(header, rows)}\n\n{note}"
    write_section("A user study under load", "python bench/study.py", body)


def under_load(folder: Path, n_people: int, think_s: tuple[float, float]) -> tuple[object, ...]:
    """All at once, nothing fails."""
    study = a_study(folder)
    people = [Person(0, seed, think_s=think_s) for seed in range(n_people)]
    with Served(study) as served:
        before = time.perf_counter()
        asyncio.run(all_take_part(at(served, people), start_s=10.0))
        seconds = time.perf_counter() - before
    waits_s = np.array([wait for person in people for wait in person.waits_s])
    in_time = float((waits_s <= LIMIT_S).mean())
    p95_ms, p99_ms = 1000 * np.percentile(waits_s, [95, 99])
    found = (
        f"{100 * in_time:.1f} % within {1000 * LIMIT_S:.0f} ms (95 %: {p95_ms:.0f} ms, 99 %: {p99_ms:.0f} ms); "
        f"{len(waits_s) / seconds:.0f} votes a second"
    )
    return "load", n_people, *counted(outcome(study, people)), found


def killed(folder: Path, n_people: int, think_s: tuple[float, float], n_kills: int) -> tuple[object, ...]:
    """kill -9, again and again."""
    study = a_study(folder)
    people = [Person(0, seed, think_s=think_s) for seed in range(n_people)]

    async def story(served: Served) -> int:
        going_on = asyncio.create_task(all_take_part(at(served, people), start_s=5.0))
        rng, done = random.Random(0), 0
        while done < n_kills and not going_on.done():
            await asyncio.sleep(rng.uniform(1.0, 4.0))
            await asyncio.to_thread(served.stop, signal.SIGKILL)
            await asyncio.to_thread(served.start)
            done += 1
        await going_on
        return done

    with Served(study) as served:
        done = asyncio.run(story(served))
    stayed = sum(person.went_back == 0 and person.code != "" for person in people)
    n_retries = sum(person.n_retries for person in people)
    found = f"killed {done} times; {stayed} went on where they were and finished; {n_retries} requests were tried again"
    return "kill -9", n_people, *counted(outcome(study, people)), found


def dropouts(folder: Path, n_wanted: int, share: float = 0.3) -> tuple[object, ...]:
    """Three in ten leave for good; people come until all that is wanted is done."""
    study = a_study(folder, participants=n_wanted)
    path = study / "study.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("return_after_min = 120.0", f"return_after_min = {RETURN_AFTER_S / 60}"), encoding="utf-8"
    )
    rng, people = random.Random(1), list[Person]()

    async def story(served: Served) -> None:
        while sum(person.code != "" for person in people) < n_wanted:
            leaves = [rng.randint(0, 20) if rng.random() < share else None for _ in range(20)]
            come = [Person(served.port, len(people) + i, (0.1, 0.3), leave) for i, leave in enumerate(leaves)]
            people.extend(come)
            await all_take_part(come)
            if any(person.is_refused for person in come):
                await asyncio.sleep(RETURN_AFTER_S + 1)

    with Served(study) as served:
        asyncio.run(story(served))
    left = sum(person.leaves_after is not None and person.id != "" for person in people)
    least, most = counts(study)
    found = f"{left} left and {n_wanted} finished; each trial was seen {least} to {most} times by those who finished"
    return "dropouts", len(people), *counted(outcome(study, people)), found


def a_study(folder: Path, *, participants: int = 0) -> Path:
    """Both tasks, three methods, 40 photos."""
    made_study(folder, n_photos=40, methods=("A", "B", "C"), side_px=256, trials=10, participants=participants)
    return folder / "study"


def at(served: Served, people: Sequence[Person]) -> Sequence[Person]:
    for person in people:
        person.port = served.port
    return people


def outcome(study: Path, people: Sequence[Person]) -> Outcome:
    """Hold what people know against what the file has."""
    stored: Counter[tuple[str, int, str]] = Counter()
    answers: dict[tuple[str, int, str], str] = {}
    for vote in read_votes(study):
        key = (vote.participant, vote.slot, vote.question)
        stored[key] += 1
        is_side = vote.task == "preference" and vote.answer != "tie"
        other = {"left": "right", "right": "left", "": ""}[vote.position]
        answers[key] = (vote.position if vote.answer == "a" else other) if is_side else vote.answer
    known = {(p.id, *vote): answer for p in people for vote, answer in p.acknowledged.items()}
    finished = {person.id for person in people if person.code}
    return Outcome(
        len(known),
        sum(answers.get(key) != answer for key, answer in known.items()),
        sum(n - 1 for n in stored.values()),
        sum(key not in known for key in stored if key[0] in finished),
    )


def counted(found: Outcome) -> tuple[int, int, int, int]:
    return found.acknowledged, found.lost, found.double, found.more


def counts(study: Path) -> tuple[int, int]:
    """How often those who finished have seen the trial seen least, and the one seen most often, of one task."""
    finished = {person.id for person in read_participants(study) if person.finished is not None}
    shown = {
        (vote.participant, vote.trial)
        for vote in read_votes(study)
        if vote.participant in finished and not vote.repeat_of and vote.control != "attention"
    }
    seen = Counter(trial for _, trial in shown)
    allocation = Allocation(read_design(study), read_trials(study))
    apart = [
        (min(each), max(each))
        for task in allocation.design.tasks
        for each in [[seen[trial.id] for trial in allocation.trials(task)]]
    ]
    return max(apart, key=lambda pair: pair[1] - pair[0])


if __name__ == "__main__":
    main()
