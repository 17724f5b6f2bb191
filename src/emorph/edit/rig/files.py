"""A RigEditor on files: parts of one photo's face on others, or action units, for photos and folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emorph.core.errors import ConfigError
from emorph.core.expressions import Emotion
from emorph.core.files import names_apart
from emorph.core.images import read_photo, write_image, write_photo
from emorph.core.records import RECORDS_FILE, UNIT_RECORDS_FILE
from emorph.core.target import checked_strengths, short_word
from emorph.core.types import OnStep, Photo, Target, UInt8
from emorph.edit.batch import Batch, FileEdit, FileReport, Watch, unbroken
from emorph.edit.elsewhere import Elsewhere, Helpers, RecipeMaker
from emorph.edit.jobs import Recipe, change_files
from emorph.edit.metadata import TOOL, Maker, described
from emorph.edit.paths import (
    SourcePhotos,
    check_writable,
    output_names,
    photo_files,
    result_paths,
)
from emorph.edit.replaced import Earlier
from emorph.edit.result import Edit
from emorph.edit.rig.editor import RigEditor
from emorph.edit.rig.parts import Look, Part, RigFace, check_parts, mean_shape
from emorph.face3d.action_units import emotion_units, named_units
from emorph.faces.detect import MIN_FACE_PX


def express_files(
    editor: RigEditor,
    photos: Iterable[str | Path],
    out: str | Path,
    goal: Emotion | Mapping[str, float],
    strengths: Sequence[float] = (1.0,),
    *,
    face: str | int = "largest",
    min_face_px: int = MIN_FACE_PX,
    frame: int | None = None,
    strip_location: bool = False,
    again: bool = False,
    watch: Watch | None = None,
    helpers: Helpers[RigEditor] | None = None,
) -> FileReport:
    """Set action units in photos and folders of photos; one that fails does not end the others.

    goal: an emotion, as the units that show it; or units and their values 0..1, as for ``named_units``; among these
    may be words of emotions with their weights, whose steps are added.
    out, strengths, frame, strip_location, again, helpers: as for ``emorph.edit.files.edit_files``.
    Raises ConfigError for units that the rig's face does not have, and for what no photo can be done with.
    """
    strengths = checked_strengths(strengths)
    make = RecipeMaker[RigEditor](unit_recipe, goal, tuple(strengths), face, min_face_px, frame, strip_location)
    return change_files(make(editor), photos, out, again=again, watch=watch, elsewhere=Elsewhere.of(helpers, make))


def unit_recipe(
    editor: RigEditor,
    goal: Emotion | Mapping[str, float],
    strengths: Sequence[float],
    *,
    face: str | int = "largest",
    min_face_px: int = MIN_FACE_PX,
) -> Recipe:
    """An emotion as action units, action units, or a blend of both, in one strength or several."""
    mixed = _Mixed.of(editor, goal)
    told = {"action_units": mixed.units} if mixed.units else {}

    def draw(photo: Photo, on_step: OnStep | None) -> Sequence[Edit[Look]]:
        faces = editor.sources(photo, face, min_face_px=min_face_px)
        return editor.express(faces, mixed.steps(editor), strengths, on_step=on_step)

    def metadata(of: Sequence[float]) -> dict[str, str]:
        made = facts(editor, ("expression",), seed=None, **mixed.said)
        return rig_metadata({**made, "strength": of[0] if len(of) == 1 else list(of)})

    return Recipe(
        draw,
        Maker(editor.model_id, editor.solver_name, editor.steps, losses=editor.losses),
        mixed.asked.file_word,
        mixed.word,
        tuple(strengths),
        tuple(f"{strength:g}" for strength in strengths),
        str(face),
        min_face_px,
        metadata,
        UNIT_RECORDS_FILE if mixed.units else RECORDS_FILE,
        told,
        editor.detector,
        editor.min_score,
    )


@dataclass(frozen=True)
class _Mixed:
    """What a rig is asked for, with the units among it by the rig's own names."""

    asked: Target
    units: Mapping[str, float]

    @classmethod
    def of(cls, editor: RigEditor, goal: Emotion | Mapping[str, float]) -> _Mixed:
        """Raises ConfigError for units that the rig's face does not have, and weights that are none."""
        if isinstance(goal, Emotion):
            return cls(Target(goal), {})
        emotions = {name: weight for name, weight in goal.items() if Emotion.known(name) is not None}
        units = {name: value for name, value in goal.items() if name not in emotions}
        return cls(Target(emotions or None, units=tuple(units.items())), named_units(editor.face_model, units))

    @property
    def word(self) -> str:
        """As records call it; units alone by the rig's own names."""
        own = ",".join(f"{name}={value:g}" for name, value in sorted(self.units.items()))
        return self.asked.word if self.asked.weights else own

    @property
    def said(self) -> dict[str, Any]:
        """As files say of themselves."""
        made: dict[str, Any] = {"action_units": dict(self.units)} if self.units else {}
        if self.asked.emotion is not None:
            return {"emotion": self.asked.emotion.word, **made}
        blend = {emotion.word: weight for emotion, weight in self.asked.blend}
        return {"blend": blend, **made} if blend else made

    def steps(self, editor: RigEditor) -> list[tuple[Mapping[str, float], float]]:
        """Units with the weight of their step, as ``RigEditor.express`` takes them."""
        shown = [(emotion_units(editor.face_model, emotion), weight) for emotion, weight in self.asked.weights]
        return [*shown, (self.units, 1.0)] if self.units else [*shown]


