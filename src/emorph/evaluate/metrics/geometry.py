"""What 68 landmarks and a mask tell of an edit: did the expression move, did the head, did the surroundings stay.

Always available; coefficients of a face model measure the first two more exactly where one is at hand.
"""

from __future__ import annotations

import torch
from torch import Tensor

from emorph.core.errors import ShapeError
from emorph.core.landmarks import EXPRESSIVE, OUTER_EYE_CORNERS, STABLE
from emorph.evaluate.metrics.fidelity import checked_pair

# Round proportions of an adult's stable points in mm, x to the image right, y down, z away from the viewer. No head has
# them exactly; the angle between two poses of one head hardly depends on them.
# fmt: off
STABLE_MM = (
    (-44.5, 6.0, 22.0), (-16.0, 6.0, 12.0), (16.0, 6.0, 12.0), (44.5, 6.0, 22.0),
    (0.0, 0.0, 0.0), (0.0, 14.0, -7.0), (0.0, 28.0, -14.0), (0.0, 42.0, -21.0), (0.0, 51.0, -5.0),
)
# fmt: on
_POSE_STEPS = 200


def expression_distance(a: Tensor, b: Tensor) -> Tensor:
    """How far brows, lids and mouth moved from face a to face b, (B,), in distances between the outer eye corners.

    a, b: float (B, 68, 2), x and y in pixels of any scale. Position, size and roll are removed first by Procrustes'
    method on points that no expression moves; a turn or nod stays in, so read it beside ``pose_distance``. Of two
    persons it measures their faces' shapes too: meant for a photo and its edit. Raises ShapeError.
    """
    a, b = _checked(a), _checked(b)
    if a.shape != b.shape:
        raise ShapeError(f"expected as many faces twice, found {len(a)} and {len(b)}.")
    a, b = _normalised(a), _normalised(b)
    u, _, vh = torch.linalg.svd(b[:, STABLE].mT @ a[:, STABLE])
    b = b @ _proper(u, vh)
    moved = (a - b)[:, EXPRESSIVE].norm(dim=2).mean(dim=1)
    left, right = OUTER_EYE_CORNERS
    span = ((a[:, right] - a[:, left]).norm(dim=1) + (b[:, right] - b[:, left]).norm(dim=1)) / 2
    found: Tensor = moved / span
    return found


def pose_distance(a: Tensor, b: Tensor) -> Tensor:
    """The angle between two heads' poses, (B,), in radians in [0, pi].

    a, b: float (B, 68, 2), x and y in pixels. Poses are those of ``head_pose``; a face that differs from the average
    shifts both alike, so of a photo and its edit the angle is surer than either pose. Raises ShapeError.
    """
    first, second = head_pose(a), head_pose(b)
    if first.shape != second.shape:
        raise ShapeError(f"expected as many faces twice, found {len(first)} and {len(second)}.")
    half_chord = (first - second).norm(dim=(1, 2)) / 8**0.5  # sin(angle / 2); the cosine is blind to small angles
    angle: Tensor = 2 * torch.asin(half_chord.clamp(max=1))
    return angle


def head_pose(points: Tensor) -> Tensor:
    """Rotations (B, 3, 3), float64, that turn an average head (x right, y down, z away) into the pose of each face.

    points: float (B, 68, 2), x and y in pixels. The pose is the least-squares one of the nine stable points under weak
    perspective: depths are taken from the pose, the pose from the depths, and each round lowers the error.
    Raises ShapeError.
    """
    points = _checked(points)[:, STABLE]
    seen = points - points.mean(dim=1, keepdim=True)
    head = torch.tensor(STABLE_MM, dtype=seen.dtype, device=seen.device)
    head = (head - head.mean(dim=0)).expand(len(seen), -1, -1)
    turn = torch.eye(3, dtype=seen.dtype, device=seen.device).expand(len(seen), 3, 3)
    for _ in range(_POSE_STEPS):
        turned = head @ turn.mT
        scale = (seen * turned[..., :2]).sum(dim=(1, 2)) / turned[..., :2].square().sum(dim=(1, 2))
        scale = scale.clamp(min=1e-6).view(-1, 1, 1)
        u, _, vh = torch.linalg.svd(head.mT @ torch.cat([seen / scale, turned[..., 2:]], dim=2))
        turn = _proper(u, vh).mT
    return turn


def mae_outside(source: Tensor, edited: Tensor, mask: Tensor, *, data_range: float) -> Tensor:
    """Mean absolute difference outside the face, (B,), as a share of the range, in [0, 1].

    source, edited: float (B, C, H, W). mask: (B, 1, H, W) in [0, 1] or bool, 1 where the edit may change the picture.
    Raises ShapeError, also if a mask leaves nothing outside.
    """
    source, edited = checked_pair(source, edited, data_range)
    return _mean_outside((source - edited).abs(), mask) / data_range


def psnr_outside(source: Tensor, edited: Tensor, mask: Tensor, *, data_range: float) -> Tensor:
    """Peak signal-to-noise ratio outside the face, (B,), in dB; infinite where nothing changed; as ``mae_outside``."""
    source, edited = checked_pair(source, edited, data_range)
    return 10 * torch.log10(data_range**2 / _mean_outside((source - edited).square(), mask))


def _mean_outside(error: Tensor, mask: Tensor) -> Tensor:
    expected = (len(error), 1, *error.shape[2:])
    if tuple(mask.shape) != expected:
        raise ShapeError(f"expected a mask of shape {expected}, found {tuple(mask.shape)}.")
    outside = 1 - mask.to(error)
    area = outside.sum(dim=(1, 2, 3))
    if not bool((outside >= 0).all() and (outside <= 1).all()):
        raise ShapeError("expected a mask in [0, 1], 1 inside the face.")
    if not bool((area > 0).all()):
        raise ShapeError("the mask covers a whole picture, so nothing is outside it; take a larger crop.")
    return (error.mean(dim=1, keepdim=True) * outside).sum(dim=(1, 2, 3)) / area


def _normalised(points: Tensor) -> Tensor:
    """Centred and scaled so that the stable points have their centre at 0 and a root mean square distance of 1."""
    points = points - points[:, STABLE].mean(dim=1, keepdim=True)
    return points / points[:, STABLE].square().sum(dim=2).mean(dim=1).sqrt().view(-1, 1, 1)


def _proper(u: Tensor, vh: Tensor) -> Tensor:
    """The rotation u @ vh, with the least singular direction turned over where that would be a mirroring."""
    sign = torch.linalg.det(u @ vh).sign()
    flip = torch.ones_like(u[:, :, 0])
    flip[:, -1] = sign
    return (u * flip.unsqueeze(1)) @ vh


def _checked(points: Tensor) -> Tensor:
    """The points in float64. Raises ShapeError if they are no faces."""
    if points.ndim != 3 or tuple(points.shape[1:]) != (68, 2) or not len(points):
        raise ShapeError(f"expected landmarks (B, 68, 2), found {tuple(points.shape)}.")
    points = points.double()
    spread = points[:, STABLE].std(dim=1).sum(dim=1)
    if not bool(torch.isfinite(points).all()) or not bool((spread > 1e-6).all()):
        raise ShapeError("expected finite landmarks that span a face; detect the face again.")
    return points
