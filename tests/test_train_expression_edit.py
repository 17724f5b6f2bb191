"""The picture of the way "edit": the editor's own motion and paste, with gradients through both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from emorph.core.errors import ConfigError
from emorph.core.expressions import Emotion
from emorph.core.images import unit_range
from emorph.core.types import AlignedFace, Landmarks, Target
from emorph.edit.latent import landmark_steps
from emorph.edit.redraw import motions, move_crops
from emorph.edit.steady import held_steady
from emorph.face3d.camera import screen_to_pixels
from emorph.faces import in_order, motion_between
from emorph.faces.slits import EYE_SLITS, MOUTH_SLIT
from emorph.models.beside import directions_beside
from emorph.models.directions import known_axes
from emorph.models.port import load
from emorph.models.shift import asked_for
from emorph.train.resources import estimated_activations
from emorph.train.tasks.expression_edit import FacesToEdit, edited_in_one_step, smooth_motion
from emorph.train.tasks.expression_task import ExpressionTask
from emorph.train.tasks.mean_face import mean_faces
from emorph.train.warm_up import warm_up
from made_expression import (
    SIDE,
    expression_config,
    labelled_faces,
    made_points,
    made_shift,
    write_networks,
    write_start,
)

pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_networks(tmp_path_factory.mktemp("edit"))


def test_the_smooth_motion_is_the_editors_and_its_gradient_that_of_differences() -> None:
    before = made_points(2, SIDE).double()
    torch.manual_seed(0)
    steps = 0.4 * torch.randn(2, 68, 2, dtype=torch.float64)
    pairs = zip(before.numpy(), (before + steps).numpy(), strict=True)
    after = torch.from_numpy(np.stack([in_order(*pair) for pair in pairs]))
    after[1, [67, 66, 65]] += torch.tensor([0, 0.1 * SIDE])  # lips that part,
    after[1, [37, 38]] = after[1, [41, 40]] - torch.tensor([0, 1.0])  # and an eye that closes
    field = smooth_motion(before, after, SIDE)
    for own, to, found in zip(before.numpy(), after.numpy(), field.numpy(), strict=True):
        np.testing.assert_allclose(found, motion_between(own, to, SIDE), atol=2e-2)
    assert EYE_SLITS[0].parted(before[1].numpy(), after[1].numpy()) > 0
    assert MOUTH_SLIT.parted(before[1].numpy(), after[1].numpy()) > 0
    weights, (before, after) = torch.randn(1, SIDE, SIDE, 2), (each[:1] for each in (before, after))
    goal = after.clone().requires_grad_()
    (smooth_motion(before, goal, SIDE) * weights).sum().backward()
    assert goal.grad is not None
    along = torch.randn_like(after)
    ahead, behind = (float((smooth_motion(before, after + h * along, SIDE) * weights).sum()) for h in (0.01, -0.01))
    assert float((goal.grad * along).sum()) == pytest.approx((ahead - behind) / 0.02, rel=0.02)


def test_a_picture_is_moved_and_held_as_the_editor_does_it_and_gradients_reach_the_code(folder: Path) -> None:
    model, directions, faces = load(folder / "start"), directions_beside(folder / "start"), labelled_faces()
    assert directions is not None
    assert faces.landmarks is not None
    x0, points = unit_range(faces.images[:3]), faces.landmarks[:3].float()
    torch.manual_seed(1)
    with torch.no_grad():
        z = model.encode(x0)
    z_to = (z + 0.5 * torch.randn_like(z)).requires_grad_()
    t, noise = torch.tensor([0, 500, 999]), torch.randn_like(x0)
    targets = [Target(Emotion.SAD), Target(Emotion.NEUTRAL), Target(valence=0.5)]
    asked, strength = torch.stack([asked_for(target) for target in targets]), torch.ones(3, 1)
    given = FacesToEdit(x0, x0, z, z_to, asked, strength, points, t, noise)
    moved, edited = edited_in_one_step(model, directions, given)
    at = screen_to_pixels(points, (SIDE, SIDE)).numpy()
    nothing = np.zeros((SIDE, SIDE, 3), np.uint8)
    crops = [AlignedFace(nothing, np.eye(3), Landmarks(own, (0, 0, SIDE, SIDE), 1.0)) for own in at]
    with torch.no_grad():
        steps = landmark_steps(z, z_to, directions, [True, False, True])
        motion = motions(crops, steps[:, None], frontal=True)
    torch.testing.assert_close(moved, move_crops(x0, motion.fields)[:, 0], rtol=0, atol=4e-2)
    noisiest = 600 + (0.4 * t).long()
    alpha_bar = torch.tensor(model.diffusion.alphas_cumprod, dtype=torch.float32)[noisiest]
    a, s = (v.sqrt()[:, None, None, None] for v in (alpha_bar, 1 - alpha_bar))
    with torch.no_grad():
        x_t = a * moved + s * noise
        own, new = (((x_t - s * model(x_t, noisiest, c)) / a).clamp(-1, 1) for c in (model.encode(moved), z_to))
        share = torch.from_numpy(motion.drawable)
        expected = held_steady(moved, moved + new - own, share)
    torch.testing.assert_close(edited, expected, rtol=0, atol=4e-2)
    assert float((edited - moved).detach().abs().max()) > 0.1
    ((moved - x0).square().sum() + 0 * edited.sum()).backward()  # of where landmarks go alone
    assert z_to.grad is not None
    assert float(z_to.grad.abs().max()) > 0
    again = z_to.detach().clone().requires_grad_()
    moved, edited = edited_in_one_step(model, directions, given._replace(z_to=again))
    (edited - moved).square().sum().backward()  # and of what is drawn
    assert float(again.grad.abs().max()) > 0  # type: ignore[union-attr]


def test_a_shift_learns_from_edits_and_a_weight_holds_it_small(folder: Path) -> None:
    parts = {}
    for weight in (0.0, 2.0):
        changed = {"pictures": {"way": "edit"}, "trains": "shift", "losses": {"correction": weight}}
        task = ExpressionTask(expression_config(folder, "run", **changed), labelled_faces())
        task.model.load_state_dict(task.start(str(folder / "start")).state_dict())
        assert task.model.shift is not None
        with torch.no_grad():
            for own, other in zip(task.model.shift.parameters(), made_shift(hidden=256).held().values(), strict=True):
                own.copy_(0.1 * other)
        items = [task.faces[i] for i in range(3)]
        batch = {key: torch.stack([item[key] for item in items]) for key in items[0]}
        drawn = task.draw(batch, [0, 1, 2], torch.device("cpu"))
        parts[weight] = task.loss(*drawn)
        parts[weight]["loss"].backward()
        assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for p in task.model.shift.parameters())
    assert "correction" not in parts[0.0]
    shifted = task.model.shifted(drawn.z, drawn.z_to, drawn.asked, drawn.strength)
    added = (shifted - drawn.z_to) / task.directions.stats.std
    torch.testing.assert_close(parts[2.0]["correction"], added.square().mean())
    torch.testing.assert_close(parts[2.0]["loss"] - parts[0.0]["loss"], 2 * parts[2.0]["correction"])


def test_edits_are_tried_on_a_made_face_and_not_on_shapes(folder: Path) -> None:
    """What moves hangs on landmarks' numbers, which a pass of shapes alone does not have."""
    face = mean_faces(1)[0]
    assert float(face.abs().max()) < 1
    assert face[8, 1] > face[30, 1] > face[27, 1]  # the chin below the tip of the nose, and that below its root
    config = expression_config(folder, "run", pictures={"way": "edit"}, trains="shift")
    tried = warm_up(config, None, 2, 1, accelerator="cpu")
    assert (tried.tried, tried.own_faces) == (2, False)
    loss, inputs = config.trial(2)
    parts = loss(*inputs)
    assert {"expression", "surroundings"} < set(parts)
    assert all(torch.isfinite(part) for part in parts.values())
    for way, has_trial in (("edit", False), ("one_step", True)):
        config = expression_config(folder, "run", pictures={"way": way}, trains="shift")
        estimate = estimated_activations(config.model_dump_json(), type(config))
        assert (estimate is not None) == has_trial, way


