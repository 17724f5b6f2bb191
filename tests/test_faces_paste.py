"""A change arrives where it belongs, at the photo's resolution, and nothing else moves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emorph.core.errors import ShapeError
from emorph.core.images import read_photo
from emorph.core.types import AlignedFace, CropSpec, Photo
from emorph.faces import align, face_mask, find_faces, paste, paste_change
from emorph.faces.mouth import REC601
from emorph.faces.paste import paste_light

SIDE = 64


def _full_mask(face: AlignedFace, photo: Photo) -> np.ndarray:
    mask = face_mask(face, photo.pixels.shape)
    full = np.zeros(photo.pixels.shape[:2], np.float32)
    height, width = mask.weights.shape
    full[mask.top : mask.top + height, mask.left : mask.left + width] = mask.weights
    return full


def _crop_places(face: AlignedFace, photo: Photo) -> np.ndarray:
    """(2, H, W): crop (x, y) of every photo pixel."""
    y, x = np.mgrid[: photo.pixels.shape[0], : photo.pixels.shape[1]]
    return np.tensordot(np.linalg.inv(face.crop_to_photo), np.stack([x, y, 1 + 0 * x]), 1)[:2]


def _chroma(pixels: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(pixels.astype(float), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.stack([(blue - luma) * 0.564, (red - luma) * 0.713])


def test_mask_covers_the_features_and_spares_the_surroundings(photo: Photo, face: AlignedFace) -> None:
    full, points = _full_mask(face, photo), face.landmarks.points
    for index in range(17, 68):
        x, y = np.rint(points[index]).astype(int)
        assert full[y, x] > (0.5 if index in (17, 26) else 0.9), index  # 17, 26: outer ends of the brows
    chin_x, chin_y = np.rint(points[8]).astype(int)
    assert full[chin_y, chin_x] > 0.2
    above = np.rint(points[27] - 0.5 * (points[57] - points[27])).astype(int)  # wrinkles over the nose
    assert full[above[1], above[0]] > 0.9
    ear = np.rint(points[0] - 0.5 * (points[39] - points[0])).astype(int)
    assert full[ear[1], ear[0]] == 0
    assert 0 <= full.min() < full.max() <= 1


def test_mask_has_no_edge_at_the_crop_border(photo: Photo, face: AlignedFace) -> None:
    tight = align(photo, face.landmarks, SIDE, CropSpec(zoom=2.2, shift=(0.0, -0.1)))
    for each in (face, tight):
        full, (x, y) = _full_mask(each, photo), _crop_places(each, photo)
        outside = (np.minimum(x, y) <= -0.5) | (np.maximum(x, y) >= SIDE - 0.5)
        assert not full[outside].any()
        assert full.max() > 0.99
        steps = max(np.abs(np.diff(full, axis=0)).max(), np.abs(np.diff(full, axis=1)).max())
        assert steps < 0.35  # a hard edge would be 1


def test_mask_feather_widens_the_soft_edge(photo: Photo, face: AlignedFace) -> None:
    narrow, wide = (face_mask(face, photo.pixels.shape, feather=f).weights for f in (0.05, 0.6))
    assert (narrow > 0.999).sum() > 1.3 * (wide > 0.999).sum() > 0
    assert ((wide > 0) & (wide < 1)).sum() > 2 * ((narrow > 0) & (narrow < 1)).sum()
    with pytest.raises(ShapeError, match="feather"):
        face_mask(face, photo.pixels.shape, feather=0.0)


def test_no_change_gives_the_photo_bit_for_bit(photo: Photo, face: AlignedFace) -> None:
    other = np.full((SIDE, SIDE, 3), 33, np.uint8)  # not even the photo's own crop
    for keep in (True, False):
        result = paste_change(photo, face, other, other, keep_detail=keep)
        np.testing.assert_array_equal(result.pixels, photo.pixels)
        assert result.path == photo.path
        assert not np.shares_memory(result.pixels, photo.pixels)


def test_outside_the_mask_nothing_moves(photo: Photo, face: AlignedFace) -> None:
    after = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    original = photo.pixels.copy()
    result = paste_change(photo, face, face.pixels, after).pixels
    full = _full_mask(face, photo)
    np.testing.assert_array_equal(result[full == 0], photo.pixels[full == 0])
    assert np.abs(result.astype(int) - photo.pixels)[full > 0.9].mean() > 20
    np.testing.assert_array_equal(photo.pixels, original)


def _placed(face: AlignedFace, scale: float, angle: float = 0.2) -> tuple[tuple[int, int], AlignedFace]:
    """The same face in a square photo where a crop pixel spans ``scale`` photo pixels, turned by ``angle``."""
    points = face.landmarks.points.astype(float)
    to_crop = np.linalg.inv(face.crop_to_photo)
    points = points @ to_crop[:2, :2].T + to_crop[:2, 2]
    size = round(2 * SIDE * scale)
    matrix = np.eye(3)
    matrix[:2, :2] = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix[:2, 2] = size / 2 - 0.5 - matrix[:2, :2] @ np.full(2, SIDE / 2 - 0.5)
    points = (points @ matrix[:2, :2].T + matrix[:2, 2]).astype(np.float32)
    return (size, size), AlignedFace(face.pixels, matrix, replace(face.landmarks, points=points))


def _noisy_photo(shape: tuple[int, int]) -> Photo:
    """Gray 120 with fine detail of a few levels that a coarse crop cannot show."""
    noise = np.random.default_rng(1).integers(-9, 10, (*shape, 3))
    return Photo((120 + noise).astype(np.uint8))


def test_a_small_change_keeps_the_photos_detail(face: AlignedFace) -> None:
    shape, placed = _placed(face, 6.0)
    noisy = _noisy_photo(shape)
    core = _full_mask(placed, noisy) > 0.9999
    before = np.full((SIDE, SIDE, 3), 120, np.float32)
    moved = paste_change(noisy, placed, before, before + 8).pixels[core].astype(int) - noisy.pixels[core]
    assert abs(moved.mean() - 8) < 0.2
    assert moved.std() < 0.6


def test_a_large_change_replaces_the_photos_detail(face: AlignedFace) -> None:
    shape, placed = _placed(face, 6.0)
    noisy = _noisy_photo(shape)
    core = _full_mask(placed, noisy) > 0.9999
    before = np.full((SIDE, SIDE, 3), 120, np.float32)
    replaced = paste_change(noisy, placed, before, before + 110).pixels[core]
    assert abs(replaced.mean() - 230) < 0.5
    assert replaced.std() < 0.6
    half = paste_change(noisy, placed, before, before + 48).pixels[core]  # DETAIL_LEVELS: exp(-1) is kept
    assert half.std() == pytest.approx(np.exp(-1) * noisy.pixels[core].std(), rel=0.05)
    assert paste_change(noisy, placed, before, before + 8, keep_detail=False).pixels[core].std() < 0.6


@pytest.mark.parametrize("scale", [0.23, 0.7, 1.0, 2.4, 15.6])
def test_change_lands_on_the_matching_pixels(face: AlignedFace, scale: float) -> None:
    """A slope over the crop, pasted, is read back from the photo where the matrix puts it."""
    shape, placed = _placed(face, scale)
    gray = Photo(np.full((*shape, 3), 100, np.uint8))
    x, y = np.meshgrid(np.arange(SIDE, dtype=np.float32), np.arange(SIDE, dtype=np.float32))
    before = np.full((SIDE, SIDE, 3), 100, np.float32)
    after = before + np.dstack([x, y, x + y]) - 30
    result = paste_change(gray, placed, before, after).pixels.astype(float)
    core = _full_mask(placed, gray) > 0.9999
    assert core.any()
    places = _crop_places(placed, gray)
    expected = np.stack([places[0], places[1], places.sum(axis=0)], axis=-1) + 70
    error = (result - expected)[core]
    assert np.abs(error).max() < 0.75 + 0.03  # rounding, and the mask's last 0.0001
    assert np.abs(error.mean(axis=0)).max() < 0.15


def test_a_finer_crop_is_averaged_not_sampled(face: AlignedFace) -> None:
    shape, placed = _placed(face, 0.25, angle=0.0)
    gray = Photo(np.full((*shape, 3), 100, np.uint8))
    before = np.full((SIDE, SIDE, 3), 100, np.float32)
    after = before.copy()
    after[:, ::4] += 80  # stripes one pixel in four: their mean is 20 everywhere
    core = _full_mask(placed, gray) > 0.9999
    moved = paste_change(gray, placed, before, after).pixels[core].astype(int) - 100
    assert set(moved.ravel()) <= {19, 20, 21}


def test_align_then_paste_returns_a_smooth_photo(face: AlignedFace) -> None:
    shape, placed = _placed(face, 3.3)
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = [127 + 60 * np.sin(x / 37 + c) + 50 * np.cos(y / 41 - c) for c in range(3)]
    smooth = Photo(np.rint(np.dstack(waves)).astype(np.uint8))
    cut = align(smooth, placed.landmarks, SIDE)
    core = _full_mask(cut, smooth) > 0
    blank = Photo(np.where(core[..., None], 0, smooth.pixels).astype(np.uint8))
    before = np.zeros((SIDE, SIDE, 3), np.uint8)
    result = paste_change(blank, cut, before, cut.pixels, keep_detail=False).pixels.astype(int)
    solid = _full_mask(cut, smooth) > 0.9999
    error = (result - smooth.pixels)[solid]
    assert np.abs(error).max() <= 3
    assert abs(error.mean()) < 0.6  # PIL's bilinear sampling cuts fractions off: 0.5 lower


def test_gray_change_keeps_the_colours(photo: Photo, face: AlignedFace) -> None:
    gray = face.pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    before, after = gray[..., None], gray[..., None] * 0.7 + 20
    for keep in (True, False):
        result = paste_change(photo, face, before, after, keep_detail=keep).pixels
        whole = ((result > 0) & (result < 255)).all(axis=-1)
        moved = result.astype(int) - photo.pixels
        assert np.abs(moved).max() > 10
        np.testing.assert_array_equal(moved[whole].min(axis=-1), moved[whole].max(axis=-1))
        assert np.abs(_chroma(result) - _chroma(photo.pixels))[:, whole].max() < 1e-9


def test_half_a_level_of_gray_goes_one_way_in_every_channel(face: AlignedFace) -> None:
    """200.5 would become 200, and 201.5 202: sums are rounded to even, and near a half as each processor has it."""
    shape, placed = _placed(face, 2.0)
    colour = np.array([200, 201, 202], np.uint8)
    flat = Photo(np.broadcast_to(colour, (*shape, 3)).copy())
    before = np.full((SIDE, SIDE, 1), float(colour @ REC601), np.float32)
    moved = paste_change(flat, placed, before, before + 0.5).pixels.astype(int) - colour
    np.testing.assert_array_equal(moved.min(axis=-1), moved.max(axis=-1))
    assert set(np.unique(paste_change(flat, placed, before, before + 1.5).pixels - colour)) == {0, 1, 2}


def test_gray_and_colour_agree_on_a_gray_photo(face: AlignedFace) -> None:
    shape, placed = _placed(face, 2.0)
    y, x = np.mgrid[: shape[0], : shape[1]]
    photo = Photo(np.repeat(((x * 3 + y * 5) % 200).astype(np.uint8)[..., None], 3, axis=2))
    before = np.random.default_rng(2).uniform(60, 190, (SIDE, SIDE, 1)).astype(np.float32)
    after = before + np.linspace(-60, 60, SIDE, dtype=np.float32)[:, None, None]
    gray = paste_change(photo, placed, before, after).pixels
    colour = paste_change(photo, placed, before.repeat(3, 2), after.repeat(3, 2)).pixels
    assert np.abs(gray.astype(int) - colour).max() <= 1


def test_a_face_at_the_photos_edge(photo: Photo, face: AlignedFace) -> None:
    x, y = np.rint(face.landmarks.points[30]).astype(int)  # the tip of the nose
    cut = Photo(np.ascontiguousarray(photo.pixels[:y, x:]))
    points = face.landmarks.points - np.array([x, 0], np.float32)
    edge = align(cut, replace(face.landmarks, points=points), SIDE)
    after = np.clip(edge.pixels.astype(np.float32) - 20, 0, 255)
    result = paste_change(cut, edge, edge.pixels.astype(np.float32), after).pixels
    assert result.shape == cut.pixels.shape
    whole = paste_change(photo, face, face.pixels.astype(np.float32), face.pixels.astype(np.float32) - 20)
    assert np.abs(result.astype(int) - whole.pixels[:y, x:]).mean() < 1


def test_a_mask_beyond_the_photo_changes_nothing(photo: Photo, face: AlignedFace) -> None:
    away = face.crop_to_photo.copy()
    away[:2, 2] += 5000
    points = face.landmarks.points + np.float32(5000)
    lost = AlignedFace(face.pixels, away, replace(face.landmarks, points=points))
    assert face_mask(lost, photo.pixels.shape).weights.size == 0
    result = paste_change(photo, lost, face.pixels, 255 - face.pixels)
    np.testing.assert_array_equal(result.pixels, photo.pixels)


def test_values_beyond_the_range_are_clamped(photo: Photo, face: AlignedFace) -> None:
    before = np.full((SIDE, SIDE, 3), 128, np.float32)
    core = _full_mask(face, photo) > 0.9999
    assert (paste_change(photo, face, before, before + 900).pixels[core] == 255).all()
    assert (paste_change(photo, face, before, before - 900).pixels[core] == 0).all()


def test_paste_checks_its_input(photo: Photo, face: AlignedFace) -> None:
    good = face.pixels
    for bad in (
        good[:-1],
        good[..., 0],
        good.astype(np.float64),
        good[..., :2],
        np.full(good.shape, np.nan, np.float32),
    ):
        with pytest.raises(ShapeError, match=r"expected .* found"):
            paste_change(photo, face, good, bad)
    with pytest.raises(ShapeError, match="one shape"):
        paste_change(photo, face, good, good[..., :1])


def test_real_photos_keep_their_surroundings(photos_dir: Path) -> None:
    for path in sorted(photos_dir.glob("*.jpg")):
        real = read_photo(path)
        for landmarks in find_faces(real):
            cut = align(real, landmarks, SIDE)
            result = paste_change(real, cut, cut.pixels, 255 - cut.pixels).pixels
            full = _full_mask(cut, real)
            np.testing.assert_array_equal(result[full == 0], real.pixels[full == 0])
            assert 0.02 < (full > 0.5).sum() * cut.photo_px_per_crop_px**-2 / SIDE**2 < 0.45, path.name


def test_light_keeps_detail_and_colour(photo: Photo, face: AlignedFace) -> None:
    """Half as bright: every pixel inside keeps its colour's proportions and its contrast to its neighbours."""
    before = np.full((SIDE, SIDE, 1), 140, np.float32)
    gray = np.random.default_rng(3).integers(80, 120, (*photo.pixels.shape[:2], 1))
    noisy = Photo((gray * [2.0, 1.5, 1.0]).astype(np.uint8), photo.path)
    result = paste_light(noisy, face, before, before * 0.5).pixels.astype(float)
    core = _full_mask(face, photo) > 0.9999
    gain = (140 * 0.5 + 16) / (140 + 16)
    deep = np.zeros_like(core)
    x, y = np.rint(face.landmarks.points[30]).astype(int)
    deep[y - 3 : y + 4, x - 3 : x + 4] = core[y - 3 : y + 4, x - 3 : x + 4]
    np.testing.assert_allclose(result[deep], noisy.pixels[deep] * gain, atol=1.0)
    assert deep.sum() > 10
    outside = face_mask(face, photo.pixels.shape, feather=paste.LIGHT_FEATHER)
    touched = np.zeros(photo.pixels.shape[:2], bool)
    height, width = outside.weights.shape
    touched[outside.top : outside.top + height, outside.left : outside.left + width] = outside.weights > 0
    np.testing.assert_array_equal(result[~touched], noisy.pixels[~touched])
    assert np.array_equal(paste_light(noisy, face, before, before).pixels, noisy.pixels)
    with pytest.raises(ShapeError, match="one shape"):
        paste_light(noisy, face, before, before.repeat(3, 2))


def test_light_that_stays_draws_no_mask(photo: Photo, face: AlignedFace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paste, "face_mask", None)
    same = np.full((SIDE, SIDE, 1), 60, np.float32)
    result = paste_light(photo, face, same, same.copy())
    np.testing.assert_array_equal(result.pixels, photo.pixels)
    assert not np.shares_memory(result.pixels, photo.pixels)


def test_light_is_carried_over_smoothly(photo: Photo, face: AlignedFace) -> None:
    """An edge in the drawn light, as of a nose, becomes a slope; and no gain exceeds its bound."""
    before = np.full((SIDE, SIDE, 1), 60, np.float32)
    after = before.copy()
    after[:, SIDE // 2 :] = 250
    flat = Photo(np.full_like(photo.pixels, 50), photo.path)
    result = paste_light(flat, face, before, after).pixels[..., 0].astype(float)
    y = round(float(face.landmarks.points[30, 1]))
    row = result[y]
    assert 90 < row.max() <= 101
    assert np.abs(np.diff(row)).max() < 0.5 * (row.max() - 50) / max(1.0, face.photo_px_per_crop_px)
