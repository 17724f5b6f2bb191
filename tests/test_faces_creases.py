"""Skin that an edit pushes together creases, and nothing else does."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from emorph.core.landmarks import MOUTH, NOSE_SIDES
from emorph.core.types import AlignedFace, Float64, Landmarks, Photo, UInt8
from emorph.faces import face_mask
from emorph.faces.creases import KINDS, Crease, creases_of, with_creases
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
        ({"up": 0.1, "sides_up": 0.0}, {"middle"}),
        ({"up": 0.1, "sides_up": 0.1}, {"middle", "sides"}),
        ({"up": -0.09, "sides_up": -0.05, "nose": 0.03}, {"frown", "nose"}),
        ({"nose": 0.03}, set()),
        ({"together": -0.05}, set()),
    ],
)
@pytest.mark.parametrize("asked", [None, KINDS])
def test_kinds_follow_what_moves(
    points: Float64, motion: dict[str, float], kinds: set[str], asked: tuple[Crease, ...] | None
) -> None:
    formed = asdict(creases_of(points, moved(points, **motion), asked))
    assert {kind for kind, share in formed.items() if share > 0.05} == kinds
    assert max(formed.values()) <= 1


@pytest.mark.parametrize("kinds", [(), ("frown",), ("forehead",), ("nose",)])
def test_only_what_is_asked_for_is_formed(points: Float64, kinds: tuple[Crease, ...]) -> None:
    for motion in ({"up": 0.1, "sides_up": 0.1}, {"together": 0.1, "up": -0.1, "nose": 0.03}):
        formed = asdict(creases_of(points, moved(points, **motion), kinds))
        forehead = formed.pop("middle") + formed.pop("sides")
        found = {kind for kind, share in {**formed, "forehead": forehead}.items() if share}
        assert found <= set(kinds)


@pytest.mark.parametrize("motion", [{"together": 0.1}, {"up": -0.12, "sides_up": -0.1}, {"up": 0.1, "sides_up": 0.1}])
def test_brows_that_come_back_form_nothing(points: Float64, motion: dict[str, float]) -> None:
    """What relaxes is moved as well, the other way: a frown's end is no raised brow, and the reverse."""
    assert not creases_of(moved(points, **motion), points).are_seen


def test_wide_set_brows_frown_where_a_frown_is_asked_for(points: Float64) -> None:
    wide = moved(points, together=-0.1)
    after = moved(points, together=-0.03)
    assert creases_of(wide, after, ["frown"]).frown == 1.0
    assert creases_of(wide, after).frown < 0.2  # else it is taken for a relaxing face


def test_a_frown_has_two_lines_between_the_brows(skin: Photo, points: Float64, mask: PasteMask) -> None:
    after = frown(points)
    change = darker(skin, with_creases(skin, points, after, mask))
    rows, columns = places(after, [(-0.3, 0.0), (0.3, 0.0), (0.0, 0.0)])
    assert np.abs(change[rows[:2], columns[:2]]).max() < 1  # under the brows
    at_x = change[rows[2] - 6 : rows[2] + 3, columns[2] - 30 : columns[2] + 30].max(axis=0)
    assert at_x.max() > 15
    left, right = np.argmax(at_x[:30]), 30 + np.argmax(at_x[30:])
    assert at_x[left] > at_x[right] > 10 > 5 > at_x[29:31].max()  # one is deeper: no face is its own mirror
    above, below = places(after, [(0.0, 0.28), (0.0, -0.2)])[0]
    assert np.abs(change[:above]).max() < 3
    assert np.abs(change[below:]).max() < 3
    reddest = with_creases(skin, points, after, mask).pixels.reshape(-1, 3)[change.argmax()] / np.array(SKIN)
    assert reddest[0] > reddest[1] + 0.01


def test_raised_brows_line_the_forehead_over_what_is_raised(skin: Photo, points: Float64, mask: PasteMask) -> None:
    for motion, at in (({"up": 0.1}, {0.0}), ({"up": 0.1, "sides_up": 0.1}, {-0.45, 0.0, 0.45})):
        after = moved(points, **motion)
        change = darker(skin, with_creases(skin, points, after, mask))
        for x in (-0.45, 0.0, 0.45):
            rows, columns = places(after, [(x, y) for y in np.linspace(0.1, 0.5, 80)])
            assert bool(change[rows, columns].max() > 5) == (x in at), (x, motion)


def test_a_wrinkled_nose_is_lined_across_its_root(skin: Photo, points: Float64, mask: PasteMask) -> None:
    after = moved(points, up=-0.09, sides_up=-0.05, nose=0.03)
    change = darker(skin, with_creases(skin, points, after, mask, ["nose"]))
    root, left, right = after[27], after[39], after[42]
    near = np.s_[int(root[1] - 6) : int(root[1] + 6), int(root[0] - 2) : int(root[0] + 3)]
    assert change[near].max() > 8
    assert np.abs(change[:, : int(left[0] - 2)]).max() < 1
    assert np.abs(change[:, int(right[0] + 3) :]).max() < 1


