"""Numbers that are read off each face once: in parts, each a file, so that a stopped reading resumes where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from emorph.core.files import written_beside
from emorph.core.types import OnStep
from emorph.data.loader import ignore_stop_signals

READ_BATCH = 64
PART_FACES = 4096  # a stopped reading goes on with the part that it was in
HALVES = ("", "m")  # kinds: the pictures as they are, and their mirror images
Numbers = dict[str, Tensor]
Read = Callable[[Mapping[str, Tensor], Sequence[int]], Sequence[Numbers]]


def cache_key(networks: Sequence[nn.Module], facts: Sequence[object]) -> str:
    """32 hexadecimal digits for everything that the numbers depend on: the networks that read them, and facts for JSON.

    facts: of the data set and of how it is read.
    """
    digest = hashlib.sha256()
    for network in networks:
        for key, value in network.state_dict().items():
            digest.update(key.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    digest.update(json.dumps(facts).encode())
    return digest.hexdigest()[:32]


def read_parts(
    faces: Dataset[Any],
    read: Read,
    folder: Path | None,
    *,
    kinds: Sequence[str] = ("",),
    workers: int = 0,
    share: tuple[int, int] = (0, 1),
    on_step: OnStep | None = None,
) -> list[Numbers]:
    """What ``read`` finds in every face, (n_faces, ...) by name, for each of ``kinds``; from its files in ``folder``.

    As ``each_part``, all of them together.
    """
    parts = each_part(faces, read, folder, kinds=kinds, workers=workers, share=share, on_step=on_step)
    of_kinds = list(zip(*parts, strict=True))
    return [{key: torch.cat([part[key] for part in parts]) for key in parts[0]} for parts in of_kinds]


def each_part(
    faces: Dataset[Any],
    read: Read,
    folder: Path | None,
    *,
    kinds: Sequence[str] = ("",),
    workers: int = 0,
    share: tuple[int, int] = (0, 1),
    on_step: OnStep | None = None,
    part_faces: int | None = None,
    missing: bool = False,
) -> Iterator[list[Numbers]]:
    """One part of the faces after the other: what ``read`` finds in them, for each of ``kinds``.

    read: (items, indices of kinds) -> what these kinds are for a batch. kinds: what their files' names end with.
    share: (i, n) takes the i-th of every n parts, for n processes that then find each other's; (0, 1) is all.
    part_faces: how many faces a part has; ``PART_FACES`` if not stated. missing: only the parts that have no files yet,
    so that what is there need not be read.
    """
    n_faces, (own, of) = len(faces), share  # type: ignore[arg-type]  # a map-style data set has a length
    part_faces = part_faces or PART_FACES
    for start in range(0, n_faces, part_faces):
        rows = range(start, min(start + part_faces, n_faces))
        if start // part_faces % of != own:
            continue
        files = [part_file(folder, start, kind) if folder else None for kind in kinds]
        if not (missing and all(file and file.exists() for file in files)):
            yield _part(faces, rows, read, files, workers, on_step, n_faces)
        if on_step:
            on_step(rows.stop, n_faces)


def part_file(folder: Path, start: int, kind: str = "") -> Path:
    """Where the part that begins with face ``start`` lies."""
    return folder / f"{start:08d}{kind}.safetensors"


def joined_numbers(sets: Sequence[Sequence[Numbers]]) -> list[Numbers]:
    """What was read off several sets, laid end to end, of each kind what all sets have; [] where a share holds none."""
    joined = []
    for parts in zip(*(numbers for numbers in sets if numbers), strict=True):
        common = [key for key in parts[0] if all(key in part for part in parts)]
        joined.append({key: torch.cat([part[key] for part in parts]) for key in common})
    return joined


def _part(
    faces: Dataset[Any],
    rows: range,
    read: Read,
    files: Sequence[Path | None],
    workers: int,
    on_step: OnStep | None,
    n_faces: int,
) -> list[Numbers]:
    missing = [i for i, file in enumerate(files) if not (file and file.exists())]
    batches: list[Sequence[Numbers]] = []
    if missing:
        own = torch.Generator()  # a loader draws a number at its start; not from the caller's randomness
        loader = DataLoader(
            Subset(faces, list(rows)),
            batch_size=READ_BATCH,
            num_workers=workers,
            generator=own,
            worker_init_fn=ignore_stop_signals,
        )
        for items in loader:
            batches.append(read(items, missing))
            done = rows.start + READ_BATCH * len(batches)
            if on_step and done < rows.stop:
                on_step(done, n_faces)
    made = {
        i: {key: torch.cat([batch[k][key] for batch in batches]).contiguous() for key in batches[0][k]}
        for k, i in enumerate(missing)
    }
    for i in missing:
        if file := files[i]:
            file.parent.mkdir(parents=True, exist_ok=True)
            with written_beside(file) as draft:  # several processes of a run may be at it
                save_file(made[i], draft)
    return [made[i] if i in made else load_file(str(file)) for i, file in enumerate(files)]
