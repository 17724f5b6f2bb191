"""What is usual of ICT-FaceKit's faces in photos: estimated from landmarks of real ones by ``bench/face_prior.py``.

Without it, a fit takes for expression what is only another opinion of where, say, a jaw line lies, and a smile for a
wide mouth: the model's own shapes tell what a face can do, but not what faces do together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from emorph.core.landmarks import N_LANDMARKS
from emorph.face3d.model import usual_noise

FILE = Path(__file__).parent / "ict_prior.safetensors"
SIGMA = 0.4  # how far units are from 0 where nothing is known of them; they lie in 0..1

# Units of which no face shows both: they pull one part of it in opposite ways.
RIVALS = (
    ("mouthSmile", "mouthFrown"),
    ("mouthSmile", "mouthPucker"),
    ("mouthStretch", "mouthPucker"),
    ("jawOpen", "mouthPress"),
    ("eyeWide", "eyeBlink"),
    ("eyeLookUp", "eyeLookDown"),
    ("eyeLookIn", "eyeLookOut"),
    ("jawLeft", "jawRight"),
    ("mouthLeft", "mouthRight"),
)


@dataclass(frozen=True)
class Prior:
    """sigma (n,), correlation (n, n): of the units. offset (68, 3), noise (68,), rivals: as in ``LandmarkBasis``."""

    sigma: Tensor
    correlation: Tensor
    offset: Tensor
    noise: Tensor
    rivals: tuple[tuple[int, int], ...]


def prior_of(unit_names: Sequence[str], landmark_vertices: Tensor) -> Prior:
    """The estimated prior for ICT-FaceKit's own units and landmarks; for any others, a plain one.

    unit_names: of n units. landmark_vertices: int64 (68,).
    """
    n, rivals = len(unit_names), _pairs(unit_names)
    known = load_file(FILE)
    if n == len(known["sigma"]) and torch.equal(landmark_vertices.cpu(), known["landmark_vertices"].long()):
        floats = {key: known[key].float() for key in ("sigma", "correlation", "offset", "noise")}
        return Prior(**floats, rivals=rivals)
    plain = torch.zeros(1)
    return Prior(torch.full((n,), SIGMA), torch.eye(n), plain.new_zeros(N_LANDMARKS, 3), usual_noise(plain), rivals)


def _pairs(unit_names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Columns of rivals: those of one side, or of which one has no sides."""
    column = {name: i for i, name in enumerate(unit_names)}
    found = set()
    for one, other in RIVALS:
        for side in ("", "_L", "_R"):
            for pair in ((one + side, other + side), (one + side, other), (one, other + side)):
                if pair[0] in column and pair[1] in column:
                    found.add((column[pair[0]], column[pair[1]]))
    return tuple(sorted(found))
