"""The face as dlib's recogniser takes it, cut out by its 68 points: dlib's own chip, for many faces and with gradients.

The picture is turned, scaled and moved so that the inner points come nearest to those of dlib's mean face, and read off
between its pixels; a large face is halved with a Gaussian first, until it is less than twice as large as the chip.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from emorph.core.errors import ShapeError

CHIP_PX = 150
PADDING = 0.25  # of the mean face's side, on each side
GAUSSIAN = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
HALVED_BY = (1.25, 0.75)  # how far dlib takes a halved picture to have moved, in its pixels

# Points of dlib's mean face that place the chip, in its side: nose, eyes, upper lip and inner mouth's upper half.
USED = (*range(27, 55), *range(60, 65))
_MEAN_X = (
    *(0.490127, 0.490127, 0.490127, 0.490127, 0.36688, 0.426036, 0.490127, 0.554217, 0.613373, 0.121737, 0.187122),
    *(0.265825, 0.334606, 0.260918, 0.182743, 0.645647, 0.714428, 0.793132, 0.858516, 0.79751, 0.719335, 0.254149),
    *(0.340985, 0.428858, 0.490127, 0.551395, 0.639268, 0.726104, 0.290379, 0.428096, 0.490127, 0.552157, 0.689874),
)
_MEAN_Y = (
    *(0.203352, 0.307009, 0.409805, 0.515625, 0.587326, 0.609345, 0.628106, 0.609345, 0.587326, 0.216423, 0.178758),
    *(0.179852, 0.231733, 0.245099, 0.244077, 0.231733, 0.179852, 0.178758, 0.216423, 0.244077, 0.245099, 0.780233),
    *(0.745405, 0.727388, 0.742578, 0.727388, 0.745405, 0.780233, 0.784792, 0.778746, 0.785343, 0.778746, 0.784792),
)


def chips(pictures: Tensor, points: Tensor, *, as_dlib: bool = False) -> Tensor:
    """The faces cut out of pictures, float (B, 3, 150, 150) in [-1, 1]; black outside the picture.

    pictures: float (B, 3, H, W) in [-1, 1]. points: (B, 68, 2), x and y in their pixels, centres at whole numbers.
    as_dlib: the points rounded to whole pixels and every level rounded down, which is dlib's ``get_face_chip`` bit for
    bit but for rare pixels, which are one level off; the gradient passes as if nothing were rounded.
    Differentiable in the pictures and, without as_dlib, in the points. Raises ShapeError.
    """
    if pictures.ndim != 4 or pictures.shape[1] != 3 or not pictures.is_floating_point():
        raise ShapeError(f"expected pictures float (B, 3, H, W), found {pictures.dtype} {tuple(pictures.shape)}.")
    if points.shape != (len(pictures), 68, 2) or not points.isfinite().all():
        raise ShapeError(f"expected finite landmarks ({len(pictures)}, 68, 2), found {tuple(points.shape)}.")
    placed = points.to(pictures.device, torch.float64)
    turn, scale, middle = _placed(placed.round() if as_dlib else placed)
    levels = (pictures + 1) * 127.5
    if as_dlib:
        levels = _straight_through(levels, levels.round())
    cut = levels.new_empty(len(pictures), 3, CHIP_PX, CHIP_PX)
    half = (CHIP_PX * scale - 1) / 2  # dlib counts a rectangle's last pixel as part of it
    depth = _halvings(half.detach())
    for n in sorted(set(depth.tolist())):
        rows = torch.nonzero(depth == n)[:, 0]
        if not n:
            cut = cut.index_copy(0, rows, _read(levels[rows], turn[rows], middle[rows], half[rows], as_dlib=as_dlib))
            continue
        for row in rows.tolist():  # large faces: each is halved from its own corner on
            one = slice(row, row + 1)
            corner = _corner(turn[one], middle[one], half[one], n).detach()
            small = levels[one, :, int(corner[1]) :, int(corner[0]) :]
            place, reach = middle[one] - corner, half[one]
            for _ in range(n):
                small = _halved(small, as_dlib=as_dlib)
                place, reach = place / 2 - place.new_tensor(HALVED_BY), reach / 2
            found = _read(small, turn[one], place, reach, as_dlib=as_dlib)
            cut = cut.index_copy(0, rows.new_tensor([row]), found)
    return cut / 127.5 - 1


def _placed(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The turn that takes the chip to each face, (B, 2, 2), its scale (B,), and the chip's middle, (B, 2)."""
    mean = (points.new_tensor([_MEAN_X, _MEAN_Y]).T + PADDING) / (2 * PADDING + 1) * CHIP_PX
    used = points[:, list(USED)]
    a, b = mean - mean.mean(dim=0), used - used.mean(dim=1, keepdim=True)
    # in complex numbers scale and turn are one factor (Umeyama 1991)
    spread = a.square().sum()
    cosine = (a * b).sum(dim=(1, 2)) / spread
    sine = (a[:, 0] * b[..., 1] - a[:, 1] * b[..., 0]).sum(dim=1) / spread
    scale = torch.hypot(cosine, sine)
    if not (scale > 1e-9).all():
        raise ShapeError("expected landmarks that span a face; detect the face again.")
    turn = torch.stack([torch.stack([cosine, -sine], dim=1), torch.stack([sine, cosine], dim=1)], dim=1)
    middle = used.mean(dim=1) + (turn @ (CHIP_PX / 2 - mean.mean(dim=0)))
    return turn / scale[:, None, None], scale, middle


