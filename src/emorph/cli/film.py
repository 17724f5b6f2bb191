"""``emorph edit`` on films: which files are films, what the options mean for them, what is said of the results."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emorph.cli.console import finish, items, print_json, say
from emorph.cli.options import FILMS
from emorph.core.errors import ConfigError
from emorph.core.files import is_folder
from emorph.core.types import Target
from emorph.video.clip import FILM_NAMES, is_film, library
from emorph.video.keyframes import DRAW_EVERY, MOST_APART, Keyframe, as_easing, parse_strengths, parse_words

if TYPE_CHECKING:
    from emorph.edit.batch import FileEdit
    from emorph.edit.pipeline import Editor

PreviewOption = Annotated[
    bool,
    typer.Option(
        "--preview",
        help="Of films: the first 3 seconds alone, and small, to see what an edit does.",
        rich_help_panel=FILMS,
    ),
]
EasingOption = Annotated[
    str | None,
    typer.Option(
        help="Of films: smooth or linear, how strength goes between keyframes.",
        show_default="smooth",
        rich_help_panel=FILMS,
    ),
]
DrawEveryOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST_APART,
        help="Of films: the network draws one of so many frames, and what it draws is carried to the others by their "
        "landmarks. 1 draws every frame, which takes up to twice as long.",
        show_default=str(DRAW_EVERY),
        rich_help_panel=FILMS,
    ),
]


@dataclass(frozen=True)
class FilmOptions:
    """What was asked for on the command line."""

    to: str | None
    strength: str
    valence: float | None
    arousal: float | None
    units: Mapping[str, float] | None
    easing: str | None
    face: str
    min_face: int
    preview: bool
    draw_every: int | None = None


def films_among(photos: Sequence[Path], out: Path, frame: int | None) -> list[Path]:
    """The films that are named, or lie in folders without photos; empty if photos are to be edited.

    An animated GIF is a film unless one of its frames is asked for. Raises ConfigError for films and photos together.
    """
    names_a_film = out.suffix.lower() in FILM_NAMES and not is_folder(out)
    given = [path for photo in photos for path in _files(photo)]
    films = [path for path in given if is_film(path, gifs=frame is None)]
    if not films and not names_a_film:
        return []
    if names_a_film or len(films) == len(given):
        return given
    folders_only = all(map(is_folder, photos))
    if folders_only:  # photos come first; films in their folder are named as left out
        return []
    raise ConfigError(
        f"{films[0].name} is a film, but photos are given as well; edit films and photos one after the other."
    )


def edit_films_of(
    films: Sequence[Path], out: Path, asked: FilmOptions, load: Callable[[], Editor], *, again: bool, as_json: bool
) -> None:
    """Edit films and say what became of them; exits with 1 if some failed."""
    library()
    plan = _plan(asked)
    from emorph.video.plan import film_paths
    from emorph.video.run import edit_films

    film_paths(films, out, plan.word)
    editor = load()
    with items(len(films), functools.partial(tell, as_json)) as work:
        report = edit_films(editor, films, out, plan, again=again, watch=work.watch, tell=work.named_step)
    if as_json:
        print_json([row_of(done) for done in report.edits])
    finish(report.failures, len(films))


def _plan(asked: FilmOptions) -> Any:
    from emorph.video.plan import FilmPlan

    return FilmPlan(
        _targets(asked), parse_strengths(asked.strength), as_easing(asked.easing or "smooth"), asked.face,
        asked.min_face, asked.preview, DRAW_EVERY if asked.draw_every is None else asked.draw_every,
    )  # fmt: skip


def _targets(asked: FilmOptions) -> tuple[Keyframe[Target], ...]:
    if asked.to is not None and asked.valence is None and asked.arousal is None and not asked.units:
        return tuple(Keyframe(Target.asked(key.value), key.at_s) for key in parse_words(asked.to))
    return (Keyframe(Target.asked(asked.to, asked.valence, asked.arousal, asked.units), 0.0),)


def _files(path: Path) -> list[Path]:
    if not is_folder(path):
        return [path]
    with contextlib.suppress(OSError):  # whoever reads its photos says why it cannot be read
        return [each for each in sorted(path.iterdir()) if each.is_file() and not each.name.startswith(".")]
    return [path]


def tell(as_json: bool, done: FileEdit) -> None:
    """Say what became of a film."""
    if as_json:
        return
    if not done.made:
        typer.echo(f"{done.files[-1]}  (done before; --again redoes it)")
        return
    facts = done.made
    edited = f"{facts['n_frames_edited']:,} of {facts['n_frames']:,} frames edited"
    typer.echo(f"{done.files[-1]}  ({edited}, {done.seconds:.1f} s, {facts['frames_per_second']:.1f} frames/s)")
    if done.n_faces > 1 and done.n_edited == 1:
        say(
            f"{done.source} shows {done.n_faces} people; one was edited. "
            f"Choose with --face all, 1 to {done.n_faces}, or a photo of the person."
        )


def row_of(done: FileEdit) -> dict[str, Any]:
    """The same as JSON."""
    return {"source": str(done.source), "edited": str(done.files[-1]), "seconds": round(done.seconds, 2), **done.made}
