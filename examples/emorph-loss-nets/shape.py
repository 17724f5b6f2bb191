"""Train emorph-loss-shape: ICT-FaceKit's coefficients off a face, the same identity for every photo of a person.

python examples/emorph-loss-nets/shape.py faces.npz runs/emorph-loss-shape [--london london.parquet]

It learns from the fits that faces.py made. Of a person with several photos the target is the mean of the fits, and the
photos' shapes are drawn together and away from others' (InfoNCE, van den Oord et al. 2018, on their cosine).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from drawn import Columns, changed, plain, read, train
from faces import WINDOW, decoded, window
from numpy.typing import NDArray
from torch import Tensor

from emorph.core.types import CropSpec
from emorph.face3d.fit import fit_landmarks
from emorph.face3d.ict import ICT
from emorph.models.shape_net import ReadShape, ShapeNet, ShapeNetConfig

N_SINGLE, N_PAIRS = 48, 16  # faces of a step, and pairs of one person's
EXPRESSION_WEIGHT = 12.0  # action units are 0..1, shapes have deviation 1
TEMPERATURE = 0.15


def main() -> None:
    """Train, save, and say how well people are told apart that were not trained on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--start", type=Path, help="folder of an earlier run to go on from")
    parser.add_argument("--agreement", type=float, default=0.1, help="weight of the loss between a person's photos")
    parser.add_argument("--london", type=Path)
    parser.add_argument("--ict", type=Path, help="ict_face.npz, for the fits of London's faces")
    parser.add_argument("--only-measure", action="store_true", help="of the network in OUT")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    columns = read(arguments.faces)
    if not arguments.only_measure:
        used = columns["fitted"] & (columns["split"] == "train")
        rows = {name: values[used] for name, values in columns.items() if name != "units"}
        config = ShapeNetConfig(
            units=tuple(str(name) for name in columns["units"]),
            crop=WINDOW,
            trained_on=tuple(f"{name}/train" for name in sorted(set(rows["source_set"].tolist()))),
        )
        model = ShapeNet(config)
        loss = _loss(model, rows, arguments.agreement)
        if arguments.start:
            model.load_state_dict(ShapeNet.from_pretrained(arguments.start).state_dict())
        train(model, loss, arguments.steps, arguments.out).save_pretrained(arguments.out, dtype=torch.float16)
    model = ShapeNet.from_pretrained(arguments.out)
    for line in measured(model, columns):
        print(line)
    if arguments.london:
        print(london(model, arguments.london, ICT.load(arguments.ict)))


def _loss(model: ShapeNet, rows: Columns, agreement: float) -> Callable[[int], Tensor]:
    """The loss of a step on faces drawn anew."""
    side, seeds = model.config.image_size, np.random.default_rng(0)
    person = np.unique(rows["identity"], return_inverse=True)[1]
    shape, expression = person_means(rows["shape"], person), rows["expression"]
    scale, usual = float(shape.std(axis=0).max()), float(np.sqrt(shape.var(axis=0).sum()))
    with torch.no_grad():  # it starts at the mean face
        model.head.bias.copy_(torch.from_numpy(np.concatenate([shape.mean(axis=0), expression.mean(axis=0)])))
    members = [np.flatnonzero(person == i) for i in np.flatnonzero(np.bincount(person) > 1)]
    generator = torch.Generator().manual_seed(0)
    model.to(memory_format=torch.channels_last)

    def loss(step: int) -> Tensor:
        single = seeds.integers(len(person), size=N_SINGLE)
        pairs = [seeds.choice(members[i], 2, replace=False) for i in seeds.choice(len(members), N_PAIRS, replace=False)]
        drawn = np.concatenate([np.array(pairs).ravel(), single])
        x = changed(rows["pixels"][drawn], side, generator, mirror=False)
        with torch.autocast("cpu", torch.bfloat16):
            found = model(x.contiguous(memory_format=torch.channels_last), model.config.crop)
        error = F.mse_loss(found.shape.float(), torch.from_numpy(shape[drawn])) / scale**2
        units = F.mse_loss(found.expression.float(), torch.from_numpy(expression[drawn]))
        return error + EXPRESSION_WEIGHT * units + agreement * disagreement(found.shape.float(), person[drawn], usual)

    return loss


def person_means(values: NDArray[np.float32], person: NDArray[np.int64]) -> NDArray[np.float32]:
    """Each row's mean over the rows of its person."""
    sums = np.zeros((person.max() + 1, values.shape[1]))
    np.add.at(sums, person, values)
    return (sums / np.bincount(person)[:, None])[person].astype(np.float32)


