"""What a run of expression editing states: its start, its targets, its losses and the networks that they ask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import nn

from emorph.core.commands import command
from emorph.core.config import Config
from emorph.core.device import choose_device
from emorph.core.errors import ConfigError, DataError, MissingAssetError
from emorph.core.expressions import Emotion
from emorph.core.types import OnStep, Target
from emorph.data.store import FaceStore
from emorph.models.diffae import DiffAEConfig
from emorph.models.directions import Directions, LatentStats
from emorph.models.port import autoencoder_config, load
from emorph.models.shift import asked_for
from emorph.train.config import RunConfig, existing_below
from emorph.train.tasks.expression_edit import FacesToEdit
from emorph.train.tasks.expression_loss import ExpressionLoss, LossesConfig, PicturesConfig, Trains
from emorph.train.tasks.expression_model import ExpressionModel
from emorph.train.tasks.expression_networks import AUTO, AskedNetwork, Frozen, named_shape, open_network
from emorph.train.tasks.expression_noise import CACHE_FOLDER, invert_share
from emorph.train.tasks.mean_face import mean_faces

FAR = 0.7  # deviations; of its own directions' mean, emorph-base puts the faces of four packs at 0.13 to 0.52


class TargetsConfig(Config):
    """What is asked of a face in training.

    by: emotion draws one that the face does not show; affect draws valence and arousal, each evenly from [-1, 1].
    emotions: words; by default all that the directions and a network of the losses know. strength: least and most,
    drawn evenly.
    """

    by: Literal["emotion", "affect"] = "emotion"
    emotions: tuple[str, ...] = ()
    strength: tuple[float, float] = (0.5, 1.0)

    @model_validator(mode="after")
    def _is_asked(self) -> Self:
        low, high = self.strength
        if not 0 < low <= high:
            raise ValueError(f"strength goes from the least, above 0, to the most; found {low:g} to {high:g}")
        for word in self.emotions:
            Emotion.parse(word)
        return self

    def drawn(self, seed: int, label: int, known: Sequence[Emotion]) -> Target:
        """A target that follows from a seed. label: the emotion that the face shows, -1 for none that is known."""
        generator = torch.Generator().manual_seed(seed)
        first, second, third = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
        strength = self.strength[0] + third * (self.strength[1] - self.strength[0])
        if self.by == "affect":
            return Target(None, strength, 2 * first - 1, 2 * second - 1)
        others = [emotion for emotion in known if emotion != label]
        return Target(others[int(first * len(others))], strength)


class ExpressionSettings(RunConfig):
    """A training run of expression editing.

    init: the autoencoder that it starts from. model: its sizes, read off init if left out. directions: a folder or an
    official classifier, by default those beside init. trains: the U-Net, the code's shift (a small network from z_sem,
    target and strength to a step), or both. shift_hidden: numbers in the middle of that small network. shift_within:
    known keeps its steps within what the directions know of expressions, where they change the person less.
    """

    names_of_models = ("init", "directions")
    preparing: ClassVar[str] = "inverting faces"
    unusable: ClassVar[str] = "are not labelled with an emotion"

    task: Literal["expression"] = "expression"
    model: DiffAEConfig | None = None
    directions: str | None = None
    trains: Trains = "unet"
    directions_within: float = Field(
        FAR,
        gt=0,
        description="How far the mean z_sem of the faces may lie from that of the directions, in deviations; beyond it "
        "they are taken for another model's, and refused.",
    )
    shift_hidden: int = Field(256, gt=0, le=4096, description="Hidden numbers of the network of the code's shift.")
    shift_within: Literal["known", "all"] = Field(
        "known",
        description="Where a new shift of the code may go: along what the directions know of expressions, or anywhere.",
    )
    pictures: PicturesConfig = PicturesConfig()
    targets: TargetsConfig = TargetsConfig()
    losses: LossesConfig = LossesConfig()

    @model_validator(mode="before")
    @classmethod
    def _balanced(cls, values: Any) -> Any:
        """Every emotion as often as the others, where nothing else is said."""

        def evened(data: Any) -> Any:
            stated = not isinstance(data, dict) or "balance" in data or data.get("class_power")
            return data if stated else {**data, "balance": "classes"}

        if not isinstance(values, dict) or "data" not in values:
            return values
        data = values["data"]
        return {**values, "data": [*map(evened, data)] if isinstance(data, list) else evened(data)}

    @model_validator(mode="after")
    def _has_something_to_do(self) -> Self:
        if not self.init:
            raise ValueError("expression editing starts from an autoencoder: set init to its folder or name")
        if not self.losses.edits and (self.trains != "unet" or not self.losses.reconstruction):
            raise ValueError(f"with these losses there is nothing that trains = {self.trains!r} could learn from")
        return self

    @property
    def start_model(self) -> str:
        """``init``, which this task always has."""
        assert self.init is not None
        return self.init

    @property
    def sizes(self) -> DiffAEConfig:
        """Of the autoencoder. Raises MissingAssetError, CheckpointError."""
        return self.model or autoencoder_config(self.start_model)

    @property
    def picture(self) -> tuple[int, int]:
        sizes = self.sizes
        return sizes.image_size, sizes.image_channels

    @property
    def cache(self) -> Path:
        """Where x_T are kept, beside the run."""
        return Path(self.out).parent / CACHE_FOLDER

    @property
    def chains(self) -> bool:
        """Whether x_T of the faces are needed."""
        return self.pictures.way == "chain" and self.losses.edits

    def new_model(self) -> ExpressionModel:
        return ExpressionModel(self.sizes, None if self.trains == "unet" else self.shift_hidden)

    def prepare(self, faces: FaceStore, share: tuple[int, int], on_step: OnStep | None) -> None:
        if self.chains:
            model = load(self.start_model).to(choose_device())
            invert_share(
                model,
                faces,
                self.pictures,
                self.cache,
                share,
                mirror=self.data.mirror,
                workers=self.data.workers,
                on_step=on_step,
            )

    def loss_for(self, model: ExpressionModel, *, blank: bool = False) -> ExpressionLoss:
        """The losses of a model. blank: ask networks of random weights, for a trial. Raises as ``open_network``."""
        asked, crop = self.losses, model.config.crop
        emotion = [open_network(name, "emotion", blank=blank) for name in asked.emotion_networks if asked.expression]
        shape = self._shape_network(blank=blank) if asked.shape else None
        identity = open_network(asked.identity_network, "identity", blank=blank) if asked.identity else None
        for network in (*emotion, shape, identity):
            if network is not None:
                network.check_crop(crop)
        return ExpressionLoss(
            model,
            trains=self.trains,
            pictures=self.pictures,
            losses=asked,
            weight=self.optim.loss_weight,
            emotion=[Frozen(network, crop) for network in emotion],
            shape=Frozen(shape, crop) if shape else None,
            identity=Frozen(identity, crop) if identity else None,
        )

    def _shape_network(self, *, blank: bool) -> AskedNetwork:
        name = self.losses.shape_network
        if name == AUTO:
            name = "deca" if blank else named_shape(name)
        return open_network(name, "shape", blank=blank)

    @property
    def runs_on_shapes(self) -> bool:
        return self.pictures.way != "edit"  # what moves there is told by the landmarks' numbers

    def trial(self, n: int) -> tuple[nn.Module, FacesToEdit]:
        model = self.new_model()
        z_dim, (side, channels) = model.config.z_dim, self.picture
        stats = LatentStats(torch.zeros(z_dim), torch.ones(z_dim))
        model.directions = Directions(
            torch.zeros(1, z_dim), torch.zeros(1), ("happy",), stats, landmarks=torch.zeros(68, 2, z_dim)
        )
        x, z = torch.zeros(n, channels, side, side), torch.zeros(n, z_dim)
        asked, strength = asked_for(Target(Emotion.HAPPY)).expand(n, -1), torch.ones(n, 1)
        faces = FacesToEdit(x, x, z, z, asked, strength, mean_faces(n), torch.zeros(n, dtype=torch.int64), x)
        return self.loss_for(model, blank=True), faces

    def closing_report(self, model: Path) -> Sequence[str]:
        return (f"Edit with it: {command('edit', 'PHOTO', '--to', 'happy', '--model', model)}",)

    def placed(self, base: Path) -> Self:
        """The same with absolute paths, relative ones starting at ``base``, and settled which network "auto" is."""
        config = super().placed(base)
        asked = config.losses
        try:
            of_shape = named_shape(asked.shape_network) if asked.shape else asked.shape_network
        except MissingAssetError:  # a plan can do without; a run says so
            of_shape = asked.shape_network
        named = {
            "emotion_networks": tuple(existing_below(base, name) for name in asked.emotion_networks),
            "shape_network": existing_below(base, of_shape) if of_shape != AUTO else AUTO,
            "identity_network": existing_below(base, asked.identity_network) if asked.identity_network else "",
        }
        return config.model_copy(update={"losses": asked.model_copy(update=named)})


def known_targets(config: ExpressionSettings, directions: Directions, loss: ExpressionLoss) -> list[Emotion]:
    """The emotions that are asked for: those of the configuration, or all that directions and losses know.

    Raises ConfigError if a face could not be asked for any other than its own.
    """
    from emorph.edit.latent import check_known, editable

    stated = [Emotion.parse(word) for word in config.targets.emotions]
    check_known(directions, [Target(emotion) for emotion in stated])
    networks = [part.network for part in loss.emotion if isinstance(part, Frozen)]
    told = {emotion for network in networks for emotion in network.emotions}
    found = [emotion for emotion in stated or editable(directions) if not networks or emotion in told]
    if len(found) < 2:
        names = ", ".join(network.name for network in networks)
        raise ConfigError(
            f"the directions and {names or 'the targets'} have {len(found)} emotions in common, and an edit needs two: "
            "choose another network for losses.emotion_networks, or other targets.emotions."
        )
    return found


def check_affect(directions: Directions, loss: ExpressionLoss) -> None:
    """Raises ConfigError where valence and arousal are asked for and a network or the directions know neither."""
    networks = [part.network for part in loss.emotion if isinstance(part, Frozen)]
    without = [network.name for network in networks if not network.has_affect]
    if without or directions.affect is None:
        who = without[0] if without else "this set of directions"
        raise ConfigError(
            f'targets.by = "affect" asks for valence and arousal, which {who} does not know: take emonet_8, and '
            "directions trained on faces with these columns."
        )


def check_labels(labels: NDArray[np.int64] | None, source: str) -> NDArray[np.bool_]:
    """Which faces have a label, bool (n,). Raises DataError if none has."""
    known = np.zeros(0, np.bool_) if labels is None else labels >= 0
    if not known.any():
        raise DataError(
            f"no face of {source} is labelled with an emotion, and a step asks for another than a face shows: take a "
            'labelled set, or targets.by = "affect".'
        )
    return known