def test_a_line_grows_with_what_forms_it(skin: Photo, points: Float64, mask: PasteMask) -> None:
    depths = [darker(skin, with_creases(skin, points, frown(points, share), mask)).max() for share in (0.5, 0.75, 1.0)]
    assert 0 < depths[0] < depths[1] < depths[2]


def test_what_the_mask_hides_stays(skin: Photo, points: Float64, mask: PasteMask) -> None:
    weights = mask.weights.copy()
    middle = int(points[27, 0]) - mask.left
    weights[:, middle:] = 0  # right through the creases
    half = PasteMask(mask.top, mask.left, weights)
    change = darker(skin, with_creases(skin, points, frown(points), half))
    assert change.max() > 10
    assert not change[:, middle + mask.left :].any()


def test_other_edits_keep_the_photo(skin: Photo, points: Float64, mask: PasteMask) -> None:
    opened = points.copy()
    opened[MOUTH] += [0, 20]
    for after in (points, opened, moved(points, together=0.01), np.add(points, [9, 4])):
        assert with_creases(skin, points, after, mask, KINDS) is skin
    assert with_creases(skin, points, frown(points), mask, ()) is skin
    empty = PasteMask(0, 0, np.zeros((0, 0), np.float32))
    assert with_creases(skin, points, frown(points), empty) is skin
    away = PasteMask(0, 0, np.ones((4, 4), np.float32))
    assert with_creases(skin, points, frown(points), away) is skin


def test_small_faces_fade_into_none(skin: Photo, points: Float64) -> None:
    """From 24 px between the eyes down to 16: a step would show where a film zooms."""
    whole = PasteMask(0, 0, np.ones(skin.pixels.shape[:2], np.float32))
    unit = float(np.linalg.norm(between_eyes(points)))
    depths = []
    for px in (15.0, 18.0, 21.0, 26.0):
        small = points * px / unit
        depths.append(darker(skin, with_creases(skin, small, frown(small), whole)).max())
    assert depths[0] == 0 < depths[1] < depths[2] < depths[3]


@pytest.mark.parametrize(
    ("name", "hair"),
    [("dark", 40), ("not much darker", 78), ("as light, but gray", 147), ("white light", 255), ("rough", None)],
)
def test_hair_and_white_light_are_not_creased(
    skin: Photo, points: Float64, mask: PasteMask, name: str, hair: int | None
) -> None:
    """A fringe down to the brows: no line of the forehead is drawn over it."""
    after = moved(points, up=0.1, sides_up=0.1)
    plain = darker(skin, with_creases(skin, points, after, mask))
    pixels = skin.pixels.copy()
    rows = np.s_[: int(after[[21, 22], 1].min())]
    strands = np.random.default_rng(0).normal(0, 25, pixels.shape[:2])[..., None]
    pixels[rows] = hair if hair is not None else np.clip(pixels + strands, 0, 255)[rows]
    fringe = replace(skin, pixels=pixels)
    change = darker(fringe, with_creases(fringe, points, after, mask))
    assert np.abs(change).max() < 0.15 * plain.max(), name


def test_a_line_that_lies_on_a_frame_is_left_out(skin: Photo, points: Float64, mask: PasteMask) -> None:
    """The bridge of dark glasses, over most of a frown: no stub of it stands above."""
    after = frown(points)
    (row,), (column,) = places(after, [(0.0, 0.0)])
    pixels = skin.pixels.copy()
    pixels[row - 3 : row + 8, column - 25 : column + 25] = 20
    framed = replace(skin, pixels=pixels)
    assert np.abs(darker(framed, with_creases(framed, points, after, mask))).max() < 4


def test_light_skin_stays_within_levels(skin: Photo, points: Float64, mask: PasteMask) -> None:
    """Ridges are lighter than the skin: what is nearly white does not turn black."""
    light = replace(skin, pixels=np.full_like(skin.pixels, (254, 225, 190)))
    change = darker(light, with_creases(light, points, frown(points), mask))
    assert -30 < change.min() < 0 < change.max() < 80


def test_a_dark_photo_is_creased_alike(skin: Photo, points: Float64, mask: PasteMask) -> None:
    """At a fifth of the light, beside dark hair: a fifth of the change."""
    after = moved(points, up=0.1, sides_up=0.1)
    pixels = skin.pixels.copy()
    pixels[:, : int(points[18, 0])] = 40
    changes = []
    for gain in (1.0, 0.2):
        lit = replace(skin, pixels=np.rint(gain * pixels).astype(np.uint8))
        changes.append(darker(lit, with_creases(lit, points, after, mask)) / gain)
    assert changes[0].max() > 8
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
