"""Action units by name, and emotions as combinations of them, for rigs of ICT-FaceKit's faces.

The combinations are EMFACS's (Friesen & Ekman, EMFACS-7, 1983; the prototypes in Cohn, Ambadar & Ekman 2007, Observer-
based measurement of facial expression with FACS). ICT-FaceKit's expressions carry ARKit's names; which of them is which
unit of FACS (Ekman, Friesen & Hager 2002) follows what the two say of the muscle and of what it moves.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from emorph.core.errors import ConfigError
from emorph.core.expressions import Emotion
from emorph.face3d.ict import ICT
from emorph.face3d.model import FaceModel

N_HINTS = 3

# FACS's number -> ICT's names, without _L and _R where it has both sides, and how much of each. ICT has no shape for
# AU 23 (lips tightened): that of AU 24 (lips pressed) comes nearest. AU 26 drops the jaw, AU 27 pulls it open.
FACS: Mapping[int, Mapping[str, float]] = {
    1: {"browInnerUp": 1.0},
    2: {"browOuterUp": 1.0},
    4: {"browDown": 1.0},
    5: {"eyeWide": 1.0},
    6: {"cheekSquint": 1.0},
    7: {"eyeSquint": 1.0},
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
    26: {"jawOpen": 0.5},
    27: {"jawOpen": 1.0},
    28: {"mouthRollUpper": 1.0, "mouthRollLower": 1.0},
    29: {"jawForward": 1.0},
    34: {"cheekPuff": 1.0},
    43: {"eyeBlink": 1.0},
}

# Each unit with its side and its share at strength 1: MARKED, and SLIGHT for EMFACS's letter B. Contempt is of one
# side, the right, and officially faint (A): at strength 1 it is shown as clearly as the other emotions.
MARKED, SLIGHT = 0.8, 0.4
EMFACS: Mapping[Emotion, Mapping[str, float]] = {
    Emotion.NEUTRAL: {},
    Emotion.HAPPY: {"AU6": MARKED, "AU12": MARKED},
    Emotion.SAD: {"AU1": MARKED, "AU4": MARKED, "AU15": MARKED},
    Emotion.SURPRISE: {"AU1": MARKED, "AU2": MARKED, "AU5": SLIGHT, "AU26": MARKED},
    Emotion.FEAR: {f"AU{number}": MARKED for number in (1, 2, 4, 5, 20, 26)},
    Emotion.DISGUST: {"AU9": MARKED, "AU15": MARKED, "AU16": MARKED},
    Emotion.ANGER: {f"AU{number}": MARKED for number in (4, 5, 7, 23)},
    Emotion.CONTEMPT: {"AU12_R": MARKED, "AU14_R": MARKED},
}

_AU = re.compile(r"AU([0-9]{1,2})(_[LR])?", re.IGNORECASE)


def parse_units(text: str) -> dict[str, float]:
    """ "mouthSmile_L=0.8,AU26=0.5" as names and values 0..1, as they were written. Raises ConfigError.

    >>> parse_units("mouthSmile_L=0.8, AU26=0.5")
    {'mouthSmile_L': 0.8, 'AU26': 0.5}
    """
    asked: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (piece.strip() for piece in part.partition("="))
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not name or not 0 <= number <= 1:
            raise ConfigError(f"--au {part!r} is not an action unit with a value from 0 to 1, as in jawOpen=0.8.")
        asked[name] = number
    if not asked:
        raise ConfigError("--au lists no action units; write, for example, mouthSmile_L=0.8,jawOpen=0.3.")
    return asked


def named_units(face_model: FaceModel, asked: Mapping[str, float]) -> dict[str, float]:
    """The face model's own units for what a user asks.

    asked: 0..1 of a unit's name; of a name without _L or _R, which means both; or of FACS's number, AU12 or AU12_R.
    Raises ConfigError, with the nearest names, for one that there is not.
    """
    known = unit_names(face_model)
    units: dict[str, float] = {}
    for name, value in asked.items():
        code = _AU.fullmatch(name)
        stems = FACS.get(int(code[1]), {}) if code else {name: 1.0}
        sides = (code[2].upper(),) if code and code[2] else ("", "_L", "_R")
        own = {stem + side: share * value for stem, share in stems.items() for side in sides if stem + side in known}
        if not own:
            raise ConfigError(f"{name} is not an action unit of this face; {_hint(name, known)}")
        units |= own
    return units


def emotion_units(face_model: FaceModel, emotion: Emotion) -> dict[str, float]:
    """What an emotion makes of every unit that FACS knows, 0 for those it leaves alone; gaze and jaw's side stay out.

    Units that the face model lacks are left out; raises ConfigError if it has none.
    """
    known = unit_names(face_model)
    stems = {stem for unit in FACS.values() for stem in unit}
    units = {stem + side: 0.0 for stem in sorted(stems) for side in ("", "_L", "_R") if stem + side in known}
    for name, value in EMFACS[emotion].items():
        code = _AU.fullmatch(name)
        if code and any(own.startswith(stem) for stem in FACS[int(code[1])] for own in units):
            units |= named_units(face_model, {name: value})
    return units


def with_units(face_model: FaceModel, expression: Tensor, units: Mapping[str, float], strength: float) -> Tensor:
    """The expression (B, n) with these units moved from where they are (strength 0) towards these values (1).

    Beyond 1 they go on as far as the model's 0..1 allows.
    """
    known = unit_names(face_model)
    result = expression.clone()
    for name, value in units.items():
        column = known.index(name)
        result[:, column] += strength * (value - result[:, column])
    return result.clamp(0, 1)


def unit_names(face_model: FaceModel) -> Sequence[str]:
    """Raises ConfigError for a face model whose expressions have no names."""
    if not isinstance(face_model, ICT):
        raise ConfigError(
            f"expressions of {face_model.name} have no names, so there are no action units to set; use a rig of "
            "ICT-FaceKit's faces, or copy an expression from a photo with: emorph transfer"
        )
    return face_model.unit_names


def _hint(name: str, known: Sequence[str]) -> str:
    by_lower = {own.lower(): own for own in [*known, *(f"AU{number}" for number in FACS)]}
    near = difflib.get_close_matches(name.lower(), by_lower, n=N_HINTS, cutoff=0.5)
    names = [by_lower[match] for match in near] or list(by_lower.values())
    return f"{'the closest are' if near else 'it has'} {', '.join(names)}."
