"""The square face crop of FFHQ (Karras et al. 2018, App. C) and the exact way back to the photo."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from emorph.core.errors import NoFaceError, ShapeError
from emorph.core.landmarks import LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE
from emorph.core.types import AlignedFace, CropSpec, Float32, Float64, Landmarks, Photo, UInt8

EYE_SPAN = 2.0  # half the square's side is this many eye distances,
MOUTH_SPAN = 1.8  # or this many eye-to-mouth distances, whichever is longer
CENTRE_DROP = 0.1  # the square's centre lies this share of the way from eyes to mouth
BORDER_SHARE = 0.1  # of the square's side, kept around the quad when cutting
PAD_SHARE = 0.3  # of the square's side, the least width of made-up surroundings
BLUR_SHARE = 0.02  # of the square's side, Gaussian sigma of the surroundings
SUPERSAMPLING = 4  # the quad is resampled at this multiple of the side, then reduced
STRIP_PX = 64  # rows that are sampled at once
CUT_OFF = 1e-3  # levels are cut off to whole ones, as PIL does; those this near below a whole one are it


def align(photo: Photo, landmarks: Landmarks, side_px: int, crop: CropSpec | None = None) -> AlignedFace:
    """Cut one face out of its photo, upright and at a known size.

    side_px: side of the crop. crop: zoom and shift relative to the published square, by default itself.
    Where the square leaves the photo it is filled with mirrored, blurred surroundings.
    Returns the crop and ``crop_to_photo``, which includes the rounding of the published shrinking step.
    Raises NoFaceError if the square lies outside the photo, ShapeError for points that span no square.

    >>> from emorph.core.images import read_photo
    >>> from emorph.faces import find_faces
    >>> photo = read_photo("examples/astronaut.png")
    >>> align(photo, find_faces(photo)[0], side_px=64).pixels.shape
    (64, 64, 3)
    """
    if side_px < 1:
        raise ShapeError(f"expected a crop side of at least 1 px, found {side_px}.")
    quad = crop_quad(landmarks, crop or CropSpec())
    shrunk = _shrink_steps(photo.pixels, quad, side_px)
    window = _cut(photo, shrunk)
    canvas, canvas_quad = _pad(window, shrunk.quad - np.array(shrunk.corner), shrunk.quad_side)
    pixels = _resample(canvas, canvas_quad, side_px)
    return AlignedFace(pixels, _crop_to_photo(shrunk, side_px), landmarks)


@dataclass(frozen=True)
class _Shrunk:
    """Where the quad lies once the photo is scaled down by the published whole factor.

    quad: (4, 2) in scaled pixels; quad_side its side. size: (width, height) of the scaled photo.
    photo_per_px: (x, y) photo pixels per scaled pixel, from the rounded sizes.
    corner, far_corner: the window of scaled pixels that is needed, far corner exclusive.
    """

    quad: Float64
    quad_side: float
    size: tuple[int, int]
    photo_per_px: Float64
    corner: tuple[int, int]
    far_corner: tuple[int, int]


def crop_quad(landmarks: Landmarks, crop: CropSpec) -> Float64:
    """Corners top left, bottom left, bottom right, top right in photo pixels, (4, 2)."""
    points = np.asarray(landmarks.points, dtype=np.float64)
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise ShapeError(f"expected 68 finite points (68, 2), found {points.shape}; detect the face again.")
    if not crop.zoom > 0:
        raise ShapeError(f"expected a crop zoom above 0, found {crop.zoom}.")
    eye_left, eye_right = points[LEFT_EYE].mean(axis=0), points[RIGHT_EYE].mean(axis=0)
    eye_mid = (eye_left + eye_right) / 2
    eye_to_eye = eye_right - eye_left
    eye_to_mouth = points[list(MOUTH_CORNERS)].mean(axis=0) - eye_mid
    across = eye_to_eye - _turned(eye_to_mouth)
    half_side = max(np.linalg.norm(eye_to_eye) * EYE_SPAN, np.linalg.norm(eye_to_mouth) * MOUTH_SPAN)
    length = np.linalg.norm(across)
    if length < 1e-6 or half_side < 1e-6:
        raise ShapeError("the points of the eyes and the mouth span no square; detect the face again.")
    x = across / length * half_side
    y = _turned(x)
    centre = eye_mid + CENTRE_DROP * eye_to_mouth + 2 * (crop.shift[0] * x + crop.shift[1] * y)
    x, y = x / crop.zoom, y / crop.zoom
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])


def _turned(vector: Float64) -> Float64:
    """Turned by 90 degrees, from image right to image down."""
    return np.array([-vector[1], vector[0]])


def _border(quad_side: float) -> int:
    return max(round(quad_side * BORDER_SHARE), 3)


def _shrink_steps(pixels: UInt8, quad: Float64, side_px: int) -> _Shrunk:
    height, width = pixels.shape[:2]
    quad_side = float(np.linalg.norm(quad[3] - quad[0]))
    factor = max(1, int(np.floor(quad_side / side_px * 0.5)))
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    quad, quad_side = quad / factor, quad_side / factor
    border = _border(quad_side)
    left, top = (max(int(v) - border, 0) for v in np.floor(quad.min(axis=0)))
    right, bottom = (min(int(v) + border, n) for v, n in zip(np.ceil(quad.max(axis=0)), size, strict=True))
    return _Shrunk(quad, quad_side, size, np.array([width, height]) / size, (left, top), (right, bottom))


def _cut(photo: Photo, shrunk: _Shrunk) -> UInt8:
    """The window of the scaled photo, as if the whole photo were scaled with Lanczos and then cut."""
    (left, top), (right, bottom) = shrunk.corner, shrunk.far_corner
    if left >= right or top >= bottom:
        height, width = photo.pixels.shape[:2]
        raise NoFaceError(f"the face lies outside {photo.name} ({width}x{height} px); detect the face again.")
    if shrunk.size == (photo.pixels.shape[1], photo.pixels.shape[0]):
        return photo.pixels[top:bottom, left:right]
    per_px = shrunk.photo_per_px[1]
    reach = 3 * per_px + 1  # Lanczos looks three scaled pixels far
    rows = slice(max(int(np.floor(top * per_px - reach)), 0), int(np.ceil(bottom * per_px + reach)))
    # of a part alone a scaled pixel would lie between others, so each pass goes over the whole of its axis
    across = _lanczos(photo.pixels[rows], (shrunk.size[0], len(photo.pixels[rows])))[:, left:right]
    columns = np.zeros((len(photo.pixels), *across.shape[1:]), np.uint8)
    columns[rows] = across
    return np.ascontiguousarray(_lanczos(columns, (right - left, shrunk.size[1]))[top:bottom])


def _pad(window: UInt8, quad: Float64, quad_side: float) -> tuple[UInt8, Float64]:
    """Surround the window where the quad leaves the photo: mirrored, then blurred, then the median colour.

    quad: (4, 2) in window pixels. Returns the canvas and the quad in canvas pixels.
    """
    height, width = window.shape[:2]
    border = _border(quad_side)
    before = np.maximum(border - np.floor(quad.min(axis=0)).astype(int), 0)
    after = np.maximum(np.ceil(quad.max(axis=0)).astype(int) - [width, height] + border, 0)
    if max(before.max(), after.max()) <= border - 4:
        return window, quad
    least = round(quad_side * PAD_SHARE)
    (left, top), (right, bottom) = np.maximum(before, least), np.maximum(after, least)
    canvas = cv2.copyMakeBorder(window, int(top), int(bottom), int(left), int(right), cv2.BORDER_REFLECT_101)
    depth = np.maximum(_depth(canvas.shape[0], top, bottom)[:, None], _depth(canvas.shape[1], left, right))
    return _fade(canvas, depth, quad_side * BLUR_SHARE), quad + np.array([left, top])


def _depth(length: int, before: int, after: int) -> Float32:
    """1 at the canvas's edge, 0 where the photo begins, negative inside; (length,)."""
    index = np.arange(length, dtype=np.float32)
    depth: Float32 = 1 - np.minimum(index / np.float32(before), index[::-1] / np.float32(after))
    return depth


