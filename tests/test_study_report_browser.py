"""Reports in a browser, on a phone and at a desk: axe-core finds nothing, nothing is fetched, nothing sticks out.

EMORPH_SHOTS=FOLDER keeps a picture of each, to be looked at.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("playwright.sync_api", reason="a browser is driven with playwright")
pytest.importorskip("axe_playwright_python.sync_playwright", reason="accessibility is judged by axe-core")

from axe_playwright_python.sync_playwright import Axe

import made_study
from browsers import RULES, browser
from emorph.core.expressions import Emotion
from emorph.evaluate.judges.panel import NotMeasured, Panel
from emorph.evaluate.report.write import page as page_of_edits
from emorph.study.analysis import analyse
from emorph.study.report.write import write_report
from evaluate_sets import JUDGE, Made

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["browser"]  # the fixture
WIDTHS = {"phone": 375, "desk": 1280}


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = made_study.design()
    folder = tmp_path_factory.mktemp("browser")
    found = analyse(made_study.write(folder / "study", made, made_study.people(made, 8)))
    return write_report(folder / "report", found, "emorph study results study -o report")


def test_the_report_is_for_everybody_and_every_screen(browser: Browser, page_file: Path) -> None:
    for name, width in WIDTHS.items():
        page = browser.new_page(viewport={"width": width, "height": 900})
        asked: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.goto(page_file.as_uri())
        results = Axe().run(page, options=RULES)
        assert results.violations_count == 0, results.generate_report()
        assert asked == [page_file.as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"it sticks out on a {name}"
        if folder := os.environ.get("EMORPH_SHOTS"):
            page.screenshot(path=Path(folder) / f"report-{name}.png", full_page=True)


def test_a_report_of_edits_is_no_wider_than_a_phone(browser: Browser) -> None:
    """Where files are missing it names their paths, which are long."""
    made = Made()
    made.edit("good", Emotion.HAPPY, Emotion.HAPPY, sources=range(16))
    panel = Panel((JUDGE,), (NotMeasured("emonet_8", f"put it at /{'a_long_path/' * 9}emonet_8.pth"),))
    page = browser.new_page(viewport={"width": WIDTHS["phone"], "height": 900})
    page.set_content(page_of_edits(made.summary(panel), panel, "emorph evaluate"))
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS["phone"]
