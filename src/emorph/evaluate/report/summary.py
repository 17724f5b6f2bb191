"""From score records to what a report says: warnings first, then tables with controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from emorph.evaluate.judges.asked import AFFECT, NotMeasured
from emorph.evaluate.judges.panel import Panel
from emorph.evaluate.measure import seen_splits
from emorph.evaluate.measure.records import Identified, Records
from emorph.evaluate.metrics.table import metrics
from emorph.evaluate.metrics.takes import Takes
from emorph.evaluate.report.comparison import comparison, side_by_side
from emorph.evaluate.report.conclusions import conclusions
from emorph.evaluate.report.detail_tables import details
from emorph.evaluate.report.needs import GET_AFFECT
from emorph.evaluate.report.scorecard import headline, parts
from emorph.evaluate.report.tables import Table
from emorph.evaluate.report.warnings import warnings
from emorph.evaluate.scores.evidence import LostFaces, join
from emorph.evaluate.scores.face_models import FaceModelControls
from emorph.evaluate.scores.gallery import galleries
from emorph.evaluate.scores.method import MethodScores

GET_RECOGNISER = (
    "not measured: needs a recogniser in ArcFace's format; get it with emorph models get w600k_r50 and name it: "
    "--recogniser w600k_r50."
)


@dataclass(frozen=True)
class Summary:
    """What a report says. about, warnings, conclusions: its first lines. scores: a set each, as the command names them.

    splits: source photos by the split of a data set that they are of, see ``measure.seen_splits``. lead: how many of
    the tables a reader needs first.
    """

    about: str
    splits: Mapping[str, int]

    warnings: tuple[str, ...]
    conclusions: tuple[str, ...]
    tables: tuple[Table, ...]
    missing: tuple[NotMeasured, ...]
    scores: tuple[MethodScores, ...]
    lead: int


def summarise(
    judged: Sequence[Identified], records: Records, panel: Panel, *, lost_faces: LostFaces = "fail"
) -> Summary:
    """Everything that the records tell of the pairs.

    lost_faces: whether edits in which no face is found count as failures or are left out.
    """
    sets = join(judged, records, lost_faces)
    all_galleries = galleries(sets, panel, records)
    models = tuple(FaceModelControls(model, all_galleries[0], records) for model in panel.face_models)
    scores = tuple(MethodScores.of(evidence, all_galleries, models, panel) for evidence in sets)
    measured = [score for score in scores if score.evidence.edits]
    names = ["" if len(scores) == 1 else f"{score.evidence.method}: " for score in measured]
    heads = [(headline(score, name), parts(score, name)) for score, name in zip(measured, names, strict=True)]
    tables: list[Table] = []
    told = slice(None) if panel.tells_emotions else slice(1, None)  # the headlines weigh emotion and identity together
    if len(measured) > 1:
        tables += side_by_side([score.evidence.method for score in measured], heads)[told]
        tables += [comparison(measured[0], other) for other in measured[1:]]
    lead = len(tables) or len(range(2)[told])
    tables += [table for head in heads for table in list(head)[told]]
    for score, name in zip(measured, names, strict=True):
        tables += details(score, name)
    splits = _splits(scores)
    first = tuple(filter(None, (seen_splits.warning(splits), *warnings(scores, all_galleries[0], panel))))
    said = tuple(conclusions(measured))
    return Summary(_about(scores, splits), splits, first, said, tuple(tables), _missing(panel), scores, lead)


def _splits(scores: Sequence[MethodScores]) -> dict[str, int]:
    seen = (scored for score in scores for scored in score.evidence.edits)
    return seen_splits.counted((scored.source_id, scored.pair.split) for scored in seen)


def _about(scores: Sequence[MethodScores], splits: Mapping[str, int]) -> str:
    """How much was judged, and of which split the photos are, in a line."""
    edits = [scored for score in scores for scored in score.evidence.edits]
    photos = sum(splits.values())
    targets = len({scored.pair.word for scored in edits})
    said = (
        f"{len(edits)} edit{'' if len(edits) == 1 else 's'} of {photos} photo{'' if photos == 1 else 's'} "
        f"to {targets} target{'' if targets == 1 else 's'}."
    )
    return " ".join(filter(None, (said, seen_splits.sentence(splits))))


def _missing(panel: Panel) -> tuple[NotMeasured, ...]:
    """What no number of the report tells, and how to have it told."""
    found = list(panel.missing)
    if panel.tells_emotions and not any(judge.has_va for judge in panel.judges):
        found.append(NotMeasured(", ".join(AFFECT), GET_AFFECT))
    if not panel.recognisers:
        by_recogniser = ", ".join(row.short for row in metrics(Takes.FEATURES, Takes.IDENTITIES))
        found.append(NotMeasured(by_recogniser, GET_RECOGNISER))
    return tuple(found)
