"""Small models with random weights, for tests of everything around the weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from emorph.core.expressions import Emotion
from emorph.core.types import CropSpec
from emorph.edit.pipeline import Editor
from emorph.models.diffae import DiffAE, DiffAEConfig
from emorph.models.directions import Directions, LatentStats


def tiny_config(channels: int = 1) -> DiffAEConfig:
    return DiffAEConfig(
        image_size=32,
        image_channels=channels,
        patch_size=2,
        model_channels=32,
        channel_mult=(1, 1),
        encoder_channel_mult=(1, 1, 1),
        num_res_blocks=1,
        attention_resolutions=(8,),
        embed_dim=32,
        z_dim=32,
        prediction="v",
        crop=CropSpec(1.5, (0.0, 0.08)),
    )


def tiny_model(channels: int = 1, seed: int = 0) -> DiffAE:
    """A model whose layers all do something: what training would start at zero is random here."""
    torch.manual_seed(seed)
    model = DiffAE(tiny_config(channels)).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.05)
    return model


def tiny_directions(z_dim: int = 32) -> Directions:
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    stats = LatentStats(0.1 * normal(z_dim), 0.5 + torch.rand(z_dim, generator=generator))
    labels = tuple(emotion.word for emotion in Emotion)
    return Directions(normal(8, z_dim), torch.zeros(8), labels, stats, means=normal(8, z_dim))


def tiny_editor(channels: int = 1, steps: int = 4) -> Editor:
    return Editor(tiny_model(channels), tiny_directions(), model_id="tiny", device="cpu", steps=steps)
