"""An Editor on files: photos and folders to edited photos, a sheet, or new faces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from emorph.core.files import names_apart
from emorph.core.images import read_photo, to_pixels, write_image
from emorph.core.records import RECORDS_FILE, UNIT_RECORDS_FILE
from emorph.core.target import checked_strengths, short_word, strength_word
from emorph.core.types import Expression, OnStep, Photo, Target
from emorph.edit import codec
from emorph.edit.batch import Batch, FileEdit, FileReport, Watch, unbroken
from emorph.edit.elsewhere import Elsewhere, Helpers, RecipeMaker
from emorph.edit.jobs import Recipe, change_files
from emorph.edit.latent import directions_digest
from emorph.edit.metadata import Maker, expression_metadata, sample_metadata
from emorph.edit.paths import (
    SourcePhotos,
    check_writable,
    photo_files,
    result_paths,
)
from emorph.edit.pipeline import Editor
from emorph.edit.replaced import Earlier
from emorph.edit.result import Edit
from emorph.edit.sheet import Row, grid, rows_of, title
from emorph.faces.detect import MIN_FACE_PX
from emorph.faces.turned import taken_share


def edit_files(
    editor: Editor,
    photos: Iterable[str | Path],
    out: str | Path,
    to: Expression | None = None,
    strengths: Sequence[float] = (1.0,),
    *,
    valence: float | None = None,
    arousal: float | None = None,
    units: Mapping[str, float] | None = None,
    face: str | int = "largest",
    min_face_px: int = MIN_FACE_PX,
    frame: int | None = None,
    strip_location: bool = False,
    again: bool = False,
    watch: Watch | None = None,
    helpers: Helpers[Editor] | None = None,
) -> FileReport:
    """Edit photos and folders of photos; one that fails does not end the others.

    out: a folder, where each result is NAME_happy.png (NAME_happy_0.5.png at strength 0.5) and edits.jsonl lists
    all; or a picture's name, for one photo.
    Several strengths give a picture each and a strip of all. What an earlier run finished is not done twice unless
    ``again``. to, valence, arousal, units, face: as for ``Editor.edit``. frame: of photos that have several, from 1.
    strip_location: leave out where a photo was taken; all else that its file holds is kept where it can be.
    helpers: other processes that edit in place of this one, with an equal editor each.
    Raises UnknownNameError, ConfigError, ImageError for what no photo can be done with.
    """
    goal, strengths = Target.asked(to, valence, arousal, units), checked_strengths(strengths)
    make = RecipeMaker[Editor](emotion_recipe, goal, tuple(strengths), face, min_face_px, frame, strip_location)
    return change_files(make(editor), photos, out, again=again, watch=watch, elsewhere=Elsewhere.of(helpers, make))


def emotion_recipe(
    editor: Editor,
    goal: Target,
    strengths: Sequence[float],
    *,
    face: str | int = "largest",
    min_face_px: int = MIN_FACE_PX,
) -> Recipe:
    """A target, in one strength or several."""
    targets = [replace(goal, strength=strength) for strength in strengths]
    editor.check_targets(targets)
    maker = made_by(editor)

    def draw(photo: Photo, on_step: OnStep | None) -> Sequence[Edit[Target]]:
        return editor.edit_many(photo, targets, face=face, min_face_px=min_face_px, on_step=on_step)

    def metadata(of: Sequence[float]) -> dict[str, str]:
        return expression_metadata(maker, [replace(goal, strength=strength) for strength in of])

    titles = tuple(map(title, targets))
    records = UNIT_RECORDS_FILE if goal.units else RECORDS_FILE
    return Recipe(
        draw, maker, goal.file_word, goal.word, tuple(strengths), titles, str(face), min_face_px, metadata, records,
        {"action_units": dict(goal.units)} if goal.units else {},
        editor.detector, editor.min_score, remark=partial(held_back_remark, editor),
    )  # fmt: skip


def sheet_file(
    editor: Editor,
    photos: Iterable[str | Path],
    out: str | Path,
    strength: float = 1.0,
    *,
    to: Sequence[Expression] = (),
    face: str | int = "largest",
    min_face_px: int = MIN_FACE_PX,
    frame: int | None = None,
    watch: Watch | None = None,
) -> FileReport:
    """Write one sheet: a row for each photo, original and the eight emotions, or what ``to`` lists instead.

    out: as for ``plan_sheet``. to: emotions, their words, or blends, as for ``Editor.edit``. face: all: a row each.
    Nothing is written if no photo could be done. Ctrl-C writes the rows that are done and says so in what it raises.
    Raises as ``plan_sheet``, and MissingAssetError if the editor knows no emotions.
    """
    sources, path = plan_sheet(photos, out, strength, to)
    targets = editor.sheet_targets(strength, to)
    rows: list[Row] = []
    edits: list[FileEdit] = []
    batch = Batch(watch)
    batch.watch.start(len(sources))
    try:
        for source, name in names_apart(sources).items():
            with batch.item(name):
                photo = read_photo(source, frame=frame)
                drawn = editor.edit_many(photo, targets, face=face, min_face_px=min_face_px, on_step=batch.watch.step)
                with unbroken():
                    rows += rows_of(drawn, name)
                    first = drawn[0]
                    edits.append(
                        FileEdit(
                            source,
                            (path,),
                            first.seconds,
                            first.n_faces,
                            remark=held_back_remark(editor, first),
                            n_edited=len(first.faces),
                            score=first.score,
                        )
                    )
                    batch.watch.written(edits[-1])
    except KeyboardInterrupt:
        remark = _write_sheet(path, rows, targets, editor)
        left = f"{path} has the {len(edits)} of {len(sources)} photos that were finished. {remark}".rstrip()
        raise KeyboardInterrupt(left if rows else "No photo was finished, so no sheet was written.") from None
    remark = _write_sheet(path, rows, targets, editor)
    return FileReport(tuple(edits), tuple(batch.failures), remark=remark)


def plan_sheet(
    photos: Iterable[str | Path], out: str | Path, strength: float = 1.0, to: Sequence[Expression] = ()
) -> tuple[list[Path], Path]:
    """The photos, and where their sheet is written: ``out`` itself if it names a picture, or a file in the folder.

    Its name tells strength, unless that is 1, and ``to``: sheet.png, sheet_0.5.png, sheet_happy_sad.png.
    Raises ConfigError or ImageError if it cannot be written, or would take the place of one of the photos.
    """
    sources, out = photo_files(photos), Path(out)
    words = "_".join(["sheet", *(Target.asked(each).file_word for each in to)])
    word = short_word(strength_word(words, [strength]))
    (path,) = result_paths(out, [f"{sources[0].stem}_{word}" if len(sources) == 1 else word])
    SourcePhotos(sources).refuse([path])
    check_writable(out)
    return sources, path


def _write_sheet(path: Path, rows: Sequence[Row], targets: Sequence[Target], editor: Editor) -> str:
    """Write the rows, if there are any. Returns a sentence on another file whose place the sheet took, or ""."""
    if not rows:
        return ""
    earlier, sheet = Earlier([path]), np.asarray(grid(rows))
    with unbroken():
        write_image(path, sheet, metadata=expression_metadata(made_by(editor), targets))
    return earlier.said([path])


def sample_files(
    editor: Editor, seeds: range, out: str | Path, *, latent_steps: int = 50, watch: Watch | None = None
) -> FileReport:
    """Draw a new face from each seed and write it: sample_000007.png in a folder, or the one picture ``out``.

    A face does not depend on the others that are drawn with it.
    Raises ConfigError where ``out`` cannot be written, MissingAssetError without a latent net.
    """
    out = Path(out)
    paths = dict(zip(seeds, plan_samples(seeds, out), strict=True))
    chunks = [range(first, min(first + codec.MAX_ROWS, seeds.stop)) for first in seeds[:: codec.MAX_ROWS]]
    maker, earlier, edits, batch = made_by(editor), Earlier(paths.values()), [], Batch(watch)
    batch.watch.start(len(chunks))
    for chunk in chunks:
        with batch.item(f"seed {chunk[0]}" if len(chunk) == 1 else f"seeds {chunk[0]} to {chunk[-1]}"):
            pictures = to_pixels(editor.sample(chunk, latent_steps=latent_steps, on_step=batch.watch.step))
            for seed, pixels in zip(chunk, pictures, strict=True):
                path = paths[seed]
                with unbroken():
                    write_image(path, pixels, metadata=sample_metadata(maker, seed, latent_steps))
                    remark = earlier.said([path])
                    edits.append(FileEdit(path, (path,), 0.0, 1, made={"seed": seed}, remark=remark))
                    batch.watch.written(edits[-1])
    return FileReport(tuple(edits), tuple(batch.failures))


def plan_samples(seeds: range, out: Path) -> list[Path]:
    """Where the face of each seed is written, checked before any work. Raises ConfigError."""
    paths = result_paths(out, [f"sample_{seed:06d}" for seed in seeds], "faces are asked for")
    check_writable(out)
    return paths


def held_back_remark(editor: Editor, edit: Edit[Any]) -> str:
    """A sentence on faces nearly in profile, which take a part of their edit only; "" without any."""
    n_held = sum(taken_share(face.crop_points()) < 1 for face in edit.faces) if editor.moves_faces else 0
    if not n_held:
        return ""
    if len(edit.faces) == 1:
        return f"{edit.source.name}: the face is turned far to the side: its edit is held back."
    are, their = ("is", "its edit is") if n_held == 1 else ("are", "their edits are")
    return f"{edit.source.name}: {n_held} of {len(edit.faces)} faces {are} turned far to the side: {their} held back."


def made_by(editor: Editor) -> Maker:
    """How files and records name this editor."""
    digest = directions_digest(editor.directions)
    return Maker(editor.model_id, editor.codec.way, editor.steps, digest, editor.losses)
