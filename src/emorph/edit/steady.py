"""What an edit may draw: expressions change features and the skin around them, and neither hair nor light."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from emorph.core.landmarks import BROWS, EYES, INNER, LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE, UNDER_LIP
from emorph.core.types import Float32, Float64

ABOVE_BROWS, BELOW_LIP = 0.15, 0.3  # where wrinkles of brows and chin end, in eye-to-mouth distances
SOFT = 0.4  # width of the edge, half of it outside, in distances between the eyes
N_ROUNDS = 3  # of the fit of light, which is not to take an open mouth for a shadow
ODD = 0.04  # a change of light that is off by so much counts half; of pictures in [-1, 1]


def expressive(points: Float64, side_px: int) -> Float32:
    """How much of each crop pixel expressions change, (S, S) in [0, 1]. points: (68, 2) (x, y) in crop pixels."""
    down = points[list(MOUTH_CORNERS)].mean(axis=0) - points[EYES].mean(axis=0)
    outline = [points[INNER], points[BROWS] - ABOVE_BROWS * down, points[UNDER_LIP] + BELOW_LIP * down]
    hull = cv2.convexHull(np.concatenate(outline).astype(np.float32))
    drawn = np.zeros((side_px, side_px), np.uint8)
    cv2.fillConvexPoly(drawn, np.rint(hull * 16).astype(np.int32), 1, lineType=cv2.LINE_8, shift=4)
    inside, outside = (cv2.distanceTransform(mask, cv2.DIST_L2, 5) for mask in (drawn, 1 - drawn))
    eyes = points[LEFT_EYE].mean(axis=0) - points[RIGHT_EYE].mean(axis=0)
    share = np.clip(0.5 + (inside - outside) / (SOFT * max(float(np.linalg.norm(eyes)), 1.0)), 0, 1)
    smooth: Float32 = (share * share * (3 - 2 * share)).astype(np.float32)
    return smooth


def held_steady(before: Tensor, after: Tensor, share: Tensor) -> Tensor:
    """The edit without its change of light, and only where expressions are.

    before, after: (B, C, S, S) in [-1, 1], the crop that was redrawn and the drawing; share: (B, 1, S, S) of
    ``expressive``. The light is a slope over the face a channel, fitted to what changes little.
    """
    change = after - before
    side = change.shape[-1]
    ramp = torch.linspace(-1, 1, side, dtype=change.dtype, device=change.device)
    flat = torch.stack([torch.ones(side, side).to(change), ramp.expand(side, side), ramp[:, None].expand(side, side)])
    design = flat.flatten(1).T  # (S * S, 3)
    wanted, weight = change.flatten(2), share.flatten(2)
    light = torch.zeros_like(wanted)
    for _ in range(N_ROUNDS):
        trusted = weight / (1 + ((wanted - light) / ODD).square())  # (B, C, S * S)
        gram = torch.einsum("bcp,pi,pj->bcij", trusted, design, design)
        right = torch.einsum("bcp,bcp,pi->bci", trusted, wanted, design)
        ridge = 1e-3 * gram.diagonal(dim1=-2, dim2=-1).mean(dim=-1)[..., None, None] + 1e-6
        slopes = torch.linalg.solve(gram + ridge * torch.eye(3).to(gram), right[..., None])[..., 0]
        light = slopes @ design.T
    return (before + share * (change - light.view_as(change))).clamp(-1, 1)
