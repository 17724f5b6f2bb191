"""Reads the files that torch.save wrote, foreign and official ones too, without running anything in them.

Both layouts are read: the zip archive (torch 1.6 and later) and the row of pickles before it. The file is mapped into
memory, so that a tensor costs nothing until it is used: of a checkpoint with weights, their averages and an
optimiser's moments, only the averages are ever read.
"""

from __future__ import annotations

import io
import mmap
import pickle
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from emorph.core.errors import CheckpointError
from emorph.core.inert import Global, InertUnpickler, Placeholder, Replacement
from emorph.core.stand_ins import refuse_stand_in

if TYPE_CHECKING:
    import torch
    from torch import Tensor

LocateStorage = Callable[[str, "torch.dtype", int], "Tensor"]

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER
_LEGACY_PROTOCOL = 1001
_FREE_NUMEL = 2**24  # an expanded tensor may hold more numbers than its storage, up to here
_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "UntypedStorage": "uint8",
    "_UntypedStorage": "uint8",
}


def read_torch_file(path: Path | str, replacements: Mapping[str, Replacement] | None = None) -> Any:
    """What torch.save wrote, on the CPU: dicts, lists, plain values, tensors and numpy arrays.

    An object of any other class is a ``Placeholder``, and a class or function merely named is a ``Global``.
    replacements: "module.name" to a function that is called in its place, for classes that a caller knows.
    Raises CheckpointError if the file is missing, empty, damaged, of another format, or asks to run something.
    """
    path = Path(path)
    mapped = _map(path)
    read = _read_zip if mapped[:4] == b"PK\x03\x04" else _read_legacy
    return _guarded(lambda: read(mapped, path, _with_arrays(replacements)), mapped, path.name)


def read_pickle(path: Path | str, replacements: Mapping[str, Replacement] | None = None) -> Any:
    """What a plain pickle holds, of Python 2 too: as ``read_torch_file``, but for a file of pickle.dump."""
    path = Path(path)
    mapped = _map(path)
    return _guarded(lambda: InertUnpickler(mapped, path.name, _with_arrays(replacements)).load(), mapped, path.name)


def read_pickled_dict(path: Path | str) -> dict[Any, Any]:
    """The dict in an .npy file that holds one object, as numpy.save writes it; arrays and tensors are its values.

    Raises CheckpointError, as ``read_torch_file``.
    """
    path = Path(path)
    mapped = _map(path)

    def read() -> object:
        if np.lib.format.read_magic(mapped)[0] > 1 or not np.lib.format.read_array_header_1_0(mapped)[2].hasobject:
            raise CheckpointError(f"{path.name} holds plain numbers, not the dict that is needed here.")
        table = _with_arrays({"torch.storage._load_from_bytes": lambda raw: _read_nested(raw, path)})
        for package in ("numpy.core", "numpy._core"):
            table[f"{package}.multiarray._reconstruct"] = lambda *_: _Objects("numpy.ndarray")
        return InertUnpickler(mapped, path.name, table).load()

    found = _guarded(read, mapped, path.name)
    objects = found.objects() if isinstance(found, _Objects) else []
    if len(objects) != 1 or type(objects[0]) is not dict:
        raise CheckpointError(f"{path.name} does not hold the one dict that is needed here.")

    def values() -> dict[Any, Any]:
        return {k: v.array() if isinstance(v, _Objects) else v for k, v in objects[0].items()}

    return cast("dict[Any, Any]", _guarded(values, mapped, path.name))


def _map(path: Path) -> mmap.mmap:
    try:
        if not path.stat().st_size:
            raise CheckpointError(f"{path.name} is empty (0 bytes); copy or download it again.")
        refuse_stand_in(path)
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from None


def _guarded(read: Callable[[], object], mapped: mmap.mmap, name: str) -> Any:
    """What ``read`` gives; any failure on a damaged file becomes a CheckpointError."""
    try:
        return read()
    except CheckpointError:
        raise
    except (MemoryError, RecursionError) as error:
        raise CheckpointError(f"{name} asks for more memory than there is ({type(error).__name__}).") from None
    except Exception as error:  # a damaged pickle can fail in any way
        raise CheckpointError(_damage(mapped[:64], name, error)) from None


def _with_arrays(replacements: Mapping[str, Replacement] | None) -> dict[str, Replacement]:
    return {**_array_replacements(), **_tensor_replacements(), **(replacements or {})}


def _read_nested(raw: object, path: Path) -> object:
    """A storage that a pickled tensor holds as the bytes of a torch.save file of its own."""
    if not isinstance(raw, bytes) or not raw:
        raise pickle.UnpicklingError("a tensor without bytes")
    mapped = mmap.mmap(-1, len(raw))
    mapped.write(raw)
    mapped.seek(0)
    return _read_legacy(mapped, path, _with_arrays(None))


