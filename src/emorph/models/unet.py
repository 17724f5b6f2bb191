"""The conditional U-Net of the diffusion autoencoder (ADM's U-Net with z_sem as a second condition)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from emorph.models.blocks import Attention, ModulatedResBlock, Modulation, group_norm, timestep_embedding, zeroed

Block = Callable[..., ModulatedResBlock]  # (channels in, channels out, how to resample)
N_OUTER = 2  # blocks at each end that are computed anew where deep features are used again
AttentionAt = Callable[[int, int], list[nn.Module]]  # (channels, side): the layer of a level, if it has one


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

        def attention(channels: int, side: int) -> list[nn.Module]:
            return [Attention(channels, num_heads)] if side in attention_resolutions else []

        widths = [mult * model_channels for mult in channel_mult]
        embedding = NestedTimeEmbedding if nested_time else TimeEmbedding
        self.time_embed: nn.Module = embedding(model_channels, embed_dim)
        self.input_blocks, skips = _inputs(in_channels, widths, num_res_blocks, side, block, attention)
        deepest = widths[-1]
        self.middle_block = nn.ModuleList(
            [block(deepest, deepest), Attention(deepest, num_heads), block(deepest, deepest)]
        )
        self.output_blocks = _outputs(skips, widths, num_res_blocks, side, block, attention)
        last = zeroed(nn.Conv2d(widths[0], out_channels, 3, padding=1))
        self.out = nn.Sequential(group_norm(widths[0]), nn.SiLU(), last)

    def forward(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """x: (B, in_channels, H, W); t: (B,) or (1,); z: (B, z_dim). Returns (B, out_channels, H, W)."""
        return self.modulated(x, t, self.z_modulations(z))

    def modulated(self, x: Tensor, t: Tensor, by_z: Sequence[Modulation]) -> Tensor:
        """``forward`` for a z whose modulations are known; t of one element serves the whole batch."""
        return self.with_deep(x, t, by_z)[0]

    def with_deep(self, x: Tensor, t: Tensor, by_z: Sequence[Modulation]) -> tuple[Tensor, Tensor]:
        """``modulated``, and the deep features that ``outer`` takes: what the last N_OUTER output blocks start from."""
        modulations = self._modulations(self.residual_blocks(), t, by_z)
        skips = []
        for layers in self.input_blocks:
            x = _through(layers, x, modulations)
            skips.append(x)
        x = _through(self.middle_block, x, modulations)
        deep = x
        for i, layers in enumerate(self.output_blocks):
            if i == len(self.output_blocks) - N_OUTER:
                deep = x
            x = _through(layers, torch.cat([x, skips.pop()], dim=1), modulations)
        y: Tensor = self.out(x)
        return y, deep

    def outer(self, x: Tensor, t: Tensor, by_z: Sequence[Modulation], deep: Tensor) -> Tensor:
        """``modulated`` by the first and last N_OUTER blocks alone, from deep features of another evaluation.

        deep: as ``with_deep`` gives it. Ma et al. 2024 (DeepCache), Sec. 3.3.
        """
        before = len(list(_residual(self.input_blocks[:N_OUTER])))
        after = len(list(_residual(self.output_blocks[-N_OUTER:])))
        first = self._modulations(_residual(self.input_blocks[:N_OUTER]), t, by_z[:before])
        last = self._modulations(_residual(self.output_blocks[-N_OUTER:]), t, by_z[len(by_z) - after :])
        skips = []
        for layers in self.input_blocks[:N_OUTER]:
            x = _through(layers, x, first)
            skips.append(x)
        x = deep
        for layers in self.output_blocks[-N_OUTER:]:
            x = _through(layers, torch.cat([x, skips.pop()], dim=1), last)
        y: Tensor = self.out(x)
        return y

    def _modulations(
        self, blocks: Iterator[ModulatedResBlock], t: Tensor, by_z: Sequence[Modulation]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Scale and shift of these blocks at t."""
        time = self.time_embed(t)
        return iter([block.modulation(time, part) for block, part in zip(blocks, by_z, strict=True)])

    def z_modulations(self, z: Tensor) -> list[Modulation]:
        """What z (B, z_dim) contributes to every residual block, in the order of ``forward``."""
        return [block.z_modulation(z) for block in self.residual_blocks()]

    def residual_blocks(self) -> Iterator[ModulatedResBlock]:
        """Every residual block in the order of ``forward``."""
        yield from _residual((*self.input_blocks, self.middle_block, *self.output_blocks))


def _residual(blocks: Iterable[nn.Module]) -> Iterator[ModulatedResBlock]:
    for layers in blocks:
        yield from (layer for layer in layers.children() if isinstance(layer, ModulatedResBlock))


def _through(layers: nn.Module, x: Tensor, modulations: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
    for layer in layers.children():
        x = layer(x, next(modulations)) if isinstance(layer, ModulatedResBlock) else layer(x)
    return x


def _inputs(
    in_channels: int, widths: Sequence[int], num_res_blocks: int, side: int, block: Block, attention: AttentionAt
) -> tuple[nn.ModuleList, list[int]]:
    """The way down, and the channels of each of its blocks' outputs."""
    channels = widths[0]
    blocks, skips = [nn.ModuleList([nn.Conv2d(in_channels, channels, 3, padding=1)])], [channels]
    for level, width in enumerate(widths):
        for _ in range(num_res_blocks):
            blocks.append(nn.ModuleList([block(channels, width), *attention(width, side >> level)]))
            channels = width
            skips.append(channels)
        if level + 1 < len(widths):
            blocks.append(nn.ModuleList([block(channels, channels, "down")]))
            skips.append(channels)
    return nn.ModuleList(blocks), skips


def _outputs(
    skips: Sequence[int], widths: Sequence[int], num_res_blocks: int, side: int, block: Block, attention: AttentionAt
) -> nn.ModuleList:
    """The way up, which takes the outputs of the way down from the last to the first."""
    channels, waiting = widths[-1], list(skips)
    blocks = []
    for level, width in reversed(list(enumerate(widths))):
        for i in range(num_res_blocks + 1):
            layers = [block(channels + waiting.pop(), width), *attention(width, side >> level)]
            channels = width
            if level and i == num_res_blocks:
                layers.append(block(channels, channels, "up"))
            blocks.append(nn.ModuleList(layers))
    return nn.ModuleList(blocks)
