"""How long the page takes from an input event to the changed picture, in a browser: ``python bench/web.py``.

The slider is moved as a hand does it, an event every EVERY_MS, up and down. A picture's latency is the time from the
event that set its strength to its being decoded in the browser. Events whose picture was dropped for a later one have
none.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from support.measure import table, write_section
from support.pages import ServedPage

EXAMPLE = Path(__file__).parent.parent / "examples" / "astronaut.png"
EVERY_MS = 33
N_SWEEPS = 4
WAIT_MS = 300_000
EXACT = "document.querySelector('.em-stage').dataset.exact === 'true'"
DRAG = """async ([everyMs, nSweeps]) => {
    const stage = document.querySelector('.em-stage');
    const input = document.querySelector('#em-strength input[type=range]');
    const set = {}, seen = [];
    const note = event => seen.push({
        ms: performance.now() - set[event.detail.wish.strength], exact: event.detail.exact,
    });
    stage.addEventListener('emorph:shown', note);
    let n = 0;
    for (let sweep = 0; sweep < nSweeps; sweep++) {
        for (let i = 6; i <= 24; i++) {
            input.value = (sweep % 2 ? 30 - i : i) * 0.05;
            set[Number(input.value)] = performance.now();
            input.dispatchEvent(new Event('input', {bubbles: true}));
            n++;
            await new Promise(resolve => setTimeout(resolve, everyMs));
        }
    }
    stage.removeEventListener('emorph:shown', note);
    return [n, seen];
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=EXAMPLE, help="a photo with a face")
    parser.add_argument("--to", default="surprise", help="the emotion")
    parser.add_argument("--model", default="emorph-base", help="as of emorph web")
    options = parser.parse_args()
    with ServedPage("--model", options.model) as served, sync_playwright() as runner:
        found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        browser = runner.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(served.address)
        page.wait_for_selector(".em-drop", timeout=WAIT_MS)
        first_s = [_first_picture_s(page, options.data, again=again) for again in (False, True)]
        page.click(f"#emotion-{options.to}")
        page.wait_for_timeout(50)
        page.wait_for_function(EXACT, timeout=WAIT_MS)
        drawn = page.inner_text(".em-said")
        n_events, seen = page.evaluate(DRAG, [EVERY_MS, N_SWEEPS])
        browser.close()
    latency_ms = [one["ms"] for one in seen]
    rows = [
        ("first picture after the upload, first photo", f"{1000 * first_s[0]:.0f} ms"),
        ("first picture after the upload, second photo", f"{1000 * first_s[1]:.0f} ms"),
        ("input event to changed picture, median", f"{np.median(latency_ms):.0f} ms"),
        ("input event to changed picture, 95th percentile", f"{np.percentile(latency_ms, 95):.0f} ms"),
        ("pictures shown, of events", f"{len(seen)} of {n_events}"),
        ("sketches among them", f"{sum(not one['exact'] for one in seen)}"),
    ]
    text = (
        f"{options.data.name}, {options.model}, to {options.to}; an event every {EVERY_MS} ms, browser and server on "
        f'one machine. At rest the page said: "{drawn}"\n\n'
    )
    write_section("Page", "python bench/web.py", text + table(("what", "how long or how many"), rows))


def _first_picture_s(page: Any, photo: Path, *, again: bool) -> float:
    """From choosing a photo to its picture."""
    place = ".em-facts .em-file" if again else ".em-drop .em-file"
    page.evaluate("delete document.querySelector('.em-stage').dataset.exact")
    started_s = time.perf_counter()
    page.locator(place).set_input_files(photo)
    page.wait_for_function(EXACT, timeout=WAIT_MS)
    return time.perf_counter() - started_s


if __name__ == "__main__":
    main()
