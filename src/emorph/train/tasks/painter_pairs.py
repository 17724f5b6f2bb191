"""Pairs that a painter learns from: a real mouth, and what an edit would have left of it.

An open mouth, its inside hidden, is a pair by itself. For lips that were moved, and for mouths that close, a face goes
there and back: warped to another face's mouth and back by the editor's own warp; its own photo is to be restored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from pydantic import Field

from emorph.core.config import Config
from emorph.core.landmarks import EYES, MOUTH, OUTER_LIPS
from emorph.core.types import Float32, Float64, UInt8
from emorph.faces.bounds import in_order
from emorph.faces.mouth import newly_open
from emorph.faces.mouth_crop import around_inside, exposure_gain, is_shut, light_inside, lip_masks
from emorph.faces.warp import motion_between, warped

WARP_SIDE_UNITS, WARP_SIDE_PX = 3.0, 30  # the editor warps a crop about so wide; its smooth field is drawn coarsely
WARP_CENTRE_UNITS = 0.55  # of that crop, below the middle of the eyes
COARSE = 3  # what is newly open is drawn at a third of the size
CLOSED_GAP, OPEN_GAP = 0.05, 0.10  # units of the face, between the inner lips

Way = Literal["direct", "through_closed", "through_open"]


class PairConfig(Config):
    """How pairs are made; lengths in units of the face (``emorph.faces.mouth_crop.face_unit``).

    ways_open, ways_closed: shares of "direct", "through_closed", "through_open" among mouths that are open, and closed.
    rim: least and most that is hidden around the mouth's inside. jitter: standard deviation of the lips' points.
    turn_deg, zoom (log), shift: largest change of the crop. exposure, tint: standard deviations of the log brightness,
    and of that of each channel. blur_share: how many pictures are first made coarser, by a factor up to blur.
    known_share: how often the painter is told how light the inside should be.
    """

    ways_open: tuple[float, float, float] = (0.35, 0.35, 0.3)
    ways_closed: tuple[float, float, float] = (0.2, 0.1, 0.7)
    rim: tuple[float, float] = (0.02, 0.08)
    jitter: float = Field(0.010, ge=0)
    turn_deg: float = Field(6.0, ge=0, description="Largest turn of the crop.")
    zoom: float = Field(0.08, ge=0, description="Largest change of the crop's size, as the log of a factor.")
    shift: float = Field(0.05, ge=0, description="Largest shift of the crop.")
    exposure: float = Field(0.12, ge=0)
    tint: float = Field(0.05, ge=0)
    blur_share: float = Field(0.25, ge=0, le=1)
    blur: float = Field(2.2, ge=1, description="Largest factor by which a picture is made coarser first.")
    known_share: float = Field(0.7, ge=0, le=1)


@dataclass(frozen=True)
class Mouth:
    """A stored mouth: pixels uint8 (S, S, 3), its face's landmarks (68, 2) in them, and the length of a unit."""

    pixels: UInt8
    points: Float64
    unit_px: float


@dataclass(frozen=True)
class Pair:
    """What is seen and what was there, each float32 of the painter's height and width.

    truth, seen: (h, w, 3) in about [-1, 1]. hidden, kept, inner, outer: (h, w) in [0, 1], as ``view_of`` takes them.
    light: see ``light_inside``. coarser: by which factor the picture was made coarser first, at least 1.
    """

    truth: Float32
    seen: Float32
    hidden: Float32
    kept: Float32
    inner: Float32
    outer: Float32
    light: float
    coarser: float


def make_pair(
    own: Mouth,
    donor_of: Callable[[bool], Mouth],
    size: tuple[int, int],
    config: PairConfig,
    rng: np.random.Generator,
) -> Pair:
    """One pair of a mouth. donor_of(is_open): some other mouth. size: (width, height) of the painter's crop."""
    is_open = _gap(own) >= CLOSED_GAP
    way = _way(config.ways_open if is_open else config.ways_closed, rng)
    coarser = float(rng.uniform(1, config.blur)) if rng.random() < config.blur_share else 1.0
    truth = _coarse(own.pixels, coarser)
    kept = np.zeros(truth.shape[:2], np.float32)
    seen = truth
    if way != "direct":
        donor = donor_of(way == "through_open")
        seen, there = _there_and_back(truth, own, donor, rng, with_teeth=not is_open and way == "through_open")
        if way == "through_open":
            kept = 1 - _opened(there, own.points, truth.shape[0])
    return _cropped(own, truth, seen, kept, coarser, size, config, rng)


def _way(shares: tuple[float, float, float], rng: np.random.Generator) -> Way:
    ways: tuple[Way, Way, Way] = ("direct", "through_closed", "through_open")
    return ways[int(rng.choice(3, p=np.array(shares) / sum(shares)))]


def _gap(mouth: Mouth) -> float:
    return float(np.linalg.norm(mouth.points[66] - mouth.points[62])) / mouth.unit_px


def _coarse(pixels: UInt8, factor: float) -> Float32:
    levels = pixels.astype(np.float32)
    if factor <= 1:
        return levels
    side = pixels.shape[0]
    small = max(8, round(side / factor))
    reduced = cv2.resize(levels, (small, small), interpolation=cv2.INTER_AREA)
    found: Float32 = cv2.resize(reduced, (side, side), interpolation=cv2.INTER_CUBIC)
    return found


