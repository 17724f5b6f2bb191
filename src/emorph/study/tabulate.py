"""From votes, a line each, to the columns of numbers that the statistics take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from emorph.core.expressions import Emotion
from emorph.study.records import NONE_OF_THESE, ORIGINAL, Design, Vote
from emorph.study.statistics.bradley_terry import LEFT, RIGHT, TIE
from emorph.study.statistics.estimates import Floats, Ints
from emorph.study.statistics.identification import Answers
from emorph.study.statistics.preference import Comparisons

REAL = "real photos"
UNEDITED = "unedited photos"
WORDS = tuple(emotion.word for emotion in Emotion)
_PICTURE = {"left": LEFT, "right": RIGHT}


def first_votes(votes: Iterable[Vote]) -> list[Vote]:
    """Votes without attention checks and without those on trials that were shown for the second time."""
    return [vote for vote in votes if not vote.expected and not vote.repeat_of and vote.control != "attention"]


def comparisons(design: Design, votes: Iterable[Vote]) -> Comparisons:
    """The choices between two methods; those beside an unedited photo are left to ``over_the_photo``."""
    chosen = [vote for vote in votes if vote.task == "preference" and vote.control == ""]
    number = {method: i for i, method in enumerate(design.methods)}
    a_left = np.array([vote.position == "left" for vote in chosen], np.bool_)
    a, b = (_ints(number[getattr(vote, name)] for vote in chosen) for name in ("method_a", "method_b"))
    return Comparisons(
        design.methods,
        np.where(a_left, a, b),
        np.where(a_left, b, a),
        _ints(_outcome(vote) for vote in chosen),
        *_clusters(chosen),
    )


def _outcome(vote: Vote) -> int:
    if vote.answer == "tie":
        return TIE
    place = _PICTURE[vote.position]
    return place if vote.answer == "a" else RIGHT - place


def answers(votes: Iterable[Vote], methods: Sequence[str]) -> Answers:
    """What was named for the edits of ``methods`` and, if it is among them, for ``REAL``, photos with a label."""
    number = {method: i for i, method in enumerate(methods)}
    named = [(vote, _method(vote)) for vote in votes if vote.question == "emotion" and vote.task == "identification"]
    chosen = [vote for vote, method in named if method in number]
    place = {word: i for i, word in enumerate((*WORDS, NONE_OF_THESE))}
    return Answers(
        tuple(methods),
        WORDS,
        _ints(number[_method(vote)] for vote in chosen),
        _ints(place[vote.target] for vote in chosen),
        _ints(place[vote.answer] for vote in chosen),
        *_clusters(chosen),
    )


@dataclass(frozen=True)
class Ratings:
    """Answers from 1 to 5, (n,) each: of which method, who gave them, and on which photo."""

    methods: tuple[str, ...]
    method: Ints
    value: Floats
    participant: Ints
    photo: Ints


def ratings(votes: Iterable[Vote], question: str, methods: Sequence[str]) -> Ratings:
    """The answers to a question with a scale; ``UNEDITED`` and ``REAL`` count as methods where they are named."""
    number = {method: i for i, method in enumerate(methods)}
    rated = [vote for vote in votes if vote.question == question and vote.task == "identification"]
    chosen = [vote for vote in rated if _method(vote) in number]
    values = np.array([float(vote.answer) for vote in chosen])
    return Ratings(tuple(methods), _ints(number[_method(vote)] for vote in chosen), values, *_clusters(chosen))


def _method(vote: Vote) -> str:
    return {"real": REAL, "unedited": UNEDITED}.get(vote.control, vote.method)


def over_the_photo(votes: Iterable[Vote]) -> list[tuple[Vote, str, float]]:
    """Votes between an edit and the photo itself: the vote, the edit's method, 1 for the edit, ½ for a tie, else 0."""
    found = []
    for vote in votes:
        if vote.task == "preference" and vote.control == "unedited":
            edit = "a" if vote.method_b == ORIGINAL else "b"
            method = vote.method_a if edit == "a" else vote.method_b
            found.append((vote, method, 0.5 if vote.answer == "tie" else float(vote.answer == edit)))
    return found


def repeated(votes: Sequence[Vote]) -> list[tuple[Vote, Vote]]:
    """Each answer to a trial that was shown twice, first and second."""
    first = {(v.participant, v.trial, v.question): v for v in first_votes(votes)}
    again = [vote for vote in votes if vote.repeat_of]
    keys = [(vote.participant, vote.repeat_of, vote.question) for vote in again]
    return [(first[key], vote) for key, vote in zip(keys, again, strict=True) if key in first]


def _clusters(votes: Sequence[Vote]) -> tuple[Ints, Ints]:
    return codes(vote.participant for vote in votes), codes(vote.source for vote in votes)


def codes(values: Iterable[str]) -> Ints:
    """(n,) whole numbers from 0, one for each of the different ``values``."""
    listed = list(values)
    place = {value: i for i, value in enumerate(dict.fromkeys(listed))}
    return _ints(place[value] for value in listed)


def _ints(values: Iterable[int]) -> Ints:
    return np.fromiter(values, np.int64)
