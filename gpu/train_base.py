"""Train emorph-base on one GPU from gpu/data/faces.npz; after every checkpoint the EMA weights lie in gpu/out/ema.

python gpu/train_base.py            about 25 minutes; run it again to resume after a stop
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "src"))

from emorph.data.memory import TensorFaces  # noqa: E402
from emorph.models.weights import PretrainedModule  # noqa: E402
from emorph.train.checkpoint import step_folders  # noqa: E402
from emorph.train.loop import train  # noqa: E402
from emorph.train.tasks.autoencoder import AutoencoderConfig  # noqa: E402


def main() -> None:
    """Train, or resume."""
    config = AutoencoderConfig.read(HERE / "base.toml")
    faces = unpacked(HERE / "data" / "faces.npz", config.model.image_size)

    def publish(folder: Path, average: PretrainedModule) -> None:
        average.save_pretrained(HERE / "out" / "ema", dtype=torch.float16)
        print(f"{folder.name}: gpu/out/ema written", flush=True)

    resume = bool(step_folders(Path(config.out)))
    outcome = train(config, faces, resume=resume, devices=1, on_checkpoint=publish)
    print(f"{outcome.step:,} steps, {outcome.samples:,} samples: {outcome.ended_by}", flush=True)


def unpacked(file: Path, side_px: int) -> TensorFaces:
    """The faces of ``pack.py``, enlarged to the model's side."""
    stored = np.load(file)
    images = torch.from_numpy(restored(stored["images"]))
    enlarged = [
        F.interpolate(part.float(), side_px, mode="bicubic", antialias=True) for part in torch.split(images, 512)
    ]
    images = torch.cat([part.round().clamp(0, 255).byte() for part in enlarged])
    return TensorFaces(images, torch.from_numpy(stored["labels"]), torch.from_numpy(stored["landmarks"]).float())


def restored(differences: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pictures of which ``pack.differences`` were taken."""
    halves = np.cumsum(np.cumsum(differences, axis=2, dtype=np.uint8), axis=3, dtype=np.uint8)
    return 2 * halves


if __name__ == "__main__":
    main()
