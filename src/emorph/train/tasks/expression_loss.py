"""The losses of expression editing: what frozen networks say of an edited face, and that nothing else changes.

The edited picture is made in one of three ways. one_step: noise is added to the face, and the U-Net says in one step
what face there would be with the edited z_sem; the less it can know, the less its answer counts (weight alpha_bar_t).
chain: the face's own x_T is drawn with the edited z_sem in a few steps of the sampler, through which gradients flow
back; each step is computed again for them instead of being kept (DiffusionCLIP, Kim et al. 2022, Sec. 3).
edit: what the editor makes of a face where the directions know landmarks, see ``expression_edit``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from emorph.core.config import Config
from emorph.core.expressions import Emotion
from emorph.core.tone import face_window
from emorph.diffusion.process import LossWeight, loss_weight, q_sample, training_target, x0_from
from emorph.diffusion.samplers import Denoise, solver
from emorph.face3d.camera import screen_to_pixels
from emorph.train.tasks.expression_edit import FacesToEdit, edited_in_one_step
from emorph.train.tasks.expression_model import ExpressionModel
from emorph.train.tasks.expression_networks import AUTO, OPEN_EMOTION, Answer, Frozen

Trains = Literal["unet", "shift", "both"]
Way = Literal["one_step", "chain", "edit"]


class PicturesConfig(Config):
    """How the picture is made that the losses see.

    way: one_step, chain or edit. evaluations: of the network in a chain, in each direction. solver: of a chain. move:
    in one_step, start from the crop moved to the target's landmarks, as the editor does where the directions know
    landmarks; a chain starts from the face as it is.
    """

    way: Way = "one_step"
    evaluations: int = Field(6, ge=2, le=50)
    solver: Literal["dpm", "ddim"] = "dpm"
    move: bool = True


class LossesConfig(Config):
    """Weights of the losses; 0 leaves one out, and its network unasked.

    expression: cross-entropy of the target emotion, or squared error of valence and arousal, times the strength.
    shape: squared distance of the face's shape before and after (Step 2). identity: 1 - cosine of a person's features
    before and after. correction: mean square of what the shift adds to z_sem, in deviations. surroundings: mean
    absolute change of the picture around the face. reconstruction: the autoencoder's own loss at strength 0.
    emotion_networks: whom expression asks, names or folders; their mean counts.
    shape_network: whom shape asks, a name or a folder; "auto" is DECA where its file is here, else the open network.
    identity_network: whom identity asks, such as "dlib".
    """

    expression: float = Field(1.0, ge=0)
    shape: float = Field(0.0, ge=0)
    identity: float = Field(0.0, ge=0)
    correction: float = Field(0.0, ge=0)
    surroundings: float = Field(1.0, ge=0)
    reconstruction: float = Field(1.0, ge=0)
    emotion_networks: tuple[str, ...] = Field((OPEN_EMOTION,), description="Networks that name emotions.")
    shape_network: str = Field(AUTO, description="What reads the shape: deca, a folder, or auto: DECA if it is here.")
    identity_network: str = Field("", description="What knows persons.")

    @model_validator(mode="after")
    def _names_what_it_asks(self) -> Self:
        if self.expression and not self.emotion_networks:
            raise ValueError("expression needs a network that names emotions: set emotion_networks, or expression = 0")
        if self.identity and not self.identity_network:
            raise ValueError("identity needs a network that knows persons: set identity_network, or identity = 0")
        return self

    @property
    def weights(self) -> dict[str, float]:
        """By the name of the loss."""
        names = ("expression", "shape", "identity", "correction", "surroundings", "reconstruction")
        return {name: getattr(self, name) for name in names}

    @property
    def edits(self) -> bool:
        """Whether any loss looks at an edited picture."""
        return any(weight for name, weight in self.weights.items() if name not in ("correction", "reconstruction"))


class ExpressionLoss(nn.Module):
    """The model and its losses in one module, so that every wrapper (DDP, compile, autocast) sees one forward.

    Dropout is off, so that the pictures are those that the editor draws. frozen: the networks that are asked.
    """

    def __init__(
        self,
        model: ExpressionModel,
        *,
        trains: Trains,
        pictures: PicturesConfig,
        losses: LossesConfig,
        weight: LossWeight,
        emotion: Sequence[Frozen] = (),
        shape: Frozen | None = None,
        identity: Frozen | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.pictures, self.losses, self.weight = pictures, losses, weight
        self.emotion, self.shape, self.identity = nn.ModuleList(emotion), shape, identity
        self.window: Tensor
        self.register_buffer("window", face_window(model.config.image_size), persistent=False)
        self.trains_unet = trains in ("unet", "both")
        model.autoencoder.requires_grad_(self.trains_unet)
        for kept in (model.autoencoder.encoder, model.autoencoder.latent_net):
            if kept is not None:
                kept.requires_grad_(False)
        if model.shift is not None:
            model.shift.requires_grad_(trains in ("shift", "both"))

    @property
    def frozen(self) -> list[nn.Module]:
        """The networks that are asked, whose weights the loss holds but neither trains nor saves."""
        found = [*self.emotion, self.shape, self.identity]
        return [part.network.module for part in found if isinstance(part, Frozen)]

    def facts(self) -> list[dict[str, Any]]:
        """What a trained model says of the networks that it asked."""
        found = [*self.emotion, self.shape, self.identity]
        return [part.network.facts() for part in found if isinstance(part, Frozen)]

    def train(self, mode: bool = True) -> Self:
        """Everything stays in evaluation mode; what learns, learns all the same."""
        return super().train(False)

    def forward(self, *faces: Tensor) -> dict[str, Tensor]:
        """Losses by name, "loss" among them. faces: the fields of ``FacesToEdit``, one after the other."""
        given, model, losses = FacesToEdit(*faces), self.model.autoencoder, self.losses
        tone = model.tone(given.x)
        seen = given._replace(x=tone.take_off(given.x))
        parts: dict[str, Tensor] = {}
        if losses.edits:
            seen = seen._replace(z_to=self.model.shifted(seen.z, seen.z_to, seen.asked, seen.strength))
            parts |= self._corrected(given.z_to, seen.z_to)
            before, drawn, certainty = self._pictures(seen)
            parts |= self._around(before, drawn, certainty)
            with torch.autocast(drawn.device.type, enabled=False):
                parts |= self._told(given, tone.put_back(drawn.float()), certainty)
        if losses.reconstruction and self.trains_unet:
            parts["reconstruction"] = self._reconstruction(seen)
        total = sum((losses.weights[name] * part for name, part in parts.items()), given.x.new_zeros(()))
        return {"loss": total, **parts}

    def _pictures(self, faces: FacesToEdit) -> tuple[Tensor, Tensor, Tensor]:
        """What is edited and what comes of it, (B, C, S, S) each, and how much each face counts, (B,)."""
        model, sure = self.model.autoencoder, faces.z_to.new_ones(len(faces.x), dtype=torch.float32)
        if self.pictures.way == "chain":
            return faces.x, self.chain(faces.start, faces.z_to), sure
        if self.pictures.way == "edit":
            assert self.model.directions is not None
            return *edited_in_one_step(model, self.model.directions, faces), sure
        x_t = q_sample(faces.start, faces.t, faces.noise, model.rates)
        raw = model.predict(x_t, faces.t, faces.z_to).float()
        drawn = x0_from(raw, x_t, faces.t, model.rates, model.config.prediction).clamp(-1, 1)
        return faces.start, drawn, model.rates[faces.t, 0].square()

    def chain(self, x_T: Tensor, z_to: Tensor) -> Tensor:
        """Pictures drawn from x_T with z_to, (B, C, S, S), through which gradients flow."""
        model, chosen = self.model.autoencoder, solver(self.pictures.solver)
        schedule = chosen.schedule(model.diffusion, self.pictures.evaluations)
        x0 = chosen.sample(recomputed(model.denoiser(z_to)), x_T, schedule)
        return x0.clamp(-1, 1)

    def _corrected(self, plain: Tensor, z_to: Tensor) -> dict[str, Tensor]:
        """How large the shift is, as a mean square of deviations: what it learns from little is soon too far."""
        if not self.losses.correction or self.model.shift is None or self.model.directions is None:
            return {}
        std = self.model.directions.stats.std.to(z_to.device)
        return {"correction": ((z_to - plain).float() / std).square().mean()}

    def _around(self, before: Tensor, drawn: Tensor, certainty: Tensor) -> dict[str, Tensor]:
        if not self.losses.surroundings:
            return {}
        outside = 1 - self.window
        change = (drawn - before).abs().mean(dim=1)
        each = (change * outside).sum(dim=(1, 2)) / outside.sum().clamp(min=1)
        return {"surroundings": (each * certainty).mean()}

    def _told(self, faces: FacesToEdit, edited: Tensor, certainty: Tensor) -> dict[str, Tensor]:
        """What the frozen networks say of the faces and of their edits, (B, C, S, S) in [-1, 1]."""
        losses, side = self.losses, (edited.shape[-2], edited.shape[-1])
        at = screen_to_pixels(faces.points, side)
        parts = {}
        if losses.expression:
            judges = self._judges()
            each = torch.stack([_missed(judge.network.emotions, judge(edited, at), faces.asked) for judge in judges])
            parts["expression"] = (each.mean(dim=0) * faces.strength[:, 0] * certainty).mean()
        if losses.shape and self.shape is not None:
            now, was = _codes(self.shape, faces.x, edited, at)
            parts["shape"] = ((now - was).square().mean(dim=1) * certainty).mean()
        if losses.identity and self.identity is not None:
            now, was = _codes(self.identity, faces.x, edited, at)
            parts["identity"] = ((1 - F.cosine_similarity(now, was, dim=1)) * certainty).mean()
        return parts

    def _judges(self) -> list[Frozen]:
        return [part for part in self.emotion if isinstance(part, Frozen)]

    def _reconstruction(self, faces: FacesToEdit) -> Tensor:
        """The autoencoder's loss (Preechakul et al. 2022, Eq. 9), with the face's own z_sem."""
        model, (x0, t, noise) = self.model.autoencoder, (faces.x, faces.t, faces.noise)
        kind, table = model.config.prediction, model.rates
        raw = model.predict(q_sample(x0, t, noise, table), t, faces.z).float()
        errors = (raw - training_target(x0, t, noise, table, kind)).square().mean(dim=(1, 2, 3))
        return (errors * loss_weight(t, table, kind, self.weight)).mean()


def recomputed(denoise: Denoise) -> Denoise:
    """The same, whose inner results are computed again for the gradients instead of being kept."""

    def again(x_t: Tensor, t: Tensor) -> Tensor:
        found: Tensor = checkpoint(denoise, x_t, t, use_reentrant=False)
        return found

    return again


def _codes(network: Frozen, before: Tensor, after: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """What a network of codes says after and before, (B, n) each."""
    with torch.no_grad():
        was = network(before, points).code
    now = network(after, points).code
    assert now is not None
    assert was is not None
    return now, was


def _missed(known: Sequence[Emotion], answer: Answer, asked: Tensor) -> Tensor:
    """How far an answer is from what was asked for, (B,): 0 for an emotion that the network does not know.

    asked: (B, N_ASKED) of ``asked_for``.
    """
    n = len(Emotion)
    missed = asked.new_zeros(len(asked))
    if answer.logits is not None:
        of_known = asked[:, [emotion.value for emotion in known]]
        missed = missed - (of_known * answer.logits.log_softmax(dim=1)).sum(dim=1)
    if answer.affect is not None:
        missed = missed + ((answer.affect - asked[:, n : n + 2]).square() * asked[:, n + 2 :]).sum(dim=1)
    return missed
