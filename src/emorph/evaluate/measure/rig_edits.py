"""How far apart two faces of a 3D face model are: in expression, pose and light. For edits through a rig's buffers.

Of all pairs of photos: how near each result came to its target, and whether it is still the person.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch

from emorph.core.errors import NoFaceError, ShapeError
from emorph.core.files import photo_names
from emorph.core.types import AlignedFace, FaceCoeffs, Photo
from emorph.evaluate.judges.dlib_recogniser import descriptor_of
from emorph.evaluate.metrics.identity import distances
from emorph.face3d.lighting import shade
from emorph.face3d.skinning import rodrigues

VERIFIED = 0.6  # dlib's distance under which two photos are taken for one person (King 2017)
_N_NORMALS = 256


@dataclass(frozen=True)
class CoeffDistance:
    """Between two faces of one face model.

    expression: mean absolute difference of the expression's coefficients (AED). pose_deg: the angle between the heads.
    light: mean absolute difference of the shading on a ball's front; even light is 1 on a face without a texture.
    """

    expression: float
    pose_deg: float
    light: float


def coeff_distance(a: FaceCoeffs, b: FaceCoeffs) -> CoeffDistance:
    """The distance between two single faces. Raises ShapeError for several, or for faces of two models."""
    if len(a) != 1 or len(b) != 1 or a.expression.shape != b.expression.shape:
        found = f"{tuple(a.expression.shape)} and {tuple(b.expression.shape)}"
        raise ShapeError(f"expected one face of one face model each, found expressions {found}.")
    turns = [rodrigues(face.pose.double().cpu()) for face in (a, b)]
    half_chord = float((turns[0] - turns[1]).norm()) / math.sqrt(8)  # sin(angle / 2); the cosine is blind near 0
    normals = ball()
    shadings = [shade(normals, face.light.double().cpu()) for face in (a, b)]
    return CoeffDistance(
        expression=float((a.expression - b.expression).abs().mean()),
        pose_deg=math.degrees(2 * math.asin(min(half_chord, 1.0))),
        light=float((shadings[0] - shadings[1]).abs().mean()),
    )


def ball() -> torch.Tensor:
    """Normals (1, N, 3) spread evenly over the half of a ball that faces the viewer (Fibonacci's lattice)."""
    i = torch.arange(_N_NORMALS, dtype=torch.float64)
    z = (i + 0.5) / _N_NORMALS
    angle = i * math.pi * (3 - math.sqrt(5))
    ring = (1 - z * z).sqrt()
    return torch.stack([ring * angle.cos(), ring * angle.sin(), z], dim=1)[None]


class ReadFace(Protocol):
    """A face of a photo, as a rig has read it."""

    @property
    def photo(self) -> Photo: ...

    @property
    def aligned(self) -> AlignedFace: ...

    @property
    def coeffs(self) -> FaceCoeffs: ...


@dataclass(frozen=True)
class PairScore:
    """Of a source with parts of a target: names, and the distance to the target before and after.

    identity_distance: dlib's, of the result to the source. verified: whether that passes for one person.
    pair_distance: dlib's, of the source to the target.
    """

    source: str
    target: str
    before: CoeffDistance
    after: CoeffDistance
    identity_distance: float
    verified: bool
    pair_distance: float


@dataclass(frozen=True)
class LostPair:
    """A pair whose result shows no face that can be read again. lost: why."""

    source: str
    target: str
    lost: str


@dataclass(frozen=True)
class PairMeans:
    """Means over ``n_pairs`` pairs that were read again. verified: the share that passes for the person."""

    before: CoeffDistance
    after: CoeffDistance
    verified: float
    n_pairs: int


Edited = TypeVar("Edited")


class PairScores(Generic[Edited]):
    """Measures edits one by one, so that none has to be kept. reread: finds the edited face in an edit again."""

    def __init__(self, faces: Sequence[ReadFace], reread: Callable[[Edited], ReadFace]) -> None:
        self.faces, self._reread = faces, reread
        self._names = photo_names(face.photo for face in faces)
        self._known = [descriptor_of(face.photo, face.aligned.landmarks)[None] for face in faces]
        self.rows: list[PairScore | LostPair] = []

    def add(self, i: int, j: int, edit: Edited) -> None:
        """Measure face i with parts of face j, unless they are the same."""
        if i == j:
            return
        source, target = self.faces[i], self.faces[j]
        names = (self._names[i], self._names[j])
        try:
            again = self._reread(edit)
        except NoFaceError as error:
            self.rows.append(LostPair(*names, str(error)))
            return
        seen = descriptor_of(again.photo, again.aligned.landmarks)[None]
        distance = float(distances(self._known[i], seen)[0])
        score = PairScore(
            *names,
            before=coeff_distance(source.coeffs, target.coeffs),
            after=coeff_distance(again.coeffs, target.coeffs),
            identity_distance=round(distance, 4),
            verified=distance < VERIFIED,
            pair_distance=round(float(distances(self._known[i], self._known[j])[0]), 4),
        )
        self.rows.append(score)

    def means(self) -> PairMeans | None:
        """Over the pairs that were read again; None if there is none."""
        kept = [row for row in self.rows if isinstance(row, PairScore)]
        if not kept:
            return None
        before, after = (_mean([getattr(row, when) for row in kept]) for when in ("before", "after"))
        return PairMeans(before, after, sum(row.verified for row in kept) / len(kept), len(kept))


def _mean(each: Sequence[CoeffDistance]) -> CoeffDistance:
    rows = [(one.expression, one.pose_deg, one.light) for one in each]
    return CoeffDistance(*(sum(column) / len(rows) for column in zip(*rows, strict=True)))
