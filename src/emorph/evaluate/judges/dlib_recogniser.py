"""dlib's face recogniser (King 2017): always here, so identity is always measured."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from emorph.core.assets import packaged_file
from emorph.core.types import Float32, Landmarks, Photo

RECOGNISER_FILE = "dlib_face_recognition_resnet_model_v1.dat"


CHIP_PX = 150  # side of the picture that the network takes


CHIP_PADDING = 0.25


def descriptor_of(photo: Photo, landmarks: Landmarks) -> Float32:
    """The 128 numbers by which dlib's network (King 2017) knows a face; photos of one person lie close together."""
    import dlib

    points = dlib.points([dlib.point(int(x), int(y)) for x, y in np.rint(landmarks.points)])
    shape = dlib.full_object_detection(dlib.rectangle(*landmarks.box), points)
    chip = dlib.get_face_chip(np.ascontiguousarray(photo.pixels), shape, size=CHIP_PX, padding=CHIP_PADDING)
    return np.array(_recogniser().compute_face_descriptor(chip), dtype=np.float32)


@functools.cache
def _recogniser() -> Any:
    """dlib's network; reading its 22 MB takes a moment, hence only on first use."""
    import dlib

    return dlib.face_recognition_model_v1(str(packaged_file("face_recognition_models", f"models/{RECOGNISER_FILE}")))
