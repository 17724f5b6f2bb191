"""The groups of the 68 points, held against a real face."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from emorph.core import landmarks as groups
from emorph.core.types import Float32, Landmarks


@pytest.fixture
def points(landmarks: Landmarks) -> Float32:
    """(68, 2) (x, y) of the example photo's face, which looks ahead and stands upright."""
    return landmarks.points


def middle(points: Float32, group: slice | tuple[int, ...]) -> Float32:
    chosen = points[list(group) if isinstance(group, tuple) else group]
    mean: Float32 = chosen.mean(axis=0)
    return mean


def test_parts_lie_as_in_a_face(points: Float32) -> None:
    heights = [middle(points, group)[1] for group in (groups.BROWS, groups.EYES, groups.NOSE_RIDGE, groups.MOUTH)]
    assert heights == sorted(heights)
    assert middle(points, groups.LEFT_EYE)[0] < points[groups.NOSE_TIP, 0] < middle(points, groups.RIGHT_EYE)[0]
    assert points[:, 0].argmin() in range(*groups.JAW.indices(groups.N_LANDMARKS))
    assert points[:, 1].argmax() in range(*groups.LOWER_JAW.indices(groups.N_LANDMARKS))
    assert middle(points, groups.UNDER_LIP)[1] == max(middle(points, slice(i, i + 5))[1] for i in range(48, 64))


def test_corners_are_the_outermost_points_of_their_part(points: Float32) -> None:
    for corners, part in (
        (groups.OUTER_EYE_CORNERS, groups.EYES),
        (groups.MOUTH_CORNERS, groups.MOUTH),
        (groups.INNER_MOUTH_CORNERS, groups.INNER_LIPS),
    ):
        x = points[part, 0]
        assert corners == (part.start + int(x.argmin()), part.start + int(x.argmax()))


def test_the_inner_outlines_run_from_corner_to_corner(points: Float32) -> None:
    upper, lower = (points[list(line)] for line in (groups.INNER_UPPER_LIP, groups.INNER_LOWER_LIP))
    for line in (upper, lower):
        assert (np.diff(line[:, 0]) > 0).all()
    assert (lower[1:-1, 1] > upper[1:-1, 1]).all()  # he smiles with an open mouth
    assert np.array_equal(lower[[0, -1]], upper[[0, -1]])


@pytest.mark.parametrize("name", ["LIDS", "LIP_GAPS", "UPPER_LIP", "LOWER_LIP", "BROWS_TO_LIDS"])
def test_pairs_lie_above_one_another(name: str, points: Float32) -> None:
    for upper, lower in getattr(groups, name):
        across, down = points[lower] - points[upper]
        assert down > 0, (upper, lower)
        assert abs(across) < 0.1 * np.linalg.norm(middle(points, groups.RIGHT_EYE) - middle(points, groups.LEFT_EYE))


def test_a_mirrored_face_is_a_face(points: Float32) -> None:
    mirror = list(groups.MIRRORED)
    assert [mirror[i] for i in mirror] == list(range(groups.N_LANDMARKS))
    assert set(mirror[groups.LEFT_EYE]) == set(range(42, 48))
    mirrored = (points * [-1, 1])[mirror]
    for line in (mirrored[groups.JAW], mirrored[groups.BROWS], mirrored[list(groups.INNER_UPPER_LIP)]):
        assert (np.diff(line[:, 0]) > 0).all()


def test_what_moves_and_what_stays_do_not_meet() -> None:
    assert not set(groups.STABLE) & set(groups.EXPRESSIVE)
    assert {groups.MIRRORED[i] for i in groups.STABLE} == set(groups.STABLE)
    assert {groups.MIRRORED[i] for i in groups.EXPRESSIVE} == set(groups.EXPRESSIVE)


def test_no_other_module_states_a_group_again() -> None:
    own = Path(groups.__file__)
    stated = re.compile(rf"^({'|'.join(name for name in vars(groups) if name.isupper())}) = (?:slice)?\(", re.MULTILINE)
    assert len(stated.findall(own.read_text(encoding="utf-8"))) > 30
    others = [path for path in own.parents[1].rglob("*.py") if path != own]
    assert [path.name for path in others if stated.search(path.read_text(encoding="utf-8"))] == []
