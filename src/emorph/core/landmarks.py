"""Which of the 68 points of a face (iBUG/dlib order) is what. Left and right are the picture's, not the person's."""

from __future__ import annotations

N_LANDMARKS = 68

# Which faces count, unless somebody asks for others
MIN_FACE_PX = 24  # side of the smallest that is sought
SURE_SCORE = 0.25  # below this a detection counts only if the photo has no surer one, and only the best

JAW = slice(0, 17)  # from ear to ear
BROWS = slice(17, 27)
BROW_LINES = (slice(17, 22), slice(22, 27))
NOSE = slice(27, 36)
NOSE_RIDGE = slice(27, 31)
NOSE_WINGS = slice(31, 36)
NOSE_SIDES = (31, 35)
NOSE_TIP = 30
LEFT_EYE = slice(36, 42)
RIGHT_EYE = slice(42, 48)
EYES = slice(36, 48)
MOUTH = slice(48, 68)
OUTER_LIPS = slice(48, 60)
INNER_LIPS = slice(60, 68)
INNER = slice(17, 68)  # brows, nose, eyes, mouth: all but the jaw, which tells pose and is often outside the crop

LOWER_JAW = slice(3, 14)
CHIN = slice(6, 11)
UNDER_LIP = slice(55, 60)  # lower edge of the lower lip, without the corners
OUTER_EYE_CORNERS = (36, 45)
MOUTH_CORNERS = (48, 54)
INNER_MOUTH_CORNERS = (60, 64)
FOLD_SIDES = ((31, 48, 6), (35, 54, 10))  # left and right: the nose's wing, the mouth's corner and the jaw below it

# Without the corners, which belong to both
UPPER_LIP_POINTS = (49, 50, 51, 52, 53, 61, 62, 63)
LOWER_LIP_POINTS = (55, 56, 57, 58, 59, 65, 66, 67)

# From corner to corner of the inner mouth
INNER_UPPER_LIP = (60, 61, 62, 63, 64)
INNER_LOWER_LIP = (60, 67, 66, 65, 64)

# Pairs of which the first lies above the second
LIDS = ((37, 41), (38, 40), (43, 47), (44, 46))
LIP_GAPS = ((61, 67), (62, 66), (63, 65))
LIP_SIDES = ((49, 59), (53, 55))  # outer edges of the upper and lower lip, beside the corners
LIPS_EDGES = (51, 57)  # middles of the outer lips, upper and lower
LIP_MIDDLES = (62, 66)  # of the inner lips, upper and lower
MOUTH_SIDES = ((48, 60, (49, 59)), (54, 64, (53, 55)))  # outer and inner corner, and the lips' edges beside them
LIP_SPREADS = ((61, 63), (67, 65))  # of the inner lips, left and right of their middles
UPPER_LIP = ((50, 61), (51, 62), (52, 63))
LOWER_LIP = ((67, 58), (66, 57), (65, 56))
BROWS_TO_LIDS = ((19, 37), (20, 38), (23, 43), (24, 44))
INNER_BROWS_TO_EYES = ((21, 39), (22, 42))  # the ends over the nose, and the inner corners of the eyes

STABLE = (36, 39, 42, 45, 27, 28, 29, 30, 33)  # eye corners, bridge and base of the nose: no expression moves the skull
EXPRESSIVE = (*range(17, 27), 37, 38, 40, 41, 43, 44, 46, 47, *range(48, 68))  # brows, lids, mouth

# Where each point lies in a mirrored face
MIRRORED = (
    *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
)  # fmt: skip
