"""Are the edits what was asked for, and is it still the person? Held-out faces, every emotion, several strengths.

python bench/quality.py --data lfw_expressions.parquet [--faces 200] [--model emorph-base] [--workers 2]

The judge (emorph-judge) was trained on other pictures with other labels. Finished faces are kept in runs/quality and
not made again: stop with Ctrl-C and run it again to go on. Sheets to look at are written there too.
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
from support.quality_report import SOURCES, STRENGTHS, Controls, Score, report
from support.settings import settings
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

    @property
    def threads(self) -> int:
        """Of one worker."""
        return max(1, torch.get_num_threads() // self.workers)


def main() -> None:
    """Make the edits, judge them, and write the section "Quality" with its plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--faces", type=int, default=200, help="half of them neutral, half happy")
    parser.add_argument("--model", default="emorph-base")
    parser.add_argument("--directions")
    parser.add_argument("--judge", default="emorph-judge")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    if not arguments.data:
        print("bench/quality.py needs the held-out faces: --data lfw_expressions.parquet. RESULTS.md is left as it is.")
        return
    plan = Plan(arguments.model, arguments.directions, arguments.judge, arguments.workers)
    faces = held_out_faces(arguments.data)
    chosen = some_of_each(faces, SOURCES, arguments.faces)
    editor = Editor.from_pretrained(plan.model, directions=plan.directions, device="cpu")
    judge = Judge.from_pretrained(plan.judge)
    folder = WORK / f"{editor.model_id}-{settings(editor)}"
    edited(plan, chosen, folder)
    scores = scored(plan, chosen, folder)
    report(scores, controls(judge, faces), editor.model_id, arguments.data.name, len(chosen))
    draw_sheets(chosen, folder)


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
    editor = Editor.from_pretrained(plan.model, directions=plan.directions, device="cpu")
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
