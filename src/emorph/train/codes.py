"""z_sem of a data set's faces: each is encoded once, and kept in files that all tasks on the codes share."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from emorph.core.images import unit_range
from emorph.data.loader import ignore_stop_signals
from emorph.data.store import FaceStore
from emorph.models.diffae import DiffAE
from emorph.train.tasks.autoencoder import mirrored_landmarks
from emorph.train.tasks.confounds import light_and_pose, one_hot_columns

CACHE_FOLDER = "z_sem"
ENCODE_BATCH = 64
PART_FACES = 4096  # a stopped encoding goes on with the part that it was in
AFFECT_COLUMNS = ("valence", "arousal")
PERSON_COLUMN = "identity"


@dataclass(frozen=True)
class Codes:
    """z_sem of a data set, and of its mirror image after it where asked for.

    z: (N, z_dim); labels: int64 (N,), -1 for none; confounds: float (N, n), what differs between faces without being
    expression. landmarks: (N, 68, 2) (x, y), the crop from -1 to 1. affect: float (N, 2), valence and arousal in
    [-1, 1], NaN where they are not known. persons: int64 (N,), one number a person. All three are None where the data
    set has none.
    """

    z: Tensor
    labels: Tensor
    confounds: Tensor
    landmarks: Tensor | None = None
    affect: Tensor | None = None
    persons: Tensor | None = None

    def rows(self, which: Tensor) -> Codes:
        """Some of them. which: bool (N,) or int64 (n,)."""
        known = (self.landmarks, self.affect, self.persons)
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
    on_step: Callable[[int, int], None] | None = None,
) -> Codes:
    """z_sem of every face, read from ``cache`` where the same encoder has met the same data before.

    faces: items with ``image`` and perhaps ``landmarks``; only those of a FaceStore are kept in the cache.
    mirror: also of each face's mirror image; it is decoded once for both. confounds: names of columns of words, whose
    0/1 columns follow light and head pose.
    """
    n_faces = len(faces)  # type: ignore[arg-type]  # a map-style data set has a length
    folder = cache / _fingerprint(model, faces) if cache and isinstance(faces, FaceStore) else None
    halves: list[list[dict[str, Tensor]]] = [[], []] if mirror else [[]]
    for start in range(0, n_faces, PART_FACES):
        rows = range(start, min(start + PART_FACES, n_faces))
        parts = _part(model, faces, rows, folder, len(halves), workers, _shifted(on_step, start, n_faces))
        for half, part in zip(halves, parts, strict=True):
            half.append(part)
        if on_step:
            on_step(rows.stop, n_faces)
    parts = [part for half in halves for part in half]
    joined = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    points = joined.get("landmarks")
    labels = torch.as_tensor(faces.labels).repeat(len(halves))  # type: ignore[attr-defined]  # of a data set of faces
    if not isinstance(faces, FaceStore):
        return Codes(joined["z"], labels, joined["measured"], points)
    columns = one_hot_columns(faces, confounds).repeat(len(halves), 1)
    affect = _affect(faces)
    affect = None if affect is None else affect.repeat(len(halves), 1)
    persons = _persons(faces)
    if persons is not None:  # a mirror image is as good as another person: it differs from the face in no expression
        persons = torch.cat([persons + i * n_faces for i in range(len(halves))])
    return Codes(joined["z"], labels, torch.cat([joined["measured"], columns], dim=1), points, affect, persons)


def _shifted(on_step: Callable[[int, int], None] | None, first: int, total: int) -> Callable[[int], None] | None:
    return on_step and (lambda done: on_step(first + done, total))


def _part(
    model: DiffAE,
    faces: Dataset[Any],
    rows: range,
    folder: Path | None,
    n_halves: int,
    workers: int,
    report: Callable[[int], None] | None,
) -> list[dict[str, Tensor]]:
    """Codes and measurements of some faces, and of their mirror images; from their files if they are there."""
    files = [folder / f"{rows.start:08d}{'m' * i}.safetensors" if folder else None for i in range(n_halves)]
    missing = [i for i, file in enumerate(files) if not (file and file.exists())]
    made = _encode(model, Subset(faces, list(rows)), missing, workers, report) if missing else {}
    for i in missing:
        if file := files[i]:
            file.parent.mkdir(parents=True, exist_ok=True)
            draft = file.with_suffix(f".{os.getpid()}.part")  # several processes of a run may be at it
            save_file(made[i], draft)
            draft.replace(file)
    return [made[i] if i in made else load_file(str(file)) for i, file in enumerate(files)]


@torch.inference_mode()
def _encode(
    model: DiffAE, faces: Dataset[Any], halves: Sequence[int], workers: int, report: Callable[[int], None] | None
) -> dict[int, dict[str, Tensor]]:
    """halves: 0 is the pictures as they are, 1 their mirror images."""
    device = next(model.parameters()).device
    found: dict[int, list[dict[str, Tensor]]] = {i: [] for i in halves}
    done = 0
    own = torch.Generator()  # a loader draws a number at its start; not from the caller's randomness
    loader = DataLoader(
        faces, batch_size=ENCODE_BATCH, num_workers=workers, generator=own, worker_init_fn=ignore_stop_signals
    )
    for items in loader:
        x = unit_range(items["image"].to(device))
        for i in halves:
            picture = x.flip(-1) if i else x
            points = items.get("landmarks")
            points = mirrored_landmarks(points) if i and points is not None else points
            values = {"z": model.encode(picture).float().cpu(), "measured": light_and_pose(picture.cpu(), points)}
            found[i].append(values if points is None else values | {"landmarks": points})
        done += len(x)
        if report:
            report(done)
    return {i: {key: torch.cat([part[key] for part in found[i]]).contiguous() for key in found[i][0]} for i in halves}


def _affect(faces: FaceStore) -> Tensor | None:
    """Valence and arousal, (N, 2); NaN where one is missing or outside [-1, 1], such as AffectNet's -2 for "none"."""
    if not set(AFFECT_COLUMNS) <= set(faces.columns):
        return None
    values = [[np.nan if v is None else v for v in faces.column(name)] for name in AFFECT_COLUMNS]
    affect = torch.tensor(np.array(values, np.float32).T)
    known = (affect.abs() <= 1).all(dim=1, keepdim=True)  # NaN compares as False
    return torch.where(known, affect, torch.nan)


def _persons(faces: FaceStore) -> Tensor | None:
    """One number a person, int64 (N,); a face without a name is a person of its own."""
    if PERSON_COLUMN not in faces.columns:
        return None
    names = faces.column(PERSON_COLUMN)
    numbers: dict[str, int] = {}  # at most as many as faces
    return torch.tensor([numbers.setdefault(name or f"face {i}", len(numbers)) for i, name in enumerate(names)])


def _fingerprint(model: DiffAE, faces: FaceStore) -> str:
    """Of everything that the codes depend on: encoder weights, data, crop."""
    digest = hashlib.sha256()
    for key, value in model.encoder.state_dict().items():
        digest.update(key.encode())
        digest.update(np.ascontiguousarray(value.float().cpu().numpy()).tobytes())
    stat = faces.path.stat()
    facts = [str(faces.path.resolve()), stat.st_size, stat.st_mtime_ns, faces.split, len(faces)]
    facts += [faces.side_px, faces.channels, str(faces.window)]
    digest.update(json.dumps(facts).encode())
    return digest.hexdigest()[:32]
