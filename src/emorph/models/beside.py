"""What lies beside a model or in its folder: directions, what these were fitted on, the losses it was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emorph.core.pretrained import locate, stated_losses
from emorph.models.diffae import DiffAE
from emorph.models.directions import Directions
from emorph.models.fitted_on import FittedOn, unchecked
from emorph.models.port import read_directions
from emorph.models.sources import inside

DIRECTIONS_FOLDER = "directions"


def folder_beside(place: Path, name: str) -> Path:
    """The folder of this name beside a model's file, or in its folder."""
    return (place if place.is_dir() else place.parent) / name


def directions_beside(name: str | Path) -> Directions | None:
    """The directions that lie in ``directions`` beside an autoencoder's file or in its folder; None without any.

    Raises as ``emorph.models.port.load``.
    """
    folder = folder_beside(inside(locate(name)), DIRECTIONS_FOLDER)
    return read_directions(folder) if folder.is_dir() else None


def losses_of(name: str | Path) -> tuple[Mapping[str, Any], ...]:
    """The networks that gave a loss while a model was trained, see ``emorph.core.pretrained.stated_losses``.

    Of files, which cannot say it, none. Raises as ``emorph.models.port.load``.
    """
    path = inside(locate(name))
    return stated_losses(path) if path.is_dir() else ()


def fit_note(name: str | Path, model: DiffAE, directions: str | Path | None, *, anyway: bool = False) -> str:
    """What there is to say of how directions fit a model, or "".

    name: of the model; directions: a folder or file; None are those beside the model, of which nothing is said where
    they do not tell what they were fitted on. anyway: let others pass, and say so. Raises CheckpointError for these.
    """
    folder = locate(directions) if directions is not None else folder_beside(locate(name), DIRECTIONS_FOLDER)
    fitted = FittedOn.beside(folder)
    if fitted is not None:
        return fitted.check(str(directions or folder), name, model.encoder_digest, anyway=anyway)
    return unchecked(str(directions), name) if directions is not None else ""
