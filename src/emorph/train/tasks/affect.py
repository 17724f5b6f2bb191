"""Valence and arousal on z_sem: two ridge regressors, and by how much the mean face moves with each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from emorph.data.store import AFFECT_COLUMNS
from emorph.evaluate.metrics.affect import ccc, pcc, rmse, sagr
from emorph.models.directions import AffectAxes, Directions
from emorph.train.codes import Codes

LEAST_FACES = 100  # below, two regressors of 512 weights say nothing
RIDGES = tuple(10.0**k for k in range(-3, 4))  # tried, in variances of a code's numbers, which are 1


@dataclass(frozen=True)
class AffectScore:
    """One regressor's agreement with held-out annotations of n faces."""

    n: int
    rmse: float
    pcc: float
    ccc: float
    sagr: float


def fit_affect(z: Tensor, codes: Codes) -> AffectAxes | None:
    """The axes of the faces with valence and arousal; None if they are fewer than LEAST_FACES or all the same.

    z: (N, z_dim), the codes, normalised. The ridge is the one of RIDGES with the least generalised cross-validation
    error (Golub et al. 1979) on the faces without their mirror images, for each of the two alone. Confounds are not
    read: the slopes are those at equal light and head pose (a regression of z on valence, arousal and the confounds
    together).
    """
    if codes.affect is None:
        return None
    known = codes.affect.isfinite().all(dim=1)
    y = codes.affect[known].double()
    if len(y) < LEAST_FACES or bool((y.std(dim=0) < 1e-3).any()):
        return None
    x = z[known].double()
    centre, mean = x.mean(dim=0), y.mean(dim=0)
    own = slice(None) if codes.own is None else codes.own[known]
    weight = torch.stack([_ridge(x - centre, y[:, i] - mean[i], own) for i in range(y.shape[1])])
    slopes = _slopes(x - centre, y - mean, codes.confounds[known].double())
    return AffectAxes(weight.float(), (mean - weight @ centre).float(), slopes.float())


def _ridge(x: Tensor, y: Tensor, own: Tensor | slice) -> Tensor:
    """Weights (n_features,) of the best ridge for y (N,); x: (N, n_features), both of mean 0.

    own: the rows that count as faces of their own; the ridge is chosen on these, and the weights are fitted to all.
    """
    chosen = _least_error(x[own] - x[own].mean(dim=0), y[own] - y[own].mean())
    gram = x.T @ x / len(x) + chosen * torch.eye(x.shape[1], dtype=x.dtype)
    weights: Tensor = torch.linalg.solve(gram, x.T @ y / len(x))
    return weights


def _least_error(x: Tensor, y: Tensor) -> float:
    """The ridge of the least generalised cross-validation error."""
    values, vectors = torch.linalg.eigh(x.T @ x / len(x))
    along = vectors.T @ (x.T @ y / len(x))
    errors = []
    for ridge in RIDGES:
        shrunk = along / (values + ridge)
        residual = y.square().mean() - 2 * (shrunk * along).sum() + (shrunk.square() * values).sum()
        freedom = (values / (values + ridge)).sum() / len(x)
        errors.append(float(residual / (1 - freedom).clamp(min=1e-6) ** 2))
    return RIDGES[errors.index(min(errors))]


def _slopes(x: Tensor, y: Tensor, confounds: Tensor) -> Tensor:
    """By how much x (N, n_features) moves for one unit of each column of y (N, 2), the confounds being equal."""
    varying = confounds[:, (confounds - confounds[:1]).abs().amax(dim=0) > 1e-6]
    standard = varying - varying.mean(dim=0)
    slopes: Tensor = torch.linalg.lstsq(torch.cat([y, standard], dim=1), x, driver="gelsd").solution
    return slopes[: y.shape[1]]


def score_affect(directions: Directions, held_out: Codes) -> dict[str, AffectScore]:
    """How the regressors agree with held-out annotations, by column; empty without the one or the other."""
    known = held_out.annotated()
    if directions.affect is None or known.affect is None or len(known.z) < 2:
        return {}
    answers = directions.affect_of(known.z)
    scores = {}
    for i, name in enumerate(AFFECT_COLUMNS):
        pair = known.affect[:, i], answers[:, i]
        scores[name] = AffectScore(len(known.z), rmse(*pair), pcc(*pair), ccc(*pair), sagr(*pair))
    return scores
