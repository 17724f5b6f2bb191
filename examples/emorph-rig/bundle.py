"""Make the bundled rig from a run: train it, or resume it, then write its averaged weights as 16-bit numbers.

python examples/emorph-rig/bundle.py FOLDER    with lfw_expressions.parquet and ict_face.npz beside rig.toml
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from emorph.core.config import read_toml
from emorph.models import load_rig
from emorph.train.checkpoint import step_folders

HERE = Path(__file__).parent
RECIPE = HERE / "rig.toml"


def main() -> int:
    """The exit status is that of the training; the folder is written once the run has spent its budget."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    recipe = read_toml(RECIPE)
    run, n_steps = HERE / recipe["out"], recipe["budget"]["steps"]
    last = run / f"step_{n_steps:08d}"
    if not last.is_dir():
        command = ["resume", str(run)] if step_folders(run) else ["run", str(RECIPE)]
        status = subprocess.run([sys.executable, "-m", "emorph", "train", *command]).returncode
        if status or not last.is_dir():
            print("Stopped; run the same command again to resume.", file=sys.stderr)
            return status or 130
    load_rig(last).save_pretrained(sys.argv[1], dtype=torch.float16)
    print(sys.argv[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
