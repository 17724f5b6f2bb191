"""dlib's face recogniser (King 2017): always here, so identity is always measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from emorph.core.images import to_tensor
from emorph.core.types import Float32, Landmarks, Photo, UInt8
from emorph.models.dlib_chip import CHIP_PX, PADDING
from emorph.models.dlib_net import RECOGNISER_FILE, dlib_recogniser

__all__ = ["RECOGNISER_FILE", "chip_of", "descriptor_of", "descriptors_of"]
BATCH = 16  # chips at once; more are no faster on a processor


def chip_of(photo: Photo, landmarks: Landmarks) -> UInt8:
    """The face as the network takes it, uint8 (150, 150, 3) RGB."""
    import dlib

    points = dlib.points([dlib.point(int(x), int(y)) for x, y in np.rint(landmarks.points)])
    shape = dlib.full_object_detection(dlib.rectangle(*landmarks.box), points)
    chip: UInt8 = dlib.get_face_chip(np.ascontiguousarray(photo.pixels), shape, size=CHIP_PX, padding=PADDING)
    return chip


def descriptors_of(chips: Sequence[UInt8]) -> Float32:
    """The 128 numbers by which the network knows each face, (n, 128); photos of one person lie close together."""
    network = dlib_recogniser()
    found = [np.zeros((0, network.config.n_numbers), np.float32)]
    with torch.inference_mode():
        for i in range(0, len(chips), BATCH):
            found.append(network(to_tensor(np.stack(chips[i : i + BATCH]))).numpy())
    return np.concatenate(found)


def descriptor_of(photo: Photo, landmarks: Landmarks) -> Float32:
    """``descriptors_of`` one face, (128,)."""
    numbers: Float32 = descriptors_of([chip_of(photo, landmarks)])[0]
    return numbers
