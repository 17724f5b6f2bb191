"""Ten epochs of the linear classifier from cached codes, against ten that encode every face each time.

python bench/classifier.py --data faces.parquet     (examples/emorph-base/packs.py cuts it as emorph-base sees faces)
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset

from emorph.core.expressions import Emotion
from emorph.core.images import unit_range
from emorph.data.memory import Sample, TensorFaces
from emorph.data.store import FaceStore
from emorph.models.diffae import DiffAE
from emorph.models.directions import Directions, LatentStats
from emorph.models.port import load
from emorph.train.codes import Codes, encode_all
from emorph.train.face_parts import READ_BATCH
from emorph.train.tasks.classifier import judged
from emorph.train.tasks.classifier_report import mean_recall
from emorph.train.tasks.head import DEFAULT_EPOCHS, HeadConfig
from emorph.train.tasks.head_fit import fit_layer
from support.measure import table, write_section

EPOCHS = 10
SEEDS = (1, 2, 3, 4, 5)  # of other fits, for the spread
WORDS = tuple(emotion.word for emotion in Emotion)


def main() -> None:
    """Measure and write the section "Classifier"."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a Parquet file; faces without a label are left out")
    parser.add_argument("--faces", type=int, default=480, help="training faces, evenly spread over the data")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if not arguments.data:
        print("bench/classifier.py needs labelled faces: --data faces.parquet (see --help). RESULTS.md stays.")
        return
    model = load("emorph-base")
    sizes = model.config
    store = FaceStore(arguments.data, side_px=sizes.image_size, channels=sizes.image_channels, split="train")
    faces = _some(store, arguments.faces)
    held_out = encode_all(model, _decoded(_labelled(store.of_split("val"))), None, mirror=False)
    labels = torch.from_numpy(store.labels)[faces.indices]
    config = HeadConfig(epochs=EPOCHS)
    # a first fit, because encoding is warm by now; then in turns, so that a busy machine slows both alike
    fit_layer(HeadConfig(epochs=1), 0, held_out.labels, lambda rows: held_out.z[rows])
    runs = [
        (_from_cache(model, faces, labels, config), _anew(model, faces, labels, config))
        for _ in range(arguments.repeats)
    ]
    once, anew = runs[0]
    seeds = [_accuracy(_fit(once.codes, labels, config, seed), held_out) for seed in SEEDS]
    others = {
        f"{EPOCHS} epochs, weights": config,
        f"{EPOCHS} epochs, no weights": HeadConfig(epochs=EPOCHS, balance="none"),
        f"{DEFAULT_EPOCHS:g} epochs, weights": HeadConfig(epochs=DEFAULT_EPOCHS),
        f"{DEFAULT_EPOCHS:g} epochs, no weights": HeadConfig(epochs=DEFAULT_EPOCHS, balance="none"),
    }
    told = [(title, *_measured(_fit(once.codes, labels, other), held_out)) for title, other in others.items()]
    ratio = statistics.median(b.cpu_s / a.cpu_s for a, b in runs)
    rows = [
        ["encoded once", f"{statistics.median(a.cpu_s for a, _ in runs):.2f}", f"{_accuracy(once, held_out):.1%}"],
        [
            "encoded in every epoch",
            f"{statistics.median(b.cpu_s for _, b in runs):.2f}",
            f"{_accuracy(anew, held_out):.1%}",
        ],
    ]
    body = f"""{EPOCHS} epochs over {len(labels)} training faces of {arguments.data.name}, batch {config.batch_size}, on
emorph-base; both decode and encode each face as it is, not mirrored, {READ_BATCH} at a time in one process; the one
encoding of the cached side is counted. {ratio:.1f} times faster, where the bound is {EPOCHS} and the rest is the
measurement's noise; medians of {arguments.repeats} runs in turns.

{table(["", "CPU seconds", "accuracy on held-out faces"], rows)}

Other seeds ({SEEDS[0]} to {SEEDS[-1]}): {min(seeds):.1%} to {max(seeds):.1%} (n = {len(held_out.labels)}). These say
that both ways learn the same, not how well emotions can be told: by default rare emotions weigh as much as common ones
in the loss, which costs accuracy where most faces are neutral or happy, most after {EPOCHS} epochs, which are few. Mean
recall counts an emotion of one held-out face as much as one of hundreds. The same codes:

{table(["", "accuracy", "mean recall"], [(title, f"{right:.1%}", f"{recall:.1%}") for title, right, recall in told])}

Always the commonest emotion: {_commonest(held_out.labels):.1%}.
"""
    command = f"python bench/classifier.py --data {arguments.data.name}"
    write_section("Classifier", f"{command} --faces {arguments.faces} --repeats {arguments.repeats}", body)


