"""Are the edits what was asked for, and is it still the person? Held-out faces, every emotion, several strengths.

python bench/quality.py --data lfw_expressions.parquet [--faces 200] [--model emorph-base] [--workers 2]

The judge (emorph-judge) was trained on other pictures with other labels. Finished faces are kept in runs/quality and
not made again: stop with Ctrl-C and run it again to go on. Sheets to look at are written there too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.progress import track

from emorph.core.expressions import Emotion
from emorph.core.types import Target
from emorph.edit.pipeline import Editor
from emorph.edit.sheet import grid, tiles
from emorph.evaluate.emotion import crop_for, judge_crops
from emorph.evaluate.identity import describe
from emorph.faces.paste import face_mask
from emorph.models.diffae import fingerprint
from emorph.models.judge import Judge
from support.quality_report import SOURCES, STRENGTHS, Controls, Score, report
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
    threads: int


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
    plan = Plan(
        arguments.model,
        arguments.directions,
        arguments.judge,
        max(1, torch.get_num_threads() // arguments.workers),
    )
    faces = held_out_faces(arguments.data)
    chosen = some_of_each(faces, SOURCES, arguments.faces)
    editor = Editor.from_pretrained(plan.model, directions=plan.directions, device="cpu")
    judge = Judge.from_pretrained(plan.judge)
    folder = WORK / f"{editor.model_id}-{settings(editor)}-{fingerprint(judge)}"
    scores = measured(plan, chosen, folder / "scores.jsonl", arguments.workers)
    report(scores, controls(judge, faces), editor.model_id, arguments.data.name, len(chosen))
    draw_sheets(editor, chosen, folder)


def settings(editor: Editor) -> str:
    """Eight digits that tell directions, solver and steps apart."""
    assert editor.directions is not None
    digest = hashlib.sha256(f"{editor.steps} {editor.solver_name} {editor.directions.gain}".encode())
    means = editor.directions.means
    for tensor in (editor.directions.weight, editor.directions.weight if means is None else means):
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:8]


def measured(plan: Plan, faces: Sequence[Face], file: Path, workers: int) -> list[Score]:
    """Scores of all faces, one line of ``file`` a face, so that what is finished is not made again."""
    file.parent.mkdir(parents=True, exist_ok=True)
    done = dict(finished(file))
    todo = [face for face in faces if face.row not in done]
    with multiprocessing.get_context("spawn").Pool(workers, _start, (plan,)) as pool, file.open("a") as out:
        for row, scores in track(pool.imap(_measure, todo), "editing", total=len(todo), disable=not todo):
            out.write(json.dumps({"row": row, "scores": [asdict(score) for score in scores]}) + "\n")
            out.flush()
            done[row] = scores
    return [score for face in faces for score in done[face.row]]


def finished(file: Path) -> Iterator[tuple[int, list[Score]]]:
    """What an earlier run wrote; a line that was cut short is left out."""
    for line in file.read_text().splitlines() if file.exists() else []:
        try:
            found = json.loads(line)
        except json.JSONDecodeError:
            continue
        yield found["row"], [Score(**score) for score in found["scores"]]


_tools: tuple[Editor, Judge] | None = None


def _start(plan: Plan) -> None:
    """Each worker loads the models once."""
    global _tools
    torch.set_num_threads(plan.threads)
    editor = Editor.from_pretrained(plan.model, directions=plan.directions, device="cpu")
    _tools = editor, Judge.from_pretrained(plan.judge)


def _measure(face: Face) -> tuple[int, list[Score]]:
    assert _tools is not None
    editor, judge = _tools
    targets = [Target(emotion, strength) for emotion in Emotion for strength in STRENGTHS]
    aligned = editor.align(face.photo, [face.landmarks])
    edits = editor.edit_faces(face.photo, aligned, targets)
    answers = judge_crops(judge, [crop_for(judge, edit.photo, face.landmarks) for edit in edits])
    own = describe(face.photo, face.landmarks)
    outside = _outside(face, editor)
    scores = []
    for edit, answer in zip(edits, answers, strict=True):
        change = np.abs(edit.photo.pixels.astype(int) - face.photo.pixels)
        descriptor = describe(edit.photo, face.landmarks)
        scores.append(
            Score(
                face.label.word,
                face.person,
                edit.target.emotion.word,
                edit.target.strength,
                [round(float(p), 6) for p in answer],
                float(np.linalg.norm(descriptor - own)),
                [round(float(v), 6) for v in descriptor],
                int(change[outside].max(initial=0)),
            )
        )
    return face.row, scores


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
    descriptors = np.stack([describe(face.photo, face.landmarks) for face in track(faces, "unedited photos")])
    return Controls(
        judge.config.emotions,
        [face.label for face in faces],
        [face.person for face in faces],
        answers,
        descriptors,
    )


def draw_sheets(editor: Editor, faces: Sequence[Face], folder: Path) -> None:
    """Pages of sheets at strength 1; the pictures are research data, so the folder is one that git ignores."""
    shown = [faces[int(i)] for i in np.linspace(0, len(faces) - 1, min(N_SHEETS, len(faces)))]
    rows = []
    for face in track(shown, "sheets"):
        aligned = editor.align(face.photo, [face.landmarks])
        rows.append(tiles(editor.edit_faces(face.photo, aligned, editor.sheet_targets())))
    for start in range(0, len(rows), SHEETS_A_PAGE):
        page: Image.Image = grid(rows[start : start + SHEETS_A_PAGE])
        page.save(folder / f"sheets_{start // SHEETS_A_PAGE + 1}.png")
    print(f"sheets: {folder}")


if __name__ == "__main__":
    main()
