"""What there is to train: one file a task, one line in this table."""

from emorph.train.plan import RunConfig
from emorph.train.tasks.autoencoder import AutoencoderConfig
from emorph.train.tasks.judge import JudgeRunConfig

CONFIGS: dict[str, type[RunConfig]] = {"autoencoder": AutoencoderConfig, "judge": JudgeRunConfig}
