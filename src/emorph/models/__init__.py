"""The networks, and the loader that recognises any of them from its file."""

from emorph.models.diffae import DiffAE, DiffAEConfig
from emorph.models.port import load

__all__ = ["DiffAE", "DiffAEConfig", "load"]
