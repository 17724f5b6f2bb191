"""Make the gallery's picture of people whom no model saw: each neutral, and with all eight emotions.

python examples/people.py london.parquet docs/assets/gallery/people.jpg [HOW_MANY]

The Face Research Lab London Set (DeBruine and Jones 2017, doi 10.6084/m9.figshare.5047666) is CC BY 4.0, with the
consent of the people in it. They are spread evenly over those that were held out; none is chosen.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from emorph import Editor, Emotion, Target
from emorph.core.types import Photo
from emorph.data.mouths import held_out
from emorph.edit.sheet import grid, tiles

SHOWN = 4
WIDTH_PX = 1600
QUALITY = 88  # of JPEG


def main() -> int:
    """Write the picture that the command names."""
    if len(sys.argv) not in (3, 4):
        print(__doc__, file=sys.stderr)
        return 2
    data, target = Path(sys.argv[1]), Path(sys.argv[2])
    photos = neutral_portraits(data)
    n = int(sys.argv[3]) if len(sys.argv) == 4 else SHOWN
    chosen = np.linspace(0, len(photos) - 1, min(n, len(photos))).astype(int)
    editor = Editor.from_pretrained()
    sheet = grid([tiles(editor.edit_many(photos[i], [Target(emotion) for emotion in Emotion])) for i in chosen])
    sheet.thumbnail((WIDTH_PX, WIDTH_PX), Image.Resampling.LANCZOS)
    sheet.save(target, quality=QUALITY)
    print(target)
    return 0


def neutral_portraits(data: Path) -> list[Photo]:
    """The neutral photo of everyone whom no model saw."""
    rows = [
        row
        for row in pq.read_table(data).to_pylist()
        if row["label"] == Emotion.NEUTRAL.word and held_out(row["identity"], row["source_set"], row["split"])
    ]
    return [Photo(np.asarray(Image.open(io.BytesIO(row["image"])).convert("RGB"))) for row in rows]


if __name__ == "__main__":
    sys.exit(main())
