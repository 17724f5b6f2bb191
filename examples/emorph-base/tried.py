"""Fit directions with other shares of action units, and print what each does to held-out faces.

python examples/emorph-base/tried.py MODEL [2_directions.toml]

MODEL: a folder of averaged weights, such as runs/1_faces/step_00010000/ema. Faces are encoded once for all.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from emorph.train.tasks.classifier import ClassifierConfig

HERE = Path(__file__).parent
SHARES = (0.0, 0.5, 1.0)


def main() -> None:
    """Print a table for each share."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("recipe", type=Path, nargs="?", default=HERE / "2_directions.toml")
    arguments = parser.parse_args()
    recipe = ClassifierConfig.read(arguments.recipe)
    for share in SHARES:
        head = recipe.head.model_copy(update={"units": dict.fromkeys(recipe.head.units, share), "dose": 0})
        out = f"{recipe.out}_units_{share:g}"
        config = recipe.model_copy(update={"model": str(arguments.model), "head": head, "out": out, "check": 16})
        print(f"\n== action units say {share:.0%} of {', '.join(recipe.head.units)}")
        print("\n".join(config.fit(lambda *_: None)))


if __name__ == "__main__":
    main()
