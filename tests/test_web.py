"""The page without a browser: who may come, whose photo it is, what is refused, and what a wish means."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import signal
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFont
from pydantic import ValidationError

from emorph.core.errors import ConfigError, DataError
from emorph.core.expressions import Emotion
from emorph.core.images import read_metadata, read_photo
from emorph.core.types import Target
from emorph.edit.pipeline import Editor
from emorph.models.directions import AffectAxes
from emorph.models.unit_axes import UnitAxes
from emorph.study.serve import Place
from emorph.study.texts import read_texts
from emorph.web import batch_tab, fonts
from emorph.web import live as live_module
from emorph.web import sessions as sessions_module
from emorph.web.batch_tab import Unfit, gathered
from emorph.web.editors import Editors
from emorph.web.guard import MAX_BODY_BYTES, MAX_UPLOAD_BYTES, Guard
from emorph.web.live import kept_name, saved_as
from emorph.web.serve import checked_access, serve
from emorph.web.sessions import MOST_SESSIONS, Refused, Sessions, Superseded, checked_size
from emorph.web.wish import Setup, Wish
from emorph.web.words import LANGUAGES, words_of
from made_face import UNITS
from tiny import tiny_directions, tiny_editor, tiny_model

PLACES = re.compile(r"\{(\w+)\}")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def none_else(*_: object) -> Any:
    raise AssertionError("nothing else is to be loaded")


def editors() -> Editors:
    return Editors(tiny_editor(channels=3, steps=2), Setup("tiny"), (), none_else, none_else)


@pytest.fixture
def sessions() -> Iterator[Sessions]:
    made = Sessions(editors(), clock=Clock())
    yield made
    made.close_all()


def wish(**values: Any) -> Wish:
    return Wish.parse({"number": 1, "face": 1, "kind": "expression", "strength": 1.0} | values)


# -- words


def test_both_languages_say_the_same_things() -> None:
    english, japanese = (words_of(code).texts for code in LANGUAGES)
    assert english.keys() == japanese.keys()
    assert {k: sorted(PLACES.findall(v)) for k, v in english.items()} == {
        k: sorted(PLACES.findall(v)) for k, v in japanese.items()
    }
    assert [
        key for key, text in japanese.items() if text == english[key] and not re.fullmatch(r"\W*|3D|Python|\{.*", text)
    ] == []
    for emotion in Emotion:
        assert (english[f"emotion.{emotion.word}"], japanese[f"emotion.{emotion.word}"]) == (
            emotion.title,
            emotion.japanese,
        )


def test_every_text_is_used_somewhere() -> None:
    """And every key that code or page asks for is there: a missing one would fail only in front of the user."""
    folder = Path(sessions_module.__file__).parent
    source = "\n".join(path.read_text() for path in [*folder.glob("*.py"), *(folder / "page").iterdir()])
    keys = read_texts(folder / "languages" / "en.toml").keys()
    asked = set(re.findall(r"""(?:say|_say)\(\s*f?["']([\w.]+\.\w+)["']""", source))
    assert asked <= keys, asked - keys
    families = {key.partition(".")[0] for key in keys}
    made = set(re.findall(r"""["'](\w+)\.(?:\{|["'] ~)""", source))
    assert made <= families
    unused = [key for key in keys if key not in source and key.partition(".")[0] not in made]
    assert unused == []


# -- who may come


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_strangers_need_a_password(host: str) -> None:
    with pytest.raises(ConfigError, match=f"--host {host} lets strangers reach the page; give a password: --auth"):
        checked_access(host, None, share=False)
    assert checked_access(host, "lab:correcthorse", share=False).auth == ("lab", "correcthorse")


def test_a_shared_page_needs_one_too() -> None:
    with pytest.raises(ConfigError, match="--share lets strangers"):
        checked_access("127.0.0.1", None, share=True)


@pytest.mark.parametrize("auth", ["", "lab", ":correcthorse", "lab:short"])
def test_what_is_no_password(auth: str) -> None:
    with pytest.raises(ConfigError, match="--auth is a name and a password of at least 8 characters"):
        checked_access("127.0.0.1", auth, share=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.5.5.5"])
def test_on_the_own_machine_nobody_is_asked(host: str) -> None:
    assert checked_access(host, None, share=False).auth is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "ConfigError: --host 0.0.0.0 lets strangers"),
        (["--share"], "ConfigError: --share lets strangers"),
        (["--lang", "fr"], "ConfigError: --lang fr is not there; use en or ja."),
        (["--model", "nowhere"], "UnknownNameError"),
    ],
)
def test_the_command_refuses_in_one_sentence(
    emorph: Callable[..., tuple[int, str, str]], options: list[str], said: str
) -> None:
    status, out, err = emorph("web", "--no-browser", *options)
    assert (status, out) == (2, "")
    assert err.startswith(said)
    assert len(err.strip().splitlines()) == 1


