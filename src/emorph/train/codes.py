"""z_sem of a data set's faces: each is encoded once, and kept in files that all tasks on the codes share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from emorph.core.images import unit_range
from emorph.core.types import OnStep
from emorph.data.joined import JoinedFaces
from emorph.data.store import AFFECT_COLUMNS, FaceStore
from emorph.models.diffae import DiffAE
from emorph.train.face_parts import HALVES, Numbers, cache_key, joined_numbers, read_parts
from emorph.train.tasks.autoencoder import mirrored_landmarks
from emorph.train.tasks.confounds import light_and_pose, one_hot_columns

CACHE_FOLDER = "z_sem"
PERSON_COLUMN = "identity"


@dataclass(frozen=True)
class Codes:
    """z_sem of a data set, and of its mirror image after it where asked for.

    z: (N, z_dim); labels: int64 (N,), -1 for none; confounds: float (N, n), what differs between faces without being
    expression. landmarks: (N, 68, 2) (x, y), the crop from -1 to 1. affect: float (N, 2), valence and arousal in
    [-1, 1], NaN where they are not known. persons: int64 (N,), one number a person. All three are None where the data
    set has none. own: bool (N,), False for mirror images, which tell of no face more; None where there are none.
    """

    z: Tensor
    labels: Tensor
    confounds: Tensor
    landmarks: Tensor | None = None
    affect: Tensor | None = None
    persons: Tensor | None = None
    own: Tensor | None = None

    def rows(self, which: Tensor) -> Codes:
        """Some of them. which: bool (N,) or int64 (n,)."""
        known = (self.landmarks, self.affect, self.persons, self.own)
        return Codes(
            self.z[which], self.labels[which], self.confounds[which], *(p if p is None else p[which] for p in known)
        )

    def labelled(self) -> Codes:
        """Those of the faces that have a label."""
        return self.rows(self.labels >= 0)

    def annotated(self) -> Codes:
        """Those of the faces whose valence and arousal are both known; none of them without annotations."""
        if self.affect is None:
            nothing = replace(self, affect=torch.full((len(self.z), len(AFFECT_COLUMNS)), torch.nan))
            return nothing.rows(torch.zeros(len(self.z), dtype=torch.bool))
        return self.rows(self.affect.isfinite().all(dim=1))


def encode_all(
    model: DiffAE,
    faces: Dataset[Any],
    cache: Path | None,
    *,
    mirror: bool,
    confounds: Sequence[str] = (),
    workers: int = 0,
    on_step: OnStep | None = None,
) -> Codes:
    """z_sem of every face, read from ``cache`` where the same encoder has met the same data before.

    faces: items with ``image`` and perhaps ``landmarks``; only those of a FaceStore are kept in the cache.
    mirror: also of each face's mirror image; it is decoded once for both. confounds: names of columns of words, whose
    0/1 columns follow light and head pose.
    """
    halves = _halves(model, faces, cache, mirror=mirror, workers=workers, share=(0, 1), on_step=on_step)
    joined = {key: torch.cat([half[key] for half in halves]) for key in halves[0]}
    points = joined.get("landmarks")
    labels = torch.as_tensor(faces.labels).repeat(len(halves))  # type: ignore[attr-defined]  # of a data set of faces
    own = torch.arange(len(labels)) < len(labels) // 2 if mirror else None
    if not isinstance(faces, FaceStore):
        return Codes(joined["z"], labels, joined["measured"], points, own=own)
    columns = one_hot_columns(faces, confounds).repeat(len(halves), 1)
    known = faces.affect()
    affect = None if known is None else torch.from_numpy(known).float().repeat(len(halves), 1)
    persons = _persons(faces)
    if persons is not None:  # a mirror image is as good as another person: it differs from the face in no expression
        persons = torch.cat([persons + i * len(faces) for i in range(len(halves))])
    return Codes(joined["z"], labels, torch.cat([joined["measured"], columns], dim=1), points, affect, persons, own)


def encode_share(
    model: DiffAE,
    faces: FaceStore,
    cache: Path,
    share: tuple[int, int],
    *,
    mirror: bool,
    workers: int = 0,
    on_step: OnStep | None = None,
) -> None:
    """Encode the i-th of every n parts into the cache, where ``encode_all`` finds them. share: (i, n)."""
    _halves(model, faces, cache, mirror=mirror, workers=workers, share=share, on_step=on_step)


def _halves(
    model: DiffAE,
    faces: Dataset[Any],
    cache: Path | None,
    *,
    mirror: bool,
    workers: int,
    share: tuple[int, int],
    on_step: OnStep | None,
) -> list[Numbers]:
    """Codes and measurements of the faces, and of their mirror images."""
    if isinstance(faces, JoinedFaces):  # each set is kept on its own, whatever it is joined with
        parts = [
            _halves(model, store, cache, mirror=mirror, workers=workers, share=share, on_step=on_step)
            for store in faces.stores
        ]
        return joined_numbers(parts)
    folder = cache / cache_key([model.encoder], faces.facts()) if cache and isinstance(faces, FaceStore) else None
    device = next(model.parameters()).device

    @torch.inference_mode()
    def read(items: Mapping[str, Tensor], halves: Sequence[int]) -> list[Numbers]:
        x, points = unit_range(items["image"].to(device)), items.get("landmarks")
        return [_encoded(model, x.flip(-1) if half else x, _turned(points) if half else points) for half in halves]

    kinds = HALVES if mirror else HALVES[:1]
    return read_parts(faces, read, folder, kinds=kinds, workers=workers, share=share, on_step=on_step)


def _encoded(model: DiffAE, picture: Tensor, points: Tensor | None) -> Numbers:
    values = {
        "z": model.encode(model.tone(picture).take_off(picture)).float().cpu(),
        "measured": light_and_pose(picture.cpu(), points),
    }
    return values if points is None else values | {"landmarks": points}


def _turned(points: Tensor | None) -> Tensor | None:
    return None if points is None else mirrored_landmarks(points)


def _persons(faces: FaceStore) -> Tensor | None:
    """One number a person, int64 (N,); a face without a name is a person of its own."""
    if PERSON_COLUMN not in faces.columns:
        return None
    names = faces.column(PERSON_COLUMN)
    numbers: dict[str, int] = {}  # at most as many as faces
    return torch.tensor([numbers.setdefault(name or f"face {i}", len(numbers)) for i, name in enumerate(names)])
