"""One face of a photo in 3D: fitted to its landmarks, lit as in the photo, and shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from emorph.core.assets import FLAME_PAGE
from emorph.core.commands import command
from emorph.core.errors import CheckpointError, MissingAssetError, NoFaceError
from emorph.core.files import replace_file
from emorph.core.images import to_pixels
from emorph.core.landmarks import LEFT_EYE, RIGHT_EYE
from emorph.core.types import FaceCoeffs, Float64, Landmarks, Photo, PhysicalBuffers, UInt8
from emorph.face3d.buffers import render_buffers
from emorph.face3d.camera import project, screen_to_pixels
from emorph.face3d.convert import is_flame_source
from emorph.face3d.fit import Fit, fit_landmarks
from emorph.face3d.flame import FLAME
from emorph.face3d.ict import ICT
from emorph.face3d.ict_source import MODEL_FILE
from emorph.face3d.lighting import estimate_light
from emorph.face3d.model import FaceModel
from emorph.face3d.skin import SeenSkin, SkinField

WINDOW_PX = 384
_WINDOW_SCALE = 1.8  # of the landmarks' box: the forehead lies above it
_MESH, _FOUND, _FITTED = (90, 200, 255), (80, 255, 120), (255, 70, 70)

# a photo, a face's landmarks, window_to_photo, side of the window: the face, with the window's camera
ReadFace = Callable[[Photo, Landmarks, Float64, int], FaceCoeffs]


@dataclass(frozen=True)
class FittedFace:
    """A square window of the photo, and the 3D face in it.

    pixels: uint8 (S, S, 3). window_to_photo: float64 (3, 3), from its pixel centres to the photo's.
    points: (1, 68, 2), the detector's landmarks in window pixels. fit: of them, or what a network read; its camera is
    the window's. buffers: (1, ., S, S), with the photo's light and the skin's colours as a smooth field, or the
    network's texture and light.
    """

    pixels: UInt8
    window_to_photo: Float64
    points: Tensor
    fit: Fit
    buffers: PhysicalBuffers


def open_model(path: Path | None) -> ICT | FLAME:
    """ICT-FaceKit from its file, or FLAME from its converted folder; None is ICT-FaceKit from the usual place.

    Raises MissingAssetError, with the page to get it from, or CheckpointError.
    """
    if path is not None and not path.exists():
        raise MissingAssetError(
            f"{path} is not there; a face model is ICT-FaceKit's ict_face.npz, which `emorph models get ict-facekit` "
            f"makes, or a folder that `emorph models convert` made of FLAME's files (from {FLAME_PAGE})."
        )
    if path is not None and is_flame_source(path):
        raise CheckpointError(
            f"{path} is FLAME as its owner gives it; name the folder that this writes: "
            f"{command('models', 'convert', path, '-o', 'flame')}"
        )
    if path is not None and path.is_dir() and not (path / MODEL_FILE).is_file():
        return FLAME.load(path)
    return ICT.load(path / MODEL_FILE if path is not None and path.is_dir() else path)


@torch.inference_mode()
def fit_photo(model: FaceModel, photo: Photo, landmarks: Landmarks, read: ReadFace | None = None) -> FittedFace:
    """Fit a face of a photo to its landmarks, or take what ``read`` says of it.

    Raises NoFaceError, with the reason, if no face of the model fits.
    """
    low, high = landmarks.points.min(axis=0), landmarks.points.max(axis=0)
    step = max(float((high - low).max()) * _WINDOW_SCALE, 1.0) / WINDOW_PX
    corner = (low + high) / 2 - step * (WINDOW_PX - 1) / 2
    window_to_photo = np.array([[step, 0, corner[0]], [0, step, corner[1]], [0, 0, 1]], dtype=np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (WINDOW_PX, WINDOW_PX)
    pixels = cv2.warpAffine(photo.pixels, window_to_photo[:2], size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    points = torch.from_numpy((landmarks.points - corner) / step).float()[None]
    if read is None:
        fit = fit_landmarks(model, points, WINDOW_PX)
    else:
        fit = _as_fit(model, read(photo, landmarks, window_to_photo, WINDOW_PX), points)
    if fit.reasons[0]:
        raise NoFaceError(f"no 3D face fits the face found in {photo.name}: {fit.reasons[0]}.")
    if read is not None and model.albedo(fit.coeffs.texture) is not None:
        return FittedFace(pixels, window_to_photo, points, fit, render_buffers(model, fit.coeffs, WINDOW_PX))
    seen = SeenSkin.of(model, fit.coeffs, torch.from_numpy(pixels).float().permute(2, 0, 1)[None] / 255, points)
    light, mean = estimate_light(seen.colours, seen.normals, seen.weights)
    fit = replace(fit, coeffs=replace(fit.coeffs, light=light))
    field = SkinField.on(model)
    colours = field.colours(field.estimate(seen, light, mean))
    buffers = render_buffers(model, fit.coeffs, WINDOW_PX, albedo=colours)
    return FittedFace(pixels, window_to_photo, points, fit, buffers)


def _as_fit(model: FaceModel, coeffs: FaceCoeffs, points: Tensor) -> Fit:
    """Coefficients of the window, with how far their landmarks lie from ``points`` (1, 68, 2)."""
    marks = model.landmarks(model.vertices(coeffs), coeffs.pose)
    seen = screen_to_pixels(project(marks, coeffs.camera)[..., :2], (WINDOW_PX, WINDOW_PX))
    eyes = (marks[:, LEFT_EYE].mean(dim=1) - marks[:, RIGHT_EYE].mean(dim=1)).norm(dim=1)
    eyes_px = eyes * coeffs.camera[:, 0] * WINDOW_PX / 2
    return Fit(coeffs, (seen - points).norm(dim=-1).mean(dim=1) / eyes_px, seen, ("",))


def picture(model: FaceModel, face: FittedFace) -> UInt8:
    """Four tiles (S, 4 S, 3): landmarks (green: found, red: fitted), mesh, normals, shading."""
    mask = face.buffers.mask[0, 0].numpy()[..., None] > 0
    normals = np.where(mask, to_pixels(face.buffers.normals)[0], face.pixels)
    shading = np.where(mask, to_pixels(face.buffers.shaded * 2 - 1)[0], face.pixels)
    return np.hstack([_landmarks_tile(face), _mesh_tile(model, face), normals, shading]).astype(np.uint8)


def _landmarks_tile(face: FittedFace) -> UInt8:
    tile = face.pixels.copy()
    for points, colour in ((face.points, _FOUND), (face.fit.points, _FITTED)):
        for point in (points[0].numpy() * 16).round().astype(int):
            cv2.circle(tile, point.tolist(), 2 * 16, colour, -1, cv2.LINE_AA, 4)
    return tile


def _mesh_tile(model: FaceModel, face: FittedFace) -> UInt8:
    on_screen = project(model.vertices(face.fit.coeffs), face.fit.coeffs.camera)
    in_pixels = screen_to_pixels(on_screen[0, :, :2], (WINDOW_PX, WINDOW_PX)).numpy()
    corners = on_screen[0, :, :2][model.faces]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    towards = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] < 0  # y points down, so the front is clockwise
    lines = (in_pixels[model.faces[towards].numpy()] * 16).round().astype(np.int32)
    drawn = face.pixels.copy()
    cv2.polylines(drawn, list(lines), isClosed=True, color=_MESH, thickness=1, lineType=cv2.LINE_AA, shift=4)
    blended: UInt8 = cv2.addWeighted(drawn, 0.35, face.pixels, 0.65, 0)
    return blended


def facts(model: FaceModel, face: FittedFace) -> dict[str, Any]:
    """The coefficients for machines: radians, the camera of the window, action units by name where they have any."""
    coeffs = face.fit.coeffs
    rounded = {
        name: np.round(getattr(coeffs, name)[0].numpy().astype(float), 5).tolist()
        for name in ("shape", "expression", "pose", "jaw", "camera", "light", "texture")
        if getattr(coeffs, name).numel()
    }
    names = model.unit_names if isinstance(model, ICT) else ()
    units = dict(zip(names, rounded["expression"], strict=False))
    return {
        "model": model.name,
        "encoder": coeffs.encoder,
        "error": round(float(face.fit.error[0]), 5),
        **rounded,
        **({"action_units": units} if units else {}),
        "window_px": WINDOW_PX,
        "window_to_photo": face.window_to_photo.tolist(),
        "landmarks": np.round(face.fit.points[0].numpy().astype(float), 2).tolist(),
    }


def write_obj(path: Path, model: FaceModel, face: FittedFace) -> None:
    """The posed mesh with its UV map as a Wavefront file; it appears complete or not at all. Raises CheckpointError."""
    vertices = model.vertices(face.fit.coeffs)[0].numpy()
    lines = [
        f"# {model.name}, by emorph from {face.fit.coeffs.encoder}",
        *(f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in vertices),
    ]
    corners = (model.faces + 1).tolist()
    if model.uv is None:
        lines += [f"f {a} {b} {c}" for a, b, c in corners]
    else:
        lines += [f"vt {u:.6f} {v:.6f}" for u, v in model.uv.coordinates.tolist()]
        pairs = zip(corners, (model.uv.faces + 1).tolist(), strict=True)
        lines += [f"f {a}/{p} {b}/{q} {c}/{r}" for (a, b, c), (p, q, r) in pairs]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, ("\n".join(lines) + "\n").encode())
    except OSError as error:
        raise CheckpointError(f"cannot write {path} ({error.strerror}); choose another output.") from None
