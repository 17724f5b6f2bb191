"""Are the edits what was asked for, and is it still the person? Held-out faces, every emotion, several strengths.

python bench/quality.py --data lfw_expressions.parquet [--faces 200] [--model emorph-base] [--workers 2]
python bench/quality.py --data lfw.parquet aaf.parquet --model NEW --model OLD     side by side, on the same faces

The judge (emorph-judge) was trained on other pictures with other labels. Finished faces are kept in runs/quality and
not made again: stop with Ctrl-C and run it again to resume. Sheets to look at are written there too.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.progress import track

from emorph.core.expressions import Emotion
from emorph.core.types import Photo, Target
from emorph.edit.pipeline import Editor
from emorph.edit.sheet import Row, grid
from emorph.evaluate.judges.dlib_recogniser import descriptor_of
from emorph.evaluate.judges.own import crop_for, judge_crops
from emorph.faces.mask import face_mask
from emorph.models.judge import Judge
from support.likeness import Seen, upright
from support.quality_groups import comparison, groups_text
from support.quality_report import DOSE, SOURCES, STRENGTHS, Controls, Measured, Results, Score, report
from support.settings import settings
from support.two_sample import Exhibit, separability
from support.validation import Face, held_out_faces, some_of_each

ROOT = Path(__file__).parent.parent
WORK = ROOT / "runs" / "quality"
N_SHEETS = 50
SHEETS_A_PAGE = 10


@dataclass(frozen=True)
class Plan:
    """What a worker needs to know."""

    model: str
    directions: str | None
    judge: str
    workers: int
    unpainted: bool

    @property
    def threads(self) -> int:
        """Of one worker."""
        return max(1, torch.get_num_threads() // self.workers)

    def editor(self) -> Editor:
        """What makes the edits."""
        editor = Editor.from_pretrained(self.model, directions=self.directions, device="cpu")
        editor.painter = None if self.unpainted else editor.painter
        return editor


def main() -> None:
    """Make the edits, judge them, and write the section "Quality" with its plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+")
    parser.add_argument("--faces", type=int, default=200, help="of each kind alike: neutral, happy, without a label")
    parser.add_argument("--model", action="append", help="emorph-base; several are put side by side")
    parser.add_argument("--directions", help="of the first model")
    parser.add_argument("--judge", default="emorph-judge")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--unpainted", action="store_true", help="leave the inside of mouths to the autoencoder")
    parser.add_argument("--show", action="store_true", help="print models and groups, and leave RESULTS.md as it is")
    arguments = parser.parse_args()
    if not arguments.data:
        print("bench/quality.py needs the held-out faces: --data lfw_expressions.parquet. RESULTS.md is left as it is.")
        return
    names = arguments.model or ["emorph-base"]
    plans = [
        Plan(name, arguments.directions if i == 0 else None, arguments.judge, arguments.workers, arguments.unpainted)
        for i, name in enumerate(names)
    ]
    faces = held_out_faces(*arguments.data)
    kinds = [kind for kind in (*SOURCES, None) if any(face.label == kind for face in faces)]
    chosen = some_of_each(faces, kinds, arguments.faces)
    known = controls(Judge.from_pretrained(arguments.judge), faces)
    measured = [measure(plan, chosen, known, arguments.data) for plan in plans]
    side_by_side = f"{comparison(measured)}\n\n{groups_text(measured)}"
    if arguments.show:
        print(side_by_side)
        return
    command = f"python bench/quality.py --data {' '.join(path.name for path in arguments.data)} --faces {len(chosen)}"
    command += "".join(f" --model {name}" for name in arguments.model or ())
    command += " --unpainted" if arguments.unpainted else ""
    report(measured[0], side_by_side, command, len(chosen))


def measure(plan: Plan, faces: Sequence[Face], known: Controls, data: Sequence[Path]) -> Measured:
    """Edits, scores and pages of one model."""
    editor = plan.editor()
    folder = WORK / f"{editor.model_id}-{settings(editor)}"
    if len(data) > 1:
        folder = folder.with_name("-".join([folder.name, *(path.stem for path in data)]))
    edited(plan, faces, folder)
    scores = scored(plan, faces, folder)
    draw_sheets(faces, folder)
    return Measured(editor.model_id, Results(scores, known), told_apart(faces, folder))


def told_apart(faces: Sequence[Face], folder: Path) -> float:
    """How well a small network tells edits from photos of people it never saw, neutral and happy ones of both."""
    exhibits = []
    for face in faces:
        if face.label not in SOURCES:
            continue
        other = next(label for label in SOURCES if label != face.label)
        made = np.load(folder / f"{face.row}.npz")["photos"][TARGETS.index(Target(other, DOSE))]
        for pixels, is_edit in ((face.photo.pixels, False), (made, True)):
            exhibits.append(Exhibit(upright(Seen(Photo(pixels), face.landmarks))[0], face.person, is_edit))
    return separability(exhibits) if exhibits else float("nan")


