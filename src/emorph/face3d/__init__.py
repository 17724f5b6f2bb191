"""3D faces: coefficients to a mesh, a mesh to pictures, and landmarks back to coefficients."""

from emorph.face3d.buffers import PhotoFrame, render_buffers
from emorph.face3d.fit import Fit, fit_landmarks
from emorph.face3d.flame import FLAME
from emorph.face3d.ict import ICT
from emorph.face3d.model import FaceModel, neutral
from emorph.face3d.raster import rasterize

__all__ = ["FLAME", "ICT", "FaceModel", "Fit", "PhotoFrame", "fit_landmarks", "neutral", "rasterize", "render_buffers"]
