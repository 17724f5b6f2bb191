"""Several sets of faces as one, laid end to end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emorph.core.errors import DataError
from emorph.data.memory import Sample
from emorph.data.store import FaceStore


class JoinedFaces(FaceStore):
    """The faces of several stores, numbered through; each is read as its own store says.

    stores: at least one, all with the same side and channels. Items have what all stores give: landmarks, for one,
    only if every set has them. A set without labels gives faces with the label -1. Names of persons are taken as they
    are: two sets that use one name mean one person.
    """

    def __init__(self, stores: Sequence[FaceStore]) -> None:
        self.stores = tuple(stores)
        self.path = Path(" + ".join(str(store.path) for store in stores))
        self.side_px, self.channels = stores[0].side_px, stores[0].channels
        splits = {store.split for store in stores}
        self.split = splits.pop() if len(splits) == 1 else " + ".join(str(store.split) for store in stores)
        self.window = None
        self.labels = np.concatenate([store.labels for store in stores])
        self.firsts = np.cumsum([0, *(len(store) for store in stores)])
        self._with_landmarks = "landmarks68" in self.columns

    def __getitem__(self, index: int) -> Sample:
        which = int(np.searchsorted(self.firsts, index, side="right")) - 1
        sample = self.stores[which][int(index) - int(self.firsts[which])]
        sample["index"] = torch.tensor(int(index))
        if not self._with_landmarks:
            sample.pop("landmarks", None)
        return sample

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that all stores have."""
        return tuple(name for name in self.stores[0].columns if all(name in store.columns for store in self.stores))

    def of_split(self, split: str) -> FaceStore:
        """The faces of another split of those stores that have it. Raises DataError if none has."""
        found: list[FaceStore] = []
        for store in self.stores:
            try:
                found.append(store.of_split(split))
            except DataError:
                continue
        if not found:
            raise DataError(f"none of the {len(self.stores)} sets has rows of split {split!r}.")
        return JoinedFaces(found)

    def column(self, name: str) -> list[Any]:
        """One column of all stores, end to end. Raises DataError if one lacks it."""
        return [value for store in self.stores for value in store.column(name)]

    def affect(self) -> NDArray[np.float64] | None:
        """Valence and arousal, (n, 2), NaN for the faces of a set without them; None if no set has them."""
        known = [store.affect() for store in self.stores]
        if all(pairs is None for pairs in known):
            return None
        nothing = [np.full((len(store), 2), np.nan) for store in self.stores]
        return np.concatenate([none if pairs is None else pairs for none, pairs in zip(nothing, known, strict=True)])

    def facts(self) -> list[Any]:
        """What the items follow from: the facts of each store."""
        return [store.facts() for store in self.stores]


def stores_of(faces: FaceStore) -> tuple[FaceStore, ...]:
    """The sets that these faces are joined of; one alone is itself."""
    return faces.stores if isinstance(faces, JoinedFaces) else (faces,)
