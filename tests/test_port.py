"""Any file of the DiffAE family, official or ours: recognised, loaded, converted, described, or refused by name."""

import hashlib
import os
import random
import sys
import types
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from emorph.core.errors import CheckpointError, EmorphError, ShapeError, UnknownNameError
from emorph.diffusion import Schedule, ddim_sample
from emorph.models import DiffAE, DiffAEConfig, Rig, RigConfig, load
from emorph.models.directions import Directions, LatentStats
from emorph.models.kinds import KINDS, all_kinds
from emorph.models.latent import LatentNetConfig, sample_latents
from emorph.models.port import convert, kind_of, model_info, read_directions, read_latent_stats
from emorph.models.recognise import diffae_config_from_state
from golden_cases import Case, case

Edit = Callable[[OrderedDict[str, Any]], None]

TINY = DiffAEConfig(
    image_size=32,
    model_channels=32,
    channel_mult=(1, 2),
    encoder_channel_mult=(1, 2, 2),
    attention_resolutions=(16,),
)


def save_lightning(path: Path, state: OrderedDict[str, Any], hyper_parameters: Any = None) -> Path:
    """A file as Lightning 1.4.5 writes it: callbacks are keyed by a class of a package that is not there later."""
    names = ["pytorch_lightning", "pytorch_lightning.callbacks", "pytorch_lightning.callbacks.model_checkpoint"]
    modules = {name: types.ModuleType(name) for name in names}
    cls = type("ModelCheckpoint", (), {"__module__": names[-1]})
    modules[names[-1]].ModelCheckpoint = cls  # type: ignore[attr-defined]
    sys.modules.update(modules)
    content = {
        "epoch": 7,
        "global_step": 1234,
        "pytorch-lightning_version": "1.4.5",
        "state_dict": state,
        "callbacks": {cls: {"monitor": None, "best_model_score": torch.tensor(0.5), "dirpath": "checkpoints"}},
        "optimizer_states": [{"state": {0: {"step": 5, "exp_avg": torch.randn(8)}}, "param_groups": [{"lr": 1e-4}]}],
        "lr_schedulers": [],
        "native_amp_scaling_state": {"scale": 65536.0},
        "hparams_name": "kwargs",
        "hyper_parameters": hyper_parameters or {"name": "tiny"},
    }
    try:
        torch.save(content, path)
    finally:
        for name in names:
            del sys.modules[name]
    return path


def official_state(golden: Case, x_T: Tensor | None = None) -> OrderedDict[str, Any]:
    """The seeded weights as ema_model.*, others as model.*, in the official order."""
    x_T = torch.randn(32, 3, 32, 32) if x_T is None else x_T
    raw, averaged = golden.weights(seed_offset=1), golden.weights()
    state: OrderedDict[str, Any] = OrderedDict(x_T=x_T)
    state.update({f"model.{key}": value for key, value in raw.items()})
    state.update({f"ema_model.{key}": value for key, value in averaged.items()})
    return state


def official(path: Path, edit: Edit | None = None, **kwargs: Any) -> Path:
    state = official_state(case("diffae_tiny"), **kwargs)
    if edit:
        edit(state)
    return save_lightning(path, state)


def official_latent(path: Path) -> Path:
    golden = case("diffae_sample_tiny")
    state = official_state(golden)
    state["conds_mean"] = golden.input("conds_mean")[None]
    state["conds_std"] = golden.input("conds_std")[None]
    return save_lightning(path, state)


def official_classifier(path: Path, n_classes: int = 40) -> Path:
    golden = case("diffae_tiny")
    head = golden.weights("classifier_state_dict")
    state: OrderedDict[str, Any] = OrderedDict(
        conds_mean=golden.input("conds_mean").reshape(1, -1), conds_std=golden.input("conds_std").reshape(1, -1)
    )
    state["classifier.weight"], state["classifier.bias"] = (
        head[f"classifier.{k}"][:n_classes] for k in ("weight", "bias")
    )
    state["ema_classifier.weight"] = torch.randn(n_classes, 512)
    state["ema_classifier.bias"] = torch.randn(n_classes)
    return save_lightning(path, state)


