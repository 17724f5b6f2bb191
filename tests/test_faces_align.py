"""The crop against an independent sampling of the photo, and its way back to a twentieth of a pixel."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from emorph.core.errors import NoFaceError, ShapeError
from emorph.core.images import read_photo
from emorph.core.types import CropSpec, Landmarks, Photo
from emorph.faces import align, find_faces
from emorph.faces.align import _cut, _median, _shrink_steps, _torch_has_lanczos


def _landmarks(centre: tuple[float, float], eyes_px: float, angle_rad: float = 0.0) -> Landmarks:
    """Points whose eyes are ``eyes_px`` apart and whose mouth lies 1.1 of that below, turned about ``centre``."""
    points = np.zeros((68, 2))
    points[36:42], points[42:48] = (-0.5, 0), (0.5, 0)
    points[48], points[54] = (-0.4, 1.1), (0.4, 1.1)
    turn = np.array([[np.cos(angle_rad), -np.sin(angle_rad)], [np.sin(angle_rad), np.cos(angle_rad)]])
    return Landmarks((points * eyes_px @ turn.T + centre).astype(np.float32), (0, 0, 1, 1), 1.0)


def _ramp(width: int, height: int) -> Photo:
    """Red tells x, green tells y, rising over the photo; blue is flat."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return Photo(np.dstack([x * 255 / (width - 1), y * 255 / (height - 1), 0 * x + 90]).round().astype(np.uint8))


def _published_quad(points: np.ndarray) -> np.ndarray:
    """Karras et al. 2018, App. C: e0, e1 eyes, m0, m1 mouth corners."""
    e0, e1 = points[36:42].mean(0), points[42:48].mean(0)
    m0, m1 = points[48], points[54]
    x_axis = e1 - e0
    y_axis = (e0 + e1) / 2 - (m0 + m1) / 2
    centre = (e0 + e1) / 2 - 0.1 * y_axis
    side = max(4.0 * np.linalg.norm(x_axis), 3.6 * np.linalg.norm(y_axis))
    x = x_axis - np.array([y_axis[1], -y_axis[0]])
    x *= side / np.linalg.norm(x) / 2
    y = np.array([-x[1], x[0]])
    return np.array([centre - x - y, centre - x + y, centre + x + y, centre + x - y])


def _corners(face_matrix: np.ndarray, side: int) -> np.ndarray:
    """Photo positions of the crop's outer corners, in the order of the published quad."""
    edge = np.array([[-0.5, -0.5, side - 0.5, side - 0.5], [-0.5, side - 0.5, side - 0.5, -0.5], [1, 1, 1, 1]])
    return (face_matrix @ edge)[:2].T


def _direct(photo: Photo, matrix: np.ndarray, side: int) -> np.ndarray:
    """Average of 16x16 linear samples in each crop pixel."""
    offset = (np.arange(16) + 0.5) / 16 - 0.5
    fine = (np.arange(side)[:, None] + offset).ravel()
    x, y = np.meshgrid(fine, fine)
    place = np.tensordot(matrix[:2, :2], np.stack([x, y]), 1) + matrix[:2, 2][:, None, None]
    planes = [
        ndimage.map_coordinates(photo.pixels[..., c].astype(float), place[::-1], order=1, mode="nearest")
        for c in range(3)
    ]
    return np.stack(planes, -1).reshape(side, 16, side, 16, 3).mean(axis=(1, 3))


@pytest.mark.parametrize("angle", [0.0, 0.4, -1.2, 3.0])
def test_square_is_the_published_one_where_nothing_shrinks(angle: float) -> None:
    landmarks = _landmarks((400, 300), 45, angle)
    face = align(_ramp(800, 600), landmarks, 128)
    np.testing.assert_allclose(
        _corners(face.crop_to_photo, 128), _published_quad(landmarks.points.astype(float)), atol=1e-9
    )


