"""Recognisers in the run: made vectors give numbers worked out by hand, and ONNX files of three kinds one report."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from emorph.core.errors import CheckpointError, DataError
from emorph.core.expressions import Emotion
from emorph.core.images import write_image
from emorph.core.records import EditRecord, Embedding, append
from emorph.core.types import CropSpec
from emorph.evaluate.judges.asked import CropPlan, PanelEncoder, PanelJudge
from emorph.evaluate.judges.cards import network_card
from emorph.evaluate.judges.open_networks import load_judge
from emorph.evaluate.judges.panel import Panel
from emorph.evaluate.measure.records import Records
from evaluate_sets import PANEL, Made, face, made_set, save_judge, smudged
from test_evaluate_judges import graph

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home_with_a_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of models with a made file of a judge that tells valence and arousal, too."""
    monkeypatch.setenv("EMORPH_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "judges").mkdir(parents=True)
    graph(tmp_path / "home" / "judges" / "enet_b0_8_va_mtl.onnx", 224, 10)


def recogniser(name: str) -> PanelEncoder:
    return PanelEncoder(name, CropPlan("arcface", 112, CropSpec()), lambda crops: np.zeros((len(crops), 2)))


def vectors(made: Made, name: str, *, noise: bool = False) -> None:
    """The descriptors as a recogniser's unit vectors, or ones that know nobody."""
    rng = np.random.default_rng(1)
    for id, known in made.records.faces.items():
        row = rng.normal(size=128) if noise else np.array(known.descriptor)
        made.records.add((), (), [Embedding(id, name, tuple((row / np.linalg.norm(row)).tolist()))])


def test_the_ensemble_is_the_mean_of_calibrated_identities() -> None:
    made = Made()
    made.edit("m", Emotion.HAPPY, Emotion.HAPPY)
    vectors(made, "arc@1")
    vectors(made, "noise@1", noise=True)
    panel = Panel(PANEL.judges, (), (recogniser("arc@1"), recogniser("noise@1")))
    summary = made.summary(panel)
    identities = {i.gallery.name: i for i in summary.scores[0].identities}
    assert list(identities) == ["ensemble", "arc@1", "noise@1", "dlib"]
    item = made.judged[0]
    a, b = (np.array(made.records.embeddings[id, "arc@1"]) for id in (item.source_id, item.edit_id))
    assert identities["arc@1"].gallery.shown(identities["arc@1"].distance)[0] == pytest.approx(a @ b)
    both = np.mean([i.gallery.pairs.calibrated(i.distance) for i in (identities["arc@1"], identities["dlib"])], axis=0)
    ensemble = identities["ensemble"]
    np.testing.assert_allclose(ensemble.gallery.shown(ensemble.distance), both)
    assert ensemble.passes.mean() == 1
    assert any(w.startswith("noise@1 does not tell these persons apart") for w in summary.warnings)
    (found,) = [t for t in summary.tables if t.name == "m_recognisers"]
    assert [row[0] for row in found.rows][1] == "CSIM, cosine with the source (arc@1)"


@pytest.mark.usefixtures("home_with_a_judge")
def test_onnx_recognisers_and_valence_in_one_report(emorph: Command, tmp_path: Path) -> None:
    files = [graph(tmp_path / f"{n}.onnx", 112, 16, scales=n == "scaling") for n in ("plain", "scaling", "swapped")]
    card = {
        "name": "swapped", "kind": "identity", "side_px": 112, "crop": "arcface", "channels": "BGR",
        "mean": [0.5] * 3, "std": [0.5] * 3, "classes": [], "has_va": False, "trained_on": [], "terms": "", "page": "",
    }  # fmt: skip
    (tmp_path / "swapped.json").write_text(json.dumps(card))
    words: list[object] = ["--judge", save_judge(tmp_path / "judge"), "--judge", "enet_b0_8_va_mtl", "--workers", 1]
    for file in files:
        words += ["--recogniser", file]
    out = tmp_path / "out"
    status, printed, err = emorph("evaluate", made_set(tmp_path), "-o", out, *words, "--json")
    assert status == 0, err
    tables = json.loads(printed)["tables"]
    assert len(tables["made_affect_enet_b0_8_va_mtl"]["rows"]) == 8
    assert tables["made_affect_enet_b0_8_va_mtl"]["rows"][0]["edits"]["n"] == 4
    shown = {row["measure"].split("(")[1].split("@")[0].rstrip(")"): row for row in tables["made_recognisers"]["rows"]}
    assert set(shown) == {"plain", "scaling", "swapped", "dlib"}
    assert 0 < shown["plain"]["edits"]["mean"] < 1
    assert shown["scaling"]["edits"]["mean"] == pytest.approx(shown["plain"]["edits"]["mean"], abs=1e-4)
    assert abs(shown["swapped"]["edits"]["mean"] - shown["plain"]["edits"]["mean"]) > 1e-6
    cards = {id.partition("@")[0]: found for id, found in json.loads((out / "judges.json").read_text()).items()}
    assert (cards["swapped"]["channels"], cards["scaling"]["scales_its_picture_itself"]) == ("BGR", True)
    lines = (out / "embeddings.jsonl").read_text().splitlines()
    (out / "embeddings.jsonl").write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:9])
    assert emorph("evaluate", tmp_path / "made.csv", "-o", out, *words)[0] == 0
    assert len(Records.read(out).embeddings) == 3 * 8 == len(lines)


