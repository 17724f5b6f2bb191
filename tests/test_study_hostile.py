"""What somebody might send who means no good: refused, nothing leaks, nothing runs, nothing is stored."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image

from emorph.study.records import read_participants, read_votes

sys.path.append(str(Path(__file__).parents[1] / "bench"))
pytest.importorskip("fastapi", reason="serving needs the extra emorph[study]")
pytest.importorskip("uvicorn", reason="serving needs the extra emorph[study]")

from support.people import Connection, Person, Served, made_study

METHODS = ("zebranet", "quaggagan")
SCRIPT = "<script>alert(1)</script>"
FORM = "content-type: application/x-www-form-urlencoded"
TICKET = "A" * 22


def vote(**fields: object) -> str:
    return json.dumps({"slot": 1, "question": "realism", "answer": "left", "seconds": 1.0, **fields})


def present(**fields: object) -> str:
    """A vote for the question that is asked now, but for ``fields``."""
    return vote(**fields).replace('"slot": 1', '"slot": {slot}').replace('"realism"', '"{question}"')


@dataclass(frozen=True)
class Hostile:
    """One request. {id} is a participant's, {other} another one's. status: those that refuse it."""

    line: str
    status: tuple[int, ...] = (404,)
    body: str | bytes = ""
    headers: tuple[str, ...] = ()


REQUESTS = {
    # out of the folder
    "traversal in pictures": Hostile("GET /pictures/../study.toml"),
    "encoded traversal": Hostile("GET /pictures/..%2fstudy.toml"),
    "encoded dots": Hostile("GET /pictures/%2e%2e/study.sqlite"),
    "doubled dots": Hostile("GET /pictures/....//study.toml"),
    "backslash": Hostile("GET /pictures/..\\study.toml"),
    "zero byte": Hostile("GET /pictures/0123456789abcdef.jpg%00.toml"),
    "absolute path": Hostile("GET /static/%2fetc%2fpasswd"),
    "traversal in static": Hostile("GET /static/../server.py"),
    "double slash": Hostile("GET //etc/passwd"),
    "the list of pictures": Hostile("GET /pictures.jsonl"),
    "the votes": Hostile("GET /study.sqlite"),
    "all pictures": Hostile("GET /pictures/", (404, 405)),
    # other people
    "an id that nobody has": Hostile(f"GET /p/{TICKET}"),
    "a vote for an id that nobody has": Hostile(f"POST /p/{TICKET}/votes", body=vote()),
    "an id that is too long": Hostile(f"GET /p/{'A' * 4000}"),
    "half an id": Hostile("GET /p/{half}"),
    "an id in another case": Hostile("GET /p/{swapped}"),
    "a like pattern as id": Hostile("GET /p/%25%25%25%25%25%25%25%25%25%25%25%25%25%25%25%25%25%25%25%25%25%25"),
    # SQL
    "SQL as id": Hostile("GET /p/x'%20OR%20'1'='1"),
    "SQL that drops": Hostile("GET /p/1;DROP%20TABLE%20votes;--/step"),
    "SQL as question": Hostile("POST /p/{id}/votes", (422,), vote(question="realism'; DROP TABLE votes;--")),
    "SQL as answer": Hostile("POST /p/{id}/votes", (422,), present(answer="left'); DELETE FROM votes;--")),
    "SQL as ticket": Hostile("POST /begin", (422,), "agree=yes&language=en&ticket=' OR 1=1 --", (FORM,)),
    "SQL as panel": Hostile("GET /?PROLIFIC_PID='%20UNION%20SELECT%20value%20FROM%20facts%20--", (422,)),
    # script in every text field
    "script as language": Hostile(f"GET /?lang={quote(SCRIPT)}", (200,)),
    "script as accepted language": Hostile("GET /", (200,), headers=(f"accept-language: {SCRIPT}",)),
    "script as panel": Hostile(f"GET /?PROLIFIC_PID={quote(SCRIPT)}", (422,)),
    "script as panel in the form": Hostile(
        "POST /begin", (422,), f"agree=yes&language=en&ticket={TICKET}&panel={quote(SCRIPT)}", (FORM,)
    ),
    "script as ticket": Hostile("POST /begin", (422,), f"agree=yes&language=en&ticket={quote(SCRIPT)}", (FORM,)),
    "script as language in the form": Hostile(
        "POST /begin", (422,), f"agree=yes&language={quote(SCRIPT)}&ticket={TICKET}", (FORM,)
    ),
    "script as answer": Hostile("POST /p/{id}/votes", (422,), present(answer=SCRIPT)),
    "script as question": Hostile("POST /p/{id}/votes", (422,), vote(question=SCRIPT)),
    "script as host": Hostile(
        "GET /", (200, 400), headers=(f"x-forwarded-host: {SCRIPT}", "x-forwarded-prefix: //evil")
    ),
    "script as path": Hostile(f"GET /{quote(SCRIPT)}"),
    # without consent
    "no consent": Hostile("POST /begin", (422,), f"language=en&ticket={TICKET}", (FORM,)),
    "a thousand fields": Hostile("POST /begin", (422,), "&".join(f"a{i}=1" for i in range(1000)), (FORM,)),
    # bodies
    "a body of a megabyte": Hostile("POST /p/{id}/votes", (413,), "x" * 2**20),
    "a length of a terabyte": Hostile("POST /p/{id}/votes", (413,), headers=("content-length: 1000000000000",)),
    "a negative length": Hostile("POST /p/{id}/votes", (400, 413), headers=("content-length: -1",)),
    "two lengths": Hostile("POST /p/{id}/votes", (400, 413), headers=("content-length: 1", "content-length: 9")),
    "a chunked megabyte": Hostile(
        "POST /p/{id}/votes", (413,), f"{2**20:x}\r\n{'x' * 2**20}\r\n0\r\n\r\n", ("transfer-encoding: chunked",)
    ),
    "a header of a megabyte": Hostile("GET /", (400, 431), headers=(f"x: {'y' * 2**20}",)),
    "no JSON": Hostile("POST /p/{id}/votes", (422,), "slot=1"),
    "no UTF-8": Hostile("POST /p/{id}/votes", (422,), b'{"slot": 0, "question": "\xff"}'),
    "a list": Hostile("POST /p/{id}/votes", (422,), "[]"),
    "nested JSON": Hostile("POST /p/{id}/votes", (422,), "[" * 4000),
    "not a number": Hostile("POST /p/{id}/votes", (422,), vote(seconds=float("nan"))),
    "negative time": Hostile("POST /p/{id}/votes", (422,), vote(seconds=-1)),
    "negative slot": Hostile("POST /p/{id}/votes", (422,), vote(slot=-1)),
    "a slot that overflows": Hostile("POST /p/{id}/votes", (422,), vote(slot=2**70)),
    "a field too many": Hostile("POST /p/{id}/votes", (422,), vote(participant="{other}")),
    # out of turn
    "a vote for a later screen": Hostile("POST /p/{id}/votes", (422,), vote(slot=3)),
    "a question of the other task": Hostile("POST /p/{id}/votes", (422,), vote(question="intensity")),
    # other methods
    "PUT": Hostile("PUT /p/{id}", (405,)),
    "DELETE": Hostile("DELETE /p/{other}", (405,)),
    "PATCH": Hostile("PATCH /p/{id}/votes", (405,), vote()),
    "votes by GET": Hostile("GET /p/{id}/votes", (405,)),
    "TRACE": Hostile("TRACE /", (405,)),
    "POST to the first page": Hostile("POST /", (405,)),
    "no method": Hostile("G\x00T /", (400,)),
    # results
    "results without a token": Hostile("GET /admin/votes.csv"),
    "results with a guess": Hostile("GET /admin/votes.csv", headers=("authorization: Bearer admin",)),
    "results with the digest": Hostile("GET /admin/votes.csv", headers=("authorization: Bearer {digest}",)),
    "a token in the address": Hostile("GET /admin/progress?token={token}"),
    "basic authorization": Hostile("GET /admin/progress", headers=("authorization: Basic YWRtaW46YWRtaW4=",)),
    "an empty token": Hostile("GET /admin/progress", headers=("authorization: Bearer",)),
    "the list of addresses": Hostile("GET /openapi.json"),
    "the documentation": Hostile("GET /docs"),
}


@dataclass
class Scene:
    """A study that two people have begun."""

    served: Served
    study: Path
    person: Person
    other: Person
    token: str
    digest: str
    now: dict[str, Any]  # what is asked now

    def send(self, request: Hostile) -> tuple[int, str, str]:
        """Status, headers and body as text."""
        names = {"id": self.person.id, "other": self.other.id, "half": self.person.id[:11], "token": self.token}
        names |= {"slot": str(self.now["slot"]), "question": self.now["question"]}
        names |= {"swapped": self.person.id.swapcase(), "digest": self.digest}
        body = request.body.encode() if isinstance(request.body, str) else request.body
        head = "\r\n".join([f"{request.line} HTTP/1.1", "host: study", "connection: close", *request.headers])
        for name, value in names.items():
            head = head.replace(f"{{{name}}}", value)
            body = body.replace(f"{{{name}}}".encode(), value.encode())
        if body and "transfer-encoding" not in head:
            head += f"\r\ncontent-length: {len(body)}"
        return talk(self.served.port, head.encode() + b"\r\n\r\n" + body)


def talk(port: int, content: bytes) -> tuple[int, str, str]:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        answer = b""
        with contextlib.suppress(OSError):  # it hung up before it had heard all; what it said is still there
            line.sendall(content)
        with contextlib.suppress(OSError):
            while part := line.recv(65536):
                answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]) if head else 0, head.decode("latin-1"), body.decode("utf-8", "replace")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("hostile")
    made_study(folder, methods=METHODS, trials=4)
    study = folder / "study"
    text = (study / "study.toml").read_text(encoding="utf-8")
    (study / "study.toml").write_text(
        text.replace('panel_parameter = ""', 'panel_parameter = "PROLIFIC_PID"'), encoding="utf-8"
    )
    from emorph.study.serve import new_token
    from emorph.study.server import token_digest

    token = new_token(study)
    assert token is not None
    with Served(study) as served:
        person, other = Person(served.port, 1, leaves_after=1), Person(served.port, 2, leaves_after=2)
        asyncio.run(person.take_part())
        asyncio.run(other.take_part())
        now = talk(served.port, f"GET /p/{person.id}/step HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
        yield Scene(served, study, person, other, token, token_digest(token), json.loads(now[2]))


def test_there_are_forty_at_least() -> None:
    assert len(REQUESTS) >= 40


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_a_hostile_request_is_refused(scene: Scene, request_: Hostile) -> None:
    before = read_votes(scene.study), read_participants(scene.study)
    status, head, body = scene.send(request_)
    assert status in request_.status, (status, head, body[:300])
    for secret in (*METHODS, str(scene.study), "Traceback", "sqlite", "SELECT", scene.other.id, scene.digest):
        assert secret not in head + body, f"{secret} leaks"
    assert "<script>alert" not in body
    assert "evil" not in head + body
    assert (read_votes(scene.study), read_participants(scene.study)) == before, "something was stored"
    if status not in (400, 431):  # which the server's parser gives itself
        assert "content-security-policy: default-src 'none'" in head
        assert "x-content-type-options: nosniff" in head
    assert talk(scene.served.port, b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")[0] == 200


def test_a_vote_that_is_sent_again_changes_nothing(scene: Scene) -> None:
    before = read_votes(scene.study)
    ((slot, question), answer), *_ = scene.person.acknowledged.items()
    other = {"left": "right", "right": "left"}[answer]
    request = Hostile("POST /p/{id}/votes", (200,), vote(slot=slot, question=question, answer=other))
    status, _, body = scene.send(request)
    assert status == 200
    assert (json.loads(body)["slot"], json.loads(body)["question"]) != (slot, question), "it tells what is asked next"
    assert read_votes(scene.study) == before


def test_only_the_token_opens_the_results(scene: Scene) -> None:
    header = ("authorization: Bearer {token}",)
    status, _, text = scene.send(Hostile("GET /admin/votes.csv", headers=header))
    assert status == 200
    assert text.count("\n") == 1 + len(read_votes(scene.study))
    status, _, text = scene.send(Hostile("GET /admin/progress", headers=header))
    assert json.loads(text)["started"] == len(read_participants(scene.study))
    stored = (scene.study / "study.sqlite").read_bytes() + (scene.study / "study.sqlite-wal").read_bytes()
    assert scene.token.encode() not in stored


def test_a_flood_by_one_participant_is_held_back_and_others_go_on(scene: Scene) -> None:
    async def flood() -> list[int]:
        line = Connection(scene.served.port)
        return [(await line.ask("GET", f"/p/{scene.other.id}/step"))[0] for _ in range(90)]

    statuses = asyncio.run(flood())
    assert statuses[0] == 200
    assert 429 in statuses
    assert scene.send(Hostile("GET /p/{id}/step"))[0] == 200
    assert "retry-after" in scene.send(Hostile("GET /p/{other}"))[1]


def test_a_flood_of_made_up_ids_is_held_back_and_participants_go_on(scene: Scene) -> None:
    async def flood() -> list[int]:
        line = Connection(scene.served.port)
        return [(await line.ask("GET", f"/p/{number:022d}/step"))[0] for number in range(900)]

    assert scene.send(Hostile("GET /p/{id}/step"))[0] == 200
    statuses = asyncio.run(flood())
    assert set(statuses) == {404, 429}
    assert scene.send(Hostile("GET /p/{id}/step"))[0] == 200


def test_nothing_that_a_participant_gets_tells_a_method(tmp_path: Path) -> None:
    """Pages, questions, pictures and headers of a whole study."""
    made_study(tmp_path, methods=METHODS, trials=6)
    seen: list[tuple[str, bytes]] = []

    class Nosy(Person):
        async def _try(
            self, method: str, path: str, body: bytes = b"", kind: str = ""
        ) -> tuple[int, dict[str, str], bytes]:
            status, headers, content = await super()._try(method, path, body, kind)
            seen.append((f"{path} {headers}", content))
            return status, headers, content

    with Served(tmp_path / "study") as served:
        asyncio.run(Nosy(served.port, 1).take_part())
    everything = b"".join(head.encode() + content for head, content in seen).lower()
    for secret in (*METHODS, "photo1", "s001", "original-", "last-modified", "etag", "127.0.0.1:"):
        assert secret.encode() not in everything, secret
    pictures = {head.split()[0]: content for head, content in seen if head.startswith("/pictures/")}
    assert len(pictures) > 10
    assert all(re.fullmatch(r"/pictures/[0-9a-f]{16}\.jpg", name) for name in pictures)
    assert len({len(content) for content in pictures.values()}) == 1, "the number of bytes tells pictures apart"
    for content in pictures.values():
        image = Image.open(io.BytesIO(content))
        assert image.size == (96, 96)
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}, image.info
        assert not image.getexif()


def test_no_address_is_stored(scene: Scene) -> None:
    stored = b"".join(path.read_bytes() for path in scene.study.glob("study.sqlite*"))
    assert b"127.0.0.1" not in stored


def test_under_a_prefix_the_same_pages_are_there(tmp_path: Path) -> None:
    made_study(tmp_path, trials=3)
    with Served(tmp_path / "study", "--prefix", "/lab/study") as served:
        for path in ("/lab/study/", "/"):
            status, _, page = talk(served.port, f"GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
            assert status == 200
            assert 'action="begin"' in page
    assert f"Participants: http://127.0.0.1:{served.port}/lab/study/" in served.said
