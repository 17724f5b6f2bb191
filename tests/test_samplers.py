"""Samplers against a process whose answer is known, and against their own inversions."""

import numpy as np
import pytest
import torch
from torch import Tensor

from emorph.core.errors import ConfigError, UnknownNameError
from emorph.diffusion import Schedule, ddim_invert, ddim_sample, seeded_noise
from emorph.diffusion.samplers import SOLVERS, Denoise, dpm_generate, dpm_invert, dpm_sample, solver

DATA_STD = 0.5


def gaussian_denoiser(process: Schedule) -> Denoise:
    """The exact denoiser of data N(0, DATA_STD²): eps = sigma x / (alpha² DATA_STD² + sigma²)."""
    table = torch.tensor(process.alphas_cumprod)

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        alpha_bar = table[t].reshape(-1, 1)
        return (1 - alpha_bar).sqrt() * x_t / (alpha_bar * DATA_STD**2 + 1 - alpha_bar)

    return denoise


def exact(x: Tensor, process: Schedule, t_from: int, t_to: int) -> Tensor:
    """The probability-flow ODE's solution scales x as the marginal's standard deviation."""
    std = np.sqrt(process.alphas_cumprod * DATA_STD**2 + 1 - process.alphas_cumprod)
    return x * float(std[t_to] / std[t_from])


def error(name: str, n_evaluations: int, *, invert: bool) -> float:
    process = Schedule.linear()
    chosen = solver(name)
    steps = chosen.schedule(process, n_evaluations)
    x = torch.linspace(-0.9, 0.9, 8, dtype=torch.float64).reshape(-1, 1)
    walk = chosen.invert if invert else chosen.sample
    found = walk(gaussian_denoiser(process), x, steps, clamp=False)
    ends = (int(steps.timesteps[0]), int(steps.timesteps[-1]))
    t_from, t_to = ends if invert else ends[::-1]
    return float((found - exact(x, process, t_from, t_to)).abs().max())


@pytest.mark.parametrize("invert", [False, True])
def test_dpm_is_of_second_order_and_beats_ddim(invert: bool) -> None:
    coarse, fine = error("dpm", 20, invert=invert), error("dpm", 80, invert=invert)
    assert fine < coarse / 10  # second order: 16 times; first order: 4 times
    assert fine < 2e-3
    assert error("ddim", 100, invert=invert) > 4 * error("dpm", 50, invert=invert)


@pytest.mark.parametrize(("name", "gap_at_100"), [("ddim", 0.06), ("dpm", 1e-4)])
def test_inversion_undoes_sampling(name: str, gap_at_100: float) -> None:
    process, chosen = Schedule.linear(), solver(name)
    x0 = torch.linspace(-0.9, 0.9, 8, dtype=torch.float64).reshape(-1, 1)
    denoise = gaussian_denoiser(process)
    gaps = []
    for n_evaluations in (20, 100):
        steps = chosen.schedule(process, n_evaluations)
        x_T = chosen.invert(denoise, x0, steps, clamp=False)
        gaps.append(float((chosen.sample(denoise, x_T, steps, clamp=False) - x0).abs().max()))
    assert gaps[1] < gaps[0] / 3
    assert gaps[1] < gap_at_100


def flat_denoiser(process: Schedule, level: float) -> Denoise:
    """The exact denoiser of pictures that are all ``level``: eps = (x - alpha level) / sigma."""
    table = torch.tensor(process.alphas_cumprod)

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        alpha_bar = table[t].reshape(-1, *[1] * (x_t.ndim - 1))
        return ((x_t - alpha_bar.sqrt() * level) / (1 - alpha_bar).sqrt()).to(x_t.dtype)

    return denoise


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("n_evaluations", [2, 10])
def test_what_is_drawn_from_nothing_holds_no_noise(name: str, n_evaluations: int) -> None:
    process, chosen = Schedule.linear(), solver(name)
    steps = chosen.schedule(process, n_evaluations)
    noise = seeded_noise([0], (500,)).double()
    calls: list[tuple[int, float]] = []

    def note(i: int, x: Tensor, x0: Tensor) -> None:
        calls.append((i, float(x0.mean())))

    drawn = chosen.generate(flat_denoiser(process, 0.3), noise, steps, on_step=note)
    assert float((drawn - 0.3).abs().max()) < 1e-6
    assert [i for i, _ in calls] == list(range(n_evaluations))


