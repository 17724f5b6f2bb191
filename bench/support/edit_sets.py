"""Edits of held-out faces on disk, as a user of ``emorph evaluate`` has them, and the baselines they must beat."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

from emorph.core.expressions import Emotion
from emorph.core.images import write_image
from emorph.core.types import Target
from emorph.edit.pipeline import Editor
from support.validation import Face, read_faces

SOURCES = (Emotion.NEUTRAL, Emotion.HAPPY)
COLUMNS = ("source", "edited", "target", "strength", "identity")


@dataclass(frozen=True)
class Row:
    """A line of a table of edits; source and edited are relative to the table's folder."""

    source: str
    edited: str
    target: Emotion
    strength: float
    person: str


def chosen_faces(faces: Sequence[Face], n: int) -> list[Face]:
    """n neutral and happy faces, half of them two photos of one person, for without those identity has no scale."""
    of_person: dict[str, list[Face]] = {}
    for face in faces:
        if face.label in SOURCES:
            of_person.setdefault(face.person, []).append(face)
    twice = [face for own in of_person.values() if len(own) > 1 for face in (own[0], own[-1])]
    once = [own[0] for own in of_person.values() if len(own) == 1]
    n_twice = min(len(twice), n // 2 // 2 * 2)
    return twice[:n_twice] + once[: n - n_twice]


def write_sources(faces: Sequence[Face], folder: Path) -> None:
    """The faces as PNG files, named by their row in the data."""
    folder.mkdir(parents=True, exist_ok=True)
    for face in faces:
        path = folder / source_name(face)
        if not path.exists():
            write_image(path, face.photo.pixels)


def write_edited(faces: Sequence[Face], editor: Editor, folder: Path, strength: float) -> list[Row]:
    """All faces with every emotion at a strength, in ``folder``/edited_STRENGTH; a finished face is not made again."""
    place = folder / f"edited_{strength:g}"
    place.mkdir(exist_ok=True)
    targets = [Target(emotion, strength) for emotion in Emotion]
    rows: list[Row] = []
    for face in track(faces, f"editing, strength {strength:g}"):
        names = [f"{place.name}/{face.row}_{emotion.word}.png" for emotion in Emotion]
        if not all((folder / name).exists() for name in names):
            aligned = editor.align(face.photo, [face.landmarks])
            for name, edit in zip(names, editor.edit_faces(face.photo, aligned, targets), strict=True):
                write_image(folder / name, edit.photo.pixels)
        rows += [
            Row(f"sources/{source_name(face)}", name, emotion, strength, face.person)
            for name, emotion in zip(names, Emotion, strict=True)
        ]
    return rows


def unedited(rows: Iterable[Row]) -> list[Row]:
    """The baseline that does nothing: each edit is its source."""
    return [Row(row.source, row.source, row.target, row.strength, row.person) for row in rows]


def swapped(rows: Sequence[Row], others: Sequence[Face], folder: Path) -> list[Row]:
    """The baseline that puts in another person's photo with the wanted label; ``others`` must share no person."""
    of_label = {emotion: [face for face in others if face.label == emotion] for emotion in Emotion}
    found = []
    for i, row in enumerate(rows):
        known = of_label[row.target]
        other = known[i // len(Emotion) % len(known)]
        write_sources([other], folder / "others")
        found.append(Row(row.source, f"others/{source_name(other)}", row.target, row.strength, row.person))
    return found


def write_table(path: Path, rows: Iterable[Row]) -> None:
    """A CSV that ``emorph evaluate`` reads."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows((r.source, r.edited, r.target.word, f"{r.strength:g}", r.person) for r in rows)


def source_name(face: Face) -> str:
    """The file of a face."""
    return f"{face.row}.png"


def edit_sets(data: Path, folder: Path, editor: Editor, n: int, strong: float) -> list[Path]:
    """Write edited, strong, unedited and swapped as tables into ``folder``; what is there is kept."""
    faces = chosen_faces(read_faces(data, "val"), n)
    write_sources(faces, folder / "sources")
    rows = write_edited(faces, editor, folder, 1.0)
    others = read_faces(data, "train")
    tables = {"edited": rows, "unedited": unedited(rows), "swapped": swapped(rows, others, folder)}
    for name, content in tables.items():
        write_table(folder / f"{name}.csv", content)
    write_table(folder / "strong.csv", write_edited(faces, editor, folder, strong))
    return [folder / f"{name}.csv" for name in (*tables, "strong")]
