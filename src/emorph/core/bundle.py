"""Files of others in one zip file, packed on a machine with a network and installed on one without.

The zip file is not trusted: what may be installed, and where it goes, is this program's table of files, never what the
zip file says; sizes are bounded while reading, and a file takes its place only when its SHA-256 is the one that was
packed (and, where the table knows it, the owner's).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from emorph.core.assets import Asset
from emorph.core.errors import DataError
from emorph.core.files import file_digest, written_beside

MANIFEST = "emorph-files.json"
FORMAT = 1
MOST_MANIFEST_BYTES = 10**6
MOST_BYTES = 4 * 10**9  # of one file
BLOCK = 2**20

OnFile = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Packed:
    """A file in a bundle: the asset's name, its size in bytes and its SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Installed:
    """A file that is in its place. was_here: the very same file was there before."""

    path: Path
    was_here: bool


def pack(assets: Iterable[Asset], out: Path, on_file: OnFile | None = None) -> list[Packed]:
    """Write the files of these assets, all of which are here, to the zip file ``out``; it appears whole.

    on_file: called with the name, how many files are done and how many there are. Raises DataError.
    """
    chosen, found = list(assets), []
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with written_beside(out) as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
            for done, asset in enumerate(chosen):
                if on_file is not None:
                    on_file(asset.name, done, len(chosen))
                found.append(Packed(asset.name, asset.path.stat().st_size, file_digest(asset.path)))
                archive.write(asset.path, asset.name)
            rows = [vars(row) for row in found]
            archive.writestr(MANIFEST, json.dumps({"format": FORMAT, "files": rows}, indent=1))
    except OSError as error:
        raise DataError(f"{out} cannot be written ({error.strerror or error}); choose another -o.") from None
    return found


def install(path: Path, assets: Mapping[str, Asset], on_file: OnFile | None = None) -> list[Installed]:
    """Put the files of a bundle in their places below ``emorph.core.assets.home()``.

    assets: by name; what is not among them is refused. on_file: as for ``pack``.
    Raises DataError, before anything is written, for what is no bundle or names anything unknown; and for a file that
    is not what was packed, which then is not put in its place.
    """
    with _opened(path) as archive:
        rows = _manifest(archive, path, assets)
        found = []
        for done, row in enumerate(rows):
            if on_file is not None:
                on_file(row.name, done, len(rows))
            found.append(_installed(archive, path, row, assets[row.name]))
    return found


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file.") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path.name} is no whole bundle ({error}); make it again with emorph models bundle.") from None


def _manifest(archive: zipfile.ZipFile, path: Path, assets: Mapping[str, Asset]) -> list[Packed]:
    """What the bundle says that it holds. Raises DataError unless the zip file holds these known files and no other."""
    inside = {info.filename: info for info in archive.infolist()}
    if MANIFEST not in inside or inside[MANIFEST].file_size > MOST_MANIFEST_BYTES:
        raise DataError(f"{path.name} is no bundle of files: it lacks {MANIFEST}; make one with emorph models bundle.")
    with archive.open(MANIFEST) as file:
        text = file.read(MOST_MANIFEST_BYTES + 1)
    try:
        content: Any = json.loads(text)
        rows = [Packed(str(row["name"]), int(row["size"]), str(row["sha256"])) for row in content["files"]]
        version = content["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DataError(f"{path.name}: its {MANIFEST} cannot be read; make the bundle again.") from None
    if version != FORMAT:
        raise DataError(f"{path.name} is a bundle of format {version!r}, and this emorph reads {FORMAT}; update it.")
    names = [row.name for row in rows]
    strange = sorted({*inside, *names} - {MANIFEST} - assets.keys())
    if strange:
        raise DataError(
            f"{path.name} holds {strange[0][:80]!r}, which is no file that emorph uses; nothing was installed."
        )
    if len(set(names)) != len(names) or len(inside) != len(archive.infolist()) or set(names) != {*inside} - {MANIFEST}:
        raise DataError(f"{path.name} does not hold what its {MANIFEST} says; nothing was installed.")
    for row in rows:
        if not 0 < row.size <= MOST_BYTES or inside[row.name].file_size != row.size:
            raise DataError(f"{path.name}: {row.name} has not the size that it should have; nothing was installed.")
    return rows


def _installed(archive: zipfile.ZipFile, path: Path, row: Packed, asset: Asset) -> Installed:
    known = "" if asset.member else asset.sha256.lower()
    if not row.sha256.startswith(known):
        raise DataError(f"{path.name}: {row.name} is not its owner's file (SHA-256 {row.sha256[:8]}, not {known}).")
    place = asset.path
    try:
        if place.is_file() and file_digest(place) == row.sha256:
            return Installed(place, was_here=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        with written_beside(place) as draft, archive.open(row.name) as source:
            with draft.open("xb") as file:
                digest = _copied(source, file, row.size)
            if digest != row.sha256:
                raise DataError(f"{path.name}: {row.name} was damaged on the way (its SHA-256 differs); copy it again.")
        note = place.with_name(f"{place.name}.sha256")
        note.write_text(f"{digest}  {place.name}\n", encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{place} cannot be written ({error.strerror or error}); make room, or set EMORPH_HOME elsewhere."
        ) from None
    return Installed(place, was_here=False)


def _copied(source: IO[bytes], target: IO[bytes], size: int) -> str:
    """Copy ``size`` bytes at most and one more, whatever the zip file says; returns their SHA-256."""
    digest, left = hashlib.sha256(), size + 1
    while left > 0 and (block := source.read(min(BLOCK, left))):
        digest.update(block)
        target.write(block)
        left -= len(block)
    return digest.hexdigest()
