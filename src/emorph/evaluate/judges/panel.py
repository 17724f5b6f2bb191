"""All that a run asks, and what it cannot ask because a file is not here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from emorph.core.errors import DataError, MissingAssetError, UnknownNameError
from emorph.core.loss_networks import LossNetwork, why_unfair
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
from emorph.models.dlib_net import DLIB_DATA, DLIB_NAME, dlib_recogniser
from emorph.models.weights import fingerprint

T = TypeVar("T")


def optional() -> tuple[str, ...]:
    """The large networks that are asked wherever their files are."""
    return (*by_network(), FEATURES)


@dataclass(frozen=True)
class Panel:
    """What is here, and what is not. features: of FID's network, one at most.

    unfair: who is asked although it may not mark these edits, as sentences for the report's first lines.
    tells_emotions: whether the edits ask for any; without, no judge of emotions is asked, and no report misses one.
    """

    judges: tuple[PanelJudge, ...]
    missing: tuple[NotMeasured, ...]
    recognisers: tuple[PanelEncoder, ...] = ()
    face_models: tuple[PanelEncoder, ...] = ()
    features: tuple[PanelEncoder, ...] = ()
    comparers: tuple[PanelComparer, ...] = ()
    unfair: tuple[str, ...] = ()
    tells_emotions: bool = True

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
        ``optional``, the large networks that are skipped even where their files are here. What is not here is
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
        """Raises DataError if a judge was trained on ``split``, say "affectnet/train", which it is asked to judge."""
        for judge in self.asked:
            check_fair(judge.id.partition("@")[0], judge.trained_on, split)

    def without_emotions(self) -> Panel:
        """The panel for edits that all set action units, which no judge of emotions can tell."""
        return replace(self, judges=(), tells_emotions=False)

    def without_loss_givers(self, losses: Sequence[LossNetwork], *, allowed: bool = False) -> Panel:
        """The panel for edits of a model that was trained with these losses; whoever gave one may not mark.

        allowed: whether such a judge is asked all the same; the report then says so in its first lines.
        Raises DataError for a judge that gave a loss, or was trained on the same pictures as one that did.
        """
        if not losses:
            return self
        reasons = [reason for judge in self._markers() if (reason := why_unfair(judge, losses))]
        if reasons and not allowed:
            raise DataError(
                f"{'; '.join(reasons)}: whoever gave the loss may not give the mark. Name another judge (--judge, "
                "--recogniser, --face-model), leave it out (--without), or write --allow-loss-judge, and the report "
                "says so in its first lines."
            )
        told = [f"{reason}: do not read its numbers as a success of these edits." for reason in reasons]
        return replace(self, unfair=tuple(told))

    def _markers(self) -> Iterator[LossNetwork]:
        """All that mark edits, dlib's recogniser too."""
        yield LossNetwork(DLIB_NAME, fingerprint(dlib_recogniser()), DLIB_DATA)
        for asked in self.asked:
            yield LossNetwork(asked.id.partition("@")[0], asked.fingerprint, asked.trained_on)
        for comparer in self.comparers:
            yield LossNetwork(comparer.name)


def _titles(*takes: Takes) -> str:
    """The metrics that a network is needed for."""
    return ", ".join(sorted(row.short for row in metrics(*takes)))
