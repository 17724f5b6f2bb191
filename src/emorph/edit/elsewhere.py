"""Photos edited by other processes than this one, each of which loads the editor once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from emorph.core.images import read_photo
from emorph.core.workers import Crew, must_see, spread
from emorph.edit.batch import Batch, Failure, FileEdit
from emorph.edit.jobs import Job, Recipe, write_edits

E = TypeVar("E")
MOST_EDITORS = 2  # that a worker process keeps


@dataclass(frozen=True)
class Helpers(Generic[E]):
    """Who edits photos in place of this process.

    load: gives a worker its editor. It can be pickled and compared, as a frozen dataclass with ``__call__`` can.
    """

    crew: Crew
    load: Callable[[], E]


@dataclass(frozen=True)
class RecipeMaker(Generic[E]):
    """What makes a recipe of an editor; it can be pickled, which a recipe cannot. recipe_of: a function of a module."""

    recipe_of: Callable[..., Recipe]
    goal: Any
    strengths: tuple[float, ...]
    face: str | int
    min_face_px: int
    frame: int | None
    strip_location: bool

    def __call__(self, editor: E) -> Recipe:
        recipe = self.recipe_of(editor, self.goal, self.strengths, face=self.face, min_face_px=self.min_face_px)
        return replace(recipe, frame=self.frame, strip_location=self.strip_location)


@dataclass(frozen=True)
class Elsewhere(Generic[E]):
    """A recipe made anew in each worker. make: of an editor; can be pickled."""

    helpers: Helpers[E]
    make: Callable[[E], Recipe]

    @classmethod
    def of(cls, helpers: Helpers[E] | None, make: Callable[[E], Recipe]) -> Elsewhere[E] | None:
        """With these helpers, or None without any."""
        return None if helpers is None else cls(helpers, make)

    @contextmanager
    def edited(self, jobs: Sequence[Job]) -> Iterator[Iterator[FileEdit | Failure]]:
        """What became of each photo, in their order."""
        with spread(_Bench(self.helpers.load, self.make, Path.cwd()).do, jobs, self.helpers.crew) as results:
            yield results


@dataclass(frozen=True)
class _Bench(Generic[E]):
    """What a worker needs for every photo. folder: in which paths of jobs begin."""

    load: Callable[[], E]
    make: Callable[[E], Recipe]
    folder: Path

    def do(self, job: Job) -> FileEdit | Failure:
        """Edit one photo and write its files."""
        must_see(self.folder / job.source, self.folder / job.files[0].parent)
        recipe = self.make(_loaded(self.load))
        batch, done = Batch(), list[FileEdit]()
        with batch.item(job.source.name):
            drawn = recipe.draw(read_photo(self.folder / job.source, frame=recipe.frame), None)
            done.append(write_edits(drawn, job, recipe, self.folder))
        return done[0] if done else batch.failures[0]


@functools.lru_cache(maxsize=MOST_EDITORS)
def _loaded(load: Callable[[], E]) -> E:
    return load()
