"""The kinds of the open networks that give losses; they come as folders of ours only."""

from __future__ import annotations

from pathlib import Path

from emorph.core.pretrained import read_config
from emorph.models import emotion_net
from emorph.models.dlib_net import DlibRecogniser
from emorph.models.emotion_net import EmotionNet, EmotionNetConfig
from emorph.models.kinds.kind import Facts, FolderForm, ModelKind, folder_of, save_module
from emorph.models.shape_net import ShapeNet


def _emotion_facts(folder: Path) -> Facts:
    config = EmotionNetConfig.parse(read_config(folder, emotion_net.KIND), str(folder))
    return Facts(config, config.labels)


EMOTION_NET = ModelKind(
    name="emotion-net",
    what="a network that names emotions for losses",
    use="load it with emorph.models.emotion_net.EmotionNet.from_pretrained",
    folder=FolderForm(emotion_net.KIND, EmotionNet.from_pretrained, _emotion_facts, EmotionNet),
    save=save_module,
)

DLIB = ModelKind(
    name="dlib-recogniser",
    what="dlib's face recogniser",
    use="load it with emorph.models.dlib_net.DlibRecogniser.from_pretrained",
    folder=folder_of(DlibRecogniser),
    save=save_module,
)

SHAPE_NET = ModelKind(
    name="shape-net",
    what="a network that reads a face's shape and expression",
    use="load it with emorph.models.shape_net.ShapeNet.from_pretrained",
    folder=folder_of(ShapeNet),
    save=save_module,
)
