"""Files as people have them: wrapped, renamed, or another thing in their place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from emorph.core.errors import CheckpointError, EmorphError
from emorph.evaluate.judges.onnx_file import OnnxGraph, opening_operations
from emorph.evaluate.judges.open_networks import load_judge
from emorph.face3d.flame import FLAME
from emorph.face3d.ict import ICT
from emorph.face3d.licensed import read_texture, read_uv
from emorph.models.port import convert, load, load_any, model_info
from emorph.models.sources import unwrapped
from made_face import made_face
from made_flame import write_flame
from tiny import tiny_model

Tensors = dict[str, torch.Tensor]
Emorph = Callable[..., tuple[int, str, str]]
TINY = tiny_model()
STATE = dict(TINY.state_dict())
OTHER = {key: value + 1 if value.is_floating_point() else value for key, value in STATE.items()}


def under(prefix: str, state: Tensors = STATE) -> Tensors:
    return {prefix + key: value for key, value in state.items()}


WRAPPED: dict[str, Any] = {
    "bare": STATE,
    "module.": under("module."),
    "_orig_mod.": under("_orig_mod."),
    "_orig_mod.module.": under("_orig_mod.module."),
    "ema_model.module.": {"initted": torch.tensor(True), "step": torch.tensor(9), **under("ema_model.module.")},
    "ema_model. beside online_model.": {**under("online_model.", OTHER), **under("ema_model.")},
    "torch's averages": {"n_averaged": torch.tensor(3), **under("module.")},
    "model": {"model": STATE, "optimizer": {"state": {}}, "epoch": 3},
    "params_ema before params": {"params": OTHER, "params_ema": STATE},
    "ema before model": {"model": OTHER, "ema": under("module.")},
    "state_dict": {"state_dict": under("module.")},
    "model in state_dict": {"state_dict": {"model": under("_orig_mod.")}},
}


@pytest.mark.parametrize("content", WRAPPED.values(), ids=WRAPPED)
def test_wrappers_and_prefixes_make_no_difference(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "file.pth")
    found = load(tmp_path / "file.pth", image_size=TINY.config.image_size).state_dict()
    assert found.keys() == STATE.keys()
    assert all((found[key] == value).all() for key, value in STATE.items())


def test_a_key_that_is_there_twice_is_named(tmp_path: Path) -> None:
    torch.save({**STATE, **under("module.", OTHER)}, tmp_path / "file.pth")
    with pytest.raises(CheckpointError, match=r"file\.pth holds .+ twice"):
        load(tmp_path / "file.pth")


def test_a_wrapper_that_holds_itself_ends() -> None:
    endless: dict[str, Any] = {}
    endless["model"] = endless
    assert unwrapped(endless) is endless


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1234567\n"
PAGE = b"\n<!DOCTYPE html>\n<html><body>Sign in</body></html>"


def _model_folder(path: Path) -> None:
    TINY.save_pretrained(path.parent / "folder")
    shutil.copy(path, path.parent / "folder" / "model.safetensors")
    load(path.parent / "folder")


READERS: dict[str, Callable[[Path], object]] = {
    "last.ckpt": load,
    "model.safetensors": load_any,
    "generic_model.pkl": lambda path: convert(path, path.parent / "out"),
    "info.ckpt": model_info,
    "weights in a folder": _model_folder,
    "judge.onnx": lambda path: OnnxGraph.load(path),
    "recogniser.onnx": opening_operations,
    "FLAME_texture.npz": read_texture,
    "head_template.obj": read_uv,
    "ict_face.npz": ICT.load,
}


@pytest.mark.parametrize(("content", "said"), [(LFS, "is a Git LFS pointer"), (PAGE, "is a web page")])
@pytest.mark.parametrize("name", READERS)
def test_what_lies_in_a_files_place_is_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=said):
        READERS[name](tmp_path / name)


@pytest.mark.parametrize(
    ("name", "version", "found"),
    [
        ("generic_model.pkl", None, "2020"),
        ("flame2023_Open.pkl", None, "2023"),
        ("flame2023_no_jaw.pkl", None, "2023"),
        ("FLAME_NEUTRAL.pkl", "2020", "2020"),
        ("Kopf, männlich.pkl", "2023", "2023"),
        ("FLAME_NEUTRAL.PKL", None, ""),
    ],
)
def test_flame_is_known_by_its_content(
    emorph: Emorph, tmp_path: Path, name: str, version: str | None, found: str
) -> None:
    folder = tmp_path / "flame"
    write_flame(folder, made_face()).rename(folder / name)
    (folder / "beside.pkl").write_bytes(b"\x80\x04N.")  # another pickle is not taken for it
    said = [] if version is None else ["--version", version]
    for source in (folder, folder / name):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        status, _, err = emorph("models", "convert", source, "-o", tmp_path / "out", *said)
        if found:
            assert status == 0, err
            assert FLAME.load(tmp_path / "out").version == found
        else:
            assert status == 2
            assert "does not tell FLAME's release; say which it is, --version 2020 or --version 2023" in err


def test_a_version_is_for_flame_alone(emorph: Emorph, tmp_path: Path) -> None:
    status, _, err = emorph("models", "convert", "emorph-judge", "-o", tmp_path / "out", "--version", "2020")
    assert (status, "--version is for FLAME's files" in err) == (2, True)
    write_flame(tmp_path / "flame", made_face())
    status, _, err = emorph("models", "convert", tmp_path / "flame", "-o", tmp_path / "out", "--version", "2021")
    assert (status, "'2021' is no release of FLAME" in err) == (2, True)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("enet_b0_8_best_vgaf.pt", r"ONNX file is wanted: emorph models get enet_b0_8_best_vgaf \(or https://github"),
        ("mine.pt", r"is no judge: .*--judge enet_b0"),
        ("emonet_8.pth", "write --judge emonet_8"),
    ],
)
def test_a_judge_that_is_no_onnx_file(tmp_path: Path, name: str, said: str) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / name)
    with pytest.raises(EmorphError, match=said):
        load_judge(str(tmp_path / name), 1)
