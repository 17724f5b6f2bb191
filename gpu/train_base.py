"""Train the autoencoder of emorph-base on one GPU from gpu/data/faces.npz; run it again to resume after a stop.

python gpu/train_base.py                  base.toml's steps, 12 minutes at most
python gpu/train_base.py --steps 9000     on a slower machine; to resume, say it again

After every checkpoint the averaged weights lie in gpu/out/ema, in 16 bits; the losses in gpu/out/run/stats.jsonl.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

HERE = Path(__file__).parent
RECIPE = HERE.parent / "examples" / "emorph-base" / "1_faces.toml"
sys.path.insert(0, str(HERE.parent / "src"))

from emorph.core.config import read_toml  # noqa: E402
from emorph.data.memory import TensorFaces  # noqa: E402
from emorph.models.weights import PretrainedModule  # noqa: E402
from emorph.train.checkpoint import step_folders  # noqa: E402
from emorph.train.loop import Outcome, train  # noqa: E402
from emorph.train.tasks.autoencoder import AutoencoderConfig  # noqa: E402


def main() -> None:
    """Train, or resume."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, help="of the whole run, in place of base.toml's")
    parser.add_argument("--minutes", type=float, help="after which it is saved and ends, in place of base.toml's")
    asked = parser.parse_args()
    config = configured().with_budget(steps=asked.steps, max_minutes=asked.minutes)
    outcome = run(config, unpacked(Path(config.data.path)), HERE / "out" / "ema")
    print(f"{outcome.step:,} steps, {outcome.samples:,} samples: {outcome.ended_by}", flush=True)


def configured(recipe: Path = RECIPE, changes: Path = HERE / "base.toml") -> AutoencoderConfig:
    """The recipe's run with what ``changes`` states in place of its own; paths start at the folder of that file."""
    values: dict[str, Any] = read_toml(recipe)
    for key, value in read_toml(changes).items():
        values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
    return AutoencoderConfig.parse(values, f"{recipe} with {changes}").placed(changes.resolve().parent)


def run(config: AutoencoderConfig, faces: TensorFaces, averaged: Path) -> Outcome:
    """Begin or go on; the averaged weights of the last checkpoint are written to the folder ``averaged``."""

    def publish(folder: Path, average: PretrainedModule) -> None:
        average.save_pretrained(averaged, dtype=torch.float16)
        print(f"{folder.name}: {averaged} written", flush=True)

    return train(config, faces, resume=bool(step_folders(Path(config.out))), devices=1, on_checkpoint=publish)


def unpacked(file: Path) -> TensorFaces:
    """The faces of ``pack.py``, all decoded."""
    with np.load(file) as stored:
        pictures, ends = stored["pictures"].tobytes(), stored["ends"].tolist()
        labels, landmarks = (torch.from_numpy(stored[name]) for name in ("labels", "landmarks"))
    images = [decoded(pictures[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    return TensorFaces(torch.stack(images), labels, landmarks.float())


def decoded(picture: bytes) -> Tensor:
    """A picture, uint8 (C, S, S)."""
    return torch.from_numpy(np.array(Image.open(io.BytesIO(picture)))).permute(2, 0, 1).contiguous()


if __name__ == "__main__":
    main()
