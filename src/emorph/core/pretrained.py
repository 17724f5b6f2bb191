"""Model folders: config.json beside model.safetensors, from a local folder, the package, or the Hugging Face hub."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorph.core.assets import OFFICIAL, is_offline, official
from emorph.core.commands import quoted
from emorph.core.errors import CheckpointError, MissingAssetError, UnknownNameError
from emorph.core.stand_ins import refuse_stand_in

if TYPE_CHECKING:
    from torch import Tensor

BUNDLED = Path(__file__).parent.parent / "assets"
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
MODEL_FILES = (CONFIG_FILE, WEIGHTS_FILE)
# What a name that ends so means is a file; other names may have dots, too: someone/model-1.5.
FILE_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".tar", ".bin", ".pkl", ".npz", ".onnx", ".json")


def bundled_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(p.parent.name for p in BUNDLED.glob(f"*/{CONFIG_FILE}"))


def locate(name: str | Path, *, offline: bool = False) -> Path:
    """The file or folder that ``name`` means: a bundled model, an official one, a path, or a hub id "owner/model".

    A text that is a known name means that model, whatever lies in the working directory: write ./name for a folder
    called so. A Path is a path first.
    Only a hub id touches the network, not while ``offline`` or with $EMORPH_OFFLINE; it is downloaded once into the
    Hugging Face cache.
    Raises UnknownNameError, MissingAssetError (an official file is not there), CheckpointError (the hub refuses).
    """
    text, path = str(name), _expanded(name)
    if isinstance(name, Path) and path.exists():
        return path
    if text in bundled_models():
        return BUNDLED / text
    copy = _official(text)
    if copy is not None:
        return copy
    if path.exists():
        return path
    is_file = path.suffix.lower() in FILE_SUFFIXES
    if text.count("/") == 1 and not text.startswith((".", "/", "~")) and not is_file:
        return _download(text, offline=offline or is_offline())
    if "/" in text or is_file:
        raise CheckpointError(
            f"{text}: there is no such file or folder. Check the path; it is taken from {Path.cwd()}."
        )
    raise UnknownNameError("model", text, [*bundled_models(), *(asset.name for asset in OFFICIAL)])


def _expanded(name: str | Path) -> Path:
    """The path with ~ resolved. Raises CheckpointError for a name that no file can have."""
    try:
        path = Path(name).expanduser()
        path.exists()
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{str(name)[:80]!r} is no path of a file or folder ({reason}); check it.") from None
    return path


def _official(name: str) -> Path | None:
    try:
        return official(name)
    except MissingAssetError as error:
        if not Path(name).exists():
            raise
        raise MissingAssetError(f"{error} For {Path(name).absolute()} write {quoted(f'./{name}')}") from None


@cache  # a program asks for a model's role, its weights and its directions, and all are to be of one revision
def _download(hub_id: str, *, offline: bool) -> Path:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        wanted = ["*.json", "*.safetensors", "*.md"]
        return Path(huggingface_hub.snapshot_download(hub_id, allow_patterns=wanted, local_files_only=offline))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        if offline:
            raise CheckpointError(
                f"{hub_id}: there is no such folder here, and nothing is downloaded while offline. Check the name, "
                "get it while online (emorph models get), or pass the folder of a copy."
            ) from None
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{hub_id}: there is no such folder here, and the Hugging Face hub did not give it ({reason}). "
            "Check the name and the network, or download it elsewhere and pass its folder."
        ) from None


@contextmanager
def atomic_folder(folder: Path, *, own: Sequence[str] = MODEL_FILES) -> Iterator[Path]:
    """A folder to write into that takes its final name only when everything in it is complete.

    own: the names it may hold already. A link to a folder stays, and what it points to is renewed.
    Raises CheckpointError if the place cannot be written, if the disk fills, or if there is a file of this name, or a
    folder that holds anything else: it would be lost.
    """
    from safetensors import SafetensorError

    folder = Path(folder).resolve()
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"{folder} cannot be overwritten: it is not a folder; name another place.")
    others = sorted(p.name for p in folder.iterdir() if p.name not in own) if folder.is_dir() else []
    if others:
        raise CheckpointError(
            f"{folder} cannot be overwritten: it holds {others[0]}, which is not a model file; name a new folder."
        )
    draft = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        yield draft
        draft.chmod(0o755)
        _take_place(draft, folder)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{folder} cannot be written ({reason}); make room, or choose another place.") from error
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)


def _take_place(draft: Path, folder: Path) -> None:
    """Give a complete folder its name; if that fails or is interrupted, the older one of this name has it again."""
    old = draft.with_name(draft.name + ".old")
    try:
        if folder.exists():
            folder.replace(old)
        draft.replace(folder)
    finally:
        if old.exists() and not folder.exists():
            old.replace(folder)
        shutil.rmtree(old, ignore_errors=True)


def write_model(
    folder: Path,
    kind: str,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    losses: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write config.json and model.safetensors into an existing folder. losses: see ``stated_losses``."""
    from safetensors.torch import save_file

    contiguous = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
    save_file(contiguous, folder / WEIGHTS_FILE, metadata={"kind": kind})
    (folder / WEIGHTS_FILE).chmod(0o644)  # safetensors makes files that only their owner can read
    meta: dict[str, Any] = {"format": "emorph", "version": 1, "kind": kind, "config": dict(config)}
    if losses:
        meta["losses"] = [dict(row) for row in losses]
    (folder / CONFIG_FILE).write_text(json.dumps(meta, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def stated_kind(folder: Path) -> str:
    """The kind of model that a folder's config.json states. Raises CheckpointError if it is not a model folder."""
    return str(_read_meta(folder).get("kind"))


def stated_losses(folder: Path) -> tuple[dict[str, Any], ...]:
    """The networks that gave a loss while the model in a folder was trained: each {name, fingerprint, data}.

    fingerprint: eight digits of its weights; data: what it was trained on. They must not judge what the model makes.
    Raises CheckpointError if it is not a model folder, or says it in another form.
    """
    rows = _read_meta(folder).get("losses", [])
    if not isinstance(rows, list) or not all(
        isinstance(row, dict) and {"name", "fingerprint"} <= set(row) for row in rows
    ):
        raise CheckpointError(f"{folder / CONFIG_FILE}: losses must be a list of name, fingerprint and data.")
    return tuple(rows)


def read_config(folder: Path, kind: str) -> dict[str, Any]:
    """The configuration in a model folder. Raises CheckpointError if it is not one, or of another kind."""
    meta = _read_meta(folder)
    if meta.get("kind") != kind:
        raise CheckpointError(f"{folder} holds a {meta.get('kind')!r}, but a {kind!r} is needed here.")
    config: dict[str, Any] = meta["config"]
    return config


def _checkpoint_in(run: Path) -> str:
    """Of a training run's folder, which checkpoint to name; "" of others."""
    saved = sorted(run.glob(f"step_*/ema/{CONFIG_FILE}"))
    return (
        f" It is the folder of a training run: name one of its checkpoints, such as {saved[-1].parent}."
        if saved
        else ""
    )


def _read_meta(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    refuse_stand_in(path)
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder} is not a model folder: it has no {CONFIG_FILE}.{_checkpoint_in(folder)}"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, OSError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}.") from None
    if not isinstance(meta, dict) or meta.get("format") != "emorph" or not isinstance(meta.get("config"), dict):
        raise CheckpointError(f"{path} was not written by emorph: it has no format, kind and config.")
    return meta


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of a model folder. Raises CheckpointError if the file is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / WEIGHTS_FILE
    refuse_stand_in(path)
    try:
        return load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"{folder} has no {WEIGHTS_FILE}; copy the whole folder again.") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or not a safetensors file ({error}); copy it again.") from None
