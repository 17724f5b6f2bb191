"""From score records to what a report says: warnings first, then tables with controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emorph.core.expressions import Emotion
from emorph.evaluate.judges.asked import NotMeasured
from emorph.evaluate.judges.panel import Panel
from emorph.evaluate.measure.records import Judged, Records
from emorph.evaluate.report import warnings as checks
from emorph.evaluate.report.comparison import comparison, side_by_side
from emorph.evaluate.report.conclusions import conclusions
from emorph.evaluate.report.detail_tables import face_model_table, fidelity_table, set_table
from emorph.evaluate.report.scorecard import affect_table, headline, parts, recogniser_title, recognisers
from emorph.evaluate.report.tables import NOTHING, Cell, Table, cell, slug
from emorph.evaluate.scores.affect import AffectScores
from emorph.evaluate.scores.emotion import EmotionScores
from emorph.evaluate.scores.evidence import Bools, Evidence, join
from emorph.evaluate.scores.face_models import FaceModelControls, FaceModelScores
from emorph.evaluate.scores.identity import Gallery, IdentityScores, galleries
from emorph.evaluate.scores.method import MethodScores
from emorph.evaluate.scores.sets import SetScores
from emorph.evaluate.scores.tradeoff import Tradeoff

NO_AFFECT = NotMeasured(
    "valence, arousal",
    "not measured: needs a judge that tells them; get it with emorph models get enet_b0_8_va_mtl (or emonet_8) and "
    "name it: --judge enet_b0_8_va_mtl.",
)
NO_RECOGNISER = NotMeasured(
    "CSIM, ensemble",
    "not measured: needs a recogniser in ArcFace's format; get it with emorph models get w600k_r50 and name it: "
    "--recogniser w600k_r50.",
)


@dataclass(frozen=True)
class Summary:
    """What a report says. warnings, conclusions: its first lines. scores: a set each, in the order of the command.

    lead: how many of the tables a reader needs first.
    """

    warnings: tuple[str, ...]
    conclusions: tuple[str, ...]
    tables: tuple[Table, ...]
    missing: tuple[NotMeasured, ...]
    scores: tuple[MethodScores, ...]
    lead: int


def summarise(judged: Sequence[Judged], records: Records, panel: Panel) -> Summary:
    """Everything that the records tell of the pairs."""
    sets = join(judged, records)
    all_galleries = galleries(sets, panel, records)
    models = tuple(FaceModelControls(model, all_galleries[0], records) for model in panel.face_models)
    scores = tuple(_scores(evidence, all_galleries, models, panel) for evidence in sets)
    measured = [score for score in scores if score.evidence.edits]
    names = {id(score): "" if len(scores) == 1 else f"{score.evidence.method}: " for score in scores}
    heads = [(headline(score, names[id(score)]), parts(score, names[id(score)])) for score in measured]
    tables: list[Table] = []
    if len(measured) > 1:
        tables += side_by_side([score.evidence.method for score in measured], heads)
        tables += [comparison(measured[0], other) for other in measured[1:]]
    lead = len(tables) or 2
    tables += [table for head in heads for table in head]
    for score in measured:
        tables += _details(score, panel, names[id(score)])
    warnings = tuple(checks.warnings(scores, all_galleries[0], panel))
    return Summary(warnings, tuple(conclusions(measured)), tuple(tables), _missing(panel), scores, lead)


def _scores(
    evidence: Evidence, all_galleries: Sequence[Gallery], controls: Sequence[FaceModelControls], panel: Panel
) -> MethodScores:
    identities = tuple(IdentityScores.of(evidence, gallery) for gallery in all_galleries)
    emotions = tuple(EmotionScores.of(judge, evidence) for judge in panel.judges)
    affects = tuple(AffectScores.of(judge, evidence) for judge in panel.judges if judge.has_va)
    tradeoffs = tuple(Tradeoff.of(emotion, identities[0]) for emotion in emotions)
    models = tuple(FaceModelScores(of_model, evidence) for of_model in controls)
    sets = tuple(SetScores.of(network, evidence) for network in panel.features) if evidence.edits else ()
    return MethodScores(evidence, identities, emotions, affects, tradeoffs, models, sets)


def _missing(panel: Panel) -> tuple[NotMeasured, ...]:
    """What no number of the report tells, and how to have it told."""
    found = list(panel.missing)
    if not any(judge.has_va for judge in panel.judges):
        found.append(NO_AFFECT)
    if not panel.recognisers:
        found.append(NO_RECOGNISER)
    return tuple(found)


def _details(scores: MethodScores, panel: Panel, name: str) -> list[Table]:
    tables = [recognisers(scores, name)] if len(scores.identities) > 1 else []
    tables += [affect_table(affect, scores.evidence.method, name) for affect in scores.affects]
    tables += [_per_emotion(scores, emotion, name) for emotion in scores.emotions]
    tables += [_confusion(emotion, name) for emotion in scores.emotions]
    if len(scores.evidence.sweep()) > 1:
        tables.append(_by_strength(scores, name))
    tables += [face_model_table(model, name) for model in scores.face_models]
    tables.append(fidelity_table(scores.evidence, panel.comparers, name))
    tables += [set_table(found, scores.evidence, name) for found in scores.sets]
    return tables


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
            shares = [cell(evidence.mean(v, dose), is_share=True) for v in values]
            shares.append(cell(emotion.linearity(towards)))
        rows.append((target.word, *shares, cell(evidence.mean(scores.identity.passes, dose), is_share=True)))
    return Table(
        _slug(evidence, "per_emotion", emotion),
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
        _slug(emotion.evidence, "confusion", emotion),
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
        header += [f"{text} ({emotion.judge.id})" for text in ("recognised", "success gain", "HES")]
    gallery = scores.identity.gallery
    header += ["passes for the person", recogniser_title(gallery)[0], "expression moved", "head turned, degrees"]
    rows: list[tuple[Cell, ...]] = []
    for strength in evidence.sweep():
        chosen: Bools = evidence.strengths == strength
        cells: list[Cell] = [f"{strength:g}"]
        for emotion, tradeoff in zip(scores.emotions, scores.tradeoffs, strict=True):
            cells.append(cell(evidence.mean(emotion.right_after, chosen), is_share=True))
            cells += [cell(tradeoff.success(strength), is_share=True), cell(tradeoff.harmonic(strength))]
        cells.append(cell(evidence.mean(scores.identity.passes, chosen), is_share=True))
        cells.append(cell(evidence.mean(gallery.shown(scores.identity.distance), chosen)))
        cells.append(cell(evidence.mean(evidence.geometry("expression_distance"), chosen)))
        cells.append(cell(evidence.mean(180 / np.pi * evidence.geometry("pose_distance"), chosen)))
        rows.append(tuple(cells))
    note = "What the edits gain and what identity costs, by strength."
    return Table(slug(evidence.method, "by_strength"), f"{name}By strength", note, tuple(header), tuple(rows))


def _slug(evidence: Evidence, kind: str, emotion: EmotionScores) -> str:
    return slug(evidence.method, kind, emotion.judge.id.partition("@")[0])
