"""From pairs to scores on disk: every photo is looked at once, and a run that was stopped goes on where it was.

Records carry the SHA-256 of the files they tell of, so a changed picture is judged anew, and records of several
machines merge by lying in one folder.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from emorph.core.errors import DataError
from emorph.core.records import Embedding, ScoreRecord, SeenFace, append, mend, read_finished
from emorph.core.shard import Shard
from emorph.core.types import Float64, UInt8
from emorph.evaluate.inputs import Pair
from emorph.evaluate.look import LAST_PAIR_METRIC, Looked, Task, View, look
from emorph.evaluate.panel import AFFECT, PROBABILITY, Panel, PanelJudge, PanelRecogniser

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
    """All that is known of the faces: by id; numbers by (id, judge), by metric; and vectors by (id, recogniser)."""

    faces: dict[str, SeenFace] = field(default_factory=dict)
    scores: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict)
    embeddings: dict[tuple[str, str], tuple[float, ...]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Records:
        """Everything of all shards that lie in ``folder``; of repeated records the last counts. Raises DataError."""
        records = cls()
        for path in sorted(folder.glob("faces*.jsonl")):
            records.add(read_finished(path, SeenFace))
        for path in sorted(folder.glob("scores*.jsonl")):
            records.add((), read_finished(path, ScoreRecord))
        for path in sorted(folder.glob("embeddings*.jsonl")):
            records.add((), (), read_finished(path, Embedding))
        return records

    def add(
        self, faces: Sequence[SeenFace], scores: Sequence[ScoreRecord] = (), embeddings: Sequence[Embedding] = ()
    ) -> None:
        """Take new records in."""
        self.faces.update((face.id, face) for face in faces)
        for score in scores:
            self.scores.setdefault((score.id, score.judge), {})[score.metric] = score.value
        self.embeddings.update(((row.id, row.judge), row.values) for row in embeddings)

    def answer(self, id: str, judge: PanelJudge) -> Float64 | None:
        """The judge's probabilities for a face, in the order of its emotions; None if they are not all there."""
        return self._numbers(id, judge.id, [PROBABILITY + emotion.word for emotion in judge.emotions])

    def affect(self, id: str, judge: PanelJudge) -> Float64 | None:
        """The judge's valence and arousal for a face, (2,); None if they are not there."""
        return self._numbers(id, judge.id, AFFECT)

    def has(self, id: str, asked: PanelJudge | PanelRecogniser) -> bool:
        """Whether all is there that the judge or recogniser says of a face."""
        if isinstance(asked, PanelRecogniser):
            return (id, asked.id) in self.embeddings
        return self._numbers(id, asked.id, asked.outputs) is not None

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
        found.append(Judged(pair, source, f"{source}-{edited}", source_trouble or edited_trouble))
    return found


def evaluate(
    judged: Sequence[Judged],
    folder: Path,
    panel: Panel,
    *,
    workers: int = 1,
    shard: Shard = Shard(),
    on_step: Callable[[int, int], None] | None = None,
) -> Records:
    """Measure what ``folder`` does not hold yet, append it to the .jsonl files there, and return it all.

    workers: processes that find faces; 1 stays in this one. on_step: called with (done, total) sources.
    Raises DataError if a record file is damaged or cannot be written.
    """
    files = _Files.opened(folder, shard)
    records = Records.read(folder)
    tasks = _tasks(judged, records, panel, shard)
    waiting: dict[str, list[tuple[str, UInt8]]] = {asked.id: [] for asked in panel.asked}
    with _looking(tasks, workers) as results:
        for done, looked in enumerate(results, 1):
            files.write(records, looked.faces, looked.scores)
            for judge_id, face_id, crop in looked.crops:
                waiting[judge_id].append((face_id, crop))
            for asked in panel.asked:
                if len(waiting[asked.id]) >= BATCH or done == len(tasks):
                    _answer(asked, waiting[asked.id], files, records)
                    waiting[asked.id].clear()
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
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    except OSError as error:
        return "", f"{path} cannot be read ({error.strerror})."
    return digest.hexdigest()[:ID_DIGITS], ""


def _tasks(judged: Sequence[Judged], records: Records, panel: Panel, shard: Shard) -> list[Task]:
    """The sources of a shard of which something is missing, with those of their edits that miss something."""
    by_source: dict[str, dict[str, Judged]] = {}
    for item in judged:
        if not item.trouble:
            by_source.setdefault(item.source_id, {})[item.edit_id] = item
    plans = {asked.id: asked.plan for asked in panel.asked}
    tasks = []
    for source_id in list(by_source)[shard.number - 1 :: shard.of]:
        edits = by_source[source_id]
        path = next(iter(edits.values())).pair.source
        source = View(source_id, path, records.faces.get(source_id), _wanted(source_id, records, panel))
        views = [
            View(edit_id, item.pair.edited, records.faces.get(edit_id), _wanted(edit_id, records, panel))
            for edit_id, item in edits.items()
        ]
        unpaired = frozenset(view.id for view in views if _is_unpaired(view.id, records))
        todo = tuple(view for view in views if not _is_done(view) or view.id in unpaired)
        if source.known is not None and source.known.trouble:
            continue
        if todo or not _is_done(source):
            tasks.append(Task(source, todo, unpaired, plans))
    return tasks


def _is_done(view: View) -> bool:
    return view.known is not None and (bool(view.known.trouble) or not view.wanted)


def _wanted(id: str, records: Records, panel: Panel) -> tuple[str, ...]:
    return tuple(asked.id for asked in panel.asked if not records.has(id, asked))


def _is_unpaired(id: str, records: Records) -> bool:
    face = records.faces.get(id)
    return not (face is not None and face.trouble) and LAST_PAIR_METRIC not in records.scores.get((id, ""), {})


def _answer(
    asked: PanelJudge | PanelRecogniser, waiting: Sequence[tuple[str, UInt8]], files: _Files, records: Records
) -> None:
    for start in range(0, len(waiting), BATCH):
        ids, crops = zip(*waiting[start : start + BATCH], strict=True)
        if isinstance(asked, PanelRecogniser):
            files.write(records, embeddings=asked.judge(ids, np.stack(crops)))
        else:
            files.write(records, scores=asked.judge(ids, np.stack(crops)))


@contextmanager
def _looking(tasks: Sequence[Task], workers: int) -> Iterator[Iterator[Looked]]:
    """The results of all tasks, in their order."""
    if workers <= 1 or len(tasks) <= 1:
        yield map(look, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(min(workers, len(tasks)), _start) as pool:
        yield pool.imap(look, tasks)


def _start() -> None:
    torch.set_num_threads(1)  # the workers are as many as the cores
