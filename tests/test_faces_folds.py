"""Where an edit ends a smile, the dark lines beside its mouth go; every other edit leaves them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from emorph.core.landmarks import FOLD_SIDES, MOUTH
from emorph.core.types import AlignedFace, Float64, Landmarks, Photo
from emorph.faces import face_mask
from emorph.faces.folds import ended_smile, smile, without_folds


@pytest.fixture(scope="module")
def creased(photo: Photo, landmarks: Landmarks) -> tuple[Photo, list[tuple[int, int]]]:
    """Plain skin of a grain with a dark, reddish line past each corner of the mouth, and a pixel (y, x) on each."""
    noise = np.random.default_rng(0).normal(0, 1.5, photo.pixels.shape)
    skin = np.clip(np.array([200.0, 160.0, 140.0]) + noise, 0, 255).astype(np.uint8)
    points, on = landmarks.points, []
    unit = float(np.linalg.norm(points[42:48].mean(axis=0) - points[36:42].mean(axis=0)))
    for (wing, corner, _), side in zip(FOLD_SIDES, (-1, 1), strict=True):
        ends = np.rint(points[[wing, corner]] + [[side * 0.15 * unit, 0]]).astype(int)
        cv2.line(skin, tuple(ends[0].tolist()), tuple(ends[1].tolist()), (130, 70, 60), max(1, round(0.03 * unit)))
        middle = np.rint(ends.mean(axis=0)).astype(int)
        on.append((int(middle[1]), int(middle[0])))
    return replace(photo, pixels=skin), on


def narrowed(points: Float64, share: float) -> Float64:
    """The landmarks with a mouth of a share of its width."""
    after = points.copy()
    after[MOUTH, 0] = points[MOUTH, 0].mean() + share * (points[MOUTH, 0] - points[MOUTH, 0].mean())
    return after


def test_folds_are_filled_with_the_skin_beside_them(
    creased: tuple[Photo, list[tuple[int, int]]], face: AlignedFace
) -> None:
    photo, on = creased
    mask = face_mask(face, photo.pixels.shape)
    before = face.landmarks.points.astype(np.float64)
    after = narrowed(before, 0.8)
    found = without_folds(photo, before, after, mask).pixels.astype(int)
    for place in on:
        assert photo.pixels[place].tolist() == [130, 70, 60]
        assert np.abs(found[place] - [200, 160, 140]).max() < 15  # in its own colour, not a lighter red
    outside = np.ones(photo.pixels.shape[:2], bool)
    height, width = mask.weights.shape
    outside[mask.top : mask.top + height, mask.left : mask.left + width] = mask.weights == 0
    np.testing.assert_array_equal(found[outside], photo.pixels[outside])
    lips = np.rint(after[MOUTH]).astype(int)
    np.testing.assert_array_equal(found[lips[:, 1], lips[:, 0]], photo.pixels[lips[:, 1], lips[:, 0]])


def test_a_mouth_that_stays_or_widens_keeps_the_photo(
    creased: tuple[Photo, list[tuple[int, int]]], face: AlignedFace
) -> None:
    photo, _ = creased
    before = face.landmarks.points.astype(np.float64)
    for share in (1.0, 1.2):
        assert without_folds(photo, before, narrowed(before, share), face_mask(face, photo.pixels.shape)) is photo


def test_folds_go_little_by_little(face: AlignedFace) -> None:
    before = face.landmarks.points.astype(np.float64)
    shares = [ended_smile(before, narrowed(before, share)) for share in (1.0, 0.94, 0.85, 0.7)]
    assert shares == pytest.approx([0.0, 0.5, 1.0, 1.0], abs=0.05)


def test_a_face_that_did_not_smile_has_no_folds_to_lose(face: AlignedFace) -> None:
    """A moustache beside a neutral mouth that opens to an "oh" is no fold."""
    smiling = face.landmarks.points.astype(np.float64)
    neutral = narrowed(smiling, 0.65)
    middle = neutral[[51, 57, 62, 66], 1].mean()
    neutral[[48, 54, 60, 64], 1] = middle  # corners no higher than the lips' middle
    assert smile(smiling) == 1
    assert smile(neutral) == 0
    assert ended_smile(neutral, narrowed(neutral, 0.7)) == 0
