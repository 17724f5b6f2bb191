"""``emorph evaluate`` on small made sets: what it writes and says, and its exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from emorph.evaluate.measure import look
from emorph.evaluate.measure.records import Records
from evaluate_sets import made_set, save_judge

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with judge/, made.csv, rest.csv, which lacks an edit and a photo, and none.csv of unedited photos."""
    folder = tmp_path_factory.mktemp("evaluate")
    save_judge(folder / "judge")
    made_set(folder)
    (folder / "rest.csv").write_text(
        "source,edited,target\nann.png,ann_happy_1.png,happy\nann.png,gone.png,sad\nmoved.png,bob_happy_1.png,happy\n"
    )
    (folder / "none.csv").write_text("source,edited,target\nann.png,ann.png,happy\nbob.png,bob.png,happy\n")
    return folder


def quick(place: Path) -> list[object]:
    return ["--judge", place / "judge", "--workers", 1]


def test_one_command_makes_the_report_and_a_second_only_reads(
    emorph: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = place / "report"
    status, printed, err = emorph("evaluate", place / "made.csv", "-o", out, *quick(place))
    assert status == 0, err
    assert printed.splitlines()[-1] == str(out / "report.html")
    assert "Recognised as the target (judge@" in printed
    assert "Warning: Only 2 source photos" in err
    html = (out / "report.html").read_text()
    assert f"emorph evaluate {place / 'made.csv'} -o {out}" in html
    assert html.count("data:image/jpeg;base64,") == 8  # four edits at the dose with their sources
    monkeypatch.setattr(look, "find_faces", None)
    status, printed, err = emorph("evaluate", place / "made.csv", "-o", out, *quick(place), "--json")
    assert status == 0, err
    found = json.loads(printed)
    assert found["report"] == str(out / "report.html")
    assert found["left_out"] == []
    assert found["tables"]["made_summary"]["rows"][0]["edits"]["n"] == 4


def test_records_are_read_once_unless_other_shards_write_them_too(
    emorph: Command, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[Path] = []
    read = Records.read
    monkeypatch.setattr(Records, "read", lambda folder: folders.append(folder) or read(folder))
    assert emorph("evaluate", place / "none.csv", "-o", tmp_path, *quick(place))[0] == 0
    assert folders == [tmp_path]
    assert emorph("evaluate", place / "none.csv", "-o", tmp_path, *quick(place), "--shard", "1/2")[0] == 0
    assert folders == [tmp_path] * 3


def test_shards_report_when_the_last_is_done(emorph: Command, place: Path, tmp_path: Path) -> None:
    status, printed, err = emorph("evaluate", place / "none.csv", "-o", tmp_path, *quick(place), "--shard", "2/2")
    assert (status, printed) == (0, "")
    assert "1 sources are left to other shards" in err
    assert not (tmp_path / "report.html").exists()
    status, printed, err = emorph("evaluate", place / "none.csv", "-o", tmp_path, *quick(place), "--shard", "1/2")
    assert status == 0
    assert "doing nothing beats these edits on everything" in err
    assert (tmp_path / "report.html").exists()


def test_what_is_missing_stops_nothing(
    emorph: Command, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMORPH_HOME", str(tmp_path))
    judges = ["--judge", "emonet_8", "--workers", 1]
    status, _, err = emorph("evaluate", place / "rest.csv", "-o", tmp_path / "out", *judges)
    assert status == 1
    assert "emonet_8: not measured: emonet_8 needs emonet_8.pth: get it with emorph models get emonet_8" in err
    assert "\nleft out: gone.png cannot be read" in f"\n{err}"
    assert "Photos that are not where the edits say: 1, such as moved.png; name their folder: --sources." in err
    html = (tmp_path / "out" / "report.html").read_text()
    assert "2 of 3 edits could not be measured" in html
    assert "not measured: no judge is available" in html
    assert "<li>gone.png cannot be read" in html


def test_edits_by_action_units_are_measured_in_all_but_emotion(emorph: Command, place: Path, tmp_path: Path) -> None:
    """Everything that needs no asked emotion is there as for an emotion; of emotion nothing is, nor is it missed."""
    lines = ["source,edited,target,identity"]
    lines += [f"{place / p}.png,{place / p}_happy_1.png,AU12=0.9,{p}" for p in ("ann", "bob")]
    (tmp_path / "units.csv").write_text("\n".join(lines) + "\n")
    words = [tmp_path / "units.csv", "-o", tmp_path / "report", *quick(place)]
    status, printed, err = emorph("evaluate", *words, "--json")
    assert status == 0, err
    found = json.loads(printed)
    assert set(found["tables"]) == {"units_summary", "units_fidelity", "units_papers"}
    rows = {row["measure"]: row["edits"] for row in found["tables"]["units_summary"]["rows"]}
    assert {type(value) for name, value in rows.items() if name.startswith(("Distance", "Expression dist"))} == {dict}
    fidelity = found["tables"]["units_fidelity"]["rows"]
    outside = next(row for row in fidelity if row["measure"].startswith("Change outside the face"))
    assert outside["edits"]["n"] == 2
    assert "valence" not in json.dumps(found["not_measured"])
    edits = (tmp_path / "report" / "edits.csv").read_text().splitlines()
    assert "judge" not in edits[0]
    assert ",AU12=0.9,1," in edits[1]
    html = (tmp_path / "report" / "report.html").read_text()
    assert "ask for no emotion: nothing here says whether the face shows them" in html
    assert "no judge is available" not in html
    assert not any("probability" in line for line in (tmp_path / "report" / "scores.jsonl").read_text().splitlines())
    with (tmp_path / "units.csv").open("a") as table:
        table.write(f"{place / 'ann'}.png,{place / 'ann'}_sad_1.png,sad,ann\n")
    status, printed, err = emorph("evaluate", *words)
    assert status == 0, err
    assert "2 of 3 edits set action units and ask for no emotion: no row of emotion counts them." in err
    assert "Success gain" in printed


def test_sets_are_compared(emorph: Command, place: Path) -> None:
    sets = [place / "made.csv", place / "none.csv"]
    status, printed, err = emorph("evaluate", *sets, "--compare", "-o", place / "report", *quick(place), "--json")
    assert status == 0, err
    rows = json.loads(printed)["tables"]["compare_made_none"]["rows"]
    (row,) = [row for row in rows if row["measure"].startswith("Distance")]
    assert row["none"]["mean"] == 0 < row["made"]["mean"]
    assert row["verdict"] == "no difference that n can show"  # of two photos


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["made.csv", "none.csv"], "2 sets of edits are given; add --compare"),
        (["made.csv", "--compare"], "--compare needs at least two sets"),
        (["made.csv", "--judge", "emorph-jugde"], "judge 'emorph-jugde' is not known; did you mean 'emorph-judge'"),
        (["made.csv", "--face-model", "decca"], "face model 'decca' is not known; did you mean 'deca'"),
        (["made.csv", "--without", "lpips"], "measure 'lpips' is not known; did you mean 'lpips_vgg'"),
        (["made.csv", "--shard", "3/2"], "expected NUMBER/OF counting from 1"),
        (["nothing.csv"], "nothing.csv does not exist"),
        (["ann.png"], "ann.png is none of a folder"),
    ],
)
def test_wrong_words_are_named(
    emorph: Command, place: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(place)
    status, printed, err = emorph("evaluate", *words, "-o", "never")
    assert (status, printed) == (2, "")
    assert message in err
    assert not Path("never").exists()


def test_a_judges_file_that_is_not_there_is_named(emorph: Command, tmp_path: Path) -> None:
    status, _, err = emorph("evaluate", made_set(tmp_path), "--judge", tmp_path / "gone.onnx", "-o", tmp_path / "out")
    assert status == 2
    assert "gone.onnx is not there; check the path" in " ".join(err.split())


def test_of_two_files_of_records_the_one_that_is_not_read_is_named(emorph: Command, tmp_path: Path) -> None:
    for name in ("edits.jsonl", "action_units.jsonl"):
        (tmp_path / name).touch()
    status, _, err = emorph("evaluate", tmp_path)
    assert status == 2
    other = tmp_path / "action_units.jsonl"
    assert err.splitlines()[0] == f"{other} is not read; to measure it, too: emorph evaluate {other}"
    (tmp_path / "edits.jsonl").unlink()
    assert "is not read" not in emorph("evaluate", tmp_path)[2]
