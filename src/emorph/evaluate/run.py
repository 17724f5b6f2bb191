"""From pairs to scores on disk: every photo is looked at once, and a run that was stopped goes on where it was.

Records carry the SHA-256 of the files they tell of, so a changed picture is judged anew, and records of several
machines merge by lying in one folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from emorph.core.errors import DataError
from emorph.core.files import file_digest
from emorph.core.records import Embedding, ScoreRecord, SeenFace, append, each_finished, mend
from emorph.core.shard import Shard
from emorph.core.types import Float32, Float64, OnStep
from emorph.core.workers import spread
from emorph.evaluate.asked import (
    AFFECT,
    PROBABILITY,
    Compared,
    Crop,
    PanelComparer,
    PanelEncoder,
    PanelJudge,
    compared_metric,
)
from emorph.evaluate.inputs import Pair
from emorph.evaluate.look import LAST_PAIR_METRIC, Task, View, Window, look
from emorph.evaluate.panel import Panel

BATCH = 64  # crops that a judge takes at once
ID_DIGITS = 16


@dataclass(frozen=True)
class Judged:
    """A pair with the ids of its two faces, as in ``SeenFace``; trouble: why a file is no picture at all."""

    pair: Pair
    source_id: str
    edit_id: str
    trouble: str = ""


@dataclass
class Records:
    """All that is known of the faces: by id; numbers by (id, judge), by metric; and vectors by (id, recogniser).

    Vectors are float32 arrays, as those of a network for FID have 2048 numbers a face.
    """

    faces: dict[str, SeenFace] = field(default_factory=dict)
    scores: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)
    embeddings: dict[tuple[str, str], Float32] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Records:
        """Everything of all shards that lie in ``folder``; of repeated records the last counts. Raises DataError."""
        records = cls()
        for path in sorted(folder.glob("faces*.jsonl")):
            records.add(each_finished(path, SeenFace))
        for path in sorted(folder.glob("scores*.jsonl")):
            records.add((), each_finished(path, ScoreRecord))
        for path in sorted(folder.glob("embeddings*.jsonl")):
            records.add((), (), each_finished(path, Embedding))
        return records

    def add(
        self, faces: Iterable[SeenFace], scores: Iterable[ScoreRecord] = (), embeddings: Iterable[Embedding] = ()
    ) -> None:
        """Take new records in."""
        self.faces.update((face.id, face) for face in faces)
        for score in scores:
            self.scores.setdefault((score.id, score.judge), {})[score.metric] = score.value
        self.embeddings.update(((row.id, row.judge), np.array(row.values, np.float32)) for row in embeddings)

    def answer(self, id: str, judge: PanelJudge) -> Float64 | None:
        """The judge's probabilities for a face, in the order of its emotions; None if they are not all there."""
        return self._numbers(id, judge.id, [PROBABILITY + emotion.word for emotion in judge.emotions])

    def affect(self, id: str, judge: PanelJudge) -> Float64 | None:
        """The judge's valence and arousal for a face, (2,); None if they are not there."""
        return self._numbers(id, judge.id, AFFECT)

    def has(self, id: str, asked: PanelJudge | PanelEncoder) -> bool:
        """Whether all is there that the judge or recogniser says of a face."""
        if isinstance(asked, PanelEncoder):
            return (id, asked.id) in self.embeddings
        return self._numbers(id, asked.id, asked.outputs) is not None

    def lacks(self, id: str, compared: Compared, comparers: Sequence[PanelComparer]) -> bool:
        """Whether one of the networks has not yet compared an edit with its source."""
        return any(compared_metric(c.metric, compared) not in self.scores.get((id, c.id), {}) for c in comparers)

    def _numbers(self, id: str, judge: str, names: Sequence[str]) -> Float64 | None:
        found = self.scores.get((id, judge), {})
        return np.array([found[name] for name in names]) if all(name in found for name in names) else None


def identify(pairs: Sequence[Pair]) -> list[Judged]:
    """The pairs with the digests of their files; the same content has the same id, wherever it lies."""
    digests: dict[Path, tuple[str, str]] = {}
    found = []
    for pair in pairs:
        for path in (pair.source, pair.edited):
            if path not in digests:
                digests[path] = _digest(path)
        (source, source_trouble), (edited, edited_trouble) = digests[pair.source], digests[pair.edited]
        if pair.points:  # another face of the same photo is another face
            source = hashlib.sha256(f"{source} {pair.points}".encode()).hexdigest()[:ID_DIGITS]
        found.append(Judged(pair, source, f"{source}-{edited}", source_trouble or edited_trouble))
    return found