@torch.inference_mode()
def check_tiny(model: DiffAE) -> None:
    """The model is the official one with its averaged weights: recorded outputs are reproduced."""
    golden = case("diffae_tiny")
    assert not model.training
    assert all(value.dtype == torch.float32 and value.device.type == "cpu" for value in model.state_dict().values())
    assert all(parameter.requires_grad for parameter in model.parameters())
    z = model.encode(golden.input("x"))
    golden.check("z_sem", z)
    golden.check("eps_t500", model(golden.input("x_t"), torch.full((2,), 500), z))


# -- official files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "x_T", [None, torch.randn(1, 3, 8, 8), torch.randn(4, 3, 64, 64), torch.zeros(7)], ids=lambda x: str(x is None)
)
def test_official_autoencoder_gives_the_recorded_numbers(tmp_path: Path, x_T: Tensor | None) -> None:
    model = load(official(tmp_path / "last.ckpt", x_T=x_T))
    assert model.config == TINY
    assert model.latent_stats is None
    check_tiny(model)


def test_official_file_without_x_T_and_its_folder(tmp_path: Path) -> None:
    official(tmp_path / "last.ckpt", lambda state: state.pop("x_T"))
    check_tiny(load(tmp_path))


@torch.inference_mode()
def check_sampling(model: DiffAE) -> None:
    golden = case("diffae_sample_tiny")
    assert model.latent_net is not None
    assert model.latent_stats is not None
    z = sample_latents(model.latent_net, model.latent_stats, golden.input("latent_noise"), 10)
    golden.check("latent", z)
    image = ddim_sample(model.denoiser(z), golden.input("x_T"), Schedule.linear().respaced(5))
    golden.check("image", (image + 1) / 2)


def test_official_latent_checkpoint_samples_the_recorded_faces(tmp_path: Path) -> None:
    model = load(official_latent(tmp_path / "last.ckpt"))
    assert model.config.latent == LatentNetConfig(hidden=128, num_layers=4)
    check_sampling(model)
    model.save_pretrained(tmp_path / "ours")
    check_sampling(load(tmp_path / "ours"))
    assert list(model.state_dict()) == [key for key, _, _ in case("diffae_sample_tiny").info["state_dict"]]


def test_official_classifier_is_directions(tmp_path: Path) -> None:
    golden = case("diffae_tiny")
    directions = read_directions(official_classifier(tmp_path / "last.ckpt"))
    names = Case("diffae_cls_ckpt_keys").info["attribute_order"]
    assert list(directions.labels) == names
    z = torch.from_numpy(golden.arrays["out_z_sem"])
    golden.check("cls_logits", directions.logits(z))
    few = read_directions(official_classifier(tmp_path / "few.ckpt", n_classes=3))
    assert few.labels == ("class_0", "class_1", "class_2")


def test_latent_statistics(tmp_path: Path) -> None:
    conds = torch.randn(6, 512)
    expected = LatentStats(conds.mean(0), conds.std(0))
    torch.save({"conds": conds, "conds_mean": expected.mean, "conds_std": expected.std}, tmp_path / "latent.pkl")
    found = read_latent_stats(tmp_path / "latent.pkl")
    assert torch.equal(found.mean, expected.mean)
    assert torch.equal(found.std, expected.std)
    assert read_latent_stats(official_classifier(tmp_path / "cls.ckpt")).mean.shape == (512,)
    with pytest.raises(CheckpointError, match=r"last\.ckpt is a diffusion autoencoder; it holds no statistics"):
        read_latent_stats(official(tmp_path / "last.ckpt"))


# -- state dicts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "ema_model.", "model.", "module.", "module.model."])
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
def test_bare_state_dicts(tmp_path: Path, prefix: str, suffix: str) -> None:
    state = {f"{prefix}{key}": value for key, value in case("diffae_tiny").weights().items()}
    path = tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    check_tiny(load(path))


def test_averaged_weights_win_in_bare_state_dicts_too(tmp_path: Path) -> None:
    torch.save(official_state(case("diffae_tiny")), tmp_path / "weights.pt")
    check_tiny(load(tmp_path / "weights.pt"))


