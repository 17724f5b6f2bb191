"""The kind of the painter of mouths, which comes as a folder of ours only."""

from __future__ import annotations

from pathlib import Path

from emorph.core.pretrained import read_config
from emorph.models import painter
from emorph.models.kinds.kind import Facts, FolderForm, ModelKind, save_module
from emorph.models.painter import Painter, PainterConfig


def _facts(folder: Path) -> Facts:
    return Facts(PainterConfig.parse(read_config(folder, painter.KIND), str(folder)))


PAINTER = ModelKind(
    name="painter",
    what="a painter of mouths",
    use="put it into an editor's model folder, as the folder painter",
    folder=FolderForm(painter.KIND, Painter.from_pretrained, _facts),
    save=save_module,
)
