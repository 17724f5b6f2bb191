"""Make the film of the README: the example photo as a camera nears it, with expressions that come and go.

python examples/film.py docs/assets/film.gif
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import av
import cv2
import numpy as np

from emorph import Editor, Target
from emorph.core.images import read_photo
from emorph.video.keyframes import Keyframe, parse_strengths
from emorph.video.plan import FilmPlan
from emorph.video.run import edit_film

PHOTO = Path(__file__).with_name("astronaut.png")
SIDE_PX, RATE, LENGTH_S = 192, 7, 4
STEPS = 4  # evaluations of the model in each direction: few, since the film is small
FRAMED = (96, 10, 260)  # left, top and side of what the film shows at first, in pixels of the photo
NEARER = 0.12  # by which the camera has neared at the end
TARGETS = (
    Keyframe(Target.parse("surprise"), 0.0),
    Keyframe(Target.parse("surprise"), 1.8),
    Keyframe(Target.parse("happy=0.5,anger=0.5"), 2.0),
)
STRENGTHS = parse_strengths("0@0s,0@0.2s,1@0.8s,1@1.2s,0@1.8s,0@2s,1@2.6s,1@3.2s,0@3.8s")


def main() -> int:
    """Write the film that the command names."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "astronaut.mkv"
        write_clip(clip)
        editor = Editor.from_pretrained(steps=STEPS)
        made = edit_film(editor, clip, Path(sys.argv[1]), FilmPlan(TARGETS, STRENGTHS))
    print(f"{made.files[0]}  ({made.files[0].stat().st_size / 1e6:.2f} MB)")
    return 0


def write_clip(path: Path) -> None:
    """The photo, nearer with every frame, without loss."""
    pixels = read_photo(PHOTO).pixels
    left, top, side = FRAMED
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = SIDE_PX, SIDE_PX, "bgr0"
        for i in range(RATE * LENGTH_S):
            margin = NEARER * side / 2 * i / (RATE * LENGTH_S)
            scale = (side - 2 * margin) / SIDE_PX
            matrix = np.array([[scale, 0, left + margin], [0, scale, top + margin]])
            shown = cv2.warpAffine(pixels, matrix, (SIDE_PX, SIDE_PX), flags=cv2.INTER_AREA | cv2.WARP_INVERSE_MAP)
            frame = av.VideoFrame.from_ndarray(shown, format="rgb24").reformat(format="bgr0")
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    sys.exit(main())
