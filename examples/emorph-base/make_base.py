"""Make the bundled model again from its data: packs, autoencoder, directions, Step 1, painter, and one folder of them.

python examples/emorph-base/make_base.py PACKS_FOLDER CLIPS_FOLDER

PACKS_FOLDER holds lfw, aaf, genki, ffhq and london.parquet, CLIPS_FOLDER the films. A part that is finished is left as
it is; one that was stopped goes on where it was. Seeds are fixed in the parts' files.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from emorph.core.config import read_toml
from emorph.core.expressions import Emotion
from emorph.models.diffae import DiffAE
from emorph.models.directions import Directions
from emorph.models.fitted_on import FITTED_FILE, FittedOn
from emorph.train.checkpoint import step_folders

HERE = Path(__file__).parent
PAINTER = HERE.parent / "emorph-painter"
PAINTER_PACKS = ("lfw", "aaf", "genki", "ffhq", "london")
# Gains that go further than Step 1 was trained with; trained with that of surprise, it was recognised less (README.md).
FURTHER = {Emotion.SAD: 2.2, Emotion.SURPRISE: 2.3}
# Units of both sides that are added to steps, whole ones at strength 1: cheeks, corners of the mouth down (README.md).
ADDED = {Emotion.HAPPY: ("cheekSquint", 1.0), Emotion.ANGER: ("mouthFrown", 1.0), Emotion.DISGUST: ("mouthFrown", 0.5)}
STOPPED = 130  # what a shell reports for a command that Ctrl-C ended


@dataclass(frozen=True)
class Part:
    """What is made, the file that is there once it is, and how: a command, or a function."""

    name: str
    done: Path
    make: Sequence[str] | Callable[[], None]


def main() -> int:
    """Make what is not made yet, in order; the exit status is that of the first part that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packs", type=Path)
    parser.add_argument("clips", type=Path)
    arguments = parser.parse_args()
    for part in parts(arguments.packs.resolve(), arguments.clips.resolve()):
        if part.done.exists():
            print(f"== {part.name}: done", file=sys.stderr)
            continue
        print(f"== {part.name}", file=sys.stderr)
        if callable(part.make):
            part.make()
        elif status := subprocess.run(part.make).returncode:
            return status
        if not part.done.exists():
            print("Stopped; run the same command again to resume.", file=sys.stderr)
            return STOPPED
    print(HERE / "runs" / "model")
    return 0


def parts(packs: Path, clips: Path) -> list[Part]:
    """All parts, each after what it needs."""
    made, films, mouths = HERE / "packs", HERE / "clips_256.parquet", PAINTER / "mouths.parquet"
    python = sys.executable
    made.mkdir(exist_ok=True)
    mouth_packs = [str(packs / f"{name}.parquet") for name in PAINTER_PACKS]
    faces, clipped = made / "faces.parquet", made / "clips.parquet"
    return [
        Part("faces", faces, [python, str(HERE / "packs.py"), str(packs), str(faces)]),
        Part("faces of films", films, [python, str(HERE / "clips.py"), str(clips), str(films)]),
        Part("their crops", clipped, [python, str(HERE / "packs.py"), str(films), str(clipped)]),
        trained(HERE / "1_faces.toml"),
        trained(HERE / "2_directions.toml"),
        trained(HERE / "3_edits.toml"),
        Part("mouths", mouths, [python, str(PAINTER / "prepare.py"), str(mouths), *mouth_packs, str(films)]),
        *(trained(PAINTER / f"{name}.toml") for name in ("1_coarse", "2_fine", "3_last", "4_sharp")),
        Part("the model's folder", HERE / "runs" / "model" / "painter" / "config.json", assemble),
    ]


def trained(config: Path) -> Part:
    """A training task: run, or resumed where it has begun."""
    values = read_toml(config)
    run = config.parent / values["out"]
    steps = values.get("budget", {}).get("steps")
    done = final(config) / "config.json"
    command = ["resume", str(run)] if steps and step_folders(run) else ["run", str(config)]
    return Part(str(config.relative_to(HERE.parent)), done, [sys.executable, "-m", "emorph", "train", *command])


def final(config: Path) -> Path:
    """The folder of what a training task ends with."""
    values = read_toml(config)
    run = config.parent / str(values["out"])
    steps = values.get("budget", {}).get("steps")
    return run / f"step_{steps:08d}" / "ema" if steps else run


def assemble() -> None:
    """Autoencoder in 16 bits, directions and painter in one folder, as ``Editor.from_pretrained`` takes it."""
    target, edits = HERE / "runs" / "model", final(HERE / "3_edits.toml")
    shutil.rmtree(target, ignore_errors=True)
    DiffAE.from_pretrained(edits).save_pretrained(target, dtype=torch.float16)  # with what it says of losses
    shutil.copytree(edits / "directions", target / "directions")
    directions = Directions.from_pretrained(target / "directions")
    emotions = [Emotion.known(label) for label in directions.labels]
    gains = tuple(FURTHER.get(e, gain) for e, gain in zip(emotions, directions.gains, strict=True))
    changed = with_units_added(replace(directions, gain=gains))
    fitted = FittedOn(model="emorph-base", weights=DiffAE.from_pretrained(target).encoder_digest)
    changed.save_pretrained(target / "directions", notes={FITTED_FILE: fitted.text()})
    shutil.copytree(final(PAINTER / "4_sharp.toml"), target / "painter")  # the last: where it is, all is


def with_units_added(directions: Directions) -> Directions:
    """The directions with ADDED in their means, which gains multiply."""
    if directions.units is None or directions.means is None:
        raise SystemExit("these directions know no units; examples/emorph-base/2_directions.toml states them.")
    means = directions.means.clone()
    for row, label in enumerate(directions.labels):
        emotion = Emotion.known(label)
        if emotion in ADDED:
            unit, dose = ADDED[emotion]
            of_both = [i for i, name in enumerate(directions.units.names) if name.startswith(unit)]
            means[row] += dose / directions.gains[row] * directions.units.patterns[of_both].sum(dim=0)
    return replace(directions, means=means)


if __name__ == "__main__":
    sys.exit(main())