def test_half_precision_and_legacy_layout_load_in_float32(tmp_path: Path) -> None:
    state = {key: value.half() for key, value in case("diffae_tiny").weights().items()}
    torch.save(state, tmp_path / "half.pt", _use_new_zipfile_serialization=False)
    model = load(tmp_path / "half.pt")
    for key, value in model.state_dict().items():
        assert torch.equal(value, state[key].float())


def test_loaded_weights_do_not_share_memory_with_the_file(tmp_path: Path) -> None:
    path = official(tmp_path / "last.ckpt")
    model = load(path)
    path.write_bytes(b"gone")
    check_tiny(model)


def test_our_folder_its_weights_file_and_a_runs_checkpoint(tmp_path: Path) -> None:
    config = TINY.model_copy(update={"image_channels": 1, "patch_size": 2, "prediction": "v"})
    model = DiffAE(config).eval()
    model.save_pretrained(tmp_path / "step_00000001" / "ema")
    x = torch.randn(1, 1, 32, 32)
    for name in ("step_00000001", "step_00000001/ema", "step_00000001/ema/model.safetensors"):
        found = load(tmp_path / name)
        assert found.config == config
        assert torch.equal(found.encode(x), model.encode(x))


def test_statistics_travel_with_the_model(tmp_path: Path) -> None:
    model = DiffAE(TINY)
    keys = list(model.state_dict())
    stats = LatentStats(torch.randn(512), torch.rand(512))
    model.latent_stats = stats
    assert list(model.state_dict()) == keys
    model.save_pretrained(tmp_path / "ours", dtype=torch.float16)
    found = DiffAE.from_pretrained(tmp_path / "ours").latent_stats
    assert found is not None
    assert torch.equal(found.mean, stats.mean)
    assert torch.equal(found.std, stats.std)
    moved = model.to("meta").latent_stats
    assert moved is not None
    assert moved.mean.is_meta


# -- sizes ------------------------------------------------------------------------------------------------------------


def random_config(rng: random.Random) -> DiffAEConfig:
    levels = rng.randint(1, 4)
    extra = rng.randint(0, 1)
    side = rng.choice([16, 32, 64])
    mult = tuple(rng.choice([1, 1, 2, 3]) for _ in range(levels))
    attending = rng.sample(range(levels + extra), rng.randint(0, levels + extra))
    return DiffAEConfig(
        image_size=side,
        model_channels=rng.choice([32, 64]),
        channel_mult=mult,
        encoder_channel_mult=(*mult, rng.choice([1, 4])) if extra else mult,
        num_res_blocks=rng.randint(1, 3),
        attention_resolutions=tuple(side >> level for level in sorted(attending)),
        z_dim=rng.choice([16, 24]),
        embed_dim=rng.choice([16, 32]),
        image_channels=rng.choice([1, 3]),
        latent=LatentNetConfig(z_dim=16, hidden=12, num_layers=rng.randint(2, 4), embed_dim=8, time_channels=6)
        if rng.random() < 0.4
        else None,
    )


@pytest.mark.parametrize("seed", range(24))
def test_sizes_of_random_models_are_recognised(seed: int) -> None:
    config = random_config(random.Random(seed))
    with torch.device("meta"):
        state = DiffAE(config).state_dict()
    assert diffae_config_from_state(state, image_size=config.image_size) == config
    hyper_parameters = {"img_size": config.image_size, "net_beatgans_attn_head": 4, "beta_scheduler": "cosine"}
    found = diffae_config_from_state(state, hyper_parameters=hyper_parameters)
    assert found == config.model_copy(update={"num_heads": 4, "schedule": "cosine"})
    if len(config.attention_resolutions) != 1:
        x_T = torch.empty(32, 3, config.image_size, config.image_size, device="meta")
        assert diffae_config_from_state(state, x_T=x_T) == config
        with pytest.raises(CheckpointError, match=r"pass it as image_size="):
            diffae_config_from_state(state)


