"""Pack the training faces of emorph-base into one small file, for a machine without a network.

python gpu/pack.py examples/emorph-base/packs/faces.parquet    writes gpu/data/faces.npz, which git ignores

The pictures are kept as WebP, with labels and landmarks beside them; how much the smaller file costs is printed.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from emorph.data.store import FaceStore
from train_base import configured, decoded

HERE = Path(__file__).parent
QUALITY = 60  # of WebP
LEVELS = 255.0


def main(words: list[str] | None = None) -> None:
    """Write the pack. words: in place of the command line's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parquet", type=Path, help="written by examples/emorph-base/packs.py")
    parser.add_argument("--quality", type=int, default=QUALITY, help=f"of WebP, 1 to 100; {QUALITY} if left out")
    parser.add_argument("--out", type=Path, default=HERE / "data" / "faces.npz")
    asked = parser.parse_args(words)
    config = configured()
    side_px, channels = config.picture
    store = FaceStore(asked.parquet, side_px=side_px, channels=channels, split="train")
    pictures, landmarks, errors = [], [], []
    for i in range(len(store)):
        face = store[i]
        pictures.append(encoded(face["image"], asked.quality))
        landmarks.append(face["landmarks"])
        errors.append(float((decoded(pictures[-1]).float() - face["image"].float()).square().mean()))
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        asked.out,
        pictures=np.frombuffer(b"".join(pictures), np.uint8),
        ends=np.cumsum([len(picture) for picture in pictures]),
        labels=store.labels,
        landmarks=torch.stack(landmarks).half().numpy(),
    )
    psnr_db = 10 * np.log10(LEVELS**2 / np.mean(errors))
    print(f"{asked.out}: {len(store):,} faces, {asked.out.stat().st_size / 1e6:.1f} MB, PSNR {psnr_db:.1f} dB")


def encoded(image: Tensor, quality: int) -> bytes:
    """A picture, uint8 (C, S, S), as WebP."""
    file = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, "WEBP", quality=quality, method=6)
    return file.getvalue()


if __name__ == "__main__":
    main()
