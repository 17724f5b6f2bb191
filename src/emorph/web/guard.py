"""What stands before the page: headers that keep a browser from asking other hosts, and limits on what is sent."""

from __future__ import annotations

import os

from emorph.study.guard import App, Message, Receive, Send, refuse, with_headers

MAX_BODY_BYTES = 64 * 2**20  # of a photo
MAX_UPLOAD_BYTES = (
    512 * 2**20
)  # of many photos at once, each of MAX_BODY_BYTES; Gradio writes them to disk as they come
_UPLOAD = "/gradio_api/upload"
_SPACE_FRAMES = " https://huggingface.co"  # a Space is shown in a frame of theirs

# Gradio's page runs scripts that stand in it, and styles; all else comes from this server alone.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob: mediastream:; font-src 'self' data:; connect-src 'self' blob: "
    "data:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)


def headers() -> dict[str, str]:
    """What every answer says to the browser."""
    is_space = bool(os.environ.get("SPACE_ID"))  # set by the host of Spaces
    return {
        "content-security-policy": _POLICY + (_SPACE_FRAMES if is_space else ""),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "permissions-policy": "camera=(self), microphone=(), geolocation=()",
        "x-robots-tag": "noindex, nofollow",
    }


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: App) -> None:
        self._app, self._headers = app, headers()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        guarded = with_headers(send, self._headers)
        if scope["method"] in ("POST", "PUT", "PATCH"):
            most = MAX_UPLOAD_BYTES if scope["path"].endswith(_UPLOAD) else MAX_BODY_BYTES
            status = _fault(dict(scope["headers"]), most)
            if status:
                await refuse(guarded, status)
                return
        await self._app(scope, receive, guarded)


def _fault(sent: dict[bytes, bytes], most: int) -> int:
    """The status for a body that is not taken: one whose length is not said, or is too large; 0 for all others."""
    declared = sent.get(b"content-length", b"")
    if not declared.isdigit():
        return 411
    return 413 if int(declared) > most else 0
