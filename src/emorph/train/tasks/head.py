"""The classifier's linear layer: how it is trained, and what else its configuration says of the directions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from emorph.core.config import Config
from emorph.core.expressions import Emotion
from emorph.train.renamed import UNITS, renamed

Balance = Literal["weights", "classes", "none"]
DEFAULT_EPOCHS = 40.0


class HeadConfig(Config):
    """How the linear layer is trained: AdamW over the cached codes.

    epochs, samples, steps: how long, one of the three; 40 epochs if none is stated. A mirror image is a sample, too.
    Files state them in [budget].
    keep: which epoch's layer is kept: the last one's, or the best one's by a measure on the held-out faces.
    balance: how rare emotions come to count as much as common ones: by weights in the loss, by being drawn more often
    (classes: as many draws an epoch as faces, as in [data] of other tasks), or not at all.
    gain, gains: what strength 1 means, in distances between class means, for all emotions and for some by their words;
    stored with the directions. Without a gain it is what brings the landmarks where the class has them, see
    ``emorph.train.tasks.dose``.
    confounds: columns of the data set whose differences are no expression (such as where a picture comes from); they
    are taken out of the class means, as light and head pose always are.
    lips: the gap between the inner lips, in distances between the eyes, that some emotions are to have by their words.
    Their edits then close a broad smile as they close a small one, and open a mouth no further.
    dose: on so many neutral and so many happy training faces, all gains that are not stated are chosen so that edits
    are recognised and the person stays, see ``emorph.train.tasks.dose``; 0 leaves them as the landmarks ask.
    units: by an emotion's word, how much of its step its action units say, from 0 (the class mean alone) to 1: for
    emotions of which there are few faces, or only faces of other people. Needs ICT-FaceKit's model.
    landmark_ridge: of the linear map from codes to landmarks, which data sets with landmarks give.
    """

    epochs: float | None = Field(None, gt=0)
    samples: int | None = Field(None, gt=0)
    steps: int | None = Field(None, gt=0)
    keep: Literal["last", "mean_recall", "accuracy"] = "mean_recall"
    batch_size: int = Field(256, gt=0)
    lr: float = Field(3e-3, gt=0)
    weight_decay: float = Field(0.1, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    balance: Balance = "weights"
    gain: float | None = Field(None, gt=0)
    gains: dict[str, Annotated[float, Field(gt=0)]] = Field({})
    confounds: tuple[str, ...] = ()
    lips: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field({})
    units: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field({})
    dose: int = Field(0, ge=0)
    landmark_ridge: float = Field(30.0, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _as_long_as_usual(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        stated = [unit for unit in UNITS if values.get(unit) is not None]
        if len(stated) > 1:
            raise ValueError(f"state one of samples, steps and epochs; found {' and '.join(stated)}")
        return values if stated else {**values, "epochs": DEFAULT_EPOCHS}

    @field_validator("balance", mode="before")
    @classmethod
    def _renamed(cls, value: object) -> object:
        return renamed("head.balance", value)

    @field_validator("gains", "lips", "units")
    @classmethod
    def _known(cls, by_word: dict[str, float]) -> dict[str, float]:
        words = [emotion.word for emotion in Emotion]
        if unknown := sorted(set(by_word) - set(words)):
            raise ValueError(f"{unknown[0]!r} is not an emotion; known are {', '.join(words)}")
        return by_word
