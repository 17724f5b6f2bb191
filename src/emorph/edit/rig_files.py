"""Writing what a rig drew: every file says in its metadata that it was edited, how, and by what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from emorph.core.expressions import Emotion
from emorph.core.images import write_image
from emorph.core.records import EditRecord
from emorph.core.types import OnStep, UInt8
from emorph.edit.files import RECORDS_FILE, TOOL, Drawn, described
from emorph.edit.rig import RigEditor
from emorph.edit.rig_parts import Part

UNIT_RECORDS_FILE = "action_units.jsonl"  # beside edits.jsonl, whose targets are emotions that can be judged


@dataclass(frozen=True)
class UnitChange:
    """Action units set by a rig, in some strengths. units: by the face model's names.

    face, min_face_px: as in ``RigEditor.sources``.
    """

    editor: RigEditor
    units: Mapping[str, float]
    strengths: tuple[float, ...]
    face: str = "largest"
    min_face_px: int = 40
    records_file: ClassVar[str] = UNIT_RECORDS_FILE

    @property
    def titles(self) -> tuple[str, ...]:
        """The strengths."""
        return tuple(f"{strength:g}" for strength in self.strengths)

    @property
    def target(self) -> str:
        """How records call it."""
        return ",".join(f"{name}={value:g}" for name, value in sorted(self.units.items()))

    @property
    def goal(self) -> dict[str, Any]:
        """How metadata calls it."""
        return {"action_units": dict(self.units)}

    def draw(self, source: Path, on_step: OnStep | None = None) -> Drawn:
        """Change one photo. Raises ImageError, NoFaceError."""
        faces = self.editor.sources(source, self.face, min_face_px=self.min_face_px)
        edits = self.editor.express(faces, self.units, self.strengths, on_step=on_step)
        first, results = faces[0], tuple(edit.photo for edit in edits)
        return Drawn(first.photo, first.aligned, first.n_faces, results, edits[0].seconds)

    def record(self, source: Path, edited: Path, strength: float, seconds: float) -> EditRecord:
        """The line of the records' file."""
        return EditRecord(
            id=edited.name,
            source=str(source),
            edited=str(edited),
            target=self.target,
            strength=strength,
            editor=TOOL,
            model_id=self.editor.model_id,
            solver=self.editor.solver_name,
            steps=self.editor.steps,
            seconds=round(seconds, 3),
            face=self.face,
            min_face_px=self.min_face_px,
        )

    def metadata(self, strengths: Sequence[float]) -> dict[str, str]:
        """What a file with these strengths says of itself."""
        made = how(self.editor, ("expression",), seed=None, **self.goal)
        return metadata({**made, "strength": strengths[0] if len(strengths) == 1 else list(strengths)})

    def as_json(self, record: EditRecord) -> dict[str, Any]:
        """The result and the units."""
        named = {"source": record.source, "edited": record.edited, "strength": record.strength}
        return {**named, "action_units": dict(self.units)}


@dataclass(frozen=True, kw_only=True)
class EmotionUnitChange(UnitChange):
    """An emotion as the action units that show it."""

    emotion: Emotion
    records_file: ClassVar[str] = RECORDS_FILE

    @property
    def target(self) -> str:
        """The emotion's word."""
        return self.emotion.word

    @property
    def goal(self) -> dict[str, Any]:
        """The emotion's word."""
        return {"emotion": self.emotion.word}

    def as_json(self, record: EditRecord) -> dict[str, Any]:
        """The record."""
        return asdict(record)


def how(editor: RigEditor, parts: Sequence[Part], *, seed: int | None, **more: Any) -> dict[str, Any]:
    """What an edited file says of itself. more: what is particular to this edit."""
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


def metadata(made: Mapping[str, Any]) -> dict[str, str]:
    """The metadata of a picture that was made so, see ``how``."""
    description = f"In this picture, {_listing(made['parts'])} of a face were edited by a machine."
    return described(description, {"edited": True, **made})


def write_edit(path: Path, pixels: UInt8, made: Mapping[str, Any], *, icc: bytes | None = None) -> None:
    """Write a picture that says how it was made, see ``how``. icc: as in ``write_image``. Raises ImageError."""
    write_image(path, pixels, metadata=metadata(made), icc=icc)


def _listing(parts: Sequence[str]) -> str:
    words = ["looks" if part == "code" else part for part in parts]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
