"""Photos on disk to edited photos on disk, with a record of each: a run that was stopped resumes where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emorph.core.encode import Carried, write_image, write_photo
from emorph.core.files import names_apart
from emorph.core.images import read_photo
from emorph.core.records import RECORDS_FILE, EditRecord, append, mend, read
from emorph.core.target import short_word, strength_word
from emorph.core.types import OnStep, Photo, UInt8
from emorph.edit.batch import Batch, Failure, FileEdit, FileReport, Watch, unbroken
from emorph.edit.metadata import TOOL, Maker
from emorph.edit.paths import (
    SourcePhotos,
    check_writable,
    names_a_picture,
    output_names,
    photo_files,
    result_paths,
    unwritable,
)
from emorph.edit.replaced import Earlier, said_of_replaced
from emorph.edit.result import Edit
from emorph.edit.sheet import Row, grid, tile

if TYPE_CHECKING:
    from emorph.edit.elsewhere import Elsewhere


@dataclass(frozen=True)
class Recipe:
    """What to do with every photo: one change, in one strength or several, by whichever model.

    draw: an edit for each strength. file_word: ends the names of files; target: what records call it.
    titles: how a strip of all strengths calls each. face, min_face_px: which faces of a photo are changed.
    metadata: what a file with these strengths says of itself. facts: what else to say of each result.
    detector, min_score: how faces are sought.
    frame: as for ``read_photo``. strip_location: as for ``write_photo``.
    remark: a sentence on an edit that whoever asked for it should read, or "".
    """

    draw: Callable[[Photo, OnStep | None], Sequence[Edit[Any]]]
    maker: Maker
    file_word: str
    target: str
    strengths: tuple[float, ...]
    titles: tuple[str, ...]
    face: str
    min_face_px: int
    metadata: Callable[[Sequence[float]], dict[str, str]]
    records_file: str = RECORDS_FILE
    facts: Mapping[str, Any] = field(default_factory=dict)
    detector: str = ""
    min_score: float | None = None
    frame: int | None = None
    strip_location: bool = False
    remark: Callable[[Edit[Any]], str] = lambda edit: ""

    def record(self, source: Path, edited: Path, strength: float, seconds: float) -> EditRecord:
        """All that the result in ``edited`` depends on; what it turned out to be is for the caller to add."""
        return EditRecord(
            id=edited.name,
            source=str(source),
            edited=str(edited),
            target=self.target,
            strength=strength,
            editor=TOOL,
            model_id=self.maker.model_id,
            solver=self.maker.solver,
            steps=self.maker.steps,
            seconds=round(seconds, 3),
            face=self.face,
            min_face_px=self.min_face_px,
            directions=self.maker.directions,
            detector=self.detector,
            min_score=self.min_score,
            frame=self.frame or 0,
            location_stripped=self.strip_location,
            losses=tuple(network.as_json() for network in self.maker.losses),
        )


@dataclass(frozen=True)
class Job:
    """Where the results of one photo go: a file for each strength, and a strip of all if there are more."""

    source: Path
    files: tuple[Path, ...]
    strip: Path | None

    @classmethod
    def named(cls, source: Path, path: Path, strengths: Sequence[float]) -> Job:
        """One strength is ``path`` itself; several are numbered by it, and joined in a strip that names them all.

        >>> job = Job.named(Path("me.jpg"), Path("me_happy.png"), [0.5, 1.0])
        >>> [path.name for path in job.all_files]
        ['me_happy_0.5.png', 'me_happy_1.png', 'me_happy_0.5-1_strip.png']
        """
        if len(strengths) == 1:
            return cls(source, (path,), None)
        files = [path.with_stem(f"{path.stem}_{strength:g}") for strength in strengths]
        word = short_word("-".join(f"{strength:g}" for strength in strengths))
        return cls(source, tuple(files), path.with_stem(f"{path.stem}_{word}_strip"))

    @property
    def all_files(self) -> tuple[Path, ...]:
        """Every file of the job; the last is the one to look at."""
        return (*self.files, self.strip) if self.strip else self.files

    def finished(self, recipe: Recipe, known: Mapping[str, EditRecord]) -> tuple[EditRecord, ...]:
        """The records of an earlier run that did the same; none if any file is missing or was made otherwise.

        known: by ``id``. A photo that is newer than a result was changed since, and is not finished either.
        """
        wanted = self._wanted(recipe)
        kept = [known.get(path.name) for path in self.files]
        same = [record for record in kept if record is not None and _planned(record) in wanted]
        return tuple(same) if len(same) == len(wanted) and self._is_up_to_date() else ()

    def _wanted(self, recipe: Recipe) -> list[EditRecord]:
        return [
            recipe.record(self.source, path, strength, 0.0)
            for path, strength in zip(self.files, recipe.strengths, strict=True)
        ]

    def replaced(self, recipe: Recipe, known: Mapping[str, EditRecord]) -> str:
        """Sentences on results that were made otherwise and lie where the new ones will; "" without any."""
        found: dict[str, list[str]] = {}
        for path, plan in zip(self.files, self._wanted(recipe), strict=True):
            record = known.get(path.name)
            if record is None or not path.is_file():
                continue
            if Path(record.source).resolve() != self.source.resolve():
                found.setdefault(f", made from {record.source},", []).append(path.name)
            elif replace(_planned(record), source=plan.source, edited=plan.edited) != plan:
                found.setdefault(", made with other settings,", []).append(path.name)
        return " ".join(said_of_replaced(names, how) for how, names in found.items())

    def _is_up_to_date(self) -> bool:
        try:
            changed_s = self.source.stat().st_mtime
            return all(path.stat().st_mtime >= changed_s for path in self.all_files)
        except OSError:
            return False


def _planned(record: EditRecord) -> EditRecord:
    """What was known of an edit before it was made."""
    return replace(record, seconds=0.0, n_faces=0, n_edited=0, score=None)


def plan_jobs(photos: Iterable[str | Path], out: str | Path, word: str, strengths: Sequence[float]) -> list[Job]:
    """What is to be written for each photo, before anything is loaded; ``word`` ends the names in a folder.

    A single strength that is not 1 ends them too: results of different strengths do not take each other's place.
    photos: files, or folders of them. out: a folder, which need not be there; or a picture's name, for one photo.
    Raises ConfigError where ``out`` cannot be written or is one picture for several photos, ImageError for an empty
    folder, or where a result would take a source photo's place.
    """
    sources, out = photo_files(photos), Path(out)
    paths = result_paths(out, [f"{name}_{strength_word(word, strengths)}" for name in output_names(sources)])
    jobs = [Job.named(source, path, strengths) for source, path in zip(sources, paths, strict=True)]
    SourcePhotos(sources).refuse(file for job in jobs for file in job.all_files)
    check_writable(out)
    return jobs


def change_files(
    recipe: Recipe,
    photos: Iterable[str | Path],
    out: str | Path,
    *,
    again: bool = False,
    watch: Watch | None = None,
    elsewhere: Elsewhere[Any] | None = None,
) -> FileReport:
    """Change the photos that are not finished; in a folder, records are written beside the pictures.

    again: redo those that an earlier run finished. elsewhere: other processes that do it in place of this one.
    Raises as ``plan_jobs``, and DataError for damaged records or lost workers.
    """
    jobs = plan_jobs(photos, out, recipe.file_word, recipe.strengths)
    log = None if names_a_picture(Path(out)) else Path(out) / recipe.records_file
    known = _known(log)
    edits = {} if again else _done_before(recipe, jobs, known)
    batch, n_before = Batch(watch), len(edits)
    left = [job for job in jobs if job not in edits]
    names = names_apart(job.source for job in jobs)
    batch.watch.start(len(left), n_before)
    if edits:
        batch.watch.done_before(tuple(edits.values()))

    otherwise = {job: job.replaced(recipe, known) for job in left}
    earlier = Earlier(path for job in left for path in job.files if path.name not in known)

    def keep(job: Job, edit: FileEdit) -> None:
        remarks = (edit.remark, otherwise[job] or earlier.said(job.files))
        edit = edits[job] = replace(edit, remark=" ".join(filter(None, remarks)))
        if log:
            append(log, edit.records)
        batch.watch.written(edit)

    if elsewhere is None:
        for job in left:
            with batch.item(names[job.source]):
                drawn = recipe.draw(read_photo(job.source, frame=recipe.frame), batch.watch.step)
                with unbroken():
                    keep(job, write_edits(drawn, job, recipe))
    else:
        _make_for_workers(left)
        with elsewhere.edited(left) as results:
            for job in left:
                with batch.item(names[job.source]):
                    done = next(results)
                    if isinstance(done, Failure):
                        raise done.error
                    with unbroken():
                        keep(job, done)
    return FileReport(tuple(edits[job] for job in jobs if job in edits), tuple(batch.failures), n_before)


def _make_for_workers(jobs: Sequence[Job]) -> None:
    """Make the folder of results, which every worker is to see. Raises ConfigError."""
    for folder in {job.files[0].parent for job in jobs}:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error) from None


def _known(log: Path | None) -> dict[str, EditRecord]:
    """What earlier runs wrote down, by id; a line that one left half written is cut off."""
    if log is None or not log.exists():
        return {}
    mend(log)
    return {record.id: record for record in read(log)}


def _done_before(recipe: Recipe, jobs: Sequence[Job], known: Mapping[str, EditRecord]) -> dict[Job, FileEdit]:
    """What an earlier run did of the same."""
    done = {job: records for job in jobs if (records := job.finished(recipe, known))}
    return {
        job: FileEdit(
            job.source,
            job.all_files,
            records[0].seconds,
            0,
            records,
            recipe.facts,
            "",
            records[0].kept,
            records[0].lost,
        )
        for job, records in done.items()
    }


def write_edits(edits: Sequence[Edit[Any]], job: Job, recipe: Recipe, folder: Path = Path()) -> FileEdit:
    """Write what a photo became. folder: in which relative paths begin. Raises ImageError."""
    records, first, said = [], edits[0], Carried((), ())
    for edit, path, strength in zip(edits, job.files, recipe.strengths, strict=True):
        metadata = recipe.metadata([strength])
        said = write_photo(folder / path, edit.photo, metadata=metadata, strip_location=recipe.strip_location)
        record = recipe.record(job.source, path, strength, edit.seconds)
        seen = replace(record, n_faces=edit.n_faces, n_edited=len(edit.faces), score=round(edit.score, 4))
        records.append(replace(seen, kept=said.kept, lost=said.lost, mask=edit.mask))
    if job.strip:
        photos = (first.source, *(edit.photo for edit in edits))
        strip: UInt8 = np.asarray(
            grid([Row(tuple(tile(photo, first.face) for photo in photos), ("Original", *recipe.titles))])
        )
        write_image(folder / job.strip, strip, metadata=recipe.metadata(recipe.strengths))
    return FileEdit(
        job.source, job.all_files, first.seconds, first.n_faces, tuple(records), recipe.facts, recipe.remark(first),
        said.kept, said.lost, n_edited=len(first.faces), score=first.score,
    )  # fmt: skip
