"""What stands before the study's pages: limits on bodies and rates, a path prefix, and headers that browsers obey."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

MAX_BODY_BYTES = 8192
BODY_WAIT_S = 15.0
MAX_NAMES = 10_000
HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "x-robots-tag": "noindex, nofollow",
}

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Bucket:
    """So many requests a second on average, and ``burst`` at once; for each name of its own.

    Only the most recent names are remembered. A name is a participant's id or a fixed word, never an address.
    """

    def __init__(self, per_s: float, burst: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, when

    def admits(self, name: str) -> bool:
        """Whether one more request of ``name`` may pass; counts it if so."""
        now = self._clock()
        tokens, since = self._held.pop(name, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - since) * self._per_s)
        self._held[name] = (tokens - 1 if tokens >= 1 else tokens, now)
        if len(self._held) > MAX_NAMES:
            self._held.popitem(last=False)
        return tokens >= 1


class Guard:
    """An ASGI application around another one.

    prefix: "" or "/study": the part of the path that a proxy leaves in place.
    """

    def __init__(self, app: App, prefix: str = "") -> None:
        self._app, self._prefix = app, prefix.rstrip("/")

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        guarded = with_headers(send, HEADERS)
        if self._prefix and scope["path"].startswith(self._prefix + "/"):
            scope = {**scope, "path": scope["path"][len(self._prefix) :], "raw_path": b""}
        try:
            body = await asyncio.wait_for(_body(scope, receive), BODY_WAIT_S)
        except TimeoutError:
            await refuse(guarded, 408)
            return
        if body is None:
            await refuse(guarded, 413)
            return
        await self._app(scope, _replay(body, receive), guarded)


async def _body(scope: Message, receive: Receive) -> bytes | None:
    """The whole body; None if it is larger than any answer or form of ours can be."""
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if not declared.isdigit() or int(declared) > MAX_BODY_BYTES:
        return None
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":  # the client is gone
            return body
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY_BYTES:
            return None
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return pending.pop() if pending else await receive()

    return again


def with_headers(send: Send, headers: Mapping[str, str]) -> Send:
    """Send with these headers added; what says nothing of caches is stored in none."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [(name.encode(), value.encode()) for name, value in headers.items()]
            has_cache = any(name == b"cache-control" for name, _ in message["headers"])
            own += [] if has_cache else [(b"cache-control", b"no-store")]
            message = {**message, "headers": [*message["headers"], *own]}
        await send(message)

    return guarded


async def refuse(send: Send, status: int) -> None:
    """Answer with a status and nothing else, and close the connection."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
