"""The rig between photos, and the 3D fits that it stands on: what moved, who is still known, how far landmarks are off.

python bench/rig.py --data shared/data    a folder with photos/, lfw_expressions/ and ict_face.npz
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from emorph.cli.matrix import means, measured
from emorph.core.errors import EmorphError, MissingAssetError
from emorph.core.images import list_photos
from emorph.data.store import FaceStore
from emorph.edit.rig import DEFAULT_RIG, RigEditor
from emorph.edit.rig_matrix import all_pairs
from emorph.face3d import ICT, fit_landmarks
from emorph.face3d.camera import screen_to_pixels
from support.measure import table, write_section

PARTS = ("expression", "pose", "light")
SIDE_PX = 128
N_ERRORS = 200


@dataclass(frozen=True)
class Fits:
    """Of the faces that could be fitted: error (n,) in eye distances, shape (n, K), persons (n,); of n_asked faces."""

    error: NDArray[np.float64]
    shape: NDArray[np.float64]
    persons: list[str]
    n_asked: int


def fits(face: ICT, data: Path) -> Fits:
    """Of the validation faces, evenly chosen where an error is asked for; the persons' names go along."""
    import pyarrow.parquet as pq

    store = FaceStore(data, side_px=SIDE_PX, channels=1, split="val")
    names = pq.read_table(data, columns=["identity", "split"]).to_pydict()
    persons = [name for name, split in zip(names["identity"], names["split"], strict=True) if split == "val"]
    points = screen_to_pixels(torch.stack([store[i]["landmarks"] for i in range(len(store))]), (SIDE_PX, SIDE_PX))
    fit = fit_landmarks(face, points, SIDE_PX)
    ok = fit.ok
    known = [person for person, good in zip(persons, ok.tolist(), strict=True) if good]
    return Fits(fit.error[ok].double().numpy(), fit.coeffs.shape[ok].double().numpy(), known, len(store))


def identity_auc(found: Fits) -> tuple[float, int, int]:
    """How often two fits of one person are closer than two of two persons (area under the ROC curve); pairs of each."""
    names = np.unique(np.asarray(found.persons), return_inverse=True)[1]
    first, second = np.triu_indices(len(names), k=1)
    distance = np.linalg.norm(found.shape[first] - found.shape[second], axis=1)
    same = names[first] == names[second]
    ranks = np.empty(len(distance))
    ranks[distance.argsort()] = np.arange(1, len(distance) + 1)
    n_same, n_other = int(same.sum()), int((~same).sum())
    above = ranks[same].sum() - n_same * (n_same + 1) / 2
    return 1 - above / (n_same * n_other), n_same, n_other


def transfers(editor: RigEditor, photos: list[Path]) -> list[tuple[str, ...]]:
    """A row for each part: the distance to the target before and after, and who passes for the person."""
    faces = []
    for photo in photos:
        try:
            faces.append(editor.sources(photo)[0])
        except EmorphError as error:
            print(f"left out: {error}")
    rows = []
    for part in PARTS:
        mean = means(measured(editor, faces, all_pairs(editor, faces, [part])))
        numbers = [
            f"{mean[f'{key}_before']:{form}} → {mean[f'{key}_after']:{form}}"
            for key, form in (("expression", ".3f"), ("pose_deg", ".1f"), ("light", ".3f"))
        ]
        rows.append((part, *numbers, f"{100 * mean['verified']:.0f} %", f"{mean['pairs']:.0f}"))
    return rows


def main() -> None:
    """Measure and write the section "Rig"."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder with photos, face pack and ict_face.npz")
    parser.add_argument("--model", default=DEFAULT_RIG, help="a rig of ICT-FaceKit's faces")
    asked = parser.parse_args()
    if not asked.data:
        print("bench/rig.py needs photos and faces: --data FOLDER. RESULTS.md is left as it is.")
        return
    ict = asked.data / "ict_face.npz"
    try:
        editor = RigEditor.from_pretrained(asked.model, face_model=ict, device="cpu")
    except MissingAssetError as error:
        print(f"bench/rig.py needs ict_face.npz in --data: {error} RESULTS.md is left as it is.")
        return
    found = fits(ICT.load(ict), asked.data / "lfw_expressions" / "lfw_expressions.parquet")
    some = found.error[np.linspace(0, len(found.error) - 1, min(N_ERRORS, len(found.error))).round().astype(int)]
    auc, n_same, n_other = identity_auc(found)
    header = ("part taken over", "AED", "pose, degrees", "light", "pass for the person", "pairs")
    body = f"""{editor.model_id}, {editor.steps} steps each way. Between all pairs of the folder's photos with a face:
the mean distance to the target's coefficients before and after, the result fitted again; AED is the mean absolute
difference of the action units. "Pass": dlib's descriptors of photo and result lie closer than 0.6.

{table(header, transfers(editor, list_photos(asked.data / "photos")))}

ICT-FaceKit fitted to the landmarks of {found.n_asked} validation faces, {len(found.error)} fits can be trusted: on
{len(some)} of them, landmarks are {100 * some.mean():.1f} % of the eye distance off on average (95th percentile of
faces: {100 * np.quantile(some, 0.95):.1f} %). Shape coefficients of one person's photos are closer than those of two
persons' with probability {auc:.2f} (AUC; {n_same} and {n_other:,} pairs).
"""
    write_section("Rig", f"python bench/rig.py --data {asked.data.name}", body)


if __name__ == "__main__":
    main()
