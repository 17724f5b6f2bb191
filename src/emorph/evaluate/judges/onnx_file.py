"""ONNX files: which plain arithmetic opens a graph, read off its bytes, and a session that runs it."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emorph.core.commands import install
from emorph.core.errors import CheckpointError, MissingAssetError, ShapeError
from emorph.core.stand_ins import refuse_stand_in
from emorph.core.types import Float32

# Field numbers of onnx.proto (ModelProto, GraphProto, NodeProto, ValueInfoProto, TensorProto) and protobuf's wire types
_GRAPH, _NODE, _INITIALIZER, _INPUT = 7, 1, 5, 11
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP = 1, 2, 4
_VALUE_NAME, _TENSOR_NAME = 1, 8
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
MAX_BATCH = 32  # pictures in one run, which bounds its memory
_OPENING = frozenset({"Add", "Sub", "Mul", "Div", "Cast", "Transpose", "Identity"})


def opening_operations(path: Path) -> tuple[str, ...]:
    """The arithmetic that a picture meets before the first layer, in order: ("Sub", "Mul") where it is scaled.

    Read with a few lines instead of the onnx package, which is not needed to run a graph.
    Raises CheckpointError if the file is empty, cut off, or not ONNX.
    """
    refuse_stand_in(path)
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _opening(data)
    except (ValueError, IndexError, StopIteration) as error:
        raise CheckpointError(f"{path.name} is damaged or not an ONNX file ({error}); get it again.") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}).") from None


@dataclass(frozen=True)
class OnnxGraph:
    """A loaded graph with one picture input. side_px: fixed by the file, or None. batch: fixed by the file, or None."""

    session: Any
    name: str
    input_name: str
    side_px: int | None
    batch: int | None

    @classmethod
    def load(cls, path: Path, *, threads: int = 0) -> OnnxGraph:
        """threads: for one run; 0 takes all cores. Runs on the CPU, so that a number depends on no device.

        Raises MissingAssetError without onnxruntime, CheckpointError for a file that it cannot run.
        """
        try:
            import onnxruntime
        except ImportError:
            raise MissingAssetError(f"ONNX judges need onnxruntime: `{install('evaluate')}`.") from None
        refuse_stand_in(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        try:
            # with its fallback it would print, and try the same again
            session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        except Exception as error:  # onnxruntime's errors share no base
            reason = str(error).splitlines()[0][:200]
            raise CheckpointError(f"{path.name} is damaged or not an ONNX file ({reason}); get it again.") from None
        inputs = session.get_inputs()
        shape = list(inputs[0].shape) if len(inputs) == 1 else []
        if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
            raise CheckpointError(f"{path.name} does not take one picture (B, 3, S, S); it is another kind of network.")
        batch, _, _, side = (n if isinstance(n, int) and n > 0 else None for n in shape)
        return cls(session, path.name, inputs[0].name, side, batch)

    def run(self, pictures: Float32) -> Float32:
        """The first output, (B, K), for float32 (B, 3, S, S).

        Raises ShapeError if it is not a finite row for each picture, or the graph does not take these pictures.
        """
        size = self.batch or MAX_BATCH
        parts = [self._run_part(pictures[i : i + size]) for i in range(0, len(pictures), size)]
        found: Float32 = np.concatenate(parts).astype(np.float32)
        if found.ndim != 2 or len(found) != len(pictures) or not np.isfinite(found).all():
            raise ShapeError(f"{self.name} gave {found.shape} for {len(pictures)} pictures, not a finite row for each.")
        return found

    def _run_part(self, pictures: Float32) -> Float32:
        n = len(pictures)
        if self.batch and n < self.batch:
            pictures = np.concatenate([pictures, pictures[:1].repeat(self.batch - n, axis=0)])
        try:
            found: Float32 = self.session.run(None, {self.input_name: pictures})[0][:n]
        except Exception as error:  # onnxruntime's errors share no base
            reason = str(error).splitlines()[0][:200]
            raise ShapeError(f"{self.name} does not take float32 {pictures.shape} ({reason}).") from None
        return found


def _opening(data: mmap.mmap) -> tuple[str, ...]:
    start, end = next((s, e) for field, s, e in _fields(data, 0, len(data)) if field == _GRAPH)
    nodes: list[tuple[str, list[bytes], list[bytes]]] = []
    inputs: list[bytes] = []
    constants: set[bytes] = set()
    for field, s, e in _fields(data, start, end):
        if field == _NODE:
            nodes.append(_node(data, s, e))
        elif field == _INPUT:
            inputs += _texts(data, s, e, _VALUE_NAME)
        elif field == _INITIALIZER:
            constants.update(_texts(data, s, e, _TENSOR_NAME))
    picture = next(name for name in inputs if name not in constants)
    found: list[str] = []
    for operation, takes, gives in nodes:  # ONNX lists nodes in the order of their computation
        if picture not in takes:
            continue
        if operation not in _OPENING:
            break
        found.append(operation)
        picture = gives[0]
    return tuple(found)


def _node(data: mmap.mmap, start: int, end: int) -> tuple[str, list[bytes], list[bytes]]:
    operation = next(iter(_texts(data, start, end, _NODE_OP)), b"")
    takes, gives = (_texts(data, start, end, field) for field in (_NODE_INPUT, _NODE_OUTPUT))
    return operation.decode("utf-8", "replace"), takes, gives or [b""]


def _texts(data: mmap.mmap, start: int, end: int, wanted: int) -> list[bytes]:
    return [data[s:e] for field, s, e in _fields(data, start, end) if field == wanted]


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number and place of each field that has a length; other fields are passed over."""
    while start < end:
        key, start = _varint(data, start, end)
        wire = key & 7
        if wire == _BYTES:
            length, start = _varint(data, start, end)
            if start + length > end:
                raise ValueError("a field ends behind its message")
            yield key >> 3, start, start + length
            start += length
        elif wire == _VARINT:
            _, start = _varint(data, start, end)
        elif wire in (_FIXED64, _FIXED32):
            start += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")


def _varint(data: mmap.mmap, start: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while start < end and shift < 64:
        byte = data[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, start
        shift += 7
    raise ValueError("a number is cut off")
