"""3D faces: coefficients to a mesh, a mesh to pictures, and landmarks back to coefficients."""

from emorph.face3d.flame import FLAME
from emorph.face3d.ict import ICT

__all__ = ["FLAME", "ICT"]
