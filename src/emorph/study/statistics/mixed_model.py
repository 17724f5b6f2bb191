"""A logistic model of right and wrong answers in which people and photos are random: Laplace's approximation.

The likelihood is that of Bates, Mächler, Bolker and Walker (2015) for lme4's glmer, maximised over fixed effects and
both standard deviations; the random effects are found for each trial value by Newton's method. Two crossed factors
make their information two diagonal blocks and a table of people by photos, so each step solves a system as large as the
smaller factor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from emorph.study.statistics.estimates import Estimate, Floats, Ints, Size, expit, holm, t_quantile, two_sided_p

N_STEPS = 60
NO_VARIANCE = 1e-3  # a standard deviation below it lies on its bound
DIFFERENCE = 1e-3  # of a parameter, for second derivatives
INFINITE_DF = math.inf


@dataclass(frozen=True)
class OddsRatio:
    """Odds of a right answer with ``first`` over those with ``second``; p_holm over all pairs of methods."""

    first: str
    second: str
    ratio: Estimate
    p: float
    p_holm: float


@dataclass(frozen=True)
class MixedModel:
    """people_sd, photos_sd: of the log odds. ratios: of each two methods. left_out: methods without a finite odds."""

    methods: tuple[str, ...]
    size: Size
    people_sd: float
    photos_sd: float
    ratios: tuple[OddsRatio, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Fit:
    """fixed: (p,). covariance: (p, p). sds: of people and of photos. log_likelihood: by Laplace's approximation."""

    fixed: Floats
    covariance: Floats
    sds: tuple[float, float]
    log_likelihood: float


def compare(
    methods: Sequence[str],
    method: Ints,
    target: Ints,
    right: NDArray[np.bool_],
    participant: Ints,
    photo: Ints,
) -> MixedModel | None:
    """Odds ratios of right answers between methods, with targets as fixed effects, people and photos as random.

    All (n,), methods and targets by number. Methods and targets whose answers were all right or all wrong have no
    finite odds and are left out. None if fewer than two methods or two people are left.
    """
    keep = np.ones(len(right), np.bool_)
    for codes in (method, target, method):  # a target that leaves may take a method's only errors with it
        keep &= _varies(codes, right, keep)
    kept = [int(i) for i in np.unique(method[keep])]
    left_out = tuple(methods[i] for i in np.unique(method) if i not in kept)
    if len(kept) < 2 or len(np.unique(participant[keep])) < 2:
        return None
    design = np.concatenate([_indicators(method[keep]), _indicators(target[keep])[:, 1:]], axis=1)
    fitted = fit(design, right[keep], np.ones(int(keep.sum())), participant[keep], photo[keep])
    size = Size.of(participant[keep], photo[keep])
    rows = []
    for i, j in combinations(range(len(kept)), 2):
        gap = float(fitted.fixed[i] - fitted.fixed[j])
        variance = fitted.covariance[i, i] + fitted.covariance[j, j] - 2 * fitted.covariance[i, j]
        rows.append((i, j, gap, math.sqrt(max(float(variance), 0.0))))
    p_values = np.array([two_sided_p(gap / error, INFINITE_DF) if error > 0 else np.nan for _, _, gap, error in rows])
    reach = t_quantile(INFINITE_DF)
    ratios = tuple(
        OddsRatio(
            methods[kept[i]],
            methods[kept[j]],
            size.estimate(math.exp(gap), math.exp(gap - reach * error), math.exp(gap + reach * error)),
            float(p),
            float(p_holm),
        )
        for (i, j, gap, error), p, p_holm in zip(rows, p_values, holm(p_values), strict=True)
    )
    return MixedModel(tuple(methods[i] for i in kept), size, *fitted.sds, ratios, left_out)


def fit(design: Floats, right: NDArray[np.generic], trials: Floats, participant: Ints, photo: Ints | None) -> Fit:
    """The most likely fixed effects of ``design`` (n, p) and standard deviations, for ``right`` of ``trials`` (n,).

    photo: None where only people are random. The covariance is that of the curvature in all parameters, as glmer's.
    """
    from scipy import optimize

    problem = _Problem(design, np.asarray(right, np.float64), trials, participant, photo)
    n_sds = 1 if photo is None else 2
    start = np.concatenate([np.full(n_sds, 0.5), np.zeros(design.shape[1])])
    bounds = [(0.0, 10.0)] * n_sds + [(-15.0, 15.0)] * design.shape[1]
    options = {"maxiter": 200, "ftol": 1e-12, "gtol": 1e-6}
    found = optimize.minimize(problem.deviance, start, method="L-BFGS-B", bounds=bounds, jac="3-point", options=options)
    fixed = found.x[n_sds:]
    inner = np.concatenate([found.x[:n_sds] > NO_VARIANCE, np.ones(len(fixed), np.bool_)])
    inverse = np.linalg.pinv(problem.curvature(found.x, inner) / 2).astype(np.float64)
    sds = (float(found.x[0]), 0.0 if photo is None else float(found.x[1]))
    return Fit(fixed, inverse[-len(fixed) :, -len(fixed) :], sds, -float(found.fun) / 2)