def _damage(head: bytes, name: str, error: Exception) -> str:
    if head[:4] != b"PK\x03\x04" and head[:1] != b"\x80":
        return f"{name} is not a file that torch.save wrote: it starts with {head[:16]!r}."
    return f"{name} is damaged or cut off ({type(error).__name__}: {str(error)[:200]}); copy or download it again."


def _read_zip(mapped: mmap.mmap, path: Path, replacements: Mapping[str, Replacement]) -> object:
    name = path.name
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        if "constants.pkl" in entries:
            raise CheckpointError(f"{name} is a TorchScript program, not a checkpoint; a checkpoint is needed here.")
        if "data.pkl" not in entries:
            raise CheckpointError(f"{name} is a zip archive that torch.save did not write; unpack it first.")
        if any(info.compress_type != zipfile.ZIP_STORED for info in entries.values()):
            raise CheckpointError(f"{name} is a compressed archive, which torch.save never writes; refused.")
        if "byteorder" in entries and archive.read(entries["byteorder"]) != b"little":
            raise CheckpointError(f"{name} was saved on a big-endian machine, which emorph does not read.")
        program = archive.read(entries["data.pkl"])

    def storage(key: str, dtype: torch.dtype, numel: int) -> Tensor:
        info = entries[f"data/{key}"]
        return _flat(mapped, _data_offset(mapped, info.header_offset), numel, dtype, info.file_size)

    loader = _PersistentTensors(storage)
    return InertUnpickler(io.BytesIO(program), name, replacements, loader).load()


def _data_offset(mapped: mmap.mmap, header: int) -> int:
    """Where a stored member's bytes start: after its local header, whose lengths may differ from the directory's."""
    signature, name_length, extra_length = struct.unpack("<4s22xHH", mapped[header : header + 30])
    if signature != b"PK\x03\x04":
        raise ValueError("a member has no local header")
    return int(header + 30 + name_length + extra_length)


def _read_legacy(mapped: mmap.mmap, path: Path, replacements: Mapping[str, Replacement]) -> object:
    """Magic number, version and system facts, the object, the storages' keys: five pickles; then the raw storages."""
    import torch

    name = path.name

    def load(storage: LocateStorage | None = None) -> Any:
        persistent_load = _PersistentTensors(storage) if storage else None
        return InertUnpickler(mapped, name, replacements, persistent_load).load()

    if load() != _LEGACY_MAGIC:
        raise CheckpointError(f"{name} is a pickle, but not one that torch.save wrote.")
    if load() != _LEGACY_PROTOCOL:
        raise CheckpointError(f"{name} is of a torch.save version that emorph does not know.")
    load()
    start = mapped.tell()
    declared: dict[str, tuple[torch.dtype, int]] = {}

    def declare(key: str, dtype: torch.dtype, numel: int) -> Tensor:
        declared[key] = (dtype, numel)
        return torch.empty(numel, dtype=dtype, device="meta")

    load(declare)  # first without the storages, which lie behind it
    keys = load()
    offset, offsets = mapped.tell(), {}
    for key in keys:
        dtype, numel = declared[key]
        if struct.unpack("<q", mapped[offset : offset + 8])[0] != numel:
            raise ValueError(f"storage {key} has another length than declared")
        offsets[key] = offset + 8
        offset += 8 + numel * dtype.itemsize
    mapped.seek(start)
    return load(lambda key, dtype, numel: _flat(mapped, offsets[key], numel, dtype, numel * dtype.itemsize))


def _flat(mapped: mmap.mmap, offset: int, numel: int, dtype: torch.dtype, n_bytes: int) -> Tensor:
    """A storage as a flat tensor that shares the mapped file's memory (copied only where it is not aligned)."""
    import torch

    if numel < 0 or numel * dtype.itemsize != n_bytes or offset + n_bytes > len(mapped):
        raise ValueError("a storage lies outside the file")
    if numel == 0:
        return torch.empty(0, dtype=dtype)
    if offset % dtype.itemsize:
        return torch.frombuffer(bytearray(mapped[offset : offset + n_bytes]), dtype=dtype)
    return torch.frombuffer(mapped, dtype=dtype, count=numel, offset=offset)


