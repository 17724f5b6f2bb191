"""The rig between photos: what moved towards the target, and who is still recognised.

python bench/rig.py --data shared/data    a folder with photos/ and ict_face.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path

from emorph.core.errors import EmorphError, MissingAssetError
from emorph.core.images import list_photos
from emorph.edit.rig.editor import DEFAULT_RIG, MOST_TURN_DEG, RigEditor
from emorph.edit.rig.files import facts, write_edit
from emorph.edit.rig.matrix import draw_matrix
from emorph.edit.rig.parts import PARTS
from emorph.evaluate.measure.rig_edits import PairScores
from support.measure import table, write_section


def transfers(editor: RigEditor, photos: list[Path], pictures: Path | None) -> list[tuple[str, ...]]:
    """A row for each part: the distance to the target before and after, and who passes for the person.

    pictures: where each part's matrix is written.
    """
    faces = []
    for photo in photos:
        try:
            faces.append(editor.sources(photo)[0])
        except EmorphError as error:
            print(f"left out: {error}")
    rows: list[tuple[str, ...]] = []
    for part in PARTS:
        scores = PairScores(faces, editor.reread)
        picture = draw_matrix(editor, faces, [part], see=scores.add)
        if pictures is not None:
            write_edit(pictures / f"matrix_{part}.png", picture, facts(editor, [part], seed=None))
        mean = scores.means()
        if mean is None:
            rows.append((part, "–", "–", "–", "–", "0"))
            continue
        numbers = [
            f"{getattr(mean.before, key):{form}} → {getattr(mean.after, key):{form}}"
            for key, form in (("expression", ".3f"), ("pose_deg", ".1f"), ("light", ".3f"))
        ]
        rows.append((part, *numbers, f"{100 * mean.verified:.0f} %", f"{mean.n_pairs}"))
    return rows


def main() -> None:
    """Measure and write the section "Rig"."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder with photos and ict_face.npz")
    parser.add_argument("--pictures", type=Path, help="a folder for the matrix of each part, to look at")
    parser.add_argument("--model", default=DEFAULT_RIG, help="a rig of ICT-FaceKit's faces")
    asked = parser.parse_args()
    if not asked.data:
        print("bench/rig.py needs photos: --data FOLDER. RESULTS.md is left as it is.")
        return
    ict = asked.data / "ict_face.npz"
    try:
        editor = RigEditor.from_pretrained(asked.model, face_model=ict, device="cpu")
    except MissingAssetError as error:
        print(f"bench/rig.py needs ict_face.npz in --data: {error} RESULTS.md is left as it is.")
        return
    header = ("part taken over", "AED", "pose, degrees", "light", "pass for the person", "pairs")
    body = f"""{editor.model_id}, {editor.steps} steps each way. Between all pairs of the folder's photos with a face:
the mean distance to the target's coefficients before and after, the result fitted again; AED is the mean absolute
difference of the action units. A head turns by {MOST_TURN_DEG:.0f}° at most. "Pass": dlib's
descriptors of photo and result lie closer than 0.6.

{table(header, transfers(editor, list_photos(asked.data / "photos"), asked.pictures))}
"""
    write_section("Rig", f"python bench/rig.py --data {asked.data.name}", body)


if __name__ == "__main__":
    main()
