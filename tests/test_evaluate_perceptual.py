"""Where LPIPS's files are looked for, and what the distance refuses."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

import emorph.evaluate
from emorph.core.errors import MissingAssetError, ShapeError, UnknownNameError
from emorph.evaluate.metrics.lpips import LPIPS, find_files, lpips


@pytest.fixture
def model() -> LPIPS:
    torch.manual_seed(0)
    net = LPIPS("alex")
    state = net.state_dict()
    net.load(state, {key: value.abs() for key, value in state.items()})
    return net


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which nobody has put anything yet."""
    monkeypatch.setenv("EMORPH_HOME", str(tmp_path / "emorph"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    return tmp_path


def put(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def test_files_are_found_where_their_owners_put_them(nowhere: Path, model: LPIPS) -> None:
    with pytest.raises(
        MissingAssetError, match=r"alexnet-owt-7be5be79.pth is not here: get it with emorph models get lpips-alexnet"
    ):
        find_files("alex")
    state = model.state_dict()
    backbone = put(nowhere / "torch/hub/checkpoints/alexnet-owt-7be5be79.pth", state)
    (nowhere / "packages" / "lpips").mkdir(parents=True)
    (nowhere / "packages" / "lpips" / "__init__.py").write_text("raise RuntimeError('imported')")
    importlib.invalidate_caches()
    with pytest.raises(
        MissingAssetError,
        match=r"alex.pth is not here: get it with emorph models get lpips-heads-alex, .*or with pip install lpips",
    ):
        find_files("alex")
    heads = put(nowhere / "packages/lpips/weights/v0.1/alex.pth", state)
    assert find_files("alex") == (backbone, heads)
    a, b = torch.rand(2, 2, 3, 40, 40) * 2 - 1
    torch.testing.assert_close(emorph.evaluate.lpips(a, b), model(a, b))
    own = put(nowhere / "emorph/lpips/alex.pth", state)
    assert find_files("alex") == (backbone, own)


def test_pairs_are_independent_and_gray_is_colour(model: LPIPS) -> None:
    a, b = torch.rand(2, 3, 1, 40, 40) * 2 - 1
    together = lpips(a, b, net=model)
    alone = torch.cat([lpips(a[i : i + 1], b[i : i + 1], net=model) for i in range(3)])
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(together, lpips(a.repeat(1, 3, 1, 1), b.repeat(1, 3, 1, 1), net=model))
    assert together.min() > 0
    assert lpips(a, a, net=model).max() == 0


def test_the_smallest_picture_and_what_is_refused(model: LPIPS) -> None:
    a = torch.zeros(1, 3, 31, 31)
    assert lpips(a, a + 0.5, net=model, data_range=2).isfinite().all()
    with pytest.raises(ShapeError, match="at least 31 px, found 31x30 px"):
        lpips(a[:, :, :30], a[:, :, :30], net=model)
    with pytest.raises(ShapeError, match=r"expected values in \[-1, 1\], found up to 255"):
        lpips(a, a + 255, net=model)
    with pytest.raises(ShapeError, match="uint8"):
        lpips(a.byte(), a.byte(), net=model)
    with pytest.raises(UnknownNameError, match="LPIPS net 'alexnet' is not known; did you mean 'alex'"):
        lpips(a, a, net="alexnet")  # type: ignore[arg-type]


def test_the_smallest_picture_of_vgg() -> None:
    a = torch.zeros(1, 3, 16, 16)
    with torch.inference_mode():
        assert LPIPS("vgg")(a, a + 0.5).isfinite().all()
