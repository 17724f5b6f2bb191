"""Ten epochs of the linear classifier from cached codes, against ten that encode every face each time.

python bench/classifier.py --data lfw_expressions.parquet
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Subset

from emorph.core.images import unit_range
from emorph.data.memory import TensorFaces
from emorph.data.store import CropWindow, FaceStore
from emorph.models.directions import Directions, LatentStats
from emorph.models.port import load
from emorph.train.codes import Codes, encode_all
from emorph.train.tasks.classifier import HeadConfig, fit_layer, judged
from support.measure import table, write_section

EPOCHS = 10
WORDS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")
WINDOW = CropWindow(12, 24, 104)  # as examples/emorph-base/4_directions.toml


def main() -> None:
    """Measure and write the section "Classifier"."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--faces", type=int, default=960, help="training faces, evenly spread over the data")
    arguments = parser.parse_args()
    if not arguments.data:
        print("bench/classifier.py needs labelled faces: --data lfw_expressions.parquet. RESULTS.md is left as it is.")
        return
    model = load("emorph-base")
    sizes = model.config
    store = FaceStore(
        arguments.data, side_px=sizes.image_size, channels=sizes.image_channels, split="train", window=WINDOW
    )
    faces = _some(store, arguments.faces)
    held_out = encode_all(model, _decoded(store.of_split("val")), None, mirror=False)
    config = HeadConfig(epochs=EPOCHS)
    labels = torch.from_numpy(store.labels)[faces.indices]

    # CPU time, because the machine may have other work; a first fit, because encoding is warm by now
    fit_layer(HeadConfig(epochs=1), 0, held_out.labels, lambda rows: held_out.z[rows])
    started = time.process_time()
    codes = encode_all(model, _decoded(faces), None, mirror=False)
    stats = LatentStats(codes.z.mean(dim=0), codes.z.std(dim=0))
    z = stats.normalise(codes.z)
    layer = fit_layer(config, 0, labels, lambda rows: z[rows])
    cached_s = time.process_time() - started

    def encoded(rows: Tensor) -> Tensor:
        x = unit_range(torch.stack([faces[int(i)]["image"] for i in rows]))
        with torch.no_grad():
            return stats.normalise(model.encode(x))

    started = time.process_time()
    anew = fit_layer(config, 0, labels, encoded)
    anew_s = time.process_time() - started
    seeds = [_accuracy(fit_layer(config, seed, labels, lambda rows: z[rows]), stats, held_out) for seed in range(1, 6)]
    body = f"""{EPOCHS} epochs over {len(labels)} training faces of {arguments.data.name}, batch {config.batch_size}, on
emorph-base; both decode and encode one by one process, the cached side's encoding is counted. {
        anew_s / cached_s:.1f} times faster
({EPOCHS} would be the most that encoding once can give).

{
        table(
            ["", "CPU seconds", "accuracy on held-out faces"],
            [
                ["encoded once", f"{cached_s:.2f}", f"{_accuracy(layer, stats, held_out):.1%}"],
                ["encoded in every epoch", f"{anew_s:.2f}", f"{_accuracy(anew, stats, held_out):.1%}"],
            ],
        )
    }

Other seeds (1 to 5): {min(seeds):.1%} to {max(seeds):.1%} (n = {len(held_out.labels)}).
"""
    write_section("Classifier", f"python bench/classifier.py --data {arguments.data.name}", body)


def _some(store: FaceStore, n: int) -> Subset[dict[str, Tensor]]:
    """Every k-th face, and all of the rare emotions', so that none is missing."""
    counts = torch.bincount(torch.from_numpy(store.labels), minlength=len(WORDS))
    every = max(1, len(store) // n)
    return Subset(store, [i for i, label in enumerate(store.labels) if i % every == 0 or counts[label] < 20])


def _decoded(faces: FaceStore | Subset[dict[str, Tensor]]) -> TensorFaces:
    """Pictures in memory, so that no cache on disk is found."""
    rows = [faces[i] for i in range(len(faces))]
    return TensorFaces(torch.stack([r["image"] for r in rows]), torch.stack([r["label"] for r in rows]))


def _accuracy(layer: tuple[Tensor, Tensor], stats: LatentStats, held_out: Codes) -> float:
    return judged(Directions(*layer, WORDS, stats), held_out).accuracy


if __name__ == "__main__":
    main()
