"""Several sets in one run: the blocks ``[[data]]`` of a training task's TOML file, beside the plain ``[data]``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Discriminator, RootModel, Tag, model_validator

from emorph.data.joined import JoinedFaces
from emorph.data.store import FaceStore
from emorph.train.sections import DataConfig


class MixedData(RootModel[tuple[DataConfig, ...]]):
    """Sets that a run draws from together: each block of ``[[data]]`` is one, and is read and balanced as it says.

    weight, stated in all blocks or in none, shares out the samples: 1 and 3 are a quarter and three quarters. Without
    weights every set gives as much as one round of it holds, as if all lay in one folder. What tasks read of ``[data]``
    is here, too: of all sets where they agree, in words where they may differ.
    """

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="after")
    def _agree(self) -> MixedData:
        if not self.root:
            raise ValueError("name at least one set")
        weighted = [one.weight is not None for one in self.root]
        if any(weighted) and not all(weighted):
            missing = weighted.index(False) + 1
            raise ValueError(f"state weight in every [[data]] block or in none; block {missing} has none")
        if len({one.mirror for one in self.root}) > 1:
            raise ValueError("mirror is true in some [[data]] blocks and false in others; a run has one of the two")
        return self

    def __len__(self) -> int:
        return len(self.root)

    @property
    def sets(self) -> tuple[DataConfig, ...]:
        """The blocks, in order."""
        return self.root

    @property
    def path(self) -> str:
        """The paths, in words."""
        return " + ".join(one.path for one in self.root)

    @property
    def split(self) -> str | None:
        """The split that all sets are of; where they differ, in words."""
        names = dict.fromkeys(one.split for one in self.root)
        return next(iter(names)) if len(names) == 1 else " + ".join(str(name) for name in names)

    @property
    def mirror(self) -> bool:
        """As in all sets."""
        return self.root[0].mirror

    @property
    def workers(self) -> int:
        """The most that a set asks for."""
        return max(one.workers for one in self.root)

    @property
    def balance(self) -> str:
        """What each set asks for, in words; "none" where none asks for anything."""
        words = [f"class_power {one.class_power:g}" if one.class_power else one.balance for one in self.root]
        return " + ".join(words) if set(words) != {"none"} else "none"

    @property
    def class_power(self) -> float:
        """0: ``balance`` says it all."""
        return 0.0

    @property
    def assumed_faces(self) -> int | None:
        """How many are assumed in all, of the sets that assume a number."""
        stated = [one.assumed_faces for one in self.root if one.assumed_faces is not None]
        return sum(sum(n.values()) if isinstance(n, dict) else n for n in stated) if stated else None

    def open(self, side_px: int, channels: int) -> FaceStore:
        """The faces of all sets. Raises DataError."""
        return JoinedFaces([one.open(side_px, channels) for one in self.root])

    def with_split(self, split: str) -> MixedData:
        """The same on another split of every set."""
        return MixedData(tuple(one.with_split(split) for one in self.root))

    def below(self, base: Path) -> MixedData:
        """The same with absolute paths, relative ones starting at ``base``."""
        return MixedData(tuple(one.below(base) for one in self.root))

    def is_there(self) -> bool:
        """Whether all sets can be opened."""
        return all(one.is_there() for one in self.root)


def sets_of(data: DataConfig | MixedData) -> Sequence[DataConfig]:
    """The sets, one or several."""
    return data.sets if isinstance(data, MixedData) else (data,)


def _how_many(value: Any) -> str:
    return "<several>" if isinstance(value, (list, tuple, MixedData)) else "<one>"


AnyData = Annotated[
    Annotated[DataConfig, Tag("<one>")] | Annotated[MixedData, Tag("<several>")], Discriminator(_how_many)
]
"""``[data]`` or ``[[data]]``; the tags' brackets keep them out of error messages (``emorph.core.config``)."""
