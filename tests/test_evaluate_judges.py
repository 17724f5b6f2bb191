"""ONNX judges on tiny graphs in the real models' layouts: names, sizes, channels, classes, scaling inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from skimage.transform import SimilarityTransform

from emorph.core.errors import (
    CheckpointError,
    DataError,
    MissingAssetError,
    NoFaceError,
    ShapeError,
    UnknownNameError,
)
from emorph.core.expressions import Emotion
from emorph.core.types import Landmarks, Photo, UInt8
from emorph.evaluate.judges.asked import CropPlan, PanelJudge
from emorph.evaluate.judges.cards import CARDS, check_fair, network_card
from emorph.evaluate.judges.crops import ARCFACE_TEMPLATE, arcface_crop, box_crop, five_points, similarity
from emorph.evaluate.judges.onnx_file import opening_operations
from emorph.evaluate.judges.onnx_networks import EmotionJudge, Recogniser

HSEMOTION = [name for name, card in CARDS.items() if card.kind == "emotion"]
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
HALF = ([0.5] * 3, [0.5] * 3)


def weights(n_out: int) -> NDArray[np.float32]:
    return np.random.default_rng(n_out).standard_normal((48, n_out)).astype(np.float32)


def graph(
    path: Path,
    side: int,
    n_out: int,
    *,
    names: tuple[str, str] = ("input", "output"),
    batch: int | str = "batch_size",
    scales: bool = False,
) -> Path:
    """The mean of 4 x 4 tiles of each channel, times random weights; scales: opens with (x - 127.5) / 127.5."""
    tensors = {"w": weights(n_out), "middle": np.float32(127.5), "factor": np.float32(1 / 127.5)}
    picture, nodes = names[0], []
    if scales:
        nodes.append(helper.make_node("Sub", [picture, "middle"], ["shifted"], name="_minusscalar0"))
        nodes.append(helper.make_node("Mul", ["shifted", "factor"], ["scaled"], name="_mulscalar0"))
        picture = "scaled"
    tile = side // 4
    nodes.append(helper.make_node("AveragePool", [picture], ["tiles"], kernel_shape=[tile] * 2, strides=[tile] * 2))
    nodes.append(helper.make_node("Flatten", ["tiles"], ["flat"]))
    nodes.append(helper.make_node("MatMul", ["flat", "w"], [names[1]]))
    inside = helper.make_graph(
        nodes,
        "judge",
        [helper.make_tensor_value_info(names[0], TensorProto.FLOAT, [batch, 3, side, side])],
        [helper.make_tensor_value_info(names[1], TensorProto.FLOAT, [batch, n_out])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()],
    )
    model = helper.make_model(inside, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def expected(
    crops: UInt8, n_out: int, mean: list[float], std: list[float], *, bgr: bool = False
) -> NDArray[np.float32]:
    """The graph's output by torch, for crops scaled as the model's authors do."""
    x = torch.from_numpy(crops[..., ::-1].copy() if bgr else crops).permute(0, 3, 1, 2).float() / 255
    x = (x - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    return (
        torch.nn.functional.avg_pool2d(x, crops.shape[1] // 4).flatten(1) @ torch.from_numpy(weights(n_out))
    ).numpy()


def crops(n: int, side: int) -> UInt8:
    """Coarse random pictures, so that tiles differ, (n, side, side, 3)."""
    coarse = np.random.default_rng(side).integers(0, 256, (n, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(side // 4, axis=1).repeat(side // 4, axis=2)


@pytest.mark.parametrize("name", HSEMOTION)
def test_hsemotion_sizes_scaling_and_classes(name: str, tmp_path: Path) -> None:
    side = {"enet_b2_8": 260, "enet_b2_7": 260, "mbf_va_mtl": 112}.get(name, 224)
    words = [
        "anger",
        "contempt",
        "disgust",
        "fear",
        "happy",
        "neutral",
        "sad",
        "surprise",
    ]  # alphabetical in their words
    if name == "enet_b2_7":
        words.remove("contempt")
    n_out = len(words) + 2 * name.endswith("_va_mtl")
    judge = EmotionJudge.load(name, graph(tmp_path / "a.onnx", side, n_out))
    pictures = crops(3, side)
    logits = expected(pictures, n_out, *(HALF if name == "mbf_va_mtl" else IMAGENET))
    found = judge(pictures)
    shares = torch.softmax(torch.from_numpy(logits[:, : len(words)]), dim=1).numpy()
    for column, word in enumerate(words):
        np.testing.assert_allclose(found.probabilities[:, Emotion.parse(word)], shares[:, column], atol=1e-5)
    assert found.probabilities.sum(axis=1) == pytest.approx([1] * 3, abs=1e-5)
    likeliest = [Emotion(int(i)).word for i in found.probabilities.argmax(axis=1)]
    assert likeliest == [words[i] for i in shares.argmax(axis=1)]
    if name == "enet_b2_7":
        assert Emotion.CONTEMPT not in found.judged
        assert not found.probabilities[:, Emotion.CONTEMPT].any()
    if n_out == 10:
        np.testing.assert_allclose(found.valence, logits[:, 8].clip(-1, 1), atol=1e-5)
        np.testing.assert_allclose(found.arousal, logits[:, 9].clip(-1, 1), atol=1e-5)
        assert abs(logits[:, 8:]).max() > 1, "something must be clipped"
    else:
        assert found.valence is None
        assert found.arousal is None


def unit(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_arcface_graphs_with_and_without_scaling_inside_agree(tmp_path: Path) -> None:
    pictures = crops(3, 112)
    answer = unit(expected(pictures, 512, *HALF))
    plain = graph(tmp_path / "plain.onnx", 112, 512, names=("input.1", "683"), batch=1)
    scaling = graph(tmp_path / "scaling.onnx", 112, 512, names=("data", "fc1"), scales=True)
    assert opening_operations(plain) == ()
    assert opening_operations(scaling) == ("Sub", "Mul")
    for path, is_raw in ((plain, False), (scaling, True)):
        recogniser = Recogniser.load("glint360k_cosface_r100", path)
        assert recogniser.is_raw is is_raw
        np.testing.assert_allclose(recogniser(pictures), answer, atol=1e-5)


def test_only_arithmetic_on_the_picture_counts_as_scaling(tmp_path: Path) -> None:
    """Constants worked out first, weights listed as inputs (old exporters do both), and scaling behind a layer."""
    model = onnx.load(graph(tmp_path / "a.onnx", 112, 512, names=("data", "fc1")))
    inputs = [helper.make_tensor_value_info("w", TensorProto.FLOAT, [48, 512]), *model.graph.input]
    nodes = [
        helper.make_node("Sub", ["middle", "factor"], ["unused"]),
        helper.make_node("Mul", ["unused", "factor"], ["unused2"]),
        helper.make_node("Relu", ["data"], ["positive"]),
        helper.make_node("Sub", ["positive", "middle"], ["late"]),
        helper.make_node("Mul", ["late", "factor"], ["late2"]),
    ]
    rest = list(model.graph.node)
    rest[0].input[0] = "late2"
    del model.graph.node[:], model.graph.input[:]
    model.graph.node.extend(nodes + rest)
    model.graph.input.extend(inputs)
    onnx.save(model, tmp_path / "b.onnx")
    assert opening_operations(tmp_path / "b.onnx") == ()
    assert not Recogniser.load("w600k_r50", tmp_path / "b.onnx").is_raw
    nodes[2].op_type = "Identity"
    del model.graph.node[:]
    model.graph.node.extend(nodes + rest)
    onnx.save(model, tmp_path / "c.onnx")
    assert opening_operations(tmp_path / "c.onnx") == ("Identity", "Sub", "Mul")


def test_adaface_gets_blue_first(tmp_path: Path) -> None:
    pictures = crops(2, 112)
    path = graph(tmp_path / "ada.onnx", 112, 512)
    found = Recogniser.load("adaface_ir101_webface12m", path)(pictures)
    np.testing.assert_allclose(found, unit(expected(pictures, 512, *HALF, bgr=True)), atol=1e-5)
    rgb = Recogniser.load("w600k_r50", path)(pictures)
    np.testing.assert_allclose(rgb, unit(expected(pictures, 512, *HALF)), atol=1e-5)
    assert abs(rgb - found).max() > 0.01


def test_a_result_depends_on_no_batch(tmp_path: Path) -> None:
    pictures = crops(70, 112)
    whole = Recogniser.load("w600k_r50", graph(tmp_path / "any.onnx", 112, 512))(pictures)
    fours = Recogniser.load("w600k_r50", graph(tmp_path / "four.onnx", 112, 512, batch=4))(pictures)
    np.testing.assert_allclose(whole, fours, atol=1e-6)


@pytest.mark.parametrize("name", CARDS)
def test_cards_say_what_is_missing_and_where_it_is(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMORPH_HOME", str(tmp_path))
    card = CARDS[name]
    assert len({Emotion.parse(word) for word in card.classes}) == len(card.classes)
    assert card.trained_on
    load = EmotionJudge.load if card.kind == "emotion" else Recogniser.load
    with pytest.raises(
        MissingAssetError, match=rf"needs {name}\.onnx: get it .*from https://github\.com/\S+ and put it at"
    ):
        load(name)
    (tmp_path / "judges").mkdir()
    graph(tmp_path / "judges" / f"{name}.onnx", card.side_px, 512)
    assert load(name).card is card


def test_a_judge_does_not_mark_its_own_homework() -> None:
    card = network_card("enet_b2_8", "emotion")
    check_fair(card.name, card.trained_on, "affectnet/val")
    with pytest.raises(DataError, match="enet_b2_8 was trained on affectnet/train"):
        check_fair(card.name, card.trained_on, "affectnet/train")


def test_files_and_pictures_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    good = graph(tmp_path / "good.onnx", 224, 8)
    for n_bytes, name in ((0, "empty"), (100, "short"), (good.stat().st_size - 9, "cut")):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(good.read_bytes()[:n_bytes])
        with pytest.raises(CheckpointError, match=f"{name}.onnx is damaged or not an ONNX file"):
            EmotionJudge.load("enet_b0_8_best_vgaf", path)
        with pytest.raises(CheckpointError, match=f"{name}.onnx is damaged or not an ONNX file"):
            opening_operations(path)
    with pytest.raises(CheckpointError, match="takes pictures of 224 px, enet_b2_8 those of 260 px"):
        EmotionJudge.load("enet_b2_8", good)
    with pytest.raises(CheckpointError, match="enet_b2_8 is a judge, not a recogniser"):
        Recogniser.load("enet_b2_8", good)
    with pytest.raises(UnknownNameError, match="did you mean 'enet_b2_8'"):
        EmotionJudge.load("enet_b28")
    with pytest.raises(ShapeError, match="gives 8 numbers a face; enet_b0_8_va_mtl has 10"):
        EmotionJudge.load("enet_b0_8_va_mtl", good)(crops(1, 224))
    with pytest.raises(ShapeError, match=r"takes uint8 \(B, 224, 224, 3\), found float64"):
        EmotionJudge.load("enet_b0_8_best_afew", good)(crops(1, 224) / 255)


def test_without_onnxruntime_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MissingAssetError, match=r"pip install -e .*\[evaluate\]"):
        EmotionJudge.load("enet_b2_8", graph(tmp_path / "a.onnx", 260, 8))


def face(five: NDArray[np.float64]) -> Landmarks:
    """68 points whose five points are these."""
    points = np.zeros((68, 2), dtype=np.float32)
    points[36:42], points[42:48], points[30], points[48], points[54] = five
    return Landmarks(points, (10, 20, 60, 90), 1.0)


def test_a_face_on_the_template_is_left_as_it_is() -> None:
    published = [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
    pixels = np.random.default_rng(0).integers(0, 256, (150, 140, 3), dtype=np.uint8)
    crop = arcface_crop(Photo(pixels), face(np.array(published)))
    assert np.abs(crop.astype(int) - pixels[:112, :112]).max() <= 1


def test_five_points_land_on_the_template() -> None:
    turn = SimilarityTransform(scale=2.1, rotation=0.4, translation=(160, 30))
    five = turn(np.array(ARCFACE_TEMPLATE))
    pixels = np.zeros((420, 420, 3), dtype=np.uint8)
    rows, columns = np.mgrid[:420, :420]
    for x, y in five:
        pixels[np.hypot(columns - x, rows - y) < 5] = 255
    crop = arcface_crop(Photo(pixels), face(five))[..., 0].astype(float)
    for x, y in ARCFACE_TEMPLATE:
        left, top = round(x) - 5, round(y) - 5
        window = crop[top : top + 11, left : left + 11]
        assert window.sum() > 0
        dy, dx = (float((window * grid).sum() / window.sum()) for grid in np.mgrid[:11, :11])
        assert (left + dx, top + dy) == pytest.approx((x, y), abs=0.3)
    assert crop.sum() / 255 == pytest.approx(5 * np.pi * 25 / 2.1**2, rel=0.1)


def test_similarity_equals_scikit_image() -> None:
    rng = np.random.default_rng(1)
    source, target = rng.standard_normal((2, 5, 2)) * 20 + 50
    reference = SimilarityTransform.from_estimate(source, target)
    np.testing.assert_allclose(similarity(source, target), reference.params[:2], atol=1e-9)
    with pytest.raises(ShapeError, match="span a face"):
        similarity(np.ones((5, 2)), target)


def test_the_box_is_cut_at_the_photos_edge_and_stretched() -> None:
    pixels = np.zeros((50, 80, 3), dtype=np.uint8)
    pixels[20:50, 10:60, 1] = 200
    landmarks = face(np.array(ARCFACE_TEMPLATE))
    assert five_points(landmarks) == pytest.approx(np.array(ARCFACE_TEMPLATE), abs=1e-4)
    crop = box_crop(Photo(pixels), landmarks, 224)
    assert crop.shape == (224, 224, 3)
    assert (crop == [0, 200, 0]).all()
    with pytest.raises(NoFaceError, match=r"outside the photo \(80x15 px\)"):
        box_crop(Photo(pixels[:15]), landmarks, 224)


def test_answers_that_are_not_as_the_judge_says_are_named() -> None:
    judge = PanelJudge(
        "mine@1", (Emotion.SAD, Emotion.HAPPY), CropPlan("box", 8), lambda crops: np.ones((len(crops), 3))
    )
    with pytest.raises(ShapeError, match=r"mine@1 must answer \(2, 2\).*probability_sad.*found \(2, 3\)"):
        judge.judge(["a", "b"], np.zeros((2, 8, 8, 3), np.uint8))
