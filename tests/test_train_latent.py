"""The latent net: trained in the loop on cached codes, resumed to the bit, and it learns the codes' distribution."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from emorph import Editor
from emorph.core.errors import ConfigError
from emorph.core.images import read_metadata
from emorph.data.store import FaceStore
from emorph.models import load
from emorph.models.diffae import DiffAE
from emorph.models.directions import LatentStats
from emorph.models.latent import LatentNet, LatentNetConfig, sample_latents
from emorph.train.codes import Codes, encode_all
from emorph.train.ema import EMA
from emorph.train.loop import Outcome, train
from emorph.train.tasks.latent import LatentRunConfig, LatentTask
from test_data import make_store
from tiny import tiny_config, tiny_model

pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("latent")
    make_store(path / "faces.parquet", 24)
    tiny_model().save_pretrained(path / "tiny")
    return path


def config_in(folder: Path, out: str, steps: int, **changed: Any) -> LatentRunConfig:
    (folder / "latent.toml").write_text(
        f"""task = "latent"
out = "{out}"
autoencoder = "tiny"
[data]
path = "faces.parquet"
split = "train"
[model]
hidden = 16
num_layers = 3
[optim]
batch_size = 8
lr = 1e-3
ema_decay = 0.5
[samples]
n = 0
[budget]
steps = {steps}
"""
    )
    return LatentRunConfig.read(folder / "latent.toml").model_copy(update=changed)


def run(config: LatentRunConfig, **kwargs: Any) -> Outcome:
    faces = FaceStore(config.data.path, side_px=32, channels=1, split=config.data.split)
    return train(config, faces, accelerator="cpu", devices=1, show_progress=False, **kwargs)


def weights(folder: Path) -> dict[str, Tensor]:
    return {f"{part}.{k}": v for part in ("model", "ema") for k, v in load(folder / part).state_dict().items()}


def test_a_latent_run_goes_on_to_the_bit_and_draws_faces(folder: Path) -> None:
    whole = run(config_in(folder, "runs/whole", 4))
    run(config_in(folder, "runs/broken", 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DiffAE, "encode", None)  # the codes are there: nothing is encoded again
        again = run(config_in(folder, "runs/broken", 4), resume=True)
    expected, found = weights(whole.folder), weights(again.folder)
    assert (again.step, again.samples) == (4, 32)
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    body = tiny_model().state_dict()
    assert all(torch.equal(found[f"ema.{key}"], body[key]) for key in body)
    editor = Editor.from_pretrained(again.folder / "ema", device="cpu", steps=3)
    pictures = editor.sample([1, 2], latent_steps=3)
    assert pictures.shape == (2, 1, 32, 32)
    assert not torch.equal(pictures[0], pictures[1])


def test_codes_are_shared_with_other_tasks(folder: Path) -> None:
    config = config_in(folder, "runs/shared", 1)
    store = FaceStore(config.data.path, side_px=32, channels=1, split="train")
    config.codes(store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DiffAE, "encode", None)
        codes = encode_all(tiny_model(), store, folder / "runs" / "z_sem", mirror=True, confounds=("identity",))
    assert codes.z.shape == (2 * len(store), 32)
    assert codes.confounds.shape[1] > 6


def test_a_stopped_encoding_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emorph.train.face_parts.PART_FACES", 8)
    store = FaceStore(folder / "faces.parquet", side_px=32, channels=1)
    cache = folder / "stopped"
    original, calls = DiffAE.encode, 0

    def stopping(self: DiffAE, x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return original(self, x)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DiffAE, "encode", stopping)
        with pytest.raises(KeyboardInterrupt):
            encode_all(tiny_model(), store, cache, mirror=False)
        codes = encode_all(tiny_model(), store, cache, mirror=False)
    assert calls == 4  # three parts, one of them tried twice
    assert torch.allclose(codes.z, encode_all(tiny_model(), store, None, mirror=False).z, atol=1e-6)


def test_processes_encode_a_share_each_and_find_the_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emorph.train.face_parts.PART_FACES", 8)
    config = config_in(folder, "shares/run", 1)
    store = FaceStore(config.data.path, side_px=32, channels=1, split="train")  # 19 faces: three parts
    reported: list[int] = []
    config.prepare(store, (0, 2), lambda done, total: reported.append(done))
    assert reported == [8, 19]
    config.prepare(store, (1, 2), None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DiffAE, "encode", None)
        codes = config.codes(store)
    torch.testing.assert_close(codes.z, encode_all(tiny_model(), store, None, mirror=True).z)


def mixture(n: int) -> Tensor:
    """Two Gaussians in eight dimensions, apart and stretched."""
    generator = torch.Generator().manual_seed(0)
    far = torch.tensor([3.0, -2, 0, 0, 1, 0, 0, 0])
    side = torch.rand(n, 1, generator=generator) < 0.7
    noise = torch.randn(n, 8, generator=generator) @ torch.diag(torch.linspace(0.3, 1.5, 8))
    return torch.where(side, far, -far) + noise + 5


def test_sampled_codes_have_the_mean_and_covariance_of_what_was_learnt(folder: Path) -> None:
    tiny = folder / "tiny8"
    DiffAE(tiny_config().model_copy(update={"z_dim": 8})).save_pretrained(tiny)
    sizes = LatentNetConfig(hidden=64, num_layers=3, embed_dim=32)
    config = config_in(folder, "runs/mixture", 120, autoencoder=str(tiny), model=sizes)
    optim = config.optim.model_copy(update={"lr": 6e-3, "batch_size": 128, "ema_decay": 0.95, "decay_share": 0.5})
    config = config.model_copy(update={"optim": optim, "data": config.data.model_copy(update={"mirror": False})})
    with pytest.MonkeyPatch.context() as patch:
        many = mixture(4000)
        codes = Codes(many, torch.zeros(4000, dtype=torch.int64), torch.zeros(4000, 0))
        patch.setattr(LatentRunConfig, "codes", lambda self, faces: codes)
        patch.setattr(LatentTask, "draw", every_code(LatentTask.draw))
        outcome = run(config)
    trained = load(outcome.folder / "ema")
    untrained = config.new_model().latent_net
    assert trained.latent_stats is not None
    assert untrained is not None
    errors = [distances(net, trained.latent_stats, many) for net in (trained.latent_net, untrained)]
    for learnt, random in zip(*errors, strict=True):
        assert learnt < 0.3 * random, errors


def every_code(draw: Any) -> Any:
    """The task's draw with any of the made codes in place of the few faces' own."""

    def drawn(self: LatentTask, items: Any, seeds: Any, device: torch.device) -> Any:
        rows = torch.tensor([seed % len(self.z) for seed in seeds])
        return draw(self, {"index": rows}, seeds, device)

    return drawn


@torch.inference_mode()
def distances(net: LatentNet | None, stats: LatentStats, truth: Tensor) -> tuple[float, float]:
    """Of mean and of covariance of 1000 sampled codes from those of the truth."""
    assert net is not None
    noise = torch.randn(1000, 8, generator=torch.Generator().manual_seed(1))
    found = sample_latents(net, stats, noise, 20)
    mean = (found.mean(dim=0) - truth.mean(dim=0)).norm()
    return float(mean), float((found.T.cov() - truth.T.cov()).norm())


def test_a_latent_net_on_another_autoencoder_is_refused(folder: Path) -> None:
    outcome = run(config_in(folder, "runs/first", 1))
    tiny_model(seed=7).save_pretrained(folder / "other")
    started = config_in(folder, "runs/second", 1, init=str(outcome.folder / "ema"))
    with pytest.raises(ConfigError, match="on another autoencoder"):
        run(started.model_copy(update={"autoencoder": str(folder / "other")}))
    still = started.optim.model_copy(update={"lr": 1e-12})
    second = run(started.model_copy(update={"optim": still}))
    first, went_on = load(outcome.folder / "ema"), load(second.folder / "ema")
    assert torch.equal(first.conds_mean, went_on.conds_mean)  # type: ignore[arg-type]
    torch.testing.assert_close(went_on.state_dict(), first.state_dict())


def test_the_average_follows_a_weight_of_two_names_once_and_a_frozen_one_never() -> None:
    sizes = LatentNetConfig(z_dim=4, hidden=4, num_layers=2, embed_dim=4)
    source, average = LatentNet(sizes), LatentNet(sizes)
    source.layers[1].requires_grad_(False)
    before = {key: value.clone() for key, value in average.state_dict().items()}
    EMA(average, decay=0.5).update(source)
    key, frozen = "layers.0.linear_emb.weight", "layers.1.linear.weight"
    share = 2 / 11  # the warm-up's first decay
    torch.testing.assert_close(average.state_dict()[key], share * before[key] + (1 - share) * source.state_dict()[key])
    assert torch.equal(average.state_dict()[frozen], before[frozen])


def test_train_and_sample_as_a_user_does(folder: Path, emorph: Any, tmp_path: Path) -> None:
    config_in(folder, "runs/user", 2)
    status, out, err = emorph("train", "run", folder / "latent.toml", "--devices", 1)
    assert status == 0, err
    status, out, err = emorph(
        "sample", "--model", out.strip(), "-n", 2, "--latent-steps", 2, "--steps", 2, "--device", "cpu", "-o", tmp_path
    )
    assert status == 0, err
    first, second = (Path(line) for line in out.splitlines())
    assert first.read_bytes() != second.read_bytes()
    assert "drawn by a machine" in read_metadata(first)["Description"]
    status, _, err = emorph("sample", "--model", folder / "tiny", "-n", 1, "--device", "cpu", "-o", tmp_path)
    assert status == 1
    assert "has no latent net" in err