def test_without_a_tunnel_one_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    networking = pytest.importorskip("gradio.networking", reason="the page needs the extra emorph[web]")
    from fastapi import FastAPI

    def none(*_: object) -> str:
        raise RuntimeError("no route to host")

    monkeypatch.setattr(networking, "setup_tunnel", none)
    monkeypatch.setattr("emorph.web.serve.create_app", lambda *_: FastAPI())
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(DataError, match=r"no public address is to be had \(no route to host\); leave --share out"):
            serve(
                editors(), Place(port=0), checked_access("127.0.0.1", "lab:correcthorse", share=True),
                share=True, on_ready=lambda address: pytest.fail(f"{address} is told"),
            )  # fmt: skip
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "Traceback" not in capfd.readouterr().err


# -- whose photo it is


def test_keys_cannot_be_guessed_and_lead_to_one_page_alone(sessions: Sessions) -> None:
    one, two = sessions.open(), sessions.open()
    assert one.key != two.key
    assert len(one.key) >= 22
    assert sessions.of(one.key) is one
    assert one.folder.stat().st_mode & 0o777 == 0o700
    for wrong, reason in (("", "early"), (one.key[:-1], "unknown"), ("../" + two.key, "unknown")):
        with pytest.raises(Refused, match=reason):
            sessions.of(wrong)


def test_a_closed_page_leaves_nothing(sessions: Sessions, example_photo: Path) -> None:
    session = sessions.open()
    path = session.photo_file("me.png")
    path.write_bytes(example_photo.read_bytes())
    sessions.submit(lambda: sessions.take_photo(session, path)).result()
    assert session.name == "me.png"
    sessions.close(session.key)
    assert not session.folder.exists()
    with pytest.raises(Refused, match="no_photo"):
        _ = session.photo
    root = sessions.root
    sessions.close_all()
    assert not root.exists()


def test_idle_pages_go_and_too_many_are_refused() -> None:
    clock = Clock()
    sessions = Sessions(editors(), clock=clock)
    try:
        first, *_ = [sessions.open() for _ in range(MOST_SESSIONS)]
        with pytest.raises(Refused, match="full"):
            sessions.open()
        clock.now += sessions_module.IDLE_S - 1
        sessions.of(first.key)
        clock.now += 2
        sessions.open()
        assert len(sessions) == 2
        assert sessions.of(first.key) is first
    finally:
        sessions.close_all()


def test_a_page_that_asks_too_often_waits(sessions: Sessions) -> None:
    session = sessions.open()
    asked = [sessions.of] * (sessions_module.PICTURES_AT_ONCE + 50)
    with pytest.raises(Refused, match="busy"):
        [of(session.key) for of in asked]
    with contextlib.ExitStack() as waiting:
        for _ in range(sessions_module.WAITING):
            waiting.enter_context(sessions.waiting(session))
        with pytest.raises(Refused, match="busy"):
            waiting.enter_context(sessions.waiting(session))
    assert session.waiting == 0


