"""The conditional U-Net of the diffusion autoencoder (ADM's U-Net with z_sem as a second condition)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from emorph.models.blocks import Attention, ModulatedResBlock, Modulation, group_norm, timestep_embedding, zeroed


class TimeEmbedding(nn.Sequential):
    """Time step to a vector: sinusoids, linear, SiLU, linear."""

    def __init__(self, model_channels: int, embed_dim: int) -> None:
        super().__init__(nn.Linear(model_channels, embed_dim), nn.SiLU(), nn.Linear(embed_dim, embed_dim))
        self.model_channels = model_channels

    def forward(self, t: Tensor) -> Tensor:
        """t: (B,); returns (B, embed_dim)."""
        embedding = timestep_embedding(t, self.model_channels).to(next(self.parameters()).dtype)
        for layer in self:
            embedding = layer(embedding)
        return embedding


class NestedTimeEmbedding(nn.Module):
    """The same under the autoencoder's keys."""

    def __init__(self, model_channels: int, embed_dim: int) -> None:
        super().__init__()
        self.time_embed = TimeEmbedding(model_channels, embed_dim)

    def forward(self, t: Tensor) -> Tensor:
        embedding: Tensor = self.time_embed(t)
        return embedding


class UNet(nn.Module):
    """U-Net on feature maps whose residual blocks are modulated by time and z_sem.

    ``attention_resolutions`` are sides of feature maps in pixels. z_shifts: z gives a shift, too. nested_time: the time
    embedding's keys are the autoencoder's, else the rig's. The module names are the official checkpoints'.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        side: int,
        model_channels: int,
        channel_mult: Sequence[int],
        num_res_blocks: int,
        attention_resolutions: Sequence[int],
        num_heads: int,
        embed_dim: int,
        z_dim: int,
        dropout: float,
        z_shifts: bool = False,
        nested_time: bool = True,
    ) -> None:
        super().__init__()

        def block(c_in: int, c_out: int, resample: str | None = None) -> ModulatedResBlock:
            return ModulatedResBlock(
                c_in, c_out, embed_dim, z_dim, dropout=dropout, resample=resample, z_shifts=z_shifts
            )

        embedding = NestedTimeEmbedding if nested_time else TimeEmbedding
        self.time_embed: nn.Module = embedding(model_channels, embed_dim)
        channels = channel_mult[0] * model_channels
        inputs = [nn.ModuleList([nn.Conv2d(in_channels, channels, 3, padding=1)])]
        skips = [channels]
        for level, mult in enumerate(channel_mult):
            for _ in range(num_res_blocks):
                layers: list[nn.Module] = [block(channels, mult * model_channels)]
                channels = mult * model_channels
                if side in attention_resolutions:
                    layers.append(Attention(channels, num_heads))
                inputs.append(nn.ModuleList(layers))
                skips.append(channels)
            if level + 1 < len(channel_mult):
                inputs.append(nn.ModuleList([block(channels, channels, "down")]))
                skips.append(channels)
                side //= 2
        self.input_blocks = nn.ModuleList(inputs)
        self.middle_block = nn.ModuleList(
            [block(channels, channels), Attention(channels, num_heads), block(channels, channels)]
        )
        outputs = []
        for level, mult in reversed(list(enumerate(channel_mult))):
            for i in range(num_res_blocks + 1):
                layers = [block(channels + skips.pop(), mult * model_channels)]
                channels = mult * model_channels
                if side in attention_resolutions:
                    layers.append(Attention(channels, num_heads))
                if level and i == num_res_blocks:
                    layers.append(block(channels, channels, "up"))
                    side *= 2
                outputs.append(nn.ModuleList(layers))
        self.output_blocks = nn.ModuleList(outputs)
        last = zeroed(nn.Conv2d(channels, out_channels, 3, padding=1))
        self.out = nn.Sequential(group_norm(channels), nn.SiLU(), last)

    def forward(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """x: (B, in_channels, H, W); t: (B,) or (1,); z: (B, z_dim). Returns (B, out_channels, H, W)."""
        return self.modulated(x, t, self.z_modulations(z))

    def modulated(self, x: Tensor, t: Tensor, by_z: Sequence[Modulation]) -> Tensor:
        """``forward`` for a z whose modulations are known; t of one element serves the whole batch."""
        time = self.time_embed(t)
        pairs = zip(self.residual_blocks(), by_z, strict=True)
        modulations = iter([block.modulation(time, part) for block, part in pairs])
        skips = []
        for layers in self.input_blocks:
            x = _through(layers, x, modulations)
            skips.append(x)
        x = _through(self.middle_block, x, modulations)
        for layers in self.output_blocks:
            x = _through(layers, torch.cat([x, skips.pop()], dim=1), modulations)
        y: Tensor = self.out(x)
        return y

    def z_modulations(self, z: Tensor) -> list[Modulation]:
        """What z (B, z_dim) contributes to every residual block, in the order of ``forward``."""
        return [block.z_modulation(z) for block in self.residual_blocks()]

    def residual_blocks(self) -> Iterator[ModulatedResBlock]:
        """Every residual block in the order of ``forward``."""
        for layers in (*self.input_blocks, self.middle_block, *self.output_blocks):
            yield from (layer for layer in layers if isinstance(layer, ModulatedResBlock))


def _through(layers: nn.Module, x: Tensor, modulations: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
    for layer in layers.children():
        x = layer(x, next(modulations)) if isinstance(layer, ModulatedResBlock) else layer(x)
    return x
