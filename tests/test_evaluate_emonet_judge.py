"""EmoNet as a judge: its classes by name, its crop, and the file it asks for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from emorph.core.errors import CheckpointError, MissingAssetError, ShapeError
from emorph.core.expressions import Emotion
from emorph.core.types import Landmarks, Photo
from emorph.evaluate.judges.crops import emonet_crop
from emorph.evaluate.judges.emonet import EmoNetJudge
from emorph.models.emonet import EmoNet


@pytest.fixture(scope="module")
def judge() -> EmoNetJudge:
    torch.manual_seed(0)
    model = EmoNet(5).train(mode=False)
    last = model.emo_fc_2[3]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():  # classes apart, valence beyond the range
        last.weight.mul_(0.2)
        last.bias.copy_(torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0, 1.7, -0.5]))
    return EmoNetJudge(model)


def test_classes_are_mapped_by_name_and_range_kept(judge: EmoNetJudge) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), dtype=np.uint8)
    found = judge(crops)
    with torch.inference_mode():
        raw = judge.model(torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255)
    shares = raw.logits.softmax(dim=1).numpy()
    for column, word in enumerate(["neutral", "happy", "sad", "surprise", "anger"]):
        np.testing.assert_allclose(found.probabilities[:, Emotion.parse(word)], shares[:, column], atol=1e-5)
    assert found.probabilities.argmax(axis=1).tolist() == [Emotion.ANGER] * 2
    assert not found.probabilities[:, [Emotion.FEAR, Emotion.DISGUST, Emotion.CONTEMPT]].any()
    assert found.valence is not None
    assert found.arousal is not None
    assert raw.valence.min() > 1
    assert found.valence.tolist() == [1, 1]
    np.testing.assert_allclose(found.arousal, raw.arousal.numpy(), atol=1e-5)


def test_a_reading_depends_on_no_batch(judge: EmoNetJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    crops = np.random.default_rng(1).integers(0, 256, (2, 256, 256, 3), dtype=np.uint8)
    whole = judge(crops)
    monkeypatch.setattr("emorph.evaluate.judges.emonet.MAX_BATCH", 1)
    parts = judge(crops)
    np.testing.assert_allclose(whole.probabilities, parts.probabilities, atol=1e-5)
    assert whole.arousal is not None
    np.testing.assert_allclose(whole.arousal, parts.arousal, atol=1e-5)


def test_the_crop_is_the_square_around_the_points() -> None:
    """Landmarks 100 wide and 60 high around (150, 120): the square reaches from 60 to 240, and from 30 to 210."""
    points = np.full((68, 2), 150, dtype=np.float32)
    points[:, 1] = 120
    points[0], points[1], points[2], points[3] = (100, 120), (200, 120), (150, 90), (150, 150)
    rows, columns = np.mgrid[:400, :400]
    pixels = np.stack([columns % 256, rows % 256, np.zeros_like(rows)], axis=2).astype(np.uint8)
    crop = emonet_crop(Photo(pixels), Landmarks(points, (0, 0, 1, 1), 1.0))
    assert crop.shape == (256, 256, 3)
    assert [int(crop[128, 0, 0]), int(crop[128, 255, 0])] == pytest.approx([60, 240], abs=1)
    assert [int(crop[0, 128, 1]), int(crop[255, 128, 1])] == pytest.approx([30, 210], abs=1)
    with pytest.raises(ShapeError, match="span a face"):
        emonet_crop(Photo(pixels), Landmarks(points * 0, (0, 0, 1, 1), 1.0))


def test_the_file_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judge: EmoNetJudge) -> None:
    monkeypatch.setenv("EMORPH_HOME", str(tmp_path))
    with pytest.raises(
        MissingAssetError,
        match=r"needs emonet_8\.pth: get it with emorph models get emonet_8, or from https://\S+ and put it at",
    ):
        EmoNetJudge.load()
    (tmp_path / "judges").mkdir()
    torch.save(judge.model.state_dict(), tmp_path / "judges" / "emonet_5.pth")
    assert len(EmoNetJudge.load(5).model.classes) == 5
    with pytest.raises(CheckpointError, match="has 5 classes, not 8"):
        EmoNetJudge.load(8, tmp_path / "judges" / "emonet_5.pth")
    with pytest.raises(ShapeError, match=r"takes uint8 \(B, 256, 256, 3\)"):
        judge(np.zeros((1, 224, 224, 3), dtype=np.uint8))
