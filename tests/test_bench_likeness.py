"""The measures of likeness say what a person would: blurred teeth are soft, a wide mouth is wide, a copy is a copy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from emorph.core.images import read_photo
from emorph.core.landmarks import INNER_LIPS, MOUTH
from emorph.core.types import Landmarks, Photo
from emorph.faces.detect import find_faces

ROOT = Path(__file__).parents[1]


@pytest.fixture
def likeness(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    from support import likeness

    return likeness


@pytest.fixture
def two_sample(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    from support import two_sample

    return two_sample


@pytest.fixture(scope="module")
def portrait() -> tuple[Photo, Landmarks]:
    photo = read_photo(ROOT / "examples" / "astronaut.png")
    return photo, find_faces(photo)[0]


def test_a_copy_is_a_copy(likeness: ModuleType, portrait: tuple[Photo, Landmarks]) -> None:
    seen = likeness.Seen(*portrait)
    found = likeness.likeness(seen, seen, seen)
    assert (found.sharpness, found.width, found.colour, found.shape, found.distance) == (1, 1, 0, 0, 0)
    assert found.energy == (1, 1, 1, 1)


def test_soft_teeth_of_another_colour_are_seen(likeness: ModuleType, portrait: tuple[Photo, Landmarks]) -> None:
    photo, landmarks = portrait
    real = likeness.Seen(photo, landmarks)
    (left, top), (right, bottom) = (f(landmarks.points[INNER_LIPS], axis=0).astype(int) for f in (np.min, np.max))
    pixels = photo.pixels.copy()
    pixels[top - 3 : bottom + 4, left - 3 : right + 4] = cv2.GaussianBlur(pixels, (0, 0), 4)[
        top - 3 : bottom + 4, left - 3 : right + 4
    ]
    soft = likeness.likeness(real, likeness.Seen(Photo(pixels), landmarks), real)
    assert soft.sharpness < 0.7
    assert soft.energy[0] < 1
    assert soft.width == 1
    pixels[top - 3 : bottom + 4, left - 3 : right + 4] //= 2
    assert likeness.likeness(real, likeness.Seen(Photo(pixels), landmarks), real).colour > soft.colour + 10


def test_a_mouth_drawn_wider_is_wider_at_any_size_and_turn(
    likeness: ModuleType, portrait: tuple[Photo, Landmarks]
) -> None:
    photo, landmarks = portrait
    wide = landmarks.points.copy()
    middle = wide[MOUTH].mean(axis=0)
    wide[MOUTH] = middle + (wide[MOUTH] - middle) * [1.2, 1]
    height, width = photo.pixels.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 20, 0.7)
    turned = likeness.Seen(
        Photo(cv2.warpAffine(photo.pixels, turn, (width, height))),
        replace(landmarks, points=(wide @ turn[:, :2].T + turn[:, 2]).astype(np.float32)),
    )
    real = likeness.Seen(photo, landmarks)
    assert likeness.likeness(real, turned, real).width == pytest.approx(1.2, abs=0.01)


def test_edits_that_cannot_be_told_from_photos_give_chance(
    two_sample: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(two_sample, "N_STEPS", 40)
    monkeypatch.setattr(two_sample, "SIDE_PX", 48)
    rng = np.random.default_rng(0)

    def exhibits(mark: float) -> list[object]:
        found = []
        for i in range(80):
            patch = cv2.GaussianBlur(rng.random((64, 64, 3), np.float32), (0, 0), 3)
            patch[24:40, 24:40] = (1 - mark * (i % 2)) * patch[24:40, 24:40] + mark * (i % 2)
            found.append(two_sample.Exhibit(patch, str(i // 4), bool(i % 2)))
        return found

    assert two_sample.separability(exhibits(0.8)) > 0.9
    assert 0.3 < two_sample.separability(exhibits(0.0)) < 0.7