def transfer_files(
    editor: RigEditor,
    photos: Iterable[str | Path],
    target: str | Path,
    out: str | Path,
    parts: Iterable[str] = ("expression",),
    *,
    album: bool = False,
    face: str | int = "largest",
    target_face: str | int = "largest",
    target_neutral: str | Path | None = None,
    min_face_px: int = MIN_FACE_PX,
    frame: int | None = None,
    strip_location: bool = False,
    seed: int | None = None,
    watch: Watch | None = None,
) -> FileReport:
    """Write each photo with parts of the target's face; one that fails does not end the others.

    parts, target_neutral, album, seed: as for ``RigEditor.transfer``. out: a folder, or a picture's name for one photo.
    frame: of the photos, not of the target. strip_location: as for ``emorph.edit.files.edit_files``.
    Raises UnknownNameError, ConfigError, and ImageError or NoFaceError for the target.
    """
    chosen = check_parts(parts)
    jobs = plan_transfer(photos, target, out, chosen, target_neutral)
    neutral: RigFace | None = None
    if target_neutral is None:
        giver = editor.target(target, target_face, min_face_px=min_face_px)
    else:
        giver, neutral = editor.target_and_neutral(target, target_neutral, target_face, min_face_px=min_face_px)
    batch, edits, names, earlier = Batch(watch), [], names_apart(jobs), Earlier(jobs.values())

    def faces_of(source: Path) -> list[RigFace]:
        return editor.sources(read_photo(source, frame=frame), face, min_face_px=min_face_px)

    read: dict[Path, list[RigFace]] = {}
    if album:
        batch.watch.start(len(jobs))
        for source in jobs:
            with batch.item(names[source]):
                read[source] = faces_of(source)
        jobs = {source: path for source, path in jobs.items() if source in read}
    shape = mean_shape([faces[0] for faces in read.values()]) if read else None
    named = {} if neutral is None else {"target_neutral": neutral.photo.name}
    made = facts(editor, chosen, seed=seed, target=giver.photo.name, **named)
    batch.watch.start(len(jobs))
    for source, path in jobs.items():
        with batch.item(names[source]):
            faces = read.get(source) or faces_of(source)
            edit = editor.apply(faces, giver, chosen, neutral=neutral, shape=shape, seed=seed, on_step=batch.watch.step)
            with unbroken():
                metadata = rig_metadata(made)
                said = write_photo(path, edit.photo, metadata=metadata, strip_location=strip_location)
                remark = " ".join(filter(None, (_remark(names[source], edit), earlier.said([path]))))
                done = FileEdit(
                    source,
                    (path,),
                    edit.seconds,
                    edit.n_faces,
                    (),
                    made,
                    remark,
                    kept=said.kept,
                    lost=said.lost,
                    n_edited=len(edit.faces),
                    score=edit.score,
                )
                edits.append(done)
                batch.watch.written(done)
    return FileReport(tuple(edits), tuple(batch.failures))


def plan_transfer(
    photos: Iterable[str | Path],
    target: str | Path,
    out: str | Path,
    parts: Sequence[Part],
    target_neutral: str | Path | None = None,
) -> dict[Path, Path]:
    """A file for each photo, none of which is a photo that is given, checked before anything is loaded.

    It is named after what is taken over, and whose: that of another target, or neutral, does not take its place.
    Raises ConfigError, also for a neutral photo where the expression is not taken over, and ImageError.
    """
    if target_neutral is not None and "expression" not in parts:
        raise ConfigError("a neutral photo of the target tells its expression: it needs --part expression.")
    given = [Path(target), *([Path(target_neutral)] if target_neutral is not None else [])]
    sources, out = photo_files(photos), Path(out)
    taken = short_word("_".join(["-".join(parts), *(path.stem for path in given)]))
    paths = result_paths(out, [f"{name}_{taken}" for name in output_names(sources)])
    SourcePhotos([*sources, *given]).refuse(paths)
    check_writable(out)
    return dict(zip(sources, paths, strict=True))


def facts(editor: RigEditor, parts: Sequence[Part], *, seed: int | None, **more: Any) -> dict[str, Any]:
    """How an edited file was made. more: what is particular to this edit."""
    return {
        "tool": TOOL,
        "model": editor.model_id,
        "parts": list(parts),
        **more,
        "encoders": [editor.source_reader.name, editor.target_reader.name],
        "solver": editor.solver_name,
        "steps": editor.steps,
        "seed": seed,
    }


def rig_metadata(made: Mapping[str, Any]) -> dict[str, str]:
    """The metadata of a picture that was made so, as ``facts`` tells.

    >>> rig_metadata({"parts": ["expression", "light"]})["Description"]
    'In this picture, the expression and light of a face were edited by a machine.'
    """
    words = ["looks" if part == "code" else part for part in made["parts"]]
    listing = " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)
    were = "was" if words in (["expression"], ["pose"], ["light"]) else "were"
    description = f"In this picture, the {listing} of a face {were} edited by a machine."
    return described(description, {"edited": True, **made})


def write_edit(path: Path, pixels: UInt8, made: Mapping[str, Any]) -> None:
    """Write a picture that says how it was made, as ``facts`` tells. Raises ImageError."""
    write_image(path, pixels, metadata=rig_metadata(made))


def _remark(name: str, edit: Edit[Look]) -> str:
    turned_deg, asked_deg = edit.target.turned_deg, edit.target.asked_deg
    if asked_deg - turned_deg <= 1:
        return ""
    return (
        f"{name}: the head is turned by {turned_deg:.0f} of {asked_deg:.0f} degrees; beyond that, the photo "
        "shows nothing that could be moved."
    )
