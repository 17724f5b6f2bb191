"""From a study's folder to its results: read this first, then ``findings`` and the files in ``statistics``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emorph.core.errors import DataError
from emorph.study.exclusions import Exclusions, exclusions
from emorph.study.findings import Findings, find
from emorph.study.human_scores import HumanScore, MetricAgainstPeople, against_people, metrics_of, scores_of
from emorph.study.origins import read_origins
from emorph.study.records import Design, Participant, read_design, read_participants, read_votes
from emorph.study.statistics.estimates import require_scipy


@dataclass(frozen=True)
class Results:
    """All results of a study.

    main: without those whom the study's rules leave out. everyone: with them, and not by target and strength; None
    where nobody is left out. scores: people's scores of single edits. against_people: metrics beside them, where a
    report of ``emorph evaluate`` was given. languages: how many of those in the main analysis read which page.
    median_min: how long those who finished took, in minutes; None if nobody did.
    """

    design: Design
    exclusions: Exclusions
    main: Findings
    everyone: Findings | None
    scores: tuple[HumanScore, ...]
    against_people: tuple[MetricAgainstPeople, ...]
    languages: Mapping[str, int]
    median_min: float | None
    seed: int


def analyse(study: Path, *, scores: Path | None = None, seed: int = 0) -> Results:
    """Analyse a study's folder. scores: a report of ``emorph evaluate`` on the same edits, to be held against people.

    seed: of all that is drawn. Raises ConfigError or DataError: no study, no votes, none that the study's rules of
    exclusion leave, or a report of other edits. MissingAssetError without SciPy.
    """
    require_scipy()
    design, votes, people = read_design(study), read_votes(study), read_participants(study)
    if not votes:
        raise DataError(f"{study} has no votes yet; let people take part with emorph study serve.")
    metrics = None if scores is None else metrics_of(scores, read_origins(study))
    left_out = exclusions(design.exclude, people, votes)
    kept = left_out.keep(votes)
    if not kept:
        why = "; ".join(f"{rule.n} {rule.text}" for rule in left_out.rules if rule.n)
        raise DataError(
            f"the rules in study.toml leave out all {left_out.n_started} who answered ({why}), so there is nothing to "
            "analyse; wait for more people to finish."
        )
    rng = np.random.default_rng(seed)
    human = tuple(scores_of(kept))
    voters = {vote.participant for vote in kept}
    return Results(
        design,
        left_out,
        find(design, kept, rng),
        find(design, votes, rng, in_detail=False) if left_out.excluded else None,
        human,
        () if metrics is None else tuple(against_people(metrics, human, rng)),
        _languages([person for person in people if person.id in voters]),
        _median_min(people),
        seed,
    )


def human_scores(study: Path) -> list[HumanScore]:
    """People's scores of each edit of a study, after its exclusions; their keys are (source, target, strength, method).

    Raises ConfigError or DataError as ``analyse`` does.
    """
    votes = read_votes(study)
    return scores_of(exclusions(read_design(study).exclude, read_participants(study), votes).keep(votes))


def _languages(people: Sequence[Participant]) -> dict[str, int]:
    read = [person.language for person in people]
    return {language: read.count(language) for language in sorted(set(read))}


def _median_min(people: Sequence[Participant]) -> float | None:
    seconds = [person.finished - person.started for person in people if person.finished is not None]
    return float(np.median(seconds)) / 60 if seconds else None
