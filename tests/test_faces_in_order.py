"""Where landmarks may go: no further than people's do."""

from __future__ import annotations

import numpy as np
import pytest

from emorph.core.landmarks import (
    BROWS,
    CHIN,
    INNER_BROWS_TO_EYES,
    LIDS,
    LIP_GAPS,
    LIP_SIDES,
    LIP_SPREADS,
    LOWER_LIP,
    MOUTH,
    NOSE_RIDGE,
    NOSE_SIDES,
    NOSE_WINGS,
)
from emorph.core.types import AlignedFace
from emorph.faces import in_order
from emorph.faces.bounds import (
    HIGHEST_BROW,
    LEAST_FROWN,
    LEAST_SPREAD,
    MOST_DROP,
    MOST_RIDGE,
    MOST_RISE,
    MOST_WING,
    NARROWEST,
    SPACINGS,
    THICKEST,
    WIDEST_EYE,
    WIDEST_MOUTH,
    WINGS,
    with_chin_in_crop,
    with_own_nose,
)

SIDE = 64


def downwards(points: np.ndarray) -> np.ndarray:
    """The unit vector (2,) from the eyes to the mouth."""
    down: np.ndarray = points[[48, 54]].mean(axis=0) - points[36:48].mean(axis=0)
    return down / np.linalg.norm(down)


def test_lids_and_lips_never_cross(face: AlignedFace) -> None:
    before = face.crop_points()
    down = downwards(before)
    after = before.copy()
    after[[37, 38, 43, 44, 61, 62, 63]] += 9 * down  # upper lids and the upper lip's inside far below the lower ones
    assert ((after[[41, 40, 47, 46]] - after[[37, 38, 43, 44]]) @ down < 0).all()
    found = in_order(before, after)
    for pair in SPACINGS[:4]:
        own = (before[pair.lower] - before[pair.upper]) @ down
        assert (found[pair.lower] - found[pair.upper]) @ down >= pair.share * own - 1e-6
    np.testing.assert_array_equal(in_order(before, before + 4), before + 4)


def test_lips_that_are_read_as_touching_or_crossed_cross_no_further(face: AlignedFace) -> None:
    down = downwards(face.crop_points())
    for read in (0.0, -0.5):
        before = face.crop_points()
        for upper, lower in LIP_GAPS:
            before[lower] += (read - (before[lower] - before[upper]) @ down) * down
        after = before.copy()
        lower_lip = [*range(55, 60), 65, 66, 67]
        after[lower_lip] -= 6 * down  # contempt raises lower lips more than upper ones
        found = in_order(before, after)
        apart = [(found[lower] - found[upper]) @ down for upper, lower in LIP_GAPS]
        np.testing.assert_allclose(apart, read, atol=1e-6)
        after[lower_lip] += 16 * down
        found = in_order(before, after)
        assert min((found[lower] - found[upper]) @ down for upper, lower in LIP_GAPS) > 5  # and open as they are asked


def test_a_mouth_that_closes_does_not_turn_its_lips_over(face: AlignedFace) -> None:
    before = face.crop_points()
    down = downwards(before)
    for upper, lower in LIP_SIDES:
        own = (before[lower] - before[upper]) @ down
        after = before.copy()
        after[lower] -= 1.2 * own * down
        found = in_order(before, after)
        assert (found[lower] - found[upper]) @ down >= 0.3 * own - 1e-6


def test_eyes_open_no_wider_than_people_open_them(face: AlignedFace) -> None:
    before = face.crop_points()
    down = downwards(before)
    for upper, lower in LIDS:
        own = (before[lower] - before[upper]) @ down
        for share in (0.2, 0.9):
            after = before.copy()
            after[upper] -= share * own * down
            found = in_order(before, after)
            assert (found[lower] - found[upper]) @ down / own == pytest.approx(min(1 + share, WIDEST_EYE), abs=1e-6)


def test_corners_of_a_mouth_hang_no_lower_than_peoples(face: AlignedFace) -> None:
    before = face.crop_points()
    down, unit = downwards(before), np.linalg.norm(before[42:48].mean(axis=0) - before[36:42].mean(axis=0))
    line = before[[62, 66]].mean(axis=0)
    for share in (0.05, 0.3):
        after = before.copy()
        after[[48, 54, 60, 64]] += (line + share * unit * down - before[[48, 54, 60, 64]]) @ down[:, None] * down
        found = in_order(before, after)
        drops = (found[[48, 54]] - found[[62, 66]].mean(axis=0)) @ down / unit
        np.testing.assert_allclose(drops, min(share, MOST_DROP), atol=1e-6)


def test_a_mouth_purses_and_widens_no_further_than_peoples(face: AlignedFace) -> None:
    before = face.crop_points()
    across = before[42:48].mean(axis=0) - before[36:42].mean(axis=0)
    across /= np.linalg.norm(across)
    for share in (0.9, 0.5, 1.2, 1.5):
        after = before.copy()
        reach = (before[MOUTH] - before[[62, 66]].mean(axis=0)) @ across
        after[MOUTH] += ((share - 1) * reach)[:, None] * across
        found = in_order(before, after)
        own, now = ((each[54] - each[48]) @ across for each in (before, found))
        assert now / own == pytest.approx(np.clip(share, NARROWEST, WIDEST_MOUTH), abs=0.01)


