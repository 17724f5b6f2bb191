"""The page in a browser: every tab, both languages, phone and desk, one face, two, none, and a broken file.

EMORPH_SHOTS=FOLDER keeps a picture of every tab, to be looked at.
"""

from __future__ import annotations

import base64
import io
import os
import signal
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from emorph.core.images import read_metadata, read_photo
from emorph.web.words import words_of

sys.path.append(str(Path(__file__).parents[1] / "bench"))
if find_spec("gradio") is None:  # which takes seconds to import; here it runs in the page's process alone
    pytest.skip("the page needs the extra emorph[web]", allow_module_level=True)
pytest.importorskip("playwright.sync_api", reason="a browser is driven with playwright")
pytest.importorskip("axe_playwright_python.sync_playwright", reason="accessibility is judged by axe-core")

from axe_playwright_python.sync_playwright import Axe

from browsers import RULES, browser
from support.pages import ServedPage

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["browser"]  # the fixture
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
SHINING = """() => {  // labels of controls that are seen above the picture, below which they scroll
    const frame = document.querySelector('#em-left').getBoundingClientRect();
    const others = [...document.querySelectorAll('span, label, p')].filter(it => !it.closest('#em-left, .toast-wrap'));
    return others.filter(it => {
        const {x, y, width, height} = it.getBoundingClientRect(), [midX, midY] = [x + width / 2, y + height / 2];
        const within = midX > frame.left && midX < frame.right && midY > frame.top && midY < frame.bottom;
        return within && it.contains(document.elementFromPoint(midX, midY));
    }).map(it => it.textContent);
}"""
NESTED = ("nested-interactive", "target-size")  # Gradio's buttons to add and to download files lie in links and buttons
WAIT_MS = 120_000  # on a machine that does much else
EXACT = """n => {
    const told = document.querySelector('.em-stage').dataset;
    return told.exact === 'true' && Number(told.number) >= n;
}"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedPage]:
    """A page on a machine without the 3D face model; its end leaves nothing."""
    folder = tmp_path_factory.mktemp("page")
    with ServedPage("--steps", "2", env={"TMPDIR": str(folder), "EMORPH_HOME": str(folder / "home")}) as page:
        yield page
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One face, two, none, and a file that is cut short."""
    folder = tmp_path_factory.mktemp("pictures")
    example = Path(__file__).parents[1] / "examples" / "astronaut.png"
    one = Image.open(example).convert("RGB")
    two = Image.fromarray(np.hstack([np.asarray(one)] * 2))
    two.save(folder / "two.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)).save(folder / "none.png")
    (folder / "broken.png").write_bytes(example.read_bytes()[:5000])
    return {"one": example, **{name: folder / f"{name}.png" for name in ("two", "none", "broken")}}


@dataclass
class Visit:
    """One browser window on the page."""

    page: Page
    language: str
    name: str
    faults: list[str] = field(default_factory=list)
    number: int = -1  # of the last picture that was waited for

    def say(self, key: str, **filled: object) -> str:
        return words_of(self.language).say(key, **filled)

    def take(self, photo: Path) -> None:
        before = self.page.get_attribute(".em-before", "src")
        self.page.locator(".em-file >> visible=true").first.set_input_files(photo)
        self.page.wait_for_function(
            "before => document.querySelector('.em-before').getAttribute('src') !== before"
            " && document.querySelector('.em-stage').dataset.state === 'ready'",
            arg=before, timeout=WAIT_MS,
        )  # fmt: skip
        self.drawn()

    def drawn(self) -> None:
        """Wait until the picture is the exact one of the present controls, and a later one than before."""
        self.page.wait_for_function(EXACT, arg=self.number + 1, timeout=WAIT_MS)
        self.number = int(self.page.get_attribute(".em-stage", "data-number") or -1)

    def begin(self, photo: Path) -> None:
        """A photo on the tab Edit, of which nothing is asked."""
        self.faults.clear()
        self.open_tab("edit")
        self.page.get_by_role("tab", name=self.say("emotion.tab"), exact=True).click()
        self.take(photo)
        self.press("edit.reset")
        self.drawn()

    def press(self, key: str) -> None:
        self.page.get_by_role("button", name=self.say(key), exact=True).click()

    def picture(self) -> Any:
        """What is shown, levels (H, W, 3)."""
        found = self.page.evaluate("""async () => {
            const image = document.querySelector('.em-after'), canvas = document.createElement('canvas');
            await image.decode();
            [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
            canvas.getContext('2d').drawImage(image, 0, 0);
            return canvas.toDataURL('image/png').split(',')[1];
        }""")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(found))).convert("RGB")).astype(int)

    def open_tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=self.say(f"tab.{name}"), exact=True).click()
        self.page.wait_for_timeout(300)

    def judge(self, kind: str, *, besides: tuple[str, ...] = ()) -> None:
        """Accessible, and no wider than the window. besides: rules of axe-core that the widgets of Gradio break."""
        if shots := os.environ.get("EMORPH_SHOTS"):
            self.page.screenshot(path=Path(shots) / f"{self.name}-{kind}.png", full_page=True)
        found = Axe().run(self.page, options=RULES).response["violations"]
        found = [violation for violation in found if violation["id"] not in besides]
        self.faults += [f"{kind}: {v['id']}: {[node['html'][:120] for node in v['nodes']]}" for v in found]
        wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{kind} is {wide} px wider than the window"


