"""The action units of FACS in words, and the emotions as combinations of them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from emorph.core.expressions import Emotion

# Ekman, Friesen & Hager 2002, Facial Action Coding System: the units of the face. Those of the head (51 to 58), of
# the tongue (19, 36, 37) and of what only moves in films (swallowing, 80) are no expression of a photo.
WORDS: Mapping[int, str] = {
    1: "inner brows up",
    2: "outer brows up",
    4: "brows down",
    5: "upper lids up",
    6: "cheeks up",
    7: "lids tight",
    8: "lips towards each other",
    9: "nose wrinkled",
    10: "upper lip up",
    11: "furrow beside the nose deeper",
    12: "lip corners up, a smile",
    13: "lip corners up sharply, cheeks puffed",
    14: "dimples",
    15: "lip corners down",
    16: "lower lip down",
    17: "chin up",
    18: "lips puckered",
    20: "lips stretched",
    21: "neck tight",
    22: "lips funnelled",
    23: "lips tight",
    24: "lips pressed",
    25: "lips part",
    26: "jaw drops",
    27: "mouth wide open",
    28: "lips sucked in",
    29: "jaw forward",
    30: "jaw to a side",
    32: "lip bitten",
    33: "cheeks blown",
    34: "cheeks puffed",
    35: "cheeks sucked in",
    38: "nostrils wide",
    39: "nostrils narrow",
    41: "lids droop",
    42: "eyes to slits",
    43: "eyes closed",
    44: "squint",
    45: "blink",
    46: "wink",
    61: "eyes to the person's left",
    62: "eyes to the person's right",
    63: "eyes up",
    64: "eyes down",
}

# Each unit with its side and its share at strength 1: MARKED, and SLIGHT for EMFACS's letter B. Contempt is of one
# side, the right, and officially faint (A): at strength 1 it is shown as clearly as the other emotions.
# Friesen & Ekman, EMFACS-7, 1983; the prototypes in Cohn, Ambadar & Ekman 2007, and in table 10-1 of the FACS
# Investigator's Guide (2002), which has sadness with the chin (17) and without. Disgust's optional 17 is left out: it
# raises the lower lip that 16 lowers.
MARKED, SLIGHT = 0.8, 0.4
EMOTION_UNITS: Mapping[Emotion, Mapping[str, float]] = {
    Emotion.NEUTRAL: {},
    Emotion.HAPPY: {"AU6": MARKED, "AU12": MARKED},
    Emotion.SAD: {"AU1": MARKED, "AU4": MARKED, "AU15": MARKED, "AU17": SLIGHT},
    Emotion.SURPRISE: {"AU1": MARKED, "AU2": MARKED, "AU5": SLIGHT, "AU26": MARKED},
    Emotion.FEAR: {f"AU{number}": MARKED for number in (1, 2, 4, 5, 7, 20, 26)},
    Emotion.DISGUST: {f"AU{number}": MARKED for number in (9, 15, 16)},
    Emotion.ANGER: {f"AU{number}": MARKED for number in (4, 5, 7, 23)},
    Emotion.CONTEMPT: {"AU12_R": MARKED, "AU14_R": MARKED},
}

_CODE = re.compile(r"AU0?([0-9]{1,2})(?:_([LR]))?", re.IGNORECASE)


def unit_code(text: str) -> tuple[int, str] | None:
    """A unit by its number in FACS, and its side, "L", "R", or "" for both; None for another name.

    >>> unit_code("AU12_R"), unit_code("au5"), unit_code("jawOpen")
    ((12, 'R'), (5, ''), None)
    """
    found = _CODE.fullmatch(text)
    return (int(found[1]), (found[2] or "").upper()) if found else None


def spelled(number: int) -> str:
    """A unit with what it does.

    >>> spelled(25)
    'AU25 (lips part)'
    """
    return f"AU{number} ({WORDS[number]})"
