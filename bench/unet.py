"""One U-Net evaluation and one encoder pass of the official sizes, and what each speed-up of the U-Net gives.

Weights are random: time does not depend on them. Every variant is compared with the plain one in the same run, in time
and in numbers (largest difference of eps over its largest value).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from emorph.models import DiffAE, DiffAEConfig
from emorph.models.blocks import Attention, ModulatedResBlock
from support.measure import median_s, table, write_section


def plain_attention(self: Attention, x: Tensor) -> Tensor:
    """Attention written out: two products and a softmax."""
    b, c, h, w = x.shape
    qkv = self.qkv(self.norm(x).reshape(b, c, h * w)).reshape(b * self.num_heads, 3 * c // self.num_heads, h * w)
    q, k, v = qkv.chunk(3, dim=1)
    weight = torch.softmax(torch.einsum("bct,bcs->bts", q, k) / (c // self.num_heads) ** 0.5, dim=-1)
    a = torch.einsum("bts,bcs->bct", weight, v).reshape(b, c, h * w)
    projected: Tensor = self.proj_out(a)
    return x + projected.reshape(b, c, h, w)


def plain_block(self: ModulatedResBlock, x: Tensor, modulation: tuple[Tensor, Tensor]) -> Tensor:
    """The residual block with a new tensor for every operation."""
    h = self.in_layers[2](self.resample(F.silu(self.in_layers[0](x))))
    scale, shift = modulation
    h = self.out_layers[3](F.silu(self.out_layers[0](h) * scale + shift))
    y: Tensor = self.skip_connection(self.resample(x)) + h
    return y


@contextmanager
def plain() -> Iterator[None]:
    """The U-Net before its speed-ups."""
    with (
        mock.patch.object(Attention, "forward", plain_attention),
        mock.patch.object(ModulatedResBlock, "forward", plain_block),
    ):
        yield


@contextmanager
def plain_attention_only() -> Iterator[None]:
    with mock.patch.object(Attention, "forward", plain_attention):
        yield


def bf16() -> AbstractContextManager[None]:
    return torch.autocast("cpu", torch.bfloat16)


def lay_out(model: DiffAE, layout: torch.memory_format) -> None:
    """Store the convolutions' weights in a memory layout."""
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)


def speed_ups(preset: str, batch: int, repeats: int) -> str:
    """A table: each speed-up added to those above it."""
    config = DiffAEConfig.preset(preset)
    model = DiffAE(config).eval()
    for parameter in model.parameters():  # zero-initialised layers would hide differences
        torch.nn.init.normal_(parameter, std=0.02) if parameter.ndim > 1 else None
    x, t = torch.randn(batch, 3, config.image_size, config.image_size), torch.full((batch,), 500)
    z = torch.randn(batch, config.z_dim)
    denoise = model.denoiser(z.clone())

    def forward() -> Tensor:
        eps: Tensor = model(x, t, z)
        return eps

    def once() -> Tensor:
        return denoise(x, t)

    def inference(work: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def run() -> Tensor:
            with torch.inference_mode():
                return work()

        return run

    def channels_last() -> Tensor:
        return denoise(x.to(memory_format=torch.channels_last), t)

    variants: list[tuple[str, AbstractContextManager[None], Callable[[], Tensor], bool]] = [
        ("plain", plain(), forward, False),
        ("+ inference mode", plain(), inference(forward), False),
        ("+ in-place SiLU, fused modulation", plain_attention_only(), inference(forward), False),
        ("+ fused attention", nullcontext(), inference(forward), False),
        ("+ z's part once, time's once a batch", nullcontext(), inference(once), False),
        ("+ channels last", nullcontext(), inference(channels_last), True),
        ("  instead: bfloat16 autocast", bf16(), inference(once), False),
    ]
    rows: list[list[str]] = []
    base_s, reference = 0.0, torch.empty(0)
    for name, context, work, relayout in variants:
        lay_out(model, torch.channels_last if relayout else torch.contiguous_format)
        with context:
            seconds = median_s(work, repeats=repeats)
            eps = work().detach().float()
        if not rows:
            base_s, reference = seconds, eps
        difference = float((eps - reference).abs().max() / reference.abs().max())
        rows.append([name, f"{1000 * seconds:.0f}", f"{base_s / seconds:.2f}", f"{difference:.0e}"])
    return table(["variant", "ms", "times plain", "relative difference"], rows)


@torch.inference_mode()
def sizes(repeats: int) -> str:
    """A table: encoder and U-Net of the official sizes, batch 1 and 8, fp32 and bf16."""
    rows = []
    for preset in ("ffhq128", "ffhq256"):
        model = DiffAE(DiffAEConfig.preset(preset)).eval()
        side = model.config.image_size
        for batch in (1, 8):
            x, t = torch.randn(batch, 3, side, side), torch.full((batch,), 500)
            denoise = model.denoiser(torch.randn(batch, 512))
            for precision, context in (("fp32", nullcontext()), ("bf16", bf16())):
                n = max(2, repeats // (2 if batch > 1 else 1))
                with context:
                    unet_s = median_s(lambda x=x, t=t, d=denoise: d(x, t), repeats=n)  # type: ignore[misc]
                    encoder_s = median_s(lambda x=x, m=model: m.encode(x), repeats=n)  # type: ignore[misc]
                rows.append(
                    [
                        preset,
                        batch,
                        precision,
                        *(f"{1000 * s:.0f}" for s in (unet_s, encoder_s)),
                        f"{batch / unet_s:.2f}",
                    ]
                )
                print(*rows[-1], flush=True)
    return table(["size", "batch", "precision", "U-Net ms", "encoder ms", "U-Net images/s"], rows)


def main() -> None:
    """Measure and write the section "U-Net"."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    body = f"""Official sizes, one evaluation; medians of {repeats} runs ({max(2, repeats // 2)} for batch 8).

{sizes(repeats)}

What the speed-ups give, ffhq128, batch 1 (each line adds to the one above):

{speed_ups("ffhq128", 1, repeats)}
"""
    write_section("U-Net", f"python bench/unet.py --repeats {repeats}", body)


if __name__ == "__main__":
    main()