def visit(browser: Browser, served: ServedPage, language: str, window: dict[str, int]) -> Visit:
    locale = {"en": "en-GB", "ja": "ja-JP"}[language]
    context = browser.new_context(viewport=window, locale=locale, accept_downloads=True)
    page = context.new_page()
    seen = Visit(page, language, f"{language}-{window['width']}")

    def asked(url: str) -> None:
        if not url.startswith((served.address, "blob:", "data:")):
            seen.faults.append(f"asked another host: {url}")

    page.on("request", lambda request: asked(request.url))
    page.on("console", lambda message: message.type == "error" and seen.faults.append(message.text))
    page.on("pageerror", lambda error: seen.faults.append(str(error)))
    page.goto(served.address)
    page.wait_for_selector(".em-drop", timeout=WAIT_MS)
    return seen


def set_slider(page: Page, selector: str, value: float) -> None:
    """As somebody drags it there."""
    page.eval_on_selector(
        f"{selector} input[type=range]",
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input', {bubbles: true})); }",
        value,
    )


@pytest.fixture(scope="module")
def desk(browser: Browser, served: ServedPage) -> Iterator[Visit]:
    seen = visit(browser, served, "en", DESK)
    yield seen
    seen.page.context.close()


@pytest.fixture(scope="module")
def phone(browser: Browser, served: ServedPage) -> Iterator[Visit]:
    seen = visit(browser, served, "ja", PHONE)
    yield seen
    seen.page.context.close()


def every_tab(seen: Visit, photo: Path) -> None:
    page = seen.page
    assert page.get_attribute("html", "lang") == seen.language
    assert page.url.endswith(f"/{seen.language}/")
    assert [page.get_attribute(f"#em-{button}", "aria-disabled") for button in ("undo", "redo")] == ["true", "true"]
    seen.judge("empty")
    assert page.locator("[aria-label^='number input']").or_(page.locator("[aria-label^='range slider']")).count() == 0
    strength = seen.say("edit.strength")
    assert page.get_by_label(seen.say("control.slider", label=strength)).first.get_attribute("type") == "range"
    page.locator("#emotion-happy").click()
    page.get_by_text(seen.say("photo.first")).wait_for(timeout=WAIT_MS)
    seen.press("edit.reset")
    for name in ("compare", "transfer", "mesh", "batch"):
        seen.open_tab(name)
        seen.press(f"{name}.start")
        told = seen.say("batch.none" if name == "batch" else "refused.no_photo")
        missing = page.locator(".toast-body").get_by_text(told)
        missing.first.wait_for(timeout=WAIT_MS)
        page.get_by_text(seen.say("trouble.early")).wait_for(timeout=WAIT_MS)
        assert page.locator(".error:visible").count() == 0  # no box is marked as failed
        page.locator(".toast-close").first.click()
        missing.first.wait_for(state="detached", timeout=WAIT_MS)
    seen.open_tab("edit")
    seen.take(photo)
    assert seen.say("photo.size", width=512, height=512) in page.inner_text(".em-facts")
    page.get_by_text(seen.say("photo.one")).wait_for(timeout=WAIT_MS)  # the first picture's time does not replace it
    seen.judge("photo")
    for name, refused in (
        ("transfer", "transfer.none"), ("mesh", ""), ("compare", ""), ("batch", "batch.none"),
    ):  # fmt: skip
        seen.open_tab(name)
        assert page.get_by_text(seen.say(f"{name}.intro")).is_visible()
        seen.judge(name)
        if refused:
            seen.press(f"{name}.start")
            page.get_by_text(seen.say(refused)).first.wait_for(timeout=WAIT_MS)
    assert seen.faults == []


