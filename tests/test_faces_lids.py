"""Eyes close with their own lids, and nothing of them shines through."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from emorph.core.types import AlignedFace, Float64, Landmarks, Photo, Target
from emorph.edit import latent
from emorph.edit.pipeline import Editor
from emorph.faces import align, face_mask, motion_between
from emorph.faces.lids import held_lids, without_glints
from emorph.faces.slits import EYE_SLITS, with_lashes

SIDE = 128
LEFT, RIGHT = EYE_SLITS


@pytest.fixture
def face(photo: Photo, landmarks: Landmarks) -> AlignedFace:
    return align(photo, landmarks, SIDE)


def test_each_eye_is_left_as_open_as_asked_and_the_upper_lid_comes_down(face: AlignedFace) -> None:
    points = face.crop_points()
    held = held_lids(points, points, (0.0, 0.5))
    assert LEFT.opening(held) == pytest.approx(0, abs=0.05)
    assert RIGHT.opening(held) == pytest.approx(RIGHT.opening(points) / 2, rel=0.05)
    fell, rose = held[37, 1] - points[37, 1], points[41, 1] - held[41, 1]
    assert fell > 5 * rose > 0
    others = [n for n in range(68) if n not in (*LEFT.upper, *LEFT.lower, *RIGHT.upper, *RIGHT.lower)]
    np.testing.assert_array_equal(held[others], points[others])
    np.testing.assert_array_equal(held_lids(points, points, (1.0, 1.0)), points)
    np.testing.assert_allclose(held_lids(points, held, (0.4, 0.6)), held)  # closed further already


def test_a_closing_lid_covers_the_eye_and_the_brow_stays(face: AlignedFace) -> None:
    """Above the line the skin above the eye is seen, below it the skin below; the smooth field draws brows down."""
    points = face.crop_points()
    shut = held_lids(points, points, (0.0, 0.0))
    motion = motion_between(points, shut, SIDE)
    wide = with_lashes(points, shut)
    for slit in EYE_SLITS:
        assert slit.parted(points, shut) == 1
        assert slit.parted(shut, points) == 0  # an eye that opens is one piece
        middle = np.mean([(shut[upper] + shut[lower]) / 2 for upper, lower in slit.gaps], axis=0)
        x = int(np.rint(middle[0]))
        edge_above, edge_below = (wide[list(side), 1].mean() for side in (slit.upper, slit.lower))
        for y, of_above in ((int(middle[1]) - 2, True), (int(np.ceil(middle[1])) + 2, False)):
            source = y + motion[y, x, 1]
            assert source < edge_above + 0.75 if of_above else source > edge_below - 0.75
    brow = np.rint(points[24]).astype(int)
    assert abs(motion[brow[1], brow[0], 1]) < 0.8


def test_light_between_closed_lids_goes_and_lashes_stay(photo: Photo, landmarks: Landmarks, face: AlignedFace) -> None:
    points: Float64 = landmarks.points.astype(np.float64)
    shut = held_lids(points, points, (0.0, 1.0))
    skin = np.full_like(photo.pixels, 150)
    line = np.rint([shut[36], (shut[37] + shut[41]) / 2, (shut[38] + shut[40]) / 2, shut[39]]).astype(np.int32)
    cv2.polylines(skin, [line + np.array([0, 2], np.int32)], False, (60, 50, 40), 2)  # lashes
    cv2.polylines(skin, [line], False, (240, 240, 240), 1)
    marked, mask = replace(photo, pixels=skin), face_mask(face, photo.pixels.shape)
    found = without_glints(marked, points, shut, mask).pixels
    middle = line[1]
    assert skin[middle[1], middle[0], 0] == 240
    assert found[middle[1], middle[0], 0] < 170
    assert found[middle[1] + 2, middle[0], 0] < 90
    changed = np.argwhere((found != skin).any(axis=2))
    assert changed[:, 1].max() < points[42, 0]  # the other eye is left alone
    assert without_glints(marked, points, points, mask) is marked


def test_units_shut_the_side_that_they_name() -> None:
    """AU46_L winks the person's left eye, which is the right one in the picture."""
    known = Editor.from_pretrained("emorph-base").known_directions()
    assert latent.lids(known, [Target(units=[("AU43", 1.0)])]) == (0, 0)
    assert latent.lids(known, [Target(units=[("AU46_L", 1.0)], strength=0.5)]) == (1, 0.5)
    assert latent.lids(known, [Target({"happy": 1.0, "AU43": 0.25}), Target({"sad": 0.5})]) == (0.75, 0.75)
    assert latent.lids(known, [Target({"happy": 1.0})]) == (1, 1)


def test_a_wink_closes_one_eye_in_the_photo(photo: Photo, landmarks: Landmarks) -> None:
    editor = Editor.from_pretrained("emorph-base")
    faces = editor.align(photo, [landmarks])
    ((change,),) = editor.changes(faces, [Target(units=[("AU46_L", 1.0)])])
    assert change.landmarks is not None
    own = faces[0].crop_points()
    assert RIGHT.opening(change.landmarks) < 0.1 * RIGHT.opening(own)
    assert LEFT.opening(change.landmarks) > 0.7 * LEFT.opening(own)
