"""What a report says first: what the edits reached, in sentences that hold their controls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from emorph.core.expressions import Emotion
from emorph.evaluate.metrics.statistics import Estimate
from emorph.evaluate.report.comparison import is_shown, n_photos, paired_rows, success_difference
from emorph.evaluate.report.tables import Value
from emorph.evaluate.scores.gallery import FALSE_ACCEPTS
from emorph.evaluate.scores.method import MethodScores


def conclusions(scores: Sequence[MethodScores]) -> Iterator[str]:
    """Sentences: of one set what it reached beside its controls; of several how they rank, then a line of each."""
    if len(scores) == 1:
        yield from _of_one(scores[0])
        return
    yield from _ranked(scores)
    for other in scores[1:]:
        yield from _against(scores[0], other)
    for score in scores:
        yield from _line(score)


def _ranked(scores: Sequence[MethodScores]) -> Iterator[str]:
    """An order only where each set is shown to be better than the next; else what keeps it from being one."""
    known = [(found.mean, score) for score in scores if (found := _success(score)) is not None]
    order = [score for _, score in sorted(known, key=lambda item: -item[0])]
    if len(order) < 2:
        return
    alike = [(a, b) for a, b in pairwise(order) if not _is_better(a, b)]
    if not alike:
        names = ", ".join(score.evidence.method for score in order)
        yield f"By success gain, which weighs emotion and identity together, the best first: {names}."
        return
    couples = "; ".join(f"{a.evidence.method} and {b.evidence.method}" for a, b in alike)
    yield f"By success gain these sets are not ranked, for neighbours are not shown to differ: {couples}."


def _is_better(a: MethodScores, b: MethodScores) -> bool:
    gap = success_difference(b, a)
    return gap is not None and gap.mean > 0 and is_shown(gap, n_photos(paired_rows(b, a), b.evidence.groups))


def _line(score: MethodScores) -> Iterator[str]:
    said = []
    if (shares := _recognised(score)) is not None:
        said.append(f"{shares[0]} are recognised as the target (unedited photos: {shares[1]})")
    if (passing := _passing(score)) is not None:
        said.append(f"{passing} pass for the person of their source")
    if said:
        yield f"{score.evidence.method}: {', '.join(said)}.{_unknown(score)}"


def _success(score: MethodScores) -> Estimate | None:
    """The success gain by the first judge."""
    if not score.tradeoffs:
        return None
    return score.evidence.mean(score.tradeoffs[0].success, score.evidence.at_dose, "difference")


def _recognised(score: MethodScores) -> tuple[Value, Value] | None:
    """The share of edits that the first judge takes for their target, and of their unedited photos."""
    if not score.emotions:
        return None
    emotion, evidence = score.emotions[0], score.evidence
    after, before = (evidence.mean(v, evidence.at_dose, "share") for v in (emotion.right_after, emotion.right_before))
    return None if after is None or before is None else (Value(after, True), Value(before, True))


def _unknown(score: MethodScores) -> str:
    """Which targets the first judge has no class for, so that no share of it holds those edits; "" without any."""
    if not score.emotions:
        return ""
    judge, evidence = score.emotions[0].judge, score.evidence
    chosen = [scored for scored, is_in in zip(evidence.edits, evidence.at_dose, strict=True) if is_in]
    unknown = [s.pair.target for s in chosen if s.pair.target is not None and s.pair.target not in judge.emotions]
    if not unknown:
        return ""
    words = " or ".join(emotion.word for emotion in Emotion if emotion in unknown)
    left_out = "1 such edit is" if len(unknown) == 1 else f"{len(unknown)} such edits are"
    return f" {judge.id.partition('@')[0]} does not know {words}: {left_out} excluded from emotion shares."


def _passing(score: MethodScores) -> Value | None:
    """The share of edits that pass for the person of their source."""
    passes = score.evidence.mean(score.identity.passes, score.evidence.at_dose, "share")
    return None if passes is None else Value(passes, True)


def _of_one(score: MethodScores) -> Iterator[str]:
    if (shares := _recognised(score)) is not None:
        yield (
            f"{score.emotions[0].judge.id.partition('@')[0]} recognises {shares[0]} of the edits as what was "
            f"asked for; of their unedited photos, {shares[1]} showed it already.{_unknown(score)}"
        )
    elif unknown := _unknown(score):
        yield unknown.lstrip()
    gallery = score.identity.gallery
    if (passing := _passing(score)) is not None:
        genuine = gallery.genuine_passing
        control = "" if genuine is None else f" and {Value(genuine, True)} of those of one person"
        yield (
            f"{passing} pass for the person of their source ({gallery.name}), where "
            f"{100 * FALSE_ACCEPTS:.0f} % of the pairs of photos of different persons{control} do."
        )
    if (success := _success(score)) is not None:
        yield (
            f"Both together, the success gain is {Value(success, True)}; doing nothing scores 0, and another "
            "person's face hardly more."
        )


def _against(first: MethodScores, other: MethodScores) -> Iterator[str]:
    gap = success_difference(first, other)
    if gap is None:
        return
    a, b = first.evidence.method, other.evidence.method
    if not is_shown(gap, n_photos(paired_rows(first, other), first.evidence.groups)):
        yield f"{b} and {a} cannot be told apart by success gain: the difference is {Value(gap, True)}."
    else:
        better, worse = (b, a) if gap.mean > 0 else (a, b)
        yield f"{better} is better than {worse}: on the same edits, success gain of {b} less {a} is {Value(gap, True)}."
