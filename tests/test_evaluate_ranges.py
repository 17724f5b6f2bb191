"""The ranges of pictures: the same value in each of them, equal to scikit-image's, no wrong range unsaid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from emorph.core.errors import ShapeError
from emorph.core.images import read_photo, to_tensor
from emorph.core.types import Photo, UInt8
from emorph.evaluate import dists, lpips, ms_ssim, psnr, ssim
from emorph.evaluate.measure.surroundings import Surroundings
from emorph.evaluate.metrics.dists import DISTS
from emorph.evaluate.metrics.geometry import mae_outside
from emorph.evaluate.metrics.lpips import LPIPS
from emorph.evaluate.metrics.metric import Metric
from emorph.evaluate.metrics.table import METRICS, metric
from emorph.evaluate.metrics.takes import PICTURES, Takes
from emorph.faces.detect import find_faces

Measure = Callable[..., Tensor]
EXAMPLE = Path(__file__).parents[1] / "examples" / "astronaut.png"
SIDE = 190
NETWORKS_SIDE = 96  # networks take smaller pictures, and longer
ANSWERS: dict[tuple[str, int, float], Tensor] = {}


def in_range(levels: UInt8, data_range: float) -> Tensor:
    """Pictures uint8 (B, H, W, 3) as float64 (B, 3, H, W) in the range that the number names."""
    unit = torch.from_numpy(levels.astype(np.float64)).permute(0, 3, 1, 2) / 255
    return 2 * unit - 1 if data_range == 2 else unit * data_range


@pytest.fixture(scope="module")
def pair() -> tuple[UInt8, UInt8]:
    """Two crops of the example photo, one dark and one bright, and what noise and a shadow make of them."""
    photo = read_photo(EXAMPLE).pixels
    a = np.stack([photo[40 : 40 + SIDE, 100 : 100 + SIDE], photo[250 : 250 + SIDE, 300 : 300 + SIDE]])
    noise = np.random.default_rng(0).normal(0, 12, a.shape)
    b = np.clip(a * np.linspace(0.8, 1.1, SIDE)[:, None] + noise, 0, 255).round().astype(np.uint8)
    return a, b


@pytest.fixture(scope="module")
def networks() -> dict[str, Measure]:
    """LPIPS and DISTS with random weights: their ranges do not depend on what they have learned."""
    torch.manual_seed(0)
    found: dict[str, Measure] = {}
    for net in ("alex", "vgg"):
        network = LPIPS(net)  # type: ignore[arg-type]
        network.load({key: value.abs() for key, value in network.state_dict().items()}, {})
        found[f"lpips_{net}"] = lambda a, b, data_range, network=network: lpips(
            a, b, net=network, data_range=data_range
        )
    textures = DISTS()
    ones = {key: torch.ones_like(getattr(textures, key)) for key in ("alpha", "beta")}
    textures.load({key: value for key, value in textures.state_dict().items() if key not in ones}, ones)
    found["dists"] = lambda a, b, data_range: dists(a, b, net=textures, data_range=data_range)
    return found


def arguments(row: Metric, a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    if row.takes not in (Takes.MASKED, Takes.OWN_MASK):
        return a, b
    mask = torch.zeros(len(a), 1, *a.shape[2:])
    mask[:, :, 50:120, 60:130] = 1
    return a, b, mask


def value(row: Metric, pair: tuple[UInt8, UInt8], networks: dict[str, Measure], data_range: float) -> Tensor:
    """Of the pair, in a range; rows that differ only in which pictures they are given share a network's answer."""
    a, b = (in_range(x, data_range) for x in pair)
    if not row.network:
        return row.load()(*arguments(row, a, b), data_range=data_range)
    name = row.function.partition(":")[2]
    given = [x[..., :NETWORKS_SIDE, :NETWORKS_SIDE] for x in arguments(row, a, b)]
    key = (name, len(given), data_range)
    if key not in ANSWERS:
        ANSWERS[key] = networks[name](*given, data_range=data_range)
    return ANSWERS[key]


@pytest.mark.parametrize("name", [row.name for row in METRICS.values() if row.takes in PICTURES])
def test_a_value_is_the_same_in_every_range(name: str, pair: tuple[UInt8, UInt8], networks: dict[str, Measure]) -> None:
    row = metric(name)
    values = {r: value(row, pair, networks, r) for r in (1, 2, 255)}
    assert values[1].shape == (2,)
    assert float((values[1][0] - values[1][1]).abs()) > 1e-4, "a measure that says nothing is not tested"
    for r in (2, 255):
        torch.testing.assert_close(values[r].double(), values[1].double(), rtol=2e-4, atol=1e-6)


