"""People who take part in a study over HTTP, and the server they do it on, which can be killed under them."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from emorph.study.design import NewStudy, Wishes, new_study

Vote = tuple[int, str]  # slot, question
Reply = tuple[int, dict[str, str], bytes]  # status, headers, body
SRC = Path(__file__).parents[2] / "src"
START_S = 240  # on a machine that does much else


def made_study(
    folder: Path, *, n_photos: int = 12, methods: Sequence[str] = ("A", "B"), targets: Sequence[str] = ("happy", "sad"),
    side_px: int = 96, **wishes: Any,
) -> NewStudy:  # fmt: skip
    """A study of made pictures, smooth noise, in ``folder``/study; wishes: as in ``Wishes``."""
    rng = np.random.default_rng(0)
    sets = []
    for method in ("", *methods):
        (folder / f"edits_{method}").mkdir(parents=True, exist_ok=True)
    for number in range(n_photos):
        for method in ("", *methods):
            for target in targets if method else ("",):
                coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
                image = Image.fromarray(coarse).resize((side_px, side_px), Image.Resampling.BICUBIC)
                name = f"photo{number}_{target}.png" if target else f"photo{number}.png"
                image.save(folder / f"edits_{method}" / name)
    sets = [f"{method}={folder / f'edits_{method}'}" for method in methods]
    return new_study(folder / "study", sets, Wishes(**{"sources": folder / "edits_", "size_px": side_px, **wishes}))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(process: subprocess.Popen[str], port: int) -> None:
    """Return when a server answers on its port. Raises RuntimeError, with what it said, if it ends or is late."""
    end_s = time.monotonic() + START_S
    while time.monotonic() < end_s:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    process.kill()
    raise RuntimeError(f"the server does not answer: {process.communicate()[1]}")


class Served:
    """``emorph study serve`` in a process of its own; a context manager. options: of the command."""

    def __init__(self, study: Path, *options: str) -> None:
        self.study, self.port, self._options = study, free_port(), options
        self.address = f"http://127.0.0.1:{self.port}/"
        self.said = ""  # on stderr, of processes that have ended
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Served:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGTERM)

    def start(self) -> None:
        """Start it, and return when it answers."""
        command = [sys.executable, "-m", "emorph", "study", "serve", str(self.study), "--port", str(self.port)]
        path = os.pathsep.join(filter(None, [str(SRC), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [*command, *self._options], env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE, text=True
        )
        wait_for(self._process, self.port)

    def stop(self, how: signal.Signals) -> None:
        """End the process: SIGKILL gives it no time for anything."""
        if self._process is not None:
            self._process.send_signal(how)
            self.said += self._process.communicate()[1]
            self._process = None


class Connection:
    """One kept-alive connection; whatever goes wrong with it is a ConnectionError."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes = b"", kind: str = "") -> Reply:
        """Status, headers and body of the answer."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._streams
            length = f"content-length: {len(body)}\r\ncontent-type: {kind}\r\n" if method == "POST" else ""
            writer.write(f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{length}\r\n".encode() + body)
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = head.split("\r\n")
            headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:] if line)}
            content = await reader.readexactly(int(headers.get("content-length", 0)))
            return int(lines[0].split(" ")[1]), headers, content
        except (OSError, EOFError) as error:
            self.close()
            raise ConnectionError(str(error)) from None

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


@dataclass
class Person:
    """Somebody who takes part.

    port: of the server. think_s: from the pictures to the answer, least and most. leaves_after: so many answers, then
    the browser is closed for good; None stays to the end. acknowledged: the answers that the server said it has, and
    how long it took to say so, in seconds. code: what the last page shows.
    """

    port: int
    seed: int
    think_s: tuple[float, float] = (0.0, 0.0)
    leaves_after: int | None = None
    panel: str = ""
    id: str = ""
    code: str = ""
    is_refused: bool = False
    acknowledged: dict[Vote, str] = field(default_factory=dict)
    waits_s: list[float] = field(default_factory=list)
    n_retries: int = 0
    went_back: int = 0  # how often a question came again that was acknowledged

    async def take_part(self) -> None:
        """Agree, answer everything, read the code; whatever breaks is tried again, as a browser does."""
        self._line, self._rng = Connection(self.port), random.Random(self.seed)
        self._seen: set[str] = set()
        if not self.id and not await self._begin():
            self.is_refused = True
            return
        step = await self._json("GET", f"/p/{self.id}/step")
        while not step.get("finished"):
            if self.leaves_after is not None and len(self.acknowledged) >= self.leaves_after:
                self._line.close()
                return
            step = await self._answer(step)
        page = (await self._try("GET", f"/p/{self.id}"))[2].decode()
        self.code = re.findall(r'class="code">([^<]+)<', page)[0]
        self._line.close()

    async def _begin(self) -> bool:
        page = (await self._try("GET", "/"))[2].decode()
        ticket = re.findall(r'name="ticket" value="([^"]+)"', page)[0]
        form = f"ticket={ticket}&language={self._rng.choice(['en', 'ja'])}&panel={quote(self.panel)}&agree=yes"
        status, headers, _ = await self._try("POST", "/begin", form.encode(), "application/x-www-form-urlencoded")
        self.id = headers.get("location", "").removeprefix("p/")
        return status == 303

    async def _answer(self, step: dict[str, Any]) -> dict[str, Any]:
        vote = (step["slot"], step["question"])
        if vote in self.acknowledged:
            self.went_back += 1
        for name in [picture["file"] for picture in step["pictures"]] + step["preload"]:
            if name not in self._seen:
                await self._try("GET", f"/pictures/{name}")
                self._seen.add(name)
        seconds = self._rng.uniform(*self.think_s)
        await asyncio.sleep(seconds)
        key = self._choose(step)
        sent = {"slot": step["slot"], "question": step["question"], "answer": key, "seconds": seconds}
        body = json.dumps(sent).encode()
        before, tries = time.perf_counter(), self.n_retries
        found = await self._json("POST", f"/p/{self.id}/votes", body)
        if self.n_retries == tries:  # a wait for a server that was killed says nothing about one that runs
            self.waits_s.append(time.perf_counter() - before)
        self.acknowledged.setdefault(vote, key)
        if self._rng.random() < 0.05:  # a second click that got through: it must change nothing
            again = {**sent, "answer": self._rng.choice(step["choices"])["key"]}
            found = await self._json("POST", f"/p/{self.id}/votes", json.dumps(again).encode())
        return found

    def _choose(self, step: dict[str, Any]) -> str:
        """At random, but as an attention check asks."""
        asked = [
            c
            for c in step["choices"]
            if f"choose: {c['label']}." in step["text"] or f"「{c['label']}」を選" in step["text"]
        ]
        return str(self._rng.choice(asked or step["choices"])["key"])

    async def _json(self, method: str, path: str, body: bytes = b"") -> dict[str, Any]:
        status, _, content = await self._try(method, path, body, "application/json")
        if status != 200:
            raise RuntimeError(f"{method} {path}: {status} {content[:200]!r}")
        found: dict[str, Any] = json.loads(content)
        return found

    async def _try(self, method: str, path: str, body: bytes = b"", kind: str = "") -> Reply:
        wait_s = 0.1
        while True:
            try:
                answer = await self._line.ask(method, path, body, kind)
                if answer[0] != 429:
                    return answer
            except ConnectionError:
                pass
            self.n_retries += 1
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, 2.0)


async def all_take_part(people: Sequence[Person], *, start_s: float = 0.0) -> None:
    """All at once; start_s: the time within which they come."""

    async def one(person: Person, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await person.take_part()

    await asyncio.gather(*(one(p, start_s * i / max(len(people), 1)) for i, p in enumerate(people)))
