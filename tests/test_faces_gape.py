"""Mouths open as far as people's do, and as is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from emorph.core.landmarks import LOWER_JAW, LOWER_LIP_POINTS, UPPER_LIP_POINTS
from emorph.faces.gape import FREE, SLACK, WIDEST, AskedGape, held_gape
from emorph.faces.slits import lips_apart

EYES_PX = 100.0


def face(gap: float) -> np.ndarray:
    """Landmarks (68, 2) of a made upright face whose lips are ``gap`` distances between the eyes apart."""
    points = np.zeros((68, 2))
    points[LOWER_JAW, 1] = 180
    points[17:36, 0] = np.linspace(-60, 60, 19)
    points[36:42], points[42:48] = [-EYES_PX / 2, 0], [EYES_PX / 2, 0]
    points[48:68, 1] = 100
    points[[48, 60], 0], points[[54, 64], 0] = -30, 30
    points[[61, 62, 63], 0] = points[[67, 66, 65], 0] = -10, 0, 10
    points[list(UPPER_LIP_POINTS), 1] -= gap * EYES_PX / 2
    points[list(LOWER_LIP_POINTS), 1] += gap * EYES_PX / 2
    return points


def opened(points: np.ndarray, by: float) -> np.ndarray:
    """The lower lip and the jaw lower by so many distances between the eyes."""
    moved = points.copy()
    moved[list(LOWER_LIP_POINTS), 1] += by * EYES_PX
    moved[LOWER_JAW, 1] += by * EYES_PX
    return moved


def test_mouths_open_no_wider_than_people_s_and_wider_ones_may_stay() -> None:
    before = face(0.02)
    gaps = [lips_apart(held_gape(before, opened(before, by))) for by in (0.1, 0.15, 0.25, 0.4, 2.0)]
    np.testing.assert_allclose(gaps[:2], [0.12, 0.17])  # as they are
    assert FREE < gaps[2] < gaps[3] < gaps[4] <= WIDEST + 1e-9  # more of a strength is more to be seen
    screaming = face(0.5)
    np.testing.assert_array_equal(held_gape(screaming, screaming), screaming)
    assert lips_apart(held_gape(screaming, opened(screaming, 0.3))) < 0.5 + WIDEST - FREE
    closing = face(0.1)
    np.testing.assert_array_equal(held_gape(screaming, closing), closing)


def test_what_is_asked_for_bounds_the_gap_on_the_way_to_it() -> None:
    before, wide = face(0.0), opened(face(0.0), 0.4)
    asked = AskedGape(1.0, 0.12)
    assert asked.from_own(0.5) == pytest.approx(0.12)
    assert AskedGape(0.5, 0.06).from_own(0.5) == pytest.approx(0.31)
    assert 0.12 < lips_apart(held_gape(before, wide, asked)) < 0.12 + SLACK
    assert lips_apart(held_gape(before, wide, AskedGape(2.0, 2 * 0.3))) <= WIDEST
    np.testing.assert_array_equal(  # away from an emotion is no gap to be met
        held_gape(before, wide, AskedGape(-1.0, -0.12)), held_gape(before, wide)
    )


def test_lips_that_should_touch_are_brought_together_from_both_sides() -> None:
    """A smile that is left 0.05 open although it is to be neutral shows a line of teeth."""
    before, left_open = face(0.2), face(0.05)
    shut = held_gape(before, left_open, AskedGape(1.0, 0.01))
    assert lips_apart(shut) < 0.02
    assert shut[62, 1] > left_open[62, 1]
    assert shut[66, 1] < left_open[66, 1]
    uneven = face(0.01)
    uneven[66, 1] += 3  # in the middle alone
    held = held_gape(before, uneven, AskedGape(1.0, 0.01))
    assert held[66, 1] - held[62, 1] < 0.02 * EYES_PX
    apart = (held[[67, 66, 65]] - held[[61, 62, 63]])[:, 1]
    assert (apart >= -1e-9).all()


def test_the_chin_keeps_its_share_of_the_lips_way() -> None:
    before = face(0.0)
    moved = opened(before, 0.4)
    moved[LOWER_JAW, 1] -= 0.2 * EYES_PX  # it fell half as far as the lip
    held = held_gape(before, moved, AskedGape(1.0, 0.1))
    fell = (held - before)[:, 1]
    np.testing.assert_allclose(fell[8] / fell[66], 0.5)
    np.testing.assert_array_equal(held[17:48], moved[17:48])
