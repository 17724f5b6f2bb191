"""The coefficients of a data set's faces: read once, kept as a file, some hundred numbers a face."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import Dataset

from emorph.core.errors import DataError
from emorph.core.images import unit_range
from emorph.core.types import FaceCoeffs
from emorph.data.store import FaceStore
from emorph.face3d.camera import screen_to_pixels
from emorph.models.rig_faces import FaceReader, NetworkReader

READ_BATCH = 64
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
    on_step: Callable[[int, int], None] | None = None,
) -> Coefficients:
    """Coefficients of every face with the same face model, read from ``cache`` where they have been before.

    faces: items with ``image`` and ``landmarks``; only those of a FaceStore are kept in the cache.
    Raises DataError without landmarks.
    """
    file = None
    if cache and isinstance(faces, FaceStore):
        file = cache / f"{_fingerprint(reader, faces)}.safetensors"
    if file and file.exists():
        stored = load_file(file)
        return Coefficients(FaceCoeffs(encoder=reader.name, **{k: stored[k] for k in _NUMBERS}), stored["known"].bool())
    n_faces = len(faces)  # type: ignore[arg-type]  # a map-style data set has a length
    parts: list[tuple[FaceCoeffs, Tensor]] = []
    with torch.inference_mode():
        for start in range(0, n_faces, READ_BATCH):
            rows = [faces[i] for i in range(start, min(start + READ_BATCH, n_faces))]
            if "landmarks" not in rows[0]:
                raise DataError("a rig needs landmarks, but the data set has no column 'landmarks68'.")
            pictures = unit_range(torch.stack([row["image"] for row in rows])).expand(-1, 3, -1, -1)
            points = torch.stack([row["landmarks"] for row in rows])
            parts.append(read_faces(reader, pictures, points))
            if on_step:
                on_step(start + len(rows), n_faces)
    numbers = {name: torch.cat([getattr(coeffs, name) for coeffs, _ in parts]).clone() for name in _NUMBERS}
    known = torch.cat([ok for _, ok in parts])
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(f".{os.getpid()}.part")  # several processes of a run may be at it
        save_file({**{k: v.contiguous() for k, v in numbers.items()}, "known": known.byte()}, draft)
        draft.replace(file)
    return Coefficients(FaceCoeffs(encoder=reader.name, **numbers), known)


def read_faces(reader: FaceReader, pictures: Tensor, points: Tensor) -> tuple[FaceCoeffs, Tensor]:
    """Coefficients of B faces, and whether each is known, bool (B,).

    pictures: (B, 3, S, S) in [-1, 1]; points: (B, 68, 2) in [-1, 1] across the pictures.
    """
    size = (pictures.shape[-2], pictures.shape[-1])
    reading = reader.read(pictures.contiguous(), screen_to_pixels(points, size))
    return reading.coeffs, torch.tensor([not reason for reason in reading.reasons])


def _fingerprint(reader: FaceReader, faces: FaceStore) -> str:
    """Of everything that the coefficients depend on: face model, network, data, crop."""
    digest = hashlib.sha256()
    modules = [reader.face, *([reader.network] if isinstance(reader, NetworkReader) else [])]
    for module in modules:
        for key, value in module.state_dict().items() if isinstance(module, nn.Module) else ():
            digest.update(key.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    stat = faces.path.stat()
    facts = [str(faces.path.resolve()), stat.st_size, stat.st_mtime_ns, faces.split, len(faces), faces.side_px]
    digest.update(json.dumps([*facts, faces.channels, str(faces.window), reader.name]).encode())
    return digest.hexdigest()[:32]
