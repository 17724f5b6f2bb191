"""The coefficients of a data set's faces: read once, kept in files, some hundred numbers a face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from emorph.core.device import choose_device
from emorph.core.errors import DataError
from emorph.core.images import unit_range
from emorph.core.types import FaceCoeffs, OnStep
from emorph.data.joined import JoinedFaces
from emorph.data.store import FaceStore
from emorph.face3d.camera import screen_to_pixels
from emorph.models.rig_faces import FaceReader, NetworkReader
from emorph.train.face_parts import Numbers, cache_key, joined_numbers, read_parts

_NUMBERS = ("shape", "expression", "pose", "jaw", "camera", "light", "texture")


@dataclass(frozen=True)
class Coefficients:
    """Of N faces.

    known: bool (N,), False where no face of the model fits; the coefficients there mean nothing.
    """

    coeffs: FaceCoeffs
    known: Tensor

    def with_mean_shape(self) -> Coefficients:
        """All of one person, whose shape is the mean of them. Raises DataError if no face is known."""
        if not self.known.any():
            raise DataError("no face of the album could be read as a 3D face; look with: emorph face PHOTO")
        shape = self.coeffs.shape
        mean = shape[self.known].mean(dim=0).expand_as(shape)
        return replace(self, coeffs=replace(self.coeffs, shape=mean))


def read_all(
    reader: FaceReader,
    faces: Dataset[Any],
    *,
    cache: Path | None = None,
    workers: int = 0,
    on_step: OnStep | None = None,
) -> Coefficients:
    """Coefficients of every face with the same face model, read from ``cache`` where they have been before.

    faces: items with ``image`` and ``landmarks``; only those of a FaceStore are kept in the cache.
    workers: processes that decode pictures. Raises DataError without landmarks.
    """
    (numbers,) = _read(reader, faces, cache, workers, (0, 1), on_step)
    coeffs = FaceCoeffs(encoder=reader.name, **{name: numbers[name].clone() for name in _NUMBERS})
    return Coefficients(coeffs, numbers["known"].bool())


def read_share(
    reader: FaceReader,
    faces: FaceStore,
    cache: Path,
    share: tuple[int, int],
    *,
    workers: int = 0,
    on_step: OnStep | None = None,
) -> None:
    """Read the i-th of every n parts into the cache, where ``read_all`` finds them. share: (i, n)."""
    _read(reader, faces, cache, workers, share, on_step)


def _read(
    reader: FaceReader,
    faces: Dataset[Any],
    cache: Path | None,
    workers: int,
    share: tuple[int, int],
    on_step: OnStep | None,
) -> list[Numbers]:
    if isinstance(faces, JoinedFaces):  # each set is kept on its own, whatever it is joined with
        parts = [_read(reader, store, cache, workers, share, on_step) for store in faces.stores]
        return joined_numbers(parts)
    folder = None
    if cache and isinstance(faces, FaceStore):
        folder = cache / cache_key(_modules(reader), [*faces.facts(), reader.name, reader.skin])
    device = choose_device()
    if device.type == "mps":  # whose linear algebra has gaps
        device = torch.device("cpu")

    @torch.inference_mode()
    def read(items: Mapping[str, Tensor], kinds: Sequence[int]) -> list[Numbers]:
        if "landmarks" not in items:
            raise DataError("a rig needs landmarks, but the data set has no column 'landmarks68'.")
        pictures = unit_range(items["image"].to(device)).expand(-1, 3, -1, -1)
        coeffs, known = read_faces(reader, pictures, items["landmarks"].to(device))
        return [{name: getattr(coeffs, name).cpu() for name in _NUMBERS} | {"known": known.byte()}]

    modules = _modules(reader)
    for module in modules:
        module.to(device)
    try:
        return read_parts(faces, read, folder, workers=workers, share=share, on_step=on_step)
    finally:
        for module in modules:
            module.cpu()


def _modules(reader: FaceReader) -> list[nn.Module]:
    """The face model, and the network if there is one."""
    parts = [reader.face, *([reader.network] if isinstance(reader, NetworkReader) else [])]
    return [part for part in parts if isinstance(part, nn.Module)]


def read_faces(reader: FaceReader, pictures: Tensor, points: Tensor) -> tuple[FaceCoeffs, Tensor]:
    """Coefficients of B faces, and whether each is known, bool (B,).

    pictures: (B, 3, S, S) in [-1, 1]; points: (B, 68, 2) in [-1, 1] across the pictures.
    """
    size = (pictures.shape[-2], pictures.shape[-1])
    reading = reader.read(pictures.contiguous(), screen_to_pixels(points, size))
    return reading.coeffs, torch.tensor([not reason for reason in reading.reasons])
