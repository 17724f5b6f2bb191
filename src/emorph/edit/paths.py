"""Which photos are read, and which files are written: planned before any work is done, and never a source photo."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from mimetypes import MimeTypes
from pathlib import Path

from emorph.core.commands import install
from emorph.core.errors import ConfigError, ImageError
from emorph.core.files import check_room, is_folder
from emorph.core.formats import HEIC_SUFFIXES, HEIF_SUFFIXES_WRITTEN, READABLE_SUFFIXES, writable_suffixes
from emorph.core.images import list_folder, list_photos
from emorph.core.photo_list import LIST_FILE
from emorph.core.records import RECORDS_FILE, UNIT_RECORDS_FILE

OTHER_SUFFIXES = (".psd", ".jxl", ".jp2", ".raw", ".dng", ".exr", ".jsonl", ".log", ".toml", ".yaml")  # beyond MIME's
NAMES_AT_ONCE = 6  # that a sentence lists


def photo_files(photos: Iterable[str | Path]) -> list[Path]:
    """The photos, and those in the folders among them, in order and each once. Raises ImageError for an empty folder.

    >>> [path.name for path in photo_files(["examples/astronaut.png", "examples", "me.jpg"])]
    ['astronaut.png', 'me.jpg']
    """
    given = [Path(photo) for photo in photos]
    each = [path for photo in given for path in (_in_folder(photo) if is_folder(photo) else [photo])]
    return list(dict.fromkeys(each))


def _in_folder(folder: Path) -> list[Path]:
    """Its photos; what edits.jsonl lists there as results of earlier edits is not edited again."""
    results = _results(folder)
    return [path for path in list_photos(folder) if path.name not in results]


def _results(folder: Path) -> set[str]:
    """The names of the results that lie in a folder, as far as what was done there can be read."""
    names = set()
    for records in (folder / RECORDS_FILE, folder / UNIT_RECORDS_FILE):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            for line in records.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
                    names.add(Path(json.loads(line)["edited"]).name)
    return names


def left_out(photos: Iterable[str | Path]) -> list[str]:
    """A sentence for each folder among the photos that holds something else, which is not edited.

    >>> left_out(["examples/astronaut.png"])
    []
    """
    said = []
    for folder in dict.fromkeys(Path(photo) for photo in photos):
        if not is_folder(folder):
            continue
        found, others = list_folder(folder)
        others = [path for path in others if path.name != LIST_FILE]
        n_results = len(_results(folder) & {path.name for path in found})
        if n_results:
            are = "picture is the result" if n_results == 1 else "pictures are results"
            said.append(
                f"{folder}: {n_results} {are} of earlier edits, and left out; to edit one again, name its file."
            )
        files, folders = ([path for path in others if is_folder(path) is want] for want in (False, True))
        if files:
            are = "files is not a picture and is" if len(files) == 1 else "files are not pictures and are"
            total = len(found) + len(files)
            said.append(f"{folder}: {len(files)} of {total} {are} left out: {_listed(files)}.")
        if folders:
            said.append(f"{folder}: the pictures in its folders are left out: name them as well ({_listed(folders)}).")
    return said


def _listed(paths: Sequence[Path]) -> str:
    names = [path.name for path in paths[:NAMES_AT_ONCE]]
    return ", ".join(names) + (f" and {len(paths) - len(names)} more" if len(paths) > len(names) else "")


def output_names(photos: Sequence[Path]) -> list[str]:
    """A name for each photo's result, different also where file names ignore case; repeated ones are numbered.

    >>> output_names([Path("a.jpg"), Path("b.jpg"), Path("old/A.png")])
    ['a', 'b', 'A-2']
    """
    used: set[str] = set()
    names = []
    for photo in photos:
        name, number = photo.stem, 1
        while name.lower() in used:
            number += 1
            name = f"{photo.stem}-{number}"
        used.add(name.lower())
        names.append(name)
    return names


def result_paths(out: Path, names: Sequence[str], given: str = "photos are given") -> list[Path]:
    """A picture for each result: ``out`` itself where it names one, else NAME.png in the folder ``out``.

    Raises ConfigError where ``out`` names a picture, but there are several results; ``given`` says of what.

    >>> [path.as_posix() for path in result_paths(Path("edited"), ["a_happy", "b_happy"])]
    ['edited/a_happy.png', 'edited/b_happy.png']
    >>> [path.as_posix() for path in result_paths(Path("smile.webp"), ["a_happy"])]
    ['smile.webp']
    """
    if not names_a_picture(out):
        return [out / f"{name}.png" for name in names]
    if len(names) > 1:
        raise ConfigError(f"{out} is one picture, but {len(names)} {given}; name a folder.")
    return [out]


def ends_as_a_file(out: Path) -> bool:
    """Whether ``out`` ends as files do, and is no folder: "out.txt" and "out.png", not "edits.2024"."""
    suffix = out.suffix.lower()
    known = suffix in (*READABLE_SUFFIXES, *HEIC_SUFFIXES, *OTHER_SUFFIXES)
    return (known or any(MimeTypes().guess_type(f"_{suffix}"))) and not is_folder(out)


def names_a_picture(out: Path) -> bool:
    """Whether ``out`` names a picture rather than a folder. Raises ConfigError for a kind that is not written.

    What ends as other files do is no folder either, unless it is one: "out.txt", not "edits.2024".
    """
    suffix, known = out.suffix.lower(), writable_suffixes()
    if is_folder(out):
        return False
    if suffix in (*READABLE_SUFFIXES, *HEIC_SUFFIXES) and suffix not in known:
        needs = f" without pillow-heif (`{install('heif')}`)" if suffix in HEIF_SUFFIXES_WRITTEN else ""
        raise ConfigError(f"{out}: emorph does not write {suffix}{needs}; use {', '.join(known)}, or a folder.")
    if suffix not in known and ends_as_a_file(out):
        raise ConfigError(f"{out}: emorph does not write {suffix}; use {', '.join(known)}, or a folder.")
    return suffix in known


def check_writable(out: Path) -> None:
    """Try whether results can be written, before any work is done; no folder is made yet. Raises ConfigError."""
    try:
        check_room(out.parent if names_a_picture(out) else out)
        out.exists()  # a picture's name may be too long where its folder's is not
    except OSError as error:
        raise unwritable(out, error) from None


def unwritable(out: Path, error: OSError) -> ConfigError:
    """What to say of a place that nothing can be written to."""
    return ConfigError(f"{out} cannot be written ({error.strerror}); choose another output.")


class SourcePhotos:
    """The files that no result may take the place of, by whatever name."""

    def __init__(self, photos: Iterable[Path]) -> None:
        self._ids = {_file_id(photo) for photo in photos} - {None}

    def refuse(self, paths: Iterable[Path]) -> None:
        """Raises ImageError if one of ``paths`` is one of the files."""
        for path in paths:
            if _file_id(path) in self._ids:
                raise ImageError(f"{path} is a source photo itself; choose another output name.")


def _file_id(path: Path) -> tuple[int, int] | None:
    """What tells files apart; None where there is none."""
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return None
    return stat.st_dev, stat.st_ino
