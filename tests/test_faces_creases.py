"""Skin that an edit pushes together creases, and nothing else does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emorph.core.landmarks import BROWS, MOUTH, NOSE_SIDES
from emorph.core.types import AlignedFace, Float64, Landmarks, Photo, UInt8
from emorph.faces import face_mask
from emorph.faces.creases import Crease, Creases, creases_of, with_creases
from emorph.faces.mask import PasteMask
from emorph.faces.points import between_eyes

SKIN = (180, 140, 120)


@pytest.fixture(scope="module")
def points(landmarks: Landmarks) -> Float64:
    return landmarks.points.astype(np.float64)


@pytest.fixture(scope="module")
def skin(photo: Photo) -> Photo:
    """Nothing but skin, so that what is darker is a crease."""
    return replace(photo, pixels=np.full_like(photo.pixels, SKIN))


@pytest.fixture(scope="module")
def mask(face: AlignedFace, photo: Photo) -> PasteMask:
    return face_mask(face, photo.pixels.shape)


def moved(
    points: Float64, *, together: float = 0.0, up: float = 0.0, sides_up: float = 0.0, nose: float = 0.0
) -> Float64:
    """Brows and the nose's wings moved, in distances between the eyes."""
    across = between_eyes(points)
    along, above = across, np.array([across[1], -across[0]])
    after = points.copy()
    after[21] += together / 2 * along
    after[22] -= together / 2 * along
    after[[20, 21, 22, 23]] += up * above
    after[[17, 18, 19, 24, 25, 26]] += sides_up * above
    after[list(NOSE_SIDES)] += nose * above
    return after


def frown(points: Float64, share: float = 1.0) -> Float64:
    return moved(points, together=0.1 * share, up=-0.12 * share, sides_up=-0.1 * share)


def darker(one: Photo, other: Photo) -> Float64:
    """By how many levels the other photo is darker, (H, W)."""
    found: Float64 = one.pixels.astype(np.float64).mean(axis=2) - other.pixels.mean(axis=2)
    return found


def places(points: Float64, at: list[tuple[float, float]]) -> tuple[UInt8, UInt8]:
    """Rows and columns of the pixels at x, y in eye distances from between the brows, y upwards."""
    across = between_eyes(points)
    above = np.array([across[1], -across[0]])
    found = np.rint(points[[21, 22]].mean(axis=0) + [x * across + y * above for x, y in at]).astype(int)
    return found[:, 1], found[:, 0]


@pytest.mark.parametrize(
    ("motion", "kinds"),
    [
        ({"together": 0.1}, {"frown"}),
        ({"up": -0.12, "sides_up": -0.1}, {"frown"}),
        ({"up": 0.1, "sides_up": 0.0}, {"forehead"}),
        ({"up": 0.1, "sides_up": 0.1}, {"forehead"}),
        ({"up": -0.06, "sides_up": -0.05, "nose": 0.03}, {"frown", "nose"}),
        ({"nose": 0.03}, set()),
        ({"together": -0.05}, set()),
    ],
)
def test_kinds_follow_what_moves(points: Float64, motion: dict[str, float], kinds: set[str]) -> None:
    thrown = creases(points, moved(points, **motion))
    shares = {"frown": thrown.frown, "forehead": max(thrown.forehead), "nose": thrown.nose}
    assert {kind for kind, share in shares.items() if share > 0.05} == kinds
    assert max(shares.values()) <= 1


@pytest.mark.parametrize("motion", [{"together": 0.1}, {"up": -0.12, "sides_up": -0.1}, {"up": 0.1, "sides_up": 0.1}])
def test_brows_that_come_back_throw_nothing(points: Float64, motion: dict[str, float]) -> None:
    """What relaxes is moved as well, the other way: a frown's end is no raised brow, and the reverse."""
    assert not creases(moved(points, **motion), points)


def test_a_frown_has_two_lines_between_the_brows(
    skin: Photo, points: Float64, mask: PasteMask, face: AlignedFace
) -> None:
    after = frown(points)
    change = darker(skin, with_creases(skin, points, after, mask))
    rows, columns = places(after, [(-0.3, 0.0), (0.3, 0.0), (0.0, 0.0)])
    assert np.abs(change[rows[:2], columns[:2]]).max() < 1  # under the brows
    left, right = sorted(np.argsort(change[rows[2], columns[2] - 30 : columns[2] + 30])[-6:][[0, -1]])
    between = change[rows[2], columns[2]]
    assert change.max() > 20 > 5 > between
    assert left < 30 < right
    height, width = mask.weights.shape
    outside = np.ones(change.shape, bool)
    outside[mask.top : mask.top + height, mask.left : mask.left + width] = mask.weights == 0
    assert not change[outside].any()
    assert not change[int(after[30, 1]) :].any()  # below the tip of the nose


