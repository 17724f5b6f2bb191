"""``emorph edit``: one emotion, or valence and arousal, for photos and folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emorph.cli.change import change_photos, plans_for
from emorph.cli.options import (
    Device,
    DirectionsOption,
    Face,
    Json,
    MinFace,
    Photos,
    Solver,
    Steps,
    gather,
    load_editor,
    parse_strengths,
    refuse_options,
)
from emorph.core.errors import ConfigError
from emorph.core.expressions import Emotion
from emorph.core.pretrained import CONFIG_FILE, locate
from emorph.core.types import Target

if TYPE_CHECKING:
    from emorph.edit.files import Change, EmotionChange
    from emorph.edit.rig.files import UnitChange


def edit(
    photos: Photos,
    to: Annotated[
        str | None, typer.Option(help="neutral, happy, sad, surprise, fear, disgust, anger or contempt.")
    ] = None,
    strength: Annotated[str, typer.Option(help="0 is unchanged, 1 the usual dose; 0:1.5:0.25 gives a strip.")] = "1",
    valence: Annotated[
        float | None, typer.Option(help="In place of --to: from -1, displeased, to 1, pleased. Alone, arousal stays.")
    ] = None,
    arousal: Annotated[
        float | None, typer.Option(help="In place of --to: from -1, calm, to 1, excited. Alone, valence stays.")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="A folder; or a picture's name, for one photo.")] = Path(
        "edited"
    ),
    face: Face = "largest",
    min_face: MinFace = 40,
    model: Annotated[
        str | None,
        typer.Option(
            help="A bundled model, a folder, a hub id, or an official checkpoint.",
            show_default="emorph-base; with --au, emorph-rig",
        ),
    ] = None,
    directions: DirectionsOption = None,
    steps: Steps = None,
    solver: Solver = "dpm",
    device: Device = "auto",
    au: Annotated[
        str | None, typer.Option(help="Action units for a rig: mouthSmile_L=0.8,jawOpen=0.3, or of FACS: AU12=0.8.")
    ] = None,
    face_model: Annotated[
        Path | None, typer.Option(help="A rig's ict_face.npz, if it is not in the usual place.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Do photos anew that were edited so before.")] = False,
    as_json: Json = False,
) -> None:
    """Edit the expression in photos; the rest of each photo stays as it is, at its own size.

    In a folder, what an earlier run finished is not done twice: after a stop the same command goes on.
    """
    from emorph.edit.pipeline import DEFAULT_MODEL
    from emorph.edit.rig.editor import DEFAULT_RIG
    from emorph.models.port import is_rig

    strengths = tuple(parse_strengths(strength))
    name = model or (DEFAULT_MODEL if au is None else DEFAULT_RIG)
    by_rig = is_rig(name)
    if au is not None and not by_rig and (locate(name) / CONFIG_FILE).is_file():  # an official file may be a rig
        raise ConfigError(
            f"--au needs a rig, which {name} is not; leave --model out, or name a rig: --model emorph-rig."
        )
    loading = Loading(name, device, steps, solver, face, min_face)
    if by_rig or au is not None:
        refuse_options(
            "a rig, which is told emotions with --to or action units with --au",
            {"--valence": valence, "--arousal": arousal, "--directions": directions},
        )
        goal = _rig_goal(to, au)
        plans = plans_for(gather(photos), out, goal.word if isinstance(goal, Emotion) else "au", strengths)
        change: Change = _rig_change(loading, goal, strengths, face_model)
    else:
        refuse_options(f"{name}, which is no rig", {"--face-model": face_model})
        targets = _targets(to, valence, arousal, strengths)
        plans = plans_for(gather(photos), out, targets[0].word, strengths)
        change = _emotion_change(loading, targets, directions)
    change_photos(change, plans, out, again=again, as_json=as_json)


@dataclass(frozen=True)
class Loading:
    """The options that editors of both kinds take."""

    model: str
    device: str
    steps: int | None
    solver: str
    face: str
    min_face_px: int


def _targets(
    to: str | None, valence: float | None, arousal: float | None, strengths: tuple[float, ...]
) -> tuple[Target, ...]:
    if to is None and valence is None and arousal is None:
        raise ConfigError(
            "say what the faces shall show: --to happy, --valence 0.5 --arousal -0.2, or with a rig --au AU12=0.8."
        )
    emotion = None if to is None else Emotion.parse(to)
    return tuple(Target(emotion, strength, valence, arousal) for strength in strengths)


def _rig_goal(to: str | None, au: str | None) -> Emotion | dict[str, float]:
    """The emotion, or action units as they were written."""
    from emorph.edit.rig.action_units import parse_units

    if to is not None and au is None:
        return Emotion.parse(to)
    if au is not None and to is None:
        return parse_units(au)
    raise ConfigError("name either an emotion with --to or action units with --au, not both.")


def _emotion_change(loading: Loading, targets: tuple[Target, ...], directions: Path | None) -> EmotionChange:
    from emorph.edit.files import EmotionChange

    editor = load_editor(loading.model, directions, loading.device, loading.steps, loading.solver)
    return EmotionChange(editor, targets, loading.face, loading.min_face_px)


def _rig_change(
    loading: Loading, goal: Emotion | dict[str, float], strengths: tuple[float, ...], face_model: Path | None
) -> UnitChange:
    from emorph.edit.rig.action_units import emotion_units, named_units
    from emorph.edit.rig.editor import DEFAULT_STEPS, RigEditor
    from emorph.edit.rig.files import EmotionUnitChange, UnitChange

    editor = RigEditor.from_pretrained(
        loading.model,
        face_model=face_model,
        device=loading.device,
        steps=loading.steps or DEFAULT_STEPS,
        solver_name=loading.solver,
    )
    faces = (loading.face, loading.min_face_px)
    if isinstance(goal, Emotion):
        return EmotionUnitChange(editor, emotion_units(editor.face_model, goal), strengths, *faces, emotion=goal)
    return UnitChange(editor, named_units(editor.face_model, goal), strengths, *faces)