@pytest.mark.usefixtures("home_with_a_judge")
def test_edits_to_valence_and_arousal_are_held_against_what_was_asked(emorph: Command, tmp_path: Path) -> None:
    made = tmp_path / "va"
    write_image(made / "ann.png", face())
    records = []
    for word, level in (("valence_0.5", 250), ("valence_-0.5_arousal_0.3", 20), ("valence_0.1", 128), ("happy", 200)):
        name = f"ann_{word}.png"
        write_image(made / name, smudged(face(), level))
        records.append(EditRecord(name, "ann.png", name, word, 1.0, "other", "m", "dpm", 4, 1.0))
    append(made / "edits.jsonl", records)
    out = tmp_path / "out"
    words: list[object] = ["--judge", "enet_b0_8_va_mtl", "--workers", 1]
    status, printed, err = emorph("evaluate", made, "-o", out, *words, "--json")
    assert status == 0, err
    tables = json.loads(printed)["tables"]
    measured = {row["measure"]: row["edits"] for row in tables["va_affect_enet_b0_8_va_mtl"]["rows"]}
    assert measured["valence, RMSE"]["n"] == 3
    assert measured["arousal, RMSE"] == "–"
    assert "valence_-0.5_arousal_0.3" in (out / "edits.csv").read_text(encoding="utf-8")
    assert not re.search(r"\bnan\b", (out / "tables.md").read_text(encoding="utf-8"))


def test_a_judge_of_emotions_gets_the_crop_of_its_card(tmp_path: Path) -> None:
    file = graph(tmp_path / "mine.onnx", 112, 7)
    card = network_card("mbf_va_mtl", "emotion").as_json() | {"name": "mine", "has_va": False}
    card["classes"] = card["classes"][:7]

    def judge(**changed: object) -> PanelJudge:
        (tmp_path / "mine.json").write_text(json.dumps(card | changed))
        return load_judge(str(file), 1)

    assert judge().plan.kind == "box"
    assert judge(crop="arcface").plan.kind == "arcface"
    with pytest.raises(DataError, match=r"mine\.json: crop must be one of box, arcface, found 'ffhq'"):
        judge(crop="ffhq")
    with pytest.raises(DataError, match=r"the crop arcface has 112 px; make that its side_px, or box its crop"):
        judge(crop="arcface", side_px=224)


def test_what_is_no_recogniser_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="enet_b2_8 tells emotions apart; it is a --judge"):
        Panel.load([], ["enet_b2_8"])
    file = graph(tmp_path / "mine.onnx", 112, 8)
    with pytest.raises(DataError, match=r"needs a card .*mine\.json beside it"):
        Panel.load([str(file)])
    (tmp_path / "mine.json").write_text('{"name": 1}')
    with pytest.raises(DataError, match=r"mine\.json is no card of a judge or recogniser"):
        Panel.load([], [str(file)])