def _halvings(half: Tensor) -> Tensor:
    """How often each face's picture is halved before its chip is read off it, int64 (B,)."""
    depth, reach = torch.zeros_like(half, dtype=torch.int64), half / 2
    while (large := (2 * reach + 1).square() > CHIP_PX**2).any():
        depth, reach = depth + large.long(), reach / 2
    return depth


def _corner(turn: Tensor, middle: Tensor, half: Tensor, n_halvings: int) -> Tensor:
    """Where dlib cuts a picture off before it halves it, left and above the face: whole pixels (2,)."""
    border = 2.0
    for _ in range(n_halvings):
        border = 2 * border + 2
    reach = half[0] * turn[0].abs().sum(dim=1)
    return torch.floor((middle[0] - reach - border).clamp_min(0) + 0.5)


def _halved(x: Tensor, *, as_dlib: bool) -> Tensor:
    """Every second pixel of a picture (1, 3, H, W) smoothed by dlib's Gaussian, without its border of two pixels."""
    kernel = x.new_tensor(GAUSSIAN)
    channels = x.shape[1]
    wide = F.conv2d(x, kernel.expand(channels, 1, 1, 5), stride=(1, 2), groups=channels)
    small = F.conv2d(wide, kernel[:, None].expand(channels, 1, 5, 1), stride=(2, 1), groups=channels)
    return _straight_through(small, torch.floor(small + 1e-4)) if as_dlib else small


def _read(x: Tensor, turn: Tensor, middle: Tensor, half: Tensor, *, as_dlib: bool) -> Tensor:
    """Pictures (B, 3, H, W) between their pixels at the chip's places, 0 where a neighbour lies outside."""
    steps = torch.linspace(-1, 1, CHIP_PX, dtype=torch.float64, device=x.device)
    square = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1) * half[:, None, None, None]
    places = square @ turn.mT[:, None] + middle[:, None, None]
    sides = places.new_tensor([x.shape[3], x.shape[2]])
    low = torch.floor(places)
    inside = ((low >= 0) & (low + 1 < sides)).all(dim=-1)
    grid = 2 * places / (sides - 1) - 1  # as grid_sample counts with its corners aligned
    if as_dlib:
        exact = F.grid_sample(x.to(grid.dtype), grid, align_corners=True) * inside[:, None]
        return _straight_through(exact, torch.floor(exact + 1e-6)).to(x.dtype)
    return F.grid_sample(x, grid.to(x.dtype), align_corners=True) * inside[:, None]


def _straight_through(x: Tensor, rounded: Tensor) -> Tensor:
    """The rounded numbers, with the gradient of those that were not."""
    return x + (rounded - x).detach()
