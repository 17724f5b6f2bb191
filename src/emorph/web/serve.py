"""Running the page: where it listens, who may come, and what is warm before somebody does."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import signal
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

from emorph.core.errors import ConfigError, DataError, EmorphError
from emorph.study.serve import Place, quiet_server, refuse_taken
from emorph.web.app import Access, create_app
from emorph.web.editors import Editors
from emorph.web.sessions import Sessions

if TYPE_CHECKING:
    import uvicorn

    from emorph.edit.pipeline import Editor

MOST_CONNECTIONS = 500


def checked_access(host: str, auth: str | None, *, share: bool) -> Access:
    """Who may use a page that listens there. auth: "NAME:PASSWORD".

    Raises ConfigError for a page that strangers could reach, but has no password.
    """
    if auth is None:
        if share or not is_own(host):
            where = "--share" if share else f"--host {host}"
            raise ConfigError(f"{where} lets strangers reach the page; give a password: --auth NAME:PASSWORD.")
        return Access()
    name, colon, password = auth.partition(":")
    if not name or not colon or len(password) < 8:
        raise ConfigError("--auth is a name and a password of at least 8 characters, as in --auth lab:correcthorse.")
    return Access((name, password))


def is_own(host: str) -> bool:
    """Whether an address is reached from this machine alone.

    >>> is_own("127.0.0.1"), is_own("localhost"), is_own("0.0.0.0"), is_own("192.168.1.5")
    (True, True, False, False)
    """
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def serve(
    editors: Editors,
    place: Place,
    access: Access,
    *,
    share: bool = False,
    language: str = "",
    browser: bool = False,
    on_ready: Callable[[str], None],
) -> None:
    """Serve the page until Ctrl-C; then all photos are gone.

    share: also by a public address of Gradio's. language: that the browser
    opens it in; "" is its own. on_ready: is given the address once it answers.
    Raises MissingAssetError without Gradio, DataError if the port is taken or no public address is to be had.
    """
    refuse_taken(place)
    sessions = Sessions(editors)
    try:
        server = quiet_server(
            create_app(sessions, access), place, MOST_CONNECTIONS, extra="web", timeout_graceful_shutdown=2
        )

        def ready() -> None:
            address = _shared(place) if share else place.address
            address += f"?lang={language}" if language else ""
            on_ready(address)
            if browser:
                webbrowser.open(address)

        signal.signal(signal.SIGTERM, _end)
        sessions.submit(lambda: warm_up(editors.own))
        asyncio.run(_serve(server, ready))
    finally:
        sessions.close_all()


def _end(number: int, frame: FrameType | None) -> None:
    """End by an exception, so that what is to be removed is removed; uvicorn sends itself a signal again at its end."""
    raise SystemExit(128 + number)


async def _serve(server: uvicorn.Server, ready: Callable[[], None]) -> None:
    serving = asyncio.create_task(server.serve())
    while not server.started and not serving.done():
        await asyncio.sleep(0.05)
    try:
        if server.started:
            await asyncio.to_thread(ready)
    except EmorphError:
        server.should_exit = True
        await serving  # which would otherwise say that it was cancelled, at length
        raise
    await serving


def _shared(place: Place) -> str:
    """A public address that leads here, through Gradio's tunnel. Raises DataError."""
    from gradio.networking import setup_tunnel

    try:
        return setup_tunnel(place.host, place.port, secrets.token_urlsafe(32), None, None)
    except Exception as error:  # what the tunnel raises is nowhere stated
        raise DataError(f"no public address is to be had ({error}); leave --share out, or use a server.") from None


def warm_up(editor: Editor) -> None:
    """Load what finds faces and draw once, so that the first photo does not wait for it."""
    import numpy as np

    from emorph.core.errors import EmorphError
    from emorph.core.types import Photo
    from emorph.faces.detect import find_faces

    with suppress(EmorphError):
        find_faces(Photo(np.full((256, 256, 3), 128, np.uint8)), detector=editor.detector, min_score=editor.min_score)
