"""The inside of a mouth that an edit opened, closed or moved, painted at the photo's own resolution."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from emorph.core.errors import NoFaceError, ShapeError
from emorph.core.expressions import Emotion
from emorph.core.types import AlignedFace, Float32, Float64, Photo, Target, UInt8
from emorph.diffusion.noise import seeded_noise
from emorph.edit.change import CropChange, Finish
from emorph.edit.mouth_change import MouthChange
from emorph.edit.mouth_light import TEETH_SEED, noise_of, whites_over_skin
from emorph.faces.mouth_crop import (
    MouthCrop,
    around_inside,
    cut,
    exposure_gain,
    is_shut,
    laid_back,
    light_inside,
    lip_gap,
    lip_masks,
    mouth_crop,
)
from emorph.faces.paste import moved_face
from emorph.models.painter import Painter, view_of, wishes

DEFAULT_STEPS = 8  # evaluations of the painter
NOISE = 1.4  # deviation of the noise that a painting starts from: what is drawn gray needs more for lines of teeth
TINT = 0.2  # share of its colours that noise keeps: all of them tint what is painted violet, or green
CRISPNESS = 0.8  # of the detail finer than CRISP_PX that is added where a painting is enlarged, which blurs it
CRISP_PX = 0.8  # crop pixels: standard deviation of the blur that the detail is told by
RIM = 0.045  # units of the face around the mouth's inside that are painted anew
CLOSING_RIM = 0.12  # of the gap that closes, by which the rim is wider: what is left of teeth lies about the lips' line
MOST_RIM = 0.08
FEATHER = 0.4  # of the rim: standard deviation of its soft edge
COARSEST = -1.5  # log2 of the photo's pixels per crop pixel: as the painter was trained
GRAIN_SHARE = 0.7  # of the photo's own fine grain, which skin has more of than teeth
MOST_GRAIN = 6.0  # levels of 255


def moved_pixels(photo: Photo, face: AlignedFace, motion: Float32) -> UInt8:
    """The photo's pixels (H, W, 3) with one face moved, at their own resolution, and nothing drawn.

    motion: (S, S, 2) of ``emorph.faces.motion_between`` over the face's crop. Raises ShapeError.
    """
    return moved_face(photo, face, motion).in_photo(photo)


def paint_edit(
    source: Photo,
    edited: Photo,
    face: AlignedFace,
    motion: Float32,
    after: Float64,
    painter: Painter,
    *,
    emotions: Sequence[tuple[Emotion, float]] = (),
    whites: float | None = None,
    steps: int = DEFAULT_STEPS,
) -> Photo:
    """An edit of one face with its mouth's inside painted: what an editor calls after it has pasted.

    source: the photo before the edit of this face; edited: after it. motion, after: by which its crop was moved, and
    where its landmarks (68, 2) went, in crop pixels. emotions: that it should show, with their weights. whites: of
    ``face_whites``, by default as ``source`` has them. Raises ShapeError.
    """
    change = MouthChange.in_crop(face, after)
    if not change.shows_inside:
        return edited
    light = change.light_of(emotions)
    if light is not None:
        light *= whites or face_whites(source, change.before, painter)
    moved = moved_pixels(source, face, motion)
    return paint_mouth(edited, moved, change, painter, light=light, steps=steps, seed=noise_of(emotions))


def face_whites(photo: Photo, points: Float64, painter: Painter) -> float:
    """``whites_over_skin`` of a face with landmarks (68, 2) in photo pixels, as its mouth's painter sees it."""
    return whites_over_skin(photo, points, mouth_crop(points, painter.config.size, painter.config.width_units))


def inside_painted_by(painter: Painter | None, steps: int = DEFAULT_STEPS) -> Callable[[Target], Finish] | None:
    """What an editor does to each face after its change is pasted; None without a painter.

    steps: evaluations of the painter.
    """
    if painter is None:
        return None

    def finish(target: Target, source: Photo, edited: Photo, face: AlignedFace, change: CropChange) -> Photo:
        if change.motion is None or change.landmarks is None:
            return edited
        return paint_edit(
            source, edited, face, change.motion, change.landmarks, painter,
            emotions=target.weights, steps=steps,
        )  # fmt: skip

    return lambda target: functools.partial(finish, target)