class _Problem:
    """The deviance of one data set; keeps the last random effects, from which the next search starts."""

    def __init__(self, design: Floats, right: Floats, trials: Floats, participant: Ints, photo: Ints | None) -> None:
        self.design, self.right, self.trials = design, right, trials
        codes = [np.unique(groups, return_inverse=True)[1] for groups in (participant, photo) if groups is not None]
        codes.sort(key=lambda groups: -int(groups.max()))  # the larger factor is eliminated
        self.swapped = photo is not None and len(np.unique(participant)) < len(np.unique(photo))
        self.first = codes[0]
        self.second = codes[1] if photo is not None else np.zeros(len(right), np.int64)
        self.n = (int(self.first.max()) + 1, int(self.second.max()) + 1)
        self.cell = self.first * self.n[1] + self.second
        self.effects = (np.zeros(self.n[0]), np.zeros(self.n[1]))
        wrong = trials - self.right
        from scipy import special

        ways = special.gammaln(trials + 1) - special.gammaln(self.right + 1) - special.gammaln(wrong + 1)
        self.constant = float(2 * ways.sum())
        self.n_sds = 1 if photo is None else 2

    def deviance(self, parameters: Floats) -> float:
        """Minus twice the log likelihood at (standard deviations, fixed effects)."""
        sds = list(parameters[: self.n_sds]) + [0.0] * (2 - self.n_sds)
        if self.swapped:
            sds.reverse()
        offset = self.design @ parameters[self.n_sds :]
        a, c = self.effects
        value = self._penalised(offset, sds, a, c)
        for _ in range(N_STEPS):
            da, dc, decrement, _ = self._step(offset, sds, a, c)
            while (new := self._penalised(offset, sds, a + da, c + dc)) > value + 1e-12 and decrement > 1e-14:
                da, dc, decrement = da / 2, dc / 2, decrement / 2
            a, c, value = a + da, c + dc, new
            if decrement < 1e-14:
                break
        self.effects = (a, c)
        return value + self._step(offset, sds, a, c)[3] - self.constant

    def curvature(self, parameters: Floats, inner: NDArray[np.bool_]) -> Floats:
        """Second derivatives of the deviance in the parameters that lie on no bound; 0 in the others."""
        places: list[int] = np.flatnonzero(inner).tolist()
        found = np.zeros((len(parameters), len(parameters)))

        def at(*moves: tuple[int, float]) -> float:
            moved = parameters.copy()
            for place, move in moves:
                moved[place] += move
            return self.deviance(moved)

        h, middle = DIFFERENCE, self.deviance(parameters)
        for i in places:
            found[i, i] = (at((i, h)) - 2 * middle + at((i, -h))) / h**2
        for i, j in combinations(places, 2):
            cross = at((i, h), (j, h)) - at((i, h), (j, -h)) - at((i, -h), (j, h)) + at((i, -h), (j, -h))
            found[i, j] = found[j, i] = cross / (4 * h**2)
        return found

    def _scores(self, offset: Floats, sds: Sequence[float], a: Floats, c: Floats) -> Floats:
        found: Floats = offset + sds[0] * a[self.first] + sds[1] * c[self.second]
        return found

    def _penalised(self, offset: Floats, sds: Sequence[float], a: Floats, c: Floats) -> float:
        scores = self._scores(offset, sds, a, c)
        likelihood = self.right @ scores - self.trials @ np.logaddexp(0, scores)
        return float(-2 * likelihood + a @ a + c @ c)

    def _step(self, offset: Floats, sds: Sequence[float], a: Floats, c: Floats) -> tuple[Floats, Floats, float, float]:
        """Newton's step of both factors, how much it promises, and the log determinant of their information."""
        chance = expit(self._scores(offset, sds, a, c))
        weight, left = self.trials * chance * (1 - chance), self.right - self.trials * chance
        ga = sds[0] * np.bincount(self.first, left, self.n[0]) - a
        gc = sds[1] * np.bincount(self.second, left, self.n[1]) - c
        table = np.bincount(self.cell, weight, self.n[0] * self.n[1]).reshape(self.n)
        diagonal = 1 + sds[0] ** 2 * table.sum(axis=1)
        cross = sds[0] * sds[1] * table
        rest = np.diag(1 + sds[1] ** 2 * table.sum(axis=0)) - cross.T @ (cross / diagonal[:, None])
        dc = np.linalg.solve(rest, gc - cross.T @ (ga / diagonal))
        da = (ga - cross @ dc) / diagonal
        log_determinant = np.log(diagonal).sum() + np.linalg.slogdet(rest)[1]
        return da, dc, float(ga @ da + gc @ dc), float(log_determinant)


def _varies(codes: Ints, right: NDArray[np.bool_], keep: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether each answer belongs to a level of ``codes`` of which some answers are right and some wrong."""
    size = int(codes.max()) + 1 if len(codes) else 0
    n, n_right = np.bincount(codes[keep], minlength=size), np.bincount(codes[keep], right[keep], minlength=size)
    found: NDArray[np.bool_] = ((n_right > 0) & (n_right < n))[codes]
    return found


def _indicators(codes: Ints) -> Floats:
    levels, code = np.unique(codes, return_inverse=True)
    return np.eye(len(levels))[code]
