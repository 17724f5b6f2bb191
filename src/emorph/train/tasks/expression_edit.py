"""The picture that the editor makes, in one step and differentiable: a crop moved, redrawn, and held steady.

The editor moves a crop to where its landmarks go, draws it again with the target's z_sem, and takes over only a part
of what that changes. Most of an expression lies in where landmarks go, so that gradients flow back through them, too.
What the chain of the editor changes is put here as what one step changes: from the same noisy picture, once with the
moved crop's own z_sem and once with the target's. The mouth's inside is left to the painter, which no loss sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from emorph.core.landmarks import CHIN, INNER
from emorph.core.types import Float64, Target
from emorph.diffusion.process import q_sample, x0_from
from emorph.edit.latent import is_even, landmark_steps, openings
from emorph.edit.redraw import resampled, taken_codes
from emorph.edit.steady import drawable, held_steady
from emorph.face3d.camera import screen_to_pixels
from emorph.faces.gape import Openings
from emorph.faces.mouth import newly_open
from emorph.faces.slits import GROUPS, Slit, sides, with_lashes
from emorph.faces.turned import expressed
from emorph.faces.warp import STIFFNESS, anchors, rows_of
from emorph.models.shift import target_of

if TYPE_CHECKING:
    from emorph.models.diffae import DiffAE
    from emorph.models.directions import Directions

NOISIEST = 0.6  # of the time steps, from which on one step changes what the editor's chain does (cosine 0.83 to 0.93)


class FacesToEdit(NamedTuple):
    """B faces of a step, and what is asked of each, in the order in which the loss takes them.

    x: (B, C, S, S) in [-1, 1]. start: what noise is added to, as the model sees pictures; of a chain their x_T.
    z, z_to: (B, z_dim), of the face and as the directions edit it. asked: (B, N_ASKED) of ``asked_for``; strength:
    (B, 1). points: (B, 68, 2) in [-1, 1]. t: int64 (B,), drawn evenly from all time steps; noise: like x.
    """

    x: Tensor
    start: Tensor
    z: Tensor
    z_to: Tensor
    asked: Tensor
    strength: Tensor
    points: Tensor
    t: Tensor
    noise: Tensor

    def targets(self) -> list[Target]:
        """What is asked of each face, which only numbers tell: a trial on shapes has none."""
        return [target_of(row, share) for row, share in zip(self.asked, self.strength[:, 0].tolist(), strict=True)]


def edited_in_one_step(model: DiffAE, directions: Directions, faces: FacesToEdit) -> tuple[Tensor, Tensor]:
    """The crop moved, and as the edit has it then: (B, C, S, S) in [-1, 1] each.

    faces: as the model sees pictures, without their tone. The noisiest time steps are taken in place of theirs.
    """
    x0, z_to, targets = faces.x, faces.z_to, faces.targets()
    n_steps = model.diffusion.n_train_steps
    t = int(NOISIEST * n_steps) + (faces.t * (1 - NOISIEST)).long()
    side, kind = x0.shape[-1], x0.device.type
    before = screen_to_pixels(faces.points, (side, side)).double()
    with torch.autocast(kind, enabled=False):
        even = [is_even(target) for target in targets]
        steps = landmark_steps(faces.z.float(), z_to.float(), directions.to(z_to.device), even).double() * (side / 2)
        goals, share = _goals(before, before + steps, side, openings(directions, targets))
        moved = resampled(x0, smooth_motion(before, goals, side)).clamp(-1, 1)
    with torch.no_grad():
        x_t = q_sample(moved, t, faces.noise, model.rates)
        own = _drawn(model, x_t, t, model.encode(moved))
    taken = taken_codes(faces.z[:, None], z_to[:, None], list(before.cpu().numpy()))[:, 0]
    change = _drawn(model, x_t, t, taken) - own
    with torch.autocast(kind, enabled=False):
        return moved, held_steady(moved, moved + change, share.to(moved))


def smooth_motion(before: Tensor, after: Tensor, side_px: int) -> Tensor:
    """``emorph.faces.warp.motion_between`` of B faces, through which gradients flow back to where landmarks go.

    before, after: (B, 68, 2) (x, y) in crop pixels. Returns float32 (B, S, S, 2).
    """
    before, after = before.double(), after.double()
    still = torch.from_numpy(np.stack([anchors(own, side_px) for own in before.cpu().numpy()])).to(after)
    pairs = list(zip(before.detach().cpu().numpy(), after.detach().cpu().numpy(), strict=True))
    wider = torch.from_numpy(np.stack([with_lashes(own, to) - own for own, to in pairs])).to(after)
    start, end = (torch.cat([p[:, CHIN], p[:, INNER], still], dim=1) for p in (before + wider, after))
    n = end.shape[1]
    affine = torch.cat([torch.ones_like(end[..., :1]), end], dim=2)
    stiff = STIFFNESS * side_px**2 * torch.eye(n).to(end)
    upper = torch.cat([_bending((end[:, :, None] - end[:, None]).square().sum(dim=3)) + stiff, affine], dim=2)
    lower = torch.cat([affine.mT, end.new_zeros(len(end), 3, 3)], dim=2)
    known = _known_points(n).to(end)  # (5, n + 3): by all points, and without one side of the slits
    systems = torch.cat([upper, lower], dim=1) * (known[:, None, :, None] * known[:, None, None])
    systems = systems + torch.diag_embed(1 - known)[:, None]
    values = torch.cat([start - end, end.new_zeros(len(end), 3, 2)], dim=1) * known[:, None, :, None]
    bends, flat = torch.linalg.solve(systems, values).float().split([n, 3], dim=2)
    at, centres = torch.arange(side_px, device=end.device).float(), end.float()
    across, down = ((at[None, :, None] - centres[:, None, :, i]).square() for i in range(2))  # (B, S, n) each
    kernel = _bending(down[:, :, None] + across[:, None])  # (B, S, S, n)
    y, x = torch.meshgrid(at, at, indexing="ij")
    ramp = torch.stack([torch.ones_like(x), x, y], dim=-1)
    both, *parts = kernel @ bends[:, :, None] + ramp @ flat[:, :, None]
    field: Tensor = both
    for group, above, below in zip(GROUPS, parts[::2], parts[1::2], strict=True):
        for slit in group:
            share, side = (each.to(both) for each in _shares(slit, pairs, side_px))
            field = field + share * (torch.lerp(above, below, side) - both)
    return field


def _known_points(n: int) -> Tensor:
    """Which of a spline's n points, and of its three coefficients more, each of the fields knows, (5, n + 3)."""
    lost = [[], *(side for group in GROUPS for side in sides(group))]
    known = torch.ones(len(lost), n + 3)
    for row, landmarks in zip(known, lost, strict=True):
        row[rows_of(landmarks)] = 0
    return known


