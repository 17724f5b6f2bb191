"""The mean code of each emotion, as one and the same person would show it.

Faces of two emotions differ in more than expression: other people, other light, heads turned otherwise. Photos of one
person tell the difference free of who it is; where people do not recur, differences between people are all there is.
A mixed model weighs the two: an intercept a person, drawn at random, beside what emotion and confounds add.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from emorph.train.tasks.confounds import standardised

ENOUGH = 50  # faces of a class from which its mean is taken as it is found
RIDGE = 1e-3  # of the mean diagonal: keeps the equations solvable where a confound tells a class


@dataclass(frozen=True)
class ClassMeans:
    """means: (K, z_dim). variance: (K,), squared error of each, summed over z_dim. person_share: of the variance that
    emotion and confounds do not explain, how much lies between people, in [0, 1)."""

    means: Tensor
    variance: Tensor
    person_share: float


def class_means(
    z: Tensor,
    labels: Tensor,
    n_classes: int,
    *,
    persons: Tensor | None = None,
    confounds: Tensor | None = None,
    own: Tensor | None = None,
) -> ClassMeans:
    """The mean code of each class at equal person and equal confounds.

    z: (N, z_dim), normalised; labels: int64 (N,), a face in each class. persons: int64 (N,), one number a person; None
    where every face is another person's. confounds: (N, n), what differs without being expression. own: bool (N,),
    False for mirror images, which are in the means and are no faces more.
    """
    design = torch.nn.functional.one_hot(labels, n_classes).double()
    if confounds is not None:
        design = torch.cat([design, standardised(confounds.double())], dim=1)
    found = within_people(design, z, persons)
    rows_a_face = 1.0 if own is None else len(own) / int(own.sum())
    variance = found.variance[:n_classes] * z.shape[1] * rows_a_face
    return ClassMeans(found.coefficients[:n_classes], variance, found.person_share)


@dataclass(frozen=True)
class MixedFit:
    """coefficients: (p, z_dim). variance: (p,), squared error of each, for one number of a code. person_share: as
    above."""

    coefficients: Tensor
    variance: Tensor
    person_share: float


def within_people(design: Tensor, z: Tensor, persons: Tensor | None) -> MixedFit:
    """What each column of ``design`` adds to a code, at an intercept a person that is drawn at random.

    design: float64 (N, p); z: (N, z_dim); persons: int64 (N,), or None where every face is another person's.
    The intercepts' share of the variance is that of Swamy & Arora (1972), pooled over z_dim; the fit is theirs on data
    from which a part of each person's mean is taken (Wooldridge 2010, Sec. 10.4).
    """
    codes = z.double()
    people = torch.arange(len(z)) if persons is None else torch.unique(persons, return_inverse=True)[1]
    residuals = codes - design @ _fit(design, codes)[0]
    within, between = _variances(residuals, people)
    counts = torch.bincount(people)[people].double()[:, None]
    taken = 1 - (1 + counts * between / within).rsqrt()
    design, codes = (values - taken * _means_of(values, people)[people] for values in (design, codes))
    coefficients, covariance = _fit(design, codes)
    return MixedFit(coefficients, covariance.diagonal() * within, float(between / (between + within)))


def guarded(found: ClassMeans, counts: Tensor, *, enough: int = ENOUGH) -> Tensor:
    """Class means (K, z_dim) that do not take a few faces' looks for an emotion.

    Each keeps the share s / (s + v) of its distance from the mean of all classes, v being its squared error and s the
    spread of the classes (James & Stein's estimator, as in Efron & Morris 1975). A class of fewer than ``enough`` faces
    is moreover expressed by what the others differ in. counts: (K,), faces of each class, mirror images not counted.
    """
    known = counts >= enough if (counts >= enough).sum() > 1 else counts > 0
    centre = found.means[known].mean(dim=0)
    offsets = found.means - centre
    spread = (offsets.square().sum(dim=1) - found.variance)[known].clamp(min=0).mean().clamp(min=1e-6)
    offsets = offsets * (spread / (spread + found.variance))[:, None]
    basis = torch.linalg.svd(offsets[known], full_matrices=False)[2][: int(known.sum()) - 1]
    offsets[~known] = offsets[~known] @ basis.T @ basis
    return centre + offsets


def _fit(design: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Least squares: coefficients (p, z_dim), and the inverse of the design's Gram matrix (p, p)."""
    gram = design.T @ design
    inverse = torch.linalg.inv(gram + RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype))
    return inverse @ design.T @ codes, inverse


def _variances(residuals: Tensor, people: Tensor) -> tuple[Tensor, Tensor]:
    """Variance within people and between them, per number of a code; none between people where nobody recurs."""
    n_people = int(people.max()) + 1
    total = residuals.square().mean()
    recurring = len(people) - n_people
    if not recurring:
        return total.clamp(min=1e-12), torch.zeros_like(total)
    deviations = residuals - _means_of(residuals, people)[people]
    within = (deviations.square().sum() / (recurring * residuals.shape[1])).clamp(min=1e-12)
    return within, (total - within).clamp(min=0)


def _means_of(values: Tensor, people: Tensor) -> Tensor:
    """The mean of each person's rows, (n_people, n)."""
    counts = torch.bincount(people)
    sums = torch.zeros(len(counts), values.shape[1], dtype=values.dtype).index_add(0, people, values)
    return sums / counts[:, None]
