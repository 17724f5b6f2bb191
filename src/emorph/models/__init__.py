"""The networks, and the loader that recognises any of them from its file."""

from emorph.models.deca import DecaEncoder
from emorph.models.diffae import DiffAE, DiffAEConfig
from emorph.models.emoca import EmocaEncoder
from emorph.models.port import load, load_any, load_face_encoder, load_rig
from emorph.models.rig import Rig, RigConfig

__all__ = [
    "DecaEncoder",
    "DiffAE",
    "DiffAEConfig",
    "EmocaEncoder",
    "Rig",
    "RigConfig",
    "load",
    "load_any",
    "load_face_encoder",
    "load_rig",
]
