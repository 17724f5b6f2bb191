"""Action units on a face model: FACS's numbers and emotions as its own shapes, and where they bring the landmarks.

ICT-FaceKit's expressions carry ARKit's names; which of them is which unit of FACS (Ekman, Friesen & Hager 2002) follows
what the two say of the muscle and of what it moves.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from emorph.core.action_units import EMOTION_UNITS, WORDS, spelled, unit_code
from emorph.core.errors import ConfigError
from emorph.core.expressions import Emotion
from emorph.core.types import FaceCoeffs
from emorph.face3d.camera import project
from emorph.face3d.ict import ICT
from emorph.face3d.model import FaceModel

N_HINTS = 3

# FACS's number -> ICT's names, without _L and _R where it has both sides, and how much of each. ICT has no shape for
# AU 23 (lips tightened): that of AU 24 (lips pressed) comes nearest. AU 26 drops the jaw, AU 27 pulls it open. Lips
# that part alone (25) are drawn apart by half of what the lower (16), and less of what the upper lip (10) can do.
FACS: Mapping[int, Mapping[str, float]] = {
    1: {"browInnerUp": 1.0},
    2: {"browOuterUp": 1.0},
    4: {"browDown": 1.0},
    5: {"eyeWide": 1.0},
    6: {"cheekSquint": 1.0},
    7: {"eyeSquint": 1.0},
    8: {"mouthClose": 0.5, "jawOpen": 0.5},
    9: {"noseSneer": 1.0},
    10: {"mouthUpperUp": 1.0},
    12: {"mouthSmile": 1.0},
    14: {"mouthDimple": 1.0},
    15: {"mouthFrown": 1.0},
    16: {"mouthLowerDown": 1.0},
    17: {"mouthShrugLower": 1.0},
    18: {"mouthPucker": 1.0},
    20: {"mouthStretch": 1.0},
    22: {"mouthFunnel": 1.0},
    23: {"mouthPress": 1.0},
    24: {"mouthPress": 1.0},
    25: {"mouthLowerDown": 0.5, "mouthUpperUp": 0.25},
    26: {"jawOpen": 0.5},
    27: {"jawOpen": 1.0},
    28: {"mouthRollUpper": 1.0, "mouthRollLower": 1.0},
    29: {"jawForward": 1.0},
    34: {"cheekPuff": 1.0},
    41: {"eyeBlink": 0.3},
    42: {"eyeBlink": 0.7},
    43: {"eyeBlink": 1.0},
    45: {"eyeBlink": 1.0},
    46: {"eyeBlink": 1.0},
    63: {"eyeLookUp": 1.0},
    64: {"eyeLookDown": 1.0},
}
# Units whose sides are shapes of other names: jaw to a side, eyes to a side.
_SIDED: Mapping[tuple[int, str], Mapping[str, float]] = {
    (30, "L"): {"jawLeft": 1.0},
    (30, "R"): {"jawRight": 1.0},
    (61, ""): {"eyeLookOut_L": 1.0, "eyeLookIn_R": 1.0},
    (62, ""): {"eyeLookIn_L": 1.0, "eyeLookOut_R": 1.0},
}
_ONE_SIDED = (30, 46)  # which need a side to be said: of a wink, too
BLINKS = ("eyeBlink_R", "eyeBlink_L")  # of the left and the right eye in the picture: the person's right and left
_NOT_EXPRESSIVE = (63, 64)  # gaze, which no emotion tells


def unit_names(face_model: FaceModel) -> Sequence[str]:
    """Raises ConfigError for a face model whose expressions have no names."""
    if not isinstance(face_model, ICT):
        raise ConfigError(
            f"expressions of {face_model.name} have no names, so there are no action units to set; use a rig of "
            "ICT-FaceKit's faces, or copy an expression from a photo with: emorph transfer"
        )
    return face_model.unit_names


def named_units(face_model: FaceModel, asked: Mapping[str, float]) -> dict[str, float]:
    """The face model's own units for what a user asks.

    asked: 0..1 of a unit's name; of a name without _L or _R, which means both; or of FACS's number, AU12 or AU12_R.
    Where two of them use one shape, the larger value counts.
    Raises ConfigError, which says what there is, for one that there is not.
    """
    return units_among(unit_names(face_model), asked)


def units_among(known: Sequence[str], asked: Mapping[str, float]) -> dict[str, float]:
    """As ``named_units``, of units that have these names."""
    units: dict[str, float] = {}
    for name, value in asked.items():
        own = {unit: share * value for unit, share in _own(name, known).items()}
        if not own:
            raise ConfigError(_unknown(name, known))
        units |= {unit: max(share, units.get(unit, 0.0)) for unit, share in own.items()}
    return units


def unknown_among(known: Sequence[str], asked: Iterable[str]) -> list[str]:
    """Those of the names, in any of their spellings, for which units that have these names do nothing.

    >>> unknown_among(["jawOpen", "mouthSmile_L"], ["AU26", "AU12_L", "AU61", "mouthSmile"])
    ['AU61']
    """
    return [name for name in asked if not _own(name, known)]


def check_numbers(asked: Iterable[str]) -> None:
    """Raises ConfigError for numbers that no face model has, which needs none to be read. asked: names of any kind."""
    for name in asked:
        number, side = unit_code(name) or (0, "")
        is_sided = number in _ONE_SIDED and not side
        if unit_code(name) and (is_sided or number not in {*FACS, *(known for known, _ in _SIDED)}):
            raise ConfigError(_unknown(name, ()))


def emotion_units(face_model: FaceModel, emotion: Emotion) -> dict[str, float]:
    """What an emotion makes of every unit that FACS knows, 0 for those it leaves alone; gaze and jaw's side stay out.

    Units that the face model lacks are left out; raises ConfigError if it has none.
    """
    known = unit_names(face_model)
    stems = {stem for number, unit in FACS.items() if number not in _NOT_EXPRESSIVE for stem in unit}
    units = {stem + side: 0.0 for stem in sorted(stems) for side in ("", "_L", "_R") if stem + side in known}
    present = {name: value for name, value in EMOTION_UNITS[emotion].items() if _own(name, known)}
    return units | named_units(face_model, present)


def with_units(face_model: FaceModel, expression: Tensor, units: Mapping[str, float], strength: float) -> Tensor:
    """The expression (B, n) with these units moved from where they are (strength 0) towards these values (1).

    units: by the face model's own names, as of ``named_units``. Beyond 1 they go on as far as its 0..1 allows.
    """
    return with_blend(face_model, expression, [(units, 1.0)], strength)


def with_blend(
    face_model: FaceModel, expression: Tensor, parts: Sequence[tuple[Mapping[str, float], float]], strength: float
) -> Tensor:
    """The expression (B, n) moved by the sum of the steps of several sets of units, each times its weight.

    parts: units as for ``with_units``, and a weight. Each step starts from the expression as it is.
    """
    known = unit_names(face_model)
    step = torch.zeros_like(expression)
    for units, weight in parts:
        for name, value in units.items():
            column = known.index(name)
            step[:, column] += weight * (value - expression[:, column])
    return (expression + strength * step).clamp(0, 1)


def landmark_step(
    face_model: FaceModel, face: FaceCoeffs, goal: Emotion | Mapping[str, float], strength: float = 1.0
) -> Tensor:
    """How an emotion, or action units, move the landmarks of fitted faces: (B, 68, 2), x and y downwards.

    face: of B faces, as ``fit_landmarks`` gives them. goal: an emotion, which takes the face from the expression that
    it has to ``emotion_units``; or units as ``named_units`` reads them, which leave all others as they are.
    In half sides of the frame that ``face`` belongs to: at its side S, S / 2 times this is pixels. As the fitted face
    shows it, in its own pose and size; nothing is drawn.
    Raises ConfigError for a face model without named units, or units that it has not.
    """
    asked = emotion_units(face_model, goal) if isinstance(goal, Emotion) else named_units(face_model, goal)
    moved = replace(face, expression=with_units(face_model, face.expression, asked, strength))
    return on_screen(face_model, moved) - on_screen(face_model, face)


def on_screen(face_model: FaceModel, face: FaceCoeffs) -> Tensor:
    """The landmarks of faces as their camera shows them: (B, 68, 2), -1 to 1 across the frame, y downwards."""
    marks = face_model.landmarks(face_model.vertices(face), face.pose)
    return project(marks, face.camera)[..., :2]


def _own(name: str, known: Sequence[str]) -> dict[str, float]:
    """A unit as the face model's own shapes, with the share of each; empty if there is none."""
    code = unit_code(name)
    if code is not None and code in _SIDED:
        return {stem: share for stem, share in _SIDED[code].items() if stem in known}
    number, side = code or (0, "")
    if number in _ONE_SIDED and not side:
        return {}
    stems = FACS.get(number, {}) if code else {name: 1.0}
    sides = (f"_{side}", "") if side else ("", "_L", "_R")
    found: dict[str, float] = {}
    for stem, share in stems.items():
        of_stem = [stem + end for end in sides if stem + end in known]
        sided = any(stem + end in known for end in ("_L", "_R"))
        if side and not sided:  # a shape without sides does not do for one of them
            return {}
        found |= dict.fromkeys(of_stem, share)
    return found


