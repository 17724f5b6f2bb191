"""The networks that losses ask: they see what they see elsewhere in emorph, and gradients reach the picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from emorph.core.errors import CheckpointError, ConfigError, MissingAssetError
from emorph.core.expressions import Emotion
from emorph.core.images import luminance, to_pixels, to_tensor
from emorph.core.types import CropSpec, Landmarks, Photo
from emorph.evaluate.judges.crops import emonet_crop
from emorph.evaluate.judges.dlib_recogniser import descriptor_of
from emorph.evaluate.judges.own import crop_for
from emorph.models.deca import CodeEncoder, crop_face, crop_faces
from emorph.models.emotion_net import EmotionNet, EmotionNetConfig
from emorph.models.judge import Judge
from emorph.models.rig_faces import NetworkReader
from emorph.models.shape_net import ShapeNet, ShapeNetConfig
from emorph.models.weights import fingerprint
from emorph.train.tasks.expression_crops import ffhq_crop, shown_share, square_crop
from emorph.train.tasks.expression_networks import AUTO, AskedNetwork, Frozen, named_shape, open_network
from emorph.train.tasks.expression_task import ExpressionTask
from made_expression import expression_config, labelled_faces, made_points, write_judge, write_start
from made_face import made_face
from made_flame import write_deca

LEVEL = 2 / 255  # of pictures in [-1, 1]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where DECA's file lies, with weights of ours."""
    path = tmp_path_factory.mktemp("home")
    write_deca(path / "deca" / "deca_model.tar", made_face())
    write_start(path / "start")
    write_judge(path / "judge")
    return path


@pytest.fixture
def of_photo(photo: Photo, landmarks: Landmarks) -> tuple[Tensor, Tensor]:
    return to_tensor(photo.pixels), torch.from_numpy(landmarks.points)[None]


# -- crops


def test_decas_crop_is_the_one_that_the_reader_cuts(photo: Photo, landmarks: Landmarks) -> None:
    expected, _ = crop_face(photo, landmarks.points)
    points = torch.from_numpy(landmarks.points)[None]
    found = crop_faces(to_tensor(photo.pixels), points)
    assert float((found - expected).abs().max()) < 1e-6
    # a picture that has more than 8 bits is cut as its rounded self, to half a level
    between = (to_tensor(photo.pixels) * 0.97 + 0.003).repeat(2, 1, 1, 1)
    rounded, _ = crop_face(Photo(to_pixels(between)[0]), landmarks.points)
    found = crop_faces(between, points.repeat(2, 1, 1))[1:]
    assert 0 < float((found - rounded).abs().max()) <= LEVEL / 2 + 1e-5


def test_emonets_crop_is_the_judges(of_photo: tuple[Tensor, Tensor], photo: Photo, landmarks: Landmarks) -> None:
    expected = to_tensor(emonet_crop(photo, landmarks))
    found = square_crop(*of_photo, 256)
    # cv2 looks pixels up on a grid of 1/32
    assert float((found - expected).abs().mean()) < LEVEL
    assert float((found - expected).abs().max()) < 24 * LEVEL


def test_the_judges_crop_is_the_evaluations(
    of_photo: tuple[Tensor, Tensor], photo: Photo, landmarks: Landmarks
) -> None:
    judge = Judge.from_pretrained()
    expected = crop_for(judge, photo, landmarks)[None]
    found = ffhq_crop(luminance(of_photo[0]), of_photo[1], judge.config.image_size, judge.config.crop)
    assert found.shape == expected.shape
    assert float((found - expected).abs().mean()) < 6 * LEVEL  # Lanczos there, a mean here
    with torch.no_grad():
        asked = [judge(crop).softmax(dim=1) for crop in (found, expected)]
    assert float((asked[0] - asked[1]).abs().max()) < 0.1
    turned = ffhq_crop(luminance(of_photo[0]), of_photo[1].flip(1), judge.config.image_size, judge.config.crop)
    assert float((turned - expected).abs().mean()) > 20 * LEVEL