def paint_mouth(
    photo: Photo,
    moved: UInt8,
    change: MouthChange,
    painter: Painter,
    *,
    light: float | None = None,
    steps: int = DEFAULT_STEPS,
    seed: int = TEETH_SEED,
) -> Photo:
    """The photo with the inside of one mouth painted, and a feathered rim around it.

    photo: the edit so far, on which it is painted. moved: of ``moved_pixels``, what the painter sees. light: how light
    the inside should be, over what lies around it (0.3 the dark of an open mouth, 1 teeth), as ``LIGHT_OF`` has it for
    emotions; by default the painter's own choice. seed: of the noise that it starts from, see ``noise_of``.
    Bit-identical outside the rim; everywhere if the lips touch before and after, or the mouth has left the photo.
    Raises ShapeError.
    """
    if moved.shape != photo.pixels.shape or moved.dtype != np.uint8:
        raise ShapeError(f"expected moved pixels uint8 {photo.pixels.shape}, found {moved.dtype} {moved.shape}.")
    if not change.shows_inside:
        return photo
    try:
        unpainted = unpainted_mouth(moved, change, painter, light, seed=seed)
    except NoFaceError:
        return photo
    (painted,) = painted_mouths([unpainted], painter, steps=steps)
    return lay_over(photo, moved, unpainted, painted)


@dataclass(frozen=True)
class UnpaintedMouth:
    """What a painter is shown of one mouth.

    crop: around it. rim_px: of the crop, painted around the inside. hidden, kept: (h, w), see ``view_of``.
    view: (1, VIEW_CHANNELS, h, w). wish: (1, N_WISHES). gain: by which its levels are brighter than the photo's.
    seed: of the noise that its painting starts from.
    """

    crop: MouthCrop
    rim_px: float
    hidden: Float32
    kept: Float32
    view: Tensor
    wish: Tensor
    gain: float
    seed: int = TEETH_SEED


def unpainted_mouth(
    moved: UInt8,
    change: MouthChange,
    painter: Painter,
    light: float | None = None,
    own: float | None = None,
    *,
    seed: int = TEETH_SEED,
) -> UnpaintedMouth:
    """What of a mouth is to be painted, and around what. moved, light, seed: as for ``paint_mouth``.

    Raises NoFaceError.

    own: in [0, 1], how much of its own inside is kept if it opens further; by default by how far it was open.
    """
    crop = mouth_crop(change.after, painter.config.size, painter.config.width_units, frame=change.before)
    rim = _rim_px(change, crop)
    points = crop.points(change.after)
    hidden = around_inside(points, crop.size, rim)
    kept = change.kept(crop, own)
    inner, outer = lip_masks(points, crop.size)
    seen = cut(moved, crop)
    if light and own is None:
        kept *= change.kept_in(light_inside(seen, inner, hidden) / light)
    if is_shut(lip_gap(change.after)):
        inner[:] = 0
    gain = exposure_gain(seen, hidden)
    device = painter.rates.device
    picture = torch.from_numpy(seen * (gain / 127.5) - 1).permute(2, 0, 1)[None].float().to(device)
    masks = [torch.from_numpy(each)[None, None].to(picture) for each in (hidden, kept, inner, outer)]
    sharpness = float(np.clip(math.log2(crop.photo_px_per_crop_px), COARSEST, 0))
    numbers = (sharpness, light or 0.0, float(light is not None))
    wish = wishes(*(torch.tensor([value], device=device) for value in numbers))
    return UnpaintedMouth(crop, rim, hidden, kept, view_of(picture, *masks), wish, gain, seed)


def painted_mouths(mouths: Sequence[UnpaintedMouth], painter: Painter, *, steps: int = DEFAULT_STEPS) -> list[Float32]:
    """The crops' levels (h, w, 3) of 0..255 with the hidden parts painted, as one batch."""
    view, wish = (torch.cat([getattr(mouth, name) for mouth in mouths]) for name in ("view", "wish"))
    noise = seeded_noise([mouth.seed for mouth in mouths], (3, *view.shape[2:]), view.device)
    noise = NOISE * (noise + noise.flip(-1)) / math.sqrt(2)  # a mouth's two sides are alike
    noise = torch.lerp(noise.mean(1, keepdim=True), noise, TINT)
    pictures = painter.paint(view, wish, noise, steps=steps).permute(0, 2, 3, 1).float().cpu().numpy()
    return [
        ((each + 1) * (127.5 / mouth.gain)).astype(np.float32) for each, mouth in zip(pictures, mouths, strict=True)
    ]


def lay_over(photo: Photo, moved: UInt8, mouth: UnpaintedMouth, painted: Float32, *, share: float = 1.0) -> Photo:
    """The photo with a mouth's painting (h, w, 3) over it, as for ``paint_mouth``. share: of it that is taken."""
    kept, rim = mouth.kept, mouth.rim_px
    own = cv2.GaussianBlur(kept, (0, 0), max(FEATHER * rim, 0.5), borderType=cv2.BORDER_REPLICATE) * kept
    taken = np.float32(share) * _feathered(mouth.hidden, rim)
    return _laid_over(photo, moved, painted, taken, own, mouth.crop, mouth.seed)


