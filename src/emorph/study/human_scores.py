"""What people say of each single edit, and how far a metric's numbers for the same edits go along with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emorph.core.errors import DataError
from emorph.core.records import Embedding, ScoreRecord, SeenFace, each_finished
from emorph.study.origins import Origin
from emorph.study.records import Vote
from emorph.study.statistics.correlation import Correlation, correlate
from emorph.study.tabulate import codes

PROBABILITY = "probability_"  # + an emotion's word, as emorph evaluate writes a judge's answers
UNIT_LENGTH = 1e-3  # how far a recogniser's vector may be from length 1; those of face models are not of length 1


class EditKey(NamedTuple):
    """What tells the edits of a study apart."""

    source: str
    target: str
    strength: float
    method: str


@dataclass(frozen=True)
class HumanScore:
    """What n votes say of one edit.

    measure: "chosen, QUESTION", the share of its comparisons with other methods that it won, a tie counting half;
    "recognised", the share that named its target; "intensity" or "realism", the mean from 1 to 5.
    """

    edit: EditKey
    measure: str
    value: float
    n: int


@dataclass(frozen=True)
class MetricAgainstPeople:
    """How one metric goes along with one measure of people, over n_edits edits."""

    metric: str
    measure: str
    n_edits: int
    correlation: Correlation


Numbers = dict[str, dict[EditKey, float]]


def scores_of(votes: Iterable[Vote]) -> list[HumanScore]:
    """The scores of every edit that was voted on, from votes without checks, controls and repeats."""
    found: dict[tuple[EditKey, str], list[float]] = defaultdict(list)
    for vote in votes:
        if not vote.control and not vote.expected and not vote.repeat_of:
            for method, measure, value in _said(vote):
                found[EditKey(vote.source, vote.target, vote.strength, method), measure].append(value)
    return [HumanScore(*key, float(np.mean(values)), len(values)) for key, values in sorted(found.items())]


def _said(vote: Vote) -> Iterator[tuple[str, str, float]]:
    """(method, measure, value) of one vote; a comparison speaks of two edits."""
    if vote.task == "preference":
        for_a = {"a": 1.0, "b": 0.0}.get(vote.answer, 0.5)
        yield vote.method_a, f"chosen, {vote.question}", for_a
        yield vote.method_b, f"chosen, {vote.question}", 1 - for_a
    elif vote.question == "emotion":
        yield vote.method, "recognised", float(vote.answer == vote.target)
    else:
        yield vote.method, vote.question, float(vote.answer)


def metrics_of(report: Path, origins: Sequence[Origin]) -> Numbers:
    """Every number that a report of ``emorph evaluate`` holds of the study's edits, by metric.

    A judge's probabilities become that of the edit's target, what it gained over the photo's, and whether it is the
    highest; two vectors of a recogniser become their cosine. Raises DataError if the folder holds no scores, or none of
    these edits.
    """
    if not any(report.glob("scores*.jsonl")):
        raise DataError(f"{report} holds no scores.jsonl; name the folder that emorph evaluate wrote with -o.")
    keys = _keys(origins)
    found: Numbers = defaultdict(dict)
    _add_scores(report, keys, found)
    _add_cosines(report, keys, found)
    if not found:
        raise DataError(
            f"{report} tells of none of the study's edits; evaluate the very files that the study was made of."
        )
    return dict(found)


def against_people(
    metrics: Numbers, scores: Sequence[HumanScore], rng: np.random.Generator
) -> list[MetricAgainstPeople]:
    """Each metric against each measure of people, over the edits that have both; whole photos are drawn."""
    by_measure: dict[str, dict[EditKey, float]] = defaultdict(dict)
    for score in scores:
        by_measure[score.measure][score.edit] = score.value
    found = []
    for measure, people in by_measure.items():
        for metric, numbers in sorted(metrics.items()):
            both = sorted(set(numbers) & set(people))
            x, y = (np.array([values[key] for key in both]) for values in (numbers, people))
            correlation = correlate(x, y, codes(key.source for key in both), rng)
            if correlation is not None:
                found.append(MetricAgainstPeople(metric, measure, len(both), correlation))
    return found


def _keys(origins: Sequence[Origin]) -> dict[str, list[EditKey]]:
    """By the first digits of the edited file's digest; one file may stand for several edits."""
    found: dict[str, list[EditKey]] = defaultdict(list)
    for origin in origins:
        key = EditKey(origin.source, origin.target, origin.strength, origin.method)
        found[origin.edited_sha256[:16]].append(key)
    return found


def _halves(id: str) -> tuple[str, str]:
    """The ids of the source's face and of the edited file; the second is "" of a source's own record."""
    source, _, edited = id.partition("-")
    return source, edited


def _add_scores(report: Path, keys: dict[str, list[EditKey]], found: Numbers) -> None:
    answers: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)  # (id, judge): by emotion
    for path in sorted(report.glob("scores*.jsonl")):
        for record in each_finished(path, ScoreRecord):
            judge = record.judge.partition("@")[0]
            if record.metric.startswith(PROBABILITY):
                answers[record.id, judge][record.metric.removeprefix(PROBABILITY)] = record.value
                continue
            for key in keys.get(_halves(record.id)[1], ()):
                found[f"{record.metric} ({judge})" if judge else record.metric][key] = record.value
    for (id, judge), after in answers.items():
        source, edited = _halves(id)
        before = answers.get((source, judge), {})
        for key in keys.get(edited, ()):
            if key.target not in after:
                continue
            found[f"probability of the target ({judge})"][key] = after[key.target]
            found[f"recognised as the target ({judge})"][key] = float(max(after, key=after.__getitem__) == key.target)
            if key.target in before:
                found[f"gain of the target's probability ({judge})"][key] = after[key.target] - before[key.target]


def _add_cosines(report: Path, keys: dict[str, list[EditKey]], found: Numbers) -> None:
    vectors: dict[str, dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]] = defaultdict(dict)
    for path in sorted(report.glob("embeddings*.jsonl")):
        for record in each_finished(path, Embedding):
            values = np.array(record.values)
            if abs(np.linalg.norm(values) - 1) < UNIT_LENGTH:
                vectors[f"cosine to the photo ({record.judge.partition('@')[0]})"][record.id] = values
    for path in sorted(report.glob("faces*.jsonl")):
        for face in each_finished(path, SeenFace):
            if face.descriptor:
                values = np.array(face.descriptor)
                vectors["cosine to the photo (dlib)"][face.id] = values / np.linalg.norm(values)
    for metric, by_id in vectors.items():
        for id, values in by_id.items():
            source, edited = _halves(id)
            if edited and source in by_id:
                for key in keys.get(edited, ()):
                    found[metric][key] = float(values @ by_id[source])
