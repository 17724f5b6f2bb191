"""What is known of the faces of a run, and which files it is known of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern

import numpy as np

from emorph.core.aside import Aside
from emorph.core.files import file_digest
from emorph.core.records import Embedding, ScoreRecord, SeenFace, each_finished
from emorph.core.types import Float32, Float64
from emorph.evaluate.judges.asked import (
    AFFECT,
    PROBABILITY,
    PanelComparer,
    PanelEncoder,
    PanelJudge,
)
from emorph.evaluate.measure.inputs import Pair
from emorph.evaluate.measure.numbers import NumberTable
from emorph.evaluate.metrics.metric import Metric
from emorph.evaluate.metrics.takes import Takes

ID_DIGITS = 16
NO_FACE = "no face found in"  # how the trouble of a photo begins that can be read, but shows none
# Stand where a judge's id does, so that what has no number is not sought again
NO_VALUE = "no value"
INFINITE = "infinite"
REVISION = "revision"  # of a metric's function that gave the number, where it is not the first


@dataclass(frozen=True, slots=True)
class Identified:
    """A pair with the ids of its two faces, as in ``SeenFace``; trouble: why a file is no picture at all.

    edit_id: "" of a photo by itself, of which no edit is looked at.
    """

    pair: Pair
    source_id: str
    edit_id: str
    trouble: str = ""


@dataclass
class Records:
    """All that is known of the faces: by id; numbers by (id, judge), by metric; and vectors by (id, recogniser).

    Faces and vectors, which are float32 arrays, lie in a file, as there may be 100,000 of them with 2,000 numbers each.
    Each word is held once.
    """

    faces: MutableMapping[str, SeenFace] = field(default_factory=lambda: Aside(_packed, _unpacked))
    scores: NumberTable = field(default_factory=NumberTable)
    embeddings: MutableMapping[tuple[str, str], Float32] = field(
        default_factory=lambda: Aside(np.ndarray.tobytes, lambda data: np.frombuffer(data, np.float32))
    )

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
        self.faces.update((intern(face.id), face) for face in faces)
        for score in scores:
            key = (intern(score.id), intern(score.judge))
            self.scores.put(key, intern(score.metric), score.value)
        self.embeddings.update(
            ((intern(row.id), intern(row.judge)), np.array(row.values, np.float32)) for row in embeddings
        )

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

    def was_asked(self, id: str, row: Metric) -> bool:
        """Whether a number of an edit and its source is there, by today's function, or is known not to be had."""
        if self.scores.get((id, REVISION), {}).get(row.name, 1) != row.revision:
            return False
        return any(row.name in self.scores.get((id, judge), {}) for judge in ("", NO_VALUE, INFINITE))

    def lacks(self, id: str, takes: Takes, comparers: Sequence[PanelComparer]) -> bool:
        """Whether one of the networks has not yet compared an edit with its source."""
        rows = [(c.id, row.name) for c in comparers for row in c.metrics if row.takes == takes]
        return any(name not in self.scores.get((id, judge), {}) for judge, name in rows)

    def _numbers(self, id: str, judge: str, names: Sequence[str]) -> Float64 | None:
        found = self.scores.get((id, judge), {})
        return np.array([found[name] for name in names]) if all(name in found for name in names) else None


def _packed(face: SeenFace) -> bytes:
    """Its words as a line of JSON, then its points and its descriptor, as they are."""
    words = (face.id, face.trouble, face.size, face.n_faces, face.box, face.score, face.doubt, face.gain)
    head = json.dumps([face.points.size, *words]).encode()
    return b"".join([head, b"\n", face.points.tobytes(), face.descriptor.tobytes()])


def _unpacked(data: bytes) -> SeenFace:
    head, _, numbers = data.partition(b"\n")
    n, id, trouble, size, n_faces, box, score, doubt, gain = json.loads(head)
    values = np.frombuffer(numbers, np.float64)
    points = values[:n].reshape(-1, 2) if n else values[:0]
    return SeenFace(id, trouble, size, n_faces, box, points, score, values[n:], doubt, gain)


def identify(pairs: Sequence[Pair]) -> list[Identified]:
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
        found.append(Identified(pair, source, f"{source}-{edited}", source_trouble or edited_trouble))
    return found


def _digest(path: Path) -> tuple[str, str]:
    """(digest, "") of a file, or ("", why it cannot be read)."""
    try:
        return file_digest(path)[:ID_DIGITS], ""
    except OSError as error:
        return "", f"{path} cannot be read ({error.strerror})."
