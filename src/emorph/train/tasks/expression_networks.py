"""The frozen networks that the losses of the task "expression" ask: emotions, a person's features, a face's shape.

One more is one more opener here and one line in ``NETWORKS``. Whoever gives a loss may not give the mark: what was
asked is written into the trained model.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from emorph.core.assets import DECA_PAGE, official
from emorph.core.downloads import present
from emorph.core.errors import CheckpointError, ConfigError, MissingAssetError
from emorph.core.expressions import Emotion
from emorph.core.images import luminance
from emorph.core.loss_networks import LossNetwork
from emorph.core.pretrained import BUNDLED, locate, stated_kind
from emorph.core.types import CropSpec
from emorph.face3d.camera import CROP_SIDE_PX
from emorph.models.deca import CODE_SIZES, N_CODE, CodeEncoder, crop_faces, unit_crops
from emorph.models.dlib_chip import CHIP_PX, chips
from emorph.models.dlib_net import DlibNetConfig, DlibRecogniser, dlib_recogniser
from emorph.models.emonet import CLASSES, SIDE_PX, EmoNet
from emorph.models.face_window import gray_window
from emorph.models.kinds import kind_of_folder
from emorph.models.port import load_face_encoder
from emorph.models.weights import fingerprint
from emorph.train.tasks.expression_crops import ffhq_crop, shown_share, square_crop

Role = Literal["emotion", "shape", "identity"]
AUTO = "auto"
OPEN_SHAPE, OPEN_EMOTION = "emorph-shape", "emorph-loss-emotion"
LEAST_SHOWN = 0.8  # of a network's crop
_ROLES: dict[Role, str] = {"emotion": "names emotions", "shape": "reads a face's shape", "identity": "knows persons"}


@dataclass(frozen=True)
class Answer:
    """What a network says of B faces; None for what it does not say.

    logits: (B, n), one an emotion of the network's. affect: (B, 2), valence and arousal. code: (B, n), a face's shape,
    or a person's features.
    """

    logits: Tensor | None = None
    affect: Tensor | None = None
    code: Tensor | None = None


@dataclass(frozen=True)
class AskedNetwork:
    """A frozen network, what it looks at, and what it was trained on.

    cut: (pictures, points in their pixels, the crop that they show) -> its crops, in [-1, 1] and differentiable.
    answer: (module, crops) -> what it says. side_px, channels: of its crops. emotions: in the order of its logits.
    sees: its crop where that is a part of FFHQ's square, None where it is a box around the landmarks.
    """

    name: str
    role: Role
    module: nn.Module
    data: tuple[str, ...]
    side_px: int
    cut: Callable[[Tensor, Tensor, CropSpec], Tensor]
    answer: Callable[[nn.Module, Tensor], Answer]
    channels: int = 3
    emotions: tuple[Emotion, ...] = ()
    has_affect: bool = False
    sees: CropSpec | None = None

    def facts(self) -> dict[str, Any]:
        """What a trained model says of it."""
        return LossNetwork(Path(self.name).name, fingerprint(self.module), self.data).as_json()

    def check_crop(self, crop: CropSpec) -> None:
        """Raises ConfigError where a model's pictures do not show what the network looks at."""
        share = 1.0 if self.sees is None else shown_share(self.sees, by=crop)
        if share < LEAST_SHOWN:
            raise ConfigError(
                f"{self.name} looks at another crop of a face: the pictures of this model show {share:.0%} of it. Take "
                f"a network of this model's crop (zoom {crop.zoom:.3g}), or a model whose pictures show more."
            )


class Frozen(nn.Module):
    """A network that follows its owner from device to device, but is neither trained nor saved with it.

    crop: what the pictures show that it is asked about.
    """

    def __init__(self, network: AskedNetwork, crop: CropSpec) -> None:
        super().__init__()
        self.crop = crop
        network.module.eval().requires_grad_(False)
        self._hidden = (network,)  # in a tuple, so that it is not a submodule

    @property
    def network(self) -> AskedNetwork:
        """What it holds."""
        return self._hidden[0]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Frozen:
        self.network.module._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch's stubs lack types
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def forward(self, pictures: Tensor, points: Tensor) -> Answer:
        """pictures: float (B, 1 or 3, S, S) in [-1, 1]; points: (B, 68, 2) in their pixels."""
        network = self.network
        return network.answer(network.module, network.cut(pictures.expand(-1, 3, -1, -1), points, self.crop))


def open_network(name: str, role: Role, *, blank: bool = False) -> AskedNetwork:
    """A network by its name in ``NETWORKS``, or a folder of one, for one of the losses.

    blank: with random weights and crops of any place, for a trial of how long a step takes; no file is needed.
    Raises MissingAssetError, with the place to get it from, UnknownNameError, CheckpointError, and ConfigError for one
    that does something else.
    """
    network = NETWORKS[name](name, blank) if name in NETWORKS else _folder(name, blank)
    if network.role != role:
        raise ConfigError(f"{name} {_ROLES[network.role]}, but the loss needs a network that {_ROLES[role]}.")
    if not blank:
        return network
    side = (network.side_px, network.side_px)

    def cut(pictures: Tensor, points: Tensor, crop: CropSpec) -> Tensor:
        return F.interpolate(pictures[:, : network.channels], side, mode="bilinear")

    return AskedNetwork(**{**vars(network), "cut": cut})