def test_a_shift_stays_within_what_the_directions_know(folder: Path) -> None:
    found = directions_beside(folder / "start")
    assert found is not None
    axes = known_axes(found)
    torch.testing.assert_close(axes @ axes.mT, torch.eye(len(axes)), rtol=0, atol=1e-5)
    classes = found.weight if found.means is None else found.means - found.means.mean(dim=0)
    torch.testing.assert_close(classes @ axes.mT @ axes, classes, rtol=1e-3, atol=1e-3)
    z, asked, strength = torch.randn(3, 32), torch.eye(3, 12), torch.ones(3, 1)
    for within in ("known", "all"):
        task = ExpressionTask(expression_config(folder, "run", trains="shift", shift_within=within), labelled_faces())
        assert task.model.shift is not None
        task.model.shift.load_state_dict(made_shift(hidden=256).held(), strict=False)
        step = task.model.directions_now().shift.step(z, asked, strength)  # type: ignore[union-attr]
        inside = torch.allclose(step @ axes.mT @ axes, step, rtol=1e-3, atol=1e-3)
        assert inside == (within == "known")


def test_edits_need_directions_that_know_landmarks(folder: Path) -> None:
    write_start(folder / "plain")
    config = expression_config(folder, "run", init=str(folder / "plain"), pictures={"way": "edit"})
    with pytest.raises(ConfigError, match=r"needs directions that know landmarks, and those of .*plain do not"):
        ExpressionTask(config, labelled_faces())
