"""A classifier's fit as a search sees it: codes are read once a process, and each trial fits the layer alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from emorph.core.errors import DataError
from emorph.models.directions import LatentStats
from emorph.train.codes import Codes
from emorph.train.seen import MEASURES, OnSeen, Seen
from emorph.train.tasks.head import HeadConfig
from emorph.train.tasks.head_fit import Point, Watched, fit_head

_codes_read: dict[str, tuple[Codes, Codes]] = {}  # the last ones: a search asks for the same again


def watch_fit(head: HeadConfig, seed: int, key: str, read: Callable[[], tuple[Codes, Codes]], on_seen: OnSeen) -> None:
    """Fit the linear layer, and tell how the held-out faces do at each of its points. Raises DataError.

    read: gives the labelled codes to train and to validate with; key: what they follow from.
    """
    if key not in _codes_read:
        codes = read()
        _codes_read.clear()
        _codes_read[key] = codes
    train, held_out = _codes_read[key]
    if len(held_out.z) < 2:
        raise DataError(f"{len(held_out.z)} held-out faces have a label; the classifier is measured on them.")
    stats = LatentStats(train.z.mean(dim=0), train.z.std(dim=0))
    z, labels = stats.normalise(train.z), held_out.labels.numpy()
    persons = np.arange(len(labels)) if held_out.persons is None else held_out.persons.numpy()

    def see(point: Point, steps: int) -> None:
        right = (point.answers.numpy() == labels).astype(np.float64)
        on_seen(Seen(point.step / steps, point.epoch, point.step, dict.fromkeys(MEASURES, right), labels, persons))

    watched = Watched(stats.normalise(held_out.z), held_out.labels)
    fit_head(head, seed, train.labels, lambda rows: z[rows], watched, see)
