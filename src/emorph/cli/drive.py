"""``emorph transfer`` with a film: a photo that moves as the person in the film does."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emorph.cli.console import finish, items, print_json
from emorph.cli.film import row_of, tell
from emorph.core.errors import ConfigError
from emorph.video.clip import is_film, library

if TYPE_CHECKING:
    from emorph.edit.rig.editor import RigEditor
    from emorph.edit.rig.parts import Part


@dataclass(frozen=True)
class DriveOptions:
    """What was asked for on the command line."""

    parts: tuple[Part, ...]
    face: str
    driver: str
    min_face: int
    preview: bool


def drive_photo(
    given: Sequence[Path], out: Path, asked: DriveOptions, load: Callable[[], RigEditor], *, again: bool, as_json: bool
) -> None:
    """Move a photo as a film does and say what became of it; exits with 1 if that failed."""
    films = [path for path in given if is_film(path)]
    if len(films) != 1 or len(given) != 2:
        raise ConfigError(
            f"a film moves one photo: name a film and a photo; found {len(films)} films and {len(given) - len(films)} "
            "others."
        )
    library()
    from emorph.video.drive import DrivePlan, drive_film, drive_paths

    (film,) = films
    (photo,) = (path for path in given if path != film)
    plan = DrivePlan(asked.parts, asked.face, asked.driver, asked.min_face, asked.preview)
    drive_paths(film, photo, out, plan)
    editor = load()
    with items(1, functools.partial(tell, as_json)) as work:
        work.watch.start(1)
        with work.item(film.name):
            done = drive_film(editor, film, photo, out, plan, again=again, tell=work.named_step)
            work.watch.written(done)
            if as_json:
                print_json([row_of(done)])
    finish(work.failures, 1)
