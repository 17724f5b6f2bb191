"""Writing edited photos: every file says in its metadata that it was edited, how, and by what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

import emorph
from emorph.core.errors import ImageError
from emorph.core.images import to_pixels, write_image
from emorph.core.records import EditRecord
from emorph.core.types import AlignedFace, OnStep, Photo, Target, UInt8
from emorph.edit.pipeline import Editor
from emorph.edit.sheet import Row, grid, tile, title
from emorph.models.directions import Directions

RECORDS_FILE = "edits.jsonl"
TOOL = f"emorph {emorph.__version__}"


@dataclass(frozen=True)
class Drawn:
    """What one photo became: a picture for each strength, in ``seconds`` altogether.

    face: the first of those that were changed. n_faces: how many the photo has, changed or not.
    """

    source: Photo
    face: AlignedFace
    n_faces: int
    results: tuple[Photo, ...]
    seconds: float


class Change(Protocol):
    """A change of the expression in one or several strengths, by whichever model."""

    records_file: ClassVar[str]

    @property
    def strengths(self) -> tuple[float, ...]:
        """How strong, each once."""

    @property
    def face(self) -> str:
        """Which faces of a photo, as in ``select_faces``."""

    @property
    def titles(self) -> tuple[str, ...]:
        """How a strip of all strengths calls each."""

    def draw(self, source: Path, on_step: OnStep | None = None) -> Drawn:
        """Change one photo. Raises ImageError, NoFaceError."""

    def record(self, source: Path, edited: Path, strength: float, seconds: float) -> EditRecord:
        """All that the result in ``edited`` depends on."""

    def metadata(self, strengths: Sequence[float]) -> dict[str, str]:
        """What a file with these strengths says of itself."""

    def as_json(self, record: EditRecord) -> dict[str, Any]:
        """What a machine is told of a result."""


@dataclass(frozen=True)
class EmotionChange:
    """One emotion, or valence and arousal, by a diffusion autoencoder. targets: these in each strength.

    face, min_face_px: as in ``Editor.edit_many``.
    """

    editor: Editor
    targets: tuple[Target, ...]
    face: str = "largest"
    min_face_px: int = 40
    records_file: ClassVar[str] = RECORDS_FILE

    @property
    def strengths(self) -> tuple[float, ...]:
        """How strong, each once."""
        return tuple(target.strength for target in self.targets)

    @property
    def titles(self) -> tuple[str, ...]:
        """As on a sheet."""
        return tuple(map(title, self.targets))

    def draw(self, source: Path, on_step: OnStep | None = None) -> Drawn:
        """Change one photo. Raises ImageError, NoFaceError, MissingAssetError."""
        edits = self.editor.edit_many(
            source, self.targets, face=self.face, min_face_px=self.min_face_px, on_step=on_step
        )
        first = edits[0]
        return Drawn(first.source, first.face, first.n_faces, tuple(edit.photo for edit in edits), first.seconds)

    def record(self, source: Path, edited: Path, strength: float, seconds: float) -> EditRecord:
        """The line of edits.jsonl."""
        return EditRecord(
            id=edited.name,
            source=str(source),
            edited=str(edited),
            target=self.targets[0].word,
            strength=strength,
            editor=TOOL,
            model_id=self.editor.model_id,
            solver=self.editor.solver_name,
            steps=self.editor.steps,
            seconds=round(seconds, 3),
            face=self.face,
            min_face_px=self.min_face_px,
            directions=self._directions,
        )

    @cached_property
    def _directions(self) -> str:
        return _digest(self.editor.directions)

    def metadata(self, strengths: Sequence[float]) -> dict[str, str]:
        """What a file with these strengths says of itself."""
        return metadata(self.editor, [replace(self.targets[0], strength=strength) for strength in strengths])

    def as_json(self, record: EditRecord) -> dict[str, Any]:
        """The record."""
        return asdict(record)


@dataclass(frozen=True)
class Plan:
    """Where what one photo becomes is to be written: a file for each strength, and a strip of all if there are more."""

    source: Path
    files: tuple[Path, ...]
    strip: Path | None

    @classmethod
    def named(cls, source: Path, path: Path, strengths: Sequence[float]) -> Plan:
        """One strength is ``path``, say a.png; several are a_0.25.png and so on, and a_strip.png."""
        if len(strengths) == 1:
            return cls(source, (path,), None)
        files = [path.with_stem(f"{path.stem}_{strength:g}") for strength in strengths]
        return cls(source, tuple(files), path.with_stem(f"{path.stem}_strip"))

    @property
    def all_files(self) -> tuple[Path, ...]:
        """Every file of the plan; the last is the one to look at."""
        return (*self.files, self.strip) if self.strip else self.files

    def finished(self, change: Change, known: Mapping[str, EditRecord]) -> list[EditRecord]:
        """The records of an earlier run that did the same; none if any file is missing or was made otherwise.

        known: by ``id``. A photo that is newer than a result was changed since, and is not finished either.
        """
        found = [known.get(path.name) for path in self.files]
        wanted = [
            change.record(self.source, path, dose, 0.0) for path, dose in zip(self.files, change.strengths, strict=True)
        ]
        same = [record for record in found if record is not None and replace(record, seconds=0.0) in wanted]
        return same if len(same) == len(wanted) and self._is_up_to_date() else []

    def _is_up_to_date(self) -> bool:
        try:
            read_s = self.source.stat().st_mtime
            return all(path.stat().st_mtime >= read_s for path in self.all_files)
        except OSError:
            return False


def write_drawn(drawn: Drawn, plan: Plan, change: Change) -> list[EditRecord]:
    """Write what a photo became; a record for each strength. Raises ImageError."""
    records = []
    for photo, path, strength in zip(drawn.results, plan.files, change.strengths, strict=True):
        write_image(path, photo.pixels, metadata=change.metadata([strength]), icc=photo.icc)
        records.append(change.record(plan.source, path, strength, drawn.seconds))
    if plan.strip:
        tiles = tuple(tile(photo, drawn.face) for photo in (drawn.source, *drawn.results))
        strip: UInt8 = np.asarray(grid([Row(tiles, ("Original", *change.titles))]))
        write_image(plan.strip, strip, metadata=change.metadata(change.strengths))
    return records


def write_sheet(path: Path, rows: Sequence[Row], targets: Sequence[Target], editor: Editor) -> None:
    """Write a sheet of several photos, a row each. Raises ImageError."""
    sheet: UInt8 = np.asarray(grid(rows))
    write_image(path, sheet, metadata=metadata(editor, targets))


def draw_samples(editor: Editor, seeds: Sequence[int], latent_steps: int, on_step: OnStep | None = None) -> list[UInt8]:
    """The face of each seed, drawn from nothing at once. Raises MissingAssetError without a latent net."""
    return list(to_pixels(editor.sample(seeds, latent_steps=latent_steps, on_step=on_step)))


def write_sample(path: Path, pixels: UInt8, editor: Editor, seed: int, latent_steps: int) -> None:
    """Write the face of a seed. Raises ImageError."""
    made = {"drawn": True, "seed": seed, "latent_steps": latent_steps, **_maker(editor)}
    description = "This face was drawn by a machine; the person never was."
    write_image(path, pixels, metadata=described(description, made))


def metadata(editor: Editor, targets: Sequence[Target]) -> dict[str, str]:
    """What an edited file says of itself."""
    made = {
        "edited": True,
        "targets": [_said(target) for target in targets],
        **_maker(editor),
    }
    return described("The facial expression in this picture was edited by a machine.", made)


def described(description: str, made: Mapping[str, object]) -> dict[str, str]:
    """Metadata: a sentence for people, and how the picture was made for machines."""
    return {"Software": TOOL, "Description": description, "emorph": json.dumps(made)}


def _maker(editor: Editor) -> dict[str, object]:
    return {
        "tool": TOOL,
        "model": editor.model_id,
        "solver": editor.solver_name,
        "steps": editor.steps,
    }


def _said(target: Target) -> dict[str, object]:
    if target.emotion is not None:
        return {"emotion": target.emotion.word, "strength": target.strength}
    asked = {"valence": target.valence, "arousal": target.arousal, "strength": target.strength}
    return {name: value for name, value in asked.items() if value is not None}


def _digest(directions: Directions | None) -> str:
    """Eight hexadecimal digits that tell directions apart; "" for none."""
    if directions is None:
        return ""
    digest = hashlib.sha256(repr((directions.labels, directions.gains)).encode())
    for name, tensor in sorted(directions.tensors().items()):
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:8]


class Sources:
    """The files that no result may take the place of, by whatever name."""

    def __init__(self, photos: Iterable[Path]) -> None:
        self._known = {_file_id(photo) for photo in photos} - {None}

    def refuse(self, paths: Iterable[Path]) -> None:
        """Raises ImageError if one of ``paths`` is one of the files."""
        for path in paths:
            if _file_id(path) in self._known:
                raise ImageError(f"{path} is a source photo itself; choose another output name.")


def refuse_overwriting(paths: Iterable[Path], never: Iterable[Path]) -> None:
    """Raises ImageError if a file of ``paths`` is one of ``never``, by whatever name."""
    Sources(never).refuse(paths)


def _file_id(path: Path) -> tuple[int, int] | None:
    """What tells files apart; None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino
