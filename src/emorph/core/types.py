"""The frozen dataclasses that cross layers. Arrays are documented with order (x, y against h, w) and range."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emorph.core.target import Expression as Expression
from emorph.core.target import Target as Target

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from emorph.core.tone import Tone

UInt8 = NDArray[np.uint8]
UInt16 = NDArray[np.uint16]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

OnStep = Callable[[int, int], None]
"""Called with how much is done and how much there is in all, after each step of something that takes a while."""


@dataclass(frozen=True)
class Extra:
    """What a picture's file holds beyond 8-bit RGB, for the file that its photo becomes: ``emorph.core.encode``.

    own: the file's levels, upright, where the photo's pixels do not tell all of them: uint8 or uint16 (H, W, C) of
        gray, gray and alpha, RGB, or RGBA (C 1 to 4), colours not multiplied by alpha; None for plain RGB.
    exif: its EXIF as one block of its own, without what no longer holds (orientation, thumbnail); b"" for none.
    dpi: pixels an inch, across and down. missing: what the file has and no result will have, in words.
    """

    own: UInt8 | UInt16 | None = None
    exif: bytes = b""
    dpi: tuple[float, float] | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Photo:
    """A decoded photograph.

    pixels: uint8 (H, W, 3) RGB, upright (EXIF orientation already applied); what is transparent lies over white.
    path: where it came from, None when it was handed over in memory.
    icc: the RGB colour profile of the pixels (ICC.1), so that a picture written with them looks the same; None is sRGB.
    extra: what else the file holds. It follows the pixels when a result is written, wherever these were not changed.
    """

    pixels: UInt8
    path: Path | None = None
    icc: bytes | None = None
    extra: Extra = Extra()

    @property
    def name(self) -> str:
        """How messages call this photo."""
        return self.path.name if self.path is not None else "the photo"


@dataclass(frozen=True)
class Landmarks:
    """The 68 points of one face (iBUG/dlib order).

    points: float32 (68, 2), (x, y) in photo pixels, pixel centres at whole numbers; may lie outside the photo.
    box: (left, top, right, bottom) of the detector, photo pixels.
    score: detector confidence, larger is surer; dlib's HOG detector gives about 0 to 4.
    doubt: why the points are not to be trusted, for instance of a head that is turned far; "" where nothing says so.
    """

    points: Float32
    box: tuple[int, int, int, int]
    score: float
    doubt: str = ""


@dataclass(frozen=True)
class AlignedFace:
    """A square crop of one face and the way back.

    pixels: uint8 (S, S, 3) RGB.
    crop_to_photo: float64 (3, 3), maps (x, y, 1) of crop pixel centres to photo pixel centres.
    landmarks: of the face in photo pixels.
    """

    pixels: UInt8
    crop_to_photo: Float64
    landmarks: Landmarks

    @property
    def side_px(self) -> int:
        """Side of the crop in crop pixels."""
        return int(self.pixels.shape[0])

    @property
    def photo_px_per_crop_px(self) -> float:
        """How many photo pixels one crop pixel spans; under 1 the face was enlarged."""
        return float(np.sqrt(abs(np.linalg.det(self.crop_to_photo[:2, :2]))))

    def crop_points(self) -> Float64:
        """The landmarks (68, 2), (x, y) in crop pixels, pixel centres at whole numbers."""
        to_crop = np.linalg.inv(self.crop_to_photo)
        points: Float64 = self.landmarks.points @ to_crop[:2, :2].T + to_crop[:2, 2]
        return points

    def in_photo(self, points: Float64) -> Float64:
        """Points (n, 2), (x, y) in crop pixels, in photo pixels."""
        found: Float64 = points @ self.crop_to_photo[:2, :2].T + self.crop_to_photo[:2, 2]
        return found


@dataclass(frozen=True)
class CropSpec:
    """The crop that a model was trained on, relative to the FFHQ square.

    zoom: side of the FFHQ square over the side of the crop; 1 is FFHQ's own crop, above 1 is tighter.
    shift: (x, y) of the crop's centre from the FFHQ square's centre, in sides of the FFHQ square,
        along the square's own axes (x to the image right, y down for an upright face).
    """

    zoom: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class FaceCode:
    """What a diffusion autoencoder knows of B faces.

    z_sem: float (B, z_dim). x_T: float (B, C, S, S), the noise that holds the rest; None where it was not inverted.
    model_id: of the model that made it; another model cannot read it. tone: what was taken off the pictures before they
    were encoded; None for nothing.
    """

    z_sem: Tensor
    x_T: Tensor | None
    model_id: str
    tone: Tone | None = None


@dataclass(frozen=True)
class FaceCoeffs:
    """B faces as numbers of a 3D face model, as DECA's encoder gives them (Feng et al. 2021).

    shape: float (B, n <= 300), identity. expression: float (B, m <= 100); of ICT-FaceKit its 53 action units, 0..1.
    pose, jaw: float (B, 3), axis-angle in radians, of the head and of the jaw.
    camera: float (B, 3): scale, tx, ty of the orthographic camera, see ``emorph.face3d.camera.project``.
    light: float (B, 9, 3), spherical harmonics of each colour. texture: float (B, n), of the model's own texture,
        or the skin's colours where it has none, see ``emorph.models.rig_faces``.
    encoder: who made them ("deca", "emoca", "landmarks", ...).
    """

    shape: Tensor
    expression: Tensor
    pose: Tensor
    jaw: Tensor
    camera: Tensor
    light: Tensor
    texture: Tensor
    encoder: str

    def __len__(self) -> int:
        return int(self.pose.shape[0])

    def to(self, device: torch.device | str) -> FaceCoeffs:
        """The same on another device."""
        return self._each(lambda tensor: tensor.to(device))

    def __getitem__(self, rows: slice | Tensor) -> FaceCoeffs:
        """Some of the faces: a slice, or int64 or bool (n,)."""
        return self._each(lambda tensor: tensor[rows])

    def _each(self, change: Callable[[Tensor], Tensor]) -> FaceCoeffs:
        names = ("shape", "expression", "pose", "jaw", "camera", "light", "texture")
        return FaceCoeffs(encoder=self.encoder, **{name: change(getattr(self, name)) for name in names})


@dataclass(frozen=True)
class PhysicalBuffers:
    """What the rig's network sees of B faces, float; 0 where no triangle covers the pixel.

    normals: (B, 3, S, S) in model space (x to the image right, y up, z towards the viewer), not renormalised.
    albedo: (B, 3, S, S) RGB, about [0, 1]. shaded: (B, 3, S, S), albedo under the light; may leave [0, 1].
    mask: (B, 1, S, S), 1 where a triangle covers the pixel's centre.
    """

    normals: Tensor
    albedo: Tensor
    shaded: Tensor
    mask: Tensor

    def stacked(self) -> Tensor:
        """(B, 9, S, S) in the order of DiffusionRig's network: shaded, normals, albedo."""
        import torch

        return torch.cat([self.shaded, self.normals, self.albedo], dim=1)
