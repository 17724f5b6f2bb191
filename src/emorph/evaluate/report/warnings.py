"""What a reader must know before any number: the plain warnings that stand in a report's first lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from emorph.evaluate.judges.panel import Panel
from emorph.evaluate.metrics.takes import Takes
from emorph.evaluate.report.needs import GET_AFFECT
from emorph.evaluate.report.tables import Value
from emorph.evaluate.scores.gallery import DLIB, DLIB_THRESHOLD, LEAST_SEPARATION, Gallery
from emorph.evaluate.scores.method import MethodScores

FEW_SOURCES = 10
NEAR_0 = 0.25  # cosines of different persons average about 0 in a recogniser that tells persons apart


def warnings(scores: Sequence[MethodScores], gallery: Gallery, panel: Panel) -> Iterator[str]:
    """Sentences, the gravest first; none where all is well."""
    yield from panel.unfair
    names = ["" if len(scores) == 1 else f"{score.evidence.method}: " for score in scores]
    for score, name in zip(scores, names, strict=True):
        yield from _of_lost_faces(score, name)
    for score, name in zip(scores, names, strict=True):
        yield from _of_method(score, name)
        yield from _of_landmarks(score, name)
    yield from _of_dark_photos(scores)
    yield from _of_controls(gallery)
    for identity in scores[0].identities if scores else ():
        if identity.gallery.separation < LEAST_SEPARATION and identity.gallery is not gallery:
            yield (
                f"{identity.gallery.name} does not tell these persons apart ({100 * identity.gallery.separation:.0f} % "
                "of genuine pairs are nearer than impostors): it is left out of the ensemble; do not trust its row."
            )
        impostors = identity.gallery.impostor
        if identity.gallery.metric.takes == Takes.FEATURES and impostors is not None and abs(impostors.mean) > NEAR_0:
            yield (
                f"Cosines of different persons average {Value(impostors)} by {identity.gallery.name}, not near 0: its "
                "crops or features are wrong, or the people look alike. Do not read its CSIM as a success."
            )
    yield from _of_units(scores)
    if not panel.judges and panel.tells_emotions:
        yield "No judge of emotions is available, so nothing here says whether the edits show what was asked for."
    asked = sum(scored.pair.asks_affect for score in scores for scored in score.evidence.edits)
    if asked and not any(judge.has_va for judge in panel.judges):
        yield f"{asked} edits were asked for valence and arousal, which no judge here reads: {GET_AFFECT}"
    n_photos = len(gallery.ids)
    if 0 < n_photos < FEW_SOURCES:
        yield f"Only {n_photos} source photo{'s' if n_photos > 1 else ''}: intervals from so few are too narrow."
    for score in scores:
        excluded = len(score.evidence.excluded)
        if excluded:
            whole = excluded + len(score.evidence.edits)
            yield (
                f"{score.evidence.method}: {excluded} of {whole} edits could not be measured; they are not "
                "counted, and are listed below."
            )


def _of_units(scores: Sequence[MethodScores]) -> Iterator[str]:
    edits = [scored for score in scores for scored in score.evidence.edits]
    n_units = sum(scored.pair.sets_units for scored in edits)
    if n_units == len(edits) > 0:
        yield "These edits set action units and ask for no emotion: nothing here says whether the face shows them."
    elif n_units:
        yield f"{n_units} of {len(edits)} edits set action units and ask for no emotion: no row of emotion counts them."


def _of_lost_faces(score: MethodScores, name: str) -> Iterator[str]:
    n_lost = int(score.evidence.lost.sum())
    if n_lost:
        yield (
            f"{name}{n_lost} of {len(score.evidence.edits)} edits no longer show a face. They count as failures of "
            "expression and of identity, and have no distance; --lost-faces skip leaves them out."
        )


def _of_landmarks(score: MethodScores, name: str) -> Iterator[str]:
    found = [scored for scored in score.evidence.edits if not scored.is_lost]
    n_doubtful = sum(bool(scored.source.doubt or scored.edit.doubt) for scored in found)
    if n_doubtful:
        yield (
            f"{name}{n_doubtful} of {len(found)} edits rest on landmarks that are not to be trusted, of the source or "
            "of the edit: the heads may be turned too far, or partly hidden. They count; faces*.jsonl says which."
        )


def _of_dark_photos(scores: Sequence[MethodScores]) -> Iterator[str]:
    sources = {scored.source_id: scored for score in scores for scored in score.evidence.edits}
    n_dark = sum(scored.source.gain != 1 for scored in sources.values())
    if n_dark:
        are = "is" if n_dark == 1 else "are"
        yield (
            f"{n_dark} of {len(sources)} source photos {are} far too dark: judges and recognisers saw their faces, and "
            "those of their edits, brightened by the same factor (gain in faces*.jsonl). Distances of pictures are "
            "those of the files, and smaller the darker a photo is."
        )


def _of_method(score: MethodScores, name: str) -> Iterator[str]:
    evidence, dose = score.evidence, score.evidence.at_dose if score.evidence.edits else None
    if dose is None:
        yield f"{name}Not one edit could be measured."
        return
    gains = [evidence.mean(emotion.gain, dose, "difference") for emotion in score.emotions]
    known = [gain for gain in gains if gain is not None]
    if known and all(gain.mean <= 0 for gain in known):
        yield (
            f"{name}The unedited photos are recognised as the target at least as often as the edits, and certainly "
            "show the person: doing nothing beats these edits on everything."
        )
    elif known and all(gain.low <= 0 for gain in known):
        yield f"{name}The gain over the unedited photos cannot be told from zero: its interval includes 0."
    first = evidence.mean(score.identity.is_first, dose, "share")
    passes = evidence.mean(score.identity.passes, dose, "share")
    if passes is not None and first is not None and passes.mean < 0.5 and first.mean < 0.5:
        yield (
            f"{name}Most edits no longer look like the person: {Value(passes, is_share=True)} pass for the person of "
            f"their source, {Value(first, is_share=True)} are nearest to it."
        )


def _of_controls(gallery: Gallery) -> Iterator[str]:
    if not gallery.ids:
        return
    impostor, genuine = gallery.pairs.impostor, gallery.pairs.genuine
    if not len(impostor):
        yield "There are photos of one person only, so no impostors: identity has no threshold and no scale here."
        return
    if gallery.withheld:
        yield f"Passing for the person and what rests on it are {gallery.withheld}."
    end = "Do not read any identity number here as a success."
    if len(genuine):
        nearer = gallery.separation
        if nearer < LEAST_SEPARATION:
            yield (
                "The impostors are not apart: two photos of one person are more alike to the recogniser than photos of "
                f"two persons in only {100 * nearer:.0f} % of {len(genuine)} x {len(impostor)} cases. {end}"
            )
    elif gallery.name == DLIB and float(np.median(impostor)) < DLIB_THRESHOLD:
        share = float((impostor < DLIB_THRESHOLD).mean())
        yield (
            f"The impostors are not apart: {100 * share:.0f} % of the {len(impostor)} pairs of different persons lie "
            f"under {DLIB_THRESHOLD}, where the recogniser takes two photos for one person. {end}"
        )
