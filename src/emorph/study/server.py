"""The study's web application: its table of addresses, and a handler for each.

All links are relative, so the same pages work at the root of a host and under any path of a proxy. FastAPI is only
imported when an application is made, because the package does without it everywhere else.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import Field, ValidationError

from emorph.core.commands import install
from emorph.core.config import Config
from emorph.core.errors import MissingAssetError
from emorph.study.export import as_csv
from emorph.study.guard import App, Bucket, Guard
from emorph.study.sessions import Reason, Refused, Sessions
from emorph.study.steps import ShownStep, minutes, steps_of
from emorph.study.store import Store
from emorph.study.texts import Words, preferred

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    Handler = Callable[[Request], Awaitable[Response]]

STATUS: dict[Reason, int] = {"unknown": 404, "full": 503, "expired": 410, "done": 409, "wrong": 422, "busy": 429}
STATIC = {"study.css": "text/css", "study.js": "text/javascript", "icon.svg": "image/svg+xml"}
TOKEN_FACT = "admin token"  # its digest, never the token
RETRY_S = 5
MOST_KNOWN = 100_000  # ids that are remembered as somebody's
_ID = re.compile(r"[A-Za-z0-9_-]{22}")
_PICTURE = re.compile(r"[0-9a-f]{16}\.jpg")
_PANEL = re.compile(r"[A-Za-z0-9_.:@-]{1,128}")
_FOR_EVER = {"cache-control": "private, max-age=604800, immutable"}


class Answer(Config):
    """What the page sends. answer: a choice's key. seconds: from the pictures on the screen to the answer."""

    slot: int = Field(ge=0, le=100_000)
    question: str = Field(max_length=40)
    answer: str = Field(max_length=40)
    seconds: float = Field(ge=0, allow_inf_nan=False)


def create_app(sessions: Sessions, *, prefix: str = "") -> App:
    """The application. prefix: the part of the path that a proxy leaves in place, as "/study".

    Raises MissingAssetError without FastAPI.
    """
    try:
        from fastapi import FastAPI
        from starlette.routing import BaseRoute, Route
    except ModuleNotFoundError:
        raise MissingAssetError(f"serving a study needs FastAPI; `{install('study')}`.") from None
    pages, admin = Pages(sessions), Admin(sessions)
    table: list[tuple[str, str, Handler]] = [
        ("GET", "/", pages.consent),
        ("POST", "/begin", pages.begin),
        ("GET", "/p/{id}", pages.instructions),
        ("GET", "/p/{id}/study", pages.study),
        ("GET", "/p/{id}/step", pages.step),
        ("POST", "/p/{id}/votes", pages.vote),
        ("GET", "/pictures/{name}", pages.picture),
        ("GET", "/static/{name}", pages.static),
        ("GET", "/admin/progress", admin.progress),
        ("GET", "/admin/votes.csv", admin.votes),
    ]
    routes: list[BaseRoute] = [Route(path, pages.guarded(handler), methods=[way]) for way, path, handler in table]
    app = FastAPI(routes=routes, docs_url=None, redoc_url=None, openapi_url=None)
    return Guard(app, prefix)


