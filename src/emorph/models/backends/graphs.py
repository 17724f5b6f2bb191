"""ONNX graphs with several inputs, run by ONNX Runtime or OpenVINO on the CPU."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from emorph.core.commands import install
from emorph.core.errors import CheckpointError, MissingAssetError, ShapeError, UnknownNameError
from emorph.core.stand_ins import refuse_stand_in

EXTRA = "backends"
TORCH = "torch"


class Graph(Protocol):
    """A network on disk that is ready to run."""

    def run(self, inputs: Mapping[str, Tensor], wanted: Sequence[str]) -> list[Tensor]:
        """The outputs called ``wanted``, float32, for inputs by their names. Raises ShapeError if it takes others."""


class OnnxRuntimeGraph:
    """A graph in ONNX Runtime."""

    def __init__(self, path: Path, threads: int) -> None:
        """Raises MissingAssetError without onnxruntime, CheckpointError for a file that it cannot run."""
        try:
            import onnxruntime
        except ImportError:
            raise _lacking("onnxruntime") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        self._name = path.name
        self._session = _loaded(
            path,
            lambda: onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0
            ),
        )

    def run(self, inputs: Mapping[str, Tensor], wanted: Sequence[str]) -> list[Tensor]:
        arrays = {name: value.contiguous().numpy() for name, value in inputs.items()}
        found: list[Any] = _answered(self._name, lambda: self._session.run(list(wanted), arrays))
        return [torch.from_numpy(array) for array in found]


class OpenVinoGraph:
    """A graph in OpenVINO, computed in float32 also where the processor has bfloat16.

    It has a thread of its own: OpenVINO leaves the thread that it runs in with an alternate signal stack that is gone
    (``sigaltstack``), and Ctrl-C would then crash the process instead of stopping it.
    """

    precision = "f32"

    def __init__(self, path: Path, threads: int) -> None:
        """Raises MissingAssetError without openvino, CheckpointError for a file that it cannot run."""
        try:
            import openvino
        except ImportError:
            raise _lacking("openvino") from None
        self._thread = ThreadPoolExecutor(1, initializer=_without_signals)
        how = {
            "INFERENCE_PRECISION_HINT": self.precision,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
        }
        self._name = path.name

        def compiled() -> Any:
            core = openvino.Core()
            return core.compile_model(core.read_model(path), "CPU", how)

        self._model = _loaded(path, self._thread.submit(compiled).result)

    def run(self, inputs: Mapping[str, Tensor], wanted: Sequence[str]) -> list[Tensor]:
        arrays = {name: value.contiguous().numpy() for name, value in inputs.items()}
        found: Any = _answered(self._name, self._thread.submit(self._model, arrays).result)
        return [torch.from_numpy(found[name].copy()) for name in wanted]


Engine = Callable[[Path, int], Graph]  # (file, threads)
ENGINES: dict[str, Engine] = {"onnx": OnnxRuntimeGraph, "openvino": OpenVinoGraph}
BACKENDS = (TORCH, *ENGINES)


def engine(backend: str) -> Engine:
    """What opens graphs for "onnx" (ONNX Runtime) or "openvino". Raises UnknownNameError."""
    if backend not in ENGINES:
        raise UnknownNameError("backend", backend, BACKENDS)
    return ENGINES[backend]


def open_graph(path: Path, by: Engine) -> Graph:
    """A graph that runs with as many threads as torch has. Raises MissingAssetError, CheckpointError."""
    refuse_stand_in(path)
    if not path.is_file():
        raise CheckpointError(f"{path.parent} has no {path.name}; copy the whole folder again.")
    return by(path, torch.get_num_threads())


def _without_signals() -> None:
    """Signals are the main thread's."""
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def _lacking(package: str) -> MissingAssetError:
    return MissingAssetError(f"this backend needs {package}: `{install(EXTRA)}`.")


def _loaded(path: Path, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as error:  # the errors of these libraries share no base
        raise CheckpointError(f"{path.name} is damaged or not an ONNX file ({_reason(error)}); get it again.") from None


def _answered(name: str, run: Callable[[], Any]) -> Any:
    try:
        return run()
    except Exception as error:  # the errors of these libraries share no base
        raise ShapeError(f"{name} does not take what it was given ({_reason(error)}).") from None


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
