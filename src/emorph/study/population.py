"""Made people who judge made photos: what a simulation draws votes from, and what an analysis should then find."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from emorph.study.statistics import bradley_terry as bt
from emorph.study.statistics.estimates import Floats, expit
from emorph.study.statistics.identification import Answers
from emorph.study.statistics.preference import Comparisons

N_NODES = 61  # of Gauss and Hermite's rule over people and photos


@dataclass(frozen=True)
class Judges:
    """How people choose between methods.

    abilities: log odds of a middling person on a middling photo, one a method. people_sd, photos_sd: how much each
    method's ability differs from person to person and from photo to photo. left: log odds of left over right between
    equals. tie: the logarithm of Davidson's nu; None where no tie may be said.
    """

    abilities: tuple[float, ...]
    people_sd: float = 0.5
    photos_sd: float = 0.5
    left: float = 0.0
    tie: float | None = None

    def draw(self, n_people: int, n_photos: int, n_trials: int, rng: np.random.Generator) -> Comparisons:
        """The votes of a study in which each person meets ``n_trials`` pairs, balanced as ``emorph study new`` does."""
        n = len(self.abilities)
        left, right, photo = (
            np.concatenate(part)
            for part in zip(*(_block(n, n_photos, n_trials, rng) for _ in range(n_people)), strict=True)
        )
        person = np.repeat(np.arange(n_people), n_trials)
        taste = rng.normal(0, self.people_sd, (n_people, n)) + np.array(self.abilities)
        suits = rng.normal(0, self.photos_sd, (n_photos, n))
        gap = (taste[person, left] + suits[photo, left]) - (taste[person, right] + suits[photo, right])
        outcome = (rng.random(len(gap))[:, None] > self._chances(gap).cumsum(axis=1)).sum(axis=1)
        names = tuple(f"method {i + 1}" for i in range(n))
        return Comparisons(names, left, right, outcome.astype(np.int64), person, photo)

    def truth(self) -> tuple[Floats, Floats]:
        """Abilities (n,) and chances of being chosen (n, n) over all people and photos.

        What endlessly many votes would give: people who differ make the choices of a crowd less sharp than those of a
        middling person, so these abilities lie closer together than ``abilities``.
        """
        n = len(self.abilities)
        left, right = (np.array(side) for side in zip(*_both_orders(n), strict=True))
        nodes, weights = np.polynomial.hermite_e.hermegauss(N_NODES)
        spread = np.sqrt(2 * (self.people_sd**2 + self.photos_sd**2)) * nodes
        abilities = np.array(self.abilities)
        chances = self._chances((abilities[left] - abilities[right])[:, None] + spread)
        crowd = np.einsum("kqo,q->ko", chances, weights / weights.sum())
        model = bt.Model.of(n, left, right, has_ties=self.tie is not None, has_side=True)
        counts = np.zeros(model.n_cells)
        for outcome in range(3):
            counts[model.cells(left, right, np.full(len(left), outcome))] = crowd[:, outcome]
        fitted = bt.fit(model, counts[None])
        return fitted.abilities[0], fitted.superiority()[0]

    def _chances(self, gap: Floats) -> Floats:
        """(..., 3): of left, tie and right."""
        tie = np.full_like(gap, -np.inf if self.tie is None else self.tie)
        scores = np.stack([(gap + self.left) / 2, tie, -(gap + self.left) / 2], axis=-1)
        odds = np.exp(scores - scores.max(axis=-1, keepdims=True))
        found: Floats = odds / odds.sum(axis=-1, keepdims=True)
        return found


def one_better(n: int, superiority: float, *, people_sd: float, photos_sd: float, tie: float | None) -> Judges:
    """Judges to whom the first of ``n`` methods is better than all others, which are alike.

    superiority: the chance over all people and photos that the first is chosen over another.
    """

    from scipy import optimize

    def judges(ability: float, methods: int = 2) -> Judges:
        return Judges((ability, *[0.0] * (methods - 1)), people_sd, photos_sd, tie=tie)

    ability = optimize.brentq(lambda a: float(judges(a).truth()[1][0, 1]) - superiority, -8, 8)
    return judges(float(ability), n)


@dataclass(frozen=True)
class Viewers:
    """How people name emotions: log odds of naming the right one, [method][target], of a middling person and photo."""

    log_odds: tuple[tuple[float, ...], ...]
    people_sd: float = 0.5
    photos_sd: float = 0.5

    def draw(self, n_people: int, n_photos: int, n_trials: int, rng: np.random.Generator) -> Answers:
        """The answers of a study; who is wrong names any other emotion, or none of them, alike."""
        n_methods, n_targets = np.shape(self.log_odds)
        person = np.repeat(np.arange(n_people), n_trials)
        photo = np.concatenate([_spread(n_photos, n_trials, rng) for _ in range(n_people)])
        both = np.concatenate([_spread(n_methods * n_targets, n_trials, rng) for _ in range(n_people)])
        method, target = both // n_targets, both % n_targets
        ease = rng.normal(0, self.people_sd, n_people)[person] + rng.normal(0, self.photos_sd, n_photos)[photo]
        right = rng.random(len(person)) < expit(np.array(self.log_odds)[method, target] + ease)
        wrong = (target + rng.integers(1, n_targets + 1, len(person))) % (n_targets + 1)
        return Answers(
            tuple(f"method {i + 1}" for i in range(n_methods)),
            tuple(f"emotion {i + 1}" for i in range(n_targets)),
            method,
            target,
            np.where(right, target, wrong),
            person,
            photo,
        )

    def truth(self) -> Floats:
        """(methods, targets): the share of right answers over all people and photos."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(N_NODES)
        spread = np.hypot(self.people_sd, self.photos_sd) * nodes
        found: Floats = expit(np.array(self.log_odds)[:, :, None] + spread) @ (weights / weights.sum())
        return found


def _both_orders(n: int) -> list[tuple[int, int]]:
    return [order for i, j in combinations(range(n), 2) for order in ((i, j), (j, i))]


def _block(n_methods: int, n_photos: int, n_trials: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """What one person meets: methods left and right, and the photo, (n_trials,) each; all as even as can be."""
    pairs = np.array(list(combinations(range(n_methods), 2)))[_spread(n_methods * (n_methods - 1) // 2, n_trials, rng)]
    turned = rng.permutation(np.arange(n_trials) % 2)
    rows = np.arange(n_trials)
    return pairs[rows, turned], pairs[rows, 1 - turned], _spread(n_photos, n_trials, rng)


def _spread(n: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """Whole numbers below n, (length,), in random order, each as often as the others or once more."""
    rounds = [rng.permutation(n) for _ in range(-(-length // n))]
    return np.concatenate(rounds)[:length]