@pytest.mark.parametrize("preset", ["ffhq128", "ffhq256"])
def test_official_sizes_are_recognised_without_any_hint(preset: str) -> None:
    table = Case(f"diffae_{preset}").info["lightning_state_dict"]
    start = "ema_model."
    state = {k.removeprefix(start): torch.empty(s, device="meta") for k, s, _ in table if k.startswith(start)}
    official = DiffAEConfig.preset(preset)
    assert diffae_config_from_state(state) == official
    cosine = diffae_config_from_state(state, hyper_parameters={"beta_scheduler": "cosine"})
    assert cosine == official.model_copy(update={"schedule": "cosine"})
    with pytest.raises(CheckpointError, match=r"^x\.ckpt does not fit: image_size 100 is not divisible by \d+"):
        diffae_config_from_state(state, image_size=100, source="x.ckpt")
    with pytest.raises(CheckpointError, match=r"^x\.ckpt does not fit: schedule: .*found 'const'"):
        diffae_config_from_state(state, hyper_parameters={"beta_scheduler": "const"}, source="x.ckpt")
    latent = {
        k.removeprefix(start): torch.empty(s, device="meta")
        for k, s, _ in Case("diffae_latent_ckpt_keys").info["lightning_state_dict"]
        if k.startswith(start)
    }
    expected = DiffAEConfig.preset("ffhq256").model_copy(update={"latent": LatentNetConfig()})
    assert diffae_config_from_state(latent) == expected


# -- convert and describe ---------------------------------------------------------------------------------------------


def test_convert_autoencoder_and_classifier(tmp_path: Path) -> None:
    check_tiny(load(convert(official(tmp_path / "last.ckpt"), tmp_path / "ours")))
    folder = convert(official_classifier(tmp_path / "cls.ckpt"), tmp_path / "directions")
    found, expected = read_directions(folder), read_directions(tmp_path / "cls.ckpt")
    assert found.labels == expected.labels
    for name in ("weight", "bias"):
        assert torch.equal(getattr(found, name), getattr(expected, name))
    assert torch.equal(found.stats.mean, expected.stats.mean)
    convert(tmp_path / "last.ckpt", tmp_path / "small", dtype=torch.float16)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("ours", "small")]
    assert sizes[1] < 0.6 * sizes[0]


