"""Find the faces of a photo and their 68 points.

Two detectors of different kinds look: dlib's HOG (hog.py), whose boxes the 68 points were trained on, and MTCNN
(mtcnn.py), which also sees faces that are small, turned or partly hidden. A face that both see keeps HOG's box.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from emorph.core.errors import ShapeError, UnknownNameError
from emorph.core.exposure import brightened, face_gain, photo_gain, shade_gain
from emorph.core.landmarks import MIN_FACE_PX, SURE_SCORE
from emorph.core.types import Float32, Float64, Landmarks, Photo, UInt8
from emorph.faces.hog import Copy, seen_by_hog, shrunk
from emorph.faces.mtcnn import FivePoints, seen_by_mtcnn
from emorph.faces.points import eyes_to_mouth, five_of, lean_of, predict_points
from emorph.faces.select import area_px, select_faces

Detector = Literal["auto", "hog", "mtcnn"]

ENLARGED_FACE_PX = 40  # beside MTCNN, which needs no enlarging, HOG looks at enlarged copies for faces down to here
MTCNN_FACE_PX = 48  # in the copy of DETECT_SIDE_PX; smaller faces are sought in small photos alone, where it is quick
MTCNN_LEVEL_PX = 20_000  # up to this many pixels of the pyramid's finest level count as quick
SAME_FACE_SHARE = 0.4  # of the smaller of two boxes: those that share more are of one face
LOG_ODDS_PER_SCORE = 8.8  # so that MTCNN's probability of 0.9 is SURE_SCORE, and its surest 1.8
BOX_SPAN = 2.2  # side of HOG's box over the distance from the eyes to the mouth, on average
FIVE_BOX_SPAN = 2.24  # the same over MTCNN's distance from eyes to mouth, or between the eyes if that is longer
UPRIGHT_SCORE = 0.6  # a photo whose faces both are less sure of may lie on its side: it is looked at turned, too
MOST_LEAN_DEG = 60.0  # of what HOG sees; of a head that MTCNN sees leaning more, its box is a mistake
MOST_MISMATCH = 0.06  # of the box's side, mean of five points: 68 points farther from MTCNN's five are not trusted
QUARTER_TURNS = (1, 2, 3)


def find_faces(
    photo: Photo, *, min_face_px: int = MIN_FACE_PX, detector: Detector = "auto", min_score: float = SURE_SCORE
) -> list[Landmarks]:
    """All faces of a photo, the largest box first; empty if there is none.

    min_face_px: smallest face box (of MTCNN's its longer side) in photo pixels. In photos of more than 1280 px,
        faces under a 27th of the longer side are not sought.
    detector: "hog", "mtcnn", or "auto" for both. MTCNN looks at a photo turned by quarters if nothing is seen for
        certain upright.
    min_score: faces below it are not told, except the best where there is no other; ``Landmarks.score`` is HOG's score,
        or log(p / (1 - p)) / 8.8 of MTCNN's probability p where HOG is not sure of the face.
    Photos and faces that are far too dark are brightened before they are looked at (``emorph.core.exposure``).
    Raises ShapeError, UnknownNameError.

    >>> from emorph.core.images import read_photo
    >>> (face,) = find_faces(read_photo("examples/astronaut.png"))
    >>> face.points.shape
    (68, 2)
    """
    if photo.pixels.dtype != np.uint8 or photo.pixels.ndim != 3 or photo.pixels.shape[2] != 3:
        raise ShapeError(f"expected uint8 pixels (H, W, 3), found {photo.pixels.dtype} {photo.pixels.shape}.")
    as_detector(detector)
    pixels = np.ascontiguousarray(brightened(photo.pixels, photo_gain(photo.pixels)))
    faces = _seen(pixels, min_face_px, detector)
    if not any(face.score >= SURE_SCORE for face in faces) and (gain := shade_gain(pixels)) > 1:
        faces = _seen(brightened(pixels, gain), min_face_px, detector) or faces
    enough = [face for face in faces if face.score >= min_score]
    told = enough or sorted(faces, key=lambda face: face.score, reverse=True)[:1]
    return sorted(told, key=area_px, reverse=True)


def as_detector(name: str) -> Detector:
    """The detector that is called so. Raises UnknownNameError."""
    known: dict[str, Detector] = {word: word for word in get_args(Detector)}
    if name not in known:
        raise UnknownNameError("detector", name, list(known))
    return known[name]


def known_face(points: Float32) -> Landmarks:
    """A face whose points (68, 2) somebody else found, with the box that the detector would draw around them."""
    eyes, mouth = eyes_to_mouth(points.astype(np.float64))
    side = BOX_SPAN * float(np.linalg.norm(mouth - eyes))
    left, top = (int(v) for v in np.rint((eyes + mouth) / 2 - side / 2))
    size = max(round(side), 1)
    return Landmarks(points.astype(np.float32), (left, top, left + size, top + size), 1.0)


def refine_points(photo: Photo, face: Landmarks) -> Landmarks:
    """The points of the face that lies in a known box, for instance in an edit of the photo; nothing is sought."""
    eyes, mouth = eyes_to_mouth(face.points.astype(np.float64))
    box = np.array(face.box, dtype=np.float64)
    return _described(np.ascontiguousarray(photo.pixels), box, face.score, lean_of(mouth - eyes))


def _seen(pixels: UInt8, min_face_px: int, detector: Detector) -> list[Landmarks]:
    """What the detectors see, each face once."""
    enlarge_to_px = min_face_px if detector == "hog" else max(min_face_px, ENLARGED_FACE_PX)
    copy = shrunk(pixels)
    by_hog = seen_by_hog(pixels, copy, min_face_px, enlarge_to_px) if detector != "mtcnn" else []
    if detector == "hog":
        return [_described(pixels, box, score) for box, score in by_hog]
    by_mtcnn = _upright_or_turned(copy, min_face_px, max((score for _, score in by_hog), default=0.0))
    faces = []
    for box, score in by_hog:
        same = max(by_mtcnn, key=lambda five: _shared(_square(five), box), default=None)
        if same is None or _shared(_square(same), box) < SAME_FACE_SHARE:
            faces.append(_described(pixels, box, score))
            continue
        if abs(same.lean_deg) > MOST_LEAN_DEG:
            continue
        by_mtcnn.remove(same)
        surer = score if score >= SURE_SCORE else max(score, _score(same))
        faces.append(_described(pixels, box, surer, five=same.points))
    faces += [_described(pixels, _square(five), _score(five), five.lean_deg, five.points) for five in by_mtcnn]
    return faces


def _upright_or_turned(copy: Copy, min_face_px: int, hog_score: float) -> list[FivePoints]:
    """MTCNN's faces, of the photo as it is, or if no face is seen for certain, of the turn that shows the surest ones.

    hog_score: of the surest face that HOG sees. Where that is one, a turn has to show another that lies, for certain.
    """
    pixels, scale = copy
    height, width = pixels.shape[:2]
    quick_px = 12 * float(np.sqrt(height * width / MTCNN_LEVEL_PX))
    least_px = max(min_face_px * scale, min(MTCNN_FACE_PX, quick_px))

    def look(turns: int) -> list[FivePoints]:
        seen = seen_by_mtcnn(np.ascontiguousarray(np.rot90(pixels, turns)), least_px)
        back = [five.turned_back(turns, height, width).scaled(1 / scale) for five in seen]
        return [five for five in back if five.longer_side_px >= min_face_px]

    upright = look(0)
    if hog_score >= UPRIGHT_SCORE or any(_score(five) >= UPRIGHT_SCORE for five in upright):
        return upright
    surest = max([upright, *map(look, QUARTER_TURNS)], key=lambda faces: sum(map(_score, faces)))
    lying = [five for five in surest if abs(five.lean_deg) > MOST_LEAN_DEG and _score(five) >= UPRIGHT_SCORE]
    return surest if hog_score < SURE_SCORE or lying else upright


def _score(five: FivePoints) -> float:
    """MTCNN's probability on the scale of HOG's scores."""
    p = min(five.probability, 1 - 1e-7)
    return float(np.log(p / (1 - p))) / LOG_ODDS_PER_SCORE


def _square(five: FivePoints) -> Float64:
    """The box that HOG would draw: from eyes and mouth, because MTCNN's own box goes with the hair and the chin."""
    eyes, mouth = five.eyes_to_mouth
    apart = float(np.linalg.norm(five.points[1] - five.points[0]))
    side = FIVE_BOX_SPAN * max(float(np.linalg.norm(mouth - eyes)), apart)
    centre = (eyes + mouth) / 2 + 0.5  # boxes count from pixel corners
    return np.concatenate([centre - side / 2, centre + side / 2])


def _described(
    pixels: UInt8, box: Float64, score: float, lean_deg: float = 0.0, five: Float64 | None = None
) -> Landmarks:
    left, top, right, bottom = (int(v) for v in np.rint(box))
    lit = brightened(pixels, face_gain(pixels, (left, top, right, bottom)))
    points = predict_points(lit, box, lean_deg)
    doubt = "" if five is None else _doubt(points, five, box[2] - box[0])
    return Landmarks(points.astype(np.float32), (left, top, right, bottom), score, doubt)


def _doubt(points: Float64, five: Float64, side_px: float) -> str:
    """Why 68 points are not to be trusted, given MTCNN's five; or ""."""
    mismatch = float(np.linalg.norm(five_of(points) - five, axis=1).mean()) / side_px
    if mismatch <= MOST_MISMATCH:
        return ""
    return f"two readings of the eyes, nose and mouth lie {mismatch:.0%} of the face's size apart"


def _shared(a: Float64, b: Float64) -> float:
    """The area that two boxes share, of that of the smaller."""
    width, height = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return float(width * height / smaller) if smaller > 0 else 0.0


__all__ = [
    "MIN_FACE_PX",
    "SURE_SCORE",
    "Detector",
    "as_detector",
    "find_faces",
    "known_face",
    "refine_points",
    "select_faces",
]