def test_an_inverted_picture_keeps_what_its_last_node_holds() -> None:
    process, chosen = Schedule.linear(), solver("dpm")
    steps = chosen.schedule(process, 10)
    x0 = torch.linspace(-0.9, 0.9, 8, dtype=torch.float64).reshape(-1, 1)
    denoise = flat_denoiser(process, 0.0)
    x_T = chosen.invert(denoise, x0, steps)
    assert float((chosen.sample(denoise, x_T, steps) - x0).abs().max()) < 1e-6
    assert float((chosen.generate(denoise, x_T, steps) - x0).abs().max()) > 0.5


def test_dpm_evaluates_as_often_as_it_says() -> None:
    process = Schedule.linear()
    calls: list[int] = []
    denoise = gaussian_denoiser(process)

    def counted(x_t: Tensor, t: Tensor) -> Tensor:
        calls.append(int(t[0]))
        return denoise(x_t, t)

    for name, chosen in SOLVERS.items():
        calls.clear()
        chosen.sample(counted, torch.zeros(1, 1), chosen.schedule(process, 12))
        assert len(calls) == 12, name
        assert calls == sorted(calls, reverse=True)
        calls.clear()
        chosen.generate(counted, torch.zeros(1, 1), chosen.schedule(process, 12))
        assert len(calls) == 12, name


def test_clamp_bounds_every_predicted_x0() -> None:
    process = Schedule.linear()

    def wild(x_t: Tensor, t: Tensor) -> Tensor:
        return -3 * torch.ones_like(x_t)

    for walk in (ddim_sample, ddim_invert, dpm_sample, dpm_generate, dpm_invert):
        seen: list[float] = []
        start = 2 * torch.ones(2, 3)

        def note(i: int, x: Tensor, x0: Tensor, seen: list[float] = seen) -> None:
            seen.append(float(x0.abs().max()))

        walk(wild, start, process.respaced(10), clamp=True, on_step=note)
        assert max(seen) <= 1
        walk(wild, start, process.respaced(10), clamp=False, on_step=note)
        assert max(seen) > 1


@pytest.mark.parametrize("n_steps", [2, 11, 16, 51, 251, 1000])
def test_logsnr_steps_are_distinct_and_reach_both_ends(n_steps: int) -> None:
    steps = Schedule.linear().respaced(n_steps, spacing="logsnr").timesteps
    assert len(steps) == n_steps
    assert (np.diff(steps) > 0).all()
    assert (steps[0], steps[-1]) == (0, 999)


def test_logsnr_steps_are_even_in_log_snr() -> None:
    process = Schedule.linear()
    gaps = -np.diff(np.log(process.respaced(13, spacing="logsnr").snr))
    assert gaps.max() / gaps.min() < 1.5


@pytest.mark.parametrize("n_steps", [1, 1001])
def test_logsnr_refuses_what_it_cannot_give(n_steps: int) -> None:
    with pytest.raises(ConfigError, match=str(n_steps)):
        Schedule.linear().respaced(n_steps, spacing="logsnr")


def test_noise_of_a_seed_does_not_depend_on_its_batch() -> None:
    together = seeded_noise([3, 5, 7], (2, 4))
    assert torch.equal(seeded_noise([5], (2, 4))[0], together[1])
    assert not torch.equal(together[0], together[1])


def test_an_unknown_solver_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'ddim'"):
        solver("dim")
