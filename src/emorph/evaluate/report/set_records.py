"""What was found of whole sets, kept beside the records of their edits."""

from __future__ import annotations

import hashlib
from pathlib import Path

from emorph.core.records import ScoreRecord, append, mend
from emorph.evaluate.measure.records import ID_DIGITS, Records
from emorph.evaluate.report.summary import Summary

DIGITS = 8


def keep_set_scores(folder: Path, summary: Summary, records: Records) -> None:
    """Append the numbers of whole sets to ``folder``/scores.jsonl, those that the records do not hold yet.

    Their id is a digest of the edits they are worked out of, those of compared sets among them, for these make the
    controls. Raises DataError if the file cannot be written.
    """
    edits = [
        f"{score.evidence.method} {scored.edit_id} {scored.pair.word} {scored.pair.strength} {scored.pair.person}"
        for score in summary.scores
        for scored in score.evidence.edits
    ]
    found = []
    for score in summary.scores:
        id = hashlib.sha256("\n".join([score.evidence.method, *edits]).encode()).hexdigest()[:ID_DIGITS]
        for line in score.lines:
            if line.metric.of != "set" or line.at_dose is None:
                continue
            if line.record_name not in records.scores.get((id, line.by), {}):
                found.append(ScoreRecord(id, line.record_name, round(line.at_dose.mean, DIGITS), line.by))
    if found:
        path = folder / "scores.jsonl"
        mend(path)
        append(path, found)
        records.add((), found)
