"""Face crops in memory: for small sets, tests, and machines without image libraries."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import Dataset

Sample = dict[str, Tensor]


class TensorFaces(Dataset[Sample]):
    """Face crops in memory: images uint8 (N, C, S, S), labels int64 (N,), landmarks float32 (N, 68, 2) or None."""

    def __init__(self, images: Tensor, labels: Tensor, landmarks: Tensor | None = None) -> None:
        self.images = images
        self.labels = labels.numpy()
        self.landmarks = landmarks

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        sample = {
            "image": self.images[index],
            "label": torch.tensor(self.labels[index]),
            "index": torch.tensor(int(index)),
        }
        if self.landmarks is not None:
            sample["landmarks"] = self.landmarks[index]
        return sample


def in_memory(faces: Dataset[Sample], n: int) -> TensorFaces:
    """Decode all n faces once."""
    rows = [faces[i] for i in range(n)]
    landmarks = torch.stack([r["landmarks"] for r in rows]) if "landmarks" in rows[0] else None
    return TensorFaces(torch.stack([r["image"] for r in rows]), torch.stack([r["label"] for r in rows]), landmarks)