def _fade(canvas: UInt8, depth: Float32, sigma: float) -> UInt8:
    reach = int(4 * sigma + 0.5)  # the published filter ends at four sigma
    kernel = cv2.getGaussianKernel(2 * reach + 1, sigma, cv2.CV_32F)
    near, far = np.clip(depth * 3 + 1, 0, 1), np.clip(depth, 0, 1)
    planes = []
    for sharp in cv2.split(canvas):
        plane = cv2.sepFilter2D(sharp, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT)
        plane -= sharp  # in place: a new array of this size costs as much as what is done with it
        plane *= near
        plane += sharp
        still = _median(plane) - plane
        still *= far
        plane += still
        planes.append(cv2.convertScaleAbs(plane))
    faded: UInt8 = cv2.merge(planes)
    return faded


def _median(plane: Float32) -> np.float32:
    """As ``np.median`` has it, without its search for NaN, in half of its time."""
    half = plane.size // 2
    parted = np.partition(plane, half, axis=None)
    upper = np.float32(parted[half])
    return upper if plane.size % 2 else np.float32((parted[:half].max() + upper) / 2)


def _resample(canvas: UInt8, quad: Float64, side_px: int) -> UInt8:
    """Sample the quad four times as finely as asked for, as PIL's QUAD does, then reduce it with Lanczos."""
    fine_px = side_px * SUPERSAMPLING
    top_left, bottom_left, _, top_right = quad
    to_canvas = np.stack([top_right - top_left, bottom_left - top_left, top_left], axis=1)
    to_canvas[:, :2] /= fine_px
    to_canvas[:, 2] += 0.5 * (to_canvas[:, 0] + to_canvas[:, 1])  # the first sample lies half a step inside
    four = cv2.cvtColor(canvas, cv2.COLOR_RGB2RGBA).astype(np.float32)  # of four channels it takes half the time
    fine = np.empty((fine_px, fine_px, 4), np.uint8)
    strip = np.empty((min(STRIP_PX, fine_px), fine_px, 4), np.float32)  # stays in the processor's cache
    way = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for top in range(0, fine_px, STRIP_PX):
        rows = strip[: fine_px - top]
        here = to_canvas.copy()
        here[:, 2] += top * to_canvas[:, 1]
        cv2.warpAffine(four, here, (fine_px, len(rows)), dst=rows, flags=way, borderMode=cv2.BORDER_REPLICATE)
        cv2.convertScaleAbs(rows, dst=fine[top : top + len(rows)], alpha=1, beta=CUT_OFF - 0.5)
    return np.ascontiguousarray(_lanczos(fine, (side_px, side_px))[..., :3])


