"""Running a study: the web server, the token that opens its results, and a line that tells how it stands."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorph.core.commands import install
from emorph.core.errors import DataError, MissingAssetError
from emorph.study.guard import App
from emorph.study.server import TOKEN_FACT, create_app, token_digest
from emorph.study.sessions import Sessions
from emorph.study.store import Counts, Store

if TYPE_CHECKING:
    import uvicorn

MOST_CONNECTIONS = 2000


@dataclass(frozen=True)
class Place:
    """Where a study is served. prefix: the part of the path that a proxy leaves in place, as "/study", or ""."""

    host: str = "127.0.0.1"
    port: int = 8080
    prefix: str = ""

    @property
    def address(self) -> str:
        """What to open in a browser on this machine."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self.prefix.rstrip('/')}/"


def new_token(study: Path, *, renew: bool = False) -> str | None:
    """A token for the results; None if there is one already. It is kept as a digest only, so show it at once."""
    store = Store(study)
    try:
        with store.transaction():
            if store.fact(TOKEN_FACT) is not None and not renew:
                return None
            token = secrets.token_urlsafe(24)
            store.write_fact(TOKEN_FACT, token_digest(token))
            return token
    finally:
        store.close()


def line(counts: Counts, balance: tuple[int, int]) -> str:
    """How a study stands, in one line."""
    least, most = balance
    times = f"{least}" if least == most else f"{least} to {most}"
    return (
        f"{counts.n_started} started, {counts.n_finished} finished, {counts.n_votes} votes; "
        f"each trial was seen {times} times by those who finished"
    )


def serve(
    study: Path,
    place: Place,
    *,
    on_ready: Callable[[str], None],
    on_line: Callable[[str], None],
    every_s: float = 2.0,
) -> None:
    """Serve a study until Ctrl-C; all that was acknowledged is in its file.

    on_ready: is given the address once it answers. on_line: is given the line when it has changed, every_s at most.
    Raises MissingAssetError without FastAPI and uvicorn, DataError if the port is taken, and what ``Sessions`` raises.
    """
    refuse_taken(place)
    sessions = Sessions(study)
    try:
        server = quiet_server(
            create_app(sessions, prefix=place.prefix), place, MOST_CONNECTIONS, extra="study", lifespan="off",
            proxy_headers=False, timeout_keep_alive=30, timeout_graceful_shutdown=5,
        )  # fmt: skip
        asyncio.run(_serve(server, sessions, lambda: on_ready(place.address), on_line, every_s))
    finally:
        sessions.close()


def quiet_server(app: App, place: Place, most_connections: int, *, extra: str, **options: Any) -> uvicorn.Server:
    """A server that keeps nothing of who came, and does not say what it is.

    extra: of emorph, that brings uvicorn. options: others of ``uvicorn.Config``. Raises MissingAssetError without it.
    """
    try:
        import uvicorn
    except ModuleNotFoundError:
        raise MissingAssetError(f"serving pages needs uvicorn; `{install(extra)}`.") from None
    config = uvicorn.Config(
        app,
        host=place.host,
        port=place.port,
        log_level="warning",
        access_log=False,  # it would hold addresses
        server_header=False,
        limit_concurrency=most_connections,
        **options,
    )
    return uvicorn.Server(config)


def refuse_taken(place: Place) -> None:
    """Raises DataError if the port cannot be had: uvicorn would only log it and exit."""
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((place.host, place.port))
    except OSError as error:
        where = f"{place.host}:{place.port}"
        raise DataError(f"{where} cannot be listened on ({error.strerror}); choose another --port or --host.") from None


async def _serve(
    server: uvicorn.Server,
    sessions: Sessions,
    on_ready: Callable[[], None],
    on_line: Callable[[str], None],
    every_s: float,
) -> None:
    telling = asyncio.create_task(_tell(server, sessions, on_ready, on_line, every_s))
    try:
        await server.serve()
    finally:
        telling.cancel()


async def _tell(
    server: uvicorn.Server,
    sessions: Sessions,
    on_ready: Callable[[], None],
    on_line: Callable[[str], None],
    every_s: float,
) -> None:
    while not server.started:
        await asyncio.sleep(0.05)
    on_ready()
    said = None
    while True:
        counts = await sessions.commits.do(Store.counts)
        if counts != said:
            said = counts
            on_line(line(counts, sessions.balance(counts)))
        await asyncio.sleep(every_s)