def test_inner_lips_do_not_run_into_a_point(face: AlignedFace) -> None:
    before = face.crop_points()
    across = before[42:48].mean(axis=0) - before[36:42].mean(axis=0)
    across /= np.linalg.norm(across)
    after = before.copy()
    after[[61, 63]], after[[67, 65]] = before[62], before[66]
    found = in_order(before, after)
    for left, right in LIP_SPREADS:
        own, now = ((each[right] - each[left]) @ across for each in (before, found))
        assert now >= 0.95 * LEAST_SPREAD * own  # the face's vertical and its eyes are not quite at right angles


def test_a_frown_pulls_no_brow_into_the_nose(face: AlignedFace) -> None:
    before = face.crop_points()
    down = downwards(before)
    for upper, lower in INNER_BROWS_TO_EYES:
        own = (before[lower] - before[upper]) @ down
        for share in (0.2, 0.5):
            after = before.copy()
            after[BROWS] += share * own * down
            found = in_order(before, after)
            left = (found[lower] - found[upper]) @ down / own
            assert left == pytest.approx(max(1 - share, LEAST_FROWN), abs=1e-6)


def test_a_mouth_that_opens_parts_its_lips_and_does_not_swell_them(face: AlignedFace) -> None:
    before = face.crop_points()
    down = downwards(before)
    after = before.copy()
    after[55:60] += 0.2 * SIDE * down  # the lower lip's lower edge alone
    found = in_order(before, after)
    for upper, lower in LOWER_LIP:
        own, now = ((each[lower] - each[upper]) @ down for each in (before, found))
        assert own < now <= THICKEST * own + 1e-6
        np.testing.assert_allclose(found[lower], after[lower])  # its lower edge is where it was asked for


def test_a_nose_keeps_its_length_and_about_its_width(face: AlignedFace) -> None:
    before = face.crop_points()
    unit = np.linalg.norm(before[42:48].mean(axis=0) - before[36:42].mean(axis=0))
    across = (before[42:48].mean(axis=0) - before[36:42].mean(axis=0)) / unit
    down = np.array([-across[1], across[0]])
    for up in (0.1, -0.1, 0.01):
        after = before.copy()
        after[NOSE_RIDGE] += up * unit * down  # as where a brow that frowns takes the root of the nose along
        after[NOSE_WINGS] += up * unit * down
        middle = after[NOSE_WINGS].mean(axis=0)
        after[NOSE_WINGS] = middle + (1 + 3 * up) * (after[NOSE_WINGS] - middle)
        found = with_own_nose(before, after)
        went = (found - before) @ down / unit
        np.testing.assert_allclose(went[NOSE_RIDGE], np.clip(up, -MOST_RIDGE, MOST_RIDGE), atol=1e-6)
        assert np.abs(went[NOSE_WINGS]).max() <= MOST_WING + 1e-6
        own, now = ((points[NOSE_SIDES[1]] - points[NOSE_SIDES[0]]) @ across for points in (before, found))
        assert now / own == pytest.approx(np.clip(1 + 3 * up, *WINGS), abs=1e-6)


def test_a_nose_goes_with_its_head(face: AlignedFace) -> None:
    before = face.crop_points()
    np.testing.assert_allclose(with_own_nose(before, before + 4), before + 4, atol=1e-9)


def test_brows_rise_no_higher_than_peoples_and_as_a_whole(face: AlignedFace) -> None:
    before = face.crop_points()
    down = downwards(before)
    raised = before.copy()
    raised[17:22] -= 0.4 * SIDE * down
    held = in_order(before, raised)
    for brow, lid in ((19, 37), (20, 38)):
        assert (held[lid] - held[brow]) @ down < (HIGHEST_BROW + 0.1) * ((before[lid] - before[brow]) @ down)
    steps = held[17:21] - raised[17:21]
    np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape), atol=1e-9)
    np.testing.assert_allclose(held[22:27], before[22:27], atol=1e-9)


def test_a_chin_at_the_edge_of_its_crop_stays(face: AlignedFace) -> None:
    """It would be seen twice: what is below the crop does not move."""
    before = face.crop_points()
    before[CHIN, 1] += SIDE - 1 - before[CHIN, 1].max()
    after = before.copy()
    after[CHIN] -= [0, 9]
    held = with_chin_in_crop(before, after, SIDE)
    room = SIDE - 1 - before[CHIN, 1]
    np.testing.assert_allclose((before - held)[CHIN, 1], np.minimum(9, MOST_RISE * room))
    assert held[8, 1] == before[8, 1]
    others = np.delete(np.arange(68), np.arange(68)[CHIN])
    np.testing.assert_array_equal(held[others], after[others])


def test_a_chin_with_room_below_it_moves_as_it_should(face: AlignedFace) -> None:
    before = face.crop_points()
    before[CHIN, 1] += SIDE - 21 - before[CHIN, 1].max()
    for rise in (-15, 9):
        after = before.copy()
        after[CHIN, 1] -= rise
        np.testing.assert_array_equal(with_chin_in_crop(before, after, SIDE), after)
