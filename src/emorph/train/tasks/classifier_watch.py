"""A classifier's fit as a search sees it: codes are read once a process, and each trial fits the layer alone."""

from __future__ import annotations

import numpy as np

from emorph.core.errors import DataError
from emorph.models.directions import LatentStats
from emorph.train.codes import Codes
from emorph.train.config import OnPart
from emorph.train.seen import MEASURES, OnSeen, Seen
from emorph.train.tasks.classifier import ClassifierConfig, encoder_of
from emorph.train.tasks.head import HeadConfig
from emorph.train.tasks.head_fit import Point, Watched, fit_head

_codes_read: dict[str, tuple[Codes, Codes]] = {}  # of the last configuration: a search asks for the same again


def watch_fit(config: ClassifierConfig, on_seen: OnSeen, on_part: OnPart | None = None) -> None:
    """Fit the linear layer, and tell how the held-out faces do at each of its points. Raises DataError."""
    train, held_out = _codes(config, on_part)
    if len(held_out.z) < 2:
        raise DataError(f"{len(held_out.z)} held-out faces have a label; the classifier is measured on them.")
    stats = LatentStats(train.z.mean(dim=0), train.z.std(dim=0))
    z, labels = stats.normalise(train.z), held_out.labels.numpy()
    persons = np.arange(len(labels)) if held_out.persons is None else held_out.persons.numpy()

    def see(point: Point, steps: int) -> None:
        right = (point.answers.numpy() == labels).astype(np.float64)
        on_seen(Seen(point.step / steps, point.epoch, point.step, dict.fromkeys(MEASURES, right), labels, persons))

    watched = Watched(stats.normalise(held_out.z), held_out.labels)
    fit_head(config.head, config.seed, train.labels, lambda rows: z[rows], watched, see)


def _codes(config: ClassifierConfig, on_part: OnPart | None) -> tuple[Codes, Codes]:
    """Labelled codes to train and to validate with; they do not depend on how the layer is fitted."""
    plain = HeadConfig(confounds=config.head.confounds)
    key = config.model_copy(update={"head": plain, "seed": 0, "test": None}).model_dump_json()
    if key not in _codes_read:
        _, _, encoded, _ = encoder_of(config, on_part)
        training = encoded("encoding", config.data.split or "", config.data.mirror)
        held_out = encoded("encoding held-out faces", config.held_out, False)
        _codes_read.clear()
        _codes_read[key] = training.labelled(), held_out.labelled()
    return _codes_read[key]