def _there_and_back(
    picture: Float32, own: Mouth, donor: Mouth, rng: np.random.Generator, *, with_teeth: bool
) -> tuple[Float32, Float64]:
    """The picture after its mouth became the donor's and its own again, and the landmarks where it had been.

    with_teeth: what the donor has between its lips is seen there while it is open.
    """
    there = own.points.copy()
    lips, middle = own.points[MOUTH], own.points[MOUTH].mean(axis=0)
    borrowed = donor.points[MOUTH] - donor.points[MOUTH].mean(axis=0)
    share = 1.0 if with_teeth else float(rng.uniform(0.6, 1.0))
    there[MOUTH] = lips + share * (borrowed * (own.unit_px / donor.unit_px) + middle - lips)
    there = in_order(own.points, there)
    moved = warped(picture, _motion(own.points, there, own, picture.shape[0]))
    if with_teeth:
        moved = _lent(moved, there, donor)
    return warped(moved, _motion(there, own.points, own, picture.shape[0])), there


def _motion(before: Float64, after: Float64, own: Mouth, side_px: int) -> Float32:
    """``motion_between`` at the stored mouth's pixels (S, S, 2), drawn over a crop of the whole face."""
    px = WARP_SIDE_UNITS * own.unit_px / WARP_SIDE_PX
    eyes = own.points[EYES].mean(axis=0)
    corner = eyes + own.unit_px * np.array([-WARP_SIDE_UNITS / 2, WARP_CENTRE_UNITS - WARP_SIDE_UNITS / 2])
    field = motion_between((before - corner) / px, (after - corner) / px, WARP_SIDE_PX) * np.float32(px)
    to_stored = np.array([[px, 0, corner[0]], [0, px, corner[1]]])
    found: Float32 = cv2.warpAffine(
        field, to_stored, (side_px, side_px), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return found


def _lent(picture: Float32, lips: Float64, donor: Mouth) -> Float32:
    """The picture with what the donor has between its lips, in the picture's light. lips: the moved landmarks."""
    side = picture.shape[0]
    shift = lips[MOUTH].mean(axis=0) - donor.points[MOUTH].mean(axis=0)
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
    lent = cv2.warpAffine(
        donor.pixels.astype(np.float32), matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    inside = lip_masks(lips, (side, side))[0]
    ring = np.clip(cv2.dilate(lip_masks(lips, (side, side))[1], np.ones((9, 9), np.uint8)) - inside, 0, 1)[..., None]
    gain = ((picture * ring).sum(axis=(0, 1)) + 1) / ((lent * ring).sum(axis=(0, 1)) + 1)
    inside = cv2.GaussianBlur(inside, (0, 0), 0.8)[..., None]
    found: Float32 = picture + inside * (np.clip(lent * np.clip(gain, 0.4, 2.5), 0, 255) - picture)
    return found


def _opened(before: Float64, after: Float64, side_px: int) -> Float32:
    coarse = newly_open(before / COARSE, after / COARSE, side_px // COARSE)
    found: Float32 = cv2.resize(coarse, (side_px, side_px), interpolation=cv2.INTER_LINEAR)
    return found


def _cropped(
    own: Mouth,
    truth: Float32,
    seen: Float32,
    kept: Float32,
    coarser: float,
    size: tuple[int, int],
    config: PairConfig,
    rng: np.random.Generator,
) -> Pair:
    """The painter's crop of all layers, a little turned, scaled, shifted, relit and tinted each time."""
    unit = own.unit_px
    turn = np.deg2rad(config.turn_deg) * rng.uniform(-1, 1)
    scale = float(np.exp(config.zoom * rng.uniform(-1, 1)))
    cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
    rotation = np.array([[cos, -sin], [sin, cos]])
    lips = own.points[OUTER_LIPS]
    middle = (lips.min(axis=0) + lips.max(axis=0)) / 2
    shift = (np.array(size) - 1) / 2 - rotation @ middle + config.shift * unit * rng.uniform(-1, 1, 2)
    matrix = np.concatenate([rotation, shift[:, None]], axis=1)
    truth, seen, kept = (
        cv2.warpAffine(each, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        for each in (truth, seen, kept)
    )
    kept = np.clip(kept, 0, 1)
    points = own.points @ rotation.T + shift
    points[MOUTH] += rng.normal(0, config.jitter * unit, 2) + rng.normal(0, config.jitter * unit, (20, 2))
    hidden = around_inside(points, size, float(rng.uniform(*config.rim)) * unit)
    inner, outer = lip_masks(points, size)
    light = light_inside(truth, inner, hidden)
    if is_shut(_gap(own)):
        inner[:] = 0
    gain = exposure_gain(seen, hidden) * np.exp(config.exposure * rng.normal() + config.tint * rng.normal(size=3))
    truth, seen = ((each * (gain / 127.5) - 1).astype(np.float32) for each in (truth, seen))
    return Pair(truth, seen, hidden, kept, inner, outer, light, coarser)