@dataclass(frozen=True)
class Fit:
    """A linear layer, what its codes are normalised by, and the CPU seconds that it took, encoding and all.

    CPU time, because the machine may have other work.
    """

    weight: Tensor
    bias: Tensor
    codes: Tensor
    cpu_s: float

    @property
    def stats(self) -> LatentStats:
        """Of the codes."""
        return LatentStats(self.codes.mean(dim=0), self.codes.std(dim=0))


def _from_cache(model: DiffAE, faces: Subset[Sample], labels: Tensor, config: HeadConfig) -> Fit:
    before = time.process_time()
    codes = encode_all(model, _decoded(faces), None, mirror=False).z
    layer = _fitted(codes, labels, config, seed=0)
    return Fit(*layer, codes, time.process_time() - before)


def _fitted(codes: Tensor, labels: Tensor, config: HeadConfig, seed: int) -> tuple[Tensor, Tensor]:
    z = LatentStats(codes.mean(dim=0), codes.std(dim=0)).normalise(codes)
    return fit_layer(config, seed, labels, lambda rows: z[rows])


def _anew(model: DiffAE, faces: Subset[Sample], labels: Tensor, config: HeadConfig) -> Fit:
    """Ten epochs that read and encode each batch; the statistics are given, else it would be one pass more."""
    codes = encode_all(model, _decoded(faces), None, mirror=False).z
    stats = LatentStats(codes.mean(dim=0), codes.std(dim=0))

    @torch.inference_mode()
    def encoded(rows: Tensor) -> Tensor:
        pictures = unit_range(torch.stack([faces[int(i)]["image"] for i in rows]))
        return stats.normalise(model.encode(model.tone(pictures).take_off(pictures)))

    def normalised(rows: Tensor) -> Tensor:
        return torch.cat([encoded(part) for part in torch.split(rows, READ_BATCH)]).clone()

    before = time.process_time()
    layer = fit_layer(config, 0, labels, normalised)
    return Fit(*layer, codes, time.process_time() - before)


def _fit(codes: Tensor, labels: Tensor, config: HeadConfig, seed: int = 0) -> Fit:
    """Of codes that are there."""
    return Fit(*_fitted(codes, labels, config, seed), codes, 0)


def _labelled(store: FaceStore) -> Subset[Sample]:
    return Subset(store, np.flatnonzero(store.labels >= 0).tolist())


def _some(store: FaceStore, n: int) -> Subset[Sample]:
    """Every k-th labelled face, and all of the rare emotions', so that none is missing."""
    rows = _labelled(store).indices
    counts = np.bincount(store.labels[rows], minlength=len(WORDS))
    every = max(1, len(rows) // n)
    return Subset(store, [row for i, row in enumerate(rows) if i % every == 0 or counts[store.labels[row]] < 20])


def _decoded(faces: FaceStore | Subset[Sample]) -> TensorFaces:
    """Pictures in memory, so that no cache on disk is found."""
    rows = [faces[i] for i in range(len(faces))]
    return TensorFaces(torch.stack([r["image"] for r in rows]), torch.stack([r["label"] for r in rows]))


def _accuracy(fit: Fit, held_out: Codes) -> float:
    return _measured(fit, held_out)[0]


def _measured(fit: Fit, held_out: Codes) -> tuple[float, float]:
    """Accuracy and mean recall."""
    found = judged(Directions(fit.weight, fit.bias, WORDS, fit.stats), held_out)
    return found.accuracy, mean_recall(found.confusion)


def _commonest(labels: Tensor) -> float:
    return float(torch.bincount(labels).max() / len(labels))


if __name__ == "__main__":
    main()
