"""x_T of a data set's faces for chains: each is inverted once, and kept in files that a stopped run finds again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from torch import Tensor
from torch.utils.data import Dataset

from emorph.core.images import unit_range
from emorph.core.types import OnStep
from emorph.data.memory import Sample
from emorph.data.store import FaceStore
from emorph.diffusion.samplers import solver
from emorph.models.diffae import DiffAE
from emorph.train.face_parts import HALVES, Numbers, Read, cache_key, each_part, part_file
from emorph.train.tasks.expression_loss import PicturesConfig

CACHE_FOLDER = "x_T"
PART_FACES = 256
NAMES = ("x_T", "x_T_mirrored")


class Noise(Protocol):
    """Where x_T of the faces are."""

    def __call__(self, index: int, *, mirrored: bool) -> Tensor:
        """x_T of one face, float16 (C, S, S)."""
        ...


class NoisyFaces(Dataset[Sample]):
    """Faces with their x_T, and those of their mirror images where these are drawn, too."""

    def __init__(self, faces: Dataset[Any], noise: Noise, *, mirror: bool) -> None:
        self.faces, self.noise, self.mirror = faces, noise, mirror

    def __len__(self) -> int:
        return len(self.faces)  # type: ignore[arg-type]  # a map-style data set has a length

    def __getitem__(self, index: int) -> Sample:
        names = NAMES if self.mirror else NAMES[:1]
        own = {name: self.noise(int(index), mirrored=bool(k)) for k, name in enumerate(names)}
        return {**self.faces[index], **own}


class KeptNoise:
    """x_T in the files of a folder, which are mapped into memory, not read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[Path, Any] = {}

    def __call__(self, index: int, *, mirrored: bool) -> Tensor:
        """As ``Noise``."""
        start = index - index % PART_FACES
        file = part_file(self.folder, start, HALVES[mirrored])
        if file not in self._open:
            self._open[file] = safe_open(file, "pt")
        found: Tensor = self._open[file].get_slice(NAMES[0])[index - start]
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "_open": {}}  # each process opens them itself


class MadeNoise:
    """x_T in memory, of the faces and perhaps their mirror images."""

    def __init__(self, halves: Sequence[Tensor]) -> None:
        self.halves = halves

    def __call__(self, index: int, *, mirrored: bool) -> Tensor:
        """As ``Noise``."""
        return self.halves[mirrored][index]


def noise_folder(model: DiffAE, faces: FaceStore, pictures: PicturesConfig, cache: Path) -> Path:
    """Where x_T lie that this model gives these faces."""
    facts = [*faces.facts(), pictures.solver, pictures.evaluations, model.config.model_dump_json()]
    return cache / cache_key([model], facts)


def invert_share(
    model: DiffAE,
    faces: FaceStore,
    pictures: PicturesConfig,
    cache: Path,
    share: tuple[int, int],
    *,
    mirror: bool,
    workers: int = 0,
    on_step: OnStep | None = None,
) -> None:
    """Invert the i-th of every n parts into the cache, where ``KeptNoise`` finds them. share: (i, n)."""
    folder = noise_folder(model, faces, pictures, cache)
    kinds = HALVES if mirror else HALVES[:1]
    for _ in each_part(
        faces,
        _reader(model, pictures),
        folder,
        kinds=kinds,
        workers=workers,
        share=share,
        on_step=on_step,
        part_faces=PART_FACES,
        missing=True,
    ):
        pass


def inverted(model: DiffAE, faces: Dataset[Any], pictures: PicturesConfig, *, mirror: bool) -> MadeNoise:
    """x_T of faces in memory."""
    kinds = HALVES if mirror else HALVES[:1]
    parts = list(each_part(faces, _reader(model, pictures), None, kinds=kinds, part_faces=PART_FACES))
    return MadeNoise([torch.cat([part[k][NAMES[0]] for part in parts]) for k in range(len(kinds))])


def _reader(model: DiffAE, pictures: PicturesConfig) -> Read:
    """Reads x_T off items; rounded to 16 bits, wherever they are kept."""
    chosen = solver(pictures.solver)
    schedule = chosen.schedule(model.diffusion, pictures.evaluations)
    device = model.rates.device

    @torch.inference_mode()
    def read(items: Mapping[str, Tensor], halves: Sequence[int]) -> list[Numbers]:
        x = unit_range(items["image"].to(device))
        x0 = model.tone(x).take_off(x)
        both = [x0.flip(-1) if half else x0 for half in halves]
        return [{NAMES[0]: _x_T(picture).half().cpu()} for picture in both]

    def _x_T(x0: Tensor) -> Tensor:
        return chosen.invert(model.denoiser(model.encode(x0)), x0, schedule)

    return read