def test_convert_writes_over_nothing(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_text("precious")
    with pytest.raises(CheckpointError, match="exists already"):
        convert(official(tmp_path / "last.ckpt"), tmp_path / "photos")
    assert (tmp_path / "photos" / "me.jpg").read_text() == "precious"


def test_every_kind_has_a_name_of_its_own_and_a_form_to_come_in() -> None:
    kinds = list(all_kinds())
    assert [kind.name for kind in kinds] == list(KINDS)
    assert len({kind.what for kind in kinds}) == len(kinds)
    assert all(kind.folder or kind.file or kind.release for kind in kinds)
    assert all(kind.folder for kind in kinds if kind.save), "what is written is read again"


def test_a_kind_is_seen_without_hashing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hashlib.file_digest", None)
    classifier = official_classifier(tmp_path / "cls.ckpt")
    assert kind_of(classifier) == "directions"
    assert kind_of(convert(classifier, tmp_path / "directions")) == "directions"
    assert kind_of("emorph-base") == "autoencoder"
    assert kind_of("emorph-judge") == "judge"


def test_what_a_model_is(tmp_path: Path) -> None:
    path = official_latent(tmp_path / "last.ckpt")
    info = model_info(path)
    assert (info.role, info.layout) == ("autoencoder", "Lightning checkpoint")
    assert info.config == load(path).config
    assert info.n_parameters == sum(p.numel() for p in load(path).parameters())
    assert info.training == {"epoch": 7, "global_step": 1234, "pytorch-lightning_version": "1.4.5"}
    assert info.file_bytes == path.stat().st_size
    assert info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert info.has_latent_stats
    ours = model_info(convert(path, tmp_path / "ours"))
    assert (ours.config, ours.n_parameters, ours.layout) == (info.config, info.n_parameters, "emorph folder")
    classifier = model_info(official_classifier(tmp_path / "cls.ckpt"))
    assert (classifier.role, len(classifier.labels), classifier.n_parameters) == ("directions", 40, 40 * 513)
    folder = model_info(convert(tmp_path / "cls.ckpt", tmp_path / "directions"))
    assert (folder.role, folder.labels, folder.n_parameters) == ("directions", classifier.labels, 40 * 513)


# -- directions -------------------------------------------------------------------------------------------------------


def test_directions_are_kept_by_a_folder(tmp_path: Path) -> None:
    stats = LatentStats(torch.randn(6), torch.rand(6))
    directions = Directions(torch.randn(2, 6), torch.randn(2), ("happy", "sad"), stats, torch.randn(2, 6), gain=1.5)
    directions.save_pretrained(tmp_path / "d")
    found = Directions.from_pretrained(tmp_path / "d")
    assert (found.labels, found.gain) == (("happy", "sad"), 1.5)
    z = torch.randn(3, 6)
    assert torch.equal(found.logits(z), directions.logits(z))
    assert found.means is not None
    assert directions.means is not None
    assert torch.equal(found.means, directions.means)
    assert found.to("meta").stats.mean.is_meta


def test_directions_that_do_not_fit() -> None:
    stats = LatentStats(torch.zeros(6), torch.ones(6))
    with pytest.raises(ShapeError, match=r"bias must be \(2,\); found \(3,\)"):
        Directions(torch.randn(2, 6), torch.randn(3), ("a", "b"), stats)
    with pytest.raises(ShapeError, match="2 classes need as many labels; found 1"):
        Directions(torch.randn(2, 6), torch.randn(2), ("a",), stats)


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_wrong_roles_are_named(tmp_path: Path) -> None:
    classifier = official_classifier(tmp_path / "cls.ckpt")
    message = (
        r"cls\.ckpt is an official emotion/attribute classifier \(40 classes\), not an autoencoder; pass it as direct"
    )
    with pytest.raises(CheckpointError, match=message):
        load(classifier)
    with pytest.raises(
        CheckpointError, match=r"last\.ckpt is a diffusion autoencoder, not directions \(a classifier\)"
    ):
        read_directions(official(tmp_path / "last.ckpt"))
    torch.save({"conds_mean": torch.zeros(512), "conds_std": torch.ones(512)}, tmp_path / "latent.pkl")
    with pytest.raises(CheckpointError, match=r"is a file of z_sem's statistics \(latent\.pkl\), not an autoencoder"):
        load(tmp_path / "latent.pkl")
    with pytest.raises(CheckpointError, match="holds a 'directions', but a 'diffae' is needed"):
        load(convert(classifier, tmp_path / "directions"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"denoisingUNet.time_embed.0.weight": torch.zeros(1)}, "is a DiffusionRig model"),
        ({"E_flame": {"encoder.conv1.weight": torch.zeros(1)}}, "is a DECA model"),
        ({"state_dict": {"deca.E_flame.x": torch.zeros(1)}}, "is an EMOCA checkpoint"),
        ({"layer1.weight": torch.zeros(1)}, "is not a model that emorph knows: its keys are like layer1.weight"),
        ({"model": {"a": 1}}, "is not a checkpoint that emorph knows: a is a int"),
        ({"models": {"a": 1}}, "is not a checkpoint that emorph knows: models is a dict"),
        ([torch.zeros(1)], "holds no state dict but a list"),
        ({}, "is not a model that emorph knows"),
    ],
)
def test_foreign_files_are_named(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "file.pt")
    with pytest.raises(CheckpointError, match=rf"^file\.pt {message}"):
        load(tmp_path / "file.pt")


def drop(key: str) -> Edit:
    return lambda state: state.pop(key)


def put(key: str, value: Any) -> Edit:
    return lambda state: state.update({key: value})


