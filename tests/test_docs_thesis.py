"""The guide from AffectNet to a thesis table, block by block, in small: on made pictures, and on AffectNet's layout.

With -s each step's time is printed.
"""

from __future__ import annotations

import csv
import json
import shlex
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emorph.core.images import write_image
from emorph.core.types import Photo
from emorph.faces import find_faces
from evaluate_sets import face
from markdown_blocks import blocks, joined_lines

Command = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "guides" / "thesis.md"
HEADER = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
# What the page says for AffectNet, and what a test has the time for
SMALL = (
    ('init = "ffhq128-autoenc"', "# init ="),
    (
        'preset = "ffhq128"',
        "image_size = 32\npatch_size = 2\nmodel_channels = 32\nchannel_mult = [1, 1]\n"
        "encoder_channel_mult = [1, 1, 1]\nnum_res_blocks = 1\nattention_resolutions = [8]\nembed_dim = 32\nz_dim = 32"
        "\nedit_steps = 2",
    ),
    ("batch_size = 32", "batch_size = 4"),
    ("ema_decay = 0.9999", "ema_decay = 0.5"),
    ("epochs = 10", "steps = 4\n\n[samples]\nn = 1"),
    ("step_00089891", "step_00000004"),
    ("--n 500 --steps 10,20", "--n 3 --steps 2"),
    ("--workers 2", "--workers 1"),
    ("--faces 4", "--faces 1"),
    ("--n 200", "--n 2"),
    ('task = "classifier"\n', 'task = "classifier"\ncheck = 1\n'),
)
# The made faces are one person's, each a copy of the others to whoever divides them, so that no test set is set apart
WITHOUT_TEST = (("--test 500", ""), ("--split test", "--split val"), ('test = "test"', "# test ="))
# What comes out alike of any data set, so that the second walk leaves it out
ALIKE = (
    "emorph doctor",
    "emorph train new --list",
    "emorph train keys autoencoder",
    "emorph train samples runs/autoencoder",
    "emorph train sheets runs/autoencoder",
)
WITHOUT_CHECK = (("check = 1\n", "check = 0\n"),)  # of the directions, by edits
Replacements = tuple[tuple[str, str], ...]


def small(text: str, more: Replacements) -> str:
    for said, instead in (*SMALL, *more):
        text = text.replace(said, instead)
    return text


def test_every_replacement_is_of_what_the_page_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [said for said in (*(said for said, _ in (*SMALL, *WITHOUT_TEST)), *ALIKE) if said not in page] == []


def made_affectnet(root: Path) -> None:
    """Both lists and their photos, one face in many lights and shapes; every emotion three times."""
    photos = root / "Manually_Annotated_Images" / "1"
    rows: dict[str, list[str]] = {"training": [], "validation": []}
    for i, stretch in enumerate((1.0, 1.1, 1.2)):
        found = find_faces(Photo(face(1, stretch)))[0]
        left, top, right, bottom = found.box
        box = f"{left},{top},{right - left},{bottom - top}"
        points = ";".join(f"{x:.2f};{y:.2f}" for x, y in found.points)
        for code in range(8):
            name = f"{i}{code}.png"
            write_image(photos / name, face(0.55 + 0.06 * code, stretch))
            rows["validation" if i == 2 else "training"].append(f"1/{name},{box},{points},{code},0.{code},-0.{code}")
    for name, lines in rows.items():
        (root / f"{name}.csv").write_text("\n".join([HEADER, *lines]) + "\n")


def thin(file: Path, n: int) -> None:
    """Leave one of n lines of each expression, the first included, so that no code is lost."""
    header, *lines = file.read_text().splitlines()
    seen: Counter[str] = Counter()
    kept = []
    for line in lines:
        code = next(csv.DictReader([header, line]))["expression"]
        kept += [line] if seen[code] % n == 0 else []
        seen[code] += 1
    file.write_text("\n".join([header, *kept]) + "\n")


def walk(emorph: Command, folder: Path, more: Replacements = (), without: tuple[str, ...] = ()) -> dict[str, float]:
    """Run the page's blocks in ``folder``, but for the lines that begin with ``without``; seconds of each command.

    more: replacements besides SMALL.
    """
    seconds = {}
    for block in blocks(PAGE.read_text(encoding="utf-8")):
        if block.not_run is not None:
            continue
        if block.title:
            (folder / block.title).write_text(small(block.text, more))
        for _, line in joined_lines(block) if block.language == "bash" else ():
            if line.startswith(without):
                continue
            start = time.perf_counter()
            status, out, err = emorph(*shlex.split(small(line, more), comments=True)[1:])
            assert status == 0, f"{line}\n{out[-2000:]}\n{err[-2000:]}"
            seconds[line] = time.perf_counter() - start
    for line, spent in seconds.items():
        sys.stdout.write(f"{spent:7.1f} s  {line}\n")
    return seconds


def checked(folder: Path, n_photos: int, split: str) -> None:
    """Every file that the page promises, with numbers in it."""
    table = json.loads((folder / "reconstructions" / "reconstructions.json").read_text())
    (own, noise) = table["tables"]["reconstructions"]
    assert own["PSNR, dB (higher)"]["n"] == noise["PSNR, dB (higher)"]["n"] > 0
    assert table["splits"] == {split: own["PSNR, dB (higher)"]["n"]}
    edits = list(csv.DictReader((folder / "report" / "edits.csv").open(newline="")))
    assert sorted(row["target"] for row in edits) == ["happy"] * n_photos + ["sad"] * n_photos
    summary = json.loads((folder / "report" / "summary.json").read_text())
    assert summary["splits"] == {split: n_photos}
    assert f"Split: {split}" in summary["about"]
    assert _rows(summary, "papers")[0]["edits"]["n"] == 2 * n_photos
    text = (folder / "report" / "tables.tex").read_text()
    assert "outside the editor's mask" in text
    assert r"withheld: 1 \% of 1 impostor pair" in text  # two photos
    (mask,) = [row for row in _rows(summary, "fidelity") if row["measure"].startswith("PSNR outside the editor's mask")]
    assert mask["edits"] == f"infinite: all {2 * n_photos} are exact"
    assert json.loads((folder / "judges" / "annotations.json").read_text())["tables"]["annotations_emotion"]


def _rows(summary: dict[str, Any], name: str) -> list[dict[str, Any]]:
    (found,) = [table["rows"] for table_name, table in summary["tables"].items() if table_name.endswith(name)]
    return list(found)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_whole_way_on_made_pictures(emorph: Command, folder: Path) -> None:
    made_affectnet(folder / "AffectNet")
    walk(emorph, folder, WITHOUT_TEST)
    checked(folder, 2, "val")


def test_the_whole_way_on_affectnets_layout(emorph: Command, folder: Path, shared_file: Callable[[str], Path]) -> None:
    shutil.copytree(shared_file("affectnet_layout") / "manual", folder / "AffectNet")
    for name in ("training.csv", "validation.csv"):
        thin(folder / "AffectNet" / name, 6)
    walk(emorph, folder, WITHOUT_CHECK, ALIKE)
    checked(folder, 2, "test")
