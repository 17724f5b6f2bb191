"""``emorph edit``: one emotion, valence and arousal, or action units, for photos and folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from emorph.cli.console import say
from emorph.cli.edit_options import (
    Again,
    Arousal,
    FaceModelFile,
    ModelName,
    Strength,
    To,
    Units,
    Valence,
    all_units,
    one_goal,
)
from emorph.cli.edit_photos import Loader, PhotoJob, asked_target, edit_by_code, edit_by_rig
from emorph.cli.film import DrawEveryOption, EasingOption, FilmOptions, PreviewOption, edit_films_of, films_among
from emorph.cli.options import (
    Anyway,
    Backend,
    ClusterOption,
    DetectorOption,
    Device,
    DirectionsOption,
    Face,
    Frame,
    Json,
    MinFace,
    MinScore,
    Out,
    Photos,
    Reuse,
    Solver,
    Steps,
    StripLocation,
    load_editor,
    load_rig_editor,
    parse_strengths,
    refuse_options,
    refuse_wishes_as_files,
)
from emorph.core.errors import ConfigError
from emorph.core.landmarks import MIN_FACE_PX, SURE_SCORE
from emorph.core.pretrained import CONFIG_FILE, locate
from emorph.core.types import Target


def edit(
    photos: Photos,
    to: To = None,
    strength: Strength = "1",
    valence: Valence = None,
    arousal: Arousal = None,
    out: Out = Path("edited"),
    face: Face = "largest",
    min_face: MinFace = MIN_FACE_PX,
    min_score: MinScore = SURE_SCORE,
    detector: DetectorOption = "auto",
    frame: Frame = None,
    strip_location: StripLocation = False,
    model: ModelName = None,
    directions: DirectionsOption = None,
    anyway: Anyway = False,
    steps: Steps = None,
    solver: Solver = "dpm",
    reuse: Reuse = 1,
    backend: Backend = "torch",
    device: Device = "auto",
    au: Units = None,
    face_model: FaceModelFile = None,
    again: Again = False,
    cluster: ClusterOption = None,
    easing: EasingOption = None,
    preview: PreviewOption = False,
    draw_every: DrawEveryOption = None,
    as_json: Json = False,
) -> None:
    """Change the expression in photos and films; everything else stays as it is, at its own size.

    So do its transparency, 16 bits a channel, EXIF, resolution and colour profile in a PNG. Anything other formats
    cannot store is reported.

    In a folder, finished photos are not done twice: after an interruption, run the same command again. A film goes on
    where it was stopped; its --strength and --to may be keyframes: 0@0s,1@2s and happy@0s,sad@3s.
    """
    goal, units = one_goal(to), all_units(au)
    refuse_wishes_as_files(photos, "or edit once for each; emorph sheet shows several side by side")
    films = films_among(photos, out, frame)
    name, by_rig = _chosen_model(goal, units, model, directions, face_model, films=bool(films))
    editor = Loader(
        load_editor, (name, directions, device, steps, solver, detector, min_score),
        (("anyway", anyway), ("reuse", reuse), ("backend", backend)),
    )  # fmt: skip
    if films:
        refuse_options("films", {"--frame": frame, "--strip-location": strip_location or None, "--cluster": cluster})
        asked = FilmOptions(goal, strength, valence, arousal, units, easing, face, min_face, preview, draw_every)
        edit_films_of(films, out, asked, again=again, as_json=as_json, load=editor)
        return
    refuse_options("photos", {"--easing": easing, "--preview": preview or None, "--draw-every": draw_every})
    taken = {"face": face, "min_face_px": min_face, "frame": frame, "strip_location": strip_location, "again": again}
    job = PhotoJob(photos, out, parse_strengths(strength), as_json, cluster, taken)
    if not by_rig:
        refuse_options(f"{name}, which is not a rig", {"--face-model": face_model})
        edit_by_code(job, asked_target(goal, valence, arousal, units), editor)
        return
    refuse_options(
        "a rig, which takes emotions (--to) or action units (--au)",
        {
            "--valence": valence, "--arousal": arousal, "--directions": directions, "--anyway": anyway or None,
            "--reuse": reuse if reuse > 1 else None, "--backend": backend if backend != "torch" else None,
        },
    )  # fmt: skip
    rig = Loader(load_rig_editor, (name, face_model, device, steps, solver, None, None, detector, min_score))
    edit_by_rig(job, asked_target(goal, None, None, units), rig)


def _chosen_model(
    goal: str | None,
    units: Mapping[str, float] | None,
    model: str | None,
    directions: Path | None,
    face_model: Path | None,
    *,
    films: bool,
) -> tuple[str, bool]:
    """The model that edits, and whether it is a rig. Raises ConfigError for films by a rig."""
    from emorph.edit.pipeline import DEFAULT_MODEL
    from emorph.models.port import is_rig

    asked_units = {} if films else {**(units or {}), **dict(Target.asked(goal).units if goal is not None else ())}
    name = model or (DEFAULT_MODEL if directions else _usual_model(asked_units, face_model))
    is_folder = (locate(name) / CONFIG_FILE).is_file()  # an official file may be a rig
    by_rig = is_rig(name) or (bool(asked_units) and not is_folder)
    if films and by_rig:
        raise ConfigError(f"{name} is a rig, and films are edited with a model that is none; choose another --model.")
    return name, by_rig


def _usual_model(units: Mapping[str, float], face_model: Path | None) -> str:
    """What edits where no model is named: emorph-base, but a rig for units that it does not know, which is said.

    units: that are asked for. face_model: a file that only a rig reads.
    """
    from emorph.edit.pipeline import DEFAULT_MODEL
    from emorph.edit.rig.editor import DEFAULT_RIG
    from emorph.face3d.action_units import unknown_among
    from emorph.face3d.ict_source import UNIT_NAMES
    from emorph.models.beside import directions_beside

    if not units:
        return DEFAULT_MODEL
    if face_model is not None:
        return DEFAULT_RIG
    known = directions_beside(DEFAULT_MODEL)
    unknown = unknown_among(known.units.names if known and known.units else (), units)
    if not unknown or unknown_among(UNIT_NAMES, unknown):  # of a unit that nobody knows, the model says what is near
        return DEFAULT_MODEL
    say(f"{DEFAULT_MODEL} does not know {', '.join(unknown)}; {DEFAULT_RIG} sets the units.")
    return DEFAULT_RIG
