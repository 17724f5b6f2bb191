"""``emorph edit`` on photos: an editor that workers can load, too, what it does, and what is said of the results."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from emorph.cli.console import finish, items, mention_left_out, print_json, tell_edit
from emorph.cli.options import crew_of
from emorph.core.errors import ConfigError
from emorph.core.pretrained import locate
from emorph.core.types import Target

if TYPE_CHECKING:
    from emorph.edit.batch import FileEdit, FileReport, Watch
    from emorph.edit.elsewhere import Helpers
    from emorph.edit.pipeline import Editor
    from emorph.edit.rig.editor import RigEditor


E = TypeVar("E", "Editor", "RigEditor")


@dataclass(frozen=True)
class Loader(Generic[E]):
    """What loads an editor, here or in another process. args: the model's name first."""

    load: Callable[..., E]
    args: tuple[Any, ...]
    options: tuple[tuple[str, Any], ...] = ()

    def __call__(self) -> E:
        return self.load(*self.args, **dict(self.options))

    def for_workers(self) -> Loader[E]:
        """The same from any working directory, without a word said again."""
        name, *others = self.args
        if locate(name) == (path := Path(name).expanduser()):
            name = str(path.absolute())
        others = [arg.absolute() if isinstance(arg, Path) else arg for arg in others]
        options = (*self.options, ("tell", False)) if self.options else ()
        return Loader(self.load, (name, *others), options)


@dataclass(frozen=True)
class PhotoJob:
    """What is edited, where to, and how faces and files are to be taken: options of both kinds of editors alike."""

    photos: list[Path]
    out: Path
    strengths: list[float]
    as_json: bool
    cluster: str | None
    taken: dict[str, Any]

    def edited(self, word: str, load: Loader[E], run: Callable[[E, Watch, Helpers[E] | None], FileReport]) -> None:
        """Load an editor, let it run, and say what became of each photo. word: of the goal, in the names of results."""
        from emorph.edit.elsewhere import Helpers
        from emorph.edit.jobs import plan_jobs

        n_jobs = len(plan_jobs(self.photos, self.out, word, self.strengths))
        mention_left_out(self.photos)
        editor = load()
        tell = functools.partial(tell_edit, self.taken["face"], self.as_json)
        with crew_of(self.cluster, 1) as crew, items(n_jobs, tell) as work:
            helpers = None if isinstance(crew, int) else Helpers(crew, load.for_workers())
            report = run(editor, work.watch, helpers)
        if self.as_json:
            print_json([row for done in report.edits for row in _rows(done)])
        finish(report.failures, n_jobs - report.n_before)


def edit_by_rig(job: PhotoJob, target: Target, load: Loader[RigEditor]) -> None:
    """Edit with a rig: emotions or action units. Exits with 1 if some photos failed."""
    from emorph.edit.rig.files import express_files

    goal = dict([*_weights(target), *target.units])

    def run(rig: RigEditor, watch: Watch, helpers: Helpers[RigEditor] | None) -> FileReport:
        return express_files(rig, job.photos, job.out, goal, job.strengths, watch=watch, helpers=helpers, **job.taken)

    job.edited(target.file_word, load, run)


def edit_by_code(job: PhotoJob, target: Target, load: Loader[Editor]) -> None:
    """Edit with an autoencoder and its directions. Exits with 1 if some photos failed."""
    from emorph.edit.files import edit_files

    def run(editor: Editor, watch: Watch, helpers: Helpers[Editor] | None) -> FileReport:
        return edit_files(
            editor, job.photos, job.out, dict(_weights(target)) or None, job.strengths, valence=target.valence,
            arousal=target.arousal, units=dict(target.units) or None, watch=watch, helpers=helpers,
            **job.taken,
        )  # fmt: skip

    job.edited(target.file_word, load, run)


def asked_target(
    to: str | None, valence: float | None, arousal: float | None, units: Mapping[str, float] | None
) -> Target:
    """What the options ask for. Raises ConfigError where that is nothing."""
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
