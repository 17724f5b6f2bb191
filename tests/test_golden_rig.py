"""The rig against the official model's recorded numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from emorph.diffusion import Schedule, ddim_invert, ddim_sample, q_sample
from emorph.diffusion.process import loss_weight
from emorph.models import Rig, RigConfig
from emorph.models.resnet import ResNet
from golden_cases import Case, case

TINY = RigConfig(
    image_size=32, model_channels=32, channel_mult=(1, 2), num_res_blocks=1, attention_resolutions=(16,), num_heads=2
)


@pytest.fixture(scope="module")
def tiny() -> tuple[Rig, Case]:
    model = Rig(TINY)
    golden = case("rig_tiny")
    assert [[k, list(v.shape)] for k, v in model.state_dict().items()] == [
        [k, s] for k, s, _ in golden.info["state_dict"]
    ]
    golden.load_into(model)
    return model, golden


@pytest.fixture(scope="module")
def code(tiny: tuple[Rig, Case]) -> Tensor:
    model, golden = tiny
    with torch.inference_mode():
        return model.encode(golden.input("x_start"))


@torch.inference_mode()
def test_code_and_single_predictions(tiny: tuple[Rig, Case], code: Tensor) -> None:
    model, golden = tiny
    golden.check("detail_cond", code)
    x_t, t, buffers = golden.input("x_t"), golden.input("t"), golden.input("physic_cond")
    golden.check("eps", model(x_t, t, buffers, code))
    rows = [model.denoiser(buffers[i : i + 1], code[i : i + 1])(x_t[i : i + 1], t[i : i + 1]) for i in range(2)]
    golden.check("eps", torch.cat(rows))


@torch.inference_mode()
def test_sampling_and_inversion(tiny: tuple[Rig, Case], code: Tensor) -> None:
    model, golden = tiny
    denoise = model.denoiser(golden.input("physic_cond"), code)
    x_T, twenty = golden.input("x_T"), Schedule.linear().respaced(20)
    steps: list[tuple[Tensor, Tensor]] = []
    final = ddim_sample(denoise, x_T, twenty, on_step=lambda i, x, x0: steps.append((x, x0)))
    golden.check("ddim20_step1", steps[0][0])
    golden.check("ddim20_pred_xstart_step1", steps[0][1])
    golden.check("ddim20_step10", steps[9][0])
    golden.check("ddim20_sample", final)
    golden.check("ddim20_sample_noclip", ddim_sample(denoise, x_T, twenty, clamp=False))
    golden.check("ddim10_sample", ddim_sample(denoise, x_T, Schedule.linear().respaced(10)))
    golden.check("ddim20_reverse", ddim_invert(denoise, golden.input("x_start"), twenty))


def test_losses_and_gradients(tiny: tuple[Rig, Case]) -> None:
    model, golden = tiny
    x, t, noise = golden.input("x_start"), golden.input("t_train"), golden.input("noise")
    x_t = q_sample(x, t, noise, model.rates)
    model.zero_grad()
    raw = model.predict(x_t, t, golden.input("physic_cond"), model.encode(x))
    errors = (raw - noise).square().mean(dim=(1, 2, 3))
    golden.check("loss_plain", errors)
    for setting in golden.info["args"]["p2"]:
        weight = loss_weight(t, model.rates, "eps", "p2", p2_gamma=setting["gamma"], p2_k=setting["k"])
        golden.check(f"loss_p2_g{setting['gamma']}_k{setting['k']}", errors * weight)
    (errors * loss_weight(t, model.rates, "eps", "p2")).mean().backward()
    for name in ("denoisingUNet", "encoder"):
        part = getattr(model, name)
        squares = sum(float(p.grad.double().square().sum()) for p in part.parameters() if p.grad is not None)
        golden.check(f"grad_norm_{name}", np.array([math.sqrt(squares)]))
    model.zero_grad()


def test_p2_weights_over_time(tiny: tuple[Rig, Case]) -> None:
    model, golden = tiny
    weights = loss_weight(torch.arange(0, 1000, 37), model.rates, "eps", "p2")
    np.testing.assert_allclose(weights.numpy(), golden.arrays["const_p2_weight_g1_k1"], rtol=1e-5)


@torch.inference_mode()
def test_official_size() -> None:
    golden = Case("rig_256")
    with torch.device("meta"):
        model = Rig(RigConfig(image_size=256, encoder="resnet18"))
    assert list(model.state_dict()) == [key for key, _, _ in golden.info["state_dict"]]
    assert sum(p.numel() for p in model.parameters()) == golden.info["n_params"]
    golden.load_into(model)
    code = model.encode(golden.input("x_start"))
    golden.check("detail_cond", code)
    golden.check("eps", model(golden.input("x_t"), golden.input("t"), golden.input("physic_cond"), code))


@torch.inference_mode()
def test_official_size_with_the_larger_encoder() -> None:
    golden = Case("rig_256_resnet50")
    with torch.device("meta"):
        model = Rig(RigConfig(image_size=256, encoder="resnet50"))
    assert sum(p.numel() for p in model.parameters()) == golden.info["n_params_total"]
    encoder_keys = [key for key in model.state_dict() if key.startswith("encoder.")]
    assert encoder_keys == [key for key, _, _ in golden.info["state_dict"]]
    encoder = ResNet(50, 64).eval()
    weights = {key.removeprefix("encoder."): value for key, value in golden.weights().items()}
    encoder.load_state_dict(weights, strict=True)
    golden.check("detail_cond", encoder(golden.input("x_start")))
