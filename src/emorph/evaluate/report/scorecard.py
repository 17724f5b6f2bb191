"""The two tables that a report begins with: scores that weigh emotion and identity together, and their parts."""

from __future__ import annotations

from collections.abc import Iterator

from emorph.core.text_tables import slug
from emorph.evaluate.metrics.table import shown_in
from emorph.evaluate.metrics.takes import JUDGED, Shown
from emorph.evaluate.report.tables import NOTHING, Cell, Table, cell
from emorph.evaluate.scores.line import Control, Line
from emorph.evaluate.scores.method import MethodScores

WITH_CONTROLS = ("measure", "better", "edits", "unedited photo", "another photo of the person", "another person")


def headline(scores: MethodScores, name: str = "") -> Table:
    """Scores that neither doing nothing nor putting in somebody else can win."""
    note = (
        "These weigh emotion and identity together: doing nothing scores 0, and another person's face hardly more. "
        "Success gain: the share of edits that are recognised as the target and pass for the person, less the share of "
        "unedited photos that are recognised as it already. The gain of HES and area is over the unedited photo, "
        f"their identity is passing for the person ({scores.identity.gallery.name})."
    )
    rows = tuple(_rows(scores, Shown.HEADLINE))
    title = f"{name}Emotion and identity together"
    return Table(slug(scores.evidence.method, "headline"), title, note, WITH_CONTROLS, rows)


def parts(scores: MethodScores, name: str = "") -> Table:
    """What the headline scores are made of, with their controls: unedited photos, other photos, other persons."""
    evidence = scores.evidence
    photos = len(set(evidence.groups))
    end = "Doing nothing wins every row of identity and geometry"
    if scores.panel.tells_emotions:
        end += ", and another person's smile every row of emotion: only the scores above weigh both"
    note = (
        f"{int(evidence.at_dose.sum())} edits at strength {evidence.dose:g} of {photos} "
        f"photo{'' if photos == 1 else 's'}. "
        "In brackets: 95 % interval (by source photo, of controls by person) and n. The controls say what "
        f"the same number is for photos that nobody edited. {end}."
    )
    rows = tuple(_rows(scores, Shown.SUMMARY))
    return Table(slug(evidence.method, "summary"), f"{name}Summary with controls", note, WITH_CONTROLS, rows)


def row_with_controls(line: Line) -> tuple[Cell, ...]:
    """A line in a table of ``WITH_CONTROLS``."""
    controls = (line.unedited_at_dose, line.same_person, line.other_person)
    return (line.label, line.metric.better, dose_cell(line), *(control_cell(line, control) for control in controls))


def dose_cell(line: Line) -> Cell:
    """What a line says of the edits that the headline numbers are made of, or why it says nothing."""
    return cell(line.at_dose, line.metric.is_share, line.absent)


def control_cell(line: Line, control: Control) -> Cell:
    """A control in the form of its line."""
    return control if isinstance(control, str) else cell(control, line.metric.is_share)


def _rows(scores: MethodScores, table: Shown) -> Iterator[tuple[Cell, ...]]:
    """The lines of a table, and after them the metrics that no judge is here for."""
    lines = list(scores.shown_in(table))
    told = {line.metric.name for line in lines}
    if not scores.emotions and scores.panel.tells_emotions:
        for metric in shown_in(table):
            if metric.takes in JUDGED and metric.name not in told:
                yield (metric.label, metric.better, "not measured: no judge is available", *[NOTHING] * 3)
    for line in lines:
        yield row_with_controls(line)
