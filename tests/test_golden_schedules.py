"""Schedules against the recorded ones: float64 to 1e-12, time steps exactly."""

import numpy as np
import pytest

from emorph.core.errors import ConfigError
from emorph.diffusion import Schedule
from golden_cases import case

GOLDEN = case("schedules").arrays


def same(found: np.ndarray, name: str) -> None:
    np.testing.assert_allclose(found, GOLDEN[f"out_{name}"], rtol=1e-12, atol=1e-14)


def test_betas() -> None:
    same(Schedule.linear(1000).betas, "betas_linear_1000")
    same(Schedule.linear(100).betas, "betas_linear_100")
    same(Schedule.constant(0.008).betas[:3], "betas_const0.008_1000")
    same(Schedule.cosine(1000).betas[::37], "betas_cosine_1000")


@pytest.mark.parametrize("name", ["10", "20", "50", "100", "250", "ddim10", "ddim20", "ddim50", "ddim100", "ddim250"])
def test_respaced(name: str) -> None:
    n_steps = int(name.removeprefix("ddim"))
    schedule = Schedule.linear().respaced(n_steps, spacing="ddim" if name.startswith("ddim") else "even")
    assert schedule.timesteps.tolist() == GOLDEN[f"out_timesteps_{name}"].tolist()
    same(schedule.alphas_cumprod, f"alphas_cumprod_{name}")
    same(schedule.betas, f"betas_{name}")


def test_other_lengths_and_sections() -> None:
    assert Schedule.linear().respaced(1000).timesteps.tolist() == GOLDEN["out_timesteps_ddim1000"].tolist()
    even = Schedule.linear(100).respaced(10, spacing="even")
    assert even.timesteps.tolist() == GOLDEN["out_timesteps_T100_10"].tolist()
    long = Schedule.linear(4000).respaced(50, spacing="ddim")
    assert long.timesteps.tolist() == GOLDEN["out_timesteps_T4000_ddim50"].tolist()
    sections = Schedule.linear(300).respaced((10, 15, 20))
    assert sections.timesteps.tolist() == GOLDEN["out_timesteps_T300_10,15,20"].tolist()


@pytest.mark.parametrize(
    ("n_steps", "possible"), [(1, False), (30, True), (60, False), (150, False), (300, False), (999, False)]
)
def test_ddim_needs_an_integer_stride(n_steps: int, possible: bool) -> None:
    schedule = Schedule.linear()
    if possible:
        assert schedule.respaced(n_steps, spacing="ddim").timesteps[:3].tolist() == [0, 34, 68]
    else:
        with pytest.raises(ConfigError, match=str(n_steps)):
            schedule.respaced(n_steps, spacing="ddim")
        even = schedule.respaced(n_steps)  # the default falls back to even spacing
        assert len(even) == n_steps
        assert n_steps == 1 or even.timesteps[-1] == 999


def test_more_steps_than_there_are_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot take 1001 of 1000"):
        Schedule.linear().respaced(1001)


def test_tables_of_neighbouring_steps() -> None:
    twenty = Schedule.linear().respaced(20, spacing="ddim")
    same(twenty.alphas_cumprod_prev, "ddim20_alphas_cumprod_prev")
    same(twenty.alphas_cumprod_next, "ddim20_alphas_cumprod_next")


def test_signal_to_noise_ratio() -> None:
    same(Schedule.linear().snr[::37], "full_snr_stride37")
    same(Schedule.linear().alphas_cumprod[::37], "full_alphas_cumprod_stride37")
