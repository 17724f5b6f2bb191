"""``emorph edit``: one emotion, valence and arousal, or action units, for photos and folders."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import typer

from emorph.cli.console import (
    counted,
    finish,
    items,
    mention_left_out,
    mention_losses,
    mention_other_faces,
    print_json,
    say,
)
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
    crew_of,
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

if TYPE_CHECKING:
    from emorph.edit.batch import FileEdit, FileReport, Watch
    from emorph.edit.elsewhere import Helpers
    from emorph.edit.pipeline import Editor
    from emorph.edit.rig.editor import RigEditor


E = TypeVar("E", "Editor", "RigEditor")


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
    editor = _Loader(
        load_editor, (name, directions, device, steps, solver, detector, min_score),
        (("anyway", anyway), ("reuse", reuse), ("backend", backend)),
    )  # fmt: skip
    if films:
        refuse_options("films", {"--frame": frame, "--strip-location": strip_location or None, "--cluster": cluster})
        asked = FilmOptions(goal, strength, valence, arousal, units, easing, face, min_face, preview, draw_every)
        edit_films_of(films, out, asked, again=again, as_json=as_json, load=editor)
        return
    refuse_options("photos", {"--easing": easing, "--preview": preview or None, "--draw-every": draw_every})
    job = _Photos(
        photos, out, parse_strengths(strength), as_json, cluster,
        {"face": face, "min_face_px": min_face, "frame": frame, "strip_location": strip_location, "again": again},
    )  # fmt: skip
    if by_rig:
        refuse_options(
            "a rig, which takes emotions (--to) or action units (--au)",
            {
                "--valence": valence, "--arousal": arousal, "--directions": directions, "--anyway": anyway or None,
                "--reuse": reuse if reuse > 1 else None, "--backend": backend if backend != "torch" else None,
            },
        )  # fmt: skip
        _edit_by_rig(
            job, _target(goal, None, None, units),
            _Loader(load_rig_editor, (name, face_model, device, steps, solver, None, None, detector, min_score)),
        )  # fmt: skip
    else:
        refuse_options(f"{name}, which is not a rig", {"--face-model": face_model})
        _edit_by_code(job, _target(goal, valence, arousal, units), editor)


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


@dataclass(frozen=True)
class _Loader(Generic[E]):
    """What loads an editor, here or in another process. args: the model's name first."""

    load: Callable[..., E]
    args: tuple[Any, ...]
    options: tuple[tuple[str, Any], ...] = ()

    def __call__(self) -> E:
        return self.load(*self.args, **dict(self.options))

    def for_workers(self) -> _Loader[E]:
        """The same from any working directory, without a word said again."""
        name, *others = self.args
        if locate(name) == (path := Path(name).expanduser()):
            name = str(path.absolute())
        others = [arg.absolute() if isinstance(arg, Path) else arg for arg in others]
        options = (*self.options, ("tell", False)) if self.options else ()
        return _Loader(self.load, (name, *others), options)


@dataclass(frozen=True)
class _Photos:
    """What is edited, where to, and how faces and files are to be taken: options of both kinds of editors alike."""

    photos: list[Path]
    out: Path
    strengths: list[float]
    as_json: bool
    cluster: str | None
    taken: dict[str, Any]

    def edited(self, word: str, load: _Loader[E], run: Callable[[E, Watch, Helpers[E] | None], FileReport]) -> None:
        """Load an editor, let it run, and say what became of each photo. word: of the goal, in the names of results."""
        from emorph.edit.elsewhere import Helpers
        from emorph.edit.jobs import plan_jobs

        n_jobs = len(plan_jobs(self.photos, self.out, word, self.strengths))
        mention_left_out(self.photos)
        editor = load()
        tell = functools.partial(_tell, self.taken["face"], self.as_json)
        with crew_of(self.cluster, 1) as crew, items(n_jobs, tell) as work:
            helpers = None if isinstance(crew, int) else Helpers(crew, load.for_workers())
            report = run(editor, work.watch, helpers)
        if self.as_json:
            print_json([row for done in report.edits for row in _rows(done)])
        finish(report.failures, n_jobs - report.n_before)


def _edit_by_rig(job: _Photos, target: Target, load: _Loader[RigEditor]) -> None:
    from emorph.edit.rig.files import express_files

    goal = dict([*_weights(target), *target.units])

    def run(rig: RigEditor, watch: Watch, helpers: Helpers[RigEditor] | None) -> FileReport:
        return express_files(rig, job.photos, job.out, goal, job.strengths, watch=watch, helpers=helpers, **job.taken)

    job.edited(target.file_word, load, run)


def _edit_by_code(job: _Photos, target: Target, load: _Loader[Editor]) -> None:
    from emorph.edit.files import edit_files

    def run(editor: Editor, watch: Watch, helpers: Helpers[Editor] | None) -> FileReport:
        return edit_files(
            editor, job.photos, job.out, dict(_weights(target)) or None, job.strengths, valence=target.valence,
            arousal=target.arousal, units=dict(target.units) or None, watch=watch, helpers=helpers,
            **job.taken,
        )  # fmt: skip

    job.edited(target.file_word, load, run)


def _tell(face: str, as_json: bool, done: FileEdit) -> None:
    """Say what is worth saying of one photo that is done."""
    mention_other_faces(done, face)
    mention_losses(done)
    if done.remark:
        say(done.remark)
    if not as_json:
        typer.echo(f"{done.files[-1]}  ({counted(done, face)}{done.seconds:.1f} s)")


def _target(to: str | None, valence: float | None, arousal: float | None, units: Mapping[str, float] | None) -> Target:
    if to is None and valence is None and arousal is None and units is None:
        raise ConfigError("say what the faces should show: --to happy, --valence 0.5 --arousal -0.2, or --au AU12=0.8.")
    return Target.asked(to, valence, arousal, units)


def _weights(target: Target) -> list[tuple[str, float]]:
    return [(emotion.word, weight) for emotion, weight in target.weights]


def _rows(done: FileEdit) -> list[dict[str, Any]]:
    """A result as JSON: its record; with action units, these instead of what judges would need."""
    if not done.made:
        return [asdict(record) for record in done.records]
    return [
        {
            "source": record.source,
            "edited": record.edited,
            "strength": record.strength,
            "n_faces": record.n_faces,
            "n_edited": record.n_edited,
            "score": record.score,
            **done.made,
            "kept": record.kept,
            "lost": record.lost,
        }
        for record in done.records
    ]
