"""From pairs to scores on disk: every photo is looked at once, and a run that was stopped resumes where it was.

Records carry the SHA-256 of the files they are about, so a changed picture is judged again, and records of several
machines merge by lying in one folder.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

from emorph.core.errors import DataError
from emorph.core.outputs import make_folder
from emorph.core.records import Embedding, ScoreRecord, SeenFace, append, mend
from emorph.core.shard import Shard
from emorph.core.types import OnStep
from emorph.core.workers import Crew, spread
from emorph.evaluate.judges.asked import Crop, CropPlan, PanelComparer, PanelEncoder, PanelJudge
from emorph.evaluate.judges.panel import Panel
from emorph.evaluate.measure.look import Task, View, Window, look
from emorph.evaluate.measure.records import Identified, Records
from emorph.evaluate.metrics.table import METRICS
from emorph.evaluate.metrics.takes import Takes

BATCH = 64  # crops that a judge takes at once
# measured of every edit and its source
AROUND = frozenset({Takes.SURROUNDINGS, Takes.MASKED, Takes.INSIDE, Takes.LANDMARKS})


def evaluate(
    judged: Sequence[Identified],
    folder: Path,
    panel: Panel,
    *,
    workers: int | Crew = 1,
    shard: Shard = Shard(),
    on_step: OnStep | None = None,
) -> Records:
    """Measure what ``folder`` does not hold yet, append it to the .jsonl files there, and return it all.

    workers: processes that find faces, of which 1 is this one; or a crew, such as a cluster. on_step: called with
    (done, total) sources.
    Raises DataError if a record file is damaged or cannot be written, or a worker dies.
    """
    files = _Files.opened(folder, shard)
    records = Records.read(folder)
    tasks = _tasks(judged, records, panel, shard)
    waiting: dict[str, list[tuple[str, Crop]]] = {asked.id: [] for asked in panel.asked}
    windows: list[Window] = []
    with spread(look, tasks, workers) as results:
        for done, looked in enumerate(results, 1):
            files.write(records, looked.faces, looked.scores)
            for judge_id, face_id, crop in looked.crops:
                waiting[judge_id].append((face_id, crop))
            for asked in panel.asked:
                if len(waiting[asked.id]) >= BATCH or done == len(tasks):
                    _answer(asked, waiting[asked.id], files, records)
                    waiting[asked.id].clear()
            windows += looked.windows
            if len(windows) >= BATCH or done == len(tasks):
                _compare(panel.comparers, windows, files, records)
                windows.clear()
            if on_step is not None:
                on_step(done, len(tasks))
    return records


def unfinished(judged: Sequence[Identified], records: Records, panel: Panel) -> int:
    """How many sources other shards have still to look at."""
    return len(_tasks(judged, records, panel, Shard()))


@dataclass(frozen=True)
class _Files:
    faces: Path
    scores: Path
    embeddings: Path

    @classmethod
    def opened(cls, folder: Path, shard: Shard) -> _Files:
        make_folder(folder)
        try:
            files = cls(*(folder / f"{name}{shard.ending}.jsonl" for name in ("faces", "scores", "embeddings")))
            for path in (files.faces, files.scores, files.embeddings):
                mend(path)
        except OSError as error:
            raise DataError(f"{folder} cannot be written ({error.strerror}); choose another -o.") from None
        return files

    def write(
        self,
        records: Records,
        faces: Sequence[SeenFace] = (),
        scores: Sequence[ScoreRecord] = (),
        embeddings: Sequence[Embedding] = (),
    ) -> None:
        for path, rows in ((self.embeddings, embeddings), (self.scores, scores), (self.faces, faces)):
            if rows:
                append(path, rows)
        records.add(faces, scores, embeddings)


@dataclass(frozen=True)
class _Tasks(Sequence[Task]):
    """Tasks that are made as they are asked for: pictures' records of all of them would fill the memory.

    of_source: the pairs of each.
    """

    of_source: Sequence[Sequence[Identified]]
    records: Records
    panel: Panel

    @functools.cached_property
    def plans(self) -> Mapping[str, CropPlan]:
        return {asked.id: asked.plan for asked in self.panel.asked}

    def __len__(self) -> int:
        return len(self.of_source)

    @overload
    def __getitem__(self, place: int) -> Task: ...

    @overload
    def __getitem__(self, place: slice) -> _Tasks: ...

    def __getitem__(self, place: int | slice) -> Task | _Tasks:
        if isinstance(place, slice):
            return _Tasks(self.of_source[place], self.records, self.panel)
        return Task(*_missing(self.of_source[place], self.records, self.panel), self.plans)


def _tasks(judged: Sequence[Identified], records: Records, panel: Panel, shard: Shard) -> _Tasks:
    """The sources of a shard of which something is missing, with those of their edits that miss something."""
    by_source: dict[str, list[Identified]] = {}
    for item in judged:
        if not item.trouble:
            by_source.setdefault(item.source_id, []).append(item)
    todo = []
    for items in list(by_source.values())[shard.number - 1 :: shard.of]:
        source, edits = _missing(items, records, panel)
        if edits or not _is_done(source):
            todo.append(items)
    return _Tasks(todo, records, panel)


def _missing(items: Sequence[Identified], records: Records, panel: Panel) -> tuple[View, tuple[View, ...]]:
    """A source, and those of its edits that miss something: none of a source with a trouble."""
    source_id, pair = items[0].source_id, items[0].pair
    known = records.faces.get(source_id)
    source = View(source_id, pair.source.absolute(), known, _wanted(source_id, records, panel), pair.points)
    if known is not None and known.trouble:
        return source, ()
    size = () if known is None else known.size
    return source, tuple(view for view in _edits(items, size, records, panel) if not _is_done(view))


def _edits(items: Sequence[Identified], size: tuple[int, ...], records: Records, panel: Panel) -> list[View]:
    """The edits of a source, each content once, however often and at whatever strengths it is listed.

    size: of the source, () where it is not known yet.
    """
    strengths: dict[str, set[float]] = {}
    items = [item for item in items if item.edit_id]
    for item in items:
        strengths.setdefault(item.edit_id, set()).add(item.pair.strength)
    paths = {item.edit_id: item.pair.edited.absolute() for item in items}
    masks = {item.edit_id: item.pair.mask for item in items}
    views = []
    for id, asked in strengths.items():
        known = records.faces.get(id)
        wanted = _wanted(id, records, panel)
        if known is not None and known.trouble:
            views.append(View(id, paths[id], known, wanted))
            continue
        kinds = {*AROUND, Takes.RECONSTRUCTION} if 0 in asked else {*AROUND}
        kinds |= {Takes.OWN_MASK} if masks[id] else set()
        kinds |= {Takes.EDITED} if asked - {0} else set()
        plain = [row for row in METRICS.values() if row.takes in kinds and not row.network]
        missing = tuple(row for row in plain if not records.was_asked(id, row))
        ways = {Takes.RECONSTRUCTION} if 0 in asked else set()
        ways |= {Takes.SURROUNDINGS, Takes.EDITED} if asked - {0} else set()
        if known is not None and size and known.size != size:
            ways = set()  # pictures of two sizes are not compared
        windows = tuple(takes for takes in Takes if takes in ways and records.lacks(id, takes, panel.comparers))
        views.append(View(id, paths[id], known, wanted, metrics=missing, for_networks=windows, mask=masks[id]))
    return views


def _is_done(view: View) -> bool:
    if view.known is None:
        return False
    return bool(view.known.trouble) or not (view.wanted or view.metrics or view.for_networks)


def _wanted(id: str, records: Records, panel: Panel) -> tuple[str, ...]:
    return tuple(asked.id for asked in panel.asked if not records.has(id, asked))


def _answer(
    asked: PanelJudge | PanelEncoder, waiting: Sequence[tuple[str, Crop]], files: _Files, records: Records
) -> None:
    for start in range(0, len(waiting), BATCH):
        ids, crops = zip(*waiting[start : start + BATCH], strict=True)
        if isinstance(asked, PanelEncoder):
            files.write(records, embeddings=asked.encode(ids, np.stack(crops)))
        else:
            files.write(records, scores=asked.judge(ids, np.stack(crops)))


def _compare(comparers: Sequence[PanelComparer], windows: Sequence[Window], files: _Files, records: Records) -> None:
    for takes in dict.fromkeys(window.takes for window in windows):
        those = [window for window in windows if window.takes == takes]
        a, b = (np.stack(pictures) for pictures in zip(*((w.source, w.edited) for w in those), strict=True))
        for comparer in comparers:
            files.write(records, scores=comparer.compare([w.id for w in those], takes, a, b))
