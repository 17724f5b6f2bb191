"""The open networks that give losses: what they look at, their gradients, their folders, the bundled ones."""

from __future__ import annotations

import importlib
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from emorph.core.errors import CheckpointError, ShapeError, UnknownNameError
from emorph.core.images import luminance, to_tensor
from emorph.core.loss_networks import LossNetwork, why_unfair
from emorph.core.pretrained import BUNDLED
from emorph.core.types import CropSpec, Landmarks, Photo
from emorph.data.store import FaceStore
from emorph.evaluate.judges.open_networks import BUNDLED_TRAINED_ON
from emorph.faces.align import align
from emorph.models.emotion_net import EmotionNet, EmotionNetConfig
from emorph.models.face_window import evened, gray_window
from emorph.models.port import model_info
from emorph.models.shape_net import ShapeNet, ShapeNetConfig
from emorph.models.trunk import TrunkConfig
from emorph.models.weights import PretrainedModule, fingerprint

TRUNK = TrunkConfig(channels=(8, 12), blocks=1)
TIGHT = CropSpec(zoom=1.446, shift=(0.0, 0.053))
Command = Callable[..., tuple[int, str, str]]


def emotion_net() -> EmotionNet:
    torch.manual_seed(0)
    return EmotionNet(EmotionNetConfig(labels=("neutral", "happy", "anger"), trunk=TRUNK, crop=TIGHT)).eval()


def shape_net() -> ShapeNet:
    torch.manual_seed(0)
    return ShapeNet(ShapeNetConfig(n_shape=5, units=("jawOpen", "mouthSmile_L"), trunk=TRUNK, crop=TIGHT)).eval()


