"""What the task "expression" trains: an autoencoder with its directions, saved as the folder that the editor opens."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from emorph.core.errors import MissingAssetError
from emorph.core.pretrained import MODEL_FILES, atomic_folder
from emorph.models.beside import DIRECTIONS_FOLDER, directions_beside
from emorph.models.diffae import KIND, DiffAE, DiffAEConfig
from emorph.models.directions import Directions
from emorph.models.fitted_on import FITTED_FILE, FittedOn, short_name
from emorph.models.painter import PAINTER_FOLDER
from emorph.models.port import load, read_directions
from emorph.models.shift import ShiftNet
from emorph.models.weights import PretrainedModule

CARD_FILE = "README.md"


class ExpressionModel(PretrainedModule):
    """A diffusion autoencoder and the shift of its code.

    directions: those that it edits by. painter: the folder of the painter that goes with it, or None. card: the text
    that is saved beside it.
    """

    kind = KIND
    config_type = DiffAEConfig
    config: DiffAEConfig

    def __init__(self, config: DiffAEConfig, hidden: int | None) -> None:
        super().__init__()
        self.config = config
        self.autoencoder = DiffAE(config)
        self.shift = ShiftNet(config.z_dim, hidden) if hidden else None
        self.directions: Directions | None = None
        self.painter: Path | None = None
        self.card = ""

    @property
    def losses(self) -> tuple[Mapping[str, Any], ...]:
        """The networks that were asked in losses, see ``DiffAE.losses``."""
        return self.autoencoder.losses

    @losses.setter
    def losses(self, losses: Sequence[Mapping[str, Any]]) -> None:
        self.autoencoder.losses = tuple(losses)

    def shifted(self, z: Tensor, z_to: Tensor, asked: Tensor, strength: Tensor) -> Tensor:
        """z_to with what the shift adds to the step from z, as ``emorph.edit.latent.edited_codes`` adds it.

        z, z_to: (B, z_dim); asked: (B, N_ASKED); strength: (B, 1).
        """
        if self.shift is None or self.directions is None:
            return z_to
        return z_to + self.directions_now().to(z.device).shifted_by(z, asked, strength)

    def directions_now(self) -> Directions:
        """The directions with the shift as it is."""
        assert self.directions is not None
        return self.directions if self.shift is None else replace(self.directions, shift=self.shift.shift)

    def save_pretrained(self, folder: Path | str, *, dtype: torch.dtype = torch.float32) -> None:
        """Write the autoencoder's folder with directions, painter and card; it appears complete or not at all."""
        own = (*MODEL_FILES, DIRECTIONS_FOLDER, PAINTER_FOLDER, CARD_FILE)
        with atomic_folder(Path(folder), own=own) as draft:
            self.autoencoder.save_pretrained(draft, dtype=dtype)
            if self.directions is not None:  # the encoder, which they are of, has not learnt
                fitted = FittedOn(model=short_name(folder), weights=self.autoencoder.encoder_digest).text()
                self.directions_now().save_pretrained(draft / DIRECTIONS_FOLDER, notes={FITTED_FILE: fitted})
            if self.painter is not None:
                shutil.copytree(self.painter, draft / PAINTER_FOLDER)
            if self.card:
                (draft / CARD_FILE).write_text(self.card, encoding="utf-8")

    @classmethod
    def from_pretrained(cls, name: str | Path) -> Self:
        """Any autoencoder, with the directions in its folder. Raises as ``emorph.models.load``."""
        autoencoder = load(name)
        with torch.device("meta"):
            model = cls(autoencoder.config, None)
        model.autoencoder = autoencoder
        model.directions = directions_beside(name)
        if model.directions is not None and model.directions.shift is not None:
            model.shift = ShiftNet.of(model.directions.shift)
        return model


def directions_for(name: str, stated: str | None) -> Directions:
    """The directions that a run edits by: those stated, or those beside its model. Raises MissingAssetError."""
    found = read_directions(stated) if stated else directions_beside(name)
    if found is None:
        raise MissingAssetError(
            f"{name} comes without directions, and an edit needs them: train some with `emorph train run "
            "classifier.toml`, and name their folder as directions."
        )
    return found


def card_of(model: ExpressionModel, *, init: str, data: str, trains: str, weights: Mapping[str, float]) -> str:
    """The text beside a trained model: what it came from, and which networks must not judge it.

    init: the model that it started from. weights: of its losses.
    """
    asked = "\n".join(
        f"- {row['name']} (weights {row['fingerprint']}), trained on {', '.join(row['data']) or 'data not stated'}"
        for row in model.losses
    )
    stated = ", ".join(f"{name} {weight:g}" for name, weight in weights.items() if weight)
    return f"""# An autoencoder trained to edit expressions

Trained by the task `expression` from {Path(init).name} on {Path(data).name}; what learnt: {trains}.
Weights of the losses: {stated}.

These networks were asked in its losses, so none of them may judge its edits:

{asked or "- none"}

It comes under the terms of what it was trained from and on.
"""


def started(name: str, own: ExpressionModel) -> ExpressionModel:
    """Another model's weights as ``own`` takes them: with its own shift where the other has none, for its targets."""
    model = ExpressionModel.from_pretrained(name)
    if own.shift is None:
        model.shift = None
    elif model.shift is None:
        model.shift = ShiftNet.of(own.shift.shift)
    else:
        model.shift.covers = own.shift.covers
    return model
