"""Opening a study's folder: everything that could go wrong while people take part is found before anybody comes."""

from __future__ import annotations

from pathlib import Path

from emorph.core.errors import DataError
from emorph.study.allocation import Allocation
from emorph.study.records import PICTURES_FOLDER, read_design, read_trials
from emorph.study.texts import read_words


def check_study(study: Path) -> Allocation:
    """Read a study as ``serve`` does and try its first two rounds. Raises DataError or ConfigError in one sentence."""
    design = read_design(study)
    trials = read_trials(study)
    read_words(design, study)
    for trial in trials:
        for name in (*trial.pictures, *filter(None, (trial.original,))):
            if not (study / PICTURES_FOLDER / name).is_file():
                raise DataError(f"{study / PICTURES_FOLDER / name} is missing; make the study again.")
    allocation = Allocation(design, trials)
    for number in range(2 * max(allocation.n_blocks.values())):
        allocation.screens(number)
    return allocation
