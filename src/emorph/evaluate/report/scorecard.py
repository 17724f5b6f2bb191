"""The two tables that a report begins with: scores that weigh emotion and identity together, and their parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emorph.core.types import Float64
from emorph.evaluate.report.tables import NOTHING, Cell, Table, cell, slug
from emorph.evaluate.scores.affect import AffectScores
from emorph.evaluate.scores.emotion import EmotionScores
from emorph.evaluate.scores.identity import FALSE_ACCEPTS, Gallery, IdentityScores
from emorph.evaluate.scores.method import MethodScores

NEEDS_PERSONS = "not measured: needs two photos of a person; name persons in a CSV's column identity"
NEEDS_TWO = "not measured: needs photos of two persons at least"
_TWO = (NOTHING, NOTHING)
_HEADER = ("measure", "better", "edits", "unedited photo", "another photo of the person", "another person")
_OF_ITSELF = {"distance": "0", "cosine": "1", "calibrated": NOTHING}
_SHOWN = {
    "distance": ("Distance to the source", "lower"),
    "cosine": ("CSIM, cosine with the source", "higher"),
    "calibrated": ("Mean calibrated identity of all recognisers", "higher"),
}


def recogniser_title(gallery: Gallery) -> tuple[str, str]:
    """(what a recogniser shows, with its name; which direction is better)."""
    title, better = _SHOWN[gallery.measure]
    return f"{title} ({gallery.name})", better


def headline(scores: MethodScores, name: str = "") -> Table:
    """Scores that neither doing nothing nor putting in somebody else can win."""
    rows: list[tuple[Cell, ...]] = []
    for tradeoff in scores.tradeoffs:
        judge = tradeoff.judge
        found = ((tradeoff.success(), True), (tradeoff.harmonic(), False), (tradeoff.area(), False))
        titles = ("Success gain", "HES: harmonic mean of gain and identity", "Area of identity over gain")
        for title, (estimate, is_share) in zip(titles, found, strict=True):
            rows.append((f"{title} ({judge})", "higher", cell(estimate, is_share, NEEDS_TWO), "0", *_TWO))
    if not scores.tradeoffs:
        rows.append(("Success gain", "higher", "not measured: no judge is here", *[NOTHING] * 3))
    note = (
        "These weigh emotion and identity together: doing nothing has 0, another person's face hardly more. Success "
        "gain: the share of edits that are recognised as the target and pass for the person, less the share of "
        "unedited photos that are recognised as it already. The gain of HES and area is over the unedited photo, "
        f"their identity is passing for the person ({scores.identity.gallery.name})."
    )
    return Table(
        slug(scores.evidence.method, "headline"), f"{name}Emotion and identity together", note, _HEADER, tuple(rows)
    )


def parts(scores: MethodScores, name: str = "") -> Table:
    """What the headline scores are made of, with their controls: unedited photos, other photos, other persons."""
    evidence = scores.evidence
    rows: list[tuple[Cell, ...]] = []
    for emotion in scores.emotions:
        rows += _emotion_rows(emotion)
    if not scores.emotions:
        rows.append(("Recognised as the target", "higher", "not measured: no judge is here", *[NOTHING] * 3))
    rows += _identity_rows(scores.identity)
    for title, better, metric, factor in (
        ("Expression moved, 68 points (eye spans)", "for information", "expression_distance", 1.0),
        ("Head turned, 68 points (degrees)", "lower", "pose_distance", 180 / np.pi),
        ("Change outside the face (share of range)", "lower", "mae_outside", 1.0),
    ):
        found = evidence.mean(factor * evidence.geometry(metric), evidence.at_dose)
        rows.append((title, better, cell(found, absent="not measured: needs edits of their sources' size"), "0", *_TWO))
    note = (
        f"{int(evidence.at_dose.sum())} edits at strength {evidence.dose:g} of {len(set(evidence.groups))} photos. "
        "In brackets: 95 % interval (bootstrap by source photo, of controls by person) and n. The controls say what "
        "the same number is for photos that nobody edited. Doing nothing wins every row of identity and geometry, and "
        "another person's smile every row of emotion: only the scores above weigh both."
    )
    title = f"{name}Summary with controls"
    return Table(slug(evidence.method, "summary"), title, note, _HEADER, tuple(rows))


def recognisers(scores: MethodScores, name: str = "") -> Table:
    """Each recogniser for itself."""
    evidence, dose = scores.evidence, scores.evidence.at_dose
    rows: list[tuple[Cell, ...]] = []
    for identity in scores.identities:
        gallery = identity.gallery
        shares = (identity.passes, identity.is_first)
        rows.append(
            (
                *recogniser_title(gallery),
                cell(evidence.mean(gallery.shown(identity.distance), dose)),
                cell(gallery.genuine),
                cell(gallery.impostor),
                *(cell(evidence.mean(values, dose), is_share=True) for values in shares),
                cell(evidence.mean(identity.calibrated, dose), absent=NEEDS_PERSONS),
            )
        )
    header = (
        *("measure", "better", "edits", "another photo of the person", "another person"),
        *(f"passes for the person ({100 * FALSE_ACCEPTS:.0f} % false accepts)", "found first", "calibrated identity"),
    )
    note = (
        f"Edits at strength {evidence.dose:g}. Each recogniser has its own threshold, that "
        f"{100 * FALSE_ACCEPTS:.0f} % of the pairs of different persons of this set reach. Calibrated identity is 0 "
        "for another person and 1 for another photo of the person; the ensemble is its mean over the recognisers, for "
        "each pair of faces."
    )
    return Table(slug(evidence.method, "recognisers"), f"{name}Identity by recogniser", note, header, tuple(rows))


def affect_table(scores: AffectScores, method: str, name: str = "") -> Table:
    """Valence and arousal by one judge."""
    truth = "the values given with the edits" if scores.is_given else "typical values of the targets (a convention)"
    note = (
        f"{len(scores.truth)} edits against {truth}, and the unedited photos against the same values. RMSE in the "
        "values' unit, from -1 to 1."
    )
    rows = [(title, better, cell(after), cell(before)) for title, better, after, before in scores.rows()]
    header = ("measure", "better", "edits", "unedited photo")
    title = f"{name}Valence and arousal, judged by {scores.judge.id}"
    return Table(slug(method, "affect", scores.judge.id.partition("@")[0]), title, note, header, tuple(rows))


def _emotion_rows(emotion: EmotionScores) -> list[tuple[Cell, ...]]:
    evidence, judge = emotion.evidence, emotion.judge.id

    def share(values: Float64) -> Cell:
        return cell(evidence.mean(values, evidence.at_dose), True, "not measured: the judge knows no target")

    confused = cell(
        emotion.mutual_confusion(), True, "not measured: needs edits to fear and surprise, or to anger and disgust"
    )
    linear = cell(emotion.linearity(), absent="not measured: needs two strengths above 0")
    found: Sequence[tuple[str, str, Cell, Cell]] = (
        ("Recognised as the target", "higher", share(emotion.right_after), share(emotion.right_before)),
        ("Gain over the unedited photo", "higher", share(emotion.gain), "0"),
        ("Probability of the target", "higher", share(emotion.after), share(emotion.before)),
        ("Mutual confusion, mSCR", "lower", confused, NOTHING),
        ("Linearity of strength, r", "higher", linear, NOTHING),
    )
    return [(f"{title} ({judge})", *rest, *_TWO) for title, *rest in found]


def _identity_rows(identity: IdentityScores) -> list[tuple[Cell, ...]]:
    evidence, gallery, dose = identity.evidence, identity.gallery, identity.evidence.at_dose
    title, better = recogniser_title(gallery)
    at = "" if gallery.threshold is None else f", at {float(gallery.shown(np.array(gallery.threshold))):.3f}"

    def mean(values: Float64, absent: str, *, is_share: bool = True) -> Cell:
        return cell(evidence.mean(values, dose), is_share, absent)

    return [
        (
            f"Passes for the person of its source ({gallery.name}, {100 * FALSE_ACCEPTS:.0f} % false accepts{at})",
            "higher",
            mean(identity.passes, NEEDS_TWO),
            "100 %, the same photo",
            cell(gallery.genuine_passing, is_share=True),
            f"{100 * FALSE_ACCEPTS:.0f} %, by the threshold",
        ),
        (
            "Passes for other photos of the person",
            "higher",
            mean(identity.passes_for_other_photos(edited=True), NEEDS_PERSONS),
            mean(identity.passes_for_other_photos(edited=False), NOTHING),
            *_TWO,
        ),
        (f"Found first among {len(gallery.ids)} sources", "higher", mean(identity.is_first, NEEDS_TWO), "100 %", *_TWO),
        (
            title,
            better,
            mean(gallery.shown(identity.distance), NOTHING, is_share=False),
            _OF_ITSELF[gallery.measure],
            cell(gallery.genuine),
            cell(gallery.impostor),
        ),
        ("Calibrated identity", "higher", mean(identity.calibrated, NEEDS_PERSONS, is_share=False), NOTHING, "1", "0"),
    ]
