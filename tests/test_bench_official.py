"""The bench against the published code: it calls that code as its own notebooks do, and finds two equal ways equal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

BENCH = Path(__file__).parents[1] / "bench"
sys.path.insert(0, str(BENCH))

import official  # noqa: E402
from emorph.models import DiffAE, DiffAEConfig  # noqa: E402
from emorph.models.latent import LatentNetConfig  # noqa: E402
from support.published import Plain, Published, random_weights  # noqa: E402

# Only the names and signatures of the published modules; what they compute is emorph's, so that the two must agree.
FILES = {
    "choices.py": """
from enum import Enum
class GenerativeType(Enum): ddim = "ddim"
class ModelType(Enum): autoencoder = "autoencoder"
class ModelMeanType(Enum): eps = "eps"
class ModelVarType(Enum): fixed_large = "fixed_large"
class LossType(Enum): mse = "mse"
""",
    "model/__init__.py": "",
    "model/unet_autoenc.py": """
from types import SimpleNamespace
import torch
from emorph.models import DiffAE, DiffAEConfig
class Model(DiffAE):
    def forward(self, x, t, cond=None, **others):
        return SimpleNamespace(pred=DiffAE.forward(self, x, t, cond), cond=cond)
class BeatGANsAutoencConfig:
    def __init__(self, *, image_size, in_channels, out_channels, model_channels, channel_mult, num_res_blocks,
                 attention_resolutions, num_heads, embed_channels, dropout, resblock_updown, resnet_two_cond,
                 enc_out_channels, enc_channel_mult, enc_num_res_block, enc_pool):
        assert resblock_updown and resnet_two_cond and enc_pool == "adaptivenonzero"
        assert in_channels == out_channels and enc_num_res_block == num_res_blocks
        self.config = DiffAEConfig(
            image_size=image_size, image_channels=in_channels, model_channels=model_channels,
            channel_mult=channel_mult, num_res_blocks=num_res_blocks, attention_resolutions=attention_resolutions,
            num_heads=num_heads, embed_dim=embed_channels, dropout=dropout, z_dim=enc_out_channels,
            encoder_channel_mult=enc_channel_mult)
    def make_model(self):
        return Model(self.config)
""",
    "diffusion/__init__.py": "",
    "diffusion/base.py": """
import numpy as np
def get_named_beta_schedule(name, n):
    assert name == "linear"
    return np.linspace(1000 / n * 1e-4, 1000 / n * 0.02, n, dtype=np.float64)
""",
    "diffusion/diffusion.py": """