def by_scikit_image(a: UInt8, b: UInt8) -> NDArray[np.float64]:
    options = {"channel_axis": -1, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return np.array([structural_similarity(p, q, data_range=255, **options) for p, q in zip(a, b, strict=True)])


@pytest.mark.parametrize("data_range", [1, 2, 255, 65535])
def test_each_range_equals_scikit_images_of_levels(pair: tuple[UInt8, UInt8], data_range: float) -> None:
    a, b = (in_range(x, data_range) for x in pair)
    np.testing.assert_allclose(ssim(a, b, data_range=data_range).numpy(), by_scikit_image(*pair), atol=1e-9)
    peaks = [peak_signal_noise_ratio(p, q, data_range=255) for p, q in zip(*pair, strict=True)]
    np.testing.assert_allclose(psnr(a, b, data_range=data_range).numpy(), peaks, atol=1e-9)
    mask = torch.zeros(2, 1, SIDE, SIDE)
    mask[:, :, 40:] = 1
    gaps = np.abs(pair[0][:, :40] / 255 - pair[1][:, :40] / 255).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(mae_outside(a, b, mask, data_range=data_range).numpy(), gaps, atol=1e-9)


def plain(level: int) -> UInt8:
    return np.full((1, SIDE, SIDE, 3), level, np.uint8)


@pytest.mark.parametrize("data_range", [1, 2, 255])
@pytest.mark.parametrize(("first", "second"), [(127, 131), (140, 150), (3, 9), (250, 254)])
def test_plain_grays_differ_by_their_levels(first: int, second: int, data_range: float) -> None:
    """127 against 131 is 0.9995; taken with their signs about mid-gray it would be 0.158."""
    a, b = plain(first), plain(second)
    expected = float(by_scikit_image(a, b)[0])
    pictures = [in_range(x, data_range) for x in (a, b)]
    assert float(ssim(*pictures, data_range=data_range)) == pytest.approx(expected, abs=1e-6)
    luminance = expected ** (0.1333)  # at the coarsest scale only, where the pictures are as plain
    assert float(ms_ssim(*pictures, data_range=data_range)) == pytest.approx(luminance, abs=1e-6)


def test_the_measures_of_an_evaluation_are_those_of_levels() -> None:
    """Surroundings of mid-gray, where signs do the most harm: a ground of 127 that became 131 is hardly another."""
    source = read_photo(EXAMPLE).pixels[:240, 110:350].copy()
    landmarks = find_faces(Photo(source))[0]
    ground = np.ones(source.shape[:2], bool)
    left, top, right, bottom = landmarks.box
    ground[max(0, top - 40) : bottom + 10, max(0, left - 15) : right + 15] = False
    source[ground] = 127
    edited = source.copy()
    edited[ground] = 131
    seen = Surroundings(Photo(source), landmarks)
    rows = [row for row in METRICS.values() if row.function == "fidelity:ssim"]
    assert {row.takes for row in rows} == {Takes.RECONSTRUCTION, Takes.SURROUNDINGS, Takes.EDITED}
    found = seen.measured(Photo(edited), rows)
    for row in rows:
        a, b = (x[None] for x in seen._pair(Photo(edited), row.takes))
        assert found[row.name] == pytest.approx(float(by_scikit_image(a, b)[0]), abs=1e-5)
        assert found[row.name] > 0.99


@pytest.mark.parametrize("measure", [psnr, ssim, ms_ssim])
def test_a_wrong_range_is_refused_as_far_as_it_can_be_told(measure: Measure, pair: tuple[UInt8, UInt8]) -> None:
    signed, unit, levels = ([in_range(x, r) for x in pair] for r in (2, 1, 255))
    for pictures, said in ((signed, 1), (signed, 255), (levels, 1), (levels, 2)):
        with pytest.raises(ShapeError, match=r"found .* pass data_range=2 for pictures in \[-1, 1\], 1 for \[0, 1\]"):
            measure(*pictures, data_range=said)
    with pytest.raises(ShapeError, match=r"as in pictures from 0 to 1; pass data_range=2 .* 1 for"):
        measure(*unit, data_range=255)
    black = torch.zeros(1, 3, SIDE, SIDE)
    assert float(ssim(black, black, data_range=255)) == pytest.approx(1)  # black is black in any range
    rounded = [x.half().float() * 1.0004 for x in signed]  # rounding is no wrong range
    assert torch.isfinite(measure(*rounded, data_range=2)).all()


@pytest.mark.parametrize("name", ["lpips_alex", "dists"])
def test_networks_want_a_word_for_pictures_without_dark(
    name: str, pair: tuple[UInt8, UInt8], networks: dict[str, Measure]
) -> None:
    measure = networks[name]
    small = [x[:, :NETWORKS_SIDE, :NETWORKS_SIDE] for x in pair]
    signed, unit, levels = ([in_range(x, r) for x in small] for r in (2, 1, 255))
    torch.testing.assert_close(measure(*signed, None), measure(*signed, 2))
    with pytest.raises(ShapeError, match=r"none below 0.*pass data_range=1 for those, or data_range=2"):
        measure(*unit, None)
    bright = [x * 0.4 + 0.5 for x in signed]
    assert torch.isfinite(measure(*bright, 2)).all()
    with pytest.raises(ShapeError, match="as data_range=1 says"):
        measure(*signed, 1)
    with pytest.raises(ShapeError, match=r"values in \[-1, 1\]"):
        measure(*levels, None)


def test_levels_are_what_files_hold() -> None:
    """``to_tensor`` gives the range that data_range=2 names, so that whole files can be compared."""
    pixels = read_photo(EXAMPLE).pixels[:200, :200]
    torch.testing.assert_close(to_tensor(pixels).double(), in_range(pixels[None], 2), atol=1e-6, rtol=0)
