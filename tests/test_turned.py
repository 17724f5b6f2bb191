"""A head in three-quarter view: the far side of the mouth moves less across, and stays inside the face's outline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from emorph.core.landmarks import MIRRORED, MOUTH, MOUTH_CORNERS
from emorph.core.types import AlignedFace, Landmarks, Photo
from emorph.edit.redraw import motions, taken_codes
from emorph.faces import align
from emorph.faces.turned import (
    CHEEK,
    FRONTAL,
    LEAST,
    LEAST_TAKEN,
    PROFILE,
    expressed,
    foreshortened,
    shown_shares,
    taken_share,
)

SIDE = 64
NARROWER = 0.5  # the far half of the face, in the picture


@pytest.fixture
def frontal(photo: Photo, landmarks: Landmarks) -> np.ndarray:
    """A face (68, 2) that is its own mirror image, upright."""
    points = align(photo, landmarks, SIDE).crop_points()
    mirrored = points[list(MIRRORED)] * [-1, 1] + [SIDE - 1, 0]
    return (points + mirrored) / 2


def turned(points: np.ndarray, narrower: float = NARROWER) -> np.ndarray:
    """A face whose left half is the far one."""
    middle = (SIDE - 1) / 2
    away = points[:, 0] - middle
    return np.stack([middle + np.where(away < 0, narrower, 1) * away, points[:, 1]], axis=1)


def smiling(points: np.ndarray, wider: float) -> np.ndarray:
    """The mouth wider by a share of its width on each side, and higher."""
    left, right = points[list(MOUTH_CORNERS), 0]
    after = points.copy()
    after[MOUTH] += np.stack([np.sign(after[MOUTH, 0] - points[51, 0]), -np.ones(20)], axis=1) * wider * (right - left)
    return after


def test_a_frontal_face_moves_as_it_was_told(frontal: np.ndarray) -> None:
    assert shown_shares(frontal) == (1, 1)
    after = smiling(frontal, 0.2)
    np.testing.assert_array_equal(foreshortened(frontal, after), after)


def test_the_far_corner_moves_less_across_and_as_far_up(frontal: np.ndarray) -> None:
    before = turned(frontal)
    share = NARROWER / FRONTAL
    assert shown_shares(before) == pytest.approx((share, 1))
    after = smiling(before, 0.05)
    found = foreshortened(before, after)
    far, near = MOUTH_CORNERS
    assert found[far, 0] - before[far, 0] == pytest.approx(share * (after[far, 0] - before[far, 0]))
    np.testing.assert_allclose(found[near], after[near])
    np.testing.assert_allclose(found[:, 1], after[:, 1])
    np.testing.assert_array_equal(found[: MOUTH.start], after[: MOUTH.start])


def test_a_mirrored_head_moves_as_its_mirror_image(frontal: np.ndarray) -> None:
    def mirror(points: np.ndarray) -> np.ndarray:
        return points[list(MIRRORED)] * [-1, 1] + [SIDE - 1, 0]

    before = turned(frontal)
    after = smiling(before, 0.3)
    np.testing.assert_allclose(foreshortened(mirror(before), mirror(after)), mirror(foreshortened(before, after)))


def test_the_far_corner_keeps_off_the_outline(frontal: np.ndarray) -> None:
    before = turned(frontal)
    far = MOUTH_CORNERS[0]
    edge = np.interp(before[far, 1], before[1:8, 1], before[1:8, 0])  # of the face, beside the corner
    found = foreshortened(before, smiling(before, 2.0))
    share = shown_shares(before)[0]
    kept = CHEEK * (1 - share) / (1 - LEAST)
    assert found[far, 0] - edge >= kept * (before[far, 0] - edge) - 1e-9
    assert (np.diff(found[48:55, 0]) > 0).all()  # the lips' points keep their order


def test_only_motion_of_frontal_faces_is_foreshortened(face: AlignedFace, frontal: np.ndarray) -> None:
    before = turned(frontal)
    crop = replace(face, landmarks=replace(face.landmarks, points=before), crop_to_photo=np.eye(3))
    steps = torch.from_numpy((smiling(before, 0.1) - before) * 2 / SIDE)[None, None]
    by_code, by_head = (motions([crop], steps, frontal=each).landmarks[0, 0] for each in (True, False))
    moved = [each[MOUTH_CORNERS[0], 0] - before[MOUTH_CORNERS[0], 0] for each in (by_code, by_head)]
    assert moved[0] == pytest.approx(NARROWER / FRONTAL * moved[1], rel=1e-3)


def test_the_further_a_face_is_turned_the_less_of_an_edit_it_takes(frontal: np.ndarray) -> None:
    shares = [taken_share(turned(frontal, share * FRONTAL)) for share in (1, 0.5, LEAST, 0.3, 0.25, PROFILE, 0.1, -0.1)]
    assert shares[:3] == [1, 1, 1]
    assert shares[5:] == pytest.approx([LEAST_TAKEN] * 3)
    assert 1 > shares[3] > shares[4] > LEAST_TAKEN


@pytest.mark.parametrize("narrower", [0.1, NARROWER])
def test_landmarks_go_as_far_as_a_face_takes_its_edit(
    frontal: np.ndarray, narrower: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = turned(frontal, narrower)
    after = smiling(before, 0.1)
    found, share = expressed(before, after), taken_share(before)
    monkeypatch.setattr("emorph.faces.turned.taken_share", lambda points: 1)
    whole = expressed(before, after)
    if share == 1:
        np.testing.assert_array_equal(found, whole)
    np.testing.assert_allclose(found - before, share * (whole - before))


def test_codes_go_as_far_and_those_of_other_faces_all_the_way(frontal: np.ndarray) -> None:
    z, z_to = torch.rand(2, 1, 8), torch.rand(2, 3, 8)
    found = taken_codes(z, z_to, [frontal, turned(frontal, 0.1)])
    assert torch.equal(found[0], z_to[0])
    torch.testing.assert_close(found[1] - z[1], LEAST_TAKEN * (z_to[1] - z[1]))


@pytest.fixture
def face(photo: Photo, landmarks: Landmarks) -> AlignedFace:
    return align(photo, landmarks, SIDE)
