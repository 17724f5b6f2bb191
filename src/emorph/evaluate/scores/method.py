"""All scores of one set of edits."""

from __future__ import annotations

from dataclasses import dataclass

from emorph.evaluate.scores.affect import AffectScores
from emorph.evaluate.scores.emotion import EmotionScores
from emorph.evaluate.scores.evidence import Evidence
from emorph.evaluate.scores.face_models import FaceModelScores
from emorph.evaluate.scores.identity import IdentityScores
from emorph.evaluate.scores.sets import SetScores
from emorph.evaluate.scores.tradeoff import Tradeoff


@dataclass(frozen=True)
class MethodScores:
    """All rows of one set: of each judge that is there, of each recogniser, and of both together.

    identities: the first is the one that a report leads with. tradeoffs: as many as emotions, with that identity.
    """

    evidence: Evidence
    identities: tuple[IdentityScores, ...]
    emotions: tuple[EmotionScores, ...]
    affects: tuple[AffectScores, ...]
    tradeoffs: tuple[Tradeoff, ...]
    face_models: tuple[FaceModelScores, ...] = ()
    sets: tuple[SetScores, ...] = ()

    @property
    def identity(self) -> IdentityScores:
        """The one that a report leads with."""
        return self.identities[0]
