"""z_sem of the faces in photos and folders, as an array: the features that a linear model is fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emorph.core.errors import CheckpointError
from emorph.core.files import names_apart, written_beside
from emorph.core.types import Float32
from emorph.edit.batch import Batch, Failure
from emorph.edit.paths import photo_files
from emorph.edit.progress import watched
from emorph.models.fitted_on import FittedOn, short_name

if TYPE_CHECKING:
    from emorph.edit.pipeline import Editor


@dataclass(frozen=True)
class FileCodes:
    """z_sem of n faces.

    z_sem: float32 (n, z_dim), as the encoder gives it, not normalised. files: n paths, the photo of each face; with
    several faces a photo comes several times, from left to right. fitted_on: the encoder they mean something to.
    failures: photos that gave none, and why.
    """

    z_sem: Float32
    files: tuple[Path, ...]
    fitted_on: FittedOn
    failures: tuple[Failure, ...] = ()

    def save(self, path: Path | str) -> None:
        """Write an .npz with z_sem, files, model and weights; it appears whole or not at all."""
        path = Path(path)
        with written_beside(path) as draft, draft.open("wb") as file:
            np.savez(
                file,
                z_sem=self.z_sem,
                files=np.array([str(name) for name in self.files]),
                model=np.array(self.fitted_on.model),
                weights=np.array(self.fitted_on.weights),
            )

    @classmethod
    def load(cls, path: Path | str) -> FileCodes:
        """Read what ``save`` wrote; nothing in it is executed. Raises CheckpointError."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                z_sem, files = stored["z_sem"], tuple(Path(str(name)) for name in stored["files"])
                fitted = FittedOn(model=str(stored["model"]), weights=str(stored["weights"]))
        except (OSError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"{path} holds no codes that emorph wrote ({error}); encode the photos again."
            ) from None
        if z_sem.ndim != 2 or z_sem.dtype != np.float32 or len(z_sem) != len(files):
            raise CheckpointError(
                f"{path}: z_sem must be float32 (n, z_dim) with n files; found {z_sem.dtype} {z_sem.shape} and "
                f"{len(files)} files."
            )
        return cls(z_sem, files, fitted)


def encoded_files(
    editor: Editor, photos: str | Path | Sequence[str | Path], face: str | int, *, progress: bool
) -> FileCodes:
    """Codes of a photo or a folder, or several; one that fails does not end the others. Raises ImageError."""
    name = editor.model_id.rpartition("-")[0] or editor.model_id
    fitted = FittedOn(model=short_name(name), weights=editor.model.encoder_digest)
    files, codes = list[Path](), list[Float32]()
    with watched(progress) as watch:
        batch = Batch(watch)
        sources = photo_files([photos] if isinstance(photos, str | Path) else photos)
        batch.watch.start(len(sources))
        for source, name in names_apart(sources).items():
            with batch.item(name):
                faces = editor.faces(source, face)
                codes.append(editor.z_sem(faces))
                files += [source] * len(faces)
    z_sem = np.concatenate([np.empty((0, editor.model.config.z_dim), np.float32), *codes])
    return FileCodes(z_sem, tuple(files), fitted, tuple(batch.failures))
