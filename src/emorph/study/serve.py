"""Running a study: the web server, the token that opens its results, and a line that tells how it stands."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from emorph.core.errors import DataError, MissingAssetError
from emorph.study.server import TOKEN_FACT, create_app, token_digest
from emorph.study.sessions import Sessions
from emorph.study.store import Counts, Store

if TYPE_CHECKING:
    import uvicorn

LINE_EVERY_S = 2.0
MOST_CONNECTIONS = 2000


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


def serve(study: Path, *, host: str, port: int, prefix: str, on_line: Callable[[str], None]) -> None:
    """Serve a study until Ctrl-C; all that was acknowledged is in its file.

    prefix: the part of the path that a proxy leaves in place. on_line: is given the line whenever it has changed.
    Raises MissingAssetError without FastAPI and uvicorn, DataError if the port is taken, and what ``Sessions`` raises.
    """
    try:
        import uvicorn
    except ModuleNotFoundError:
        raise MissingAssetError("serving a study needs uvicorn; pip install 'emorph[study]'.") from None
    sessions = Sessions(study)
    try:
        config = uvicorn.Config(
            create_app(sessions, prefix=prefix),
            host=host,
            port=port,
            lifespan="off",
            log_level="warning",
            access_log=False,  # it would hold addresses
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=5,
        )
        asyncio.run(_serve(uvicorn.Server(config), sessions, on_line))
    except SystemExit:
        raise DataError(
            f"{host}:{port} cannot be listened on; is another server there? Choose another --port."
        ) from None
    finally:
        sessions.close()


async def _serve(server: uvicorn.Server, sessions: Sessions, on_line: Callable[[str], None]) -> None:
    telling = asyncio.create_task(_tell(sessions, on_line))
    try:
        await server.serve()
    finally:
        telling.cancel()


async def _tell(sessions: Sessions, on_line: Callable[[str], None]) -> None:
    said = None
    while True:
        counts = await sessions.commits.do(Store.counts)
        if counts != said:
            said = counts
            on_line(line(counts, sessions.balance(counts)))
        await asyncio.sleep(LINE_EVERY_S)