def _lanczos(picture: UInt8, size: tuple[int, int]) -> UInt8:
    """The picture, uint8 (H, W, 3 or 4), at another size (width, height) with Lanczos.

    By torch, which takes a sixth to a tenth of PIL's time, where its version knows that filter; levels differ by 1 at
    most.
    """
    if not _torch_has_lanczos():
        return np.array(Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.LANCZOS))
    import torch

    own = np.require(picture, requirements=["C", "W"])  # torch warns of arrays that it may not write to
    planes = torch.from_numpy(own).permute(2, 0, 1)[None]
    scaled = torch.nn.functional.interpolate(planes, size[::-1], mode="lanczos", antialias=True)
    found: UInt8 = scaled[0].permute(1, 2, 0).numpy()
    return found


@functools.cache
def _torch_has_lanczos() -> bool:
    """Whether this version of torch has PIL's filter."""
    import torch

    picture = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    try:
        torch.nn.functional.interpolate(picture, (2, 2), mode="lanczos", antialias=True)
    except (NotImplementedError, ValueError):
        return False
    return True


def _crop_to_photo(shrunk: _Shrunk, side_px: int) -> Float64:
    """(3, 3) from crop pixel centres to photo pixel centres.

    The published method adds its half pixel after scaling: the quad's corner is quad + 0.5 in SCALED pixels.
    """
    top_left, bottom_left, _, top_right = shrunk.quad
    to_photo = np.eye(3)
    to_photo[:2, 0] = (top_right - top_left) / side_px * shrunk.photo_per_px
    to_photo[:2, 1] = (bottom_left - top_left) / side_px * shrunk.photo_per_px
    corner = (top_left + 0.5) * shrunk.photo_per_px - 0.5
    to_photo[:2, 2] = corner + 0.5 * (to_photo[:2, 0] + to_photo[:2, 1])
    return to_photo
