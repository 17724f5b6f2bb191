"""Outside the editor's own mask nothing may change at all: the mask on record, and what is measured outside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from emorph import Emotion
from emorph.core.errors import DataError
from emorph.core.images import read_photo, write_image
from emorph.core.records import read
from emorph.core.types import AlignedFace, Landmarks, Photo
from emorph.edit.change import CropChange, outlines
from emorph.edit.files import edit_files
from emorph.evaluate.judges.panel import Panel
from emorph.evaluate.measure.inputs import Pair, read_pairs
from emorph.evaluate.measure.records import Records, identify
from emorph.evaluate.measure.run import evaluate
from emorph.evaluate.measure.surroundings import Surroundings
from emorph.evaluate.metrics.table import metrics
from emorph.evaluate.metrics.takes import Takes
from emorph.evaluate.report.summary import summarise
from emorph.faces import align, face_mask, find_faces
from emorph.faces.mask import outline
from evaluate_sets import EXAMPLE, face, smudged
from tiny import tiny_editor

ROWS = metrics(Takes.OWN_MASK)


@pytest.fixture(scope="module")
def seen() -> tuple[Photo, AlignedFace]:
    photo = Photo(face())
    return photo, align(photo, find_faces(photo)[0], 128)


def drawn(polygon: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    inside = np.zeros(shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, np.array(polygon, np.int32).reshape(-1, 2), 1)
    return inside > 0


def test_the_polygon_is_the_masks_border(seen: tuple[Photo, AlignedFace]) -> None:
    photo, face = seen
    for feather in (None, 0.8):
        mask = face_mask(face, photo.pixels.shape, feather=feather)
        touched = np.zeros(photo.pixels.shape[:2], dtype=bool)
        height, width = mask.weights.shape
        touched[mask.top : mask.top + height, mask.left : mask.left + width] = mask.weights > 0
        inside = drawn(outline(mask), photo.pixels.shape)
        assert not (touched & ~inside).any()
        assert inside.sum() < 1.02 * touched.sum()


def test_new_light_reaches_farther(seen: tuple[Photo, AlignedFace]) -> None:
    photo, face = seen
    plain = CropChange.nothing(np.zeros((128, 128, 3), np.float32))
    (near,), (far,) = (outlines(photo, [face], [change]) for change in (plain, replace(plain, lit=plain.after)))
    assert drawn(near, photo.pixels.shape).sum() < drawn(far, photo.pixels.shape).sum()


def test_an_edit_is_exact_outside_its_own_mask_and_the_table_names_the_masks(tmp_path: Path) -> None:
    edit_files(tiny_editor(steps=2), [EXAMPLE], tmp_path / "edited", Emotion.HAPPY)
    (record,) = read(tmp_path / "edited" / "edits.jsonl")
    (polygon,) = record.mask
    before, after = (read_photo(Path(path)).pixels for path in (record.source, record.edited))
    changed = (before != after).any(axis=2)
    assert changed.any()
    assert not (changed & ~drawn(polygon, before.shape)).any()
    judged = identify(read_pairs(tmp_path / "edited"))
    panel = Panel((), ())
    records = evaluate(judged, tmp_path / "report", panel)
    (table,) = [table for table in summarise(judged, records, panel).tables if table.name.endswith("fidelity")]
    shown = {str(row[0]): (str(row[1]), str(row[3])) for row in table.rows}
    assert shown["Change outside the editor's mask, share of range"][1] == "0 (no interval; n = 1)"
    compares, found = shown["PSNR outside the editor's mask, dB"]
    assert found == "infinite: all 1 are exact"
    assert "mask that the editor recorded" in compares
    compares, found = shown["PSNR outside the face, dB"]
    assert "soft mask drawn by the source's 68 points" in compares
    assert float(found.split()[0]) < 80
    assert Records.read(tmp_path / "report") == records == evaluate(judged, tmp_path / "report", panel)


def test_what_changes_outside_the_mask_is_found_wherever_it_is(seen: tuple[Photo, AlignedFace]) -> None:
    photo, face = seen
    mask = (outline(face_mask(face, photo.pixels.shape)),)
    edited = Photo(smudged(photo.pixels, 250))
    around = Surroundings(photo, face.landmarks)
    assert around.measured(edited, ROWS, mask=mask) == {"mae_outside_mask": 0, "psnr_outside_mask": np.inf}
    spoilt = edited.pixels.copy()
    spoilt[0, 0] = 255 - photo.pixels[0, 0]
    found = around.measured(Photo(spoilt), ROWS, mask=mask)
    gap = np.abs(spoilt[0, 0].astype(float) - photo.pixels[0, 0]).mean() / 255
    n_outside = (~drawn(mask[0], photo.pixels.shape)).sum()
    assert found["mae_outside_mask"] == pytest.approx(gap / n_outside, rel=1e-4)
    assert np.isfinite(found["psnr_outside_mask"])
    everything = ((0, 0, 999, 0, 999, 999, 0, 999),)
    assert all(np.isnan(value) for value in around.measured(edited, ROWS, mask=everything).values())


def test_without_a_mask_on_record_nothing_is_said(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", face())
    write_image(tmp_path / "b.png", smudged(face(), 250))
    judged = identify([Pair("m", tmp_path / "a.png", tmp_path / "b.png", Emotion.HAPPY)])
    records = evaluate(judged, tmp_path / "report", Panel((), ()))
    assert not {row.name for row in ROWS} & set(records.scores[judged[0].edit_id, ""])


@pytest.mark.parametrize("mask", [[[1, 2, 3]], [[]], [[1.5, 2]], [[10**9, 2]]])
def test_a_wrong_mask_is_named(tmp_path: Path, mask: object) -> None:
    fields = {"id": "x", "source": "a.png", "edited": "b.png", "target": "happy", "strength": 1, "mask": mask}
    fields |= {"editor": "e", "model_id": "m", "solver": "dpm", "steps": 2, "seconds": 0.1}
    (tmp_path / "edits.jsonl").write_text(json.dumps(fields) + "\n")
    with pytest.raises(DataError, match="mask must be polygons of whole numbers"):
        read_pairs(tmp_path)


def test_a_face_outside_the_photo_has_no_polygon(seen: tuple[Photo, AlignedFace]) -> None:
    photo, face = seen
    away = replace(face, crop_to_photo=face.crop_to_photo + np.array([[0, 0, 9999], [0, 0, 0], [0, 0, 0]]))
    moved = Landmarks(face.landmarks.points + np.float32([9999, 0]), face.landmarks.box, 1.0)
    change = CropChange.nothing(np.zeros((128, 128, 3), np.float32))
    assert outlines(photo, [replace(away, landmarks=moved)], [change]) == ()
