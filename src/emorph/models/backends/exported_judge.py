"""A folder with the graph of a judge that ``emorph models export`` wrote."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from torch import Tensor

from emorph.core.config import Config
from emorph.core.errors import CheckpointError
from emorph.core.pretrained import read_config
from emorph.models.backends.exported import HEXADECIMAL, MAX_NAME
from emorph.models.backends.graphs import engine, open_graph
from emorph.models.judge import JudgeConfig
from emorph.models.sizes import check_pictures

KIND = "judge-onnx"
JUDGE_FILE = "judge.onnx"


class JudgeExportConfig(Config):
    """What config.json states of an exported judge. model: its sizes; made_from, fingerprint, n_parameters: of it."""

    model: JudgeConfig
    made_from: str = Field(max_length=MAX_NAME)
    fingerprint: str = Field(pattern=f"^{HEXADECIMAL}$")
    n_parameters: int = Field(gt=0)


class ExportedJudge:
    """A judge that is a graph."""

    def __init__(self, folder: Path, backend: str = "onnx") -> None:
        """Raises CheckpointError, MissingAssetError."""
        self.stated = JudgeExportConfig.parse(read_config(folder, KIND), str(folder))
        self.config = self.stated.model
        self._graph = open_graph(folder / JUDGE_FILE, engine(backend))

    def probabilities(self, x: Tensor) -> Tensor:
        """As ``Judge.probabilities``. Raises ShapeError."""
        check_pictures(x, 1, self.config.image_size, "this judge takes float pictures in [-1, 1]")
        found = self._graph.run({"x": x}, ["probabilities"])[0]
        if found.shape != (len(x), len(self.config.labels)):
            raise CheckpointError(f"{JUDGE_FILE} gave {tuple(found.shape)} for {len(x)} faces; export the judge again.")
        return found
