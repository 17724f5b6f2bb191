"""A painter in fewer evaluations: it learns where the path of a finished painter ends, from a few places on it.

DDIM is deterministic: one noise and one view give one painting. A student that says at once where the path from a noise
ends paints the same in one evaluation, or better in two (Luhman & Luhman 2021; Salimans & Ho 2022).
"""

from __future__ import annotations

from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from emorph.core.config import Config
from emorph.diffusion.process import eps_from
from emorph.diffusion.samplers import ddim_sample
from emorph.models.painter import Painter, PainterConfig, trailing


class FewStepsConfig(Config):
    """teacher: the finished painter, a folder. teacher_steps: its evaluations. steps: those that the student is for."""

    teacher: str
    teacher_steps: int = Field(8, gt=0)
    steps: int = Field(2, gt=0)

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.teacher_steps % self.steps:
            raise ValueError(f"teacher_steps {self.teacher_steps} is not a multiple of steps {self.steps}")
        return self


class FewStepsLoss(nn.Module):
    """The student and its loss in one module; the teacher is no part of it, and is not trained."""

    def __init__(self, config: PainterConfig, few: FewStepsConfig, teacher: Painter) -> None:
        super().__init__()
        self.model = Painter(config)
        self.few = few
        self._teacher = [teacher.eval().requires_grad_(False)]  # in a list: a module's modules are trained and saved

    def forward(self, x0: Tensor, view: Tensor, wish: Tensor, t: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """The mean squared error of v over hidden pixels, at one of the student's time steps, which t chooses.

        Arguments as for ``PainterLoss``; x0, what was there, is not looked at: the teacher's painting stands for it.
        """
        path, end = self._path(view, wish, noise)
        every = trailing(self.model.diffusion, self.few.teacher_steps).timesteps[::-1]
        stride = self.few.teacher_steps // self.few.steps
        node = t % self.few.steps * stride
        x_t = path[node, torch.arange(len(node), device=node.device)]
        steps = torch.from_numpy(every.copy()).to(t)[node]
        alpha, sigma = self.model.rates[steps].reshape(-1, 2, 1, 1, 1).unbind(1)
        hidden = view[:, 3:4]
        errors = (self.model(x_t, steps, view, wish).float() - (alpha * x_t - end) / sigma).square() * hidden
        return {"loss": errors.sum() / (3 * hidden.sum()).clamp(min=1)}

    @torch.no_grad()
    def _path(self, view: Tensor, wish: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Where the teacher's path is before each of its evaluations, (n, B, 3, H, W), and where it ends."""
        teacher = self._teacher[0].to(noise.device)
        states = [noise]

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            return eps_from(teacher(x_t, t, view, wish).float(), x_t, t, teacher.rates, "v")

        schedule = trailing(teacher.diffusion, self.few.teacher_steps)
        end = ddim_sample(denoise, noise, schedule, clamp=False, on_step=lambda i, x, x0: states.append(x))
        return torch.stack(states[:-1]), end