def _is_among(number: int, known: Sequence[str]) -> bool:
    sides = ("_L", "_R") if number in _ONE_SIDED else ("",)
    return any(_own(f"AU{number}{side}", known) for side in sides)


def _unknown(name: str, known: Sequence[str]) -> str:
    code = unit_code(name)
    if code is None:
        by_lower = {own.lower(): own for own in known}
        near = difflib.get_close_matches(name.lower(), by_lower, n=N_HINTS, cutoff=0.5)
        names = [by_lower[match] for match in near] or list(by_lower.values())
        hint = f"{'the closest are' if near else 'it has'} {', '.join(names)}."
        return f"{name} is not an action unit of this face; {hint}"
    number, side = code
    if number in _ONE_SIDED and not side:
        return f"{spelled(number)} needs a side: write AU{number}_L or AU{number}_R, the person's own left or right."
    numbers = sorted({*FACS, *(number for number, _ in _SIDED)} & WORDS.keys())
    there = ", ".join(spelled(other) for other in numbers if not known or _is_among(other, known))
    if side and (number in FACS or (number, "") in _SIDED):
        return f"{spelled(number)} has no sides in this face; write AU{number}."
    what = f"{spelled(number)} is no shape of this face" if number in WORDS else f"FACS has no AU{number} of the face"
    return f"{name} cannot be set: {what}. What it has: {there}."