@pytest.mark.parametrize("eyes_px", [6, 40, 90, 170])
@pytest.mark.parametrize("angle", [0.1, 0.5, 1.7])
@pytest.mark.parametrize("side", [32, 64])
def test_pixels_lie_where_the_matrix_says(eyes_px: float, angle: float, side: int) -> None:
    size = np.array([1601, 1403])  # primes: shrinking has to round
    photo = _ramp(*map(int, size))
    landmarks = _landmarks((810.3, 690.8), eyes_px, angle)
    face, negative = align(photo, landmarks, side), align(Photo(255 - photo.pixels), landmarks, side)
    # PIL's bilinear sampling cuts fractions off, so levels come out 0.4 too low; the negative cancels that
    levels = (face.pixels.astype(float) + 255 - negative.pixels) / 2
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    place = np.tensordot(face.crop_to_photo, np.stack([x, y, 1 + 0 * x]), 1)[:2]
    inner = (slice(2, -2), slice(2, -2))  # Lanczos has fewer neighbours along the rim
    for channel in (0, 1):
        error = (levels[..., channel] * (size[channel] - 1) / 255 - place[channel])[inner]
        # one level is 6 px: quantised twice, yet unbiased, so the mean tells the offset of the frame
        assert np.abs(error).max() < 10
        if eyes_px >= 40:
            assert abs(error.mean()) < 0.2


@pytest.mark.parametrize(("eyes_px", "side"), [(170, 32), (170, 64), (120, 48), (60, 96)])
def test_frame_agrees_to_a_twentieth_of_a_pixel(eyes_px: float, side: int) -> None:
    """A smooth wave moves by several levels per pixel, so a shift of the frame shows in the values."""
    width, height = 1601, 1403
    period = 24 * max(1.0, 4 * eyes_px / side)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    wave = [127.5 + 120 * np.sin(2 * np.pi * (x * np.cos(t) + y * np.sin(t)) / period) for t in (0.0, 1.3, 2.6)]
    photo = Photo(np.rint(np.dstack(wave)).astype(np.uint8))
    face = align(photo, _landmarks((805.2, 640.7), eyes_px, 0.2), side)

    def error(shift: tuple[float, float]) -> float:
        moved = face.crop_to_photo.copy()
        moved[:2, 2] += shift
        return float(((_direct(photo, moved, side) - face.pixels)[3:-3, 3:-3] ** 2).mean())

    step = 0.5
    for axis in (np.array([step, 0.0]), np.array([0.0, step])):
        low, mid, high = error(tuple(-axis)), error((0.0, 0.0)), error(tuple(axis))
        lowest = step * (low - high) / (2 * (low + high - 2 * mid))  # of the parabola through the three
        assert abs(lowest) < 0.05
    assert error((0.0, 0.0)) < 1.5


def test_crop_equals_direct_sampling(example_photo: Path) -> None:
    photo = read_photo(example_photo)
    (landmarks,) = find_faces(photo)
    for side in (64, 128):
        face = align(photo, landmarks, side)
        reference = _direct(photo, face.crop_to_photo, side)
        inside = np.abs(face.pixels - reference)[8:-8, 8:-8]
        assert inside.mean() < 3.0  # Lanczos is sharper than the box
        shifted = np.abs(face.pixels - np.roll(reference, 1, axis=1))[8:-8, 8:-8]
        assert inside.mean() < 0.5 * shifted.mean()


