"""The forward process, the ways of predicting, and the loss weights."""

import numpy as np
import pytest
import torch

from emorph.diffusion import Schedule, q_sample
from emorph.diffusion.process import Prediction, eps_from, loss_weight, rates, training_target

TABLE = rates(Schedule.linear(), torch.float64)
T = torch.tensor([0, 100, 500, 999])


@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
def test_a_perfect_network_gives_back_the_noise(prediction: Prediction) -> None:
    x0, noise = torch.randn(4, 1, 8, 8).double(), torch.randn(4, 1, 8, 8).double()
    x_t = q_sample(x0, T, noise, TABLE)
    raw = training_target(x0, T, noise, TABLE, prediction)
    torch.testing.assert_close(eps_from(raw, x_t, T, TABLE, prediction), noise)


def test_one_squared_error_weighs_the_same_from_every_prediction() -> None:
    """A network that is wrong by d in x0 has the same weighted loss whatever it predicts."""
    x0, noise, d = (torch.randn(4, 1, 8, 8).double() for _ in range(3))
    x_t = q_sample(x0, T, noise, TABLE)
    wrong_x0 = x0 + d
    alpha, sigma = TABLE[T].reshape(-1, 2, 1, 1, 1).unbind(1)
    wrong_eps = (x_t - alpha * wrong_x0) / sigma
    for kind in ("p2", "min_snr"):
        losses = []
        for prediction in ("eps", "v", "x0"):
            right = training_target(x0, T, noise, TABLE, prediction)
            wrong = training_target(wrong_x0, T, wrong_eps, TABLE, prediction)
            error = (right - wrong).square().mean(dim=(1, 2, 3))
            losses.append(error * loss_weight(T, TABLE, prediction, kind))
        torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=0)
        torch.testing.assert_close(losses[0], losses[2], rtol=1e-5, atol=0)


def test_p2_on_noise_is_the_published_formula() -> None:
    snr = Schedule.linear().snr[T.numpy()]
    found = loss_weight(T, TABLE, "eps", "p2", p2_gamma=0.5, p2_k=1.0)
    np.testing.assert_allclose(found.numpy(), 1 / (1 + snr) ** 0.5, rtol=1e-6)


def test_plain_weight_is_one() -> None:
    assert loss_weight(T, TABLE, "v").tolist() == [1.0] * 4
