"""Pictures to codes and back: a diffusion autoencoder with a sampler and a number of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from emorph.core.types import OnStep
from emorph.diffusion.noise import seeded_noise
from emorph.diffusion.samplers import Denoise, solver
from emorph.models.diffae import DiffAE

FRESH_NOISE = 0.5  # of the usual size: what is drawn from it is typical, if a little smooth
MAX_ROWS = 32  # pictures drawn together: several faces times many targets must not fill the memory


class Codec:
    """x_T and pictures (N, C, S, S) in [-1, 1], z_sem (N, z_dim); any N, in bounded memory.

    on_step(done, total): total is the network's evaluations of one row, however many rows there are; of rows that are
    drawn in several chunks, done is the share of all that is finished, so that a number may come twice.
    reuse: of the network's deep features, see ``DiffAE.denoiser``. way: both of what changes pictures, in words for
    files and records.
    """

    def __init__(self, model: DiffAE, *, steps: int, solver_name: str, reuse: int = 1) -> None:
        self.model = model
        self.steps = steps
        self.reuse = reuse
        self.way = solver_name if reuse == 1 else f"{solver_name}, reuse {reuse}"
        self._solver = solver(solver_name)
        self._schedule = self._solver.schedule(model.diffusion, steps)

    def invert(self, pictures: Tensor, z: Tensor, on_step: OnStep | None = None) -> Tensor:
        """x_T that holds what z does not tell of the pictures."""
        return self._each((pictures, z), on_step, self.steps, self._invert)

    def decode(self, x_T: Tensor, z: Tensor, on_step: OnStep | None = None) -> Tensor:
        """Pictures, clamped."""
        return self._each((x_T, z), on_step, self.steps, self._decode)

    def generate(self, seeds: Sequence[int], z: Tensor, on_step: OnStep | None = None) -> Tensor:
        """Pictures, clamped, from each seed's noise, which holds nothing of any."""
        config = self.model.config
        noise = seeded_noise(seeds, (config.image_channels, config.image_size, config.image_size), z.device)
        return self._each((noise, z), on_step, self.steps, self._generate)

    def redraw(self, pictures: Tensor, z_to: Tensor, new: Tensor, on_step: OnStep | None = None) -> Tensor:
        """The pictures with another z_sem: inverted with their own, decoded with z_to.

        new: (N, 1, S, S) in [0, 1], where the pictures hold nothing to be kept: x_T fades to noise there, the same for
        all rows.
        """
        noise = FRESH_NOISE * seeded_noise([0], pictures.shape[1:], pictures.device)

        def both(x: Tensor, z: Tensor, fresh: Tensor, on_step: OnStep) -> Tensor:
            x_T = self._invert(x, self.model.encode(x), on_step)
            x_T = torch.lerp(x_T, noise, F.max_pool2d(fresh, 3, stride=1, padding=1))
            return self._decode(x_T, z, lambda done, total: on_step(self.steps + done, total))

        return self._each((pictures, z_to, new), on_step, 2 * self.steps, both)

    def _invert(self, x: Tensor, z: Tensor, on_step: OnStep) -> Tensor:
        return self._solver.invert(self._denoiser(z), x, self._schedule, on_step=self._counted(on_step))

    def _decode(self, x_T: Tensor, z: Tensor, on_step: OnStep) -> Tensor:
        x0 = self._solver.sample(self._denoiser(z), x_T, self._schedule, on_step=self._counted(on_step))
        return x0.clamp(-1, 1)

    def _generate(self, noise: Tensor, z: Tensor, on_step: OnStep) -> Tensor:
        x0 = self._solver.generate(self._denoiser(z), noise, self._schedule, on_step=self._counted(on_step))
        return x0.clamp(-1, 1)

    def _denoiser(self, z: Tensor) -> Denoise:
        return self.model.denoiser(z, reuse=self.reuse)

    def _counted(self, on_step: OnStep) -> Callable[[int, Tensor, Tensor], None]:
        return lambda i, x, x0: on_step(i + 1, self.steps)

    def _each(
        self,
        rows: tuple[Tensor, ...],
        on_step: OnStep | None,
        total: int,
        work: Callable[..., Tensor],
    ) -> Tensor:
        chunks = list(zip(*(torch.split(tensor, MAX_ROWS) for tensor in rows), strict=True))

        def report(k: int) -> OnStep:
            return lambda done, _: on_step((k * total + done) // len(chunks), total) if on_step else None

        def results() -> Iterator[Tensor]:
            for k, parts in enumerate(chunks):
                yield work(*parts, report(k))

        return torch.cat(list(results()))
