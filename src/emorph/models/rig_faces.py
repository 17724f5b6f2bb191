"""What a rig sees of a face: a picture and its landmarks to coefficients, and coefficients to buffers.

All coefficients here belong to the picture's own square frame, whoever made them. Where the face model has no texture
of its own, ``texture`` is one skin colour (B, 3), or the anchors of a field of colours (B, 3 N), see
``emorph.face3d.skin.SkinField``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor

from emorph.core.assets import FLAME_PAGE, official
from emorph.core.errors import CheckpointError, ConfigError, MissingAssetError
from emorph.core.images import to_pixels
from emorph.core.types import FaceCoeffs, Float64, Landmarks, Photo
from emorph.face3d.buffers import render_buffers
from emorph.face3d.camera import CROP_SIDE_PX
from emorph.face3d.fit import fit_landmarks
from emorph.face3d.flame import FLAME
from emorph.face3d.ict import ICT
from emorph.face3d.lighting import estimate_light
from emorph.face3d.model import FaceModel
from emorph.face3d.skin import N_ANCHORS, SeenSkin, SkinField
from emorph.models.deca import DecaEncoder, crop_face
from emorph.models.port import load_face_encoder
from emorph.models.rig import FaceKind, Skin

ReaderName = Literal["landmarks", "deca", "emoca"]
NETWORKS: tuple[ReaderName, ...] = ("deca", "emoca")
READERS: tuple[ReaderName, ...] = ("landmarks", *NETWORKS)


@dataclass(frozen=True)
class Reading:
    """Coefficients of B faces. reasons: for each why it is not to be trusted, or ""."""

    coeffs: FaceCoeffs
    reasons: tuple[str, ...]


class FaceReader(Protocol):
    """Reads coefficients of ``face`` off pictures."""

    name: ReaderName
    skin: Skin

    @property
    def face(self) -> FaceModel: ...

    def read(self, pictures: Tensor, points: Tensor, *, persons: Sequence[int] | None = None) -> Reading:
        """pictures: float (B, 3, S, S) in [-1, 1]. points: (B, 68, 2), in their pixels, centres at whole numbers.

        persons: a number for each face; those of one number are photos of one person, who has one shape.
        """
        ...


class LandmarkReader:
    """Fits the face model to the landmarks, and its light to the picture; no network is needed."""

    name: ReaderName = "landmarks"

    def __init__(self, face: FaceModel, skin: Skin = "colour") -> None:
        self.face, self.skin = face, skin

    def read(self, pictures: Tensor, points: Tensor, *, persons: Sequence[int] | None = None) -> Reading:
        """As ``FaceReader.read``. Raises ShapeError."""
        fit = fit_landmarks(self.face, points, pictures.shape[-1], persons=persons)
        return Reading(lit(self.face, fit.coeffs, pictures, fit.points, self.skin), fit.reasons)


class NetworkReader:
    """DECA or EMOCA, on the crops that they were trained on; their answer is trusted as it is."""

    def __init__(self, network: DecaEncoder, face: FLAME, skin: Skin = "colour") -> None:
        self.network, self.face, self.skin = network, face, skin
        self.name: ReaderName = "emoca" if network.name == "emoca" else "deca"

    def read(self, pictures: Tensor, points: Tensor, *, persons: Sequence[int] | None = None) -> Reading:
        """As ``FaceReader.read``; of one person's photos the mean shape. Raises ShapeError for points on one spot."""
        found = [
            crop_face(Photo(pixels), marks)
            for pixels, marks in zip(to_pixels(pictures), points.cpu().numpy(), strict=True)
        ]
        crops, to_crop = (torch.cat(parts).to(pictures.device) for parts in zip(*found, strict=True))
        coeffs = in_picture(self.network.encode(crops), to_crop, pictures.shape[-1])
        if persons is not None:
            same = torch.tensor(persons)[:, None] == torch.tensor(persons)
            share = (same / same.sum(dim=1, keepdim=True)).to(coeffs.shape)
            coeffs = replace(coeffs, shape=share @ coeffs.shape)
        if self.face.albedo(coeffs.texture[:, :0]) is None:
            coeffs = lit(self.face, coeffs, pictures, points, self.skin)
        return Reading(coeffs, ("",) * len(coeffs))

    def read_photo(self, photo: Photo, landmarks: Landmarks, window_to_photo: Float64, side_px: int) -> FaceCoeffs:
        """One face, cut from the photo itself, and seen from a square window of ``side_px``. Raises ShapeError.

        window_to_photo: (3, 3), takes the window's pixels to the photo's; it scales and moves.
        """
        crop, photo_to_crop = crop_face(photo, landmarks.points)
        return in_picture(self.network.encode(crop), photo_to_crop @ torch.from_numpy(window_to_photo), side_px)


_GET_FLAME = (
    f"get its files from {FLAME_PAGE}, convert them once with `emorph models convert generic_model.pkl -o flame`, and "
    "name that folder as the face model (--face-model flame)"
)


