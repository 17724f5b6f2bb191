"""A small network that names the emotion of a face, for losses: the judge that marks edits is another one.

It was trained on other pictures than ``emorph.models.judge`` and is built otherwise, so that a model which learns to
please it has not thereby learnt to please the judge.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from emorph.core.types import CropSpec
from emorph.models.emotion_labels import EmotionLabels
from emorph.models.face_window import evened, gray_window
from emorph.models.trunk import Trunk, TrunkConfig
from emorph.models.weights import PretrainedModule

KIND = "emotion-net"


class EmotionNetConfig(EmotionLabels):
    """Sizes of the network.

    labels: the emotions it tells apart, in the order of its outputs. crop, image_size: what it looks at, and at which
    side. trained_on: the sets whose photos it saw, such as "lfw/train", and networks whose answers it learnt.
    """

    labels: tuple[str, ...] = Field(min_length=2)
    trunk: TrunkConfig = TrunkConfig()
    image_size: int = Field(48, ge=32, le=256)
    crop: CropSpec = CropSpec()
    trained_on: tuple[str, ...] = ()


class EmotionNet(PretrainedModule):
    """A trunk and a linear layer; gray, because much of what it learnt from is."""

    kind = KIND
    config_type = EmotionNetConfig
    config: EmotionNetConfig

    def __init__(self, config: EmotionNetConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = Trunk(config.trunk)
        self.head = nn.Linear(config.trunk.channels[-1], len(config.labels))

    def forward(self, x: Tensor, crop: CropSpec = CropSpec()) -> Tensor:
        """Logits (B, len(labels)) of faces x, float (B, 1 or 3, S, S) in [-1, 1], S any side of 16 px or more.

        crop: what the pictures show of FFHQ's square; a model's own stands in its configuration. Raises ShapeError.
        """
        seen = gray_window(x, crop, self.config.crop, self.config.image_size)
        logits: Tensor = self.head(self.trunk(evened(seen)))
        return logits