def _whole_photo_crop(photo: Photo, landmarks: Landmarks, side: int) -> np.ndarray:
    """The published steps on the whole photo, with PIL and scipy."""
    image = Image.fromarray(photo.pixels)
    quad = _published_quad(landmarks.points.astype(float))
    qsize = float(np.linalg.norm(quad[3] - quad[0]))
    shrink = int(np.floor(qsize / side * 0.5))
    if shrink > 1:
        image = image.resize((round(image.width / shrink), round(image.height / shrink)), Image.Resampling.LANCZOS)
        quad, qsize = quad / shrink, qsize / shrink
    border = max(round(qsize * 0.1), 3)
    low, high = np.floor(quad.min(0)).astype(int), np.ceil(quad.max(0)).astype(int)
    box = (*np.maximum(low - border, 0), *np.minimum(high + border, image.size))
    image, quad = image.crop(tuple(int(v) for v in box)), quad - box[:2]
    low, high = np.floor(quad.min(0)).astype(int), np.ceil(quad.max(0)).astype(int)
    pads = np.maximum([*(border - low), *(high - image.size + border)], 0)
    if pads.max() > border - 4:
        pads = np.maximum(pads, round(qsize * 0.3))
        padded = np.pad(np.float32(image), ((pads[1], pads[3]), (pads[0], pads[2]), (0, 0)), "reflect")
        rows, columns = np.mgrid[: padded.shape[0], : padded.shape[1]].astype(np.float32)
        mask_x = 1 - np.minimum(columns / pads[0], (padded.shape[1] - 1 - columns) / pads[2])
        mask_y = 1 - np.minimum(rows / pads[1], (padded.shape[0] - 1 - rows) / pads[3])
        mask = np.maximum(mask_x, mask_y)[..., None]
        sigma = qsize * 0.02
        padded += (ndimage.gaussian_filter(padded, [sigma, sigma, 0]) - padded) * np.clip(3 * mask + 1, 0, 1)
        padded += (np.median(padded, axis=(0, 1)) - padded) * np.clip(mask, 0, 1)
        image = Image.fromarray(np.uint8(np.clip(np.rint(padded), 0, 255)))
        quad = quad + pads[:2]
    data = tuple(map(float, (quad + 0.5).ravel()))
    fine = image.transform((4 * side, 4 * side), Image.Transform.QUAD, data, Image.Resampling.BILINEAR)
    return np.array(fine.resize((side, side), Image.Resampling.LANCZOS))


@pytest.mark.parametrize(
    ("centre", "eyes_px", "side"),
    [
        ((256, 200), 30, 64),  # inside
        ((206, 118), 34, 64),  # the square leaves the photo at the top
        ((20, 40), 40, 64),  # top left corner
        ((500, 480), 60, 48),  # bottom right corner, shrunk
        ((256, 256), 200, 64),  # larger than the photo
        ((250, 240), 90, 32),  # shrunk by five
    ],
)
def test_equals_the_published_steps(
    example_photo: Path, centre: tuple[float, float], eyes_px: float, side: int
) -> None:
    photo = read_photo(example_photo)
    landmarks = _landmarks(centre, eyes_px, 0.15)
    difference = np.abs(align(photo, landmarks, side).pixels.astype(int) - _whole_photo_crop(photo, landmarks, side))
    assert difference.max() <= 1
    assert difference.mean() < 0.02


def test_real_faces_equal_the_published_steps(photos_dir: Path) -> None:
    for path in sorted(photos_dir.glob("*.jpg")):
        photo = read_photo(path)
        for landmarks in find_faces(photo):
            face = align(photo, landmarks, 64)
            difference = np.abs(face.pixels.astype(int) - _whole_photo_crop(photo, landmarks, 64))
            assert difference.max() <= 1, path.name


@pytest.mark.parametrize("shape", [(5, 7), (6, 4), (1, 1)])
def test_the_quick_median_is_numpys(shape: tuple[int, int]) -> None:
    plane = np.random.default_rng(0).normal(100, 50, shape).astype(np.float32)
    assert _median(plane) == np.median(plane)
    assert _median(plane).dtype == np.float32


