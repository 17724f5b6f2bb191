"""How a rig draws a face with another look: move what can be moved, and draw what moving alone cannot.

A face's landmarks go where those of its mesh go. The crop and its buffers are moved there first; the noise that holds
the moved crop under the moved buffers then holds the face where the new buffers show it, where it would else hold, say,
the outlines of a mouth that is closed by now. Light is drawn last, and carried over as a change of brightness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from emorph.core.images import to_levels
from emorph.core.types import FaceCoeffs, Float32, Photo
from emorph.diffusion.noise import seeded_noise
from emorph.diffusion.samplers import Solver
from emorph.edit.codec import OnStep
from emorph.edit.redraw import Change, crop_points, motions, moved, paste
from emorph.edit.rig_mouth import darkened
from emorph.edit.rig_parts import Look, RigFace
from emorph.face3d.camera import project
from emorph.face3d.model import FaceModel
from emorph.faces.paste import paste_light
from emorph.models.rig import Rig
from emorph.models.rig_faces import rig_buffers

LOOKS_AT_ONCE = 4  # drawn in one batch, each up to three times
_GEOMETRY = ("shape", "expression", "pose", "jaw", "camera")


@dataclass(frozen=True)
class Drawing:
    """What a look changes in the crop of a face.

    change: all but the light. lit: its ``after`` in the look's light, float32 (S, S, C) in 0..255.
    anew: drawn from noise that knows nothing of the photo, whose own detail then does not fit.
    """

    change: Change
    lit: Float32
    anew: bool = False


class RigPainter:
    """Draws looks of faces with a rig and a solver."""

    def __init__(self, rig: Rig, face: FaceModel, solver: Solver, steps: int, mesh_device: torch.device) -> None:
        self.rig, self.face, self.mesh_device, self.steps = rig, face, mesh_device, steps
        self._solver, self._schedule = solver, solver.schedule(rig.diffusion, steps)

    def n_steps(self, n_looks: int, *, seed: int | None) -> int:
        """How often ``draw`` reports for so many looks."""
        groups = -(-n_looks // LOOKS_AT_ONCE)
        return self.steps * (groups * 2 if seed is None else groups)

    @torch.inference_mode()
    def draw(self, face: RigFace, looks: Sequence[Look], *, seed: int | None, on_step: OnStep | None) -> list[Drawing]:
        """A drawing for each look. seed: see ``RigEditor.transfer``. on_step(done, total)."""
        report = on_step and _Counter(on_step, self.n_steps(len(looks), seed=seed))
        groups = [looks[i : i + LOOKS_AT_ONCE] for i in range(0, len(looks), LOOKS_AT_ONCE)]
        if seed is None:
            return [drawing for group in groups for drawing in self._redrawn(face, group, report)]
        x_T = seeded_noise([seed], face.picture.shape[1:], face.picture.device)
        return [drawing for group in groups for drawing in self._anew(face, group, x_T, report)]

    def _redrawn(self, face: RigFace, looks: Sequence[Look], report: _Counter | None) -> list[Drawing]:
        """From the noise that holds the moved crop. A look that changes nothing gives back the crop as it is."""
        unlit = [replace(look.coeffs, light=face.coeffs.light) for look in looks]
        places = self._places([face.coeffs, *unlit])
        steps = (places[1:] - places[:1])[None]
        fields, opened = motions([face.aligned], steps)
        start = moved(face.picture, fields)[0]
        begun = darkened(start, opened[0], crop_points(face.aligned, steps[0])[1])
        before = moved(self._buffers([face.coeffs]), fields, clamp=False)[0]
        rows = [unlit]
        if any(not torch.equal(look.coeffs.light, face.coeffs.light) for look in looks):
            rows.append([look.coeffs for look in looks])
        drawn = self._through_noise(face, looks, begun, before, rows, report)
        found = []
        for i, look in enumerate(looks):
            own = face.picture[0] if _same(look, face) else None
            crops = [start[i], *(row[i] for row in drawn)] if own is None else [own] * (1 + len(drawn))
            levels = to_levels(torch.stack(crops))
            motion = fields[0, i] if own is None and fields[0, i].any() else None
            found.append(Drawing(Change(levels[0], levels[1], motion, opened[0, i]), levels[-1]))
        return found

    def _through_noise(
        self,
        face: RigFace,
        looks: Sequence[Look],
        begun: Tensor,
        before: Tensor,
        rows: Sequence[Sequence[FaceCoeffs]],
        report: _Counter | None,
    ) -> tuple[Tensor, ...]:
        """Crops ``begun`` (n, C, S, S), which buffers ``before`` show, as each of the rows of coefficients has them."""
        own, new = face.code.expand(len(looks), -1), torch.cat([look.code for look in looks])
        x_T = self._solver.invert(self.rig.denoiser(before, own), begun, self._schedule, on_step=report)
        buffers = torch.cat([before, *(self._buffers(row) for row in rows)])
        denoise = self.rig.denoiser(buffers, torch.cat([own, *[new] * len(rows)]))
        drawn = self._solver.sample(denoise, x_T.repeat(1 + len(rows), 1, 1, 1), self._schedule, on_step=report)
        again, *changed = drawn.clamp(-1, 1).chunk(1 + len(rows))
        lost = begun - again  # what the solver loses on the way there and back
        return tuple((each + lost).clamp(-1, 1) for each in changed)

    def _anew(self, face: RigFace, looks: Sequence[Look], x_T: Tensor, report: _Counter | None) -> list[Drawing]:
        """From noise that knows nothing of the face, as the official code does."""
        coeffs = [face.coeffs, *(look.coeffs for look in looks)]
        denoise = self.rig.denoiser(self._buffers(coeffs), torch.cat([face.code, *(look.code for look in looks)]))
        drawn = self._solver.generate(denoise, x_T.expand(len(coeffs), -1, -1, -1), self._schedule, on_step=report)
        before, *after = to_levels(drawn.clamp(-1, 1))
        return [Drawing(Change(before, levels), levels, anew=True) for levels in after]

    def _buffers(self, coeffs: Sequence[FaceCoeffs]) -> Tensor:
        side = self.rig.config.image_size
        found = [rig_buffers(self.face, one.to(self.mesh_device), side) for one in coeffs]
        return torch.cat(found).to(next(self.rig.parameters()).device)

    def _places(self, coeffs: Sequence[FaceCoeffs]) -> Tensor:
        """The mesh's landmarks on the crop's screen, (n, 68, 2)."""
        found = []
        for one in coeffs:
            here = one.to(self.mesh_device)
            marks = self.face.landmarks(self.face.vertices(here), here.pose)
            found.append(project(marks, here.camera)[..., :2])
        return torch.cat(found)


def _same(look: Look, face: RigFace) -> bool:
    fields = (*_GEOMETRY, "light", "texture")
    alike = all(torch.equal(getattr(look.coeffs, name), getattr(face.coeffs, name)) for name in fields)
    return alike and torch.equal(look.code, face.code)


def paste_drawing(photo: Photo, face: RigFace, drawing: Drawing) -> Photo:
    """The photo with a drawing of its face: what moved is moved, what is new added, the light carried over."""
    result = paste(photo, face.aligned, drawing.change, keep_detail=not drawing.anew)
    return paste_light(result, face.aligned, drawing.change.after, drawing.lit)


class _Counter:
    """Counts the steps of several samplers as those of one."""

    def __init__(self, on_step: OnStep, total: int) -> None:
        self.on_step, self.total, self.done = on_step, total, 0

    def __call__(self, i: int, x: Tensor, x0: Tensor) -> None:
        self.done += 1
        self.on_step(self.done, self.total)
