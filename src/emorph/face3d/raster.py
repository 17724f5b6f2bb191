"""A rasteriser in plain torch: which triangle each pixel sees, and attributes interpolated there with gradients.

Corners are rounded to 1/256 of a pixel for the question which pixels a triangle covers. That makes it one of whole
numbers, so that it has an exact answer: of two triangles that share an edge, a pixel's centre on it belongs to one.
Each triangle becomes rows, each row a span of pixels; only pixels that are covered are ever looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from emorph.core.errors import ShapeError
from emorph.face3d.camera import screen_to_pixels

SUBPIXELS_LOG2 = 8
SUBPIXELS = 1 << SUBPIXELS_LOG2
REACH_PX = 1 << 20  # triangles with a corner further off, or not finite, are left out: whole numbers stay exact
_FLAT = 1e-12  # px^2: a triangle with less area has its barycentric weights divided by this


@dataclass(frozen=True)
class Fragments:
    """The pixels that any triangle covers, in the order of the flattened pictures, and what each of them sees.

    pixel: int64 (P,), index into B * height * width. face: int64 (P,), the nearest triangle.
    barycentric: float (P, 3), weights of its corners, in 0..1, sum 1; differentiable in the vertices.
    """

    pixel: Tensor
    face: Tensor
    barycentric: Tensor
    batch: int
    height: int
    width: int

    @property
    def row(self) -> Tensor:
        """Which picture of the batch each pixel lies in: int64 (P,)."""
        return self.pixel // (self.height * self.width)

    def interpolate(self, faces: Tensor, attributes: Tensor) -> Tensor:
        """Attributes at each pixel: (P, C).

        faces: int64 (F, 3), the triangles' corners. attributes: (B, V, C) of those corners, or (V, C) for all pictures.
        """
        corners = faces.index_select(0, self.face)
        if attributes.ndim == 3:
            corners = corners + (self.row * attributes.shape[1])[:, None]
            attributes = attributes.flatten(0, 1)
        parts = [self.barycentric[:, i : i + 1] * attributes.index_select(0, corners[:, i]) for i in range(3)]
        return parts[0] + parts[1] + parts[2]

    def picture(self, values: Tensor) -> Tensor:
        """(B, C, H, W) of values (P, C); 0 where no triangle is."""
        empty = values.new_zeros(self.batch * self.height * self.width, values.shape[1])
        filled = empty.index_copy(0, self.pixel, values)
        return filled.reshape(self.batch, self.height, self.width, -1).permute(0, 3, 1, 2)

    def mask(self) -> Tensor:
        """(B, 1, H, W), 1 where a triangle is."""
        return self.picture(torch.ones_like(self.barycentric[:, :1]))


def rasterize(vertices: Tensor, faces: Tensor, size: int | tuple[int, int]) -> Fragments:
    """What B meshes of the same triangles look like through a camera without perspective.

    vertices: float (B, V, 3), x to the right and y downwards on the screen of [-1, 1], z smaller where nearer.
    faces: int64 (F, 3). size: side of the picture, or height and width.
    Both sides of a triangle are seen. Of triangles at the same depth the first is seen. Edges follow the top-left rule.
    Gradients reach the vertices through the barycentric weights, not through the outline. Raises ShapeError.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if vertices.ndim != 3 or vertices.shape[2] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        found = f"{tuple(vertices.shape)} and {tuple(faces.shape)}"
        raise ShapeError(f"expected vertices (B, V, 3) and faces (F, 3), found {found}.")
    if len(faces) and not 0 <= int(faces.min()) <= int(faces.max()) < vertices.shape[1]:
        raise ShapeError(f"faces point outside the {vertices.shape[1]} vertices.")
    in_pixels = screen_to_pixels(vertices[..., :2], (height, width))
    with torch.no_grad():
        pixel, triangle = covered_pixels(in_pixels, faces, height, width)
        depth = _depth(in_pixels, vertices[..., 2], faces, triangle, pixel, height, width)
        pixel, face = _nearest(pixel, triangle % max(len(faces), 1), depth, len(vertices) * height * width)
    barycentric = _barycentric(in_pixels, faces, face, pixel, height, width)
    return Fragments(pixel, face, barycentric.to(vertices.dtype), len(vertices), height, width)


