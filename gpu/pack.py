"""Pack the training faces into one file that travels to a machine without image libraries.

python gpu/pack.py FACES.parquet    writes gpu/data/faces.npz, about 30 MB, which git ignores
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from emorph.core.config import read_toml
from emorph.data.memory import in_memory
from emorph.data.store import CropWindow, FaceStore

HERE = Path(__file__).parent


def main() -> None:
    """Write the pack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parquet", type=Path)
    window = CropWindow(*read_toml(HERE / "base.toml")["data"]["window"])
    store = FaceStore(parser.parse_args().parquet, side_px=window.side, channels=1, split="train", window=window)
    faces = in_memory(store, len(store))
    assert faces.landmarks is not None
    target = HERE / "data" / "faces.npz"
    target.parent.mkdir(exist_ok=True)
    np.savez_compressed(
        target, images=differences(faces.images), labels=faces.labels, landmarks=faces.landmarks.half().numpy()
    )
    print(f"{target}: {len(store):,} faces of {window.side} px, {target.stat().st_size / 1e6:.1f} MB")


def differences(images: torch.Tensor) -> NDArray[np.uint8]:
    """Half the levels of uint8 (N, C, S, S), as differences to the left and upper neighbours, modulo 256.

    These compress to two fifths; the lowest bit is below the noise of the pictures' own compression.
    """
    across = np.diff(images.numpy() // 2, axis=3, prepend=np.uint8(0))
    return np.diff(across, axis=2, prepend=np.uint8(0))


if __name__ == "__main__":
    main()
