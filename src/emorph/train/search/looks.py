"""What each trial of a search saw of the validation faces, in a file of its own."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emorph.core.files import NPZ_ERRORS, replace_file
from emorph.train.seen import Seen, measure_of


@dataclass
class Looks:
    """The looks of one trial, in order of their steps. seen: as a task told them."""

    seen: list[Seen] = field(default_factory=list)

    def add(self, seen: Seen) -> bool:
        """Take a look; False if it was taken before, by a process that was killed."""
        if any(old.step == seen.step for old in self.seen):
            return False
        self.seen = sorted([*self.seen, seen], key=lambda one: one.step)
        return True

    def values(self, measure: str) -> list[float]:
        """The measure at each look."""
        return [seen.values()[measure] for seen in self.seen]

    def best(self, measure: str) -> int | None:
        """The look with the best value, the first of equals; None without one."""
        values = np.array(self.values(measure))
        if not len(values) or not np.isfinite(values).any():
            return None
        return int(np.nanargmax(values) if measure_of(measure).higher else np.nanargmin(values))

    def write(self, path: Path) -> None:
        """Write all looks; the file appears whole."""
        last = self.seen[-1]
        arrays: dict[str, NDArray[np.generic]] = {
            "share": np.array([seen.share for seen in self.seen]),
            "epoch": np.array([seen.epoch for seen in self.seen]),
            "step": np.array([seen.step for seen in self.seen]),
            "labels": last.labels,
            "persons": last.persons,
        }
        for name in last.faces:
            arrays[f"faces.{name}"] = np.stack([seen.faces[name] for seen in self.seen]).astype(np.float32)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        replace_file(path, buffer.getvalue())

    @classmethod
    def read(cls, path: Path) -> Looks:
        """Those of a file; none if there is no file, or a damaged one."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {key: stored[key] for key in stored.files}
        except NPZ_ERRORS:
            return cls()
        names = [key.removeprefix("faces.") for key in arrays if key.startswith("faces.")]
        return cls(
            [
                Seen(
                    float(arrays["share"][i]),
                    float(arrays["epoch"][i]),
                    int(arrays["step"][i]),
                    {name: arrays[f"faces.{name}"][i].astype(np.float64) for name in names},
                    arrays["labels"],
                    arrays["persons"],
                )
                for i in range(len(arrays["step"]))
            ]
        )