class Pages:
    """What participants see and send."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        folder = files("emorph.study") / "page"
        self._static = {name: (folder / name).read_bytes() for name in STATIC}
        version = hashlib.sha256(b"".join(self._static.values())).hexdigest()[:12]
        loader = PackageLoader("emorph.study", "page")
        self._templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
        self._templates.globals["version"] = version
        self._templates.globals["languages"] = sessions.words
        self._templates.globals["drawn"] = sessions.drawn
        self._templates.globals["panel_parameter"] = sessions.design.finish.panel_parameter
        self._each = Bucket(per_s=8, burst=40)
        self._newcomers = Bucket(per_s=10, burst=400)
        self._strangers = Bucket(per_s=20, burst=400)  # all requests with ids that were not seen to be somebody's
        self._known: set[str] = set()

    def guarded(self, handler: Handler) -> Handler:
        """The handler, with a page in the reader's language for whatever was refused."""

        async def handle(request: Request) -> Response:
            try:
                response = await handler(request)
                if "id" in request.path_params and len(self._known) < MOST_KNOWN:
                    self._known.add(request.path_params["id"])
                return response
            except Refused as refused:
                return self._sorry(request, refused.reason)

        return handle

    async def consent(self, request: Request) -> Response:
        """What the study is about, and the form that begins it."""
        words = self._words(request)
        panel = self._panel(request.query_params.get(self._sessions.design.finish.panel_parameter or "-", ""))
        return self._page("consent.html", words, "", ticket=secrets.token_urlsafe(16), panel=panel, missed=False)

    async def begin(self, request: Request) -> Response:
        """Give a place to who has agreed, and lead on to it."""
        from starlette.responses import RedirectResponse

        form = await _form(request)
        words = self._sessions.words.get(form.get("language", ""))
        ticket, panel = form.get("ticket", ""), self._panel(form.get("panel", ""))
        if words is None or not _ID.fullmatch(ticket):
            raise Refused("wrong")
        if form.get("agree") != "yes":
            return self._page("consent.html", words, "", ticket=ticket, panel=panel, missed=True, status=422)
        if not self._newcomers.admits("all"):
            raise Refused("busy")
        participant = await self._sessions.begin(ticket, panel, words.code)
        return RedirectResponse(f"p/{participant}", status_code=303)

    async def instructions(self, request: Request) -> Response:
        """How it works and the link to come back by; thanks and the code once all is answered."""
        participant = self._participant(request)
        seat = await self._sessions.seat(participant)
        design, words = self._sessions.design, self._sessions.words.get(seat.person.language) or self._words(request)
        if seat.person.finished is not None:
            code = seat.person.completion
            back = design.finish.return_url.replace("{code}", quote(code)).replace("{participant}", quote(seat.panel))
            return self._page("finish.html", words, "../", code=code, back=back, participant=participant)
        steps = steps_of(design, seat.screens)
        return self._page(
            "instructions.html", words, "../", design=design, participant=participant, n=len(seat.screens),
            minutes=minutes(steps), has_begun=seat.n_votes > 0,
        )  # fmt: skip

    async def study(self, request: Request) -> Response:
        """The page on which the questions are asked; its script fetches them."""
        participant = self._participant(request)
        seat = await self._sessions.seat(participant)
        words = self._sessions.words.get(seat.person.language) or self._words(request)
        return self._page("study.html", words, "../../", participant=participant)

    async def step(self, request: Request) -> Response:
        """The present question."""
        return _json(await self._sessions.step(self._participant(request)))

    async def vote(self, request: Request) -> Response:
        """Store an answer; what comes back says that it is on the disk, and what is asked next."""
        participant = self._participant(request)
        try:
            answer = Answer.model_validate_json(await request.body())
        except ValidationError:
            raise Refused("wrong") from None
        return _json(
            await self._sessions.answer(participant, answer.slot, answer.question, answer.answer, answer.seconds)
        )

    async def picture(self, request: Request) -> Response:
        """A picture by its random name."""
        from starlette.responses import Response

        name = request.path_params["name"]
        path = self._sessions.pictures / name
        if not _PICTURE.fullmatch(name) or not path.is_file():
            raise Refused("unknown")
        return Response(path.read_bytes(), media_type="image/jpeg", headers=_FOR_EVER)  # no file's time: it might tell

    async def static(self, request: Request) -> Response:
        """The style and the script."""
        from starlette.responses import Response

        name = request.path_params["name"]
        if name not in STATIC:
            raise Refused("unknown")
        return Response(self._static[name], media_type=STATIC[name], headers=_FOR_EVER)

    def _participant(self, request: Request) -> str:
        """The id of an address, if it may ask now. Raises Refused."""
        participant = str(request.path_params["id"])
        bucket, name = (self._each, participant) if participant in self._known else (self._strangers, "all")
        if not bucket.admits(name):
            raise Refused("busy")
        if not _ID.fullmatch(participant):
            raise Refused("unknown")
        return participant

    def _panel(self, given: str) -> str:
        if given and (not self._sessions.design.finish.panel_parameter or not _PANEL.fullmatch(given)):
            raise Refused("wrong")
        return given

    def _words(self, request: Request) -> Words:
        """Of the language that is asked for in the address, or that the browser prefers and the study has."""
        known = self._sessions.words
        asked, accepted = request.query_params.get("lang", ""), request.headers.get("accept-language", "")
        return known[preferred(asked, accepted, known)]

    def _page(self, name: str, words: Words, root: str, *, status: int = 200, **values: object) -> Response:
        from starlette.responses import HTMLResponse

        title = self._sessions.design.title
        page = self._templates.get_template(name).render(words=words, say=words.say, root=root, title=title, **values)
        return HTMLResponse(page, status_code=status)

    def _sorry(self, request: Request, reason: Reason) -> Response:
        from starlette.responses import JSONResponse

        headers = {"retry-after": str(RETRY_S)} if STATUS[reason] in (429, 503) else {}
        if request.scope["path"].rsplit("/", 1)[-1] in ("votes", "step"):
            return JSONResponse({"refused": reason}, status_code=STATUS[reason], headers=headers)
        root = "../" * (request.scope["path"].count("/") - 1)
        response = self._page("message.html", self._words(request), root, status=STATUS[reason], reason=reason)
        response.headers.update(headers)
        return response


class Admin:
    """What only who holds the token sees."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._tries = Bucket(per_s=1, burst=20)

    async def progress(self, request: Request) -> Response:
        """How the study stands."""
        await self._check(request)
        counts = await self._sessions.commits.do(Store.counts)
        least, most = self._sessions.balance(counts)
        figures = {"started": counts.n_started, "finished": counts.n_finished, "votes": counts.n_votes}
        return _json_of(figures | {"shown_least": least, "shown_most": most})

    async def votes(self, request: Request) -> Response:
        """All votes."""
        from starlette.responses import Response

        await self._check(request)
        text = as_csv(await self._sessions.commits.do(Store.vote_rows))
        return Response(text, media_type="text/csv; charset=utf-8")

    async def _check(self, request: Request) -> None:
        """Raises Refused for whoever does not send the token as "Authorization: Bearer TOKEN"."""
        if not self._tries.admits("all"):
            raise Refused("busy")
        given = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        known = await self._sessions.commits.do(lambda store: store.fact(TOKEN_FACT))
        if known is None or not hmac.compare_digest(known, token_digest(given)):
            raise Refused("unknown")


def token_digest(token: str) -> str:
    """What is stored of a token: it is random and long, so a plain digest tells nothing."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form. Raises Refused for what no browser sends."""
    try:
        fields = parse_qs((await request.body()).decode("ascii"), max_num_fields=10)
    except ValueError:
        raise Refused("wrong") from None
    return {key: values[0] for key, values in fields.items()}


def _json(step: ShownStep | None) -> Response:
    return _json_of({"finished": True} if step is None else dataclasses.asdict(step))


def _json_of(values: Mapping[str, Any]) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse(values)
