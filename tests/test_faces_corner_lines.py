"""The dark lines at the corners of a closed mouth go where an edit opens it to an O; every other edit leaves them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from emorph.core.landmarks import LOWER_LIP_POINTS, MOUTH, MOUTH_CORNERS
from emorph.core.types import AlignedFace, Float64, Landmarks, Photo
from emorph.faces import face_mask
from emorph.faces.corner_lines import without_corner_lines
from emorph.faces.points import between_eyes

SKIN, LINE = (200, 160, 140), (90, 40, 40)


@pytest.fixture(scope="module")
def closed(landmarks: Landmarks) -> Float64:
    """The example's face with lips that touch."""
    points = landmarks.points.astype(np.float64)
    points[[67, 66, 65]] = points[[61, 62, 63]]
    return points


def to_an_o(points: Float64, width: float = 0.7, gap: float = 0.3) -> Float64:
    """A mouth of a share of its width, its lower lip a share of the eye distance farther down."""
    after = points.copy()
    after[MOUTH, 0] = points[MOUTH, 0].mean() + width * (points[MOUTH, 0] - points[MOUTH, 0].mean())
    after[list(LOWER_LIP_POINTS), 1] += gap * np.linalg.norm(between_eyes(points))
    return after


@pytest.fixture(scope="module")
def lined(photo: Photo, closed: Float64) -> Photo:
    """Plain skin with a lying dark line at each corner of the mouth that the closed one becomes."""
    skin = np.full_like(photo.pixels, SKIN)
    unit = float(np.linalg.norm(between_eyes(closed)))
    for corner in to_an_o(closed)[list(MOUTH_CORNERS)]:
        ends = np.rint(corner + unit * np.array([[-0.09, 0], [0.09, 0]])).astype(int).tolist()
        cv2.line(skin, tuple(ends[0]), tuple(ends[1]), LINE, max(1, round(0.025 * unit)))
    return replace(photo, pixels=skin)


def test_lines_outside_an_o_become_skin(lined: Photo, closed: Float64, face: AlignedFace) -> None:
    mask = face_mask(face, lined.pixels.shape)
    after = to_an_o(closed)
    found = without_corner_lines(lined, closed, after, mask).pixels
    for x, y in np.rint(after[list(MOUTH_CORNERS)]).astype(int):
        assert lined.pixels[y, x].tolist() == list(LINE)
        assert np.abs(found[y, x].astype(int) - SKIN).max() < 20
    outside = np.ones(lined.pixels.shape[:2], bool)
    height, width = mask.weights.shape
    outside[mask.top : mask.top + height, mask.left : mask.left + width] = mask.weights == 0
    np.testing.assert_array_equal(found[outside], lined.pixels[outside])
    brows = np.rint(closed[17:27]).astype(int)
    np.testing.assert_array_equal(found[brows[:, 1], brows[:, 0]], lined.pixels[brows[:, 1], brows[:, 0]])


@pytest.mark.parametrize(("width", "gap"), [(1.1, 0.3), (1.0, 0.3), (0.7, 0.0)])
def test_a_mouth_that_widens_or_stays_shut_keeps_the_photo(
    lined: Photo, closed: Float64, face: AlignedFace, width: float, gap: float
) -> None:
    mask = face_mask(face, lined.pixels.shape)
    assert without_corner_lines(lined, closed, to_an_o(closed, width, gap), mask) is lined


def test_stubble_stays(photo: Photo, closed: Float64, face: AlignedFace) -> None:
    """Dots are no line: what has no length is not filled."""
    pixels = np.full_like(photo.pixels, SKIN)
    rng = np.random.default_rng(0)
    after = to_an_o(closed)
    unit = float(np.linalg.norm(between_eyes(closed)))
    for corner in after[list(MOUTH_CORNERS)]:
        for x, y in np.rint(corner + rng.uniform(-0.1, 0.1, (12, 2)) * unit).astype(int):
            pixels[y, x] = LINE
    stubbly = replace(photo, pixels=pixels)
    found = without_corner_lines(stubbly, closed, after, face_mask(face, pixels.shape)).pixels
    dark = (pixels == LINE).all(axis=2)
    assert found[dark].mean() < np.mean(LINE) + 12
