"""The task "expression" as the training loop sees it: how faces, targets and starts are drawn, and its sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from emorph.core.errors import CheckpointError, ConfigError, DataError
from emorph.core.expressions import Emotion
from emorph.core.images import unit_range
from emorph.core.types import AlignedFace, Landmarks, Target
from emorph.data.store import FaceStore
from emorph.edit.codec import Codec
from emorph.edit.latent import edited_codes, landmark_steps
from emorph.edit.redraw import motions, move_crops
from emorph.face3d.camera import screen_to_pixels
from emorph.models.beside import fit_note, losses_of
from emorph.models.diffae import DiffAE
from emorph.models.directions import Directions, known_axes
from emorph.models.painter import painter_folder
from emorph.models.port import load
from emorph.models.shift import CodeShift, ShiftNet, asked_for, covering
from emorph.train.sheets import N_STEPS, Sheet, Shown, sheet_of
from emorph.train.task import Task, check_started, hash_seed
from emorph.train.tasks.autoencoder import Batch, device_noise, flip_and_step, mirrored
from emorph.train.tasks.expression_edit import FacesToEdit
from emorph.train.tasks.expression_loss import ExpressionLoss
from emorph.train.tasks.expression_model import (
    ExpressionModel,
    card_of,
    directions_for,
    started,
)
from emorph.train.tasks.expression_noise import NAMES, KeptNoise, MadeNoise, NoisyFaces, inverted, noise_folder
from emorph.train.tasks.expression_settings import ExpressionSettings, check_affect, check_labels, known_targets

N_CHECKED = 64  # faces whose z_sem tell whether the directions are of this model


class ExpressionTask(Task[ExpressionModel]):
    """Faces, and for each a target that it does not show, edited as the editor edits."""

    model: ExpressionModel
    loss: ExpressionLoss

    def __init__(self, config: ExpressionSettings, faces: Dataset[Any]) -> None:
        self.config, self.faces = config, faces
        found = directions_for(config.start_model, config.directions)
        self.model = self._model(found)
        self.loss = config.loss_for(self.model)
        self.directions = self.model.directions = replace(found, shift=None)
        self._describe()
        self.known: list[Emotion] = []
        if config.targets.by == "affect":
            check_affect(found, self.loss)
        else:
            self.known = known_targets(config, found, self.loss)
            self.usable = check_labels(getattr(faces, "labels", None), config.data.path)
        if config.trains != "unet" and self.model.shift is not None:
            self.model.shift.covers = self._covered(found.shift)
        self.watched = {"shift": self.model.shift} if config.trains != "unet" and self.model.shift else {}
        self.mirror = config.data.mirror
        self.moves = config.pictures.way == "one_step" and config.pictures.move and found.landmarks is not None
        if config.pictures.way == "edit" and found.landmarks is None:
            raise ConfigError(
                'pictures.way = "edit" needs directions that know landmarks, and those of '
                f"{config.directions or config.init} do not: take one_step or chain, or train directions on faces with "
                "landmarks."
            )
        if config.losses.edits and "landmarks" not in faces[0]:
            raise DataError(
                f"the losses find a face by its landmarks, but {config.data.path} has no column 'landmarks68'; prepare "
                "it again with emorph data prepare."
            )
        if config.chains:
            self.items = NoisyFaces(faces, self._noise(), mirror=self.mirror)

    def _model(self, found: Directions) -> ExpressionModel:
        config = self.config
        learns = config.trains != "unet"
        model = ExpressionModel(config.sizes, config.shift_hidden if learns else None)
        if found.shift is not None:
            model.shift = ShiftNet.of(found.shift)
        elif model.shift is not None and config.shift_within == "known":
            model.shift.axes = known_axes(found)
        if found.weight.shape[1] != model.config.z_dim:
            raise CheckpointError(
                f"the directions are for z_sem of {found.weight.shape[1]} numbers, but {config.start_model} has "
                f"{model.config.z_dim}: they are another model's; name its own as directions."
            )
        model.painter = painter_folder(config.start_model)
        return model

    def _covered(self, shift: CodeShift | None) -> Tensor | None:
        """What the shift will have been trained to be asked, and the one that it goes on from before it."""
        if shift is not None and shift.covers is None:
            return None
        targets = [Target(emotion) for emotion in self.known] or [Target(None, 1.0, 1.0, 1.0)]
        return covering(None if shift is None else shift.covers, targets)

    def _noise(self) -> KeptNoise | MadeNoise:
        config = self.config
        model = load(config.start_model)
        if isinstance(self.faces, FaceStore):
            return KeptNoise(noise_folder(model, self.faces, config.pictures, config.cache))
        return inverted(model, self.faces, config.pictures, mirror=self.mirror)

    def start(self, name: str) -> ExpressionModel:
        """Any autoencoder. Raises ConfigError for another prediction, tone or crop, CheckpointError for directions that
        are not its own.
        """
        model = started(name, self.model)
        check_started(model.config, self.model.config, ("prediction", "tone", "crop"), name)
        fit_note(name, model.autoencoder, self.config.directions)
        config = self.config
        named = config.directions or name
        check_directions(model.autoencoder, self.directions, self.faces, named, config.directions_within)
        return model

    def draw(self, items: Mapping[str, Tensor], seeds: Sequence[int], device: torch.device) -> FacesToEdit:
        """Faces, half of them mirrored, their starts, codes, targets, time steps and noise."""
        model = self.model.autoencoder
        flips, steps = zip(*(flip_and_step(seed, model.diffusion.n_train_steps) for seed in seeds), strict=True)
        flip = (torch.tensor(flips) & self.mirror).to(device)
        x = unit_range(items["image"].to(device, non_blocking=True))
        points = items["landmarks"].to(device) if "landmarks" in items else x.new_zeros(len(x), 68, 2)
        batch = mirrored(Batch(x, items["label"], points), flip)
        assert batch.landmarks is not None
        targets = [
            self.config.targets.drawn(hash_seed(seed, 2), int(label), self.known)
            for seed, label in zip(seeds, items["label"], strict=True)
        ]
        asked = torch.stack([asked_for(target) for target in targets]).to(device)
        strength = torch.tensor([[target.strength] for target in targets], device=device)
        with torch.no_grad():
            x0 = model.tone(batch.x0).take_off(batch.x0)
            z = model.encode(x0)
            directions = self.directions.to(device)
            rows = [edited_codes(z[i : i + 1], directions, [target])[:, 0] for i, target in enumerate(targets)]
            z_to = torch.cat(rows)
            start = x0
            if self.config.chains:
                x_T = items[NAMES[0]].to(device).float()
                turned = items[NAMES[1]].to(device).float() if self.mirror else x_T
                start = torch.where(flip[:, None, None, None], turned, x_T)
            elif self.moves and self.config.losses.edits:
                z_seen = self.model.shifted(z, z_to, asked, strength)
                start = moved(x0, batch.landmarks, landmark_steps(z, z_seen, directions))
        noise = torch.stack([device_noise(seed, x.shape[1:], device) for seed in seeds])
        t = torch.tensor(steps, device=device)
        return FacesToEdit(batch.x0, start, z, z_to, asked, strength, batch.landmarks, t, noise)

    def sheet(self, model: ExpressionModel, shown: Shown) -> Sheet:
        """Each face, its reconstruction, and its edits at strength 1 by z_sem alone."""
        x = unit_range(shown.images.to(model.autoencoder.rates.device))
        tone = model.autoencoder.tone(x)
        seen = tone.take_off(x)
        z = model.autoencoder.encode(seen)
        codec = Codec(model.autoencoder, steps=N_STEPS, solver_name="dpm")
        x_T = codec.invert(seen, z)
        targets = [Target(emotion) for emotion in self.known] or [Target(None, 1.0, v, 0.0) for v in (-0.7, 0.7)]
        z_to = edited_codes(z, model.directions_now().to(x.device), targets)
        columns = [codec.decode(x_T, z), *(codec.decode(x_T, z_to[:, i]) for i in range(len(targets)))]
        titles = ("Original", "Reconstruction", *(target.title for target in targets))
        return sheet_of([x, *map(tone.put_back, columns)], titles, n_fixed=1)

    def _describe(self) -> None:
        """Have the model say which networks are asked, and which were in earlier runs."""
        config = self.config
        rows = [*losses_of(config.start_model), *self.loss.facts()]
        self.model.losses = list({(row["name"], row["fingerprint"]): row for row in rows}.values())
        self.model.card = card_of(
            self.model,
            init=config.start_model,
            data=config.data.path,
            trains=config.trains,
            weights=config.losses.weights,
        )


def moved(x0: Tensor, points: Tensor, steps: Tensor) -> Tensor:
    """Faces moved to where their landmarks go, as the editor moves them.

    x0: (B, C, S, S); points: (B, 68, 2) in [-1, 1]; steps: (B, 68, 2) in half sides.
    """
    side = x0.shape[-1]
    at = screen_to_pixels(points, (side, side)).cpu().numpy()
    nothing = np.zeros((side, side, 3), np.uint8)
    faces = [AlignedFace(nothing, np.eye(3), Landmarks(own, (0, 0, side, side), 1.0)) for own in at]
    return move_crops(x0, motions(faces, steps[:, None]).fields)[:, 0]


@torch.no_grad()
def check_directions(model: DiffAE, directions: Directions, faces: Dataset[Any], name: str, within: float) -> None:
    """Raises CheckpointError for directions of another model: their mean z_sem is far from that of these faces.

    within: how far it may lie, in deviations, as the key ``directions_within`` says.
    By its own statistics a model's z_sem have mean 0, or one near it for faces of another sort. Another model's numbers
    mean other things, so that their means differ as much as faces do, or more.
    """
    n_faces = len(faces)  # type: ignore[arg-type]  # a map-style data set has a length
    rows = np.linspace(0, n_faces - 1, min(n_faces, N_CHECKED)).round().astype(int)
    device = model.rates.device
    x = unit_range(torch.stack([faces[int(row)]["image"] for row in rows]).to(device))
    z = directions.to(device).stats.normalise(model.encode(model.tone(x).take_off(x)))
    far = float(z.mean(dim=0).square().mean().sqrt())
    if not far < within:
        raise CheckpointError(
            f"{name}: these look like the directions of another model, because this model's z_sem of these faces lie "
            f"{far:.2f} deviations from their mean, where its own lie within {within:g}: train directions for this "
            "model, and name their folder as directions. If they are this model's own, and only the faces are of "
            "another sort, set directions_within higher."
        )
