"""Whether a classifier means its probabilities: reliability bins, expected calibration error, temperature."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

N_BINS = 15
_LOG_RANGE = (math.log(0.05), math.log(20.0))  # temperatures that are tried
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Bin:
    """The faces whose highest probability lies in (low, high]: how many, its mean, and the share answered rightly."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """A classifier's probabilities on held-out faces.

    ece, nll: expected calibration error and mean negative log-likelihood, as they are. bins: of these probabilities,
    without empty ones. temperature: what the logits are to be divided by, fitted on all of the faces.
    scaled_ece, scaled_nll: with a temperature that each half of the faces has from the other half.
    """

    ece: float
    nll: float
    bins: tuple[Bin, ...]
    temperature: float
    scaled_ece: float
    scaled_nll: float


def calibration(logits: Tensor, labels: Tensor) -> Calibration:
    """Measure and fit. logits: float (N, K); labels: int64 (N,), N at least 2."""
    bins = reliability(logits.softmax(dim=1), labels)
    half = torch.arange(len(labels)) % 2 == 0
    scaled = torch.empty_like(logits)
    for own, other in ((half, ~half), (~half, half)):
        scaled[own] = logits[own] / fit_temperature(logits[other], labels[other])
    return Calibration(
        ece=expected_error(bins),
        nll=float(F.cross_entropy(logits, labels)),
        bins=bins,
        temperature=fit_temperature(logits, labels),
        scaled_ece=expected_error(reliability(scaled.softmax(dim=1), labels)),
        scaled_nll=float(F.cross_entropy(scaled, labels)),
    )


def reliability(probabilities: Tensor, labels: Tensor, n_bins: int = N_BINS) -> tuple[Bin, ...]:
    """Confidence and accuracy in bins of equal width. probabilities: (N, K); labels: int64 (N,)."""
    confidence, answer = probabilities.max(dim=1)
    right = (answer == labels).double()
    place = (confidence * n_bins).ceil().long().sub(1).clamp(0, n_bins - 1)
    bins = []
    for i in range(n_bins):
        rows = place == i
        if n := int(rows.sum()):
            means = float(confidence[rows].double().mean()), float(right[rows].mean())
            bins.append(Bin(i / n_bins, (i + 1) / n_bins, n, *means))
    return tuple(bins)


def expected_error(bins: tuple[Bin, ...]) -> float:
    """Mean distance of confidence and accuracy over the bins, by their faces (ECE; Guo et al. 2017, Eq. 3)."""
    return sum(b.n * abs(b.confidence - b.accuracy) for b in bins) / sum(b.n for b in bins)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The number to divide logits by that makes the labels likeliest (Guo et al. 2017, Sec. 4.2).

    The likelihood has one peak along it, so golden sections of its logarithm find it, to four digits.
    """

    def loss(log_temperature: float) -> float:
        return float(F.cross_entropy(logits.double() / math.exp(log_temperature), labels))

    low, high = _LOG_RANGE
    inner = [high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)]
    losses = [loss(place) for place in inner]
    while high - low > 1e-4:
        if losses[0] < losses[1]:
            high, inner, losses = inner[1], [0.0, inner[0]], [0.0, losses[0]]
            inner[0] = high - _GOLDEN * (high - low)
            losses[0] = loss(inner[0])
        else:
            low, inner, losses = inner[0], [inner[1], 0.0], [losses[1], 0.0]
            inner[1] = low + _GOLDEN * (high - low)
            losses[1] = loss(inner[1])
    return math.exp((low + high) / 2)