def covered_pixels(in_pixels: Tensor, faces: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Every pair of a pixel and a triangle that covers its centre.

    in_pixels: (B, V, 2), pixel centres at whole numbers. Returns int64 (N,) each: index into B * height * width, and
    into B * F triangles.
    """
    corners, triangle = _oriented_corners(in_pixels, faces)
    a, b, c = (y for _, y in corners)
    highest, lowest = torch.minimum(torch.minimum(a, b), c), torch.maximum(torch.maximum(a, b), c)
    first = (-((-highest) >> SUBPIXELS_LOG2)).clamp_min(0)
    n_rows = (lowest >> SUBPIXELS_LOG2).clamp_max(height - 1) - first + 1
    which, row = _expand(first, n_rows)
    low = torch.zeros_like(row)
    high = torch.full_like(row, width - 1)
    for i in range(3):
        low, high = _cut(low, high, row, which, corners[i], corners[(i + 1) % 3])
    span, column = _expand(low, high - low + 1)
    triangle = triangle.index_select(0, which)
    line = (triangle // max(len(faces), 1) * height + row) * width
    return line.index_select(0, span) + column, triangle.index_select(0, span)


def _oriented_corners(in_pixels: Tensor, faces: Tensor) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
    """x and y of each triangle's three corners in subpixels, all clockwise on the screen, and the triangles' indices.

    Triangles without area, or beyond REACH_PX, are left out.
    """
    usable = (in_pixels.abs() < REACH_PX).all(dim=-1)  # False for NaN, too
    whole = (in_pixels.where(usable[..., None], 0).double() * SUBPIXELS).round().long()
    x, y = whole.unbind(dim=-1)
    xs, ys = ([a.index_select(1, faces[:, i]).flatten() for i in range(3)] for a in (x, y))
    area = (xs[1] - xs[0]) * (ys[2] - ys[0]) - (xs[2] - xs[0]) * (ys[1] - ys[0])
    keep = area != 0
    for i in range(3):
        keep &= usable[:, faces[:, i]].flatten()
    triangle = torch.nonzero(keep).flatten()
    clockwise = area[triangle] > 0
    a, b, c = ((xs[i].index_select(0, triangle), ys[i].index_select(0, triangle)) for i in range(3))
    second = tuple(torch.where(clockwise, p, q) for p, q in zip(b, c, strict=True))
    third = tuple(torch.where(clockwise, q, p) for p, q in zip(b, c, strict=True))
    return [a, (second[0], second[1]), (third[0], third[1])], triangle


def _cut(
    low: Tensor, high: Tensor, row: Tensor, which: Tensor, start: tuple[Tensor, Tensor], end: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """The spans low..high of rows, cut off at one edge of their triangles.

    A pixel (row, column) is inside where dx (SUB row - y) - dy (SUB column - x) >= 0, or > 0 for an edge that is
    neither a left nor a top one.
    """
    dx, dy = end[0] - start[0], end[1] - start[1]
    outside = (dy > 0) | ((dy == 0) & (dx < 0))
    constant = dy * start[0] - dx * start[1] - outside.long()
    slope = dy.index_select(0, which)
    rest = constant.index_select(0, which) + dx.index_select(0, which) * SUBPIXELS * row
    steps = torch.div(rest, slope.abs().clamp_min(1) << SUBPIXELS_LOG2, rounding_mode="floor")
    low = torch.where(slope < 0, torch.maximum(low, -steps), low)
    high = torch.where(slope > 0, torch.minimum(high, steps), high)
    return low, torch.where((slope == 0) & (rest < 0), -1, high)


def _expand(first: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """For each i the numbers first[i] .. first[i] + count[i] - 1: their i, and the numbers."""
    count = count.clamp_min(0)
    which = torch.repeat_interleave(count)
    end = count.cumsum(0)
    offset = first - (end - count)
    return which, torch.arange(len(which), device=first.device) + offset.index_select(0, which)


def _depth(
    in_pixels: Tensor, z: Tensor, faces: Tensor, triangle: Tensor, pixel: Tensor, height: int, width: int
) -> Tensor:
    """Depth (N,) of triangles (N,) of B * F at pixels (N,), on the plane through the rounded corners."""
    p = (in_pixels.double().clamp(-REACH_PX, REACH_PX) * SUBPIXELS).round() / SUBPIXELS
    corner = [p.index_select(1, faces[:, i]).flatten(0, 1) for i in range(3)]
    depth = [z.index_select(1, faces[:, i]).flatten().double() for i in range(3)]
    (ax, ay), (bx, by) = ((corner[i] - corner[0]).unbind(dim=-1) for i in (1, 2))
    az, bz = depth[1] - depth[0], depth[2] - depth[0]
    area = ax * by - bx * ay
    by_column, by_row = (az * by - bz * ay) / area, (bz * ax - az * bx) / area
    base = depth[0] - by_column * corner[0][:, 0] - by_row * corner[0][:, 1]
    base, by_row, by_column = (part.index_select(0, triangle) for part in (base, by_row, by_column))
    return base + by_row * (pixel // width % height) + by_column * (pixel % width)


def _nearest(pixel: Tensor, face: Tensor, depth: Tensor, n_pixels: int) -> tuple[Tensor, Tensor]:
    """Of each pixel that is covered at all, in order: the pixel, and the face that is nearest there."""
    bits = depth.float().view(torch.int32)
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)  # as whole numbers in the order of the depths
    key = (ordered.long() << 32) | face
    far = torch.iinfo(torch.int64).max
    nearest = torch.full((n_pixels,), far, device=pixel.device).scatter_reduce_(0, pixel, key, "amin")
    seen = torch.nonzero(nearest != far).flatten()
    return seen, nearest[seen] & 0xFFFFFFFF


def _barycentric(in_pixels: Tensor, faces: Tensor, face: Tensor, pixel: Tensor, height: int, width: int) -> Tensor:
    """(P, 3) in double precision; clamped, because corners were rounded for the coverage but not here."""
    row = pixel // (height * width)
    flat = in_pixels.double().flatten(0, 1)
    corners = faces.index_select(0, face) + (row * in_pixels.shape[1])[:, None]
    first, second, third = (flat.index_select(0, corners[:, i]) for i in range(3))
    centre = torch.stack([pixel % width, pixel // width % height], dim=-1).double()
    a, b, p = second - first, third - first, centre - first
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    area = torch.where(area.abs() < _FLAT, torch.full_like(area, _FLAT), area)
    of_second = (p[:, 0] * b[:, 1] - p[:, 1] * b[:, 0]) / area
    of_third = (a[:, 0] * p[:, 1] - a[:, 1] * p[:, 0]) / area
    weights = torch.stack([1 - of_second - of_third, of_second, of_third], dim=-1).clamp(0, 1)
    return weights / weights.sum(dim=-1, keepdim=True)
