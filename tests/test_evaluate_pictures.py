"""Fidelity, face models and sets in a run and in tables, each against the plain functions or numbers worked out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from emorph.core.errors import UnknownNameError
from emorph.core.expressions import Emotion
from emorph.core.images import read_photo, to_tensor, write_image
from emorph.core.records import Embedding, SeenFace
from emorph.core.types import CropSpec, Float64, Landmarks, Photo, UInt8
from emorph.evaluate.judges.asked import CropPlan, PanelComparer, PanelEncoder
from emorph.evaluate.judges.open_networks import load_face_model
from emorph.evaluate.judges.panel import Panel, optional
from emorph.evaluate.measure.inputs import Pair
from emorph.evaluate.measure.look import landmarks_of
from emorph.evaluate.measure.records import NO_FACE, Records, identify
from emorph.evaluate.measure.run import evaluate
from emorph.evaluate.measure.surroundings import Surroundings
from emorph.evaluate.metrics.distribution import fid, mmd
from emorph.evaluate.metrics.fidelity import psnr, ssim
from emorph.evaluate.metrics.geometry import psnr_outside
from emorph.evaluate.metrics.table import by_network, metrics
from emorph.evaluate.metrics.takes import Takes
from emorph.evaluate.report.summary import summarise
from emorph.evaluate.report.tables import Table, Value
from emorph.faces.detect import find_faces
from evaluate_sets import JUDGE, PANEL, Made, face, smudged

FIT = PanelEncoder(
    "ict-facekit@1",
    CropPlan("points", 384, CropSpec()),
    lambda points: np.zeros((len(points), 8), np.float32),
    card={"kind": "made", "n_shape": 2, "n_expression": 2},
    role="face model",
)


def rows(table: Table, column: str) -> dict[str, object]:
    return {str(row[0]): row[table.header.index(column)] for row in table.rows}


def named(tables: tuple[Table, ...], end: str) -> Table:
    (found,) = [table for table in tables if table.name.endswith(end)]
    return found


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    """One source: a smudged mouth, a changed corner, a noisy reconstruction, an exact copy, and an edit half as big."""
    folder = tmp_path_factory.mktemp("pictures")
    source = face()
    cornered = source.copy()
    cornered[:40, :40] = 0
    noise = np.random.default_rng(0).integers(-9, 10, source.shape)
    made = {
        "source": source,
        "mouth": smudged(source, 250),
        "corner": cornered,
        "rebuilt": np.clip(source + noise, 0, 255).astype(np.uint8),
        "half": source[::2, ::2],
    }
    for name, pixels in made.items():
        write_image(folder / f"{name}.png", pixels)
    asked = (("mouth", 1.0), ("corner", 1.0), ("rebuilt", 0.0), ("half", 1.0), ("source", 0.0))
    return [
        Pair("m", folder / "source.png", folder / f"{name}.png", Emotion.HAPPY, strength) for name, strength in asked
    ]


def test_pictures_are_compared_outside_the_face_and_as_reconstructions(pairs: list[Pair], tmp_path: Path) -> None:
    asked: list[int] = []

    def answer(a: UInt8, b: UInt8) -> Float64:
        asked.append(len(a))
        return np.abs(a.astype(float) - b).mean(axis=(1, 2, 3))

    panel = Panel((), (), comparers=(PanelComparer("far@1", "lpips_alex", answer, by_network()["lpips_alex"]),))
    judged = identify(pairs)
    records = evaluate(judged, tmp_path, panel)
    mouth, corner, rebuilt, half, copy = (records.scores[item.edit_id, ""] for item in judged)
    assert mouth["ssim_outside"] == 1
    assert corner["ssim_outside"] < 0.99
    assert corner["mae_outside"] > 10 * mouth["mae_outside"]
    assert {"psnr", "ssim"} & set(mouth) == set()
    source, edit = (read_photo(path) for path in (pairs[0].source, pairs[2].edited))
    seen = Surroundings(source, landmarks_of(records.faces[judged[0].source_id]))
    window = seen._window
    a, b = (to_tensor(np.ascontiguousarray(photo.pixels[window])) for photo in (source, edit))
    assert rebuilt["psnr"] == pytest.approx(float(psnr(a, b, data_range=2)), abs=1e-5)
    assert rebuilt["ssim"] == pytest.approx(float(ssim(a, b, data_range=2)), abs=1e-6)
    assert rebuilt["ms_ssim"] > rebuilt["ssim"]
    away = np.ascontiguousarray(read_photo(pairs[1].edited).pixels[window])
    mask = torch.from_numpy(seen._weights)[None, None]
    expected = psnr_outside(a, to_tensor(away), mask, data_range=2)
    assert corner["psnr_outside"] == pytest.approx(float(expected), abs=1e-5)
    assert set(half) == {"expression_distance", "pose_distance"}
    assert copy["ssim"] == 1
    assert "psnr" not in copy
    far = [records.scores.get((item.edit_id, "far@1"), {}) for item in judged]
    assert [set(found) for found in far] == [{"lpips_alex_outside", "lpips_alex_edit"}] * 2 + [
        {"lpips_alex"},
        set(),
        {"lpips_alex"},
    ]
    assert far[0]["lpips_alex_outside"] == far[4]["lpips_alex"] == 0  # equal pictures: no network was asked
    assert sum(asked) == 2 + 2  # and the two edits with their sources, for comparison with papers
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert evaluate(judged, tmp_path, panel) == records == Records.read(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    table = named(summarise(judged, records, panel).tables, "fidelity")
    shown = rows(table, "edits")
    assert shown["PSNR outside the face, dB, without 1 exact ones"] == Value_of(corner["psnr_outside"])
    assert shown["PSNR, dB, without 1 exact ones"] == Value_of(rebuilt["psnr"])
    assert shown["LPIPS (AlexNet)"].estimate.n == 2  # type: ignore[attr-defined]
    papers = named(summarise(judged, records, panel).tables, "papers")
    assert "the edit that does nothing has the best value there is" in papers.note
    shown = rows(papers, "edits")
    mouthed, cornered = (
        float(psnr(a, to_tensor(np.ascontiguousarray(read_photo(pair.edited).pixels[window])), data_range=2))
        for pair in pairs[:2]
    )
    assert shown["PSNR of edits, dB"].estimate.mean == pytest.approx((mouthed + cornered) / 2)  # type: ignore[attr-defined]
    assert rows(papers, "doing nothing")["PSNR of edits, dB"] == "infinite"
    assert "psnr_edit" not in rebuilt


class Value_of:  # noqa: N801 (reads as a word in the assertions)
    """Equal to a table's value with this mean of one picture."""

    def __init__(self, mean: float) -> None:
        self.mean = mean

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Value) and other.estimate.n == 1 and other.estimate.mean == pytest.approx(self.mean)

    __hash__ = None  # type: ignore[assignment]


