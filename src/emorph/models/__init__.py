"""The networks, and the loader that recognises any of them from its file."""

from emorph.models.diffae import DiffAE, DiffAEConfig

__all__ = ["DiffAE", "DiffAEConfig"]
