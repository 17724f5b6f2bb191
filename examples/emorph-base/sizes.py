"""Time training steps of 1_faces.toml with other sizes of the network, one thread each, and print the README's table.

python examples/emorph-base/sizes.py
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import torch

from emorph.core.config import read_toml
from emorph.models.diffae import DiffAE, DiffAEConfig

BATCH, REPEATS = 16, 5
SIZES = (
    {"attention_resolutions": [16]},
    {},
    {"channel_mult": [1, 2, 3]},
    {"num_res_blocks": 2},
    {"model_channels": 96},
    {
        "patch_size": 2,
        "model_channels": 32,
        "channel_mult": [1, 2, 4, 4],
        "encoder_channel_mult": [1, 2, 4, 4],
        "attention_resolutions": [16],
    },
)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    stated = read_toml(Path(__file__).parent / "1_faces.toml")["model"]
    print("| patch | channels | blocks | attention at | parameters | faces a second |")
    print("| --- " * 6 + "|")
    for other in SIZES:
        config = DiffAEConfig.parse({**stated, **other})
        model = DiffAE(config)
        channels = ", ".join(str(config.model_channels * mult) for mult in config.channel_mult)
        size_m = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        print(
            f"| {config.patch_size} | {channels} | {config.num_res_blocks} | {config.attention_resolutions[0]} "
            f"| {size_m:.1f} M | {BATCH / step_s(model):.0f} |"
        )


def step_s(model: DiffAE) -> float:
    """Median time of a training step, after one that does not count."""
    config = model.config
    x = torch.randn(BATCH, config.image_channels, config.image_size, config.image_size)
    t = torch.randint(0, model.diffusion.n_train_steps, (BATCH,))
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    times = []
    for _ in range(1 + REPEATS):
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            raw = model.predict(x, t, model.encode(x))
        torch.autograd.backward(raw.float().square().mean())
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


if __name__ == "__main__":
    main()
