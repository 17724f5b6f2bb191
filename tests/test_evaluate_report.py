"""The page and its files: everything in it, nothing from elsewhere, and nothing of a file name taken for HTML."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from emorph.core.errors import DataError
from emorph.core.expressions import Emotion
from emorph.core.images import write_image
from emorph.core.records import SeenFace
from emorph.evaluate.metrics.table import METRICS
from emorph.evaluate.report.cases import best_and_worst, ranked
from emorph.evaluate.report.plots import curve, histogram
from emorph.evaluate.report.write import page, write_report
from evaluate_sets import PANEL, Made


class Reader(HTMLParser):
    """What a page shows, what it points to, and whether its elements close."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for key, value in attrs if key in ("src", "href")]
        if tag not in ("meta", "img", "br", "path", "circle", "rect", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "circle", "rect", "polyline"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader


@pytest.fixture(scope="module")
def made() -> Made:
    made = Made()
    for strength in (0.5, 1.0):
        made.edit("good", Emotion.HAPPY, Emotion.HAPPY, strength=strength, sources=range(16))
    made.edit("good", Emotion.FEAR, Emotion.SURPRISE, moved=0.5, p=0.9, sources=range(16, 18))
    made.edit("<b>odd</b>", Emotion.HAPPY, Emotion.NEUTRAL, sources=range(16))
    return made


def test_the_page_holds_everything_and_needs_nothing(made: Made) -> None:
    html = page(made.summary(), PANEL, "emorph evaluate x.csv -o out")
    reader = read(html)
    text = " ".join(" ".join(reader.text).split())
    assert reader.open == []
    assert [link for link in reader.links if not link.startswith("data:image/jpeg;base64,")] == []
    for said in (
        "Read this first",
        "good: Summary with controls",
        "good: Confusion, judged by judge@1",
        "<b>odd</b> against good",
        "gain: recognised more often",
        "emonet_8: needs emonet_8.pth, get it from https://example.org",
        "emorph evaluate x.csv -o out",
        "judges of emotions judge@1",
        "seed 0",
    ):
        assert said in text
    assert text.index("doing nothing beats these edits") < text.index("In short") < text.index("Summary with controls")
    assert "By success gain, which weighs emotion and identity together, the best first: good, <b>odd</b>." in text
    assert "good: 88.9 % (67.2 to 96.9; n = 18) are recognised as the target" in text
    for metric in METRICS.values():
        assert f"{metric.title} {metric.compares}" in text
    assert "<b>odd</b>" not in html
    assert html.count("<svg") == 2


def test_no_mean_stands_without_n(made: Made) -> None:
    html = page(made.summary(), PANEL, "")
    means = re.findall(r"<b>[-\d.]+(?: %)?</b>(.{0,60})", html)
    assert len(means) > 50
    assert all(re.match(r"<small>([-\d.e]+ to [-\d.e]+|no interval); n = \d+</small>", after) for after in means)


def test_no_share_stands_without_n_among_the_conclusions(made: Made) -> None:
    one = Made()
    one.edit("m", Emotion.HAPPY, Emotion.HAPPY, sources=range(16))
    told = [*made.summary().conclusions, *one.summary().conclusions]
    assert len(told) == 4 + 3
    bare = [re.sub(r"-?[\d.]+ % \([-\d.]+ to [-\d.]+; n = \d+\)", "", sentence) for sentence in told]
    assert not [sentence for sentence in bare if re.search(r"\d %(?! of the pairs)", sentence)]  # a threshold has no n


def test_all_files_tell_the_same(made: Made, tmp_path: Path) -> None:
    summary = made.summary()
    written = write_report(tmp_path, summary, PANEL, "emorph evaluate")
    assert written == tmp_path / "report.html"
    names = {"report.html", "tables.csv", "tables.md", "tables.tex", "edits.csv", "summary.json", "judges.json"}
    assert {path.name for path in tmp_path.iterdir()} == names
    found = json.loads((tmp_path / "summary.json").read_text())
    rows = {row["measure"]: row for row in found["tables"]["good_summary"]["rows"]}
    gain = rows["Gain over the unedited photo (judge@1)"]["edits"]
    assert gain["n"] == 18
    assert gain["mean"] == pytest.approx(16 / 18)
    cells = list(csv.DictReader((tmp_path / "tables.csv").open(newline="")))
    (same,) = [c for c in cells if c["table"] == "good_summary" and c["row"].startswith("Gain") and c["n"]]
    assert float(same["mean"]) == gain["mean"]
    assert (tmp_path / "tables.md").read_text().startswith(f"{summary.about}\n\n> ")
    tex = (tmp_path / "tables.tex").read_text()
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == len(summary.tables)
    edits = list(csv.DictReader((tmp_path / "edits.csv").open(newline="")))
    assert len(edits) == 50
    assert float(edits[0]["target after judge@1"]) == pytest.approx(0.7)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        write_report(tmp_path / "file", summary, PANEL, "")


def test_what_was_left_out_is_listed(made: Made) -> None:
    broken = Made()
    broken.edit("m", Emotion.HAPPY, Emotion.HAPPY, sources=range(12))
    id = broken.judged[3].edit_id
    broken.records.faces[id] = SeenFace(id, trouble="that.png is <damaged>.")
    text = " ".join(read(page(broken.summary(), PANEL, "")).text)
    assert "that.png is <damaged>." in text
    assert "1 of 12 edits could not be measured" in text


def test_best_and_worst_are_what_they_are_called(made: Made, tmp_path: Path) -> None:
    good = made.summary().scores[0]
    order = ranked(good)
    assert len(order) == 18
    assert {good.evidence.edits[i].pair.target for i in order[-2:]} == {Emotion.FEAR}  # least seen as their target
    best, worst = best_and_worst(good)
    assert (len(best), len(worst)) == (6, 6)
    assert worst[0].lines[0] == "fear, strength 1"
    assert "seen as surprise; target 10 → 3 %" in worst[0].lines
    assert {case.lines for case in best}.isdisjoint({case.lines for case in worst})
    assert best[0].source == ""  # no such file: said on the page
    scored = good.evidence.edits[order[0]]
    for name, level in (("s.png", 50), ("e.png", 200)):
        write_image(tmp_path / name, np.full((64, 64, 3), level, np.uint8))
    pair = replace(scored.pair, source=tmp_path / "s.png", edited=tmp_path / "e.png")
    edits = list(good.evidence.edits)
    edits[order[0]] = replace(scored, pair=pair)
    shown = best_and_worst(replace(good, evidence=replace(good.evidence, edits=tuple(edits))))[0][0]
    levels = []
    for url in (shown.source, shown.edited):
        picture = Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))))
        assert picture.size == (150, 150)
        levels.append(int(np.asarray(picture).mean()))
    assert levels == [50, 200]


def test_drawings_are_whole_and_to_scale(made: Made) -> None:
    points = made.summary().scores[0].tradeoffs[0].points()
    drawing = ElementTree.fromstring(curve([("a < b", points)]))
    (line,) = drawing.findall("{*}polyline")
    places = [tuple(map(float, place.split(","))) for place in line.attrib["points"].split()]
    assert len(places) == 1 + 2
    assert places[0][0] < places[2][0] <= places[1][0]  # strength 1 holds the fears, which gain nothing
    texts = [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a < b", "0.5", "1", "unedited"} <= set(texts)
    bars = ElementTree.fromstring(histogram([("x", np.array([0.1, 0.1, 0.9])), ("none", np.zeros(0))], "d", 0.5))
    texts = [str(text.text) for text in bars.iter("{http://www.w3.org/2000/svg}text")]
    assert "x (n = 3)" in texts
    assert not any("none" in text for text in texts)
    assert texts[:9] == ["0", "0.2", "0.4", "0.6", "0.8", "0 %", "20 %", "40 %", "60 %"]