def test_too_many_pixels_are_refused_from_the_header(
    sessions: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(stating(9000, 5000))
    with pytest.raises(Refused, match="large") as refused:
        checked_size(path)
    assert refused.value.filled == {"width": 9000, "height": 5000, "most": 40}
    monkeypatch.setattr(sessions_module, "MOST_PX_TOGETHER", 100)
    Image.new("L", (90, 50)).save(path)
    with pytest.raises(Refused, match="full"):
        sessions.take_photo(sessions.open(), path)


def test_a_later_wish_ends_a_drawing(sessions: Sessions) -> None:
    session = sessions.open()
    session.newest = 3
    tell = session.stepping(3)
    tell(1, 4)
    assert session.progress == (1, 4)
    session.newest = 4
    with pytest.raises(Superseded):
        tell(2, 4)
    session.stepping()(2, 4)  # what is saved is drawn to its end


# -- wishes


def test_a_wish_as_target() -> None:
    assert wish(emotions={"happy": 1.0}, strength=0.8).target() == Target(Emotion.HAPPY, 0.8)
    blend = wish(emotions={"happy": 0.6, "surprise": 0.4, "sad": 0.0}, strength=0.8)
    assert blend.target() == Target({"happy": 0.6, "surprise": 0.4}, 0.8)
    affect = wish(kind="affect", valence=0.5, arousal=-0.25, emotions={"happy": 1.0})
    assert affect.target() == Target(None, 1.0, 0.5, -0.25)
    units = wish(units={"AU12": 0.6, "AU1": 0.0})
    assert units.target() == Target(None, 1.0, units=(("AU12", 0.6),))
    both = wish(emotions={"happy": 1.0}, units={"AU4": 0.6})
    assert both.target() == Target(Emotion.HAPPY, 1.0, units=(("AU4", 0.6),))
    for nothing in (wish(), wish(emotions={"happy": 1.0}, strength=0.0), wish(units={"AU1": 0.0})):
        assert nothing.asks_for_nothing
        assert nothing.target().strength == 0


@pytest.mark.parametrize(
    ("asked", "options", "arguments"),
    [
        (wish(emotions={"happy": 1.0}, strength=0.5), "--to happy --strength 0.5", "to='happy', strength=0.5"),
        (
            wish(emotions={"happy": 0.6, "surprise": 0.4}),
            "--to happy=0.6,surprise=0.4 --strength 1.0",
            "to='happy=0.6,surprise=0.4', strength=1.0",
        ),
        (
            wish(kind="affect", valence=0.5, arousal=-0.25),
            "--valence 0.5 --arousal -0.25 --strength 1.0",
            "valence=0.5, arousal=-0.25, strength=1.0",
        ),
        (
            wish(units={"AU12": 0.6}, strength=1.2),
            "--au AU12=0.6 --strength 1.2",
            "units={'AU12': 0.6}, strength=1.2",
        ),
        (wish(), "--to neutral --strength 0.0", "to='neutral', strength=0.0"),
    ],
)
def test_a_wish_as_command_and_as_python(asked: Wish, options: str, arguments: str) -> None:
    name = "my 'face' $(rm).png"
    mine = Setup("mine", Path("my directions"), 4, "ddim", anyway=True, detector="hog", min_score=0.1)
    words = shlex.split(asked.as_command(name, 2, mine))
    made = ["--model", "mine", "--directions", "my directions", "--steps", "4", "--solver", "ddim", "--anyway"]
    made += ["--detector", "hog", "--min-score", "0.1"]
    assert words == ["emorph", "edit", name, *options.split(), "--face", "1", *made, "-o", "edited"]
    usual = asked.as_command(name, 1, Setup())
    assert usual.endswith(f"{options} -o edited")
    assert "--frame 1 -o edited" in asked.as_command(name, 1, Setup(), has_frames=True)
    program = asked.as_python(name, 2, mine)
    assert f"editor.edit_folder({name!r}, 'edited.png', {arguments}, face=1)" in program
    told = "steps=4, solver_name='ddim', anyway=True, detector='hog', min_score=0.1"
    assert f"from_pretrained('mine', directions='my directions', {told})" in program
    compile(program, "program", "exec")
    of_frames = asked.as_python(name, 1, Setup(), has_frames=True)
    assert f"editor.edit_folder({name!r}, 'edited.png', {arguments}, frame=1)" in of_frames
    compile(of_frames, "program", "exec")


@pytest.mark.parametrize(
    "values",
    [
        {"strength": 9.0}, {"strength": float("nan")}, {"face": 0}, {"kind": "evil"}, {"emotions": {"happy": 7.0}},
        {"emotions": {"x" * 99: 0.5}}, {"units": {str(i): 0.1 for i in range(200)}}, {"valence": 2.0}, {"extra": 1},
    ],
)  # fmt: skip
def test_a_wish_that_no_page_sends_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Wish.model_validate({"number": 1, "face": 1, "kind": "expression", "strength": 1.0} | values)


def test_names_of_files() -> None:
    assert kept_name("C:\\photos\\me.jpg") == "me.jpg"
    assert kept_name("..") == kept_name("/") == kept_name("\x00") == "photo.png"
    assert len(kept_name("\U0001f600" * 300 + ".jpeg").encode()) < 255
    assert saved_as("me.gif")[0] == ".png"


# -- many photos


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return path


def test_zip_files_are_taken_apart_safely(tmp_path: Path) -> None:
    zipped = archive(
        tmp_path / "some.zip", {"../../evil.png": b"1", "a/x.png": b"2", "b/X.png": b"3", "a/.hidden": b"4"}
    )
    own = tmp_path / "x.png"
    own.write_bytes(b"5")
    found = gathered([zipped, own], tmp_path / "out")
    assert [path.name for path in found] == ["evil.png", "x.png", "X-2.png", "x-3.png"]
    assert {path.parent for path in found} == {tmp_path / "out"}
    assert [path.read_bytes() for path in found] == [b"1", b"2", b"3", b"5"]


def test_what_is_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_tab, "MOST_UNPACKED_BYTES", 1000)
    monkeypatch.setattr(batch_tab, "MOST_PHOTOS", 3)
    bomb = archive(tmp_path / "bomb.zip", {"a.png": bytes(600), "b.png": bytes(600)})
    many = archive(tmp_path / "many.zip", {f"{i}.png": b"1" for i in range(5)})
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\x03\x04 and no more")
    cases = {"batch.too_large": [bomb], "batch.too_many": [many], "batch.zip": [broken], "batch.none": []}
    for key, files in cases.items():
        with pytest.raises(Unfit) as unfit:
            gathered(files, tmp_path / key)
        assert unfit.value.key == key
        assert PLACES.search(words_of("en").say(key, **unfit.value.filled)) is None


