"""Cut the training faces of the bundled model out of the colour packs, into one file.

python examples/emorph-base/packs.py PACKS_FOLDER packs/faces.parquet
python examples/emorph-base/packs.py CLIPS.parquet packs/clips.parquet     of one pack, such as clips.py makes

Every pack holds FFHQ's square of a face at a size of its own; here it becomes the crop of 1_faces.toml, of one size,
with the landmarks that go with it. The London Face Set is left out: the edits are measured on its people.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from emorph.core.config import read_toml
from emorph.core.expressions import Emotion

HERE = Path(__file__).parent
PACKS = ("lfw", "aaf", "genki", "ffhq")
KEPT = ("identity", "split", "source_set", "source_file", "age", "gender")
QUALITY = 92  # of WebP: the crops are read anew in every epoch


def main() -> None:
    """Write the file, whole or not at all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packs", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    model = read_toml(HERE / "1_faces.toml")["model"]
    side_px, crop = model["image_size"], model["crop"]
    several = [arguments.packs / f"{name}.parquet" for name in PACKS]
    packs = [arguments.packs] if arguments.packs.is_file() else several
    tables = [pa.Table.from_pylist(list(rows(pack, side_px, crop))) for pack in packs]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    draft = arguments.out.with_suffix(".part")
    pq.write_table(pa.concat_tables(tables), draft, row_group_size=500, compression="none")
    draft.replace(arguments.out)
    print(f"{arguments.out}: {sum(map(len, tables)):,} faces of {side_px} px")


def rows(pack: Path, side_px: int, crop: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The faces of a pack as the model sees them."""
    emotions = {emotion.word for emotion in Emotion}
    for row in pq.read_table(pack).to_pylist():
        pixels = cv2.imdecode(np.frombuffer(row["image"], np.uint8), cv2.IMREAD_COLOR)
        to_crop = window_to_crop(pixels.shape[0], side_px, crop)
        points = np.frombuffer(row["landmarks68"], "<f2").reshape(68, 2).astype(np.float64)
        encoded = cv2.imencode(".webp", resampled(pixels, to_crop, side_px), [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1]
        yield {
            "image": encoded.tobytes(),
            # GENKI's "not happy" is no emotion: it says what a face is not
            "label": row["label"] if row["label"] in emotions else "",
            "landmarks68": (points @ to_crop[:, :2].T + to_crop[:, 2]).astype("<f2").tobytes(),
            **{name: row[name] for name in KEPT},
        }


def window_to_crop(stored_px: int, side_px: int, crop: dict[str, Any]) -> NDArray[np.float64]:
    """The (2, 3) map from pixel centres of a stored FFHQ square to those of the crop."""
    scale = side_px * crop["zoom"] / stored_px
    left, top = (stored_px * (0.5 + shift - 0.5 / crop["zoom"]) for shift in crop["shift"])
    # pixel centres are whole numbers: the squares begin half a pixel before their first ones
    return np.array([[scale, 0, (0.5 - left) * scale - 0.5], [0, scale, (0.5 - top) * scale - 0.5]])


def resampled(pixels: NDArray[np.uint8], to_crop: NDArray[np.float64], side_px: int) -> NDArray[np.uint8]:
    """The crop: averaged where it is smaller than what is stored, cubic where it is larger."""
    scale = to_crop[0, 0]
    if scale < 1:  # smooth away what the smaller picture cannot hold
        pixels = cv2.GaussianBlur(pixels, (0, 0), 0.45 * np.sqrt(scale**-2 - 1))
    return cv2.warpAffine(pixels, to_crop, (side_px, side_px), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


if __name__ == "__main__":
    main()