def test_every_tab_at_a_desk(desk: Visit, pictures: dict[str, Path]) -> None:
    every_tab(desk, pictures["one"])


def test_every_tab_on_a_phone(phone: Visit, pictures: dict[str, Path]) -> None:
    every_tab(phone, pictures["one"])


def test_the_picture_stays_in_view_beside_the_last_slider(phone: Visit, desk: Visit, pictures: dict[str, Path]) -> None:
    for seen in (phone, desk):
        seen.begin(pictures["one"])
        seen.page.get_by_role("tab", name=seen.say("units.tab"), exact=True).click()
        seen.page.locator("#unit-AU45").scroll_into_view_if_needed()
        assert seen.page.evaluate("scrollY") > 500
        assert seen.page.locator(".em-after").bounding_box()["y"] >= 0  # type: ignore[index]
        assert seen.page.evaluate(SHINING) == []


def test_words_have_room_on_a_phone(desk: Visit) -> None:
    """In English, whose names of emotions and tabs are the longest."""
    desk.open_tab("edit")
    desk.page.get_by_role("tab", name=desk.say("emotion.tab"), exact=True).click()
    try:
        for width in (390, 320):
            desk.page.set_viewport_size({**PHONE, "width": width})
            wider = "buttons => buttons.filter(b => b.scrollWidth > b.clientWidth).map(b => b.textContent.trim())"
            assert desk.page.eval_on_selector_all("#emotions button", wider) == []
            for name in ("edit", "transfer", "compare", "batch", "mesh"):  # none behind a button for more
                tab = desk.page.get_by_role("tab", name=desk.say(f"tab.{name}"), exact=True)
                tab.wait_for(timeout=WAIT_MS)
    finally:
        desk.page.set_viewport_size(DESK)


def test_without_the_face_model_a_command_is_named(phone: Visit, pictures: dict[str, Path]) -> None:
    phone.begin(pictures["one"])
    phone.open_tab("mesh")
    phone.press("mesh.start")
    phone.page.get_by_text("emorph models get ict-facekit").first.wait_for(timeout=WAIT_MS)
    phone.page.get_by_text(phone.say("trouble.title"), exact=True).first.wait_for(timeout=WAIT_MS)


def test_editing(desk: Visit, pictures: dict[str, Path], tmp_path: Path) -> None:
    seen, page = desk, desk.page
    seen.begin(pictures["one"])
    original = seen.picture()
    page.click("#emotion-surprise")
    seen.drawn()
    surprised = seen.picture()
    changed = np.abs(surprised - original).max(axis=2) > 20
    assert 200 < changed.sum() < 20_000  # a face, and no more
    assert page.get_attribute("#emotion-surprise", "aria-pressed") == "true"

    set_slider(page, "#em-strength", 0.0)
    seen.drawn()
    assert np.abs(seen.picture() - original).max() <= 2
    page.click("#em-undo")
    seen.drawn()
    assert page.input_value("#em-strength input[type=range]") == "1"
    assert (seen.picture() == surprised).all()
    page.click("#em-redo")
    seen.drawn()
    assert page.input_value("#em-strength input[type=range]") == "0"
    page.click("#em-undo")
    seen.drawn()

    page.get_by_text(seen.say("edit.code")).click()
    told = page.inner_text(".em-command")
    assert told.startswith("emorph edit astronaut.png --to surprise --strength 1.0 ")
    assert "to='surprise', strength=1.0" in page.inner_text(".em-python")
    seen.judge("code")
    for button, name in (
        ("save", "astronaut_edited.png"),
        ("strip", "astronaut_strip.png"),
        ("sheet", "astronaut_sheet.png"),
    ):
        with page.expect_download(timeout=WAIT_MS) as started:
            page.get_by_role("button", name=seen.say(f"edit.{button}"), exact=True).click()
        path = tmp_path / name
        started.value.save_as(path)
        assert started.value.suggested_filename == name
        assert '"surprise"' in read_metadata(path)["emorph"]
    saved = read_photo(tmp_path / "astronaut_edited.png").pixels.astype(int)
    assert saved.shape == (512, 512, 3)
    off, by = np.abs(saved - surprised)[changed].mean(), np.abs(surprised - original)[changed].mean()
    assert off < 0.3 * by  # what is shown is what is saved, but for JPEG
    page.get_by_text(seen.say("edit.code")).click()
    assert seen.faults == []


