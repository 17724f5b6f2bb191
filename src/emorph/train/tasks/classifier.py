"""The linear emotion classifier on z_sem (Preechakul et al. 2022, Sec. 5.3): encode each face once, cache, fit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from safetensors.torch import load_file, save_file
from torch import Tensor

from emorph.core.config import Config
from emorph.core.errors import DataError
from emorph.core.expressions import Emotion
from emorph.core.images import unit_range
from emorph.data.store import FaceStore
from emorph.models.diffae import DiffAE
from emorph.models.directions import Directions, LatentStats
from emorph.train.plan import DataConfig, existing_below
from emorph.train.tasks.autoencoder import mirrored_landmarks
from emorph.train.tasks.confounds import light_and_pose, one_hot_columns, without_confounds

ENCODE_BATCH = 64


class HeadConfig(Config):
    """How the linear layer is trained: AdamW over the cached codes, classes weighted to count the same.

    gain: what strength 1 means, in distances between class means; stored with the directions.
    confounds: columns of the data set whose differences are no expression (such as where a picture comes from); they
    are taken out of the class means, as light and head pose always are.
    """

    epochs: int = Field(40, gt=0)
    batch_size: int = Field(256, gt=0)
    lr: float = Field(3e-3, gt=0)
    weight_decay: float = Field(0.1, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    gain: float = Field(1.0, gt=0)
    confounds: tuple[str, ...] = ()


class ClassifierConfig(Config):
    """A run of the linear classifier, as a TOML file states it.

    model: a model folder, a bundled name or a checkpoint; relative paths start at the configuration file's folder.
    held_out: the split whose recall is told.
    """

    task: Literal["classifier"] = "classifier"
    out: str
    seed: int = 0
    model: str
    data: DataConfig
    held_out: str = "val"
    head: HeadConfig = HeadConfig()

    @model_validator(mode="after")
    def _two_splits(self) -> Self:
        if self.data.split is None or self.data.split == self.held_out:
            raise ValueError(
                f"data.split and held_out name the splits to train and to measure on; found {self.data.split!r} and "
                f"{self.held_out!r}, which would measure on training faces"
            )
        return self

    @classmethod
    def read(cls, path: Path | str) -> ClassifierConfig:
        """Read a TOML file and make its paths absolute. Raises ConfigError."""
        path = Path(path)
        config = cls.from_toml(path)
        base = path.resolve().parent
        model = existing_below(base, config.model)
        return config.model_copy(
            update={"out": str(base / config.out), "data": config.data.below(base), "model": model}
        )


@dataclass(frozen=True)
class Codes:
    """z_sem of a data set, and of its mirror image where asked for.

    z: (N, z_dim); labels: int64 (N,); confounds: float (N, n), what differs between faces without being expression.
    """

    z: Tensor
    labels: Tensor
    confounds: Tensor

    def labelled(self) -> Codes:
        """Those of the faces that have a label; -1 is none."""
        known = self.labels >= 0
        return Codes(self.z[known], self.labels[known], self.confounds[known])


@dataclass(frozen=True)
class ClassifierResult:
    """The directions, and their recall on held-out faces: class word -> (recall, n)."""

    directions: Directions
    recall: dict[str, tuple[float, int]]
    accuracy: float


def encode_all(
    model: DiffAE,
    faces: FaceStore,
    cache: Path,
    *,
    mirror: bool,
    confounds: Sequence[str] = (),
    on_step: Callable[[int, int], None] | None = None,
) -> Codes:
    """z_sem of every face, read from ``cache`` where the same model has encoded the same data before."""
    file = cache / f"{_fingerprint(model, faces, mirror, confounds)}.safetensors"
    if file.exists():
        stored = load_file(file)
        return Codes(stored["z"], stored["labels"], stored["confounds"])
    device = next(model.parameters()).device
    passes: list[list[Tensor]] = [[], []] if mirror else [[]]
    other: list[list[Tensor]] = [[] for _ in passes]
    columns = one_hot_columns(faces, confounds)
    with torch.inference_mode():
        for start in range(0, len(faces), ENCODE_BATCH):
            rows = range(start, min(start + ENCODE_BATCH, len(faces)))
            samples = [faces[i] for i in rows]
            x = unit_range(torch.stack([sample["image"] for sample in samples])).to(device)
            points = torch.stack([s["landmarks"] for s in samples]) if "landmarks" in samples[0] else None
            for i, codes in enumerate(passes):
                picture = x.flip(-1) if i else x
                turned = mirrored_landmarks(points) if i and points is not None else points
                codes.append(model.encode(picture).cpu())
                other[i].append(
                    torch.cat([light_and_pose(picture.cpu(), turned), columns[rows.start : rows.stop]], dim=1)
                )
            if on_step:
                on_step(rows.stop, len(faces))
    z = torch.cat([code for codes in passes for code in codes])
    measured = torch.cat([value for values in other for value in values])
    labels = torch.from_numpy(faces.labels).repeat(len(passes))
    cache.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".part")
    save_file({"z": z, "labels": labels, "confounds": measured}, temporary)
    temporary.replace(file)
    return Codes(z, labels, measured)


def train_classifier(config: HeadConfig, seed: int, train: Codes, held_out: Codes) -> ClassifierResult:
    """Fit the linear layer on normalised codes; the same seed gives the same weights.

    Raises DataError if a class of AffectNet's eight has no face.
    """
    train, held_out = train.labelled(), held_out.labelled()
    n_classes = len(Emotion)
    counts = torch.bincount(train.labels, minlength=n_classes)
    if (counts == 0).any():
        missing = ", ".join(Emotion(int(i)).word for i in torch.nonzero(counts == 0))
        raise DataError(f"no training face is labelled {missing}; the classifier needs all eight emotions.")
    stats = LatentStats(train.z.mean(dim=0), train.z.std(dim=0))
    z = stats.normalise(train.z)
    layer = torch.nn.Linear(z.shape[1], n_classes)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    class_weight = len(z) / (n_classes * counts.float())
    optimizer = torch.optim.AdamW(layer.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    n_steps = config.epochs * -(-len(z) // config.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(config.epochs):
        for rows in torch.split(torch.randperm(len(z), generator=generator), config.batch_size):
            losses = F.cross_entropy(
                layer(z[rows]), train.labels[rows], reduction="none", label_smoothing=config.label_smoothing
            )
            loss = (losses * class_weight[train.labels[rows]]).mean()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    means = class_means(z, train.labels, n_classes)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    means = without_confounds(means, z, train.confounds)
    labels = tuple(emotion.word for emotion in Emotion)
    directions = Directions(weight, bias, labels, stats, means=means, gain=config.gain)
    return _judged(directions, held_out)


def class_means(z: Tensor, labels: Tensor, n_classes: int, *, enough: int = 50) -> Tensor:
    """Mean code of each class, (K, z_dim), guarded against classes of few faces.

    A mean of n codes keeps n / (n + n0) of its distance from the mean of all classes, n0 being the variance within
    classes over the variance between them (James & Stein's estimator, as in Efron & Morris 1975). A class of fewer than
    ``enough`` codes is moreover expressed by what the others differ in: else it would be the few people's looks.
    z: (N, z_dim), normalised; labels: int64 (N,).
    """
    counts = torch.bincount(labels, minlength=n_classes).double()
    means = torch.stack([z[labels == k].double().mean(dim=0) for k in range(n_classes)])
    within = (z.double() - means[labels]).square().sum() / (len(z) - n_classes)
    known = counts >= enough if (counts >= enough).sum() > 1 else counts > 0
    centre = means[known].mean(dim=0)
    offsets = means - centre
    spread = offsets.square().sum(dim=1) - within / counts
    n0 = within / spread[known].clamp(min=0).mean().clamp(min=1e-6)
    offsets = offsets * (counts / (counts + n0))[:, None]
    basis = torch.linalg.svd(offsets[known], full_matrices=False)[2][: int(known.sum()) - 1]
    offsets[~known] = offsets[~known] @ basis.T @ basis
    found: Tensor = (centre + offsets).to(z.dtype)
    return found


def _judged(directions: Directions, held_out: Codes) -> ClassifierResult:
    found = directions.logits(held_out.z).argmax(dim=1)
    recall = {}
    for emotion in Emotion:
        rows = held_out.labels == emotion.value
        n = int(rows.sum())
        if n:
            recall[emotion.word] = (float((found[rows] == emotion.value).float().mean()), n)
    accuracy = float((found == held_out.labels).float().mean())
    return ClassifierResult(directions, recall, accuracy)


def _fingerprint(model: DiffAE, faces: FaceStore, mirror: bool, confounds: Sequence[str]) -> str:
    """Of everything that the codes depend on: encoder weights, data, crop."""
    digest = hashlib.sha256()
    for key, value in model.encoder.state_dict().items():
        digest.update(key.encode())
        digest.update(np.ascontiguousarray(value.float().cpu().numpy()).tobytes())
    stat = faces.path.stat()
    facts = [
        str(faces.path.resolve()),
        stat.st_size,
        stat.st_mtime_ns,
        faces.split,
        len(faces),
        faces.side_px,
        str(faces.window),
        mirror,
        list(confounds),
    ]
    digest.update(json.dumps(facts).encode())
    digest.update(faces.labels.tobytes())
    return digest.hexdigest()[:32]
