"""EmoNet against the official network's recorded numbers, loaded from files in the official layout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from emorph.core.errors import CheckpointError, ShapeError
from emorph.core.expressions import Emotion
from emorph.models.emonet import EmoNet
from golden_cases import case, seeded_weights


def seeded(n_classes: int) -> dict[str, Tensor]:
    golden = case(f"emonet_{n_classes}")
    shapes = {key: shape for key, shape, _ in golden.info["state_dict"]}
    filled = seeded_weights.rescale(seeded_weights.fill(shapes, golden.info["seed"]), golden.info["rescale"])
    assert seeded_weights.crc(filled) == golden.info["weights_crc32"], "numpy's random stream differs"
    return {key: torch.from_numpy(filled[key]) for key in shapes}


@pytest.mark.parametrize("n_classes", [8, 5])
@torch.inference_mode()
def test_outputs_as_recorded(n_classes: int, tmp_path: Path) -> None:
    state = seeded(n_classes)
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "emonet.pth")
    model = EmoNet.from_file(tmp_path / "emonet.pth")
    assert list(model.state_dict()) == list(state), "keys in the official order"
    golden = case(f"emonet_{n_classes}")
    found = model(golden.input("image"))
    golden.check("heatmap", found.heatmaps)
    golden.check("expression", found.logits)
    golden.check("valence", found.valence)
    golden.check("arousal", found.arousal)
    golden.check("emo_feat_256", found.features)


def test_classes_are_named() -> None:
    assert [e.word for e in EmoNet(5).classes] == ["neutral", "happy", "sad", "surprise", "anger"]
    assert EmoNet(8).classes == tuple(Emotion)


def test_files_and_pictures_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    state = EmoNet(5).state_dict()
    path = tmp_path / "emonet_5.pth"

    def refused(content: object, match: str) -> None:
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=match):
            EmoNet.from_file(path)

    refused(
        {key: value for key, value in state.items() if key != "al0.weight"}, r"does not fit: al0\.weight is missing"
    )
    refused(state | {"al0.weight": torch.zeros(1)}, r"al0\.weight has shape \(1,\)")
    refused(state | {"extra": torch.zeros(1)}, "it holds extra, which")
    refused({"features.0.weight": torch.zeros(1)}, "must have 10 or 7 numbers and is missing")
    refused([1], "holds no state dict")
    with pytest.raises(ShapeError, match=r"found torch.float32 \(1, 3, 224, 224\)"):
        EmoNet(5)(torch.zeros(1, 3, 224, 224))