class _PersistentTensors:
    """Turns persistent ids ("storage", type, key, location, numel, view) into flat tensors, each storage once."""

    def __init__(self, locate: LocateStorage) -> None:
        self.locate = locate
        self.known: dict[tuple[str, torch.dtype], Tensor] = {}

    def __call__(self, pid: object) -> Tensor:
        if not (isinstance(pid, tuple) and len(pid) in (5, 6) and pid[0] == "storage"):
            raise pickle.UnpicklingError("a persistent id that is no storage")
        kind, key, numel = pid[1], pid[2], pid[4]
        if not (isinstance(kind, Global) and isinstance(key, str) and isinstance(numel, int)):
            raise pickle.UnpicklingError("a malformed persistent id")
        dtype = _dtype(_STORAGES[kind.name.rpartition(".")[2]])
        if (key, dtype) not in self.known:
            self.known[key, dtype] = self.locate(key, dtype, numel)
        flat = self.known[key, dtype]
        if len(pid) == 6 and pid[5] is not None:
            _, start, length = pid[5]
            return flat[start : start + length]
        return flat


def _dtype(name: str) -> torch.dtype:
    import torch

    dtype = getattr(torch, name)
    if not isinstance(dtype, torch.dtype):
        raise pickle.UnpicklingError("an unknown number format")
    return dtype


def _tensor_replacements() -> dict[str, Replacement]:
    """The functions of torch._utils that a state dict calls, rebuilt: any other is refused like any global."""
    import torch

    def tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Tensor:
        if not all(isinstance(n, int) and n >= 0 for n in (offset, *size, *stride)):
            raise ValueError("a malformed tensor")
        view = torch.as_strided(storage, size, stride, storage.storage_offset() + offset)
        if view.numel() > max(storage.numel(), _FREE_NUMEL):
            raise MemoryError
        return view

    def untyped_tensor(storage: Tensor, *args: Any) -> Tensor:
        return tensor(storage.view(_dtype(args[5].name.rpartition(".")[2])), *args[:3])

    def of_type(function: Global, cls: object, args: tuple[object, ...], state: object) -> object:
        if not function.name.startswith("torch._utils._rebuild_") or function.make is None:
            raise pickle.UnpicklingError("a tensor of an unknown kind")
        return function.make(*args)

    return {
        "torch._utils._rebuild_tensor": tensor,
        "torch._utils._rebuild_tensor_v2": tensor,
        "torch._utils._rebuild_tensor_v3": untyped_tensor,
        "torch._utils._rebuild_parameter": lambda data, *_: data,
        "torch._utils._rebuild_parameter_with_state": lambda data, *_: data,
        "torch._tensor._rebuild_from_type_v2": of_type,
    }


class _NumberFormat(Placeholder):
    """A pickled numpy.dtype; plain numbers and text only, so that no array can hold objects."""

    def resolve(self) -> np.dtype[Any]:
        order = self.state[1] if isinstance(self.state, tuple) else "|"
        text = f"{order}{self.args[0]}" if isinstance(order, str) and isinstance(self.args[0], str) else ""
        if not re.fullmatch(r"[<>|=][biufcSU]\d{1,6}", text):
            raise pickle.UnpicklingError("an array of something else than numbers or text")
        return np.dtype(text)


class _PickledArray(np.ndarray[Any, Any]):
    """A numpy array that takes its shape, format and bytes from the pickle."""

    def set_state(self, state: object) -> None:
        if not (isinstance(state, tuple) and len(state) == 5 and isinstance(state[2], _NumberFormat)):
            raise pickle.UnpicklingError("a malformed array")
        _, shape, number_format, fortran, raw = state
        raw = raw.encode("latin1") if isinstance(raw, str) else raw  # Python 2's bytes
        if not (isinstance(raw, bytes) and isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)):
            raise pickle.UnpicklingError("a malformed array")
        self.__setstate__((1, shape, number_format.resolve(), bool(fortran), raw))  # type: ignore[arg-type]  # the stub asks for numpy's bool


class _Objects(Placeholder):
    """A numpy array that may hold objects, which only ``read_pickled_dict`` asks for."""

    def objects(self) -> list[Any]:
        held = self.state[4] if isinstance(self.state, tuple) and len(self.state) == 5 else None
        return held if type(held) is list else []

    def array(self) -> object:
        array = _PickledArray((0,), np.uint8)
        array.set_state(self.state)
        return array


def _array_replacements() -> dict[str, Replacement]:
    def scalar(number_format: _NumberFormat, raw: bytes) -> object:
        return np.frombuffer(raw, number_format.resolve(), 1)[0].item()

    def from_buffer(raw: bytes, number_format: _NumberFormat, shape: tuple[int, ...], order: str) -> object:
        array = _PickledArray((0,), np.uint8)
        array.set_state((1, shape, number_format, order == "F", bytes(raw)))
        return array

    table: dict[str, Replacement] = {"numpy.dtype": lambda *args: _NumberFormat("numpy.dtype", args)}
    for package in ("numpy.core", "numpy._core"):
        table[f"{package}.multiarray.scalar"] = scalar
        table[f"{package}.multiarray._reconstruct"] = lambda *_: _PickledArray((0,), np.uint8)
        table[f"{package}.numeric._frombuffer"] = from_buffer  # protocol 5
    return table
