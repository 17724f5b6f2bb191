"""A classifier's plan: the same questions as of a run of steps, how long and how often it sees what."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emorph.core.expressions import Emotion
from emorph.train.plan import FEW_EPOCHS
from emorph.train.plan_text import count_table
from emorph.train.tasks.head import HeadConfig
from emorph.train.tasks.head_fit import Length, orders

Faces = NDArray[np.int64] | int | None


def planned(head: HeadConfig, seed: int, faces: Faces, *, twice: bool) -> tuple[str, dict[str, Any]]:
    """What a fit will do, in words and as numbers. faces: as in ``FitConfig.planned``. twice: mirror images, too."""
    labelled = _labelled(faces)
    stated = {"samples": head.samples, "steps": head.steps, "epochs": head.epochs}
    budget = {unit: amount for unit, amount in stated.items() if amount is not None}
    told = " and ".join(
        f"{unit} = {amount:g}" if unit == "epochs" else f"{unit} = {amount:,}" for unit, amount in budget.items()
    )
    sizes: dict[str, Any] = {"batch_size": head.batch_size, "budget": budget}
    title = "a linear classifier on codes of faces that are encoded once and kept"
    if labelled is None:
        text = f"{title}; {told}, batch {head.batch_size}, of faces that are not there yet"
        return text, {"faces": None, "codes": None, "steps": None, "samples": None, "epochs": head.epochs, **sizes}
    codes = labelled * (2 if twice else 1)
    length = Length(head, codes)
    samples, epochs = length.samples(length.steps), length.epochs(length.steps)
    mirrored = f" and their mirror images, {codes:,} codes" if twice else ""
    lines = [
        f"{title}: {labelled:,} faces with a label{_without(faces, labelled)}{mirrored}",
        f"  {length.steps:,} steps x batch {head.batch_size} = {samples:,} samples = {epochs:.2f} epochs; "
        f"ends when the budget is spent ({told})",
    ]
    counts = _counts(head, seed, faces, twice=twice)
    if counts:
        lines += ["", *count_table("emotion", counts, samples)]
    warnings = _warnings(epochs, length, counts)
    lines += ["", *(f"warning: {warning}" for warning in warnings)] if warnings else []
    values = {
        "faces": labelled,
        "codes": codes,
        "steps": length.steps,
        "samples": samples,
        "epochs": epochs,
        **sizes,
        "classes": [{"word": word, "faces": faces, "samples": drawn} for word, faces, drawn in counts],
        "warnings": warnings,
    }
    return "\n".join(lines), values


def _labelled(faces: Faces) -> int | None:
    return int((faces >= 0).sum()) if isinstance(faces, np.ndarray) else faces


def _without(faces: Faces, labelled: int) -> str:
    """Why the number differs from the data set's."""
    others = len(faces) - labelled if isinstance(faces, np.ndarray) else 0
    return f" ({others:,} without one are not used)" if others else ""


def _counts(head: HeadConfig, seed: int, faces: Faces, *, twice: bool) -> list[tuple[str, int, int]]:
    """Word, faces and samples of each emotion, counted in the very orders that the fit takes."""
    if not isinstance(faces, np.ndarray):
        return []
    labels: NDArray[np.int64] = faces[faces >= 0]
    codes = np.tile(labels, 2 if twice else 1)
    length = Length(head, len(codes))
    samples = length.samples(length.steps)
    whole, rest = divmod(samples, len(codes))
    rounds = islice(orders(head, seed, torch.from_numpy(codes)), whole + 1)
    drawn = np.zeros(len(Emotion), np.int64)
    for i, order in enumerate(rounds):
        drawn += np.bincount(codes[order[: len(codes) if i < whole else rest]], minlength=len(Emotion))
    return [(e.word, int((labels == e.value).sum()), int(drawn[e.value])) for e in Emotion]


def _warnings(epochs: float, length: Length, counts: list[tuple[str, int, int]]) -> list[str]:
    warnings = []
    if epochs < FEW_EPOCHS:
        warnings.append(
            f"only {epochs:.2f} epochs: the fit ends because its budget is spent, not because the faces are learned. "
            f"Ten epochs would be {10 * length.epoch_steps:,} steps: budget.epochs = 10."
        )
    missing = [word for word, faces, _ in counts if not faces]
    if missing:
        warnings.append(f"no face is labelled {', '.join(missing)}; the classifier needs all eight emotions.")
    return warnings
