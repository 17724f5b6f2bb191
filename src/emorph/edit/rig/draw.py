"""How a rig draws a face with another look: move what can be moved, and draw what moving alone cannot.

A face's landmarks go where those of its mesh go. The crop and its buffers are moved there first; the noise that holds
the moved crop under the moved buffers then holds the face where the new buffers show it, where it would else hold, say,
the outlines of a mouth that is closed by now. Light is drawn last, and carried over as a change of brightness.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from emorph.core.images import to_levels
from emorph.core.types import FaceCoeffs, Float32, OnStep
from emorph.diffusion.noise import seeded_noise
from emorph.diffusion.samplers import Solver
from emorph.edit.change import CropChange
from emorph.edit.redraw import crop_points, motions, move_crops
from emorph.edit.rig.mouth import darkened
from emorph.edit.rig.parts import Look, RigFace
from emorph.face3d.action_units import BLINKS
from emorph.face3d.camera import project
from emorph.face3d.ict import ICT
from emorph.face3d.model import FaceModel
from emorph.face3d.skinning import rodrigues
from emorph.faces.gape import Openings
from emorph.models.rig import Rig
from emorph.models.rig_faces import rig_buffers

LOOKS_AT_ONCE = 4  # drawn in one batch, each up to three times
SHUTTING = 0.6  # of a blink: less of it a fit finds in narrow eyes as well, and landmarks tell how far they close
_GEOMETRY = ("shape", "expression", "pose", "jaw", "camera")
_Kind = Literal["same", "anew", "still", "moving"]


@dataclass(frozen=True)
class _Held:
    """Crops (n, C, S, S), buffers (n, 9, S, S) that show them, and the noise that holds them under these buffers.

    n is the number of looks drawn from them, or 1 for all.
    """

    crops: Tensor
    buffers: Tensor
    x_T: Tensor


_Drawer = Callable[[RigFace, Sequence[Look], "_Counter | None"], list[CropChange]]


class RigPainter:
    """Draws looks of faces with a rig and a solver."""

    def __init__(self, rig: Rig, face_model: FaceModel, solver: Solver, steps: int, mesh_device: torch.device) -> None:
        self.rig, self.face_model, self.mesh_device, self.steps = rig, face_model, mesh_device, steps
        self._solver, self._schedule = solver, solver.schedule(rig.diffusion, steps)

    @torch.inference_mode()
    def draw(
        self,
        faces: Sequence[RigFace],
        looks: Sequence[Sequence[Look]],
        *,
        seed: int | None,
        on_step: OnStep | None,
    ) -> list[list[CropChange]]:
        """What each look changes; ``looks`` has a row for each face. A look that a face has already is not drawn.

        seed: None moves the crop's pixels and draws the rest from the noise that holds them; a number draws the whole
        face from this seed's noise.
        """
        kinds = [[_kind(look, face, seed) for look in row] for face, row in zip(faces, looks, strict=True)]
        report = on_step and _Counter(on_step, sum(map(self._n_steps, kinds)))
        return [self._of_face(*each, seed, report) for each in zip(faces, looks, kinds, strict=True)]

    def _n_steps(self, kinds: Sequence[_Kind]) -> int:
        anew, still, moving = (-(-kinds.count(kind) // LOOKS_AT_ONCE) for kind in ("anew", "still", "moving"))
        return self.steps * (anew + still + (still > 0) + 2 * moving)

    def _of_face(
        self, face: RigFace, looks: Sequence[Look], kinds: Sequence[_Kind], seed: int | None, report: _Counter | None
    ) -> list[CropChange]:
        changes = [CropChange.nothing(to_levels(face.picture)[0])] * len(looks)
        drawers: dict[_Kind, _Drawer] = {
            "still": self._still,
            "moving": self._moving,
            "anew": partial(self._anew, seed=seed or 0),
        }
        for kind, draw in drawers.items():
            numbers = [i for i, each in enumerate(kinds) if each == kind]
            drawn = draw(face, [looks[i] for i in numbers], report) if numbers else []
            for i, change in zip(numbers, drawn, strict=True):
                changes[i] = change
        return changes

    def _still(self, face: RigFace, looks: Sequence[Look], report: _Counter | None) -> list[CropChange]:
        """Looks that move nothing, from the noise that holds the crop as it is."""
        held = self._held(face, face.picture, self._buffers([face.coeffs]), report)
        own = to_levels(face.picture)[0]
        rows = [row for group in _groups(looks) for row in self._through_noise(face, group, held, report)]
        return [CropChange(own, after, lit=lit) for after, lit in rows]

    def _moving(self, face: RigFace, looks: Sequence[Look], report: _Counter | None) -> list[CropChange]:
        """Looks that move landmarks, each from the noise that holds the crop as it moves it."""
        buffers, changes = self._buffers([face.coeffs]), []
        for group in _groups(looks):
            places = torch.cat([self._places(face.coeffs), *(self._places(look.coeffs, look.beyond) for look in group)])
            steps = (places[1:] - places[:1])[None]
            shut = [Openings(lids=_lids(self.face_model, face.coeffs, look.coeffs)) for look in group]
            motion = motions([face.aligned], steps, openings=[shut])
            start = move_crops(face.picture, motion.fields)[0]
            begun = darkened(start, motion.opened[0], crop_points(face.aligned, steps[0])[1])
            held = self._held(face, begun, move_crops(buffers, motion.fields, clamp=False)[0], report)
            rows = self._through_noise(face, group, held, report)
            of_group = zip(to_levels(start), rows, motion.fields[0], motion.opened[0], motion.landmarks[0], strict=True)
            for before, (after, lit), field, opened, landmarks in of_group:
                moves = bool(field.any())
                changes.append(
                    CropChange(before, after, field if moves else None, opened, landmarks if moves else None, lit)
                )
        return changes

    def _held(self, face: RigFace, crops: Tensor, buffers: Tensor, report: _Counter | None) -> _Held:
        denoise = self.rig.denoiser(buffers, face.code.expand(len(crops), -1))
        return _Held(crops, buffers, self._solver.invert(denoise, crops, self._schedule, on_step=report))

    def _through_noise(
        self, face: RigFace, looks: Sequence[Look], held: _Held, report: _Counter | None
    ) -> list[tuple[Float32, Float32 | None]]:
        """Levels (S, S, C) of what is held, as each look has it: in the face's own light; in the look's, if another."""
        light = face.coeffs.light
        rows = [[replace(look.coeffs, light=light) for look in looks]]
        if any(not torch.equal(look.coeffs.light, light) for look in looks):
            rows.append([look.coeffs for look in looks])
        own, new = face.code.expand(len(held.crops), -1), torch.cat([look.code for look in looks])
        buffers = torch.cat([held.buffers, *(self._buffers(row) for row in rows)])
        denoise = self.rig.denoiser(buffers, torch.cat([own, *[new] * len(rows)]))
        each = held.x_T.expand(len(looks), -1, -1, -1)
        drawn = self._solver.sample(denoise, torch.cat([held.x_T, *[each] * len(rows)]), self._schedule, on_step=report)
        drawn, n_held = drawn.clamp(-1, 1), len(held.crops)
        lost = held.crops - drawn[:n_held]  # what the solver loses on the way there and back
        unlit, *lit = [to_levels((part + lost).clamp(-1, 1)) for part in drawn[n_held:].chunk(len(rows))]
        return list(zip(unlit, lit[0] if lit else [None] * len(looks), strict=True))

    def _anew(self, face: RigFace, looks: Sequence[Look], report: _Counter | None, *, seed: int) -> list[CropChange]:
        """From noise that knows nothing of the face, as the official code does."""
        x_T = seeded_noise([seed], face.picture.shape[1:], face.picture.device)
        changes = []
        for group in _groups(looks):
            coeffs = [face.coeffs, *(look.coeffs for look in group)]
            denoise = self.rig.denoiser(self._buffers(coeffs), torch.cat([face.code, *(look.code for look in group)]))
            start = x_T.expand(len(coeffs), -1, -1, -1)
            drawn = self._solver.generate(denoise, start, self._schedule, on_step=report)
            before, *after = to_levels(drawn.clamp(-1, 1))
            changes += [CropChange(before, levels, keep_detail=False) for levels in after]
        return changes

    def _buffers(self, coeffs: Sequence[FaceCoeffs]) -> Tensor:
        side = self.rig.config.image_size
        buffers = [rig_buffers(self.face_model, one.to(self.mesh_device), side) for one in coeffs]
        return torch.cat(buffers).to(next(self.rig.parameters()).device)

    def _places(self, coeffs: FaceCoeffs, beyond: Tensor | None = None) -> Tensor:
        """The mesh's landmarks on the crop's screen, (1, 68, 2). beyond: as of a ``Look``."""
        here = coeffs.to(self.mesh_device)
        marks = self.face_model.landmarks(self.face_model.vertices(here), here.pose)
        if beyond is not None:
            marks = marks + beyond.to(marks) @ rodrigues(here.pose).mT
        return project(marks, here.camera)[..., :2]


def _lids(face_model: FaceModel, own: FaceCoeffs, given: FaceCoeffs) -> tuple[float, float]:
    """What is left at most of the left and the right eye's opening as they blink, in the picture, [0, 1]."""
    if not isinstance(face_model, ICT) or not set(BLINKS) <= set(face_model.unit_names):
        return 1.0, 1.0
    rows = [face_model.unit_names.index(name) for name in BLINKS]
    before, after = (coeffs.expression[0, rows].tolist() for coeffs in (own, given))
    left, right = (
        1 - max(0.0, (now - SHUTTING) / (1 - SHUTTING)) if now > was else 1.0
        for was, now in zip(before, after, strict=True)
    )
    return left, right


def _kind(look: Look, face: RigFace, seed: int | None) -> _Kind:
    """What a look asks for: nothing, a face drawn from a seed, other light and looks alone, or landmarks that move."""

    def alike(names: Sequence[str]) -> bool:
        return all(torch.equal(getattr(look.coeffs, name), getattr(face.coeffs, name)) for name in names)

    stays = alike(_GEOMETRY) and (look.beyond is None or not look.beyond.any())
    if stays and alike(("light", "texture")) and torch.equal(look.code, face.code):
        return "same"
    if seed is not None:
        return "anew"
    return "still" if stays else "moving"


def _groups(looks: Sequence[Look]) -> list[Sequence[Look]]:
    return [looks[i : i + LOOKS_AT_ONCE] for i in range(0, len(looks), LOOKS_AT_ONCE)]


class _Counter:
    """Counts the steps of several samplers as those of one."""

    def __init__(self, on_step: OnStep, total: int) -> None:
        self.on_step, self.total, self.done = on_step, total, 0

    def __call__(self, i: int, x: Tensor, x0: Tensor) -> None:
        self.done += 1
        self.on_step(self.done, self.total)