def named_shape(name: str) -> str:
    """The shape network that "auto" means: DECA's where its file is here, else the open one. Raises MissingAssetError.

    Other names are themselves.
    """
    if name != AUTO:
        return name
    try:
        official("deca")
    except MissingAssetError:
        if (BUNDLED / OPEN_SHAPE).is_dir():
            return OPEN_SHAPE
        raise MissingAssetError(
            f"no network that reads a face's shape is here: get DECA's file from {DECA_PAGE}, or name the folder of an "
            "open one as losses.shape_network."
        ) from None
    return "deca"


def _deca(name: str, blank: bool) -> AskedNetwork:
    module = CodeEncoder(N_CODE) if blank else load_face_encoder("deca").E_flame

    def answer(module: nn.Module, crops: Tensor) -> Answer:
        return Answer(code=module(unit_crops(crops))[:, : CODE_SIZES["shape"]])

    data = ("vggface2/train", "bupt-balancedface/train", "voxceleb2/train")
    return AskedNetwork(
        name, "shape", module, data, CROP_SIDE_PX, lambda pictures, points, _: crop_faces(pictures, points), answer
    )


def _emonet(name: str, blank: bool) -> AskedNetwork:
    n_classes = int(name.rpartition("_")[2])
    module = EmoNet(n_classes) if blank else EmoNet.from_file(present(name).path)

    def answer(module: nn.Module, crops: Tensor) -> Answer:
        found = module(crops / 2 + 0.5)
        return Answer(logits=found.logits, affect=torch.stack([found.valence, found.arousal], dim=1))

    return AskedNetwork(
        name,
        "emotion",
        module,
        ("affectnet/train",),
        SIDE_PX,
        lambda pictures, points, _: square_crop(pictures, points, SIDE_PX),
        answer,
        emotions=CLASSES[n_classes],
        has_affect=True,
    )


def _folder(name: str, blank: bool) -> AskedNetwork:
    folder = locate(name)
    kind = stated_kind(folder) if folder.is_dir() else "file"
    if kind not in FOLDERS:
        raise CheckpointError(
            f"{name} is no network that a loss can ask; it takes {', '.join(NETWORKS)}, and folders of the kinds "
            f"{', '.join(FOLDERS)}."
        )
    form = kind_of_folder(folder).folder
    assert form is not None
    if not blank:
        return FOLDERS[kind](name, form.load(folder))
    network = form.load.__self__  # type: ignore[attr-defined]  # of a network that writes itself, load is its class's
    return FOLDERS[kind](name, network(form.facts(folder).config))


def _judge(name: str, judge: Any) -> AskedNetwork:
    config = judge.config

    def cut(pictures: Tensor, points: Tensor, crop: CropSpec) -> Tensor:
        return ffhq_crop(luminance(pictures), points, config.image_size, config.crop)

    return AskedNetwork(
        name,
        "emotion",
        judge,
        ("fer2013/train",) if name == "emorph-judge" else (),
        config.image_size,
        cut,
        lambda module, crops: Answer(logits=module(crops)),
        channels=1,
        emotions=config.emotions,
        sees=config.crop,
    )


def _emotion_net(name: str, network: Any) -> AskedNetwork:
    """An open network of emotions, which cuts its crop out of a model's by itself."""
    config = network.config

    def answer(module: nn.Module, crops: Tensor) -> Answer:
        return Answer(logits=module(crops, config.crop))

    return AskedNetwork(
        name,
        "emotion",
        network,
        tuple(config.trained_on),
        config.image_size,
        _window(network),
        answer,
        channels=1,
        emotions=config.emotions,
        sees=config.crop,
    )


def _shape_net(name: str, network: Any) -> AskedNetwork:
    """An open network of ICT-FaceKit's identity, likewise."""
    config = network.config

    def answer(module: nn.Module, crops: Tensor) -> Answer:
        return Answer(code=module(crops, config.crop).shape)

    data, side = tuple(config.trained_on), config.image_size
    return AskedNetwork(name, "shape", network, data, side, _window(network), answer, channels=1, sees=config.crop)


def _window(network: Any) -> Callable[[Tensor, Tensor, CropSpec], Tensor]:
    wanted, side_px = network.config.crop, network.config.image_size
    return lambda pictures, points, crop: gray_window(pictures, crop, wanted, side_px)


_DLIB = DlibNetConfig(
    stem=32,
    blocks=(
        *((32, 1),) * 3,
        *((64, 2), (64, 1), (64, 1), (64, 1)),
        *((128, 2), (128, 1), (128, 1)),
        *((256, 2), (256, 1), (256, 1), (256, 2)),
    ),
    mean=(122.782, 117.001, 104.298),
)  # the sizes of dlib's file, for trials


def _dlib(name: str, blank: bool) -> AskedNetwork:
    """dlib's recogniser, whose distance of 0.6 tells persons apart."""

    def answer(module: nn.Module, crops: Tensor) -> Answer:
        return Answer(code=module(crops))

    data = ("vggface/train", "facescrub/train")
    network = DlibRecogniser(_DLIB) if blank else copy.deepcopy(dlib_recogniser())
    return AskedNetwork(name, "identity", network, data, CHIP_PX, lambda x, points, _: chips(x, points), answer)


Opener = Callable[[str, bool], AskedNetwork]  # by name; whether blank
FolderOpener = Callable[[str, Any], AskedNetwork]  # by name, with the network that its folder holds
NETWORKS: dict[str, Opener] = {"deca": _deca, "emonet_8": _emonet, "emonet_5": _emonet, "dlib": _dlib}
FOLDERS: dict[str, FolderOpener] = {"judge": _judge, "emotion-net": _emotion_net, "shape-net": _shape_net}
