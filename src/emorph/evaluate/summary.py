"""From score records to what a report says: warnings first, then tables with controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emorph.core.expressions import Emotion
from emorph.core.types import Float64
from emorph.evaluate import checks
from emorph.evaluate.compare import comparison, side_by_side
from emorph.evaluate.emotion_scores import EmotionScores
from emorph.evaluate.evidence import Bools, Evidence, join
from emorph.evaluate.identity_scores import FALSE_ACCEPTS, Gallery, IdentityScores
from emorph.evaluate.panel import NotMeasured, Panel
from emorph.evaluate.run import Judged, Records
from emorph.evaluate.statistics import Estimate
from emorph.evaluate.tables import Cell, Table, Value
from emorph.evaluate.tradeoff import Tradeoff

NOTHING = "–"
NEEDS_PERSONS = "not measured: needs two photos of a person; name persons in a CSV's column identity"
NEEDS_TWO = "not measured: needs photos of two persons at least"
ALWAYS_MISSING = (
    NotMeasured(
        "AED, APD, shape distance",
        "not measured: needs coefficients of a face model; the 68-landmark versions stand in the tables.",
    ),
    NotMeasured("FID, KID", "not measured: needs features of Inception v3; emorph.evaluate.distribution takes them."),
)


@dataclass(frozen=True)
class MethodScores:
    """All rows of one set: of each judge that is there, of the recogniser, and both together."""

    evidence: Evidence
    identity: IdentityScores
    emotions: tuple[EmotionScores, ...]
    tradeoffs: tuple[Tradeoff, ...]


@dataclass(frozen=True)
class Summary:
    """What a report says. warnings: its first lines. scores: a set each, in the order of the command."""

    warnings: tuple[str, ...]
    tables: tuple[Table, ...]
    missing: tuple[NotMeasured, ...]
    scores: tuple[MethodScores, ...]


def summarise(judged: Sequence[Judged], records: Records, panel: Panel) -> Summary:
    """Everything that the records tell of the pairs."""
    sets = join(judged, records)
    gallery = Gallery.of(sets)
    scores = tuple(_scores(evidence, gallery, panel) for evidence in sets)
    measured = [score for score in scores if score.evidence.edits]
    is_alone = len(scores) == 1
    heads = [headline(score, "" if is_alone else f"{score.evidence.method}: ") for score in measured]
    tables: list[Table] = []
    if len(measured) > 1:
        names = [score.evidence.method for score in measured]
        tables.append(side_by_side(list(zip(names, heads, strict=True))))
        tables += [comparison(measured[0], other) for other in measured[1:]]
    for score, head in zip(measured, heads, strict=True):
        tables += [head, *_details(score, "" if is_alone else f"{score.evidence.method}: ")]
    missing = (*panel.missing, *ALWAYS_MISSING)
    return Summary(tuple(checks.warnings(scores, gallery, panel)), tuple(tables), missing, scores)


def _scores(evidence: Evidence, gallery: Gallery, panel: Panel) -> MethodScores:
    identity = IdentityScores.of(evidence, gallery)
    emotions = tuple(EmotionScores.of(judge, evidence) for judge in panel.judges)
    return MethodScores(evidence, identity, emotions, tuple(Tradeoff.of(emotion, identity) for emotion in emotions))


def _details(scores: MethodScores, name: str) -> list[Table]:
    tables = [_per_emotion(scores, emotion, name) for emotion in scores.emotions]
    tables += [_confusion(emotion, name) for emotion in scores.emotions]
    if len(scores.evidence.sweep()) > 1:
        tables.append(_by_strength(scores, name))
    return tables


def headline(scores: MethodScores, name: str = "") -> Table:
    """All headline scores with their controls: the unedited photos, other photos of the person, other persons."""
    evidence = scores.evidence
    rows: list[tuple[Cell, ...]] = []
    for emotion, tradeoff in zip(scores.emotions, scores.tradeoffs, strict=True):
        rows += _emotion_rows(emotion)
        rows += _tradeoff_rows(tradeoff, emotion.judge.id)
    if not scores.emotions:
        rows.append(("Recognised as the target", "higher", "not measured: no judge is here", *[NOTHING] * 3))
    rows += _identity_rows(scores.identity)
    for title, metric, factor in (
        ("Expression moved, 68 points (eye spans)", "expression_distance", 1.0),
        ("Head turned, 68 points (degrees)", "pose_distance", 180 / np.pi),
        ("Change outside the face (share of range)", "mae_outside", 1.0),
    ):
        values = factor * evidence.geometry(metric)
        better = "for information" if metric == "expression_distance" else "lower"
        absent = "not measured: needs edits of their sources' size"
        rows.append((title, better, _cell(evidence.mean(values, evidence.at_dose), absent=absent), "0", *[NOTHING] * 2))
    note = (
        f"{int(evidence.at_dose.sum())} edits at strength {evidence.dose:g} of {len(set(evidence.groups))} photos. "
        "In brackets: 95 % interval (bootstrap by source photo) and n. The controls say what the same number is for "
        "photos that nobody edited."
    )
    header = ("measure", "better", "edits", "unedited photo", "another photo of the person", "another person")
    return Table(_slug("summary", scores), f"{name}Summary with controls", note, header, tuple(rows))


def _emotion_rows(emotion: EmotionScores) -> list[tuple[Cell, ...]]:
    evidence, dose = emotion.evidence, emotion.evidence.at_dose

    def share(values: Float64) -> Cell:
        return _cell(evidence.mean(values, dose), is_share=True, absent="not measured: the judge knows no target")

    judge = emotion.judge.id
    absent = "not measured: needs edits to fear and surprise, or to anger and disgust"
    return [
        (
            f"Recognised as the target ({judge})",
            "higher",
            share(emotion.right_after),
            share(emotion.right_before),
            *_N2,
        ),
        (f"Gain over the unedited photo ({judge})", "higher", share(emotion.gain), "0", *_N2),
        (f"Probability of the target ({judge})", "higher", share(emotion.after), share(emotion.before), *_N2),
        (f"Mutual confusion, mSCR ({judge})", "lower", _cell(emotion.mutual_confusion(), True, absent), NOTHING, *_N2),
        (
            f"Linearity of strength, r ({judge})",
            "higher",
            _cell(emotion.linearity(), absent="not measured: needs two strengths above 0"),
            NOTHING,
            *_N2,
        ),
    ]


def _tradeoff_rows(tradeoff: Tradeoff, judge: str) -> list[tuple[Cell, ...]]:
    area, harmonic = (_cell(found, absent=NEEDS_TWO) for found in (tradeoff.area(), tradeoff.harmonic()))
    return [
        (f"HES: gain with identity ({judge})", "higher", harmonic, "0", *_N2),
        (f"Area of identity over gain ({judge})", "higher", area, "0", *_N2),
    ]


def _identity_rows(identity: IdentityScores) -> list[tuple[Cell, ...]]:
    evidence, gallery, dose = identity.evidence, identity.gallery, identity.evidence.at_dose
    threshold = "" if gallery.threshold is None else f", distance under {gallery.threshold:.3f}"
    genuine = _cell(gallery.distance_of(same_person=True), absent=NOTHING)
    impostor = _cell(gallery.distance_of(same_person=False), absent=NOTHING)

    def mean(values: Float64, absent: str, *, is_share: bool = True) -> Cell:
        return _cell(evidence.mean(values, dose), is_share, absent)

    return [
        (
            f"Passes for the person of its source ({FALSE_ACCEPTS:.0%} false accepts{threshold})",
            "higher",
            mean(identity.passes, NEEDS_TWO),
            "100 %, the same photo",
            _cell(gallery.genuine_passing(), is_share=True),
            f"{FALSE_ACCEPTS:.0%}, by the threshold",
        ),
        (
            "Passes for other photos of the person",
            "higher",
            mean(identity.passes_for_other_photos(edited=True), NEEDS_PERSONS),
            mean(identity.passes_for_other_photos(edited=False), NOTHING),
            *_N2,
        ),
        (f"Found first among {len(gallery.ids)} sources", "higher", mean(identity.is_first, NEEDS_TWO), "100 %", *_N2),
        (
            "Distance to the source (dlib)",
            "lower",
            mean(identity.distance, NOTHING, is_share=False),
            "0",
            genuine,
            impostor,
        ),
        ("Calibrated identity", "higher", mean(identity.calibrated, NEEDS_PERSONS, is_share=False), NOTHING, "1", "0"),
    ]


_N2 = (NOTHING, NOTHING)


def _per_emotion(scores: MethodScores, emotion: EmotionScores, name: str) -> Table:
    evidence = scores.evidence
    rows: list[tuple[Cell, ...]] = []
    for target in Emotion:
        towards = emotion.towards(target)
        if not towards.any():
            continue
        dose = towards & evidence.at_dose
        if target not in emotion.judge.emotions:
            shares: list[Cell] = ["not measurable: the judge has no such class", *[NOTHING] * 2, NOTHING]
        else:
            values = (emotion.right_after, emotion.right_before, emotion.gain)
            shares = [_cell(evidence.mean(v, dose), is_share=True) for v in values]
            shares.append(_cell(emotion.linearity(towards)))
        rows.append((target.word, *shares, _cell(evidence.mean(scores.identity.passes, dose), is_share=True)))
    return Table(
        _slug("per_emotion", scores, emotion.judge.id),
        f"{name}By emotion, judged by {emotion.judge.id}",
        f"Edits at strength {evidence.dose:g}; recognised is the recall of the target.",
        ("target", "recognised", "unedited photo recognised", "gain", "linearity r", "passes for the person"),
        tuple(rows),
    )


def _confusion(emotion: EmotionScores, name: str) -> Table:
    found = emotion.confusion()
    rows, shades = [], []
    for target, counts in zip(found.emotions, found.counts, strict=True):
        n = int(counts.sum())
        if n:
            rows.append((f"{target.word} (n = {n})", *(str(int(count)) for count in counts)))
            shades.append(tuple(float(count) / n for count in counts))
    return Table(
        _slug("confusion", emotion, emotion.judge.id),
        f"{name}Confusion, judged by {emotion.judge.id}",
        f"Edits at strength {emotion.evidence.dose:g}: rows are targets, columns the judge's answers, in edits.",
        ("target", *(answer.word for answer in found.emotions)),
        tuple(rows),
        tuple(shades),
    )


def _by_strength(scores: MethodScores, name: str) -> Table:
    evidence = scores.evidence
    header = ["strength"]
    for emotion in scores.emotions:
        header += [f"{text} ({emotion.judge.id})" for text in ("recognised", "gain", "HES")]
    header += ["passes for the person", "distance to the source", "expression moved", "head turned, degrees"]
    rows: list[tuple[Cell, ...]] = []
    for strength in evidence.sweep():
        chosen: Bools = evidence.strengths == strength
        cells: list[Cell] = [f"{strength:g}"]
        for emotion, tradeoff in zip(scores.emotions, scores.tradeoffs, strict=True):
            cells += [_cell(evidence.mean(v, chosen), is_share=True) for v in (emotion.right_after, emotion.gain)]
            cells.append(_cell(tradeoff.harmonic(strength)))
        cells.append(_cell(evidence.mean(scores.identity.passes, chosen), is_share=True))
        cells.append(_cell(evidence.mean(scores.identity.distance, chosen)))
        cells.append(_cell(evidence.mean(evidence.geometry("expression_distance"), chosen)))
        cells.append(_cell(evidence.mean(180 / np.pi * evidence.geometry("pose_distance"), chosen)))
        rows.append(tuple(cells))
    note = "What the edits gain and what identity costs, by strength."
    return Table(_slug("by_strength", scores), f"{name}By strength", note, tuple(header), tuple(rows))


def _cell(estimate: Estimate | None, is_share: bool = False, absent: str = NOTHING) -> Cell:
    return absent if estimate is None else Value(estimate, is_share)


def _slug(kind: str, scores: MethodScores | EmotionScores, judge: str = "") -> str:
    words = (scores.evidence.method, kind, judge.partition("@")[0])
    return "_".join("".join(c if c.isalnum() else "_" for c in word) for word in words if word)