def _rim_px(change: MouthChange, crop: MouthCrop) -> float:
    closing = max(0.0, lip_gap(change.before) - lip_gap(change.after))
    return min(RIM + CLOSING_RIM * closing, MOST_RIM) * crop.unit_px


def _feathered(hidden: Float32, rim_px: float) -> Float32:
    """How much of the painting is taken, (h, w) in [0, 1]: all inside, less over the rim, none outside ``hidden``."""
    width = 2 * FEATHER * rim_px
    narrower = cv2.distanceTransform((hidden > 0).astype(np.uint8), cv2.DIST_L2, 5) / max(2 * width, 1e-6)
    share = np.clip(narrower, 0, 1)
    found: Float32 = (share * share * (3 - 2 * share)).astype(np.float32)
    return found


def _laid_over(
    photo: Photo, moved: UInt8, painted: Float32, share: Float32, own: Float32, crop: MouthCrop, seed: int
) -> Photo:
    """The photo with the painting over it, with the photo's own grain.

    share: (h, w) in [0, 1], how much of the painting is taken; of that, ``own`` is how much is the moved photo instead.
    """
    corner, size = _window(crop, photo.pixels.shape)
    if min(size) <= 0:
        return photo
    layers = np.concatenate([_crisper(painted, crop), share[..., None]], axis=2)
    over = laid_back(layers, crop, corner, size)
    weights = np.clip(over[..., 3:], 0, 1)
    of_photo = np.clip(laid_back(own[..., None], crop, corner, size), 0, 1)
    weights[laid_back((share[..., None] > 0).astype(np.float32), crop, corner, size) <= 0] = 0
    rows, columns = slice(corner[1], corner[1] + size[1]), slice(corner[0], corner[0] + size[0])
    grain = _grain(moved, weights, crop, corner, size, seed)
    result = photo.pixels.copy()
    pasted, seen = (pixels[rows, columns].astype(np.float32) for pixels in (result, moved))
    new = of_photo * seen + (1 - of_photo) * (over[..., :3] + grain)
    mixed = pasted + weights * (new - pasted)
    result[rows, columns] = np.where(weights > 0, np.clip(np.rint(mixed), 0, 255), pasted)
    return replace(photo, pixels=result)


def _crisper(painted: Float32, crop: MouthCrop) -> Float32:
    """A painting (h, w, 3) sharpened by as much as the photo is larger than it, up to twice."""
    enlarged = float(np.clip(crop.photo_px_per_crop_px - 1, 0, 1))
    if not enlarged:
        return painted
    blurred = cv2.GaussianBlur(painted, (0, 0), CRISP_PX, borderType=cv2.BORDER_REPLICATE)
    found: Float32 = painted + np.float32(CRISPNESS * enlarged) * (painted - blurred)
    return found


def _grain(
    moved: UInt8, weights: Float32, crop: MouthCrop, corner: tuple[int, int], size: tuple[int, int], seed: int
) -> Float32:
    """Noise (h, w, 1) as strong as what of the photo around the mouth is too fine for the painter's crop."""
    none = np.zeros((size[1], size[0], 1), np.float32)
    if crop.photo_px_per_crop_px <= 1:
        return none
    own = moved[corner[1] : corner[1] + size[1], corner[0] : corner[0] + size[0]].astype(np.float32)
    fine = own - laid_back(cut(moved, crop), crop, corner, size)
    around = weights[..., 0] <= 0
    if not around.any():
        return none
    strength = GRAIN_SHARE * float(np.median(np.abs(fine[around]))) / 0.6745  # of a normal distribution's deviation
    noise = np.random.default_rng(seed).normal(0, min(strength, MOST_GRAIN), none.shape)
    return noise.astype(np.float32)


def _window(crop: MouthCrop, shape: tuple[int, ...]) -> tuple[tuple[int, int], tuple[int, int]]:
    """(left, top) and (width, height) of the photo's pixels that the crop covers."""
    width, height = crop.size
    corners = np.array([[0, width - 1, width - 1, 0], [0, 0, height - 1, height - 1], [1, 1, 1, 1]])
    around = (np.linalg.inv(crop.to_crop) @ corners)[:2]
    left, top = np.maximum(np.floor(around.min(axis=1)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(around.max(axis=1)).astype(int) + 1, [shape[1], shape[0]])
    return (int(left), int(top)), (int(right - left), int(bottom - top))
