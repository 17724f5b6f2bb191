"""The addresses that the page's own script asks: a photo in, pictures out, while controls move.

A page has one picture drawn at a time; of those that wait, all but the latest are dropped.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
from PIL import Image
from pydantic import ValidationError

from emorph.core.decode import to_srgb
from emorph.core.errors import EmorphError
from emorph.core.formats import writable_suffixes
from emorph.core.images import write_image, write_photo
from emorph.core.types import Photo, Target, UInt8
from emorph.edit.batch import unbroken
from emorph.edit.files import made_by
from emorph.edit.live import LivePhoto
from emorph.edit.metadata import expression_metadata
from emorph.edit.result import Edit
from emorph.edit.sheet import grid, tiles, title
from emorph.web.fonts import font_for
from emorph.web.sessions import Refused, Session, Sessions, Superseded
from emorph.web.wish import Wish
from emorph.web.words import LANGUAGES, sentence, words_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from emorph.study.texts import Words

    Handler = Callable[[Request, Session], Awaitable[Response]]

ENOUGH_S = 0.1  # a model that draws as quickly needs no sketches
SHOWN_QUALITY = 90  # of the JPEG that is shown; what is saved is another file
STRIP_STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.25)
MOST_NAME = 50  # characters of a file's name that are kept
STATUS = {"early": 409, "unknown": 404, "no_photo": 409, "busy": 429, "full": 503, "large": 413}


class Live:
    """Handlers of requests."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._exact_s = 0.0  # what a drawing took the last time

    def table(self) -> list[tuple[str, str, Handler]]:
        """Methods, addresses below a page's key, and what answers."""
        return [
            ("POST", "photo", self.photo),
            ("GET", "before", self.before),
            ("POST", "draw", self.draw),
            ("GET", "progress", self.progress),
            ("POST", "words", self.words),
            ("POST", "save", self.save),
            ("POST", "strip", self.strip),
            ("POST", "sheet", self.sheet),
        ]

    def answered(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """The handler, with a sentence in the page's language for whatever goes wrong."""

        async def handle(request: Request) -> Response:
            from starlette.responses import JSONResponse

            words = _words(request)
            try:
                return await handler(request, self._sessions.of(request.path_params["key"]))
            except Refused as refused:
                return JSONResponse({"message": sentence(refused, words)}, STATUS[refused.reason])
            except EmorphError as error:
                return JSONResponse({"message": sentence(error, words)}, 422)
            except (ValidationError, UnicodeDecodeError):
                return JSONResponse({"message": words.say("trouble.request")}, 422)

        return handle

    async def photo(self, request: Request, session: Session) -> Response:
        """Take the body as the photo; what is to be shown of it."""
        from starlette.responses import JSONResponse

        name = kept_name(unquote(request.query_params.get("name", "")))
        path = session.photo_file(name)
        path.write_bytes(await request.body())
        started_s = time.perf_counter()
        try:
            with self._sessions.waiting(session):
                live = await self._compute(partial(self._sessions.take_photo, session, path))
        except (EmorphError, Refused):
            path.unlink(missing_ok=True)
            raise
        height, width = live.preview.pixels.shape[:2]
        own_height, own_width = live.photo.pixels.shape[:2]
        return JSONResponse(
            {
                "name": name, "width": width, "height": height, "own": [own_width, own_height],
                "faces": [[number, *(edge * live.scale for edge in face.box)] for number, face in live.faces.items()],
                "face": live.largest, "leftOut": live.n_left_out, "seconds": time.perf_counter() - started_s,
                "suffixes": [suffix.removeprefix(".") for suffix in saved_as(name)],
            }
        )  # fmt: skip

    async def before(self, request: Request, session: Session) -> Response:
        """The photo as it is, at the size of what is shown."""
        return _picture(await self._compute(partial(shown, session.photo.preview)))

    async def draw(self, request: Request, session: Session) -> Response:
        """The picture of a wish; an empty answer (204) where a later wish has come meanwhile."""
        from starlette.responses import Response as Plain

        wish = Wish.model_validate_json(await request.body())
        session.newest = max(session.newest, wish.number)
        with self._sessions.waiting(session):
            found = await self._compute(partial(self._drawn, session, wish))
        if found is None:
            return Plain(status_code=204)
        content, seconds, exact = found
        return _picture(content, {"x-seconds": f"{seconds:.3f}", "x-exact": str(int(exact))})

    async def progress(self, request: Request, session: Session) -> Response:
        """How many evaluations of the picture that is drawn now are done, of how many."""
        from starlette.responses import JSONResponse

        return JSONResponse(session.progress)

    async def words(self, request: Request, session: Session) -> Response:
        """The wish as a command and as Python."""
        from starlette.responses import JSONResponse

        wish = Wish.model_validate_json(await request.body())
        of = session.name, len(session.photo.faces), self._sessions.editors.setup
        several = session.has_frames
        return JSONResponse(
            {
                "command": wish.as_command(*of, has_frames=several),
                "python": wish.as_python(*of, has_frames=several),
            }
        )

    async def save(self, request: Request, session: Session) -> Response:
        """The photo at its own size as a file, with what its own file holds besides pixels."""
        wish = Wish.model_validate_json(await request.body())
        suffix = f".{request.query_params.get('as', 'png')}"
        if suffix not in saved_as(session.name):
            raise Refused("unknown")

        def file(live: LivePhoto) -> bytes:
            (edit,) = live.finished(wish.face, [wish.target()], on_step=session.stepping())
            path = session.folder / f"result{suffix}"
            metadata = expression_metadata(made_by(live.editor), [edit.target])
            write_photo(path, edit.photo, metadata=metadata)
            return _taken(path)

        return await self._made(session, file, f"{Path(session.name).stem}_edited{suffix}")

    async def strip(self, request: Request, session: Session) -> Response:
        """One row: the photo, and the wish in several strengths."""
        wish = Wish.model_validate_json(await request.body())
        targets = [wish.model_copy(update={"strength": strength}).target() for strength in STRIP_STRENGTHS]
        return await self._row(session, wish.face, lambda _: targets, "strip", _words(request))

    async def sheet(self, request: Request, session: Session) -> Response:
        """One row: the photo, and all emotions."""
        wish = Wish.model_validate_json(await request.body())
        return await self._row(session, wish.face, lambda live: live.editor.sheet_targets(), "sheet", _words(request))

    async def _row(
        self, session: Session, face: int, targets: Callable[[LivePhoto], list[Target]], word: str, words: Words
    ) -> Response:
        font = font_for(words.code)

        def file(live: LivePhoto) -> bytes:
            edits: Sequence[Edit[Target]] = live.finished(face, targets(live), on_step=session.stepping())
            shown = replace(tiles(edits), titles=_titles(edits, words)) if font else tiles(edits)
            row: UInt8 = np.asarray(grid([shown], font))
            path = session.folder / "row.png"
            write_image(path, row, metadata=expression_metadata(made_by(live.editor), [edit.target for edit in edits]))
            return _taken(path)

        return await self._made(session, file, f"{Path(session.name).stem}_{word}.png")

    async def _made(self, session: Session, file: Callable[[LivePhoto], bytes], name: str) -> Response:
        """A file for the user to keep, made in its turn."""
        from starlette.responses import Response as Plain

        with self._sessions.waiting(session):
            content = await self._compute(lambda: file(session.photo))
        ascii_name = name.encode("ascii", "replace").decode().replace("?", "_").replace('"', "_")
        headers = {"content-disposition": f'attachment; filename="{ascii_name}"', "cache-control": "no-store"}
        return Plain(content, media_type="application/octet-stream", headers=headers)

    def _drawn(self, session: Session, wish: Wish) -> tuple[bytes, float, bool] | None:
        """The picture, the seconds it took, and whether it is exact; None where it is not wanted any more."""
        if wish.number < session.newest:
            return None
        live, target = session.photo, wish.target()
        session.face = wish.face if wish.face in live.faces else session.face
        is_sketch = wish.sketch and self._exact_s > ENOUGH_S and not wish.asks_for_nothing
        if is_sketch:
            edit = live.sketch(wish.face, target)
        else:
            try:
                edit = live.draw(wish.face, target, on_step=session.stepping(wish.number))
            except Superseded:
                return None
            self._exact_s = edit.seconds if not wish.asks_for_nothing else self._exact_s
        return shown(edit.photo), edit.seconds, not is_sketch

    async def _compute(self, work: Callable[[], Any]) -> Any:
        return await asyncio.wrap_future(self._sessions.submit(work))


def shown(photo: Photo) -> bytes:
    """A photo as a browser shows it: JPEG, in sRGB."""
    image = Image.fromarray(photo.pixels)
    content = io.BytesIO()
    (image if photo.icc is None else to_srgb(image, photo.icc)).save(
        content, "JPEG", quality=SHOWN_QUALITY, subsampling=0
    )
    return content.getvalue()


def saved_as(name: str) -> list[str]:
    """Suffixes of the files that a photo of this name may be saved as: PNG, which holds all, then its own kind.

    >>> saved_as("me.JPG")
    ['.png', '.jpg', '.webp']
    """
    own = Path(name).suffix.lower()
    others = [own] if own in writable_suffixes() else []
    return list(dict.fromkeys([".png", *others, ".jpg", ".webp"]))


def kept_name(name: str) -> str:
    """A file's name as the browser tells it, without folders and what no name should hold.

    >>> kept_name("../../etc/pass\\x00wd.png"), kept_name("")
    ('passwd.png', 'photo.png')
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    printable = "".join(letter for letter in last if letter.isprintable()).strip()
    stem, suffix = Path(printable).stem, Path(printable).suffix
    return f"{stem[:MOST_NAME]}{suffix[:10]}" if stem.strip(".") else "photo.png"


def _taken(path: Path) -> bytes:
    """A file's content; the file goes."""
    with unbroken():
        content = path.read_bytes()
        path.unlink()
    return content


def _picture(content: bytes, headers: dict[str, str] | None = None) -> Response:
    from starlette.responses import Response as Plain

    return Plain(content, media_type="image/jpeg", headers={"cache-control": "no-store", **(headers or {})})


def _words(request: Request) -> Words:
    """In the page's language."""
    language = request.query_params.get("lang")
    return words_of(language if language in LANGUAGES else LANGUAGES[0])


def _titles(edits: Sequence[Edit[Target]], words: Words) -> tuple[str, ...]:
    """What stands over a photo and its edits, in the page's language; of blends and units as everywhere."""
    return (words.say("edit.reset"), *(_title(edit.target, words) for edit in edits))


def _title(target: Target, words: Words) -> str:
    if target.emotion is None or target.blend or target.units:
        return title(target)
    return title(target).replace(target.title, words.say(f"emotion.{target.emotion.word}"))
