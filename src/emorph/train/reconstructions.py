"""Own autoencoders measured on a prepared data set: which faces, which models, and the measuring itself."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emorph.core.device import choose_device
from emorph.core.errors import ConfigError, DataError
from emorph.core.outputs import make_folder
from emorph.core.records import append, mend
from emorph.core.types import OnStep, UInt8
from emorph.data.store import CropWindow, FaceStore
from emorph.evaluate.judges.open_networks import FEATURES
from emorph.evaluate.judges.panel import Panel
from emorph.evaluate.measure.reconstructions import Way, face_id, judge_id, measured
from emorph.evaluate.measure.records import Records
from emorph.evaluate.metrics.table import by_network
from emorph.evaluate.report.reconstructions import Faces, Reconstructions
from emorph.models.diffae import DiffAE
from emorph.models.port import load
from emorph.train import checkpoint
from emorph.train.run_folder import CONFIG_FILE

BATCH = 16
SCORES_FILE = "scores_reconstructions.jsonl"
VALIDATION = "val"
HELD_OUT = ("test", VALIDATION)
TRAINED = "train"


@dataclass(frozen=True)
class Wanted:
    """What is asked for. models: names, folders or files; of a run's folder all its checkpoints.

    split: of the data set; None takes test, else val, else all. n: faces, drawn with seed 0; None for all.
    window: left, top, side of the square of each stored picture; None takes that of the first model's run.
    """

    models: tuple[str, ...]
    data: str
    steps: tuple[int, ...] = (20,)
    n: int | None = 500
    split: str | None = None
    window: tuple[int, int, int] | None = None
    solver_name: str = "dpm"
    device: str = "auto"


def checkpoints(name: str) -> list[str]:
    """A run's folder is all its checkpoints, anything else itself.

    >>> checkpoints("emorph-base")
    ['emorph-base']
    """
    return [str(folder) for folder in checkpoint.step_folders(Path(name))] or [name]


def reconstructions(
    wanted: Wanted, folder: Path, *, without: Sequence[str] = (), on_step: OnStep | None = None
) -> Reconstructions:
    """Encode and decode, measure what ``folder`` does not hold yet, and return all of it.

    on_step: called with (done, total) batches. Raises DataError, ConfigError, CheckpointError, MissingAssetError.
    """
    models = [(name, load(name)) for given in wanted.models for name in checkpoints(given)]
    sizes = {(model.config.image_size, model.config.image_channels) for _, model in models}
    if len(sizes) > 1:
        raise ConfigError("models that take pictures of different sizes are not compared; measure them one by one.")
    (size,) = sizes
    pixels, faces = _drawn(wanted, models[0][1], models[0][0], *size)
    device = choose_device(wanted.device)
    ways = tuple(
        Way(_short(name), model.to(device), wanted.solver_name, n) for name, model in models for n in wanted.steps
    )
    panel = Panel.load((), without=(*without, FEATURES))
    scores = _measure(ways, pixels, faces, panel, folder, on_step)
    missing = tuple(item for item in panel.missing if item.name in by_network())
    return Reconstructions(ways, faces, scores, panel.comparers, missing)


def _short(name: str) -> str:
    """RUN/step_00000060 as it is, without the folders above."""
    path = Path(name)
    return "/".join(path.parts[-2:]) if path.exists() else name


def _drawn(wanted: Wanted, model: DiffAE, name: str, side_px: int, channels: int) -> tuple[list[UInt8], Faces]:
    """The pictures uint8 (C, S, S) that are measured, and what is to be said of them."""
    window = wanted.window or window_of_run(name)
    crop = CropWindow(*window) if window else None
    whole = FaceStore(wanted.data, side_px=side_px, channels=channels, window=crop)
    split, warnings = _split(whole, wanted.split)
    store = whole.of_split(split) if split else whole
    n = min(wanted.n or len(store), len(store))
    if not n:
        raise DataError(f"{wanted.data} has no face in the split {split}.")
    chosen = np.sort(np.random.default_rng(0).permutation(len(store))[:n])
    pixels = [store[int(i)]["image"].numpy() for i in chosen]
    ids = tuple(face_id(picture) for picture in pixels)
    names = store.column("identity") if "identity" in store.columns else [None] * len(store)
    persons = tuple(str(names[int(i)] or id) for i, id in zip(chosen, ids, strict=True))
    about = (
        f"{n} of {len(store)} faces of {Path(wanted.data).name} ({_told_split(split)}), drawn with seed 0"
        f"{', window ' + ', '.join(map(str, window)) if window else ''}, as "
        f"{'luminance' if channels == 1 else 'RGB'} of {side_px} px."
    )
    if crop is None and model.config.crop.zoom != 1:
        warnings.append(_window_wanted(name, model))
    return pixels, Faces(ids, persons, about, split or "", tuple(warnings))


def _split(store: FaceStore, asked: str | None) -> tuple[str | None, list[str]]:
    known = set(store.column("split")) if "split" in store.columns else set()
    if asked is not None:
        flattering = [f"These faces are of the split {asked}: a model that was trained on them does better here."]
        return asked, flattering if asked == TRAINED else []
    found = next((name for name in HELD_OUT if name in known), None)
    if found is None:
        return None, ["The set has no held-out split: a model that was trained on these faces does better here."]
    return found, []


def _told_split(split: str | None) -> str:
    if split is None:
        return "no split is told"
    return f"split: {split}{', by which settings may have been chosen' if split == VALIDATION else ''}"


def _window_wanted(name: str, model: DiffAE) -> str:
    crop = model.config.crop
    side = 1 / crop.zoom
    left, top = 0.5 + crop.shift[0] - side / 2, 0.5 + crop.shift[1] - side / 2
    return (
        f"{name} was trained on a tighter crop than FFHQ's. If these are FFHQ's crops, name that part of them: "
        f"--window LEFT,TOP,SIDE of {left:.3f}, {top:.3f} and {side:.3f} of their side, in whole pixels."
    )


def window_of_run(name: str) -> tuple[int, int, int] | None:
    """The window of the run that a checkpoint is of, as its run.toml has it; None for other models."""
    for folder in (Path(name), Path(name).parent):
        try:
            config: dict[str, Any] = tomllib.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
            left, top, side = config["data"]["window"]
            return int(left), int(top), int(side)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def _measure(
    ways: Sequence[Way], pixels: Sequence[UInt8], faces: Faces, panel: Panel, folder: Path, on_step: OnStep | None
) -> Mapping[tuple[str, str], Mapping[str, float]]:
    make_folder(folder)
    path = folder / SCORES_FILE
    mend(path)
    records = Records.read(folder)
    work = [(way, part) for way in ways for part in _parts(_missing_rows(way, faces, panel, records))]
    for done, (way, rows) in enumerate(work, 1):
        found = list(measured(way, np.stack([pixels[i] for i in rows]), panel.comparers))
        append(path, found)
        records.add((), found)
        if on_step is not None:
            on_step(done, len(work))
    return records.scores


def _missing_rows(way: Way, faces: Faces, panel: Panel, records: Records) -> list[int]:
    """The faces that a way, or a network, has not yet told of."""
    networks = ["", *(comparer.id for comparer in panel.comparers)]
    judges = [judge_id(way, "noise", network) for network in networks]
    return [i for i, id in enumerate(faces.ids) if any((id, judge) not in records.scores for judge in judges)]


def _parts(rows: Sequence[int]) -> list[Sequence[int]]:
    return [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]
