"""Step 1 and Step 2: does training for expressions help, and does the loss on the shape keep it? Held-out faces.

python bench/steps.py --data lfw.parquet --window 17 35 109 [--minutes 240 | --steps 1000] [--faces 60]

Three arms from one start and one budget: the model as it is, Step 1, and Step 1 followed by Step 2; the latter two
share their first half. The judges are asked in no loss. Everything is kept in runs/steps: stop with Ctrl-C and run it
again to go on. --presets N takes N steps of each preset for AffectNet at full size, on made faces.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from emorph.core.errors import EmorphError
from emorph.core.expressions import Emotion
from emorph.edit.latent import need_emotions
from emorph.evaluate.judges.dlib_recogniser import chip_of, descriptors_of
from emorph.evaluate.judges.open_networks import load_judge
from emorph.evaluate.metrics.identity import pairs
from emorph.face3d.ict import ICT
from emorph.train.tasks.expression_model import directions_for
from emorph.train.tasks.expression_networks import AUTO, OPEN_EMOTION, named_shape, open_network
from support.measure import write_section
from support.steps_arms import ARMS, BASE, Budget, Recipe, check_judges, measured_budget, trained
from support.steps_presets import try_presets
from support.steps_report import Found, report
from support.steps_scores import Measurer, scores_of
from support.validation import held_out_faces, some_of_each

ROOT = Path(__file__).parent.parent
WORK = ROOT / "runs" / "steps"
SOURCES = (Emotion.NEUTRAL, Emotion.HAPPY)


def main() -> None:
    """Train what is not trained yet, edit, measure, and write the section "Step 1 and Step 2"."""
    asked = arguments()
    if asked.presets:
        try_presets(asked.presets)
        return
    if not asked.data:
        print("bench/steps.py needs labelled faces: --data lfw_expressions.parquet. RESULTS.md is left as it is.")
        return
    shape_network = named_shape(asked.shape_network)
    window = tuple(asked.window) if asked.window else None
    recipe = Recipe(
        asked.data, asked.model, asked.directions, window, asked.emotion_network, shape_network,
        asked.shape_weight, asked.correction, asked.trains, asked.way, asked.work,
    )  # fmt: skip
    check_judges(asked.judges, [asked.model])
    by = measurer(asked.judges, asked.emotion_network, shape_network, asked.face_model)
    budget = (
        Budget(asked.steps, asked.batch, asked.lr)
        if asked.steps
        else measured_budget(recipe, asked.minutes, asked.seeds, batch=asked.batch, lr=asked.lr)
    )
    models = trained(recipe, budget, range(asked.seeds))
    check_judges(asked.judges, list(models.values()))
    targets = common_targets(asked.model, asked.directions, by)
    everyone = held_out_faces(asked.data)
    faces = some_of_each(everyone, SOURCES, asked.faces)
    rows = {}
    for (arm, seed), model in models.items():
        own = asked.directions if arm == BASE else None
        kept = (
            recipe.work
            / recipe.digits(budget)
            / f"scores-{'-'.join([*by.judges, *(['fit'] if by.face_model else [])])}"
        )
        folder = kept / f"{ARMS.index(arm)}-{seed}"
        rows[arm, seed] = scores_of(model, own, faces, targets, by, folder)
    descriptors = descriptors_of([chip_of(face.photo, face.landmarks) for face in everyone])
    body = report(
        Found(rows, faces, targets, pairs(descriptors, [face.person for face in everyone])),
        list(by.judges),
        shape_network=Path(shape_network).name,
        emotion_network=Path(asked.emotion_network).name,
        fits=by.face_model is not None,
    )
    size = f"{budget.steps:,} steps of {budget.batch} faces for each arm and seed, {recipe.trains}, {recipe.way}. "
    cut = f"--window {' '.join(map(str, window))} " if window else ""
    cut += f"--directions {Path(asked.directions).name} " if asked.directions else ""
    command = (
        f"python bench/steps.py --data {asked.data.name} {cut}"
        f"--trains {recipe.trains} --way {recipe.way} --steps {budget.steps} --batch {budget.batch} --lr {budget.lr:g} "
        f"--correction {recipe.correction:g} --shape-weight {recipe.shape_weight:g} --seeds {asked.seeds} "
        f"--faces {len(faces)} --judges {' '.join(by.judges)}"
    )
    if asked.show:
        print(size + body)
    else:
        write_section("Step 1 and Step 2", command, size + body)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--window", type=int, nargs=3, help="left, top, side of the square used of each stored picture")
    parser.add_argument("--model", default="emorph-base")
    parser.add_argument("--directions")
    parser.add_argument("--steps", type=int, help="of an arm, both halves together; in place of --minutes")
    parser.add_argument("--minutes", type=float, default=240, help="of training, for all arms and seeds together")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=1e-5)
    parser.add_argument("--faces", type=int, default=60, help="half of them neutral, half happy")
    parser.add_argument("--trains", default="unet", choices=("unet", "shift", "both"))
    parser.add_argument("--way", default="one_step", choices=("edit", "one_step", "chain"))
    parser.add_argument("--emotion-network", default=OPEN_EMOTION)
    parser.add_argument("--shape-network", default=AUTO)
    parser.add_argument("--shape-weight", type=float, default=1.0)
    parser.add_argument("--correction", type=float, default=0.0, help="weight of the size of the code's shift")
    parser.add_argument("--judges", nargs="+", default=["emorph-judge", "emonet_8"])
    parser.add_argument("--face-model", type=Path, help="ict_face.npz, for the independent fit; else its usual place")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--show", action="store_true", help="print the section, and leave RESULTS.md as it is")
    parser.add_argument("--presets", type=int, default=0, metavar="N", help="only try the presets for AffectNet")
    return parser.parse_args()


def measurer(judges: list[str], emotion: str, shape: str, face_model: Path | None) -> Measurer:
    """What marks the edits; a judge that is not here is left out aloud, and one there must be."""
    found = {}
    for name in judges:
        try:
            found[Path(name).name] = load_judge(name, threads=1)
        except EmorphError as error:
            print(f"without {name}: {error}")
    if not found:
        raise SystemExit("none of the judges is here: name one with --judges.")
    try:
        fit = ICT.load(face_model)
    except EmorphError as error:
        print(f"without the landmark fit: {error}")
        fit = None
    return Measurer(found, open_network(emotion, "emotion"), open_network(shape, "shape"), fit)


def common_targets(model: str, directions: str | None, by: Measurer) -> list[Emotion]:
    """The emotions that the directions, the network of the losses and a judge know."""
    told = {emotion for judge in by.judges.values() for emotion in judge.emotions} & set(by.emotion.emotions)
    return [emotion for emotion in need_emotions(directions_for(model, directions)) if emotion in told]


if __name__ == "__main__":
    main()
