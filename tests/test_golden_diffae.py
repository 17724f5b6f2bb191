"""The diffusion autoencoder against the official model's recorded numbers."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from emorph.diffusion import Schedule, ddim_invert, ddim_sample, q_sample
from emorph.diffusion.process import rates, training_target
from emorph.models import DiffAE, DiffAEConfig
from emorph.models.directions import LatentStats, move
from emorph.models.latent import LatentNet, LatentNetConfig
from golden_cases import Case, case

TINY = DiffAEConfig(
    image_size=32,
    model_channels=32,
    channel_mult=(1, 2),
    encoder_channel_mult=(1, 2, 2),
    num_res_blocks=2,
    attention_resolutions=(16,),
    num_heads=1,
    z_dim=512,
    image_channels=3,
    patch_size=1,
    prediction="eps",
)


@pytest.fixture(scope="module")
def tiny() -> tuple[DiffAE, Case]:
    model = DiffAE(TINY)
    case("diffae_tiny").load_into(model)
    return model, case("diffae_tiny")


@pytest.fixture(scope="module")
def z(tiny: tuple[DiffAE, Case]) -> Tensor:
    model, golden = tiny
    with torch.inference_mode():
        return model.encode(golden.input("x"))


@torch.inference_mode()
def test_encoder_and_single_predictions(tiny: tuple[DiffAE, Case], z: Tensor) -> None:
    model, golden = tiny
    golden.check("z_sem", z)
    x_t = golden.input("x_t")
    for t in golden.info["args"]["t_list"]:
        steps = torch.full((2,), t)
        golden.check(f"eps_t{t}", model(x_t, steps, z))
        golden.check(f"eps_t{t}", model.denoiser(z)(x_t, steps))
    golden.check("eps_mixed_t_from_x_start", model(x_t, golden.input("t_mixed"), z))


@torch.inference_mode()
def test_inversion_and_rendering(tiny: tuple[DiffAE, Case], z: Tensor) -> None:
    model, golden = tiny
    ten = Schedule.linear().respaced(10)
    steps: list[tuple[Tensor, Tensor]] = []
    x_T = ddim_invert(model.denoiser(z), golden.input("x"), ten, on_step=lambda i, x, x0: steps.append((x, x0)))
    golden.check("reverse_step1", steps[0][0])
    golden.check("reverse_step2", steps[1][0])
    golden.check("reverse_pred_xstart_last", steps[-1][1])
    golden.check("x_T", x_T)
    recorded_x_T = torch.from_numpy(golden.arrays["out_x_T"])
    for n_steps in golden.info["args"]["T_render"]:
        image = ddim_sample(model.denoiser(z), recorded_x_T, Schedule.linear().respaced(n_steps))
        golden.check(f"render_T{n_steps}", (image + 1) / 2)
        mean_error = np.abs(((image + 1) / 2).numpy() - golden.arrays[f"out_render_T{n_steps}"]).mean()
        assert mean_error < 5e-5


@torch.inference_mode()
def test_sampling_with_and_without_clamp(tiny: tuple[DiffAE, Case], z: Tensor) -> None:
    model, golden = tiny
    ten = Schedule.linear().respaced(10)
    steps: list[Tensor] = []
    ddim_sample(model.denoiser(z), golden.input("x_t"), ten, on_step=lambda i, x, x0: steps.append(x))
    golden.check("ddim_from_x_t_step3", steps[2])
    golden.check("ddim_noclip_from_x_t", ddim_sample(model.denoiser(z), golden.input("x_t"), ten, clamp=False))


@torch.inference_mode()
def test_moving_z_along_a_class(tiny: tuple[DiffAE, Case], z: Tensor) -> None:
    model, golden = tiny
    head = golden.weights("classifier_state_dict")
    stats = LatentStats(golden.input("conds_mean"), golden.input("conds_std"))
    logits = F.linear(stats.normalise(z), head["classifier.weight"], head["classifier.bias"])
    golden.check("cls_logits", logits)
    direction = head["classifier.weight"][golden.info["args"]["cls_id"]]
    moved = move(z, direction, golden.info["args"]["amplitude"], stats)
    golden.check("z_manipulated", moved)
    x_T = torch.from_numpy(golden.arrays["out_x_T"])
    image = ddim_sample(model.denoiser(moved), x_T, Schedule.linear().respaced(10))
    golden.check("render_manipulated", (image + 1) / 2)


def test_loss_and_gradients(tiny: tuple[DiffAE, Case]) -> None:
    model, golden = tiny
    x, t, noise = golden.input("x"), golden.input("t_train"), golden.input("noise")
    x_t = q_sample(x, t, noise, model.rates)
    golden.check("train_x_t", x_t)
    model.zero_grad()
    with torch.enable_grad():
        target = training_target(x, t, noise, model.rates, "eps")
        loss = (model.predict(x_t, t, model.encode(x)) - target).square().mean(dim=(1, 2, 3))
        loss.mean().backward()
    golden.check("loss_per_sample", loss)
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    total = math.sqrt(sum(float(g.double().square().sum()) for g in gradients.values()))
    golden.check("grad_total_norm", np.array([total]))
    for key in golden.info["args"]["grad_keys"]:
        golden.check(f"grad__{key}", gradients[key])
    model.zero_grad()


@pytest.mark.parametrize("preset", ["ffhq128", "ffhq256"])
@torch.inference_mode()
def test_official_sizes(preset: str) -> None:
    golden = Case(f"diffae_{preset}")
    with torch.device("meta"):
        model = DiffAE(DiffAEConfig.preset(preset))
    official = [k for k, _, _ in golden.info["lightning_state_dict"] if k.startswith("ema_model.")]
    assert [f"ema_model.{k}" for k in model.state_dict()] == official
    assert sum(p.numel() for p in model.parameters()) == golden.info["n_params"]
    golden.load_into(model, table="lightning_state_dict", strip="ema_model.")
    z = model.encode(golden.input("x"))
    golden.check("z_sem", z)
    golden.check("eps", model(golden.input("x_t"), golden.input("t"), z))


@torch.inference_mode()
def test_latent_net() -> None:
    golden = Case("diffae_latent")
    net = LatentNet(LatentNetConfig())
    golden.load_into(net)
    golden.check("pred", net(golden.input("x"), golden.input("t")))
    process = Schedule.constant(0.008)
    steps: list[Tensor] = []
    final = ddim_sample(
        net,
        golden.input("noise"),
        process.respaced(10),
        clamp=False,
        on_step=lambda i, z, z0: steps.append(z),
    )
    golden.check("sample_after_first_step", steps[0])
    golden.check("sample_after_second_step", steps[1])
    golden.check("sample_final", final)
    t, eps = golden.input("t"), golden.input("eps")
    z_t = q_sample(golden.input("z0"), t, eps, rates(process))
    golden.check("loss_per_sample", (net(z_t, t) - eps).abs().mean(dim=1))


@torch.inference_mode()
def test_unconditional_sample() -> None:
    golden = case("diffae_sample_tiny")
    config = TINY.model_copy(update={"latent": LatentNetConfig(hidden=128, num_layers=4)})
    model = DiffAE(config)
    golden.load_into(model)
    stats = LatentStats(golden.input("conds_mean"), golden.input("conds_std"))
    normalised = ddim_sample(
        model.latent_net, golden.input("latent_noise"), Schedule.constant(0.008).respaced(10), clamp=False
    )
    golden.check("latent_normalised", normalised)
    latent = stats.denormalise(normalised)
    golden.check("latent", latent)
    golden.check("eps_t400_t900", model(golden.input("x_T"), torch.tensor([400, 900]), latent))
    image = ddim_sample(model.denoiser(latent), golden.input("x_T"), Schedule.linear().respaced(5))
    golden.check("image", (image + 1) / 2)