def disagreement(shape: Tensor, person: NDArray[np.int64], usual: float) -> Tensor:
    """How little the first 2 * N_PAIRS rows, pairs of one person, are nearer to their partner than to all others.

    usual: length of a shape, off the mean.
    """
    off = shape - shape.detach().mean(dim=0)
    off = off / (off.square().sum(dim=1, keepdim=True) + usual**2).sqrt()  # near the mean a cosine has no direction
    likeness = off[: 2 * N_PAIRS] @ off.T / TEMPERATURE
    partner = torch.arange(2 * N_PAIRS) ^ 1
    who = torch.from_numpy(person)
    rival = who[: 2 * N_PAIRS, None] != who
    rival[torch.arange(2 * N_PAIRS), partner] = True
    return F.cross_entropy(likeness.masked_fill(~rival, -1e4), partner)


@torch.inference_mode()
def answers(model: ShapeNet, pixels: NDArray[np.uint8]) -> ReadShape:
    """Of stored windows."""
    found = [model(x, model.config.crop) for x in plain(pixels, model.config.image_size)]
    return ReadShape(torch.cat([f.shape for f in found]), torch.cat([f.expression for f in found]))


def measured(model: ShapeNet, columns: Columns) -> list[str]:
    """Identity and expression on people of LFW that were not trained on, beside the fit's."""
    held = columns["fitted"] & (columns["split"] == "val") & (columns["source_set"] == "lfw")
    found = answers(model, columns["pixels"][held])
    persons = columns["identity"][held]
    own, fit = (interval(np.asarray(s, np.float64), persons) for s in (found.shape, columns["shape"][held]))
    units, wanted = found.expression.numpy(), columns["expression"][held]
    lines = [f"{held.sum()} photos of {len(set(persons.tolist()))} people of LFW (val): identity AUC {own}; fit {fit}"]
    for name in ("mouthSmile_L", "jawOpen", "browInnerUp_L", "eyeBlink_L"):
        if name in model.config.units:
            k = model.config.units.index(name)
            lines.append(f"{name}: correlation with the fit {np.corrcoef(units[:, k], wanted[:, k])[0, 1]:.2f}")
    return lines


def london(model: ShapeNet, path: Path, face: ICT) -> str:
    """Whether a neutral and a smiling photo of one person agree more than those of two persons."""
    rows = pq.read_table(path).to_pylist()
    pixels = np.stack([window(decoded(row["image"], cv2.IMREAD_COLOR), CropSpec()) for row in rows])
    sides = [decoded(row["image"], cv2.IMREAD_COLOR).shape[0] for row in rows]
    marks = [np.frombuffer(row["landmarks68"], "<f2").reshape(68, 2).astype(np.float32) for row in rows]
    points = np.stack([(m + 0.5) / side for m, side in zip(marks, sides, strict=True)])
    fit = fit_landmarks(face, torch.from_numpy(points) * 128 - 0.5, 128).coeffs.shape.numpy()
    persons = np.array([row["identity"] for row in rows])
    own, beside = (interval(np.asarray(s, np.float64), persons) for s in (answers(model, pixels).shape, fit))
    return f"{len(rows)} photos of {len(set(persons.tolist()))} people of London: identity AUC {own}; fit {beside}"


def interval(shape: NDArray[np.float64], persons: NDArray[np.str_], n_draws: int = 200) -> str:
    """The AUC, and its 95 % interval when people are drawn anew."""
    names, person = np.unique(persons, return_inverse=True)
    off = shape - shape.mean(axis=0)
    off /= np.linalg.norm(off, axis=1, keepdims=True)
    likeness = off @ off.T
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(n_draws):
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))[person]
        drawn.append(auc(likeness, person, times))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{auc(likeness, person, np.ones(len(person), int)):.3f} ({low:.3f} to {high:.3f})"


def auc(likeness: NDArray[np.float64], person: NDArray[np.int64], times: NDArray[np.int64]) -> float:
    """How often a pair of one person is more alike than one of two; each face counts ``times``."""
    first, second = np.triu_indices(len(person), k=1)
    weight = (times[first] * times[second]).astype(np.float64)
    same, value = person[first] == person[second], likeness[first, second]
    order = value.argsort()
    same, weight = same[order], weight[order]
    below = np.cumsum(np.where(same, 0, weight))
    return float((below * np.where(same, weight, 0)).sum() / (weight[same].sum() * weight[~same].sum()))


if __name__ == "__main__":
    main()
