"""Records: what crosses the stages as files."""

import dataclasses

import numpy as np
import pytest

from emorph.core.expressions import Emotion
from emorph.core.records import FaceRecord


@pytest.mark.parametrize(("label", "emotion"), [(0, Emotion.NEUTRAL), (7, Emotion.CONTEMPT), (8, None), (None, None)])
def test_only_the_eight_codes_are_emotions(label: int | None, emotion: Emotion | None) -> None:
    assert FaceRecord("a", "a.jpg", label).emotion is emotion


def test_faces_compare_without_their_points_and_cannot_change() -> None:
    a = FaceRecord("a", "a.jpg", 1, box=(0, 0, 9, 9), landmarks=np.zeros((68, 2), np.float32))
    assert a == dataclasses.replace(a, landmarks=np.ones((68, 2), np.float32))
    assert a != dataclasses.replace(a, box=(1, 0, 9, 9))
    with pytest.raises(dataclasses.FrozenInstanceError):
        a.label = 2  # type: ignore[misc]
