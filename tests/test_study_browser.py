"""Whole studies in a browser: both tasks and languages, phone and desk, mouse, touch and keys, accessible throughout.

EMORPH_SHOTS=FOLDER keeps a picture of every kind of page, to be looked at.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from emorph.study.records import read_participants, read_votes

sys.path.append(str(Path(__file__).parents[1] / "bench"))
pytest.importorskip("fastapi", reason="serving needs the extra emorph[study]")
pytest.importorskip("uvicorn", reason="serving needs the extra emorph[study]")
pytest.importorskip("playwright.sync_api", reason="a browser is driven with playwright")
pytest.importorskip("axe_playwright_python.sync_playwright", reason="accessibility is judged by axe-core")

from axe_playwright_python.sync_playwright import Axe

from browsers import RULES, browser
from support.people import Served, made_study

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Route

__all__ = ["browser"]  # the fixture
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 375, "height": 667}
READY = "main[aria-busy=false]"
BROKEN_WORDS = """all => all.filter(span => {
    const range = document.createRange();
    range.selectNodeContents(span);
    const lines = new Set([...range.getClientRects()].map(line => line.top));
    return !span.textContent.includes(" ") && lines.size > 1;
}).map(span => span.textContent)"""
KEYS = {"←": "ArrowLeft", "→": "ArrowRight", "↓": "ArrowDown"}


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study before anybody took part: both tasks, every kind of question."""
    folder = tmp_path_factory.mktemp("untouched")
    made_study(folder, n_photos=6, trials=3, side_px=256, title="Faces")
    path = folder / "study" / "study.toml"
    text = path.read_text(encoding="utf-8")
    for before, after in {
        "ties = false": "ties = true",
        "intensity = false\nrealism = false": "intensity = true\nrealism = true",
    }.items():
        assert before in text
        text = text.replace(before, after)
    path.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def study(untouched: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(untouched, tmp_path, dirs_exist_ok=True)
    return tmp_path / "study"


@dataclass
class Visit:
    """One browser window on a study. hand: "mouse", "touch" or "keys". with_axe: whether axe-core looks, too."""

    context: BrowserContext
    served: Served
    hand: str
    name: str
    pressed: list[tuple[str, str]] = field(default_factory=list)  # question as asked, button's key
    judged: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    with_axe: bool = True

    def open(self, address: str) -> Page:
        page = self.context.new_page()
        page.on("request", lambda request: self._same_host(request.url))
        page.on("console", lambda message: self._quiet(message.type, message.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.goto(address)
        return page

    def _same_host(self, url: str) -> None:
        if not url.startswith(self.served.address):
            self.faults.append(f"asked another host: {url}")

    def _quiet(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.faults.append(f"{kind}: {text}")

    def judge(self, page: Page, kind: str) -> None:
        """Once for each kind of page: accessible, and no wider than the window."""
        if kind in self.judged:
            return
        self.judged.add(kind)
        if shots := os.environ.get("EMORPH_SHOTS"):
            page.wait_for_timeout(200)
            page.screenshot(path=Path(shots) / f"{self.name}-{kind}.png", full_page=True)
        found = Axe().run(page, options=RULES).response["violations"] if self.with_axe else []
        self.faults += [f"{kind}: {v['id']}: {[node['html'][:120] for node in v['nodes']]}" for v in found]
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{kind} is {wide} px wider than the window"

    def begin(self, page: Page) -> None:
        """Agree and go on to the first question."""
        self.judge(page, "consent")
        if self.hand == "keys":
            self._tab_to(page, "input[name=agree]")
            page.keyboard.press("Space")
            self._tab_to(page, "button.main")
            page.keyboard.press("Enter")
        else:
            self.touch(page, ".agree")
            self.touch(page, "button.main")
        page.wait_for_selector("#address")
        self.judge(page, "instructions")
        if self.hand == "keys":
            self._tab_to(page, "a.main")
            page.keyboard.press("Enter")
        else:
            self.touch(page, "a.main")

    def touch(self, page: Page, selector: str) -> None:
        (page.tap if self.hand == "touch" else page.click)(selector)

    def _tab_to(self, page: Page, selector: str) -> None:
        for _ in range(40):
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"{selector} cannot be reached with Tab")

    def answer(self, page: Page) -> bool:
        """Answer one question; False where there is none left."""
        page.wait_for_selector(f"{READY}, .code")
        if page.query_selector(".code"):
            return False
        layout = page.get_attribute("#answers", "class") or ""
        kind = f"{page.get_attribute('#pictures', 'class')}-{layout}".replace(" ", "-")
        self.judge(page, kind)
        self._check_view(page, kind)
        buttons = page.query_selector_all("#answers button")
        chosen = buttons[len(self.pressed) % len(buttons)]
        key, shortcut = chosen.get_attribute("data-key") or "", chosen.get_attribute("aria-keyshortcuts") or ""
        self.pressed.append((page.inner_text("#question"), key))
        place = page.inner_text("#progress"), page.inner_text("#question")
        if self.hand == "keys":
            page.keyboard.press(KEYS.get(shortcut, shortcut))
        elif self.hand == "touch":
            chosen.tap()
        else:
            chosen.dblclick(force=True, no_wait_after=True)  # as people do
        page.wait_for_selector(f"{READY}, .code")
        for _ in range(200):
            if page.query_selector(".code") or not page.query_selector(READY):
                break
            if (page.inner_text("#progress"), page.inner_text("#question")) != place:
                break
            page.wait_for_timeout(20)
        return True

    def _check_view(self, page: Page, kind: str) -> None:
        """Pictures and answers are in view together, the pictures square, of one size, and not tiny."""
        bottom = page.evaluate("document.getElementById('answers').getBoundingClientRect().bottom - innerHeight")
        assert bottom <= 0, f"{kind}: the answers end {bottom} px below the window"
        broken = page.eval_on_selector_all("#answers button span", BROKEN_WORDS)
        assert broken == [], f"{kind}: words that do not fit on their buttons"
        sizes = page.eval_on_selector_all(
            "#pictures figure:not(.original) img", "all => all.map(i => [i.clientWidth, i.clientHeight])"
        )
        assert len({tuple(size) for size in sizes}) == 1
        assert sizes[0][0] == sizes[0][1] >= 128, f"{kind}: {sizes}"


def visit(browser: Browser, served: Served, language: str, window: dict[str, int], hand: str) -> Visit:
    locale = {"en": "en-GB", "ja": "ja-JP"}[language]
    context = browser.new_context(viewport=window, locale=locale, has_touch=hand == "touch", is_mobile=hand == "touch")
    return Visit(context, served, hand, f"{language}-{window['width']}-{hand}")


@pytest.mark.parametrize(
    ("language", "window", "hand"),
    [("en", DESK, "mouse"), ("ja", PHONE, "touch"), ("ja", DESK, "keys"), ("en", PHONE, "touch")],
    ids=["en-desk-mouse", "ja-phone-touch", "ja-desk-keys", "en-phone-touch"],
)
def test_a_whole_study(browser: Browser, study: Path, language: str, window: dict[str, int], hand: str) -> None:
    with Served(study) as served:
        seen = visit(browser, served, language, window, hand)
        seen.with_axe = (language, window) in (("en", DESK), ("ja", PHONE))  # each language and each window once
        page = seen.open(served.address)
        assert page.get_attribute("html", "lang") == language
        seen.begin(page)
        for _ in range(7):
            assert seen.answer(page)
        link = page.url.removesuffix("/study")
        page.wait_for_selector(READY)
        here = page.inner_text("#progress"), page.inner_text("#question")
        page.close()  # and come back by the link
        page = seen.open(link)
        seen.touch(page, "a.main")
        page.wait_for_selector(READY)
        assert (page.inner_text("#progress"), page.inner_text("#question")) == here
        while seen.answer(page):
            pass
        seen.judge(page, "finish")
        code = page.inner_text(".code")
        seen.context.close()
    assert seen.faults == []
    assert seen.judged >= {"consent", "instructions", "pair-above-pair", "single-words", "single-scale", "finish"}
    (person,) = read_participants(study)
    assert (person.completion, person.language) == (code, language)
    votes = read_votes(study)
    assert [pressed(vote) for vote in votes] == [key for _, key in seen.pressed]
    assert {vote.question for vote in votes} == {"realism", "emotion", "identity", "intensity"}
    assert all(0 < vote.seconds_browser < 60 for vote in votes)


def pressed(vote: Any) -> str:
    """Which button gave a stored answer."""
    if vote.task == "identification" or vote.answer == "tie":
        return str(vote.answer)
    return str(vote.position if vote.answer == "a" else {"left": "right", "right": "left"}[vote.position])


def test_the_clock_starts_when_the_pictures_are_there(browser: Browser, study: Path) -> None:
    wait_s = 1.2
    hold = True
    held: list[Route] = []
    with Served(study) as served:
        seen = visit(browser, served, "en", DESK, "mouse")
        seen.context.route("**/pictures/*", lambda route: held.append(route) if hold else route.continue_())
        page = seen.open(served.address)
        seen.begin(page)
        page.wait_for_selector("#status:has-text('Loading')")
        page.wait_for_timeout(1000 * wait_s)
        assert not page.is_visible("#answers")
        hold = False
        for route in held:
            route.continue_()
        seen.answer(page)
        seen.context.close()
    (vote, *_) = read_votes(study)
    assert vote.seconds_server is not None
    assert vote.seconds_server - vote.seconds_browser > wait_s


def test_two_tabs_give_one_vote_each_question(browser: Browser, study: Path) -> None:
    with Served(study) as served:
        seen = visit(browser, served, "en", DESK, "mouse")
        one = seen.open(served.address)
        seen.begin(one)
        one.wait_for_selector(READY)
        two = seen.open(one.url)
        two.wait_for_selector(READY)
        for page in (one, two):
            page.query_selector_all("#answers button")[0].click()
            page.wait_for_selector(READY)
            page.wait_for_timeout(300)
        assert one.inner_text("#step") == two.inner_text("#step") == "Question 2 of 3"
        seen.context.close()
    assert len(read_votes(study)) == 1


def test_a_server_that_is_gone_is_waited_for(browser: Browser, study: Path) -> None:
    with Served(study) as served:
        seen = visit(browser, served, "en", DESK, "mouse")
        page = seen.open(served.address)
        seen.begin(page)
        page.wait_for_selector(READY)
        served.stop(signal.SIGKILL)
        page.query_selector_all("#answers button")[0].click()
        page.wait_for_selector("#status:has-text('could not be saved yet')")
        served.start()
        page.wait_for_selector(READY, timeout=20_000)
        assert page.inner_text("#step") == "Question 2 of 3"
        seen.context.close()
    assert len(read_votes(study)) == 1


def test_behind_a_proxy_with_a_path(browser: Browser, study: Path) -> None:
    """All links are relative, so they hold under any path, and the link to come back by too."""
    with Served(study, "--prefix", "/lab/study") as served:
        seen = visit(browser, served, "en", DESK, "mouse")
        page = seen.open(f"{served.address}lab/study/")
        seen.begin(page)
        assert seen.answer(page)
        assert page.url.startswith(f"{served.address}lab/study/p/")
        page = seen.open(page.url.removesuffix("/study"))
        assert page.inner_text("#address") == page.url
        assert page.inner_text("a.main") == "Go on"
        seen.context.close()
    assert seen.faults == []
    assert len(read_votes(study)) == 1


def test_agreeing_is_needed_and_said(browser: Browser, study: Path) -> None:
    """Also where a browser lets a form through without its box ticked."""
    with Served(study) as served:
        seen = visit(browser, served, "en", DESK, "mouse")
        page = seen.open(served.address)
        page.evaluate("document.querySelector('form').noValidate = true")
        page.click("button.main")
        assert "Please tick the box" in page.inner_text("[role=alert]")
        seen.judge(page, "missed")
        page.goto(f"{served.address}p/{'A' * 22}")
        assert "not known" in page.inner_text("h1")
        seen.judge(page, "message")
        seen.context.close()
    assert [fault for fault in seen.faults if "422" not in fault and "404" not in fault] == []
    assert read_participants(study) == []


def test_keys_answer_only_while_the_focus_is_in_the_answers(browser: Browser, study: Path) -> None:
    """WCAG 2.1.4: a key of one letter may not act wherever the focus is."""
    with Served(study) as served:
        seen = visit(browser, served, "en", DESK, "keys")
        page = seen.open(served.address)
        seen.begin(page)
        page.wait_for_selector(READY)
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(300)
        assert page.inner_text("#step") == "Question 1 of 3"
        seen.context.close()
    assert read_votes(study) == []
