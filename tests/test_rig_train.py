"""Training a rig: coefficients are kept, buffers fit their pictures, stages train what they should, runs resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from emorph.core.errors import CheckpointError, ConfigError, DataError
from emorph.core.images import unit_range
from emorph.data.memory import TensorFaces
from emorph.face3d import neutral
from emorph.face3d.skin import N_ANCHORS
from emorph.models import DiffAE, DiffAEConfig, Rig, RigConfig, load_rig
from emorph.models.directions import Directions, LatentStats
from emorph.models.rig_faces import LandmarkReader, open_face, rig_buffers
from emorph.models.rig_start import start_rig
from emorph.train.draws import KnownFaces
from emorph.train.loop import Outcome, train
from emorph.train.plan import plan_of
from emorph.train.tasks import rig as rig_task
from emorph.train.tasks.coefficients import read_all, read_share
from emorph.train.tasks.rig import RigLoss, RigRunConfig, RigTask
from made_face import made_face, made_faces, marks, write_made_face

pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")

SIDE = 32
MODEL = {
    "image_size": SIDE,
    "image_channels": 1,
    "model_channels": 32,
    "channel_mult": [1, 1],
    "num_res_blocks": 1,
    "attention_resolutions": [16],
    "encoder_width": 16,
    "code_dim": 8,
    "face": "ict",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rig")
    write_made_face(path / "ict_face.npz")
    return path


@pytest.fixture(scope="module")
def faces() -> TensorFaces:
    """Twelve made faces in gray; no face can be read from the landmarks of the fourth."""
    face, truth = made_face(), made_faces(made_face(), 12)
    shaded = rig_buffers(face, truth, SIDE)[:, :1].clamp(0, 1)
    points = (2 * marks(face, truth, SIDE) + 1) / SIDE - 1
    points[3] = points[3].flip(0)
    return TensorFaces((shaded * 255).round().byte(), torch.zeros(12, dtype=torch.int64), points)


def run_config(out: Path, folder: Path, **changed: Any) -> RigRunConfig:
    values = {
        "task": "rig",
        "out": str(out),
        "seed": 3,
        "data": {"path": "faces.parquet"},
        "model": MODEL,
        "coefficients": {"face_model": str(folder / "ict_face.npz")},
        "optim": {"batch_size": 4, "lr": 1e-3, "ema_decay": 0.5},
        "budget": {"steps": 4},
        "samples": {"n": 0},
    }
    return RigRunConfig.parse({**values, **changed})


def run(config: RigRunConfig, faces: TensorFaces, **kwargs: Any) -> Outcome:
    return train(config, faces, accelerator="cpu", devices=1, show_progress=False, **kwargs)


def weights(folder: Path) -> dict[str, Tensor]:
    parts = {part: Rig.from_pretrained(folder / part).state_dict() for part in ("model", "ema")}
    return {f"{part}.{key}": value for part, state in parts.items() for key, value in state.items()}


def test_p2_is_the_default(tmp_path: Path, folder: Path) -> None:
    config = run_config(tmp_path, folder)
    assert config.optim.loss_weight == "p2"
    assert RigRunConfig.parse(config.model_dump()) == config
    assert plan_of(config, KnownFaces.stated(8, "here")).epochs == 2


def test_buffers_lie_on_their_pictures_mirrored_or_not(tmp_path: Path, folder: Path, faces: TensorFaces) -> None:
    task = run_config(tmp_path, folder).build(faces, None)
    assert isinstance(task, RigTask)
    rows = torch.tensor([0, 1, 2, 4, 5, 6, 7, 8])
    items = {"image": faces.images[rows], "index": rows}
    x0, buffers, t, noise = task.draw(items, list(range(8)), torch.device("cpu"))
    mirrored = (x0 != unit_range(faces.images[rows])).flatten(1).any(dim=1)
    assert 0 < mirrored.sum() < 8
    covered = buffers[:, 6:7].amax(dim=1, keepdim=True) > 0
    shaded = buffers[:, :1] * 2 - 1
    error = ((shaded - x0).abs() * covered).flatten(1).sum(dim=1) / covered.flatten(1).sum(dim=1)
    assert error.max() < 0.12, error
    wrong = ((shaded - x0.flip(-1)).abs() * covered).flatten(1).sum(dim=1) / covered.flatten(1).sum(dim=1)
    assert wrong.mean() > 2 * error.mean()
    again = task.draw({k: v[2:4] for k, v in items.items()}, [2, 3], torch.device("cpu"))
    torch.testing.assert_close(again[1], buffers[2:4], atol=1e-5, rtol=1e-5)
    assert torch.equal(again[2], t[2:4])
    assert torch.equal(again[3], noise[2:4])


def test_mirrored_buffers_are_those_of_the_mirrored_face() -> None:
    """A head that looks to one side, lit from it, against the same head and light to the other side."""
    face = made_face()

    def seen(side: int) -> Tensor:
        coeffs = neutral(face)
        light = coeffs.light.clone()
        light[:, 1] = 0.4 * side
        pose, camera = torch.tensor([[0.0, 0.4 * side, 0.0]]), torch.tensor([[0.085, 0.0, 0.6]])
        return rig_buffers(face, replace(coeffs, pose=pose, light=light, camera=camera, texture=torch.ones(1, 3)), 64)

    off = (rig_task.mirrored(seen(1)) - seen(-1)).abs()  # the mesh's diagonals are not mirrored, so some edges differ
    assert off.mean() < 0.01
    assert (seen(1) - seen(-1)).abs().mean() > 0.05


def test_kept_buffers_are_rendered_once(
    tmp_path: Path, folder: Path, faces: TensorFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"face_model": str(folder / "ict_face.npz")}
    fresh, kept = (
        run_config(tmp_path, folder, coefficients={**own, "keep_buffers": keep}).build(faces, None)
        for keep in (False, True)
    )
    rendered: list[int] = []

    def counting(face: Any, coeffs: Any, side_px: int) -> Tensor:
        rendered.append(len(coeffs))
        return rig_buffers(face, coeffs, side_px)

    monkeypatch.setattr(rig_task, "rig_buffers", counting)
    device = torch.device("cpu")
    for rows in ([0, 1, 2], [2, 5, 1]):
        items = {"image": faces.images[rows], "index": torch.tensor(rows)}
        wanted = fresh.draw(items, [4, 5, 6], device)[1]
        torch.testing.assert_close(kept.draw(items, [4, 5, 6], device)[1], wanted, atol=2e-3, rtol=0)
    assert rendered == [3, 3, 3, 1]


def test_a_dropped_code_does_not_matter_in_training_alone(folder: Path) -> None:
    torch.manual_seed(0)
    loss = RigLoss(RigConfig.parse(MODEL), "plain", trains_encoder=True, code_dropout=0.5)
    for module in loss.model.denoisingUNet.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.normal_(module.weight, std=0.05)
    x0, noise, buffers = torch.randn(8, 1, SIDE, SIDE), torch.randn(8, 1, SIDE, SIDE), torch.rand(8, 9, SIDE, SIDE)
    told: list[Tensor] = []
    predict = loss.model.predict

    def noting(x_t: Tensor, t: Tensor, buffers: Tensor, code: Tensor) -> Tensor:
        told.append(code.detach())
        return predict(x_t, t, buffers, code)

    loss.model.predict = noting  # type: ignore[method-assign]
    for mode in (True, False):
        loss.train(mode)(x0, buffers, torch.full((8,), 500), noise)
    dropped = [(code == 0).all(dim=1).sum().item() for code in told]
    assert 0 < dropped[0] < 8
    assert dropped[1] == 0


def test_a_rig_starts_from_an_autoencoder(tmp_path: Path, folder: Path, faces: TensorFaces) -> None:
    """It has learned nothing of the buffers, and draws what the autoencoder draws of an average face."""
    torch.manual_seed(1)
    sizes = {key: MODEL[key] for key in ("image_size", "image_channels", "model_channels", "channel_mult")}
    base = DiffAE(
        DiffAEConfig.parse(
            {**sizes, "num_res_blocks": 1, "encoder_channel_mult": (1, 1), "z_dim": 16, "embed_dim": 128}
            | {"patch_size": 2, "prediction": "v"}
        )
    ).eval()
    for module in base.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.normal_(module.weight, std=0.05)
    base.save_pretrained(tmp_path / "base")
    mean = torch.randn(16)
    Directions(
        torch.zeros(8, 16), torch.zeros(8), tuple("abcdefgh"), LatentStats(mean, torch.ones(16))
    ).save_pretrained(tmp_path / "base" / "directions")
    model = {**MODEL, "patch_size": 2, "prediction": "v"}
    config = run_config(tmp_path / "run", folder, model=model, init=str(tmp_path / "base"))
    task = config.build(faces, None)
    rig = task.start(str(tmp_path / "base")).eval()
    x, t, buffers = torch.randn(2, 1, SIDE, SIDE), torch.tensor([30, 900]), torch.rand(2, 9, SIDE, SIDE)
    with torch.inference_mode():
        drawn = rig.predict(x, t, buffers, torch.zeros(2, 8))
        torch.testing.assert_close(drawn, base.predict(x, t, mean.expand(2, -1)), atol=1e-5, rtol=1e-4)
        assert not torch.allclose(rig.predict(x, t, buffers, torch.ones(2, 8)), drawn)
        from_file = start_rig(str(tmp_path / "base" / "model.safetensors"), task.model.config).eval()
        torch.testing.assert_close(from_file.predict(x, t, buffers, torch.zeros(2, 8)), drawn)
    assert run(config, faces).step == 4
    other = run_config(tmp_path / "other", folder, model={**model, "channel_mult": [1, 2]})
    with pytest.raises(CheckpointError, match=r"cannot start this rig: input_blocks\.3\.0"):
        other.build(faces, None).start(str(tmp_path / "base"))


def test_a_face_that_cannot_be_read_is_never_drawn(tmp_path: Path, folder: Path, faces: TensorFaces) -> None:
    config = run_config(tmp_path / "run", folder, budget={"steps": 12})
    seen: set[int] = set()
    original = RigTask.draw

    def noting(self: RigTask, items: Any, *rest: Any) -> Any:
        seen.update(items["index"].tolist())
        return original(self, items, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RigTask, "draw", noting)
        run(config, faces)
    assert seen == set(range(12)) - {3}
    nobody = TensorFaces(faces.images, torch.from_numpy(faces.labels), torch.zeros(12, 68, 2))
    with pytest.raises(DataError, match="none of the 12 faces could be read"):
        config.build(nobody, None)
    without = TensorFaces(faces.images, torch.from_numpy(faces.labels))
    with pytest.raises(DataError, match="no column 'landmarks68'"):
        config.build(without, None)


def test_resumed_run_equals_uninterrupted_run(tmp_path: Path, folder: Path, faces: TensorFaces) -> None:
    whole = weights(run(run_config(tmp_path / "whole", folder), faces).folder)
    broken = run_config(tmp_path / "broken", folder)
    assert run(broken.model_copy(update={"budget": broken.budget.model_copy(update={"steps": 2})}), faces).step == 2
    second = run(broken, faces, resume=True)
    assert second.step == 4
    found = weights(second.folder)
    assert all(torch.equal(value, found[key]) for key, value in whole.items())
    assert load_rig(second.folder).config.face == "ict"


def test_stage_1_learns_what_the_buffers_say(tmp_path: Path, folder: Path, faces: TensorFaces) -> None:
    optim = {"batch_size": 8, "lr": 4e-3, "loss_weight": "plain"}
    config = run_config(tmp_path, folder, budget={"steps": 20}, optim=optim, model={**MODEL, "prediction": "x0"})
    rig = load_rig(run(config, faces).folder / "model")
    rows = torch.tensor([0, 1, 2, 4, 5, 6, 7, 8])
    items = {"image": faces.images[rows], "index": rows}
    x0, buffers, _, noise = config.build(faces, None).draw(items, list(range(8)), torch.device("cpu"))
    t = torch.full((8,), 999)  # the noisy picture tells nothing
    with torch.inference_mode():
        code = rig.encode(x0)
        own, others = ((rig.predict(noise, t, b, code) - x0).square().mean() for b in (buffers, buffers.roll(1, 0)))
    assert own < 0.5 * x0.square().mean()
    assert others > 1.5 * own, (own, others)


def test_stage_2_trains_the_denoiser_alone(tmp_path: Path, folder: Path, faces: TensorFaces) -> None:
    start = run(run_config(tmp_path / "one", folder), faces).folder / "ema"
    config = run_config(tmp_path / "two", folder, stage=2, init=str(start))
    outcome = run(config, faces)
    before, after = Rig.from_pretrained(start).state_dict(), load_rig(outcome.folder / "model").state_dict()
    moved = {key for key, value in before.items() if not torch.equal(value, after[key])}
    assert not any(key.startswith("encoder.") for key in moved)
    assert {key for key in before if key.startswith("denoisingUNet.")} == moved
    task = config.build(faces, None)
    assert isinstance(task, RigTask)
    shapes = task.told.coeffs.shape
    assert (shapes == shapes[0]).all()
    known = read_all(config.reader(), faces)
    torch.testing.assert_close(shapes[0], known.coeffs.shape[known.known].mean(dim=0))
    with pytest.raises(ConfigError, match="stage 2 trains on from a rig of stage 1: set init"):
        run_config(tmp_path, folder, stage=2)
    for key, value, own in (("skin", "field", "colour"), ("prediction", "x0", "eps")):
        other = run_config(tmp_path / key, folder, stage=2, init=str(start), model={**MODEL, key: value})
        with pytest.raises(ConfigError, match=f"trained with {key} = '{own}', but this run says '{value}'"):
            run(other, faces)


def test_coefficients_of_a_data_set_are_read_once(tmp_path: Path, folder: Path, faces: TensorFaces) -> None:
    datasets = pytest.importorskip("datasets", reason="needs the extra 'train'")
    cv2 = pytest.importorskip("cv2")
    from emorph.data.store import FaceStore

    rows = []
    for i in range(6):
        ok, png = cv2.imencode(".png", faces.images[i, 0].numpy())
        assert ok
        assert faces.landmarks is not None
        points = ((faces.landmarks[i] + 1) * SIDE / 2 - 0.5).numpy().astype("<f2")
        rows.append({"image": png.tobytes(), "label": "happy", "landmarks68": points.tobytes()})
    datasets.Dataset.from_list(rows).to_parquet(str(tmp_path / "faces.parquet"))
    store = FaceStore(tmp_path / "faces.parquet", side_px=SIDE, channels=1)
    reader = LandmarkReader(open_face("ict", folder / "ict_face.npz"))
    with pytest.MonkeyPatch.context() as patch:  # a stopped reading keeps the parts that it has made
        patch.setattr("emorph.train.face_parts.PART_FACES", 4)
        read_share(reader, store, tmp_path / "parts", (0, 2))
        read = LandmarkReader.read
        sizes: list[int] = []
        patch.setattr(LandmarkReader, "read", lambda self, x, points: sizes.append(len(x)) or read(self, x, points))
        in_parts = read_all(reader, store, cache=tmp_path / "parts")
        assert sizes == [2]
    steps: list[tuple[int, int]] = []
    first = read_all(reader, store, cache=tmp_path / "kept", on_step=lambda *s: steps.append(s))
    assert steps == [(6, 6)]
    assert np.flatnonzero(~first.known.numpy()).tolist() == [3]

    def refuse(*args: Any) -> Any:
        raise AssertionError("read again")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LandmarkReader, "read", refuse)
        again = read_all(reader, store, cache=tmp_path / "kept")
        with pytest.raises(AssertionError, match="read again"):
            read_all(LandmarkReader(made_face()), store, cache=tmp_path / "other")
    assert torch.equal(again.known, first.known)
    for name in ("shape", "expression", "camera", "light", "texture"):
        assert torch.equal(getattr(again.coeffs, name), getattr(first.coeffs, name))
        torch.testing.assert_close(getattr(in_parts.coeffs, name), getattr(first.coeffs, name), atol=1e-4, rtol=1e-4)
    assert again.coeffs.encoder == "landmarks"
    assert len(list((tmp_path / "kept").iterdir())) == 1


def test_a_rig_may_see_the_skin_as_a_field_of_colours(tmp_path: Path, folder: Path, faces: TensorFaces) -> None:
    config = run_config(tmp_path / "out", folder, model={**MODEL, "skin": "field"}, budget={"steps": 1})
    done = run(config, faces)
    assert load_rig(done.folder).config.skin == "field"
    one, field = (run_config(tmp_path, folder, model={**MODEL, "skin": skin}) for skin in ("colour", "field"))
    assert one.told(faces).coeffs.texture.shape == (12, 3)
    assert field.told(faces).coeffs.texture.shape == (12, 3 * N_ANCHORS)


def test_paths_start_at_the_configuration(tmp_path: Path, folder: Path) -> None:
    config = run_config(Path("out"), folder, coefficients={"face_model": "ict_face.npz"})
    (folder / "rig.toml").write_text(config.to_toml(), encoding="utf-8")
    found = RigRunConfig.read(folder / "rig.toml")
    assert found.coefficients.face_model == str(folder / "ict_face.npz")
    assert found.out == str(folder / "out")
    assert found.reader().face.n_expression == 3


@pytest.mark.parametrize("name", ["rig.toml", "album.toml"])
def test_the_examples_can_be_read_and_fit_together(name: str) -> None:
    folder = Path(__file__).resolve().parents[1] / "examples" / "emorph-rig"
    first, found = RigRunConfig.read(folder / "rig.toml"), RigRunConfig.read(folder / name)
    assert found.model == first.model
    assert found.optim.loss_weight == ("plain" if name == "rig.toml" else "p2")
    assert found.stage == (1 if name == "rig.toml" else 2)
    assert found.init == "emorph-base" or str(found.init).endswith(f"runs/rig/step_{first.budget.steps:08d}")
    with torch.device("meta"):
        n_parameters = sum(p.numel() for p in found.new_model().parameters())
    assert 2 * n_parameters < 16 * 2**20  # what may be shipped, in 16-bit numbers
