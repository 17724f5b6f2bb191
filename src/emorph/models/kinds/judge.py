"""The kind of the judge, which comes as a folder of ours only."""

from __future__ import annotations

from pathlib import Path

from emorph.core.pretrained import read_config
from emorph.models import judge
from emorph.models.judge import Judge, JudgeConfig
from emorph.models.kinds.kind import Facts, FolderForm, ModelKind, save_module


def _facts(folder: Path) -> Facts:
    config = JudgeConfig.parse(read_config(folder, judge.KIND), str(folder))
    return Facts(config, config.labels)


JUDGE = ModelKind(
    name="judge",
    what="a judge of expressions",
    use="load it with emorph.models.judge.Judge.from_pretrained",
    folder=FolderForm(judge.KIND, Judge.from_pretrained, _facts, Judge),
    save=save_module,
)