# -- the application


@pytest.fixture
def client_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Sessions], Any]]:
    pytest.importorskip("gradio", reason="the page needs the extra emorph[web]")
    from starlette.testclient import TestClient

    from emorph.web.app import create_app

    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR"):
        monkeypatch.setenv(name, "")  # so that what the application sets is taken back
    with contextlib.ExitStack() as open_ones:
        yield lambda sessions: open_ones.enter_context(TestClient(create_app(sessions)))  # type: ignore[arg-type]


@pytest.fixture
def client(client_of: Callable[[Sessions], Any], sessions: Sessions) -> Any:
    return client_of(sessions)


def stating(width: int, height: int) -> bytes:
    """A small PNG whose header states this size."""
    content = io.BytesIO()
    Image.new("1", (1, 1)).save(content, "PNG")
    header = b"IHDR" + struct.pack(">II", width, height) + content.getvalue()[24:29]
    return content.getvalue()[:12] + header + struct.pack(">I", zlib.crc32(header)) + content.getvalue()[33:]


def sent(client: Any, key: str, content: bytes, name: str = "me.png", language: str = "en") -> Any:
    return client.post(f"/live/{key}/photo", params={"name": name, "lang": language}, content=content)


def test_the_language_is_the_browsers_or_the_addresses(client: Any) -> None:
    for accepted, query, there in (("ja,en;q=0.5", "", "ja/"), ("fr", "", "en/"), ("ja", "?lang=en", "en/")):
        reply = client.get(f"/{query}", headers={"accept-language": accepted}, follow_redirects=False)
        assert (reply.status_code, reply.headers["location"]) == (307, there)
    assert "表情" in client.get("/ja/").text
    assert "Another expression" in client.get("/en/").text
    policy = client.get("/en/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    for component in client.get("/en/config").json()["components"]:  # a click would send a picture to a hub
        assert "share" not in (component["props"].get("buttons") or []), component


def test_a_photo_its_pictures_and_its_file(
    client: Any, sessions: Sessions, example_photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = sessions.open()
    photo = Image.open(example_photo)
    exif = photo.getexif()
    exif[0x010E] = "a portrait"
    content = io.BytesIO()
    photo.save(content, "JPEG", exif=exif)
    facts = sent(client, session.key, content.getvalue(), "../me.jpg").json()
    assert (facts["name"], facts["own"], facts["face"], len(facts["faces"])) == ("me.jpg", [512, 512], 1, 1)
    asked = {"number": 1, "face": 1, "kind": "expression", "emotions": {"happy": 1}, "strength": 1}
    drawn = client.post(f"/live/{session.key}/draw", content=json.dumps(asked))
    assert (drawn.status_code, drawn.headers["x-exact"], drawn.headers["cache-control"]) == (200, "1", "no-store")
    before = client.get(f"/live/{session.key}/before").content
    assert Image.open(io.BytesIO(drawn.content)).size == Image.open(io.BytesIO(before)).size == (512, 512)
    assert drawn.content != before
    stale = client.post(f"/live/{session.key}/draw", content=json.dumps(asked | {"number": 0}))
    assert (stale.status_code, stale.content) == (204, b"")
    told = client.post(f"/live/{session.key}/words", content=json.dumps(asked)).json()
    assert told["command"] == "emorph edit me.jpg --to happy --strength 1.0 --model tiny -o edited"
    for suffix in ("png", "jpg"):
        reply = client.post(f"/live/{session.key}/save?as={suffix}", content=json.dumps(asked))
        assert f'filename="me_edited.{suffix}"' in reply.headers["content-disposition"]
        path = tmp_path / f"saved.{suffix}"
        path.write_bytes(reply.content)
        assert json.loads(read_metadata(path)["emorph"])["targets"] == [{"emotion": "happy", "strength": 1.0}]
        assert Image.open(path).getexif()[0x010E] == "a portrait"
        assert read_photo(path).pixels.shape == (512, 512, 3)
    assert client.post(f"/live/{session.key}/save?as=../x", content=json.dumps(asked)).status_code == 404
    strip = client.post(f"/live/{session.key}/strip", content=json.dumps(asked))
    sheet = client.post(f"/live/{session.key}/sheet", content=json.dumps(asked))
    assert Image.open(io.BytesIO(sheet.content)).width > Image.open(io.BytesIO(strip.content)).width > 1000
    assert [path.name for path in session.folder.iterdir()] == ["photo"]  # no result stays
    titles: list[tuple[str, ...]] = []
    monkeypatch.setattr(live_module, "grid", lambda rows, font: [titles.append(rows[0].titles), rows[0].tiles[0]][1])
    for found in ("a.ttc", ""):
        monkeypatch.setattr(live_module, "font_for", lambda language, found=found: found if language == "ja" else "")
        assert client.post(f"/live/{session.key}/strip?lang=ja", content=json.dumps(asked)).status_code == 200
    assert [row[:2] for row in titles] == [("元の写真", "喜び 0.25"), ("Original", "Happy 0.25")]


def test_a_font_is_one_of_this_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    def truetype(name: str) -> Any:
        if name != fonts.JAPANESE[-1]:
            raise OSError(name)
        return SimpleNamespace(path=f"/fonts/{name}")

    monkeypatch.setattr(ImageFont, "truetype", truetype)
    try:
        fonts.font_for.cache_clear()
        assert (fonts.font_for("ja"), fonts.font_for("en")) == (f"/fonts/{fonts.JAPANESE[-1]}", "")
    finally:
        fonts.font_for.cache_clear()


@pytest.fixture
def page_of_a_folder(
    client_of: Callable[[Sessions], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Any, Sessions]]:
    """A page whose model lies in a folder, and knows emotions, valence and arousal, and two action units."""
    generator = torch.Generator().manual_seed(5)
    weight, patterns, affect, slopes = (torch.randn(n, 32, generator=generator) for n in (len(UNITS), len(UNITS), 2, 2))
    axes = UnitAxes(UNITS, 0.01 * weight, torch.zeros(len(UNITS)), patterns)
    directions = replace(tiny_directions(), units=axes, affect=AffectAxes(affect, torch.zeros(2), slopes))
    tiny_model(3).save_pretrained(tmp_path / "model")
    directions.save_pretrained(tmp_path / "model" / "directions")
    monkeypatch.chdir(tmp_path)
    editor = Editor.from_pretrained("model", steps=2, device="cpu")
    made = Sessions(Editors(editor, Setup("model", steps=2), (), none_else, none_else))
    yield client_of(made), made
    made.close_all()


def test_the_command_and_the_program_give_the_same_pixels(
    page_of_a_folder: tuple[Any, Sessions], emorph: Callable[..., tuple[int, str, str]], example_photo: Path
) -> None:
    """An emotion, a blend, valence and arousal, action units: as the page saves it, as the shell, as Python does.

    The program's file says what the page's does: that it was edited, and how.
    """
    client, sessions = page_of_a_folder
    frames = [Image.open(example_photo).convert("RGB").resize((256, 256)) for _ in range(2)]
    frames[0].save("me.tiff", save_all=True, append_images=[frames[1].transpose(Image.Transpose.ROTATE_180)])
    key = sessions.open().key
    assert sent(client, key, Path("me.tiff").read_bytes(), "me.tiff").status_code == 200
    common = {"number": 1, "face": 1, "kind": "expression", "strength": 0.8}
    for i, wished in enumerate(
        (
            {"emotions": {"sad": 1}}, {"emotions": {"happy": 0.6, "surprise": 0.4}, "units": {UNITS[0]: 0.7}},
            {"kind": "affect", "valence": 0.5, "arousal": -0.25}, {"units": {UNITS[1]: 0.7}},
        )
    ):  # fmt: skip
        asked = json.dumps(common | wished)
        Path("saved.png").write_bytes(client.post(f"/live/{key}/save?as=png", content=asked).content)
        saved = np.asarray(Image.open("saved.png"))
        told = client.post(f"/live/{key}/words", content=asked).json()
        words = shlex.split(told["command"])
        status, _, err = emorph(*words[1:-1], f"edited{i}", "--device", "cpu")
        assert status == 0, err
        (made,) = Path(f"edited{i}").glob("*.png")
        assert np.array_equal(np.asarray(Image.open(made)), saved), wished
        exec(told["python"], {})
        assert np.array_equal(np.asarray(Image.open("edited.png")), saved), wished
        assert read_metadata(Path("edited.png")) == read_metadata(Path("saved.png")), wished


def test_nobody_gets_at_somebody_elses_photo(client: Any, sessions: Sessions, example_photo: Path) -> None:
    mine, other = sessions.open(), sessions.open()
    assert sent(client, mine.key, example_photo.read_bytes()).status_code == 200
    assert client.get(f"/live/{other.key}/before").status_code == 409
    assert client.get("/live/unknown/before").status_code == 404
    for path in (f"/live/{mine.key}/../{other.key}/photo", f"/static/..%2f..%2f{mine.key}", "/static/page.html"):
        assert client.get(path).status_code in (404, 405)
    leak = client.get(f"/en/gradio_api/file={mine.folder}/photo/me.png")
    assert leak.status_code in (403, 404)
    sessions.close(mine.key)
    assert client.get(f"/live/{mine.key}/before").status_code == 404


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_bad_photo_gets_one_sentence(
    client: Any, sessions: Sessions, example_photo: Path, language: str, tmp_path: Path
) -> None:
    whole = example_photo.read_bytes()
    noise = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype=np.uint8)).save(noise, "PNG")
    say = words_of(language).say
    cases = {
        b"": (422, say("trouble.picture")), whole[: len(whole) // 2]: (422, say("trouble.picture")),
        b"<script>alert(1)</script>": (422, say("trouble.picture")), noise.getvalue(): (422, say("trouble.no_face")),
        stating(30_000, 30_000): (422, say("trouble.large")),
    }  # fmt: skip
    session = sessions.open()
    for content, wanted in cases.items():
        reply = sent(client, session.key, content, language=language)
        assert (reply.status_code, reply.json()["message"]) == wanted
    assert session.live is None
    assert list((session.folder / "photo").iterdir()) == []


def test_what_is_no_wish_is_refused(client: Any, sessions: Sessions, example_photo: Path) -> None:
    session = sessions.open()
    assert client.post(f"/live/{session.key}/draw", content=b'{"number": 1}').status_code == 422
    asked = {"number": 1, "face": 9, "kind": "expression", "emotions": {"happy": 1}, "strength": 1}
    assert (
        client.post(f"/live/{session.key}/draw", content=json.dumps(asked))
        .json()["message"]
        .startswith("Choose a photo")
    )
    sent(client, session.key, example_photo.read_bytes())
    assert client.post(f"/live/{session.key}/draw", content=json.dumps(asked)).status_code == 422
    for content in (b"\xff\xfe", b"[]", b"{" * 10_000, json.dumps(asked | {"emotions": {"joy?": 1}}).encode()):
        assert client.post(f"/live/{session.key}/draw", content=content).status_code == 422


def test_bodies_are_limited_before_they_are_read() -> None:
    import asyncio

    def status(*headers: tuple[bytes, bytes], method: str = "POST", path: str = "/") -> int:
        told: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})

        async def send(message: Any) -> None:
            told.append(message)

        async def receive() -> Any:
            raise AssertionError("nothing is to be read")

        scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}
        asyncio.run(Guard(app)(scope, receive, send))  # type: ignore[arg-type]
        names = {name for name, _ in told[0]["headers"]}
        assert {b"content-security-policy", b"x-content-type-options"} <= names
        return int(told[0]["status"])

    assert status((b"content-length", b"10")) == 200
    assert status((b"content-length", str(MAX_BODY_BYTES + 1).encode())) == 413
    assert status((b"transfer-encoding", b"chunked")) == status((b"content-length", b"-1")) == 411
    assert status(method="GET") == 200
    more, too_much = ((b"content-length", str(most + 1).encode()) for most in (MAX_BODY_BYTES, MAX_UPLOAD_BYTES))
    assert status(more, path="/en/gradio_api/upload") == 200
    assert status(too_much, path="/en/gradio_api/upload") == 413


def test_with_a_password_nothing_is_shown_without(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gradio", reason="the page needs the extra emorph[web]")
    from starlette.testclient import TestClient

    from emorph.web.app import Access, create_app

    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR"):
        monkeypatch.setenv(name, "")
    with TestClient(create_app(sessions, Access(("lab", "correcthorse")))) as client:  # type: ignore[arg-type]
        assert client.get("/en/config").status_code == 401
        joined = {"data": [], "fn_index": 0, "session_hash": "mine"}
        assert client.post("/en/gradio_api/queue/join", json=joined).status_code == 401
        assert client.post("/en/login", data={"username": "lab", "password": "wrong"}).status_code == 400
        assert len(sessions) == 0
        assert client.post("/en/login", data={"username": "lab", "password": "correcthorse"}).status_code == 200
        assert client.get("/en/config").status_code == 200