def test_how_much_of_a_crop_another_shows() -> None:
    assert shown_share(CropSpec(), by=CropSpec()) == 1
    assert shown_share(CropSpec(2.0), by=CropSpec()) == 1
    assert shown_share(CropSpec(), by=CropSpec(1.0, (0.25, -0.5))) == pytest.approx(0.75 * 0.5)
    assert shown_share(CropSpec(), by=CropSpec(1.0, (3.0, 0.0))) == 0


# -- the open networks


def test_open_networks_see_what_they_see_elsewhere(tmp_path: Path, of_photo: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    crop = {"zoom": 1.3, "shift": (0.0, 0.05)}
    trunk = {"channels": (8, 16)}
    emotion = EmotionNet(EmotionNetConfig.parse({"labels": ("sad", "happy"), "crop": crop, "trunk": trunk}))
    units = {"units": ("jawOpen",), "n_shape": 5, "trained_on": ("lfw/train",)}
    shape = ShapeNet(ShapeNetConfig.parse({"crop": crop, "trunk": trunk, **units}))
    for network, name in ((emotion, "emotion"), (shape, "shape")):
        network.eval().save_pretrained(tmp_path / name)
    pictures, given = labelled_faces().images[:2].float() / 127.5 - 1, CropSpec(1.5, (0.0, 0.08))
    pictures.requires_grad_()
    asked = open_network(str(tmp_path / "emotion"), "emotion")
    assert asked.emotions == (Emotion.SAD, Emotion.HAPPY)
    logits = Frozen(asked, given)(pictures, made_points(2)).logits
    torch.testing.assert_close(logits, emotion(pictures, given), rtol=1e-4, atol=1e-5)
    of_shape = open_network(str(tmp_path / "shape"), "shape")
    code = Frozen(of_shape, given)(pictures, made_points(2)).code
    assert code is not None
    torch.testing.assert_close(code, shape(pictures, given).shape, rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(code.square().sum(), pictures)
    assert float(gradient.abs().max()) > 0
    assert of_shape.facts() == {"name": "shape", "fingerprint": fingerprint(shape), "data": ["lfw/train"]}
    of_shape.check_crop(CropSpec(1.2))
    with pytest.raises(ConfigError, match="looks at another crop of a face: the pictures of this model show 42%"):
        of_shape.check_crop(CropSpec(2.0, (0.0, 0.05)))
    blank = open_network(str(tmp_path / "shape"), "shape", blank=True)
    assert Frozen(blank, given)(pictures, torch.zeros(2, 68, 2)).code.shape == (2, 5)  # type: ignore[union-attr]


def test_identity_is_dlibs(photo: Photo, landmarks: Landmarks, of_photo: tuple[Tensor, Tensor]) -> None:
    network = open_network("dlib", "identity")
    code = Frozen(network, CropSpec())(*of_photo).code
    assert code is not None
    assert (
        float((code[0] - torch.from_numpy(descriptor_of(photo, landmarks))).norm()) < 0.05
    )  # of 0.6 to another person
    blank = open_network("dlib", "identity", blank=True).module
    assert {k: v.shape for k, v in blank.state_dict().items()} == {
        k: v.shape for k, v in network.module.state_dict().items()
    }


# -- DECA


def lively_encoder() -> CodeEncoder:
    """DECA's network with random weights that pass on what they see, through all of its 50 layers."""
    torch.manual_seed(0)
    module = CodeEncoder(236).eval()
    for name, part in module.named_modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
        if name.endswith("bn3"):
            nn.init.constant_(part.weight, 0.2)
    with torch.no_grad():
        module.layers[2].weight.mul_(300)
    return module


def deca_network(module: CodeEncoder) -> AskedNetwork:
    blank = open_network("deca", "shape", blank=True)
    return AskedNetwork(
        **{**vars(blank), "module": module, "cut": lambda pictures, points, _: crop_faces(pictures, points)}
    )


def test_shape_is_what_the_reader_of_faces_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMORPH_HOME", str(home))
    assert named_shape(AUTO) == "deca"
    network = open_network("deca", "shape")
    pictures = labelled_faces().images[:2].expand(-1, 3, -1, -1)
    pictures, points = pictures.float() / 127.5 - 1, made_points(2)
    seen: list[Tensor] = []

    class Spy:
        """DECA as the reader takes it; the shape alone is looked at."""

        name = "deca"

        def encode(self, crops: Tensor) -> Tensor:
            seen.append(crops)
            raise StopIteration

    with pytest.raises(StopIteration):
        NetworkReader(Spy(), made_face()).read(pictures, points)  # type: ignore[arg-type]
    asked = network.cut(pictures, points, CropSpec())
    assert float((asked - seen[0]).abs().max()) < 1e-5
    code = Frozen(network, CropSpec())(pictures, points).code
    assert code is not None
    assert code.shape == (2, 100)
    torch.testing.assert_close(code, network.module(seen[0] / 2 + 0.5)[:, :100])


def test_the_gradient_of_the_shape_is_that_of_finite_differences() -> None:
    module = lively_encoder().double()
    frozen = Frozen(deca_network(module), CropSpec())
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(1, 3, 6, 6, generator=generator, dtype=torch.float64) * 1.6 - 0.8
    picture = torch.nn.functional.interpolate(coarse, size=48, mode="bicubic")
    points = made_points(1, 48).double()
    with torch.no_grad():
        before = frozen(picture.flip(-1), points).code

    def distance(x: Tensor) -> Tensor:
        code = frozen(x, points).code
        assert code is not None
        assert before is not None
        return (code - before).square().mean()

    x = picture.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(distance(x), x)
    assert module.encoder.conv1.weight.grad is None
    along = torch.nn.functional.interpolate(
        torch.randn(1, 3, 6, 6, generator=generator, dtype=torch.float64), size=48, mode="bicubic"
    )
    h = 1e-6
    with torch.no_grad():
        measured = float(distance(picture + h * along) - distance(picture - h * along)) / (2 * h)
    assert float((gradient * along).sum()) == pytest.approx(measured, rel=1e-4)
    assert abs(measured) > 1e-4
    low, high = points.amin(dim=1)[0], points.amax(dim=1)[0]
    assert float(gradient[..., : int(low[1]) - 12, :].abs().sum()) == 0  # far above the face's box nothing matters
    assert float(gradient[..., int(low[1]) : int(high[1]), :].abs().sum()) > 0


def test_step_2_without_any_network_says_what_to_get(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMORPH_HOME", str(tmp_path))
    for name in ("deca", AUTO):
        config = expression_config(home, "run", losses={"shape": 1.0, "shape_network": name})
        if name == AUTO and open_shape_is_here():
            continue
        with pytest.raises(MissingAssetError, match="yfeng95/DECA"):
            ExpressionTask(config, labelled_faces())
    with pytest.raises(MissingAssetError, match=r"emonet_8\.pth"):
        open_network("emonet_8", "emotion")
    with pytest.raises(CheckpointError, match="no network that a loss can ask"):
        open_network("emorph-rig", "shape")


def open_shape_is_here() -> bool:
    try:
        return named_shape(AUTO) != "deca"
    except MissingAssetError:
        return False


def test_step_2_through_deca_pulls_the_shape_back(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step 2's loss falls when it is trained on, with DECA's networks in their own layout and sizes."""
    monkeypatch.setenv("EMORPH_HOME", str(home))
    opener = _opener(deca_network(lively_encoder()))
    monkeypatch.setattr("emorph.train.tasks.expression_settings.open_network", opener)
    torch.manual_seed(0)
    only = {"expression": 0.0, "surroundings": 0.0, "reconstruction": 0.0, "shape": 1.0, "shape_network": "deca"}
    task = ExpressionTask(expression_config(home, "run", losses=only, trains="shift"), labelled_faces())
    task.model.load_state_dict(task.start(str(home / "start")).state_dict())
    assert task.model.losses[0]["name"] == "deca"
    items = [labelled_faces()[1]]
    batch = {key: torch.stack([item[key] for item in items]) for key in items[0]}
    inputs = task.draw(batch, [0], torch.device("cpu"))
    optimizer = torch.optim.Adam([p for p in task.loss.parameters() if p.requires_grad], lr=0.02)
    history = []
    for _ in range(3):
        loss = task.loss(*inputs)["shape"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history == sorted(history, reverse=True)
    assert history[-1] < history[0]


def _opener(network: AskedNetwork) -> Callable[..., AskedNetwork]:
    return lambda name, role, blank=False: network
