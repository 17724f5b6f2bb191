"""What an edit may draw: skin around features, and what opens; neither hair nor light, and hardly what has moved."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from emorph.core.landmarks import (
    BROW_LINES,
    BROWS,
    EYES,
    INNER,
    LEFT_EYE,
    MOUTH_CORNERS,
    NOSE,
    OUTER_LIPS,
    RIGHT_EYE,
    UNDER_LIP,
)
from emorph.core.types import Float32, Float64

ABOVE_BROWS, BELOW_LIP = 0.15, 0.3  # where wrinkles of brows and chin end, in eye-to-mouth distances
SOFT = 0.4  # width of the edge, half of it outside, in distances between the eyes
BROW_LINE, EYE_LINE, NOSE_LINE, LIPS_LINE = 0.16, 0.05, 0.1, 0.04  # reach around features, in eye distances
FEATURE_EDGE = 0.05  # standard deviation of their soft edge, in eye distances
MOVED_SHARE = 0.25  # of what the model draws over a feature that has moved there already: shade, and not its own idea
HAIR = (2.0, 4.0)  # how much darker than the skin hair and frames are, none to all, in the skin's own deviations
LEAST_DEVIATION = 0.06  # of the skin's brightness, of pictures in [-1, 1]
HAIR_EDGE = 0.012  # of the crop's side: standard deviation of the soft edge around hair
DEEPEST = 0.2  # of a fold's shade, of pictures in [-1, 1]: what is darker is a patch
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
    share = np.clip(0.5 + (inside - outside) / (SOFT * _eye_distance(points)), 0, 1)
    smooth: Float32 = (share * share * (3 - 2 * share)).astype(np.float32)
    return smooth


def features(points: Float64, side_px: int) -> Float32:
    """How much of each crop pixel is brow, eye, nose or lip, (S, S) in [0, 1]. points: as for ``expressive``.

    These have been moved to where the expression has them, at the photo's own sharpness. What a model would draw over
    them is an average face's: pale brows and irises, another nose, dark lips.
    """
    unit = _eye_distance(points)
    lines = [(points[line], BROW_LINE, False) for line in BROW_LINES]
    lines += [(points[eye], EYE_LINE, True) for eye in (LEFT_EYE, RIGHT_EYE)]
    lines += [
        (cv2.convexHull(points[NOSE].astype(np.float32))[:, 0], NOSE_LINE, True),
        (points[OUTER_LIPS], LIPS_LINE, True),
    ]
    found = np.zeros((side_px, side_px), np.uint8)
    for line, width, closed in lines:
        corners = [np.rint(np.asarray(line) * 16).astype(np.int32)]
        if closed:
            cv2.fillPoly(found, corners, 255, shift=4)
        cv2.polylines(found, corners, closed, 255, max(1, round(2 * width * unit)), shift=4)
    soft: Float32 = cv2.GaussianBlur(found.astype(np.float32) / 255, (0, 0), max(FEATURE_EDGE * unit, 0.5))
    return soft


def _eye_distance(points: Float64) -> float:
    return max(float(np.linalg.norm(points[LEFT_EYE].mean(axis=0) - points[RIGHT_EYE].mean(axis=0))), 1.0)


def drawable(before: Float64, after: Float64, opened: Float32) -> Float32:
    """How much of what a model draws an edit takes, (S, S) in [0, 1].

    before, after: (68, 2) in crop pixels. opened: (S, S) in [0, 1], where a mouth's inside is new: nothing moved there.
    """
    side_px = opened.shape[0]
    around = np.maximum(expressive(before, side_px), expressive(after, side_px))
    moved = features(after, side_px) * (1 - opened)
    share: Float32 = around * (1 - (1 - MOVED_SHARE) * moved)
    return share


def on_skin(pictures: Tensor, share: Tensor) -> Tensor:
    """How much of each pixel is skin rather than hair or a frame of glasses, (B, 1, S, S) in [0, 1].

    A model knows neither a fringe that hangs over a brow nor glasses well: it would draw them as folds of skin.
    pictures: (B, C, S, S) in [-1, 1]; share: (B, 1, S, S) in [0, 1], where skin is to be expected.
    """
    light = pictures.mean(dim=1, keepdim=True)
    found = []
    for own, of_face in zip(light, share, strict=True):
        within = own[of_face > 0.5]
        if not within.numel():
            found.append(torch.ones_like(own))
            continue
        skin = within.median()
        deviation = (1.4826 * (within - skin).abs().median()).clamp(min=LEAST_DEVIATION)
        hair = (((skin - own) / deviation - HAIR[0]) / (HAIR[1] - HAIR[0])).clamp(0, 1)
        found.append(1 - hair)
    sharp = torch.stack(found).cpu().numpy()
    sigma = HAIR_EDGE * sharp.shape[-1]
    soft = [cv2.GaussianBlur(each[0], (0, 0), sigma, borderType=cv2.BORDER_REPLICATE) for each in sharp]
    return torch.from_numpy(np.stack(soft))[:, None].to(share)


def softened(before: Tensor, after: Tensor, opened: Tensor) -> Tensor:
    """The drawing with no shade or light on the skin that is stronger than a fold's.

    before, after: (B, C, S, S) in [-1, 1], the crop that was redrawn and the drawing. opened: (B, 1, S, S) in [0, 1],
    where a mouth's inside is new and may be anything.
    """
    change = after - before
    return before + torch.lerp(DEEPEST * torch.tanh(change / DEEPEST), change, opened)


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
