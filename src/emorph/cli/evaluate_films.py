"""``emorph evaluate`` of films: each against its source, over time."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from emorph.cli.console import asked_command, items, print_json
from emorph.core.errors import ConfigError
from emorph.core.files import names_apart
from emorph.video.clip import is_film, library

if TYPE_CHECKING:
    from emorph.evaluate.judges.panel import Panel

KEPT = ".measured"  # within the report's folder: what is measured of films, until all are


def films_of(edits: Sequence[Path] | None) -> list[Path]:
    """The edited films, if films are given. Raises ConfigError for films and other things together."""
    films = [path for path in edits or () if path.is_file() and is_film(path)]
    if films and len(films) != len(edits or ()):
        raise ConfigError(f"{films[0].name} is a film, but other edits are given as well; measure one after the other.")
    return films


def evaluate_films(films: Sequence[Path], sources: Path | None, panel: Panel, out: Path, *, as_json: bool) -> None:
    """Measure films against their sources and write a page; exits with 1 if some failed."""
    library()
    pairs = [(_source(film, sources), film) for film in films]
    from emorph.video.measure import measure_film, measure_key
    from emorph.video.report import as_json as film_as_json
    from emorph.video.report import rows_of, write_pages

    measured, kept, names = [], out / KEPT, names_apart(films)
    with items(len(pairs)) as work, _kept(kept):
        work.watch.start(len(pairs))
        for source, film in pairs:
            with work.item(names[film]):
                folder = kept / measure_key(source, film, panel.judges)
                folder.mkdir(parents=True, exist_ok=True)
                measured.append(measure_film(source, film, panel.judges, work=folder, tell=work.named_step))
    if measured:
        page = write_pages(out, measured, asked_command())
        if as_json:
            print_json({"report": str(page), "films": [film_as_json(found) for found in measured]})
        else:
            for found in measured:
                typer.echo(names[found.edited.path])
                for title, value, _, about in rows_of(found):
                    typer.echo(f"  {title:<36} {value:<28} {about}")
            typer.echo(str(page))
    shutil.rmtree(kept, ignore_errors=True)
    work.finish()


@contextlib.contextmanager
def _kept(folder: Path) -> Iterator[None]:
    """Say of a run that is stopped inside where its measures are."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"what is measured is kept in {folder}; run the same command again to go on.") from None


def _source(film: Path, sources: Path | None) -> Path:
    """The film that an edit was made from: as it is named, or in a folder, by the beginning of the edit's name."""
    if sources is None:
        raise ConfigError(f"name the film that {film.name} was made from, or its folder: --sources clip.mp4.")
    if not sources.is_dir():
        return sources
    found = [path for path in sorted(sources.iterdir()) if path.is_file() and film.stem.startswith(path.stem)]
    found = [path for path in found if is_film(path) and not (film.exists() and path.samefile(film))]
    if not found:
        raise ConfigError(f"{sources} has no film with whose name {film.name} begins; name it: --sources clip.mp4.")
    return max(found, key=lambda path: len(path.stem))