from emorph.diffusion.samplers import ddim_invert, ddim_sample
from emorph.diffusion.schedule import Schedule
def space_timesteps(num_timesteps, section_counts):
    assert section_counts.startswith("ddim")
    n = int(section_counts[4:])
    return set(range(0, num_timesteps, num_timesteps // n))
class SpacedDiffusionBeatGansConfig:
    def __init__(self, *, gen_type, model_type, betas, model_mean_type, model_var_type, loss_type,
                 rescale_timesteps, fp16, use_timesteps):
        self.schedule = Schedule.from_betas(betas).respaced(len(use_timesteps))
        assert set(self.schedule.timesteps) == use_timesteps
    def make_sampler(self):
        return Sampler(self.schedule)
class Sampler:
    def __init__(self, schedule):
        self.schedule = schedule
    def ddim_reverse_sample_loop(self, model, x, model_kwargs=None):
        return {"sample": ddim_invert(lambda x, t: model(x, t, **model_kwargs).pred, x, self.schedule)}
    def sample(self, model, noise=None, model_kwargs=None):
        return ddim_sample(lambda x, t: model(x, t, **model_kwargs).pred, noise, self.schedule)
""",
}
MODULES = ("choices", "model", "diffusion")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with modules of the published names."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in MODULES]:
        del sys.modules[name]


def small(latent: LatentNetConfig | None = None) -> DiffAE:
    config = DiffAEConfig(
        image_size=16, model_channels=32, channel_mult=(1, 1), encoder_channel_mult=(1, 1, 1), num_res_blocks=1,
        attention_resolutions=(8,), z_dim=16, embed_dim=32, latent=latent,
    )  # fmt: skip
    model = DiffAE(config).eval()
    random_weights(model)
    return model


@torch.inference_mode()
def test_the_published_code_and_the_plain_path_agree(checkout: Path) -> None:
    with torch.inference_mode(False):
        model = small()
        published, plain = Published(checkout, model.config, model.state_dict()), Plain(model)
    x, t = torch.rand(1, 3, 16, 16) * 2 - 1, torch.tensor([300])
    z = plain.encode(x)
    assert torch.equal(published.encode(x), z)
    assert torch.equal(published.unet(x, t, z), plain.unet(x, t, z))
    x_T = plain.invert(x, z, 5)
    assert torch.equal(published.invert(x, z, 5), x_T)
    assert torch.equal(published.render(x_T, z, 5), plain.render(x_T, z, 5))


def test_other_folders_and_sizes_are_refused(tmp_path: Path, checkout: Path) -> None:
    model = small()
    with pytest.raises(SystemExit, match="no checkout"):
        Published(tmp_path / "elsewhere", model.config, model.state_dict())
    other = model.config.model_copy(update={"prediction": "v"})
    with pytest.raises(SystemExit, match="no model of these sizes"):
        Published(checkout, other, model.state_dict())


def test_a_checkout_that_fails_here_is_told_in_a_sentence(checkout: Path) -> None:
    model = small()
    (checkout / "choices.py").write_text("raise ValueError('mutable default')")
    with pytest.raises(SystemExit, match=r"does not work here \(ValueError: mutable default\); install"):
        Published(checkout, model.config, model.state_dict())


def test_weights_that_it_does_not_have_are_told_in_a_sentence(checkout: Path) -> None:
    model = small()
    weights = dict(model.state_dict())
    del weights["encoder.out.3.bias"]
    with pytest.raises(SystemExit, match=r"RuntimeError: .* Missing key.* \"encoder.out.3.bias\""):
        Published(checkout, model.config, weights)


def test_the_latent_net_of_a_checkpoint_is_left_out(checkout: Path) -> None:
    model = small(LatentNetConfig(z_dim=16, hidden=8, num_layers=2, embed_dim=8, time_channels=8))
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(Published(checkout, model.config, model.state_dict()).encode(x), model.encode(x))


def test_the_plain_path_keeps_its_own_layout(tmp_path: Path) -> None:
    exact = small()
    base = official.baseline(None, exact)
    assert isinstance(base, Plain)
    official.face(exact)
    ours, plain = (model.state_dict()["input_blocks.1.0.in_layers.2.weight"] for model in (exact, base.model))
    assert not ours.is_contiguous()
    assert plain.is_contiguous()


@pytest.mark.parametrize("way", [(), ("--counted",), ("--whole",)])
def test_the_whole_comparison_runs(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], way: tuple[str, ...]
) -> None:
    small().save_pretrained(checkout / "small")
    for name, value in {"BATCHES": (1, 2), "INVERT_STEPS": 5, "RENDER_STEPS": 4, "TIMED_STEPS": (2, 4)}.items():
        monkeypatch.setattr(official, name, value)
    monkeypatch.setattr(official, "matrix_rate", lambda *_: 1e9)
    words = ["--code", str(checkout), "--checkpoint", str(checkout / "small"), "--repeats", "1", "--show"]
    monkeypatch.setattr(sys, "argv", ["official.py", *words, *way])
    official.main()
    told = capsys.readouterr().out
    differences = [float(cell) for line in told.splitlines() if "e-" in line for cell in line.split("|")[2:4]]
    assert len(differences) == 4
    assert max(differences) < 1e-5
    assert "| part | published code, s | emorph, s | ratio |" in told
    assert ("| U-Net, 2 |" in told) == (way != ("--counted",))
    assert ("| published code | " in told) == (way == ("--whole",))


def test_a_checkpoint_that_is_not_there_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["official.py", "--checkpoint", "nowhere"])
    with pytest.raises(SystemExit, match="'nowhere' is not known"):
        official.main()


def test_random_weights_are_nowhere_zero_and_the_same_each_time() -> None:
    first, again = small().state_dict(), small().state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert all(bool(value.any()) for value in first.values())