def test_how_much_more_is_in_the_photo_does_not_count(pairs: list[Pair]) -> None:
    source, edit = (read_photo(pairs[i].edited).pixels for i in (4, 1))
    landmarks = find_faces(Photo(source))[0]

    plain = [row for row in metrics(Takes.MASKED, Takes.SURROUNDINGS) if not row.network]

    def measured(border_px: int) -> dict[str, float]:
        border = ((border_px, 0), (border_px, 0), (0, 0))
        a, b = (Photo(np.pad(pixels, border)) for pixels in (source, edit))
        left, top, right, bottom = (value + border_px for value in landmarks.box)
        moved = Landmarks(landmarks.points + border_px, (left, top, right, bottom), 1.0)
        return Surroundings(a, moved).measured(b, plain)

    near, far = measured(200), measured(400)  # the window of both lies in the photo
    assert set(near) == {"mae_outside", "psnr_outside", "ssim_outside"}
    assert far == pytest.approx(near, rel=1e-4)


def test_known_landmarks_are_taken_and_their_edits_refined(
    pairs: list[Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emorph.evaluate.measure import look

    photo = read_photo(pairs[0].source)
    found = find_faces(photo)[0]
    points = tuple((float(x), float(y)) for x, y in np.round(found.points, 2))
    monkeypatch.setattr(look, "find_faces", None)
    judged = identify([replace(pair, points=points) for pair in pairs[:2]])
    records = evaluate(judged, tmp_path, Panel((), ()))
    source = records.faces[judged[0].source_id]
    np.testing.assert_allclose(np.array(source.points), np.array(points), atol=0.01)
    edit = records.faces[judged[1].edit_id]  # only its corner differs, so that its points lie where the source's do
    assert np.abs(np.array(edit.points) - found.points).mean() < 0.02 * (found.box[2] - found.box[0])
    assert np.linalg.norm(np.array(edit.descriptor) - np.array(source.descriptor)) < 0.3
    assert identify(pairs[:1])[0].source_id != judged[0].source_id


def test_coefficients_lie_between_their_controls() -> None:
    made = Made()
    made.edit("m", Emotion.HAPPY, Emotion.HAPPY)
    rng = np.random.default_rng(3)
    of_person = {person: rng.normal(size=2) for person, _ in made.sources}
    for person, id in made.sources:
        row = (1.0, *(of_person[person] + 0.1).tolist(), 0.0, 0.0, 0.0, 0.0, 0.0)
        made.records.add((), (), [Embedding(id, FIT.id, row)])
    for i, item in enumerate(made.judged):
        source = np.array(made.records.embeddings[item.source_id, FIT.id])
        moved = source + np.array([0, 0.02, 0.04, 0.5, 0.3, 0.1, -0.1, 0.1])
        moved[0] = float(i > 0)  # the first fit is not to be trusted
        made.records.add((), (), [Embedding(item.edit_id, FIT.id, tuple(moved.tolist()))])
    summary = made.summary(replace(PANEL, face_models=(FIT,)))
    table = named(summary.tables, "ict_facekit")
    values = {key.split(",")[1].split()[0]: cell for key, cell in rows(table, "edits").items()}
    assert {key: round(cell.estimate.mean, 6) for key, cell in values.items()} == {"ASD": 0.03, "AED": 0.4, "APD": 0.1}
    assert values["ASD"].estimate.n == len(made.judged) - 1
    assert "1 edits are left out here" in table.note
    same, other = (
        rows(table, column)["Shape distance, ASD, coefficients"]
        for column in ("another photo of the person", "another person")
    )
    assert same.estimate.mean == 0 < other.estimate.mean  # type: ignore[attr-defined]


def test_a_lost_face_has_no_coefficients_and_no_features() -> None:
    made = Made()
    made.edit("m", Emotion.HAPPY, Emotion.HAPPY)
    network = PanelEncoder("inception-fid@1", CropPlan("ffhq", 256, CropSpec()), lambda c: c, role="features")
    gone = made.judged[0].edit_id
    made.records.faces[gone] = SeenFace(gone, trouble=f"{NO_FACE} {gone}.png (64x64 px).")
    rng = np.random.default_rng(3)
    for id in made.records.faces:
        if id != gone:
            row = (1.0, *rng.normal(size=7).tolist())
            made.records.add((), (), [Embedding(id, FIT.id, row), Embedding(id, network.id, row)])
    summary = made.summary(replace(PANEL, face_models=(FIT,), features=(network,)))
    n_left = len(made.judged) - 1
    for end in ("ict_facekit", "m_set"):
        table = named(summary.tables, end)
        assert {row[2].estimate.n for row in table.rows} == {n_left}, end  # type: ignore[union-attr]
    assert "edits are left out here" not in named(summary.tables, "ict_facekit").note  # the first warning says it


def test_ict_fits_the_landmarks_of_a_run(pairs: list[Pair], ict_file: Path, tmp_path: Path) -> None:
    encoder = load_face_model(str(ict_file))
    judged = identify(pairs[:2])
    records = evaluate(judged, tmp_path, Panel((), (), face_models=(encoder,)))
    size = 1 + encoder.card["n_shape"] + encoder.card["n_expression"] + 3
    assert {len(row) for row in records.embeddings.values()} == {size}
    assert len(records.embeddings) == 3
    summary = summarise(judged, records, Panel((), (), face_models=(encoder,)))
    (shape,) = [line.values for line in summary.scores[0].lines if line.metric.takes == Takes.SHAPE]
    assert shape is not None
    assert shape[1] < 0.3  # nearly the same points give nearly the same head
    with pytest.raises(UnknownNameError, match="face model 'decca' is not known; did you mean 'deca'"):
        load_face_model("decca")


def test_fid_and_kid_of_a_set_with_what_chance_gives() -> None:
    network = PanelEncoder("inception-fid@1", CropPlan("ffhq", 256, CropSpec()), lambda c: c, role="features")
    made = Made()
    made.edit("m", Emotion.HAPPY, Emotion.HAPPY)
    rng = np.random.default_rng(0)
    features = {id: rng.normal(size=6) for _, id in made.sources}
    features |= {item.edit_id: features[item.source_id] + 0.8 for item in made.judged}
    made.records.add((), (), [Embedding(id, network.id, tuple(row.tolist())) for id, row in features.items()])
    summary = made.summary(replace(PANEL, features=(network,)))
    table = named(summary.tables, "m_set")
    sources = torch.tensor(np.array([features[id] for _, id in made.sources]))
    for name, measure in (("FID", fid), ("KID", mmd)):
        found = rows(table, "edits against unedited photos")[name].estimate  # type: ignore[attr-defined]
        assert found.mean == pytest.approx(measure(sources + 0.8, sources))
        assert found.low <= found.mean <= found.high
        assert found.n == len(made.judged)
        chance = rows(table, "two halves of the unedited photos")[name].estimate  # type: ignore[attr-defined]
        assert chance.mean < found.mean
        assert chance.n == len(made.sources) // 2
    few = Made()
    few.edit("m", Emotion.HAPPY, Emotion.HAPPY, sources=range(5))
    few.records.add((), (), [Embedding(id, network.id, (1.0, 2.0)) for id in few.records.faces])
    few_table = named(few.summary(replace(PANEL, features=(network,))).tables, "m_set")
    assert str(few_table.rows[0][2]).startswith("not measured: needs eight source photos")


def test_what_is_not_here_or_left_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("EMORPH_HOME", "TORCH_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    panel = Panel.load([], [], ["ict-facekit"], without=["dists"])
    missing = {item.name: item.why for item in panel.missing}
    assert missing["dists"] == "not measured: left out by --without."
    assert "get it with emorph models get inception-fid" in missing["FID, KID (inception-fid)"]
    assert "emorph models get lpips-vgg16" in missing["lpips_vgg"]
    assert "emorph models get ict-facekit" in missing["AED, APD, ASD (ict-facekit)"]
    assert set(optional()) == {"lpips_alex", "lpips_vgg", "dists", "inception-fid"}
    with pytest.raises(UnknownNameError, match="measure 'lpips' is not known"):
        Panel.load([], without=["lpips"])


def test_cosines_of_strangers_that_are_not_near_0_are_told_first() -> None:
    made = Made()
    made.edit("m", Emotion.HAPPY, Emotion.HAPPY)
    for id, seen in made.records.faces.items():
        row = np.array([3.0, *seen.descriptor])
        made.records.add((), (), [Embedding(id, "arc@1", tuple((row / np.linalg.norm(row)).tolist()))])
    arc = PanelEncoder("arc@1", CropPlan("arcface", 112, CropSpec()), lambda c: np.zeros((len(c), 2)))
    warnings = made.summary(Panel((JUDGE,), (), (arc,))).warnings
    assert any(w.startswith("Cosines of different persons average 0.9") and "not near 0" in w for w in warnings)