def edited(plan: Plan, faces: Sequence[Face], folder: Path) -> None:
    """Edit all faces; one file a face, so that what is finished is not made again."""
    folder.mkdir(parents=True, exist_ok=True)
    todo = [(face, folder / f"{face.row}.npz") for face in faces]
    todo = [(face, file) for face, file in todo if not file.exists()]
    with multiprocessing.get_context("spawn").Pool(plan.workers, _start, (plan,)) as pool:
        for _ in track(pool.imap(_edit, todo), "editing", total=len(todo), disable=not todo):
            pass


def scored(plan: Plan, faces: Sequence[Face], folder: Path) -> list[Score]:
    """Judge and identity network on all edits of ``folder``."""
    work = [(face, folder / f"{face.row}.npz") for face in faces]
    with multiprocessing.get_context("spawn").Pool(plan.workers, _start, (plan,)) as pool:
        found = list(track(pool.imap(_score, work), "judging", total=len(work)))
    return [score for of_face in found for score in of_face]


TARGETS = [Target(emotion, strength) for emotion in Emotion for strength in STRENGTHS]
_tools: tuple[Editor, Judge] | None = None


def _start(plan: Plan) -> None:
    """Each worker loads the models once."""
    global _tools
    torch.set_num_threads(plan.threads)
    editor = plan.editor()
    _tools = editor, Judge.from_pretrained(plan.judge)


def _edit(task: tuple[Face, Path]) -> None:
    face, file = task
    assert _tools is not None
    editor, _ = _tools
    edits = editor.edit_faces(face.photo, editor.align(face.photo, [face.landmarks]), TARGETS)
    temporary = file.with_suffix(".part.npz")
    np.savez_compressed(temporary, photos=np.stack([edit.photo.pixels for edit in edits]))
    temporary.replace(file)


def _score(task: tuple[Face, Path]) -> list[Score]:
    face, file = task
    assert _tools is not None
    editor, judge = _tools
    photos = [Photo(pixels) for pixels in np.load(file)["photos"]]
    answers = judge_crops(judge, [crop_for(judge, photo, face.landmarks) for photo in photos])
    own = descriptor_of(face.photo, face.landmarks)
    outside = _outside(face, editor)
    scores = []
    for target, photo, answer in zip(TARGETS, photos, answers, strict=True):
        change = np.abs(photo.pixels.astype(int) - face.photo.pixels)
        assert target.emotion is not None
        descriptor = descriptor_of(photo, face.landmarks)
        scores.append(
            Score(
                label=face.label,
                person=face.person,
                target=target.emotion,
                strength=target.strength,
                answer=answer,
                distance=float(np.linalg.norm(descriptor - own)),
                descriptor=descriptor,
                outside=int(change[outside].max(initial=0)),
                groups=face.groups,
            )
        )
    return scores


def _outside(face: Face, editor: Editor) -> np.ndarray:
    """bool (H, W): where an edit must not reach."""
    mask = face_mask(editor.align(face.photo, [face.landmarks])[0], face.photo.pixels.shape)
    outside = np.ones(face.photo.pixels.shape[:2], bool)
    height, width = mask.weights.shape
    outside[mask.top : mask.top + height, mask.left : mask.left + width] = mask.weights == 0
    return outside


def controls(judge: Judge, faces: Sequence[Face]) -> Controls:
    """What judge and identity network say of the unedited photos."""
    answers = judge_crops(judge, [crop_for(judge, face.photo, face.landmarks) for face in faces])
    descriptors = np.stack([descriptor_of(face.photo, face.landmarks) for face in track(faces, "unedited photos")])
    return Controls(
        judge.config.emotions,
        [face.label for face in faces],
        [face.person for face in faces],
        answers,
        descriptors,
    )


def draw_sheets(faces: Sequence[Face], folder: Path) -> None:
    """Pages of sheets at strength 1; the pictures are research data, so the folder is one that git ignores."""
    shown = [faces[int(i)] for i in np.linspace(0, len(faces) - 1, min(N_SHEETS, len(faces)))]
    at_dose = [i for i, target in enumerate(TARGETS) if target.strength == 1]
    titles = ("Original", *(TARGETS[i].title for i in at_dose))
    rows = []
    for face in shown:
        photos = [face.photo.pixels, *np.load(folder / f"{face.row}.npz")["photos"][at_dose]]
        rows.append(Row(tuple(Image.fromarray(photo) for photo in photos), titles))
    for start in range(0, len(rows), SHEETS_A_PAGE):
        grid(rows[start : start + SHEETS_A_PAGE]).save(folder / f"sheets_{start // SHEETS_A_PAGE + 1}.png")
    print(f"sheets: {folder}")


if __name__ == "__main__":
    main()
