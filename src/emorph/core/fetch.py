"""Downloads that can be stopped: into a part file beside the place, continued where they were cut, checked, renamed."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Any

from emorph.core.assets import Asset, is_offline
from emorph.core.errors import DataError, MissingAssetError
from emorph.core.files import file_digest, written_beside

MIRROR_VARIABLE = "EMORPH_MIRROR"
BLOCK = 2**18
TIMEOUT_S = 30.0
PAUSES_S = (1.0, 2.0, 4.0)  # before each further try that follows one without a single new byte
TOO_MANY_REQUESTS = 429
OnBytes = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Fetched:
    """A file that is here. sha256: of what was downloaded, "" if it was here before. was_known: by the table."""

    path: Path
    sha256: str
    was_known: bool


def fetch(asset: Asset, *, offline: bool = False, on_bytes: OnBytes | None = None) -> Fetched:
    """The asset's file, downloaded unless it is here. Its SHA-256 is written beside it, as sha256sum writes it.

    offline: download nothing; so does $EMORPH_OFFLINE. $EMORPH_MIRROR: address of a server that holds the files as
    ``wget -x`` lays them out, by host and path. on_bytes: called with bytes so far and bytes in all (None: not told).
    Raises MissingAssetError where it cannot be had, DataError where what came is not the file.
    """
    if asset.path.is_file():
        return Fetched(asset.path, "", bool(asset.sha256))
    if not asset.url:
        raise MissingAssetError(
            f"{asset.name} is available only from its owners: get it from {asset.page} and put it at {asset.path} "
            f"(terms: {asset.terms})."
        )
    archive = asset.path if not asset.member else asset.path.with_name(Path(asset.url).name)
    digest = fetch_url(
        asset.url, archive, size=asset.size, sha256=asset.sha256, offline=offline, on_bytes=on_bytes, page=asset.page
    )
    if asset.member:
        digest = _unpack(archive, asset.member, asset.path)
    note = asset.path.with_name(f"{asset.path.name}.sha256")
    with _written(note):
        note.write_text(f"{digest}  {asset.path.name}\n", encoding="utf-8")
    return Fetched(asset.path, digest, bool(asset.sha256))


def fetch_url(
    url: str,
    path: Path,
    *,
    size: int = 0,
    sha256: str = "",
    offline: bool = False,
    on_bytes: OnBytes | None = None,
    page: str = "",
    otherwise: str = "",
) -> str:
    """Download ``url`` to ``path`` and return the file's SHA-256; what a stopped download left is continued.

    size, sha256: expected, where known. page: named in messages. otherwise: what else one can do, in place of getting
    the file from there. Raises as ``fetch``.
    """
    source = mirrored(url)
    elsewhere = otherwise or f"download it from {page or url} elsewhere and put it at {path}"
    if offline or is_offline():
        raise MissingAssetError(f"{path.name} is not here, and nothing is downloaded while offline; {elsewhere}.")
    part = _Part(path.with_name(f".{path.name}.part"))
    with _written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _complete(part, source, on_bytes, elsewhere)
        digest = _checked(part.path, source, size, sha256)
        part.path.replace(path)
        part.forget()
    return digest


def mirrored(url: str) -> str:
    """The address to ask: the official one, or the same host and path below $EMORPH_MIRROR."""
    mirror = os.environ.get(MIRROR_VARIABLE, "").rstrip("/")
    if mirror and not mirror.startswith(("http://", "https://")):
        raise DataError(f"{MIRROR_VARIABLE}={mirror} is not an http address; set it to https://HOST/PATH or unset it.")
    return f"{mirror}/{url.partition('://')[2]}" if mirror else url


@contextlib.contextmanager
def _written(path: Path) -> Iterator[None]:
    """Turns the system's errors into a DataError; the network's are _CutError by then."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror or error}); make room, or set EMORPH_HOME elsewhere."
        ) from None


class _CutError(Exception):
    """The network failed; what is here of the file is good."""


@contextlib.contextmanager
def _network() -> Iterator[None]:
    """Turns every way in which a connection fails into a _CutError; an answer that is an error stays an HTTPError."""
    try:
        yield
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException) as error:  # URLError, SSLError and TimeoutError are OSErrors, too
        raise _CutError(str(getattr(error, "reason", "") or error or type(error).__name__)) from None


