"""The diffusion process: schedules, losses, samplers in both directions."""

from emorph.diffusion.noise import seeded_noise
from emorph.diffusion.process import q_sample
from emorph.diffusion.samplers import ddim_invert, ddim_sample
from emorph.diffusion.schedule import Schedule

__all__ = ["Schedule", "ddim_invert", "ddim_sample", "q_sample", "seeded_noise"]
