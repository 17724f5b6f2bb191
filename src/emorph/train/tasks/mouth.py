"""The mouth's shape on z_sem: three ridge readers, the steps that change it, and how much of it is expression."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from emorph.core.errors import DataError
from emorph.core.expressions import Emotion
from emorph.models.mouth import MEASURES, MouthAxes, mouth_shape
from emorph.train.codes import Codes
from emorph.train.tasks.confounds import standardised


def fit_mouth(
    z: Tensor, codes: Codes, means: Tensor, lips: Mapping[str, float], ridge: float
) -> tuple[MouthAxes, Tensor]:
    """The axes, and the class means (8, z_dim) with the lips' gap that ``lips`` gives some emotions by their words.

    z: (N, z_dim), the codes, normalised, of faces that all have a label. A class without an entry in ``lips`` gets no
    mouth of its own. The steps are those at equal light, pose and label: the regression of z on the measures and the
    confounds together, within classes. Raises DataError without landmarks, or where mouths do not differ.
    """
    if codes.landmarks is None:
        raise DataError("[head] lips is set, but the data set has no column 'landmarks68'.")
    x, shape = z.double(), mouth_shape(codes.landmarks).double()
    weight, bias = ridge_regression(x, shape, ridge)
    inner_x, inner_shape = (_within(values, codes.labels) for values in (x, shape))
    inner_confounds = _within(standardised(codes.confounds.double()), codes.labels)
    regressors = torch.cat([inner_shape, inner_confounds], dim=1)
    patterns = torch.linalg.lstsq(regressors, inner_x).solution[: len(MEASURES)]
    try:
        patterns = torch.linalg.solve(patterns @ weight.T, patterns)  # the readers then see a step of 1 as 1
    except RuntimeError:  # a singular matrix
        raise DataError("[head] lips is set, but the mouths of the training faces do not differ.") from None
    patterns = with_the_jaw(patterns, inner_shape)
    wanted = means.double() @ weight.T + bias
    for word, gap in lips.items():
        wanted[Emotion.parse(word), 0] = gap
    moved = means.double() + (wanted - means.double() @ weight.T - bias) @ patterns
    untouched = [emotion.word not in lips for emotion in Emotion]
    wanted[untouched] = torch.nan
    share = expression_share(inner_shape, codes)
    axes = MouthAxes(*(tensor.float().contiguous() for tensor in (weight, bias, patterns, share, wanted)))
    return axes, moved.to(means.dtype)


def with_the_jaw(patterns: Tensor, shape: Tensor) -> Tensor:
    """The steps (3, z_dim) of a mouth's measures, the gap's with what width and lift do when mouths open.

    shape: (N, 3), within classes. A jaw takes the corners of the mouth down with it: lips that part while their corners
    stay open to a point.
    """
    gap = shape[:, 0]
    slopes = (gap @ shape) / gap.square().sum().clamp(min=1e-12)  # (3,), of which the gap's own is 1
    return torch.cat([slopes[None] @ patterns, patterns[1:]])


def expression_share(shape: Tensor, codes: Codes) -> Tensor:
    """Variance between photos of one person with one label over the variance of all with that label, (n,) in [0, 1].

    shape: (N, n), without the class means. 1 where the data set does not tell persons apart.
    """
    if codes.persons is None:
        return torch.ones_like(shape[0])
    groups = torch.unique(torch.stack([codes.persons, codes.labels]), dim=1, return_inverse=True)[1]
    degrees = len(groups) - int(groups.max()) - 1
    if degrees < 100:
        return torch.ones_like(shape[0])
    within = _within(shape, groups).square().sum(dim=0) / degrees
    return (within / shape.square().mean(dim=0)).clamp(max=1)


def ridge_regression(x: Tensor, y: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Weight (n, z_dim) and bias (n,) of the ridge regression of y (N, n) on x (N, z_dim)."""
    centre, mean = x.mean(dim=0), y.mean(dim=0)
    gram = (x - centre).T @ (x - centre) + ridge * torch.eye(x.shape[1], dtype=x.dtype)
    weight = torch.linalg.solve(gram, (x - centre).T @ (y - mean)).T
    return weight, mean - weight @ centre


def _within(values: Tensor, groups: Tensor) -> Tensor:
    """Values (N, n) less the means of their groups, int64 (N,)."""
    n_groups = int(groups.max()) + 1
    sums = torch.zeros(n_groups, values.shape[1], dtype=values.dtype).index_add(0, groups, values)
    counts = torch.bincount(groups, minlength=n_groups).clamp(min=1)[:, None]
    return values - (sums / counts)[groups]