class Row(nn.Module):
    """A shape network's answer in one row."""

    def __init__(self, network: ShapeNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.network(x)
        return torch.cat([found.shape, found.expression], dim=1)


def answer_of(network: PretrainedModule) -> nn.Module:
    return Row(network) if isinstance(network, ShapeNet) else network


@pytest.mark.parametrize("given", [CropSpec(), CropSpec(zoom=0.8, shift=(0.03, -0.05)), TIGHT])
@pytest.mark.parametrize("side", [64, 160, 400])
def test_window_is_the_crop_that_alignment_cuts(photo: Photo, landmarks: Landmarks, given: CropSpec, side: int) -> None:
    """Whatever crop a model draws, and however large: the network sees what ``align`` cuts for it."""
    wanted = luminance(to_tensor(align(photo, landmarks, 48, TIGHT).pixels[None]))
    x = to_tensor(align(photo, landmarks, side, given).pixels[None])
    found = gray_window(x, given, TIGHT, 48)
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    assert (found - wanted)[inner].abs().mean() < (0.08 if side == 64 else 0.05)  # of a range of 2
    moved = gray_window(x, CropSpec(given.zoom, (given.shift[0] + 0.04, given.shift[1])), TIGHT, 48)
    assert (moved - wanted)[inner].abs().mean() > 1.5 * (found - wanted)[inner].abs().mean()


def test_window_of_its_own_crop_and_side_is_the_picture() -> None:
    x = torch.rand(2, 1, 48, 48) * 2 - 1
    torch.testing.assert_close(gray_window(x, TIGHT, TIGHT, 48), x, atol=1e-5, rtol=0)
    even = evened(x)
    torch.testing.assert_close(evened(0.3 * x - 0.4), even, atol=1e-3, rtol=1e-3)  # another light


@pytest.mark.parametrize("build", [emotion_net, shape_net])
def test_gradient_is_that_of_finite_differences(build: Callable[[], PretrainedModule]) -> None:
    network = answer_of(build()).double()
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(1, 3, 80, 80, generator=generator, dtype=torch.float64) * 2 - 1
    weights = torch.randn(network(x).shape[1], generator=generator, dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((network(leaf) @ weights).sum(), leaf)
    way = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    ahead, behind = ((network(x + step * way) @ weights).item() for step in (1e-5, -1e-5))
    slope = (ahead - behind) / 2e-5
    assert abs(slope) > 1e-4
    assert slope == pytest.approx(float((gradient * way).sum()), rel=1e-5)
    outside = gradient[..., :3, :].abs().max()
    assert outside < 1e-12  # what lies outside the window has no say


@pytest.mark.parametrize("build", [emotion_net, shape_net])
def test_pictures_of_any_side_and_colour_are_taken(build: Callable[[], PretrainedModule]) -> None:
    network = answer_of(build())
    x = torch.rand(2, 3, 128, 128) * 2 - 1
    together = network(x)
    torch.testing.assert_close(network(x[1:]), together[1:], atol=1e-5, rtol=1e-5)  # none depends on its batch
    assert network(x[:, :1]).shape == network(torch.zeros(2, 3, 16, 16)).shape == together.shape
    for bad in (torch.zeros(1, 3, 8, 8), torch.zeros(1, 2, 64, 64), torch.zeros(1, 3, 64, 32), torch.zeros(3, 64, 64)):
        with pytest.raises(ShapeError, match="expected float pictures"):
            network(bad)
    with pytest.raises(ShapeError, match="uint8"):
        network(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))


@pytest.mark.parametrize("build", [emotion_net, shape_net])
def test_folder_keeps_it_and_tells_what_it_is(
    build: Callable[[], PretrainedModule], tmp_path: Path, emorph: Command
) -> None:
    network = build()
    network.save_pretrained(tmp_path / "net")
    again = type(network).from_pretrained(tmp_path / "net")
    x = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(answer_of(again)(x), answer_of(network)(x))
    assert model_info(tmp_path / "net").config == network.config
    status, printed, err = emorph("models", "info", tmp_path / "net")
    assert status == 0, err
    assert network.kind in printed
    status, _, err = emorph("models", "convert", tmp_path / "net", "-o", tmp_path / "half", "--half")
    assert status == 0, err
    assert (tmp_path / "half" / "model.safetensors").stat().st_size < 1e5


def test_a_wrong_folder_is_refused(tmp_path: Path) -> None:
    emotion_net().save_pretrained(tmp_path / "net")
    with pytest.raises(CheckpointError, match="shape-net"):
        ShapeNet.from_pretrained(tmp_path / "net")
    config = tmp_path / "net" / "config.json"
    config.write_text(config.read_text().replace('"anger"', '"joyous"'))
    with pytest.raises(UnknownNameError, match="joyous"):
        EmotionNet.from_pretrained(tmp_path / "net")


@pytest.fixture(scope="module")
def held_out(face_pack: Path) -> tuple[torch.Tensor, list[str], list[int]]:
    """Gray faces (n, 1, 128, 128) of people that no network here was trained on, their names, and their labels."""
    pq = pytest.importorskip("pyarrow.parquet")
    faces = FaceStore(face_pack, side_px=128, channels=1, split="val")
    names = pq.read_table(face_pack, columns=["identity", "split", "source_set"]).to_pylist()
    of_split = [row for row in names if row["split"] == "val"]
    rows = [i for i, row in enumerate(of_split) if row["source_set"] == "lfw"]
    x = torch.stack([faces[i]["image"] for i in rows]).float() / 127.5 - 1
    return x, [of_split[i]["identity"] for i in rows], [int(faces.labels[i]) for i in rows]


PACK_CROP = CropSpec(zoom=1.25)  # of lfw_expressions


@torch.inference_mode()
def test_bundled_shape_tells_persons_apart(held_out: tuple[torch.Tensor, list[str], list[int]]) -> None:
    x, names, _ = held_out
    shape = ShapeNet.from_pretrained("emorph-shape")(x, PACK_CROP).shape
    off = torch.nn.functional.normalize(shape - shape.mean(dim=0), dim=1)
    likeness, person = off @ off.T, np.array(names)
    first, second = np.triu_indices(len(names), k=1)
    same = person[first] == person[second]
    values = likeness.numpy()[first, second]
    order = values.argsort()
    below = np.cumsum(~same[order])
    auc = below[same[order]].sum() / (same.sum() * (~same).sum())
    assert auc > 0.75


@torch.inference_mode()
def test_bundled_emotion_net_tells_smiles_and_neutral_faces(
    held_out: tuple[torch.Tensor, list[str], list[int]],
) -> None:
    x, _, labels = held_out
    network = EmotionNet.from_pretrained("emorph-loss-emotion")
    words = [network.config.labels[i] for i in network(x, PACK_CROP).argmax(dim=1).tolist()]
    for code, word in ((0, "neutral"), (1, "happy")):
        right = [found == word for found, label in zip(words, labels, strict=True) if label == code]
        assert np.mean(right) > 0.7


def test_bundled_ones_are_no_judges_kin() -> None:
    """Neither saw the judge's pictures, so that the judge may mark what they helped to train."""
    judge = LossNetwork("emorph-judge", "", BUNDLED_TRAINED_ON)
    emotion, shape = EmotionNet.from_pretrained("emorph-loss-emotion"), ShapeNet.from_pretrained("emorph-shape")
    for name, network in (("emorph-loss-emotion", emotion), ("emorph-shape", shape)):
        assert network.config.trained_on
        told = LossNetwork(name, fingerprint(network), network.config.trained_on)
        assert why_unfair(judge, [told]) == ""
        assert why_unfair(told, [told])


@pytest.mark.parametrize(("name", "most_mb"), [("emorph-loss-emotion", 4), ("emorph-shape", 6)])
def test_bundled_ones_are_small_and_named(name: str, most_mb: int, emorph: Command) -> None:
    assert (BUNDLED / name / "model.safetensors").stat().st_size < most_mb * 1e6
    card = (BUNDLED / name / "README.md").read_text(encoding="utf-8")
    assert "non-commercial" in card
    for command in (("models", "list"), ("doctor",)):
        status, printed, err = emorph(*command)
        assert status == 0, err
        assert name in printed


def test_bundled_gradient_moves_a_face_towards_a_smile(photo: Photo, landmarks: Landmarks) -> None:
    """A loss that asks for another emotion is lowered by small steps against its gradient, at any side."""
    network = EmotionNet.from_pretrained("emorph-loss-emotion").requires_grad_(False)
    wanted = torch.tensor([network.config.labels.index("anger")])
    for side in (64, 128):
        x = to_tensor(align(photo, landmarks, side, CropSpec()).pixels[None]).requires_grad_()
        before = nn.functional.cross_entropy(network(x), wanted)
        (gradient,) = torch.autograd.grad(before, x)
        after = nn.functional.cross_entropy(network(x.detach() - 0.02 * gradient.sign()), wanted)
        assert after < before - 0.1


def test_a_package_that_is_not_the_teachers_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "examples" / "emorph-loss-nets"))
    package = tmp_path / "left-pad-1.0.0.tgz"
    with tarfile.open(package, "w:gz") as archive:
        archive.add(Path(__file__), "package/index.js")
    monkeypatch.setattr(sys, "argv", ["teacher.py", str(package), "faces.npz"])
    with pytest.raises(
        SystemExit, match=r"left-pad-1\.0\.0\.tgz has no package/model/.*: it is not @vladmandic/face-api\.$"
    ):
        importlib.import_module("teacher").main()
