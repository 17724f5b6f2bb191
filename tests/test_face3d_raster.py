"""The rasteriser against a brute-force one in whole numbers, its edges, and its gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from emorph.core.errors import ShapeError
from emorph.face3d.camera import pixels_to_screen, screen_to_pixels
from emorph.face3d.raster import SUBPIXELS, covered_pixels, rasterize
from made_face import triangles


def random_mesh(seed: int, n_faces: int, spread: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    vertices = (torch.rand(2, 3 * n_faces, 3, generator=generator) * 2 - 1) * spread
    return vertices, torch.randint(3 * n_faces, (n_faces, 3), generator=generator)


def brute_force(vertices: Tensor, faces: Tensor, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """One picture, triangle by triangle, pixel by pixel: how many cover it, and their depths (F, H, W)."""
    corners = np.rint(screen_to_pixels(vertices[:, :2], (height, width)).double().numpy() * SUBPIXELS).astype(np.int64)
    rows, columns = np.mgrid[:height, :width] * SUBPIXELS
    depths = np.full((len(faces), height, width), np.inf)
    for f, face in enumerate(faces.numpy()):
        points = corners[face].astype(object)  # Python's whole numbers
        z = vertices[face, 2].double().numpy()
        area = _side(points[0], points[1], *points[2])
        if area == 0:
            continue
        if area < 0:
            points, z, area = points[[0, 2, 1]], z[[0, 2, 1]], -area
        inside, depth = np.ones((height, width), bool), np.zeros((height, width))
        for i in range(3):
            start, end = points[(i + 1) % 3], points[(i + 2) % 3]
            side = _side(start, end, columns, rows)
            upwards, level = end[1] < start[1], end[1] == start[1]
            is_top_left = upwards or (level and end[0] > start[0])
            inside &= (side > 0) | ((side == 0) & is_top_left)
            depth += (side / area).astype(float) * z[i]
        depths[f][inside] = depth[inside]
    return np.isfinite(depths).sum(axis=0), depths


def _side(start, end, x, y):  # type: ignore[no-untyped-def]
    return (end[0] - start[0]) * (y - start[1]) - (end[1] - start[1]) * (x - start[0])


@pytest.mark.parametrize(("n_faces", "spread", "size"), [(12, 1.4, (17, 23)), (60, 0.9, (24, 24)), (30, 6.0, (9, 31))])
def test_equals_brute_force(n_faces: int, spread: float, size: tuple[int, int]) -> None:
    vertices, faces = random_mesh(n_faces, n_faces, spread)
    # corners and edges on pixel centres are where rules matter
    vertices[:, : n_faces // 2, :2] = pixels_to_screen(
        screen_to_pixels(vertices[:, : n_faces // 2, :2], size).round(), size
    )
    found = triangles(rasterize(vertices, faces, size))
    pixel, triangle = covered_pixels(screen_to_pixels(vertices[..., :2], size), faces, *size)
    for b in range(2):
        n_expected, depths = brute_force(vertices[b], faces, *size)
        mine = pixel[triangle // n_faces == b] % (size[0] * size[1])
        n_found = np.bincount(mine.numpy(), minlength=size[0] * size[1]).reshape(size)
        assert np.array_equal(n_found, n_expected)
        assert np.array_equal(found[b].numpy() >= 0, n_expected > 0)
        rows, columns = np.nonzero(n_expected)
        chosen = depths[found[b].numpy()[rows, columns], rows, columns]
        assert np.abs(chosen - depths[:, rows, columns].min(axis=0)).max() < 1e-5
        assert n_expected.max() > 2


def grid(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """A square cut into 2 n^2 triangles whose inner corners are shaken; some end on pixel centres."""
    generator = torch.Generator().manual_seed(seed)
    line = torch.linspace(-1, 1, n + 1)
    points = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)
    points[1:-1, 1:-1] += (torch.rand(n - 1, n - 1, 2, generator=generator) - 0.5) * 0.8 / n
    points[2:-1:3, 1:-1] = pixels_to_screen(screen_to_pixels(points[2:-1:3, 1:-1], (40, 40)).round(), (40, 40))
    corner = torch.arange(n)[:, None] * (n + 1) + torch.arange(n)
    a, b, c, d = (corner.flatten() + step for step in (0, 1, n + 1, n + 2))
    faces = torch.cat([torch.stack([a, b, c], dim=1), torch.stack([b, d, c], dim=1)])
    return torch.cat([points.reshape(-1, 2), torch.zeros((n + 1) ** 2, 1)], dim=1)[None], faces


@pytest.mark.parametrize("n", [1, 2, 7, 23])
def test_shared_edges_have_no_holes_and_no_double_hits(n: int) -> None:
    vertices, faces = grid(n, seed=n)
    pixel, _ = covered_pixels(screen_to_pixels(vertices[..., :2], (40, 40)), faces, 40, 40)
    assert torch.equal(pixel.sort().values, torch.arange(1600))
    flipped = torch.where((torch.arange(len(faces)) % 2 == 0)[:, None], faces, faces.flip(1))
    pixel, _ = covered_pixels(screen_to_pixels(vertices[..., :2], (40, 40)), flipped, 40, 40)
    assert torch.equal(pixel.sort().values, torch.arange(1600)), "which way round a triangle is must not matter"


def test_edges_on_pixel_centres_belong_to_what_is_right_of_or_below_them() -> None:
    corners = torch.tensor([[2.0, 3.0], [6.0, 3.0], [2.0, 8.0], [6.0, 8.0]])
    vertices = torch.cat([pixels_to_screen(corners, (10, 10)), torch.zeros(4, 1)], dim=1)[None]
    expected = torch.zeros(10, 10, dtype=torch.bool)
    expected[3:8, 2:6] = True
    for faces in ([[0, 1, 2], [1, 3, 2]], [[0, 3, 1], [3, 0, 2]]):
        assert torch.equal(triangles(rasterize(vertices, torch.tensor(faces), 10))[0] >= 0, expected)


def test_the_nearest_is_seen_and_of_equals_the_first() -> None:
    square = torch.tensor([[-1.0, -1.0], [3.0, -1.0], [-1.0, 3.0]])
    depths = (0.5, -0.25, 0.25, -0.25)
    vertices = torch.cat([torch.cat([square, torch.full((3, 1), z)], dim=1) for z in depths])[None]
    faces = torch.arange(12).reshape(4, 3)
    assert (triangles(rasterize(vertices, faces, 4)) == 1).all()
    assert (triangles(rasterize(-vertices.flip(1), faces.flip(0), 4)) >= 0).all()


def test_interpolation_is_linear_on_the_screen() -> None:
    vertices, faces = grid(9, seed=3)
    fragments = rasterize(vertices, faces, (40, 40))
    weights = fragments.barycentric
    assert weights.min() >= 0
    assert (weights.sum(dim=1) - 1).abs().max() < 1e-6
    picture = fragments.picture(fragments.interpolate(faces, vertices))
    columns, rows = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="xy")
    expected = torch.stack([2 * columns + 1, 2 * rows + 1]) / 40 - 1
    inner = (slice(None), slice(1, -1), slice(1, -1))  # at the border corners were rounded inwards
    assert (picture[0, :2] - expected)[inner].abs().max() < 2.1 / SUBPIXELS / 20
    assert torch.equal(fragments.mask(), torch.ones(1, 1, 40, 40))


def test_a_batch_equals_its_pictures_one_by_one() -> None:
    vertices, faces = random_mesh(5, 40, 1.1)
    together = rasterize(vertices, faces, 32)
    colours = torch.rand(2, vertices.shape[1], 3, generator=torch.Generator().manual_seed(0))
    picture = together.picture(together.interpolate(faces, colours))
    for b in range(2):
        alone = rasterize(vertices[b : b + 1], faces, 32)
        assert torch.equal(triangles(alone)[0], triangles(together)[b])
        assert torch.equal(alone.picture(alone.interpolate(faces, colours[b : b + 1]))[0], picture[b])


def test_gradients() -> None:
    generator = torch.Generator().manual_seed(2)
    vertices, faces = random_mesh(8, 6, 1.5)
    vertices = vertices.double().requires_grad_()
    colours = torch.rand(2, vertices.shape[1], 2, generator=generator, dtype=torch.float64, requires_grad=True)

    def picture(vertices: Tensor, colours: Tensor) -> Tensor:
        fragments = rasterize(vertices, faces, 7)
        return fragments.picture(fragments.interpolate(faces, colours))

    assert rasterize(vertices, faces, 7).mask().sum() > 20
    assert torch.autograd.gradcheck(picture, (vertices, colours))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_triangles_that_are_nowhere_are_left_out(bad: float) -> None:
    vertices, faces = grid(3, seed=0)
    expected = triangles(rasterize(vertices, faces[1:], 16))
    more = torch.cat([vertices, torch.full((1, 1, 3), bad)], dim=1)
    broken = faces.clone()
    broken[0] = torch.tensor([0, 1, more.shape[1] - 1])
    found = rasterize(more, broken, 16)
    assert torch.equal(triangles(found), torch.where(expected >= 0, expected + 1, expected))
    assert found.barycentric.isfinite().all()


def test_slivers_have_finite_weights() -> None:
    vertices = torch.tensor([[[-1.0, -1.0, 0.0], [1.0, 1.0, 1.0], [1.0, 1.0 - 1e-7, 1.0]], [[0.0, 0, 0]] * 3])
    fragments = rasterize(vertices.requires_grad_(), torch.tensor([[0, 1, 2]]), 64)
    fragments.barycentric.square().sum().backward()
    assert vertices.grad is None or vertices.grad.isfinite().all()
    thin = torch.tensor([[[-1.0, -1.0, 0.0], [1.0, 1.0, 1.0], [1.0, 1.004, 1.0]]])
    assert rasterize(thin, torch.tensor([[0, 1, 2]]), 64).barycentric.isfinite().all()


def test_nothing_and_nonsense() -> None:
    none = rasterize(torch.zeros(2, 3, 3), torch.zeros(0, 3, dtype=torch.int64), 8)
    assert none.picture(none.barycentric).abs().sum() == 0
    with pytest.raises(ShapeError, match="outside the 3 vertices"):
        rasterize(torch.zeros(1, 3, 3), torch.tensor([[0, 1, 3]]), 8)
    with pytest.raises(ShapeError, match="expected vertices"):
        rasterize(torch.zeros(3, 3), torch.tensor([[0, 1, 2]]), 8)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_sees_the_same() -> None:
    vertices, faces = random_mesh(5, 400, 1.1)
    device = torch.device(torch.cuda.current_device())
    there = rasterize(vertices.to(device), faces.to(device), 64)
    here = rasterize(vertices, faces, 64)
    assert torch.equal(triangles(there).cpu(), triangles(here))
    assert (there.barycentric.cpu() - here.barycentric).abs().max() < 1e-6