def evaluate(
    judged: Sequence[Judged],
    folder: Path,
    panel: Panel,
    *,
    workers: int = 1,
    shard: Shard = Shard(),
    on_step: OnStep | None = None,
) -> Records:
    """Measure what ``folder`` does not hold yet, append it to the .jsonl files there, and return it all.

    workers: processes that find faces; 1 stays in this one. on_step: called with (done, total) sources.
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


def unfinished(judged: Sequence[Judged], records: Records, panel: Panel) -> int:
    """How many sources other shards have still to look at."""
    return len(_tasks(judged, records, panel, Shard()))


@dataclass(frozen=True)
class _Files:
    faces: Path
    scores: Path
    embeddings: Path

    @classmethod
    def opened(cls, folder: Path, shard: Shard) -> _Files:
        try:
            folder.mkdir(parents=True, exist_ok=True)
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


def _digest(path: Path) -> tuple[str, str]:
    """(digest, "") of a file, or ("", why it cannot be read)."""
    try:
        return file_digest(path)[:ID_DIGITS], ""
    except OSError as error:
        return "", f"{path} cannot be read ({error.strerror})."


def _tasks(judged: Sequence[Judged], records: Records, panel: Panel, shard: Shard) -> list[Task]:
    """The sources of a shard of which something is missing, with those of their edits that miss something."""
    by_source: dict[str, list[Judged]] = {}
    for item in judged:
        if not item.trouble:
            by_source.setdefault(item.source_id, []).append(item)
    plans = {asked.id: asked.plan for asked in panel.asked}
    tasks = []
    for source_id in list(by_source)[shard.number - 1 :: shard.of]:
        items = by_source[source_id]
        pair = items[0].pair
        known = records.faces.get(source_id)
        source = View(source_id, pair.source, known, _wanted(source_id, records, panel), pair.points)
        if known is not None and known.trouble:
            continue
        views = _edits(items, records, panel)
        unpaired = frozenset(view.id for view in views if _is_unpaired(view, records))
        todo = tuple(view for view in views if not _is_done(view) or view.compared or view.id in unpaired)
        if todo or not _is_done(source):
            tasks.append(Task(source, todo, unpaired, plans))
    return tasks


def _edits(items: Sequence[Judged], records: Records, panel: Panel) -> list[View]:
    """The edits of a source, each content once, however often and at whatever strengths it is listed."""
    strengths: dict[str, set[float]] = {}
    for item in items:
        strengths.setdefault(item.edit_id, set()).add(item.pair.strength)
    paths = {item.edit_id: item.pair.edited for item in items}
    size = getattr(records.faces.get(items[0].source_id), "size", ())
    views = []
    for id, asked in strengths.items():
        known = records.faces.get(id)
        ways: list[Compared] = ["reconstruction"] if 0 in asked else []
        ways += ["outside"] if asked - {0} else []
        if known is not None and (known.trouble or (size and known.size != size)):
            ways = []  # pictures of two sizes are not compared
        compared = tuple(way for way in ways if records.lacks(id, way, panel.comparers))
        wanted = _wanted(id, records, panel)
        views.append(View(id, paths[id], known, wanted, compared=compared, is_reconstruction=0 in asked))
    return views


def _is_done(view: View) -> bool:
    return view.known is not None and (bool(view.known.trouble) or not view.wanted)


def _wanted(id: str, records: Records, panel: Panel) -> tuple[str, ...]:
    return tuple(asked.id for asked in panel.asked if not records.has(id, asked))


def _is_unpaired(view: View, records: Records) -> bool:
    if view.known is not None and view.known.trouble:
        return False
    found = records.scores.get((view.id, ""), {})
    is_whole = not view.is_reconstruction or "ssim" in found or "ssim_outside" not in found
    return LAST_PAIR_METRIC not in found or not is_whole


def _answer(
    asked: PanelJudge | PanelEncoder, waiting: Sequence[tuple[str, Crop]], files: _Files, records: Records
) -> None:
    for start in range(0, len(waiting), BATCH):
        ids, crops = zip(*waiting[start : start + BATCH], strict=True)
        if isinstance(asked, PanelEncoder):
            files.write(records, embeddings=asked.judge(ids, np.stack(crops)))
        else:
            files.write(records, scores=asked.judge(ids, np.stack(crops)))


def _compare(comparers: Sequence[PanelComparer], windows: Sequence[Window], files: _Files, records: Records) -> None:
    for compared in ("reconstruction", "outside"):
        those = [window for window in windows if window.compared == compared]
        if those:
            a, b = (np.stack(pictures) for pictures in zip(*((w.source, w.edited) for w in those), strict=True))
            for comparer in comparers:
                files.write(records, scores=comparer.judge([w.id for w in those], compared, a, b))
