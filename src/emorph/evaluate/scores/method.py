"""All scores of one set of edits: of each judge and recogniser that is there, and every metric as a line."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from emorph.evaluate.judges.panel import Panel
from emorph.evaluate.metrics.takes import Shown
from emorph.evaluate.scores.affect import AffectScores
from emorph.evaluate.scores.emotion import EmotionScores
from emorph.evaluate.scores.evidence import Evidence
from emorph.evaluate.scores.face_models import FaceModelControls, FaceModelScores
from emorph.evaluate.scores.gallery import Gallery
from emorph.evaluate.scores.identity import BY_RECOGNISER, IdentityScores
from emorph.evaluate.scores.line import Line
from emorph.evaluate.scores.pictures import landmark_lines, picture_lines
from emorph.evaluate.scores.sets import set_lines
from emorph.evaluate.scores.tradeoff import Tradeoff


@dataclass(frozen=True)
class MethodScores:
    """All rows of one set: of each judge that is there, of each recogniser, and of both together.

    identities: the first is the one that a report leads with. tradeoffs: as many as emotions, with that identity.
    """

    evidence: Evidence
    panel: Panel
    identities: tuple[IdentityScores, ...]
    emotions: tuple[EmotionScores, ...]
    affects: tuple[AffectScores, ...]
    tradeoffs: tuple[Tradeoff, ...]
    face_models: tuple[FaceModelScores, ...] = ()

    @classmethod
    def of(
        cls, evidence: Evidence, galleries: Sequence[Gallery], controls: Sequence[FaceModelControls], panel: Panel
    ) -> MethodScores:
        """Score one set. galleries, controls: of the photos of all sets."""
        identities = tuple(IdentityScores.of(evidence, gallery) for gallery in galleries)
        emotions = tuple(EmotionScores.of(judge, evidence) for judge in panel.judges)
        return cls(
            evidence,
            panel,
            identities,
            emotions,
            affects=tuple(AffectScores.of(judge, evidence) for judge in panel.judges if judge.has_va),
            tradeoffs=tuple(Tradeoff.of(emotion, identities[0]) for emotion in emotions),
            face_models=tuple(FaceModelScores(model, evidence) for model in controls) if evidence.edits else (),
        )

    @property
    def identity(self) -> IdentityScores:
        """The one that a report leads with."""
        return self.identities[0]

    @functools.cached_property
    def lines(self) -> tuple[Line, ...]:
        """Every metric by everyone who tells it; of recognisers by the one that a report leads with."""
        return tuple(self._lines()) if self.evidence.edits else ()

    @functools.cached_property
    def recogniser_lines(self) -> tuple[tuple[Line, ...], ...]:
        """Of each recogniser, in the order of ``identities``."""
        own = tuple(line for line in self.lines if line.metric.takes in BY_RECOGNISER)
        return (own, *(tuple(identity.lines()) for identity in self.identities[1:]))

    def shown_in(self, table: Shown) -> Iterator[Line]:
        """The lines of a table of a report."""
        return (line for line in self.lines if table in line.metric.tables)

    def _lines(self) -> Iterator[Line]:
        for tradeoff in self.tradeoffs:
            yield from tradeoff.lines()
        for emotion in self.emotions:
            yield from emotion.lines()
        yield from self.identity.lines()
        yield from landmark_lines(self.evidence)
        yield from picture_lines(self.evidence, self.panel.comparers)
        for model in self.face_models:
            yield from model.lines()
        for affect in self.affects:
            yield from affect.lines()
        for network in self.panel.features:
            yield from set_lines(network, self.evidence)