def open_face(kind: FaceKind, path: str | Path | None = None) -> ICT | FLAME:
    """The 3D face model that a rig was trained with; ICT-FaceKit's usual place needs no path.

    Raises MissingAssetError, with what to get or to name, and CheckpointError if the file is another model's.
    """
    from emorph.face3d.photo import open_model  # brings the image library

    if kind == "flame" and path is None:
        raise MissingAssetError(f"FLAME's head is needed here: {_GET_FLAME}.")
    face = open_model(Path(path).expanduser() if path is not None else None)
    if (kind == "flame") != isinstance(face, FLAME):
        raise CheckpointError(f"this rig was trained with faces of {kind}, but {path} is {face.name}.")
    return face


def require_encoder(name: str, head: str | Path | None) -> None:
    """Raises MissingAssetError that names all that ``name``, deca or emoca, still lacks: its own file, and the head.

    head: the face model's file or folder, None where none is named.
    """
    lacks = []
    try:
        official(name)
    except MissingAssetError as error:
        lacks.append(str(error).rstrip("."))
    if head is None:
        lacks.append(f"FLAME's head: {_GET_FLAME}")
    if lacks:
        raise MissingAssetError(f"--encoder {name} needs what is not here: {'; and '.join(lacks)}.")


def open_reader(
    name: str, face: ICT | FLAME, network: str | Path | None = None, *, skin: Skin = "colour"
) -> FaceReader:
    """A reader by its name; the networks give coefficients of FLAME.

    network: file of DECA or EMOCA, by default the one that ``emorph models list`` names.
    Raises MissingAssetError, CheckpointError, and ConfigError for a name that is not known or does not fit the face.
    """
    if name == "landmarks":
        return LandmarkReader(face, skin)
    if name not in READERS:
        raise ConfigError(f"there is no encoder {name!r} of faces; use {', '.join(READERS)}.")
    if not isinstance(face, FLAME):
        raise ConfigError(f"{name} gives FLAME's coefficients, but the faces here are {face.name}'s; use landmarks.")
    found = NetworkReader(load_face_encoder(network or name), face, skin)
    if found.name != name:
        raise CheckpointError(f"{network} is a file of {found.name}, but the encoder should be {name}.")
    return found


def rig_buffers(face: FaceModel, coeffs: FaceCoeffs, side_px: int) -> Tensor:
    """What the rig sees of B faces, (B, 9, S, S): shaded, normals, albedo. Raises MissingAssetError, ShapeError."""
    albedo: Tensor | None = None
    if face.albedo(coeffs.texture[:, :0]) is None:
        albedo = coeffs.texture
        if albedo.shape[1] == 3 * N_ANCHORS:
            albedo = SkinField.on(face).colours(albedo.reshape(-1, N_ANCHORS, 3))
    return render_buffers(face, coeffs, side_px, albedo=albedo).stacked()


def in_picture(coeffs: FaceCoeffs, picture_to_crop: Tensor, side_px: int) -> FaceCoeffs:
    """Coefficients of DECA's crops, seen from the square picture that these were cut from.

    picture_to_crop: (B, 3, 3), see ``emorph.face3d.camera.deca_crop``; it scales and moves, so that the picture's
    camera is an orthographic one, too, and the same as projecting into the crop and from there into the picture.
    """
    back = torch.linalg.inv(picture_to_crop.double()).to(coeffs.camera.dtype)
    stretch = CROP_SIDE_PX / side_px * back[:, 0, 0]
    middle = (CROP_SIDE_PX / 2 * back[:, :2, :2].sum(dim=2) + back[:, :2, 2]) * 2 / side_px - 1
    scale = coeffs.camera[:, 0] * stretch
    shift = coeffs.camera[:, 1:] + middle * middle.new_tensor([1.0, -1.0]) / scale[:, None]
    return replace(coeffs, camera=torch.cat([scale[:, None], shift], dim=1))


def lit(face: FaceModel, coeffs: FaceCoeffs, pictures: Tensor, points: Tensor, skin: Skin = "colour") -> FaceCoeffs:
    """The coefficients with the light that explains the pictures, and the skin's colour, or colours, as their texture.

    The skin between the landmarks is looked at where the mesh's vertices lie, each with the area that it shows.
    Of a face model with a texture, the texture is the mean one, and the light makes up for the skin's colour.
    """
    seen = SeenSkin.of(face, coeffs, pictures / 2 + 0.5, points)
    light, colour = estimate_light(seen.colours, seen.normals, seen.weights)
    mean = face.albedo(coeffs.texture[:1, :0])
    if mean is None:
        texture = colour if skin == "colour" else SkinField.on(face).estimate(seen, light, colour).flatten(1)
        return replace(coeffs, light=light, texture=texture)
    scale = colour / mean.mean(dim=(2, 3)).clamp_min(1e-3)
    return replace(coeffs, light=light * scale[:, None], texture=coeffs.texture[:, :0])
