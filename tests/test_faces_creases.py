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
    [
        ("dark", (72, 56, 48)),
        ("as light, but gray", (151, 147, 142)),
        ("white light", (255, 253, 250)),
        ("rough", None),
    ],
)
def test_hair_and_white_light_are_not_creased(
    skin: Photo, points: Float64, mask: PasteMask, name: str, hair: tuple[int, int, int] | None
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
    """The bridge of dark glasses, over half of a frown: no stub of it stands above."""
    after = frown(points)
    plain = darker(skin, with_creases(skin, points, after, mask))
    (row,), (column,) = places(after, [(0.0, 0.0)])
    pixels = skin.pixels.copy()
    pixels[row - 2 : row + 8, column - 25 : column + 25] = (36, 28, 24)
    framed = replace(skin, pixels=pixels)
    change = darker(framed, with_creases(framed, points, after, mask))
    assert plain[: row - 3].max() > 10
    assert np.abs(change).max() < 4


def test_white_skin_is_creased_less_and_stays_within_levels(skin: Photo, points: Float64, mask: PasteMask) -> None:
    """Light that burnt out shows no line; and ridges, which are lighter than skin, do not turn black."""
    depths = []
    for colour in (SKIN, (255, 245, 215)):
        lit = replace(skin, pixels=np.full_like(skin.pixels, colour))
        change = darker(lit, with_creases(lit, points, frown(points), mask))
        assert -30 < change.min() < 0
        depths.append(change.max() / np.mean(colour))
    assert 0 < depths[1] < 0.5 * depths[0]


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


# -- where lines lie, on a face whose eyes are 150 px apart


@pytest.fixture(scope="module")
def large(points: Float64) -> tuple[Photo, Float64, PasteMask]:
    scale = 150 / float(np.linalg.norm(between_eyes(points)))
    grown = scale * (points - points.min(axis=0)) + 150
    side = int(grown.max()) + 100
    return (
        Photo(np.full((side, side, 3), SKIN, np.uint8)),
        grown,
        PasteMask(0, 0, np.ones((side, side), np.float32)),
    )


def row_of(change: Float64, after: Float64, x: float, heights: tuple[float, float]) -> float:
    """How high the deepest pixel lies at x, between two heights, all in eye distances from between the brows."""
    steps = np.linspace(*heights, 200)
    rows, columns = places(after, [(x, y) for y in steps])
    return float(steps[np.argmax(change[rows, columns])])


def test_lines_of_the_forehead_hang_and_reach_over_the_brows(large: tuple[Photo, Float64, PasteMask]) -> None:
    photo, points, mask = large
    after = moved(points, up=0.1, sides_up=0.1)
    change = darker(photo, with_creases(photo, points, after, mask))
    ends, middle = [row_of(change, after, x, (0.1, 0.24)) for x in (-0.4, 0.4)], row_of(change, after, 0.0, (0.1, 0.24))
    assert max(ends) - min(ends) < 0.03
    assert 0.01 < np.mean(ends) - middle < 0.1
    between = row_of(change, after, 0.2, (0.1, 0.24))
    assert middle - 0.01 < between < np.mean(ends) + 0.01  # it waves a little, and no more
    for x in (-0.6, 0.6):
        rows, columns = places(after, [(x, y) for y in np.linspace(0.1, 0.5, 200)])
        assert change[rows, columns].max() > 2


def test_the_side_that_is_turned_away_has_no_lines(large: tuple[Photo, Float64, PasteMask]) -> None:
    photo, points, mask = large
    turned = points.copy()
    middle = points[[21, 22], 0].mean()
    turned[17:22, 0] = middle + 0.2 * (points[17:22, 0] - middle)
    after = moved(turned, up=0.1, sides_up=0.1)
    change = darker(photo, with_creases(photo, turned, after, mask, ["forehead"]))
    rows, _ = places(after, [(0.0, 0.5), (0.0, 0.1)])
    between = after[[21, 22], 0].mean()
    left, right = (
        change[rows[0] : rows[1], columns].max() for columns in (np.s_[: int(between - 12)], np.s_[int(between + 12) :])
    )
    assert left < 3 < 10 < right


def test_a_frown_opens_upwards_and_a_nose_arches(large: tuple[Photo, Float64, PasteMask]) -> None:
    photo, points, mask = large
    after = frown(points)
    change = darker(photo, with_creases(photo, points, after, mask, ["frown"]))
    (top, low), (_, column) = places(after, [(0.0, 0.1), (0.0, -0.04)])
    apart = [column + np.argmax(change[row, column:]) - np.argmax(change[row, :column]) for row in (top, low)]
    assert apart[0] > apart[1] + 2
    after = moved(points, up=-0.09, sides_up=-0.05, nose=0.03)
    change = darker(photo, with_creases(photo, points, after, mask, ["nose"]))
    root = float(places(after, [(0.0, 0.0)])[0][0] - after[27, 1]) / 150
    heights = [row_of(change, after, x, (root - 0.08, root + 0.02)) for x in (-0.08, 0.0, 0.08)]
    assert heights[1] > max(heights[0], heights[2])


def test_a_nose_wrinkles_where_brows_end_up_low(points: Float64) -> None:
    """Unless a wrinkled nose is asked for: brows that come down from surprise are no disgust."""
    raised = moved(points, up=0.12, sides_up=0.12)
    after = moved(points, up=0.02, sides_up=0.02, nose=0.03)
    assert creases_of(raised, after).nose == 0
    assert creases_of(raised, after, ["nose"]).nose > 0.5
