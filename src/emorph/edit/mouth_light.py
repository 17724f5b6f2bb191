"""How light the inside of a mouth should be, teeth as white as the eyes, and what noise its painting starts from."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from emorph.core.errors import NoFaceError
from emorph.core.expressions import Emotion
from emorph.core.landmarks import LEFT_EYE, RIGHT_EYE
from emorph.core.types import Float64, Photo
from emorph.faces.mouth import REC601
from emorph.faces.mouth_crop import MouthCrop, around_inside, cut

# Median of ``light_inside`` of open mouths (gap over 0.1 units) of training faces with these labels: n = 313, 238, 156,
# 106 and 28; of smiles less than the 1.02 that was found, as painted teeth fill the whole opening. Fear and disgust
# have fewer than ten each, and are given what surprise and anger have.
LIGHT_OF = {
    Emotion.HAPPY: 0.75,
    Emotion.SURPRISE: 0.44,
    Emotion.ANGER: 0.68,
    Emotion.NEUTRAL: 0.64,
    Emotion.SAD: 0.68,
    Emotion.FEAR: 0.44,
    Emotion.DISGUST: 0.68,
}
# Seeds of the noise that a painting starts from, which decides much of what is drawn: of 69, tried on training people
# of the London Face Set, one whose teeth have the colour and sharpness of their own smiles, and one whose dark mouths
# have upper teeth and a tongue.
TEETH_SEED, DARK_SEED = 3, 24
TEETH = 0.66  # light from which on a mouth shows mostly teeth
WHITES = 90  # percentile of the brightness between the lids
# Whites of eyes over the skin around the mouth: usually 0.95, and up to USUAL by chance. Where they are brighter, so
# are teeth: in studio photos in proportion (bench/mouth_light.py).
USUAL, MOST = 1.0, 2.6


def light_of(emotions: Sequence[tuple[Emotion, float]]) -> float | None:
    """How light the inside of a mouth is that shows these, the mean of ``LIGHT_OF`` by weight; None if none is known.

    >>> light_of([(Emotion.HAPPY, 1.0)]), light_of([(Emotion.CONTEMPT, 1.0)])
    (0.75, None)
    """
    known = [(LIGHT_OF[emotion], weight) for emotion, weight in emotions if emotion in LIGHT_OF and weight > 0]
    total = sum(weight for _, weight in known)
    return sum(light * (weight / total) for light, weight in known) if known else None


def noise_of(emotions: Sequence[tuple[Emotion, float]]) -> int:
    """The seed of the noise that a mouth that shows these is painted from.

    >>> noise_of([(Emotion.HAPPY, 1.0)]) == TEETH_SEED, noise_of([(Emotion.FEAR, 1.0)]) == DARK_SEED
    (True, True)
    """
    light = light_of(emotions)
    return TEETH_SEED if light is None or light >= TEETH else DARK_SEED


def whites_over_skin(photo: Photo, points: Float64, crop: MouthCrop) -> float:
    """How much lighter teeth are, over the skin around the mouth, than on most faces: 1 to 2.6.

    points: the face's landmarks (68, 2) in photo pixels. crop: around its mouth. 1 where no eye is seen, or no mouth.
    Teeth are as white on dark skin as on bright, which the eyes tell; how the photo was exposed tells neither.
    """
    eyes = np.zeros(photo.pixels.shape[:2], np.uint8)
    for eye in (LEFT_EYE, RIGHT_EYE):
        cv2.fillPoly(eyes, [np.rint(points[eye] * 16).astype(np.int32)], 1, shift=4)
    if not eyes.any():
        return 1.0
    whites = float(np.percentile(photo.pixels[eyes > 0] @ REC601, WHITES))
    around = 1 - around_inside(crop.points(points), crop.size, 0.0)
    try:
        seen = cut(photo.pixels, crop)
    except NoFaceError:
        return 1.0
    skin = float((seen @ REC601 * around).sum() / max(float(around.sum()), 1.0))
    return float(np.clip(whites / max(skin, 1.0) / USUAL, 1, MOST))