@dataclass(frozen=True)
class _Part:
    """The file that is being written, and beside it which version of which address it is a part of."""

    path: Path

    @property
    def _note(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def begun(self, url: str) -> tuple[int, str]:
        """Bytes that are here of ``url``, and the version's tag; 0 where nothing can be continued."""
        try:
            known = json.loads(self._note.read_text(encoding="utf-8"))
            if known["url"] == url and known["tag"]:
                return self.path.stat().st_size, str(known["tag"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return 0, ""

    @property
    def n_bytes(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def note(self, url: str, tag: str) -> None:
        self._note.write_text(json.dumps({"url": url, "tag": tag}), encoding="utf-8")

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def _complete(part: _Part, url: str, on_bytes: OnBytes | None, elsewhere: str) -> None:
    """Ask until all bytes are here, each time for those that are missing; a server in trouble is given time."""
    pauses, before = iter(PAUSES_S), part.n_bytes
    while True:
        reason = _cut(part, url, on_bytes, elsewhere)
        if not reason:
            return
        here = part.n_bytes
        if here > before:
            pauses = iter(PAUSES_S)
        else:
            pause = next(pauses, None)
            if pause is None:
                raise MissingAssetError(
                    f"{url} cannot be downloaded ({reason}; {here} bytes are here and are kept for the next try); "
                    f"check the network, or {elsewhere}."
                )
            sleep(pause)
        before = here


def _cut(part: _Part, url: str, on_bytes: OnBytes | None, elsewhere: str) -> str:
    """One request, and why it did not bring the rest of the file; "" if it did. Raises MissingAssetError."""
    try:
        return "" if _ask(part, url, on_bytes) else "the connection was cut"
    except _CutError as error:
        return str(error)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing lies behind what is here: it was complete, or is of another version
            part.forget()
        elif error.code < 500 and error.code != TOO_MANY_REQUESTS:
            raise MissingAssetError(f"{url} answers {error.code} ({error.reason}); {elsewhere}.") from None
        return f"the server answers {error.code}"


def _ask(part: _Part, url: str, on_bytes: OnBytes | None) -> bool:
    """One request; whether all of the file is here now."""
    here, tag = part.begun(url)
    request = urllib.request.Request(url, headers={"User-Agent": "emorph", "Accept-Encoding": "identity"})
    if here:
        request.add_header("Range", f"bytes={here}-")
        request.add_header("If-Range", tag)
    with _network():
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    with answer as response:
        goes_on = response.status == 206 and _first_byte(response) == here
        if not goes_on:
            here = 0
            part.note(url, response.headers.get("ETag") or response.headers.get("Last-Modified") or "")
        length = response.headers.get("Content-Length")
        total = here + int(length) if length is not None and length.isdecimal() else None
        with part.path.open("ab" if goes_on else "wb") as file:
            while block := _read(response):
                file.write(block)
                here += len(block)
                if on_bytes is not None:
                    on_bytes(here, total)
    return total is None or here == total


def _read(response: Any) -> bytes:
    with _network():
        block: bytes = response.read(BLOCK)
    return block


def _first_byte(response: Any) -> int:
    """Where a partial answer begins, -1 if it does not say."""
    start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(start) if start.isdecimal() else -1


def _checked(part: Path, url: str, size: int, sha256: str) -> str:
    """The SHA-256 of a complete file. Raises DataError, after removing it, if it is not the file that is meant."""
    digest = file_digest(part)
    found = part.stat().st_size
    wrong = f"{found} bytes, not {size}" if size and found != size else ""
    if not digest.startswith(sha256.lower()):
        wrong = f"SHA-256 {digest[: max(8, len(sha256))]}, not {sha256}"
    if wrong:
        part.unlink()
        raise DataError(f"{url} gave another file ({wrong}); it was removed. Try again, or unset {MIRROR_VARIABLE}.")
    return digest


def _unpack(archive: Path, member: str, path: Path) -> str:
    """Take one file out of a zip file, which is removed. Returns its SHA-256. Raises DataError."""
    digest = hashlib.sha256()
    try:
        with _written(path), zipfile.ZipFile(archive) as content:
            inside = next((n for n in content.namelist() if n == member or n.endswith(f"/{member}")), None)
            if inside is None:
                raise DataError(f"{archive.name} does not hold {member}; its owners have changed it.")
            # always of the same name: what a killed run left there is written over
            kept = written_beside(path, draft=path.with_name(f".{path.name}.part"))
            with content.open(inside) as source, kept as draft, draft.open("wb") as file:
                while block := source.read(BLOCK):
                    digest.update(block)
                    file.write(block)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:  # the last: a way of packing
        raise DataError(f"{archive.name} is damaged ({error}); try again.") from None
    finally:
        with contextlib.suppress(OSError):
            archive.unlink(missing_ok=True)
    return digest.hexdigest()
