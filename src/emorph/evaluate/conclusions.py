"""What a report says first: what the edits reached, in sentences that hold their controls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from emorph.evaluate.compare import success_difference
from emorph.evaluate.identity_scores import FALSE_ACCEPTS
from emorph.evaluate.tables import Value

if TYPE_CHECKING:
    from emorph.evaluate.scorecard import MethodScores


def conclusions(scores: Sequence[MethodScores]) -> Iterator[str]:
    """Sentences, the most important first; of several methods how they stand to the first comes at the end."""
    for score in scores:
        name = "" if len(scores) == 1 else f"{score.evidence.method}: "
        yield from _of_method(score, name)
    for other in scores[1:]:
        yield from _against(scores[0], other)


def _of_method(score: MethodScores, name: str) -> Iterator[str]:
    evidence, dose = score.evidence, score.evidence.at_dose
    if score.emotions:
        emotion = score.emotions[0]
        after, before = (evidence.mean(values, dose) for values in (emotion.right_after, emotion.right_before))
        if after is not None and before is not None:
            yield (
                f"{name}{emotion.judge.id.partition('@')[0]} recognises {Value(after, True)} of the edits as what was "
                f"asked for; of their unedited photos, {Value(before, True).number} showed it already."
            )
    gallery = score.identity.gallery
    passes = evidence.mean(score.identity.passes, dose)
    if passes is not None:
        genuine = gallery.genuine_passing()
        control = "" if genuine is None else f" and {Value(genuine, True).number} of those of one person"
        yield (
            f"{name}{Value(passes, True)} pass for the person of their source ({gallery.name}), where "
            f"{FALSE_ACCEPTS:.0%} of the pairs of photos of different persons{control} do."
        )
    if score.tradeoffs and (success := score.tradeoffs[0].success()) is not None:
        yield (
            f"{name}Both together, the success gain is {Value(success, True)}; doing nothing has 0, and so has another "
            "person's face."
        )


def _against(first: MethodScores, other: MethodScores) -> Iterator[str]:
    gap = success_difference(first, other)
    if gap is None:
        return
    a, b = first.evidence.method, other.evidence.method
    if gap.low <= 0 <= gap.high:
        yield f"{b} and {a} cannot be told apart by success gain: the difference is {Value(gap, True)}."
    else:
        better, worse = (b, a) if gap.mean > 0 else (a, b)
        yield f"{better} is better than {worse}: on the same edits, success gain of {b} less {a} is {Value(gap, True)}."