def test_a_torch_without_lanczos_gives_the_same_crop(example_photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not _torch_has_lanczos():
        pytest.skip("this version of torch has no Lanczos")
    photo = read_photo(example_photo)
    (landmarks,) = find_faces(photo)
    by_torch = align(photo, landmarks, 64).pixels
    monkeypatch.setattr(sys.modules[_cut.__module__], "_torch_has_lanczos", lambda: False)
    by_pil = align(photo, landmarks, 64).pixels
    difference = np.abs(by_torch.astype(int) - by_pil)
    assert 0 < difference.max() <= 1  # two implementations that round differently
    assert difference.mean() < 0.02


def test_pixels_that_may_not_be_written_are_cut_too(example_photo: Path) -> None:
    photo = read_photo(example_photo)
    (landmarks,) = find_faces(photo)
    expected = align(photo, landmarks, 32).pixels  # small enough that the photo is shrunk first
    photo.pixels.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(align(photo, landmarks, 32).pixels, expected)


def test_a_window_is_scaled_as_the_whole_photo_is(example_photo: Path) -> None:
    photo = read_photo(example_photo)
    quad = np.array([[190.3, 170.2], [190.3, 330.2], [350.3, 330.2], [350.3, 170.2]])
    shrunk = _shrink_steps(photo.pixels, quad, 23)  # by three: 512 / 3 has to round
    whole = Image.fromarray(photo.pixels).resize((171, 171), Image.Resampling.LANCZOS)
    expected = np.array(whole.crop((*shrunk.corner, *shrunk.far_corner))).astype(int)
    assert shrunk.size == (171, 171)
    assert np.abs(_cut(photo, shrunk) - expected).max() <= 1


def test_zoom_and_shift_move_the_square() -> None:
    landmarks, photo = _landmarks((800, 700), 40, 0.3), _ramp(1600, 1400)
    plain = align(photo, landmarks, 96).crop_to_photo
    moved = align(photo, landmarks, 96, CropSpec(zoom=1.25, shift=(0.1, -0.2))).crop_to_photo
    middle = np.array([47.5, 47.5, 1])
    np.testing.assert_allclose(moved[:2, :2], plain[:2, :2] / 1.25, atol=1e-9)
    expected = plain @ middle + plain @ np.array([0.1 * 96, -0.2 * 96, 0])
    np.testing.assert_allclose(moved @ middle, expected, atol=1e-9)


def test_turning_the_photo_turns_nothing_in_the_crop(example_photo: Path) -> None:
    photo = read_photo(example_photo)
    (landmarks,) = find_faces(photo)
    width = photo.pixels.shape[1]
    turned = Photo(np.ascontiguousarray(np.rot90(photo.pixels)))
    points = np.stack([landmarks.points[:, 1], width - 1 - landmarks.points[:, 0]], axis=1)
    crops = [
        align(photo, landmarks, 64).pixels,
        align(turned, Landmarks(points, landmarks.box, landmarks.score), 64).pixels,
    ]
    assert np.abs(crops[0].astype(int) - crops[1]).mean() < 0.5


def test_faces_that_cannot_be_cut() -> None:
    photo = _ramp(200, 150)
    with pytest.raises(NoFaceError, match="lies outside"):
        align(photo, _landmarks((5000, 5000), 40), 64)
    for points in (np.zeros((68, 2)), np.full((68, 2), np.nan), np.zeros((5, 2))):
        with pytest.raises(ShapeError, match="detect the face again"):
            align(photo, Landmarks(points.astype(np.float32), (0, 0, 1, 1), 1.0), 64)
    for crop in (CropSpec(zoom=0.0), CropSpec(zoom=float("nan"))):
        with pytest.raises(ShapeError, match="zoom"):
            align(photo, _landmarks((100, 70), 20), 64, crop)
    with pytest.raises(ShapeError, match="at least 1 px"):
        align(photo, _landmarks((100, 70), 20), 0)


def test_a_one_pixel_photo_and_absurd_points_stay_small() -> None:
    face = align(Photo(np.full((1, 1, 3), 77, np.uint8)), _landmarks((0, 0), 3), 16)
    assert np.abs(face.pixels.astype(int) - 77).max() <= 1
    assert align(_ramp(200, 150), _landmarks((100, 70), 1e5), 16).pixels.shape == (16, 16, 3)
