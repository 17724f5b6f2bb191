"""A finished study without a server: made people answer made trials, and their votes are written as the store's."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from emorph.study.records import (
    DESIGN_FILE,
    ORIGINAL,
    VOTES_FILE,
    Design,
    Participant,
    Vote,
)

METHODS = ("emorph", "baseline", "warp & <b>paste</b>")
TARGETS = ("happy", "sad", "anger")
PHOTOS = tuple(f"s{i:03d}" for i in range(1, 9))
SKILL = {METHODS[0]: 1.0, METHODS[1]: 0.0, METHODS[2]: -0.8}
BASIC = {
    "title": "Which edit is better?",
    "methods": METHODS,
    "targets": TARGETS,
    "strengths": (1.0,),
    "preference": {"ties": True, "unedited": True},
    "identification": {"intensity": True, "realism": True},
}


def design(**changes: Any) -> Design:
    """The study's design, with other values where they are given."""
    return Design.parse({**BASIC, **changes})


class Person:
    """Answers like a made person: with own tastes, on pictures with own difficulty."""

    def __init__(self, name: str, made: Design, seed: int, *, seconds: float = 3.0, fails: bool = False) -> None:
        self.name, self.made, self.seconds, self.fails = name, made, seconds, fails
        self.rng = np.random.default_rng(seed)
        self.taste = {method: skill + self.rng.normal(0, 0.4) for method, skill in SKILL.items()}
        self.votes: list[Vote] = []
        self.slot = 0

    def choose(self, source: str, target: str, a: str, b: str, *, control: str = "", repeat_of: str = "") -> None:
        """Answer all questions about two edits."""
        gap = self.taste.get(a, 0.3) - self.taste.get(b, 0.3) + suits(source, a) - suits(source, b)
        position = "left" if self.rng.random() < 0.5 else "right"
        for question in self.made.questions("preference"):
            weights = np.exp([gap / 2, -0.7, -gap / 2])
            answer = ("a", "tie", "b")[int(self.rng.choice(3, p=weights / weights.sum()))]
            trial = f"{source}-{target}-1-{a}-{b}"
            self._add(question, answer, trial, "preference", source, target, control, (a, b, ""), position, repeat_of)
        self.slot += 1

    def name_emotion(self, source: str, target: str, method: str, *, control: str = "") -> None:
        """Name the emotion of a picture, and rate it."""
        skill = {"real": 1.6}.get(control, 0.3 + self.taste.get(method, -1.0)) + suits(source, method)
        words = [word for word in (*TARGETS, "fear", "none") if word != target]
        right = self.rng.random() < 1 / (1 + np.exp(-skill))
        answer = target if right and target else str(self.rng.choice(words))
        trial = f"{source}-{target}-1-{method}{control}"
        for question in self.made.questions("identification"):
            said = answer if question == "emotion" else str(int(np.clip(self.rng.normal(3 + skill / 2, 1), 1, 5)))
            self._add(question, said, trial, "identification", source, target, control, ("", "", method))
        self.slot += 1

    def check(self) -> None:
        """Answer an attention check."""
        questions = self.made.questions("preference")
        for question in questions:
            answer = "b" if self.fails else "a"
            names = (METHODS[0], METHODS[1], "")
            self._add(question, answer, "check", "preference", "s001", "sad", "attention", names, "left", expected="a")
        self.slot += 1

    def _add(
        self,
        question: str,
        answer: str,
        trial: str,
        task: Any,
        source: str,
        target: str,
        control: Any,
        names: tuple[str, str, str],
        position: Any = "",
        repeat_of: str = "",
        expected: str = "",
    ) -> None:
        strength = 1.0 if control in ("", "attention") or task == "preference" else 0.0
        seconds = float(self.seconds * self.rng.uniform(0.5, 2))
        time = 1.7e9 + 10 * len(self.votes)
        where = (trial, task, source, target, strength, control, *names, position, repeat_of, expected)
        self.votes.append(Vote(self.name, self.slot, question, answer, *where, seconds, seconds + 0.1, "en", time))


def suits(source: str, method: str) -> float:
    """How well a photo suits a method, the same for all people."""
    return float(np.random.default_rng([PHOTOS.index(source) if source in PHOTOS else 99, len(method)]).normal(0, 0.4))


def person(made: Design, number: int, *, seconds: float = 3.0, fails: bool = False, share: float = 1.0) -> Person:
    """Somebody who has answered a block, or its first ``share``; number: of the block and its seed."""
    answering = Person(f"p{number:03d}", made, number, seconds=seconds, fails=fails)
    rng = np.random.default_rng([number, 1])
    pairs = list(combinations(METHODS, 2))
    photos = [*rng.permutation(PHOTOS), *rng.permutation(PHOTOS)]
    shown = [(photo, TARGETS[i % 3], *pairs[(i + number) % 3]) for i, photo in enumerate(photos)]
    for source, target, a, b in shown[: round(share * len(shown))]:
        answering.choose(str(source), target, a, b)
    answering.choose(str(photos[0]), "sad", METHODS[number % 3], ORIGINAL, control="unedited")
    answering.check()
    first = shown[0]
    answering.choose(str(first[0]), *first[1:], repeat_of=f"{first[0]}-{first[1]}-1-{first[2]}-{first[3]}")
    for i, photo in enumerate(photos[: round(share * len(photos))]):
        answering.name_emotion(str(photo), TARGETS[(i + 1) % 3], METHODS[(i // 3 + number) % 3])
    answering.name_emotion(str(photos[1]), "", ORIGINAL, control="unedited")
    for i, target in enumerate(TARGETS):
        answering.name_emotion(f"r00{1 + (number + i) % 3}", target, "", control="real")
    return answering


def people(made: Design, n: int = 24) -> list[Person]:
    """n people, of whom one fails the check, one hurries and one stops halfway; the last three."""
    whole = [person(made, number) for number in range(n - 3)]
    return [
        *whole,
        person(made, n - 3, fails=True),
        person(made, n - 2, seconds=0.2),
        person(made, n - 1, share=0.5),
    ]


def write(study: Path, made: Design, answered: Sequence[Person]) -> Path:
    """The study's folder; the last person has not finished."""
    study.mkdir(parents=True, exist_ok=True)
    (study / DESIGN_FILE).write_text(made.to_toml(), encoding="utf-8")
    listed = [
        Participant(p.name, i, "en" if i % 2 else "ja", "1", 1.7e9, None if i == len(answered) - 1 else 1.7e9 + 420, 40)
        for i, p in enumerate(answered)
    ]
    with closing(sqlite3.connect(study / VOTES_FILE)) as file:
        _insert(file, "participants", listed)
        _insert(file, "votes", [vote for p in answered for vote in p.votes])
        file.commit()
    return study


def _insert(file: sqlite3.Connection, table: str, rows: Sequence[Any]) -> None:
    names = [field.name for field in dataclasses.fields(rows[0])]
    file.execute(f"CREATE TABLE {table} ({', '.join(names)})")
    file.executemany(
        f"INSERT INTO {table} VALUES ({', '.join('?' * len(names))})", [dataclasses.astuple(row) for row in rows]
    )
