"""Edits tried on a data set's own faces: the dose that they give, and the warnings where nothing is to be seen."""

from __future__ import annotations

import dataclasses
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from emorph.core.errors import MissingAssetError
from emorph.core.expressions import Emotion
from emorph.core.types import Landmarks, Photo
from emorph.data.store import FaceStore
from emorph.faces.align import align
from emorph.models.directions import Directions
from emorph.train.tasks import dose, tried_edits
from emorph.train.tasks.dose import STRENGTHS, balance, best_strength, dosed
from emorph.train.tasks.self_check import check_json, check_lines, warnings
from emorph.train.tasks.tried_edits import Trial, Trials, stored_face, try_edits
from tiny import tiny_directions, tiny_model

datasets = pytest.importorskip("datasets", reason="needs the extra 'train'")
Command = Callable[..., tuple[int, str, str]]
SEEN = Trial(0, Emotion.HAPPY, 1.0, 0.06, 3.0, 0.6, 0.1, 0.5, 0.1, 0.3)
COUNTS = dict.fromkeys(Emotion, 500)


def trials(stranger: float = 0.8, **changed: Any) -> Trials:
    """The same edit to every emotion, at every strength; what is changed is so everywhere."""
    strengths = sorted({1.0, *STRENGTHS})
    rows = [dataclasses.replace(SEEN, **{"emotion": e, "strength": s, **changed}) for e in Emotion for s in strengths]
    return Trials(tuple(rows), stranger)


def test_edits_that_are_seen_give_no_warning() -> None:
    assert warnings(trials(), COUNTS) == []
    lines = check_lines(trials(), COUNTS)
    happy = next(line for line in lines if line.startswith("happy")).split()
    assert happy == ["happy", "1", "0.060", "3.0", "0.10", "->", "0.60", "0.10", "->", "0.50", "0.30"]
    found = check_json(trials(judged=math.nan, judged_before=math.nan))["emotions"]["happy"]
    assert (found["n"], found["moved"], found["judged"]) == (1, 0.06, None)
    json.dumps(found, allow_nan=False)


def test_edits_that_move_nothing_are_put_down_to_few_faces() -> None:
    still = trials(moved=0.009)
    (said,) = warnings(still, {**COUNTS, Emotion.FEAR: 3})
    assert said.startswith(
        "Warning: edits to happy, sad, surprise, fear, disgust, anger and contempt move the landmarks"
    )
    assert "too few training faces (3 fear)" in said
    (other,) = warnings(still, COUNTS)
    assert "too few" not in other
    assert "hardly tell expressions" in other


def test_a_model_that_draws_nothing_is_put_down_to_an_early_checkpoint() -> None:
    (said,) = warnings(trials(drawn=0.1), COUNTS)
    assert "draws next to nothing new" in said
    assert "train it longer" in said
    (unseen,) = warnings(trials(own=0.1), COUNTS)
    assert "the classifier itself does not see" in unseen


def test_the_dose_is_between_recognition_and_identity() -> None:
    """Seen better and better, and less and less the person: the best is neither the weakest nor the strongest."""
    rows = [
        dataclasses.replace(SEEN, strength=s, judged=j, distance=d)
        for s, j, d in zip(STRENGTHS, (0.1, 0.5, 0.6, 0.65), (0.1, 0.2, 0.3, 0.78), strict=True)
    ]
    assert best_strength(Trials(tuple(rows), 0.8), Emotion.HAPPY) == STRENGTHS[2]
    assert best_strength(Trials(tuple(rows), math.nan), Emotion.HAPPY) == STRENGTHS[3]  # no identity, no limit
    assert best_strength(Trials(tuple(rows), 0.8), Emotion.SAD) == 1.0  # nothing tried
    assert balance(rows[1:2], 0.8) == pytest.approx(2 * 0.5 * 0.75 / 1.25)
    unknown = [dataclasses.replace(row, judged=math.nan) for row in rows[1:2]]
    assert balance(unknown, 0.8) == pytest.approx(2 * 0.6 * 0.75 / 1.35)  # the classifier speaks where no judge does


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, photo: Photo, landmarks: Landmarks) -> Path:
    """Crops of the example photo, moved and turned, as neutral faces and happy ones."""
    config = tiny_model().config
    rows = []
    for i in range(48):
        moved = dataclasses.replace(landmarks, points=landmarks.points + np.float32(0.3 * i))
        face = align(photo, moved, config.image_size, config.crop)
        out = io.BytesIO()
        Image.fromarray(face.pixels).save(out, "PNG")
        rows.append(
            {
                "image": out.getvalue(),
                "landmarks68": face.crop_points().astype("<f2").tobytes(),
                "label": Emotion(i % 8).word,
                "identity": f"p{i}",
                "split": "train" if i < 32 else "val",
            }
        )
    path = tmp_path_factory.mktemp("store") / "faces.parquet"
    datasets.Dataset.from_list(rows).to_parquet(str(path))
    return path


def missing(*_: object) -> None:
    raise MissingAssetError("no such file")


def directions() -> Directions:
    generator = torch.Generator().manual_seed(7)
    return dataclasses.replace(tiny_directions(), landmarks=0.01 * torch.randn(68, 2, 32, generator=generator))


def test_stored_crops_are_edited_as_photos_are(store: Path) -> None:
    faces = FaceStore(store, side_px=32, channels=1, split="train")
    face = stored_face(faces, 2)
    assert face.pixels.shape == (32, 32, 3)
    np.testing.assert_allclose(face.crop_points(), (faces[2]["landmarks"].numpy() + 1) * 16 - 0.5, atol=1e-3)
    steps: list[tuple[int, int]] = []
    found = try_edits(tiny_model(), directions(), faces, 1, (1.0, 2.0), on_step=lambda *at: steps.append(at))
    assert steps == [(1, 2), (2, 2)]
    assert len(found.rows) == 2 * 8
    assert {row.emotion for row in found.rows} == set(Emotion)
    weak, strong = found.of(Emotion.SAD)[0], found.of(Emotion.SAD, 2.0)[0]
    assert 0 < weak.moved < strong.moved
    assert math.isnan(found.of(Emotion.CONTEMPT)[0].judged)
    assert 0 < weak.judged < 1
    assert found.stranger > 0


def test_stated_gains_stay(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dose, "STRENGTHS", (0.8, 1.5))
    monkeypatch.setattr(tried_edits, "descriptor_of", missing)  # dlib's network is an extra
    faces = FaceStore(store, side_px=32, channels=1, split="train")
    found = dosed(tiny_model(), directions(), faces, 1, stated=("sad",))
    assert found.gains[Emotion.SAD] == 1.0
    assert all(gain in (0.8, 1.5) for i, gain in enumerate(found.gains) if i != Emotion.SAD)


def test_a_run_says_what_its_edits_do(emorph: Command, store: Path, tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path / "tiny")
    (tmp_path / "c.toml").write_text(
        f'task = "classifier"\nout = "runs/d"\nmodel = "tiny"\ncheck = 1\n[data]\npath = "{store}"\nsplit = "train"\n'
        "mirror = false\n[head]\nepochs = 1\n"
    )
    status, out, err = emorph("train", "run", tmp_path / "c.toml")
    assert status == 0, err
    assert "edits of held-out faces" in err
    assert "Warning: edits to " in err  # nobody smiles in these: there is nothing to learn
    metrics = json.loads((Path(out.strip()) / "metrics.json").read_text())
    assert metrics["edits"]["emotions"]["sad"]["n"] == 1
