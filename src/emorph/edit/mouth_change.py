"""How an edit moves a mouth, and what of its own inside is still to be seen then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emorph.core.errors import ShapeError
from emorph.core.expressions import Emotion
from emorph.core.types import AlignedFace, Float32, Float64
from emorph.edit.mouth_light import light_of
from emorph.faces.mouth import newly_open
from emorph.faces.mouth_crop import MouthCrop, is_shut, lip_gap
from emorph.faces.points import mouth_width

CLOSED_GAP = 0.03  # units of the face: lips so near show nothing of what lies between them
OPENED_GAP = 0.06  # lips that were closed and part by less stay as they were moved: points are no surer than that
SOFT_GAP = 0.6  # of these gaps: over which a film's mouth comes to be seen
SEEN_GAP = 0.12  # from which on there is enough to be seen between lips to be kept when they open further
# What is seen in a mouth that closes is kept, nothing up to the first number and all from the second on: by the share
# of its gap that is left, or that of the light that it should have. A smile has teeth where a shout was dark.
CLOSES, DARK = (0.35, 0.6), (0.7, 0.85)
# The same by the share of its width that a mouth keeps, as teeth do not become narrower with the lips: of a mouth that
# opens further, and of any.
OPENS_NARROWER, NARROWER = (0.82, 0.95), (0.65, 0.8)
TEETH_IN_DARK = (1.5, 2.0)  # the light of an inside over what it should have: teeth where a mouth should be dark


@dataclass(frozen=True)
class MouthChange:
    """How an edit moves a mouth. before, after: its face's 68 landmarks in photo pixels, float64 (68, 2) each."""

    before: Float64
    after: Float64

    @classmethod
    def in_crop(cls, face: AlignedFace, after: Float64) -> MouthChange:
        """The landmarks of a face, and where an edit moves them to: (68, 2) in its crop's pixels. Raises ShapeError."""
        if after.shape != (68, 2) or not np.isfinite(after).all():
            raise ShapeError(f"expected 68 finite landmarks (68, 2), found {after.shape}.")
        return cls(face.landmarks.points.astype(np.float64), face.in_photo(after))

    @property
    def shows_inside(self) -> bool:
        """Whether there is anything between the lips, before or after."""
        return lip_gap(self.before) >= CLOSED_GAP or lip_gap(self.after) >= OPENED_GAP

    def light_of(self, emotions: Sequence[tuple[Emotion, float]]) -> float | None:
        """How light the inside should be of a mouth that shows these; None if its lips touch, or it is not known."""
        return None if is_shut(lip_gap(self.after)) else light_of(emotions)

    @property
    def share_inside(self) -> float:
        """How far the inside is to be seen, in [0, 1]: for films, where lips part little by little.

        Half where ``shows_inside`` becomes true.
        """
        gaps = (lip_gap(self.before) / CLOSED_GAP, lip_gap(self.after) / OPENED_GAP)
        share = float(np.clip(0.5 + (max(gaps) - 1) / SOFT_GAP, 0, 1))
        return share * share * (3 - 2 * share)

    def kept(self, crop: MouthCrop, own: float | None = None) -> Float32:
        """Where the photo's own inside of the mouth is still to be seen, (h, w) in [0, 1].

        Between lips that were open and stay so; of lips that close only a line of teeth would be left, and what is seen
        between lips that hardly part is a line as well, which an edit that opens them would stretch. Nor of a mouth
        that becomes much narrower, whose teeth would be squeezed.
        own: in [0, 1], how much is kept if the mouth opens further; by default by how far it was open.
        """
        before, after = lip_gap(self.before), lip_gap(self.after)
        if min(before, after) < CLOSED_GAP:
            return np.zeros(crop.size[::-1], np.float32)
        seen = _between(before, (CLOSED_GAP, SEEN_GAP)) if own is None else own
        opening = np.clip((after - before) / OPENED_GAP, 0, 1)
        opened = newly_open(crop.points(self.before), crop.points(self.after), max(crop.size))
        seen *= _between(self._width_kept, OPENS_NARROWER)
        whole = _between(self._width_kept, NARROWER) * (1 - opening * (1 - seen))
        share: Float32 = whole * (1 - opened[: crop.size[1], : crop.size[0]])
        return np.ascontiguousarray(share, np.float32)

    def kept_in(self, light: float) -> float:
        """How much is kept of what is seen in a mouth that closes, or of teeth that an O would squeeze, in [0, 1].

        light: of its inside, over the light that should be there.
        """
        gap = lip_gap(self.after) / max(lip_gap(self.before), 1e-6)
        squeezed = _between(light, TEETH_IN_DARK) * (1 - _between(self._width_kept, OPENS_NARROWER))
        return max(_between(gap, CLOSES), _between(light, DARK)) * (1 - squeezed)

    @property
    def _width_kept(self) -> float:
        """The mouth's width, over what it was."""
        return mouth_width(self.after) / max(mouth_width(self.before), 1e-6)


def _between(value: float, ends: tuple[float, float]) -> float:
    """How far a value has come from the first number to the second, in [0, 1]."""
    return float(np.clip((value - ends[0]) / (ends[1] - ends[0]), 0, 1))
