"""The physical buffers that condition the rig: normals, albedo and shading of a face (Ding et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from emorph.core.errors import MissingAssetError, ShapeError
from emorph.core.types import FaceCoeffs, PhysicalBuffers
from emorph.face3d.camera import crop_to_screen, project
from emorph.face3d.lighting import harmonics
from emorph.face3d.model import FaceModel
from emorph.face3d.raster import Fragments, rasterize
from emorph.face3d.skinning import vertex_normals


@dataclass(frozen=True)
class PhotoFrame:
    """Where the crops that coefficients belong to lie in photos, to render in the photos' own frame.

    photo_to_crop: float (B, 3, 3), see ``emorph.face3d.camera.deca_crop``. size: height and width of the photos in
    pixels.
    """

    photo_to_crop: Tensor
    size: tuple[int, int]


def render_buffers(
    model: FaceModel,
    coeffs: FaceCoeffs,
    size: int | tuple[int, int] = 256,
    *,
    albedo: Tensor | None = None,
    frame: PhotoFrame | None = None,
) -> PhysicalBuffers:
    """Buffers of B faces, as DiffusionRig's network was trained on them: nothing is clamped or rescaled.

    size: side of the pictures, or height and width. albedo: RGB in 0..1, a texture (B, 3, T, T) in the model's UV map
    with v downwards, colours of the vertices (B, V, 3) or one colour (B, 3); None takes the model's own texture.
    frame: render in the photos' frame; None is the crop's. Differentiable in the coefficients and the albedo.
    Raises MissingAssetError if there is no albedo, ShapeError.
    """
    vertices = model.vertices(coeffs)
    on_screen = project(vertices, coeffs.camera)
    if frame is not None:
        on_screen = crop_to_screen(on_screen, frame.photo_to_crop, frame.size)
    fragments = rasterize(on_screen, model.faces, size)
    normals = fragments.interpolate(model.faces, vertex_normals(vertices, model.faces))
    colour = _albedo(model, coeffs, fragments, albedo, vertices)
    n_seen = torch.bincount(fragments.row, minlength=len(coeffs)).tolist()
    shading = torch.cat(
        [h @ light for h, light in zip(torch.split(harmonics(normals), n_seen), coeffs.light, strict=True)]
    )
    return PhysicalBuffers(
        normals=fragments.picture(normals),
        albedo=fragments.picture(colour),
        shaded=fragments.picture(colour * shading),
        mask=fragments.mask(),
    )


def _albedo(
    model: FaceModel, coeffs: FaceCoeffs, fragments: Fragments, albedo: Tensor | None, vertices: Tensor
) -> Tensor:
    """(P, 3) at the fragments' pixels."""
    texture = model.albedo(coeffs.texture) if albedo is None else albedo
    if texture is None:
        raise MissingAssetError(f"{model.name} has no texture of its own; pass albedo=, a picture or colours.")
    if texture.shape == (len(coeffs), 3):
        return texture[fragments.row]
    if texture.shape == vertices.shape:
        return fragments.interpolate(model.faces, texture)
    if model.uv is None:
        raise MissingAssetError(f"{model.name} has no UV map, so that a texture cannot lie on it; pass colours.")
    uv = fragments.interpolate(model.uv.faces, model.uv.coordinates)
    return sample_texture(texture, fragments.row, uv)


def sample_texture(texture: Tensor, row: Tensor, uv: Tensor) -> Tensor:
    """Bilinear samples (P, C) of textures (B, C, T, T) at uv (P, 2) in 0..1, v upwards, each of its own texture.

    Texel centres lie half a texel inside the border; beyond it is black (grid_sample with align_corners off).
    Raises ShapeError.
    """
    if texture.ndim != 4:
        raise ShapeError(
            f"expected textures (B, C, T, T) or colours (B, V, 3) or (B, 3), found {tuple(texture.shape)}."
        )
    height, width = texture.shape[2:]
    texels = texture.permute(0, 2, 3, 1).contiguous().flatten(0, 2)  # a texel's channels together: faster to gather
    x, y = uv[:, 0] * width - 0.5, (1 - uv[:, 1]) * height - 0.5
    left, top = x.floor(), y.floor()
    total = texels.new_zeros(len(uv), texels.shape[1])
    for column, x_share in ((left, left + 1 - x), (left + 1, x - left)):
        for line, y_share in ((top, top + 1 - y), (top + 1, y - top)):
            inside = (column >= 0) & (column < width) & (line >= 0) & (line < height)
            place = line.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
            share = (x_share * y_share).where(inside, 0)
            total = total + share[:, None] * texels.index_select(0, row * (height * width) + place)
    return total
