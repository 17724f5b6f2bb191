"""The web application: Gradio's page in each language, and the addresses that its script asks."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from emorph.core.commands import install
from emorph.core.errors import MissingAssetError
from emorph.study.guard import App
from emorph.study.texts import Words, preferred
from emorph.web.batch_tab import add_batch_tab
from emorph.web.compare_tab import add_compare_tab
from emorph.web.edit_tab import Controls, add_edit_tab
from emorph.web.guard import MAX_BODY_BYTES, Guard
from emorph.web.live import Live
from emorph.web.mesh_tab import add_mesh_tab
from emorph.web.sessions import Refused, Sessions
from emorph.web.transfer_tab import add_transfer_tab
from emorph.web.words import LANGUAGES, words_of

if TYPE_CHECKING:
    import gradio
    from starlette.requests import Request
    from starlette.responses import Response

STATIC = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
FONTS = ["system-ui", "sans-serif"]  # the reader's own: nothing is asked of another server


@dataclass(frozen=True)
class Access:
    """Who may use the page. auth: a name and a password, or None for everybody who reaches it."""

    auth: tuple[str, str] | None = None


def create_app(sessions: Sessions, access: Access | None = None) -> App:
    """The application. Raises MissingAssetError without Gradio, or for a model without directions."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(sessions.root / "gradio")
    try:
        import gradio as gr
        from fastapi import FastAPI
        from starlette.responses import RedirectResponse
        from starlette.routing import BaseRoute, Route
    except ModuleNotFoundError:
        raise MissingAssetError(f"the page needs Gradio; `{install('web')}`.") from None
    live = Live(sessions)
    statics = {name: (files("emorph.web") / "page" / name).read_bytes() for name in STATIC}
    version = hashlib.sha256(b"".join(statics.values())).hexdigest()[:12]

    async def root(request: Request) -> Response:
        asked, accepted = request.query_params.get("lang", ""), request.headers.get("accept-language", "")
        return RedirectResponse(f"{preferred(asked, accepted, LANGUAGES)}/", 307)

    routes: list[BaseRoute] = [
        Route("/", root),
        Route("/static/{name}", _static(statics)),
        Route("/favicon.ico", lambda _: RedirectResponse("static/icon.svg", 307)),  # asked for before the head is read
        *(
            Route(f"/live/{{key}}/{address}", live.answered(handler), methods=[way])
            for way, address, handler in live.table()
        ),
    ]
    app = FastAPI(routes=routes, docs_url=None, redoc_url=None, openapi_url=None)
    theme = gr.themes.Default(
        primary_hue="teal", neutral_hue="slate", font=FONTS, font_mono=["ui-monospace", "monospace"]
    )
    controls = Controls.of(sessions.editors.own)
    for code in LANGUAGES:
        words = words_of(code)
        gr.mount_gradio_app(
            app, blocks(words, controls, sessions), f"/{code}", footer_links=[], run_history=False, theme=theme,
            auth=access.auth if access else None, auth_message=words.say("login.message"),
            head=_head(words, controls, version), show_error=True, max_file_size=MAX_BODY_BYTES,
            ssr_mode=False, mcp_server=False, pwa=False, enable_monitoring=False,
        )  # fmt: skip
    return Guard(app)


def blocks(words: Words, controls: Controls, sessions: Sessions) -> gradio.Blocks:
    """The page in one language."""
    import gradio as gr

    def begin(request: gr.Request) -> str:
        try:
            session = sessions.open()
        except Refused as refused:
            raise gr.Error(words.say(f"refused.{refused.reason}")) from None
        keys[request.session_hash or ""] = session.key
        return session.key

    def end(request: gr.Request) -> None:
        sessions.close(keys.pop(request.session_hash or "", ""))

    for handler in (begin, end):  # Gradio looks for the class, and not for its name in a string
        handler.__annotations__["request"] = gr.Request
    keys: dict[str, str] = {}
    with gr.Blocks(title=words.say("title"), analytics_enabled=False, delete_cache=(600, 1800)) as page:
        gr.HTML(f"<h1>{words.say('heading')}</h1>")
        key = gr.Textbox(elem_id="em-key", label="key")
        with gr.Tabs():
            with gr.Tab(words.say("tab.edit")):
                add_edit_tab(words, controls)
            with gr.Tab(words.say("tab.transfer")):
                add_transfer_tab(words, sessions, key)
            with gr.Tab(words.say("tab.compare")):
                add_compare_tab(words, controls, sessions, key)
            with gr.Tab(words.say("tab.batch")):
                add_batch_tab(words, controls, sessions, key)
            with gr.Tab(words.say("tab.mesh")):
                add_mesh_tab(words, sessions, key)
        page.load(begin, None, key, api_visibility="private", show_progress="hidden").then(
            None, key, None, js="key => { window.emorph.begin(key) }"
        )
        page.unload(end)
    built: gradio.Blocks = page
    return built


def _head(words: Words, controls: Controls, version: str) -> str:
    """What stands in the page's head: the script, the style, and what they need to know."""
    facts = {
        "language": words.code, "words": dict(words.texts), "emotions": controls.emotions, "units": controls.units,
        "mostBytes": MAX_BODY_BYTES,
    }  # fmt: skip
    told = json.dumps(facts, ensure_ascii=False).replace("<", "\\u003c")
    # Gradio's own few words follow the browser's language; they should follow the page's.
    language = f"Object.defineProperty(navigator, 'language', {{get: () => '{words.code}'}});"
    return (
        f"<script>{language}</script>"
        f'<script type="application/json" id="emorph-facts">{told}</script>'
        f'<link rel="icon" type="image/svg+xml" href="../static/icon.svg?v={version}">'
        f'<link rel="stylesheet" href="../static/page.css?v={version}">'
        f'<script src="../static/page.js?v={version}"></script>'
    )


def _static(contents: dict[str, bytes]) -> Callable[[Request], Awaitable[Response]]:
    async def static(request: Request) -> Response:
        from starlette.responses import Response as Plain

        name: Any = request.path_params["name"]
        if name not in contents:
            return Plain(status_code=404)
        return Plain(contents[name], media_type=STATIC[name], headers={"cache-control": "max-age=604800, immutable"})

    return static
