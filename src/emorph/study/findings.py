"""What a set of votes tells, question by question: the statistics brought together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from emorph.study import tabulate
from emorph.study.records import NONE_OF_THESE, Design, Vote
from emorph.study.statistics import agreement, identification, mixed_model, preference
from emorph.study.statistics.agreement import Scale
from emorph.study.statistics.estimates import Estimate, Floats, Ints, holm
from emorph.study.statistics.identification import Answers, Difference, Mask, UnbiasedHitRate
from emorph.study.statistics.mixed_model import MixedModel
from emorph.study.statistics.preference import Preference
from emorph.study.tabulate import REAL, UNEDITED, WORDS

SCALES = ("intensity", "realism")
N_CHOICES = len(WORDS) + 1
CHOICES = {"a": 0, "tie": 1, "b": 2}


@dataclass(frozen=True)
class Stratum:
    """The comparisons of one question; target "" and strength None stand for all of them.

    result: None where the votes join fewer than two methods, or not all of them.
    """

    question: str
    target: str
    strength: float | None
    n: int
    result: Preference | None


@dataclass(frozen=True)
class Identified:
    """Which emotions people named.

    methods: those of the design, and ``REAL`` where photos with a label were shown. accuracy: by method and target, ""
    for all; clustered by person. by_strength: by method and strength. for_other_photos: by method, clustered by photo,
    too. against_real: each method less the real photos, over the targets that both have, and by target. between: each
    two methods. confusion: by method (targets, targets + 1), the last column none of these. unedited: how often each
    was named for the photos themselves, (targets + 1,). chance: of a blind choice.
    """

    methods: tuple[str, ...]
    accuracy: Mapping[tuple[str, str], Estimate]
    by_strength: Mapping[tuple[str, float], Estimate]
    for_other_photos: Mapping[str, Estimate]
    against_real: tuple[tuple[str, Difference], ...]
    between: tuple[Difference, ...]
    hit_rates: Mapping[str, tuple[UnbiasedHitRate, ...]]
    confusion: Mapping[str, Ints]
    unedited: Ints
    mixed: MixedModel | None
    chance: float = 1 / N_CHOICES


@dataclass(frozen=True)
class Agreed:
    """How far people agree in their answers to one question. statistic: its name."""

    question: str
    statistic: str
    value: Estimate


@dataclass(frozen=True)
class Findings:
    """What a set of votes tells.

    n_participants, n_votes: who answered, and how often, without checks and repeats. ratings: by scale and method,
    means from 1 to 5. over_photo: by question and method, how often the edit was chosen over the photo itself.
    consistency: by question, how often a second answer to one trial was the first again.
    """

    n_participants: int
    n_votes: int
    preferences: tuple[Stratum, ...]
    identified: Identified | None
    ratings: Mapping[tuple[str, str], Estimate]
    over_photo: Mapping[tuple[str, str], Estimate]
    agreement: tuple[Agreed, ...]
    consistency: Mapping[str, Estimate]


def find(design: Design, votes: Sequence[Vote], rng: np.random.Generator, *, in_detail: bool = True) -> Findings:
    """What ``votes`` tell. in_detail: preferences also by target and by strength."""
    first = tabulate.first_votes(votes)
    return Findings(
        len({vote.participant for vote in votes}),
        len(first),
        tuple(_preferences(design, first, rng, in_detail=in_detail)),
        _identified(design, first, rng),
        dict(_ratings(design, first)),
        _shares(tabulate.over_the_photo(first)),
        tuple(_agreement(design, first, rng)),
        {question: share for (question, _), share in _shares(_repeated(votes)).items()},
    )


def _preferences(
    design: Design, votes: Sequence[Vote], rng: np.random.Generator, *, in_detail: bool
) -> Iterator[Stratum]:
    strata: list[tuple[str, float | None]] = [("", None)]
    if in_detail and len(design.targets) > 1:
        strata += [(target, None) for target in design.targets]
    if in_detail and len(design.strengths) > 1:
        strata += [("", strength) for strength in design.strengths]
    for question in design.questions("preference"):
        asked = [vote for vote in votes if vote.question == question]
        for target, strength in strata:
            chosen = [v for v in asked if target in ("", v.target) and strength in (None, v.strength)]
            table = tabulate.comparisons(design, chosen)
            result = preference.analyse(table, rng=rng) if len(table.left) else None
            yield Stratum(question, target, strength, len(table.left), result)


def _identified(design: Design, votes: Sequence[Vote], rng: np.random.Generator) -> Identified | None:
    real = (REAL,) if any(vote.control == "real" for vote in votes) else ()
    methods = (*design.methods, *real)
    table = tabulate.answers(votes, methods)
    if not len(table.method):
        return None
    masks = {method: mask for i, method in enumerate(methods) if (mask := table.method == i).any()}
    named = [vote.answer for vote in votes if vote.control == "unedited" and vote.question == "emotion"]
    return Identified(
        tuple(masks),
        dict(_accuracy(table, masks)),
        dict(_by_strength(design, votes)),
        {method: share for method, mask in masks.items() if (share := _share(table, mask, photos_vary=True))},
        _corrected(_against_real(table, masks)),
        tuple(gap for _, gap in _corrected(_between(table, masks))),
        {method: tuple(identification.unbiased_hit_rates(table.where(mask), rng)) for method, mask in masks.items()},
        {method: identification.confusion(table.where(mask)) for method, mask in masks.items()},
        np.array([named.count(word) for word in (*WORDS, NONE_OF_THESE)], np.int64),
        mixed_model.compare(methods, table.method, table.target, table.is_right, table.participant, table.photo),
    )


def _share(table: Answers, mask: Mask, *, photos_vary: bool = False) -> Estimate | None:
    chosen = table.where(mask)
    return identification.share(chosen.is_right, chosen.participant, chosen.photo, photos_vary=photos_vary)


def _accuracy(table: Answers, masks: Mapping[str, Mask]) -> Iterator[tuple[tuple[str, str], Estimate]]:
    for method, mask in masks.items():
        for target, shown in [("", mask), *((word, mask & (table.target == i)) for i, word in enumerate(WORDS))]:
            if (share := _share(table, shown)) is not None:
                yield (method, target), share


def _by_strength(design: Design, votes: Sequence[Vote]) -> Iterator[tuple[tuple[str, float], Estimate]]:
    for strength in design.strengths if len(design.strengths) > 1 else ():
        table = tabulate.answers([vote for vote in votes if vote.strength == strength], design.methods)
        for i, method in enumerate(design.methods):
            if (share := _share(table, table.method == i)) is not None:
                yield (method, strength), share


def _against_real(table: Answers, masks: Mapping[str, Mask]) -> Iterator[tuple[str, Difference]]:
    """Each method less the real photos: over all targets that the two have in common, then target by target."""
    for method, mask in masks.items():
        if method == REAL or REAL not in masks:
            continue
        common = np.intersect1d(table.target[mask], table.target[masks[REAL]])
        for name, targets in [("", common), *((WORDS[i], np.array([i])) for i in common)]:
            of_them = np.isin(table.target, targets)
            gap = identification.difference(table, mask & of_them, masks[REAL] & of_them, (method, REAL))
            if gap is not None:
                yield name, gap


def _between(table: Answers, masks: Mapping[str, Mask]) -> Iterator[tuple[str, Difference]]:
    for first, second in combinations([method for method in masks if method != REAL], 2):
        gap = identification.difference(table, masks[first], masks[second], (first, second))
        if gap is not None:
            yield "", gap


def _corrected(found: Iterable[tuple[str, Difference]]) -> tuple[tuple[str, Difference], ...]:
    listed = list(found)
    p_holm = holm(np.array([gap.p for _, gap in listed]))
    return tuple(
        (name, Difference(gap.first, gap.second, gap.difference, gap.p, float(p)))
        for (name, gap), p in zip(listed, p_holm, strict=True)
    )


def _ratings(design: Design, votes: Sequence[Vote]) -> Iterator[tuple[tuple[str, str], Estimate]]:
    for scale in SCALES:
        rated = tabulate.ratings(votes, scale, (*design.methods, REAL, UNEDITED))
        for i, method in enumerate(rated.methods):
            chosen = rated.method == i
            mean = identification.mean(rated.value[chosen], rated.participant[chosen], rated.photo[chosen])
            if mean is not None:
                yield (scale, method), mean


def _repeated(votes: Sequence[Vote]) -> list[tuple[Vote, str, float]]:
    return [(again, "", float(first.answer == again.answer)) for first, again in tabulate.repeated(votes)]


def _shares(said: Iterable[tuple[Vote, str, float]]) -> dict[tuple[str, str], Estimate]:
    """The mean of each question's and method's numbers, all from 0 to 1, clustered by person."""
    groups: dict[tuple[str, str], list[tuple[Vote, float]]] = defaultdict(list)
    for vote, method, value in said:
        groups[_asked(vote), method].append((vote, value))
    found = {}
    for key, rows in groups.items():
        people, photos = (tabulate.codes(getattr(vote, name) for vote, _ in rows) for name in ("participant", "source"))
        share = identification.share(np.array([value for _, value in rows]), people, photos)
        if share is not None:
            found[key] = share
    return found


def _asked(vote: Vote) -> str:
    """The question with its task: "emotion" and "realism" are asked in both."""
    return f"{vote.task}: {vote.question}"


def _agreement(design: Design, votes: Sequence[Vote], rng: np.random.Generator) -> Iterator[Agreed]:
    for task in design.tasks:
        for question in design.questions(task):
            asked = [v for v in votes if v.task == task and v.question == question and not v.control]
            table = _votes_table(asked)
            is_scale = task == "identification" and question in SCALES
            name = f"{task}: {question}"
            scales: tuple[Scale, ...] = ("ordinal", "interval") if is_scale else ("nominal",)
            for scale in scales:
                alpha = agreement.krippendorff_alpha(table, scale, rng=rng)
                if alpha is not None:
                    yield Agreed(name, f"Krippendorff's alpha, {scale}", alpha)
            kappa = None if is_scale else agreement.fleiss_kappa(table, rng=rng)
            if kappa is not None:
                yield Agreed(name, "Fleiss' kappa", kappa)


def _votes_table(votes: Sequence[Vote]) -> Floats:
    """(trials, answers), in the order of the answers where they have one."""
    words = [*CHOICES, *WORDS, NONE_OF_THESE, "1", "2", "3", "4", "5"]
    order = [word for word in words if any(vote.answer == word for vote in votes)]
    if votes and votes[0].question in SCALES and votes[0].task == "identification":
        order = ["1", "2", "3", "4", "5"]
    place = {word: i for i, word in enumerate(order)}
    units = tabulate.codes(vote.trial for vote in votes)
    return agreement.votes_table(units, np.array([place[vote.answer] for vote in votes], np.int64), max(len(order), 1))