def test_the_divider_follows_the_keys(desk: Visit, pictures: dict[str, Path]) -> None:
    seen = desk
    seen.begin(pictures["one"])
    divider = seen.page.locator(".em-divider")
    assert divider.get_attribute("aria-label") == seen.say("photo.divider")
    before = float(divider.input_value())
    assert 40 < before < 47  # at the face
    divider.focus()
    for _ in range(20):
        seen.page.keyboard.press("ArrowLeft")
    line = "document.querySelector('.em-frame').style.getPropertyValue('--divider')"
    assert float(seen.page.evaluate(line).removesuffix("%")) == before - 10


def test_of_two_faces_the_one_that_is_clicked(desk: Visit, pictures: dict[str, Path]) -> None:
    seen, page = desk, desk.page
    seen.begin(pictures["two"])
    original = seen.picture()
    faces = page.locator(".em-face")
    assert faces.count() == 2
    look = "face => [getComputedStyle(face).backgroundColor, getComputedStyle(face).borderTopWidth !== '0px']"
    assert faces.first.evaluate(look) == ["rgba(0, 0, 0, 0)", True]  # framed, and not covered
    faces.first.hover()
    assert faces.first.evaluate(look) == ["rgba(0, 0, 0, 0)", True]
    for number, half in ((2, np.s_[:, 512:]), (1, np.s_[:, :512])):
        faces.nth(number - 1).click()
        seen.drawn()
        page.click("#emotion-anger")
        seen.drawn()
        assert faces.nth(number - 1).get_attribute("aria-pressed") == "true"
        assert (float(page.input_value(".em-divider")) > 50) == (number == 2)
        changed = np.abs(seen.picture() - original).max(axis=2) > 20
        assert changed[half].sum() == changed.sum() > 200
    page.get_by_text(seen.say("edit.code")).click()
    assert "--face 1" in page.inner_text(".em-command")
    page.get_by_text(seen.say("edit.code")).click()
    assert seen.faults == []


def test_no_face_and_broken_files_get_one_sentence(phone: Visit, pictures: dict[str, Path]) -> None:
    seen, page = phone, phone.page
    seen.begin(pictures["one"])
    for name, text in (("none", "trouble.no_face"), ("broken", "trouble.picture")):
        page.locator(".em-file >> visible=true").first.set_input_files(pictures[name])
        page.wait_for_function(
            "text => document.querySelector('.em-said').textContent === text", arg=seen.say(text), timeout=WAIT_MS
        )
        assert page.is_visible(".em-drop")
    seen.take(pictures["one"])  # and the page is as good as before
    late = ("422", "409")  # 409: for the words of a picture that was drawn of the photo before
    assert [fault for fault in seen.faults if not any(status in fault for status in late)] == []


