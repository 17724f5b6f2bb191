"""The restricted unpickler: tensors come through unharmed, and nothing that a file asks for is ever run."""

import argparse
import collections
import io
import os
import pickle
import pickletools
import runpy
import struct
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emorph.core.errors import CheckpointError
from emorph.core.inert import InertUnpickler, Placeholder
from emorph.core.unpickle import read_torch_file


class Calls:
    """Pickles as a call of any function."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> Any:
        return self.function, self.args


def save_program(program: bytes, path: Path, *, zipped: bool = True) -> Path:
    """A file in torch.save's layout whose pickle is ``program``."""
    if not zipped:
        path.write_bytes(program)
        return path
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return path


# -- what must come through ---------------------------------------------------------------------------------------


def contents() -> dict[str, Any]:
    base = torch.arange(24, dtype=torch.float32)
    return {
        "plain": base.reshape(4, 6),
        "transposed": base.reshape(4, 6).T,
        "slice": base[3:9],
        "alias": base[3:9],
        "expanded": torch.ones(1, 5).expand(7, 5),
        "half": torch.randn(5).half(),
        "bfloat": torch.randn(5).bfloat16(),
        "long": torch.tensor([2**40, -1]),
        "flags": torch.tensor([True, False]),
        "scalar": torch.tensor(1.5),
        "nothing": torch.empty(0, 3),
        "parameter": torch.nn.Parameter(torch.randn(2, 2)),
        "ordered": collections.OrderedDict(a=1, b=[1, 2.5, None, "ü"]),
        "bytes": b"\x00\xff",
        "no bytes": b"",
        "set": {1, 2},
        "size": torch.Size([1, 2]),
        "path": Path("runs") / "a",
        "array": np.arange(6, dtype=np.int16).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "number": np.float64(0.25),
        "big": 12345678901234567890123,
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_every_plain_value_and_tensor_comes_through(tmp_path: Path, protocol: int, zipped: bool) -> None:
    path = tmp_path / "file.pt"
    saved = contents()
    torch.save(saved, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    found = read_torch_file(path)
    assert list(found) == list(saved)
    for key, value in saved.items():
        if isinstance(value, torch.Tensor):
            assert found[key].dtype == value.dtype
            assert found[key].device.type == "cpu"
            assert torch.equal(found[key], value.detach()), key
        elif isinstance(value, np.ndarray):
            assert np.asarray(found[key]).dtype == value.dtype
            np.testing.assert_array_equal(found[key], value)
        else:
            assert found[key] == (str(value) if isinstance(value, Path) else value), key
    assert found["slice"].untyped_storage().data_ptr() == found["plain"].untyped_storage().data_ptr()


def test_tensors_can_be_written_without_touching_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    torch.save({"a": torch.zeros(4)}, path)
    before = path.read_bytes()
    read_torch_file(path)["a"].fill_(1.0)
    assert path.read_bytes() == before


@pytest.fixture
def lightning_class() -> Any:
    """A class of a package that exists only while the file is written."""
    names = ["pytorch_lightning", "pytorch_lightning.callbacks", "pytorch_lightning.callbacks.model_checkpoint"]
    modules = {name: types.ModuleType(name) for name in names}
    cls = type("ModelCheckpoint", (), {"__module__": names[-1]})
    modules[names[-1]].ModelCheckpoint = cls  # type: ignore[attr-defined]
    sys.modules.update(modules)
    yield cls
    for name in names:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("zipped", [True, False])
def test_classes_that_are_only_named_or_hold_state_are_tolerated(
    tmp_path: Path, lightning_class: Any, zipped: bool
) -> None:
    instance = lightning_class()
    instance.best = 0.5
    saved = {"callbacks": {lightning_class: {"best": 1}}, "object": instance, "args": argparse.Namespace(lr=1e-4)}
    path = tmp_path / "last.ckpt"
    torch.save(saved, path, _use_new_zipfile_serialization=zipped)
    for name in [name for name in sys.modules if name.startswith("pytorch_lightning")]:
        del sys.modules[name]
    found = read_torch_file(path)
    (key,) = found["callbacks"]
    assert key.name == "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"
    assert found["callbacks"][key] == {"best": 1}
    assert isinstance(found["object"], Placeholder)
    assert found["object"].state == {"best": 0.5}
    assert found["args"].state == {"lr": 1e-4}
    assert "pytorch_lightning" not in sys.modules


def test_replacements_stand_for_classes_that_a_caller_knows(tmp_path: Path, lightning_class: Any) -> None:
    class Known(Placeholder):
        def set_state(self, state: Any) -> None:
            self.best = state["best"]

    instance = lightning_class()
    instance.best = 0.5
    path = tmp_path / "file.pt"
    torch.save([instance, Calls(lightning_class)], path)
    name = "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"
    found = read_torch_file(path, {name: lambda: Known(name)})
    assert found[0].best == 0.5
    assert isinstance(found[1], Known)


# -- what must be refused -------------------------------------------------------------------------------------------


def touch(sentinel: Path) -> str:
    return f"touch {sentinel}"


HOSTILE: dict[str, Any] = {
    "os.system": lambda s: Calls(os.system, touch(s)),
    "builtins.eval": lambda s: Calls(eval, f"open({str(s)!r}, 'w')"),
    "builtins.exec": lambda s: Calls(exec, f"open({str(s)!r}, 'w')"),
    "builtins.getattr": lambda s: Calls(getattr, "text", "upper"),
    "builtins.__import__": lambda s: Calls(__import__, "emorph_sentinel_module"),
    "torch.serialization.load": lambda s: Calls(torch.load, str(s)),
    "runpy.run_path": lambda s: Calls(runpy.run_path, str(s)),
    "io.open": lambda s: Calls(io.open, str(s), "w"),
    "pathlib.Path.touch": lambda s: Calls(Path.touch, s),
    "torch.storage._load_from_bytes": lambda s: Calls(torch.storage._load_from_bytes, b""),
    "functools.partial": lambda s: __import__("functools").partial(os.system, touch(s)),
    "numpy.load": lambda s: Calls(np.load, str(s)),
}


@pytest.mark.parametrize("name", list(HOSTILE))
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_call_is_refused_by_name_and_not_run(tmp_path: Path, name: str, zipped: bool, protocol: int) -> None:
    sentinel = tmp_path / "sentinel"
    state = collections.OrderedDict(a=torch.zeros(2), b=HOSTILE[name](sentinel), c=torch.ones(3))
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": state, "epoch": 3}, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"^last\.ckpt asks to run .*; it was not run\.") as error:
        read_torch_file(path)
    # protocol 2 calls getattr for a method of a class; which of both is named first is the file's business
    asked = str(error.value).split("asks to run ")[1].split(";")[0]
    aliases = {
        "io.open": {"io.open", "_io.open", "builtins.open"},
        "numpy.load": {"numpy.load", "numpy.lib.npyio.load"},
    }
    assert asked in aliases.get(name, {name}) | ({"builtins.getattr"} if name == "pathlib.Path.touch" else set())
    assert not sentinel.exists()
    assert "emorph_sentinel_module" not in sys.modules


def system_call(sentinel: Path) -> bytes:
    return b"X" + struct.pack("<I", len(touch(sentinel))) + touch(sentinel).encode()


PROGRAMS: dict[str, Any] = {
    "REDUCE": lambda s: b"\x80\x02cos\nsystem\n" + system_call(s) + b"\x85R.",
    "REDUCE, python 2 name": lambda s: b"\x80\x02c__builtin__\neval\n" + system_call(s) + b"\x85R.",
    "STACK_GLOBAL": lambda s: b"\x80\x04\x8c\x05posix\x8c\x06system\x93" + system_call(s) + b"\x85R.",
    "INST": lambda s: b"\x80\x02(" + system_call(s) + b"ios\nsystem\n.",
    "OBJ": lambda s: b"\x80\x02(cos\nsystem\n" + system_call(s) + b"o.",
    "text protocol": lambda s: b"cos\nsystem\n(S'" + touch(s).encode() + b"'\ntR.",
    "call of a placeholder": lambda s: b"\x80\x02cos\nsystem\n)\x81" + system_call(s) + b"\x85R.",
    "BUILD on a function": lambda s: b"\x80\x02ccollections\nOrderedDict\n}X\x01\x00\x00\x00ak\x01sb.".replace(
        b"k\x01", b"K\x01"
    ),
    "BUILD on a class": lambda s: b"\x80\x02cos\n_wrap_close\n}b.",
    "call of a tensor's type": lambda s: b"\x80\x02ctorch\nTensor\n)R.",
    "extension registry": lambda s: b"\x80\x02\x82\x01.",
    "append to a global": lambda s: b"\x80\x02csys\npath\n" + system_call(s) + b"a.",
    "set an item of a global": lambda s: b"\x80\x02cos\nenviron\n" + system_call(s) * 2 + b"s.",
}


@pytest.mark.parametrize("name", list(PROGRAMS))
@pytest.mark.parametrize("zipped", [True, False])
def test_no_instruction_acts(tmp_path: Path, name: str, zipped: bool) -> None:
    sentinel = tmp_path / "sentinel"
    path_before = list(sys.path)
    path = save_program(PROGRAMS[name](sentinel), tmp_path / "last.ckpt", zipped=zipped)
    with pytest.raises(CheckpointError, match=r"last\.ckpt asks|last\.ckpt appends|last\.ckpt sets"):
        read_torch_file(path)
    assert not sentinel.exists()
    assert sys.path == path_before


def test_newobj_and_setstate_build_nothing(tmp_path: Path) -> None:
    """NEWOBJ of a class with a harmful __setstate__ or __new__ gives a placeholder; the class is never looked up."""
    program = b"\x80\x02csubprocess\nPopen\n)\x81}X\x04\x00\x00\x00argsX\x02\x00\x00\x00lssb."
    found = read_torch_file(save_program(program, tmp_path / "file.pt"))
    assert isinstance(found, Placeholder)
    assert found.name == "subprocess.Popen"
    assert found.state == {"args": "ls"}


# fmt: off
HARMLESS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "STRING", "BINSTRING", "SHORT_BINSTRING",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "NEXT_BUFFER", "READONLY_BUFFER", "NONE", "NEWTRUE",
    "NEWFALSE", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "FLOAT", "BINFLOAT", "EMPTY_LIST",
    "LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_DICT", "EMPTY_SET", "POP", "DUP", "MARK",
    "POP_MARK", "GET", "BINGET", "LONG_BINGET", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "PROTO", "STOP", "FRAME",
}
# fmt: on


def test_every_instruction_that_can_act_is_overridden() -> None:
    """A new Python may add instructions: those that are not known to be harmless must be looked at first."""
    ends_in_find_class_or_persistent_load = {"GLOBAL", "STACK_GLOBAL", "PERSID", "BINPERSID"}
    harmless = ends_in_find_class_or_persistent_load | HARMLESS
    for opcode in pickletools.opcodes:
        own = InertUnpickler.dispatch[ord(opcode.code)] is not pickle._Unpickler.dispatch[ord(opcode.code)]
        assert own != (opcode.name in harmless), opcode.name


# -- what is damaged ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_cut_off(tmp_path: Path, zipped: bool, kept: float) -> None:
    path = tmp_path / "last.ckpt"
    torch.save(contents(), path, _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(CheckpointError, match=r"last\.ckpt is damaged or cut off"):
        read_torch_file(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_random_damage_is_an_error_or_harmless(tmp_path: Path, zipped: bool) -> None:
    whole = tmp_path / "whole.pt"
    torch.save(contents(), whole, _use_new_zipfile_serialization=zipped)
    data = bytearray(whole.read_bytes())
    rng = np.random.default_rng(0)
    path = tmp_path / "last.ckpt"
    refused = 0
    for _ in range(150):
        copy = bytearray(data)
        for position in rng.integers(0, len(copy), 8):
            copy[position] = rng.integers(256)
        path.write_bytes(copy)
        try:
            read_torch_file(path)
        except CheckpointError:
            refused += 1
    assert refused > 10


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello, this is a text", "is not a file that torch.save wrote"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"PK\x03\x04 and no more", "is damaged or cut off"),
        (pickle.dumps({"a": 1}), "is a pickle, but not one that torch.save wrote"),
        (b"\x80\x02", "is damaged or cut off"),
    ],
)
def test_other_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"^last\.ckpt {message}"):
        read_torch_file(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        read_torch_file(tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="cannot be read: Is a directory"):
        read_torch_file(tmp_path)


def test_zip_that_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "models.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("models/last.ckpt", "x")
    with pytest.raises(CheckpointError, match="unpack it first"):
        read_torch_file(path)
    torch.save({"a": torch.zeros(100)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            archive.writestr(name, source.read(name))
    with pytest.raises(CheckpointError, match="compressed"):
        read_torch_file(path)


def tensor_program(storage_numel: int, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """A pickle of one tensor with any numbers."""

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    def integer(value: int) -> bytes:
        return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)

    def row(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(integer, values)) + b"t"

    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + integer(storage_numel)
    arguments = b"(" + storage + b"tQ" + integer(offset) + row(size) + row(stride) + b"\x89Nt"
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R."


@pytest.mark.parametrize(
    ("numel", "offset", "size", "stride"),
    [
        (4, 0, (5,), (1,)),
        (4, 2, (4,), (1,)),
        (4, 0, (2, 2), (4, 1)),
        (4, -1, (2,), (1,)),
        (4, 0, (2,), (-1,)),
        (4, 0, (10**13,), (0,)),
        (8, 0, (8,), (1,)),
        (10**12, 0, (10**12,), (1,)),
        (4, 2**61, (1,), (1,)),
    ],
)
def test_tensors_outside_their_storage(
    tmp_path: Path, numel: int, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    path = tmp_path / "last.ckpt"
    program = tensor_program(numel, offset, size, stride)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/data/0", np.arange(4, dtype=np.float32).tobytes())
    with pytest.raises(CheckpointError, match=r"last\.ckpt (is damaged|asks for more memory)"):
        read_torch_file(path)


def test_the_tensor_program_itself_is_right(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", tensor_program(4, 1, (3,), (1,)))
        archive.writestr("archive/data/0", np.arange(4, dtype=np.float32).tobytes())
    assert read_torch_file(path).tolist() == [1.0, 2.0, 3.0]


def test_small_bombs(tmp_path: Path) -> None:
    """Deep tuples as keys overflow the C stack when hashed; arrays of objects and endless bytes take what they want."""
    deep = b"\x80\x02}" + b")" + b"\x85" * 300_000 + b"K\x01s."
    with pytest.raises(CheckpointError, match="damaged"):
        read_torch_file(save_program(deep, tmp_path / "deep.pt"))
    listed = b"\x80\x02cpathlib\nPosixPath\n]\x85R."  # str() of nested lists can grow without end
    with pytest.raises(CheckpointError, match="damaged"):
        read_torch_file(save_program(listed, tmp_path / "listed.pt"))
    endless = b"\x80\x05\x96" + struct.pack("<Q", 2**46) + b"x."
    with pytest.raises(CheckpointError, match=r"damaged|memory"):
        read_torch_file(save_program(endless, tmp_path / "endless.pt"))
    torch.save({"a": np.array([object, {}], dtype=object)}, tmp_path / "objects.pt")
    with pytest.raises(CheckpointError, match="damaged"):
        read_torch_file(tmp_path / "objects.pt")
