"""``emorph data scan``, ``show`` and ``balance``: numbers on stdout, a page, and one sentence for bad input."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from emorph.data.layouts import open_index
from emorph.data.page import write_page
from emorph.data.report import scan_report
from made_data import affectnet, picture, row

pytest.importorskip("datasets", reason="needs the extra 'train'")
Command = Callable[..., tuple[int, str, str]]

# AffectNet's counts over a hundred, rounded up; validation has five of each code
TOTALS = [754, 1350, 260, 146, 69, 44, 254, 43, 336, 122, 830]


@pytest.fixture(scope="module")
def hundredth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lists in AffectNet's proportions, without pictures."""
    lists: tuple[list[str], list[str]] = ([], [])
    for code, total in enumerate(TOTALS):
        affect = "-2,-2" if code > 7 else "0.3,-0.2"
        for i in range(total):
            lists[i < 5].append(row(f"{i % 50}/{code}_{i}.jpg", code, affect=affect))
    return affectnet(tmp_path_factory.mktemp("lists"), *lists)


def test_scan_counts_every_code_before_and_after_the_holdout(emorph: Command, hundredth: Path) -> None:
    status, out, err = emorph("data", "scan", hundredth, "--no-files", "--json")
    assert status == 0, err
    found = json.loads(out)
    counts = list(found["counts"].values())
    assert [c["listed_total"] for c in counts] == TOTALS
    assert [c["listed"]["val"] for c in counts] == [5] * 11
    assert [c["train"] for c in counts[:8]] == [n - 5 for n in TOTALS[:8]]
    assert [c["val"] for c in counts[:8]] == [5] * 8
    assert "train" not in counts[8]
    assert (found["total"], found["usable"]) == (sum(TOTALS), {"train": sum(TOTALS[:8]) - 40, "val": 40})
    assert found["problems"]["valence/arousal -2"]["count"] == sum(TOTALS[8:])
    assert (found["files_checked"], found["division"]) == (False, {"own": True})


def test_scan_prints_the_same_as_a_table(emorph: Command, hundredth: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    _, out, _ = emorph("data", "scan", hundredth, "--no-files")
    assert re.search(r"1 Happy +1,345 +5 +1,350 +1,345 +5\b", out)
    assert re.search(r"10 Non-Face +825 +5 +830 +- +-", out)
    assert re.search(r"total +4,153 +55 +4,208 +2,880 +40\b", out)
    assert "1,288  no emotion (codes 8 to 10)" in out
    assert "The picture files were not checked." in out


def test_without_a_validation_list_some_are_held_out(emorph: Command, tmp_path: Path) -> None:
    for i in range(12):
        picture(tmp_path / ("happy" if i < 7 else "sad") / f"{i}.jpg")
    _, out, _ = emorph("data", "scan", tmp_path, "--holdout", 3, "--json")
    found = json.loads(out)
    assert found["usable"] == {"train": 10, "val": 2}
    assert found["division"] == {"holdout": 3, "seed": 0}
    assert set(found["counts"]) == {"Happy", "Sad"}


class Page(HTMLParser):
    """Counts what a page shows, and notes what it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [v or "" for k, v in attrs if k in ("src", "href") and not (v or "").startswith("data:")]


def test_the_page_is_one_file_and_takes_names_as_text(tmp_path: Path) -> None:
    root = tmp_path / "a <script> & b"
    rows = [row(f"1/{i}.png", i % 2, affect="0.5,0.5" if i % 2 else "-0.5,0") for i in range(6)]
    affectnet(root, [*rows, row("<script>alert(1)</script>.png", 1), row("1/x.jpg", 99)], [])
    for i in range(6):
        picture(root / "Manually_Annotated_Images" / f"1/{i}.png", seed=i)
    index = open_index(root)
    index.checked = True
    write_page(tmp_path / "page.html", scan_report(index, holdout=0, seed=0))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in page.tags
    assert page.tags.count("img") == 6
    assert page.tags.count("circle") == 2
    assert page.fetched == []
    assert "&lt;script&gt;alert(1)" not in text  # a good row is no problem, so its name is not shown
    assert "1/x.jpg: expression &#39;99&#39;" in text
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["page.html"]


def test_a_page_that_cannot_be_written_leaves_nothing(
    emorph: Command, hundredth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        status, _, err = emorph("data", "scan", hundredth, "--no-files", "--html", tmp_path / "page.html")
    assert (status, list(tmp_path.iterdir())) == (2, [])
    assert "page.html cannot be written (No space left on device)" in err


def test_balance_shows_each_choice(emorph: Command, hundredth: Path) -> None:
    status, out, _ = emorph("data", "balance", hundredth, "--json", "--choice", "cap", "--choice", "cap:100")
    found = json.loads(out)["choices"]
    assert status == 0
    assert set(found[0]["per_emotion"].values()) == {38}
    assert set(found[1]["per_emotion"].values()) == {100}
    _, out, _ = emorph("data", "balance", hundredth)
    assert re.search(r"repeat +10,760( +1,345){8} +100\.0% +36x", out)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scan", "{tmp}/nowhere"], r"DataError: .*nowhere: there is no such folder or file"),
        (["scan", "{tmp}"], r"DataError: .* is in no layout that emorph reads; found an empty folder"),
        (["scan", "{lists}"], r"DataError: .*none of the [\d,]+ listed pictures is there.*--no-files"),
        (["scan", "{lists}", "--no-files", "--html", "{tmp}/none/a.html"], r"DataError: .*a\.html cannot be written"),
        (["scan", "{lists}", "--layout", "fhq"], r"UnknownNameError: layout 'fhq' is not known; did you mean 'ffhq'"),
        (["show", "{lists}"], r"DataError: .*is not in the layout prepared"),
        (["balance", "{lists}", "--choice", "equal"], r"UnknownNameError: balance 'equal' is not known"),
    ],
)
def test_bad_input_is_one_sentence(
    emorph: Command, hundredth: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    status, out, err = emorph("data", *(w.format(tmp=tmp_path, lists=hundredth) for w in words))
    assert (status, out) == (2, "")
    assert re.search(message, err)
    assert "Traceback" not in err