def test_dropped_requests_never_queue_up(desk: Visit, pictures: dict[str, Path]) -> None:
    """Of many steps of a slider few are drawn, one at a time, and the last one always is."""
    seen, page = desk, desk.page
    seen.begin(pictures["one"])
    page.click("#emotion-happy")
    seen.drawn()
    flying, most, asked = [0], [0], [0]

    def begun(request: Any) -> None:
        if "/draw?" in request.url:
            flying[0] += 1
            asked[0] += 1
            most[0] = max(most[0], flying[0])

    def ended(request: Any) -> None:
        flying[0] -= "/draw?" in request.url

    page.on("request", begun)
    page.on("requestfinished", ended)
    page.on("requestfailed", ended)
    page.evaluate("""async () => {
        const input = document.querySelector('#em-strength input[type=range]');
        for (let i = 0; i < 100; i++) {
            input.value = 0.2 + i / 100;
            input.dispatchEvent(new Event('input', {bubbles: true}));
            await new Promise(resolve => setTimeout(resolve, 10));
        }
    }""")
    seen.drawn()
    assert 2 <= asked[0] < 90
    assert most[0] <= 2  # an exact picture that is given up may still be ending
    assert page.input_value("#em-strength input[type=range]") == "1.2"
    page.get_by_text(seen.say("edit.code")).click()
    assert "--strength 1.2 " in page.inner_text(".em-command")
    for event, heard in (("request", begun), ("requestfinished", ended), ("requestfailed", ended)):
        page.remove_listener(event, heard)
    page.get_by_text(seen.say("edit.code")).click()
    assert seen.faults == []


def test_many_photos(desk: Visit, pictures: dict[str, Path], tmp_path: Path) -> None:
    zipped = tmp_path / "some.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.write(pictures["one"], "a/one.png")
        archive.write(pictures["broken"], "broken.png")
    seen, page = desk, desk.page
    seen.faults.clear()
    seen.open_tab("batch")
    page.locator("input[type=file] >> visible=false").locator("xpath=self::*[@multiple]").set_input_files(
        [zipped, pictures["none"]]
    )
    page.get_by_text("some.zip").wait_for(timeout=WAIT_MS)
    seen.press("batch.start")
    page.get_by_text(seen.say("batch.done", done=1, total=3)).wait_for(timeout=WAIT_MS)
    assert page.get_by_text(seen.say("batch.failed", name="none.png", reason=seen.say("trouble.no_face"))).is_visible()
    assert page.get_by_text(
        seen.say("batch.failed", name="broken.png", reason=seen.say("trouble.picture"))
    ).is_visible()
    with page.expect_download(timeout=WAIT_MS) as started:
        page.locator("a[download]", has_text="edited.zip").or_(page.locator("a[download*='edited.zip']")).first.click()
    started.value.save_as(tmp_path / "edited.zip")
    with zipfile.ZipFile(tmp_path / "edited.zip") as archive:
        assert sorted(archive.namelist()) == ["edits.jsonl", "one_happy.png"]
    seen.judge("batch-done", besides=NESTED)
    assert seen.faults == []


def test_an_edit_drawn_in_two_ways(desk: Visit, pictures: dict[str, Path]) -> None:
    seen, page = desk, desk.page
    seen.begin(pictures["one"])
    seen.open_tab("compare")
    seen.press("compare.start")
    page.get_by_text("Left: ").first.wait_for(timeout=WAIT_MS)
    page.wait_for_function(  # the divider is at the face, which is left of the middle
        """() => {
            const [line, frame] = ['.slider-wrap .inner', '.slider-wrap'].map(
                name => [...document.querySelectorAll(name)].find(it => it.offsetParent)?.getBoundingClientRect());
            return line && frame && line.left < frame.left + frame.width / 2 - 10;
        }""",
        timeout=WAIT_MS,
    )  # fmt: skip
    seen.judge("compare-done", besides=NESTED)
    assert seen.faults == []


def test_its_end_leaves_nothing(browser: Browser, pictures: dict[str, Path], tmp_path: Path) -> None:
    """Nor does the end of a page: its photo goes while the server goes on. Of SIGTERM the fixture says the same."""
    with ServedPage("--steps", "2", env={"TMPDIR": str(tmp_path)}) as served:
        seen = visit(browser, served, "en", DESK)
        seen.take(pictures["one"])
        (root,) = tmp_path.glob("emorph-web-*")
        (photo,) = root.glob("*/photo/astronaut.png")
        seen.page.context.close()
        for _ in range(WAIT_MS // 100):
            if not photo.exists():
                break
            time.sleep(0.1)
        assert not photo.parent.parent.exists()
        served.stop(signal.SIGINT)
    assert "Ctrl-C ends it" in served.said
    assert "Traceback" not in served.said
    assert list(tmp_path.iterdir()) == []
