"""The kinds of exported graphs, which come as folders of ``emorph models export`` only."""

from __future__ import annotations

from pathlib import Path

from emorph.core.pretrained import read_config
from emorph.models.backends import exported, exported_judge
from emorph.models.backends.exported import ExportConfig, read_exported
from emorph.models.backends.exported_judge import ExportedJudge, JudgeExportConfig
from emorph.models.kinds.kind import Facts, FolderForm, ModelKind


def _autoencoder_facts(folder: Path) -> Facts:
    stated = ExportConfig.parse(read_config(folder, exported.KIND), str(folder))
    return Facts(stated.model, n_parameters=stated.n_parameters)


def _judge_facts(folder: Path) -> Facts:
    stated = JudgeExportConfig.parse(read_config(folder, exported_judge.KIND), str(folder))
    return Facts(stated.model, stated.model.labels, stated.n_parameters)


EXPORTED_AUTOENCODER = ModelKind(
    name="exported-autoencoder",
    what="an autoencoder's graphs",
    use="edit with it: --backend onnx or --backend openvino",
    folder=FolderForm(
        exported.KIND,
        lambda folder: read_exported(folder, "onnx"),
        _autoencoder_facts,
        weights_file=exported.UNET_FILE,
    ),
)

EXPORTED_JUDGE = ModelKind(
    name="exported-judge",
    what="a judge's graph",
    use="ask it: emorph evaluate --judge FOLDER",
    folder=FolderForm(exported_judge.KIND, ExportedJudge, _judge_facts, weights_file=exported_judge.JUDGE_FILE),
)
