"""Rigs from any file: official ones of both stages and both encoders are recognised, ours come back as they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from emorph.core.errors import CheckpointError, ConfigError, ShapeError
from emorph.models import Rig, RigConfig, load, load_rig
from emorph.models.port import convert, model_info
from emorph.models.recognise import rig_config_from_state
from golden_cases import Case, case
from test_golden_rig import TINY


def official(path: Path, edit: Callable[[dict[str, Any]], object] | None = None) -> Path:
    """A file as DiffusionRig writes it: the bare state dict."""
    state: dict[str, Any] = dict(case("rig_tiny").weights())
    if edit:
        edit(state)
    torch.save(state, path)
    return path


@torch.inference_mode()
def check_tiny(model: Rig) -> None:
    golden = case("rig_tiny")
    assert not model.training
    code = model.encode(golden.input("x_start"))
    golden.check("detail_cond", code)
    golden.check("eps", model(golden.input("x_t"), golden.input("t"), golden.input("physic_cond"), code))


def test_official_file_gives_the_recorded_numbers(tmp_path: Path) -> None:
    path = official(tmp_path / "model005000.pt")
    model = load_rig(path, num_heads=2)  # weights do not tell heads; the official model has one
    assert model.config == TINY.model_copy(update={"dropout": 0.1})
    check_tiny(model)
    info = model_info(path)
    assert info.role == "rig"
    assert info.n_parameters == sum(parameter.numel() for parameter in model.parameters())


def test_our_folder_and_a_runs_checkpoint(tmp_path: Path) -> None:
    model = load_rig(official(tmp_path / "model.pt"), num_heads=2)
    model.save_pretrained(tmp_path / "step" / "ema")
    for name in ("step", "step/ema", "step/ema/model.safetensors"):
        check_tiny(load_rig(tmp_path / name))
    assert model_info(tmp_path / "step").config == model.config
    half = convert(tmp_path / "step", tmp_path / "half", dtype=torch.float16)
    again = load_rig(half)
    assert again.state_dict()["encoder.bn1.num_batches_tracked"].dtype == torch.int64
    torch.testing.assert_close(again.encoder.conv1.weight, model.encoder.conv1.weight, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("encoder", "n_features"), [("resnet18", 512), ("resnet50", 2048)])
def test_official_sizes_are_recognised_without_any_hint(encoder: str, n_features: int) -> None:
    shapes = {key: tuple(shape) for key, shape, _ in Case("rig_256").info["state_dict"]}
    if encoder == "resnet50":
        body = {key: shape for key, shape in shapes.items() if not key.startswith("encoder.")}
        shapes = body | {key: tuple(s) for key, s, _ in Case("rig_256_resnet50").info["state_dict"]}
    assert shapes["encoder.fc.weight"] == (64, n_features)
    found = rig_config_from_state({key: torch.empty(s, device="meta") for key, s in shapes.items()})
    assert found == RigConfig(image_size=256, encoder=encoder, dropout=0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(6))
def test_sizes_of_random_rigs_are_recognised(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)

    def pick(*choices: Any) -> Any:
        return choices[int(torch.randint(len(choices), (1,), generator=rng))]

    config = RigConfig(
        image_size=64,
        encoder=pick("resnet18", "resnet50"),
        encoder_width=pick(16, 64),
        model_channels=pick(32, 64),
        channel_mult=pick((1, 1, 2), (1, 2, 2), (2, 1, 3)),
        num_res_blocks=pick(1, 2, 3),
        attention_resolutions=(16,),
        code_dim=pick(8, 64),
        image_channels=pick(1, 3),
        dropout=0.1,
    )
    with torch.device("meta"):
        model = Rig(config)
    assert rig_config_from_state(model.state_dict()) == config


def test_wrong_files_are_named(tmp_path: Path) -> None:
    rig = official(tmp_path / "rig.pt")
    with pytest.raises(
        CheckpointError, match=r"^rig\.pt is a DiffusionRig model, not an autoencoder; load it with .*rig"
    ):
        load(rig)
    torch.save(case("diffae_tiny").weights(), tmp_path / "diffae.pt")
    with pytest.raises(CheckpointError, match=r"diffae\.pt is a diffusion autoencoder, not a rig; load it with"):
        load_rig(tmp_path / "diffae.pt")


KEY = "denoisingUNet.output_blocks.2.0.out_layers.3.bias"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda state: state.pop(KEY), f"{KEY} is missing"),
        (lambda state: state.update({KEY: torch.zeros(33)}), f"{KEY} has shape \\(33,\\), expected \\(32,\\)"),
        (lambda state: state.update({"encoder.extra": torch.zeros(1)}), "it holds encoder.extra, which"),
        (lambda state: state.update({KEY: "text"}), f"{KEY} is a str, where a state dict has tensors"),
        (lambda state: state.pop("encoder.fc.weight"), "encoder.fc.weight is missing"),
        (lambda state: state.update({"encoder.fc.weight": torch.zeros(())}), "sizes of a rig cannot be read off"),
        (
            lambda state: state.update({"denoisingUNet.input_blocks.0.0.weight": torch.zeros(32, 5, 3, 3)}),
            "image_channels: Input should be 1 or 3",
        ),
    ],
)
def test_the_first_difference_is_named(tmp_path: Path, edit: Callable[[dict[str, Any]], object], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_rig(official(tmp_path / "rig.pt", edit))


def test_a_file_that_would_run_something_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    official(tmp_path / "rig.pt", lambda state: state.update({"denoisingUNet.evil": Evil()}))
    with pytest.raises(CheckpointError):
        load_rig(tmp_path / "rig.pt")
    assert not (tmp_path / "ran").exists()


def test_what_a_rig_does_not_take() -> None:
    with torch.device("meta"):
        model = Rig(TINY)

    def empty(*shape: int) -> Tensor:
        return torch.empty(*shape, device="meta")

    with pytest.raises(ShapeError, match=r"float pictures .* of shape \(B, 3, 32, 32\); found .*\(1, 1, 32, 32\)"):
        model.encode(empty(1, 1, 32, 32))
    with pytest.raises(ShapeError, match=r"float buffers of shape \(B, 9, 32, 32\); found .*\(1, 9, 64, 64\)"):
        model(empty(1, 3, 32, 32), torch.zeros(1), empty(1, 9, 64, 64), empty(1, 64))
    with pytest.raises(ConfigError, match="not divisible by 32"):
        RigConfig.parse({"image_size": 100})
    with pytest.raises(ConfigError, match=r"^the configuration: image_size: .*found \[256\]"):
        RigConfig.parse({"image_size": [256]})
    assert RigConfig(image_size=64).channel_mult == (1, 2, 3, 4)


@torch.inference_mode()
def test_a_gray_rig_reads_one_channel() -> None:
    torch.manual_seed(0)
    model = Rig(TINY.model_copy(update={"image_channels": 1, "prediction": "v"})).eval()
    x, t = torch.randn(2, 1, 32, 32), torch.tensor([10, 700])
    code = model.encode(x)
    torch.testing.assert_close(code, model.encoder(torch.cat([x, x, x], dim=1)))
    raw = model.predict(x, t, torch.zeros(2, 9, 32, 32), code)
    alpha, sigma = model.rates[t][:, :, None, None, None].unbind(1)
    torch.testing.assert_close(model(x, t, torch.zeros(2, 9, 32, 32), code), alpha * raw + sigma * x)
