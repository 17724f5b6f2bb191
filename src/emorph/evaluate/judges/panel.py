"""All that a run asks, and what it cannot ask because a file is not here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from emorph.core.errors import MissingAssetError, UnknownNameError
from emorph.evaluate.judges.asked import NotMeasured, PanelComparer, PanelEncoder, PanelJudge
from emorph.evaluate.judges.cards import check_fair
from emorph.evaluate.judges.open_networks import (
    FEATURES,
    load_comparer,
    load_face_model,
    load_features,
    load_judge,
    load_recogniser,
)
from emorph.evaluate.metrics.table import by_network, metrics
from emorph.evaluate.metrics.takes import Takes

T = TypeVar("T")


def optional() -> tuple[str, ...]:
    """The large networks that are asked wherever their files are."""
    return (*by_network(), FEATURES)


@dataclass(frozen=True)
class Panel:
    """What is here, and what is not. features: of FID's network, one at most."""

    judges: tuple[PanelJudge, ...]
    missing: tuple[NotMeasured, ...]
    recognisers: tuple[PanelEncoder, ...] = ()
    face_models: tuple[PanelEncoder, ...] = ()
    features: tuple[PanelEncoder, ...] = ()
    comparers: tuple[PanelComparer, ...] = ()

    @property
    def asked(self) -> tuple[PanelJudge | PanelEncoder, ...]:
        """All that look at one face."""
        return (*self.judges, *self.recognisers, *self.face_models, *self.features)

    @classmethod
    def load(
        cls,
        names: Sequence[str],
        recognisers: Sequence[str] = (),
        face_models: Sequence[str] = (),
        *,
        without: Sequence[str] = (),
        threads: int = 0,
    ) -> Panel:
        """What is asked besides dlib's network and plain geometry, which always are.

        names: of judges; recognisers, face_models: of these; see ``emorph.evaluate.open_panel``. without: of
        ``optional``, the large networks that shall not be asked even where their files are here. What is not here is
        listed as missing. Raises UnknownNameError for a name that means nothing, CheckpointError for a damaged file,
        DataError for a wrong card.
        """
        for name in without:
            if name not in optional():
                raise UnknownNameError("measure", name, optional())
        missing: list[NotMeasured] = []

        def loaded(names: Sequence[str], load: Callable[[str], T], tells: str = "") -> tuple[T, ...]:
            found = []
            for name in dict.fromkeys(names):
                title = f"{tells} ({name})" if tells else name
                if name in without:
                    missing.append(NotMeasured(title, "not measured: left out by --without."))
                    continue
                try:
                    found.append(load(name))
                except MissingAssetError as error:
                    missing.append(NotMeasured(title, f"not measured: {error}"))
            return tuple(found)

        return cls(
            judges=loaded(names, lambda name: load_judge(name, threads)),
            recognisers=loaded(recognisers, lambda name: load_recogniser(name, threads)),
            face_models=loaded(face_models, load_face_model, _titles(Takes.SHAPE, Takes.EXPRESSION, Takes.POSE)),
            features=loaded([FEATURES], lambda _: load_features(), _titles(Takes.FEATURE_SETS)),
            comparers=loaded(list(by_network()), load_comparer),
            missing=tuple(missing),
        )

    def refuse_unfair(self, split: str) -> None:
        """Raises DataError if a judge was trained on ``split``, say "affectnet/train", which it shall judge."""
        for judge in self.asked:
            check_fair(judge.id.partition("@")[0], judge.trained_on, split)


def _titles(*takes: Takes) -> str:
    """The metrics that a network is needed for."""
    return ", ".join(sorted(row.short for row in metrics(*takes)))
