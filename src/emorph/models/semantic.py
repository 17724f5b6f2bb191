"""The semantic encoder: a face to its 512 numbers z_sem (Preechakul et al. 2022, Sec. 3.2, Table 3)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from emorph.models.blocks import Attention, PlainResBlock, group_norm


class SemanticEncoder(nn.Module):
    """A half U-Net that ends in a global mean and a linear layer; the module names are the official checkpoint's."""

    def __init__(
        self,
        *,
        in_channels: int,
        side: int,
        model_channels: int,
        channel_mult: Sequence[int],
        num_res_blocks: int,
        attention_resolutions: Sequence[int],
        num_heads: int,
        z_dim: int,
    ) -> None:
        super().__init__()
        channels = channel_mult[0] * model_channels
        blocks = [nn.Sequential(nn.Conv2d(in_channels, channels, 3, padding=1))]
        for level, mult in enumerate(channel_mult):
            for _ in range(num_res_blocks):
                layers: list[nn.Module] = [PlainResBlock(channels, mult * model_channels)]
                channels = mult * model_channels
                if side in attention_resolutions:
                    layers.append(Attention(channels, num_heads))
                blocks.append(nn.Sequential(*layers))
            if level + 1 < len(channel_mult):
                blocks.append(nn.Sequential(PlainResBlock(channels, channels, resample="down")))
                side //= 2
        self.input_blocks = nn.ModuleList(blocks)
        self.middle_block = nn.Sequential(
            PlainResBlock(channels, channels),
            Attention(channels, num_heads),
            PlainResBlock(channels, channels),
        )
        self.out = nn.Sequential(
            group_norm(channels),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, z_dim, 1),
            nn.Flatten(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, in_channels, H, W); returns z_sem (B, z_dim)."""
        for block in self.input_blocks:
            x = block(x)
        z: Tensor = self.out(self.middle_block(x))
        return z