def _shares(slit: Slit, pairs: Sequence[tuple[Float64, Float64]], side_px: int) -> tuple[Tensor, Tensor]:
    """How far its sides are moved each by itself, and which pixels lie below it, (B, S, S, 1) each.

    Taken as given by the gradients. pairs: landmarks (68, 2) before and after, of B faces.
    """
    below, near = zip(*(slit.below(after, side_px) for _, after in pairs), strict=True)
    parted = np.array([slit.parted(*pair) for pair in pairs], np.float32)[:, None, None]
    return torch.from_numpy(parted * np.stack(near))[..., None], torch.from_numpy(np.stack(below))[..., None]


def _bending(squared: Tensor) -> Tensor:
    return squared * squared.clamp(min=1e-12).log()


def _goals(before: Tensor, after: Tensor, side_px: int, asked: Sequence[Openings]) -> tuple[Tensor, Tensor]:
    """Where landmarks go once they are in order, (B, 68, 2), and what an edit may draw then, (B, 1, S, S).

    What sets lids and lips apart, and what may be drawn, is taken as given by the gradients.
    """
    goals, shares = [], []
    for own, to, opening in zip(before.detach().cpu().numpy(), after.detach().cpu().numpy(), asked, strict=True):
        goals.append(expressed(own, to, opening))
        shares.append(drawable(own, goals[-1], newly_open(own, goals[-1], side_px)))
    in_place = torch.from_numpy(np.array(goals)).to(after)
    return after + (in_place - after.detach()), torch.from_numpy(np.array(shares))[:, None].to(after)


def _drawn(model: DiffAE, x_t: Tensor, t: Tensor, z: Tensor) -> Tensor:
    raw = model.predict(x_t, t, z).float()
    return x0_from(raw, x_t, t, model.rates, model.config.prediction).clamp(-1, 1)