def test_raised_brows_line_the_forehead_over_what_is_raised(skin: Photo, points: Float64, mask: PasteMask) -> None:
    inner = darker(skin, with_creases(skin, points, moved(points, up=0.1), mask))
    whole = darker(skin, with_creases(skin, points, moved(points, up=0.1, sides_up=0.1), mask))
    after = moved(points, up=0.1)
    for change, sides in ((inner, False), (whole, True)):
        for x in (-0.45, 0.0, 0.45):
            rows, columns = places(after, [(x, y) for y in np.linspace(0.1, 0.5, 80)])
            assert bool(change[rows, columns].max() > 8) == (sides or x == 0.0), (x, sides)


def test_a_line_grows_with_what_throws_it(skin: Photo, points: Float64, mask: PasteMask) -> None:
    depths = [darker(skin, with_creases(skin, points, frown(points, share), mask)).max() for share in (0.5, 0.75, 1.0)]
    assert 0 < depths[0] < depths[1] < depths[2]


def test_other_edits_keep_the_photo(skin: Photo, points: Float64, mask: PasteMask) -> None:
    opened = points.copy()
    opened[MOUTH] += [0, 20]
    small = replace(skin, pixels=skin.pixels[:60, :60].copy())
    for after in (points, opened, moved(points, together=0.015), np.add(points, [9, 4])):
        assert with_creases(skin, points, after, mask) is skin
    tiny = 0.1 * points
    assert with_creases(small, tiny, frown(tiny), PasteMask(0, 0, np.ones((60, 60), np.float32))) is small
    empty = PasteMask(0, 0, np.zeros((0, 0), np.float32))
    assert with_creases(skin, points, frown(points), empty) is skin
    away = PasteMask(0, 0, np.ones((4, 4), np.float32))
    assert with_creases(skin, points, frown(points), away) is skin


def test_hair_frames_and_white_light_are_not_creased(skin: Photo, points: Float64, mask: PasteMask) -> None:
    after = moved(points, up=0.1, sides_up=0.1)
    plain = darker(skin, with_creases(skin, points, after, mask))
    left, right = points[BROWS].min(axis=0)[0], points[BROWS].max(axis=0)[0]
    half = np.s_[:, : int((left + right) / 2)]
    rough = np.random.default_rng(0).normal(0, 25, skin.pixels.shape[:2])[..., None]
    for hair in (np.zeros(3) + 30, skin.pixels + rough, np.zeros(3) + 255):
        pixels = skin.pixels.copy()
        pixels[half] = np.clip(np.broadcast_to(hair, pixels.shape)[half], 0, 255)
        covered = replace(skin, pixels=pixels)
        change = darker(covered, with_creases(covered, points, after, mask))
        near = np.s_[:, : int((left + right) / 2 - 0.1 * (right - left))]
        assert np.abs(change[near]).mean() < 0.2 * np.abs(plain[near]).mean()
        other = np.s_[:, int((left + right) / 2 + 0.1 * (right - left)) :]
        assert np.abs(change[other]).mean() > 0.7 * np.abs(plain[other]).mean()


def test_a_dark_photo_is_creased_alike(skin: Photo, points: Float64, mask: PasteMask) -> None:
    """At a fifth of the light, beside dark hair: a fifth of the change."""
    after = moved(points, up=0.1, sides_up=0.1)
    pixels = skin.pixels.copy()
    pixels[:, : int(points[19, 0])] = 40
    changes = []
    for gain in (1.0, 0.2):
        lit = replace(skin, pixels=np.rint(gain * pixels).astype(np.uint8))
        changes.append(darker(lit, with_creases(lit, points, after, mask)) / gain)
    assert changes[0].max() > 10
    assert np.abs(changes[0] - changes[1]).max() < 5  # a level of 255 is five of these
    assert np.abs(changes[0] - changes[1]).mean() < 0.2


def test_a_turned_head_is_creased_like_an_upright_one(skin: Photo, points: Float64) -> None:
    """Lines go with the face: by a right angle, to a level."""
    whole = PasteMask(0, 0, np.ones(skin.pixels.shape[:2], np.float32))
    after = frown(points)
    upright = with_creases(skin, points, after, whole).pixels
    height = skin.pixels.shape[0]
    turned = replace(skin, pixels=np.ascontiguousarray(np.rot90(skin.pixels, -1)))
    clockwise = [np.column_stack([height - 1 - each[:, 1], each[:, 0]]) for each in (points, after)]
    mask = PasteMask(0, 0, np.ones(turned.pixels.shape[:2], np.float32))
    found = np.rot90(with_creases(turned, *clockwise, mask).pixels, 1)
    assert np.abs(upright.astype(int) - found).max() <= 2


def test_nothing_is_thrown_by_none() -> None:
    assert not Creases(0.0, (0.0, 0.0), 0.0)
    assert Creases(0.0, (0.0, 0.1), 0.0)
