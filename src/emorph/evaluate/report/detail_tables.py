"""Tables of pictures as pictures: what changed outside the face, what a reconstruction lost, and how alike sets are."""

from __future__ import annotations

import numpy as np

from emorph.evaluate.judges.asked import PanelComparer, compared_metric
from emorph.evaluate.metrics.table import metric
from emorph.evaluate.report.tables import Cell, Table, cell, slug
from emorph.evaluate.scores.evidence import Bools, Evidence
from emorph.evaluate.scores.face_models import PARTS, FaceModelScores
from emorph.evaluate.scores.sets import MEASURES, SetScores

_NEEDS_SIZE = "not measured: needs edits of their sources' size"
_NEEDS_RECONSTRUCTIONS = "not measured: needs edits at strength 0, which are a method's reconstructions"
_DISTANCES = {"shape": ("asd", "lower"), "expression": ("aed", "for information"), "pose": ("apd", "lower")}


def fidelity_table(evidence: Evidence, comparers: tuple[PanelComparer, ...], name: str = "") -> Table:
    """Never an edit against its source as if change were damage: outside the face, and reconstructions."""
    outside, zero = evidence.at_dose, evidence.strengths == 0
    rows: list[tuple[Cell, ...]] = []
    for plain in ("mae_outside", "psnr_outside", "ssim_outside"):
        rows.append(_row(evidence, plain, "", outside, _NEEDS_SIZE))
    for comparer in comparers:
        rows.append(_row(evidence, compared_metric(comparer.metric, "outside"), comparer.id, outside, _NEEDS_SIZE))
    for plain in ("psnr", "ssim", "ms_ssim"):
        rows.append(_row(evidence, plain, "", zero, _NEEDS_RECONSTRUCTIONS))
    for comparer in comparers:
        rows.append(_row(evidence, comparer.metric, comparer.id, zero, _NEEDS_RECONSTRUCTIONS))
    note = (
        "Fidelity takes every change for damage, so it is asked in two ways only: outside the face, where nothing "
        "should change (the edit with its source's own face put back, against the source), and of reconstructions "
        "(edits at strength 0). An edit against its source would praise the edit that did nothing. Networks compare "
        "the face's surroundings at 256 px."
    )
    header = ("measure", "compares", "better", "edits", "unedited photo")
    return Table(slug(evidence.method, "fidelity"), f"{name}Fidelity", note, header, tuple(rows))


def _row(evidence: Evidence, name: str, judge: str, chosen: Bools, absent: str) -> tuple[Cell, ...]:
    known = metric(name)
    values = evidence.geometry(name, judge)
    is_exact = _exact(evidence, name, chosen & ~np.isfinite(values))
    found: Cell = cell(evidence.mean(values, chosen), absent=absent)
    title = f"{known.title}{f', {known.unit}' if known.unit else ''}"
    if is_exact and isinstance(found, str):
        found = f"infinite: all {is_exact} are exact"
    elif is_exact:
        title += f", without {is_exact} exact ones"
    of_itself = "infinite" if name.startswith("psnr") else "1" if known.better == "higher" else "0"
    return (title, known.compares, known.better, found, of_itself)


def _exact(evidence: Evidence, name: str, chosen: Bools) -> int:
    """How many pictures equal their source, so that their PSNR is infinite."""
    equal: dict[str, Bools] = {
        "psnr_outside": evidence.geometry("mae_outside") == 0,
        "psnr": evidence.geometry("ssim") == 1,
    }
    return int((equal[name] & chosen).sum()) if name in equal else 0


def face_model_table(scores: FaceModelScores, name: str = "") -> Table:
    """AED, APD and ASD with their controls."""
    evidence = scores.evidence
    rows: list[tuple[Cell, ...]] = []
    for part in PARTS:
        entry, better = metric(_DISTANCES[part][0]), _DISTANCES[part][1]
        rows.append(
            (
                f"{entry.title}, {entry.unit}",
                better,
                cell(evidence.mean(scores.distance(part), evidence.at_dose), absent="not measured: no fit is trusted"),
                "0",
                cell(scores.controls.genuine[part]),
                cell(scores.controls.impostor[part]),
            )
        )
    note = (
        f"Mean absolute difference of the coefficients of {scores.model.id} ({scores.model.card['kind']}) between an "
        "edit and its source. An expression that was asked for must differ; shape is the person's, so it should stay "
        "nearer than another photo of the person lies, and the head should not turn."
    )
    if scores.n_untrusted:
        note += f" {scores.n_untrusted} edits are left out here: the model fits them or their source badly."
    header = ("measure", "better", "edits", "unedited photo", "another photo of the person", "another person")
    title = f"{name}Expression, pose and shape by {scores.model.id.partition('@')[0]}"
    return Table(slug(evidence.method, scores.model.id.partition("@")[0]), title, note, header, tuple(rows))


def set_table(scores: SetScores, evidence: Evidence, name: str = "") -> Table:
    """FID and KID beside what chance alone gives."""
    absent = "not measured: needs eight source photos"
    rows: list[tuple[Cell, ...]] = [
        (title, "lower", cell(scores.distance(measure), absent=absent), cell(scores.chance(measure), absent=absent))
        for title, measure in MEASURES
    ]
    note = (
        f"Features of {scores.network.id}: {len(scores.edits)} edits against {len(scores.sources)} unedited photos. "
        "FID is biased upwards at small n, about in proportion to 1/n (2048 features want 10,000 pictures and more), "
        "so it can only be compared with a FID of the same n; KID is not biased, but its spread is as large as its "
        "interval says. Two halves of the unedited photos tell what chance alone gives at half of their number."
    )
    header = ("measure", "better", "edits against unedited photos", "two halves of the unedited photos")
    title = f"{name}The set as a whole"
    return Table(slug(evidence.method, "set"), title, note, header, tuple(rows))