KEY = "ema_model.output_blocks.2.0.out_layers.3.bias"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (drop(KEY), r"does not fit: output_blocks\.2\.0\.out_layers\.3\.bias is missing \(expected shape \(64,\)\)"),
        (put(KEY, torch.zeros(65)), r"output_blocks\.2\.0\.out_layers\.3\.bias has shape \(65,\), expected \(64,\)"),
        (put("ema_model.extra", torch.zeros(1)), "it holds extra, which this model does not have"),
        (put("extra", torch.zeros(1)), "it holds extra, which this model does not have"),
        (put(KEY, "text"), f"{KEY} is a str, where a state dict has tensors".replace(".", r"\.")),
        (drop("ema_model.time_embed.time_embed.0.weight"), r"time_embed\.time_embed\.0\.weight is missing"),
        (drop("ema_model.encoder.out.3.weight"), r"encoder\.out\.3\.weight is missing"),
        (put("ema_model.time_embed.time_embed.0.weight", torch.zeros(3)), "sizes .* cannot be read off"),
        (put("ema_model.encoder.out.3.weight", torch.zeros(1, 1).expand(2**22, 64)), "asks for more memory"),
        (put("conds_mean", torch.zeros(3)), "conds_mean has shape .* expected|conds_std is missing"),
    ],
)
def test_the_first_difference_is_named(tmp_path: Path, edit: Edit, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        load(official(tmp_path / "last.ckpt", edit))


def test_sizes_that_no_model_can_have_are_refused(tmp_path: Path) -> None:
    state = {key: torch.zeros(value.shape) for key, value in case("diffae_tiny").weights().items()}
    state["time_embed.time_embed.0.weight"] = torch.zeros(512, 16)  # 64 channels as 4 times 16
    state["input_blocks.1.0.in_layers.2.weight"] = torch.zeros(48, 32, 3, 3)
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(CheckpointError, match=r"^odd\.pt does not fit: a layer of 48 channels"):
        load(tmp_path / "odd.pt")


def test_an_official_file_without_averaged_weights(tmp_path: Path) -> None:
    def drop_averages(state: OrderedDict[str, Any]) -> None:
        for key in [key for key in state if key.startswith("ema_model.")]:
            del state[key]

    with pytest.raises(CheckpointError, match=r"last\.ckpt has no averaged weights \(ema_model\.\*\)"):
        load(official(tmp_path / "last.ckpt", drop_averages))


def test_a_call_hidden_in_a_state_dict_is_refused(tmp_path: Path) -> None:
    sentinel = tmp_path / "sentinel"

    class Hostile:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {sentinel}",)

    path = official(tmp_path / "last.ckpt", put(KEY, Hostile()))
    for read in (load, read_directions, read_latent_stats, kind_of, model_info):
        with pytest.raises(CheckpointError, match=r"^last\.ckpt asks to run os\.system; it was not run\. Get the file"):
            read(path)
    assert not sentinel.exists()


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    path = official(tmp_path / "last.ckpt")
    path.write_bytes(path.read_bytes()[:-1000])
    (tmp_path / "text.ckpt").write_text("not weights")
    (tmp_path / "empty.pt").touch()
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00\x00")
    (tmp_path / "folder").mkdir()
    messages = {
        "last.ckpt": "damaged or cut off",
        "text.ckpt": "is not a file that torch.save wrote",
        "empty.pt": "is empty",
        "cut.safetensors": "damaged or not a safetensors file",
        "folder": "is not a model folder",
        "none.ckpt": "there is no such file",
    }
    for name, message in messages.items():
        for read in (load, read_directions, model_info):
            with pytest.raises(EmorphError, match=message):
                read(tmp_path / name)
    for step in (10, 200):
        ema = tmp_path / "folder" / f"step_{step:08d}" / "ema"
        ema.mkdir(parents=True)
        (ema / "config.json").write_text("{}")
    with pytest.raises(EmorphError, match=r"folder of a training run: name .* such as .*step_00000200.ema\.$"):
        load(tmp_path / "folder")
    with pytest.raises(UnknownNameError, match="model 'emorph-bsae' is not known"):
        load("emorph-bsae")


def test_statistics_of_a_batch_norm_are_no_parameters(tmp_path: Path) -> None:
    rig = Rig(RigConfig(image_size=32, model_channels=32, channel_mult=(1, 1), num_res_blocks=1, encoder_width=8))
    rig.save_pretrained(tmp_path / "rig")
    assert model_info(tmp_path / "rig").n_parameters == sum(p.numel() for p in rig.parameters())
