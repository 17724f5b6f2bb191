"""The options that several verbs share, and what their texts mean."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emorph.core.errors import ConfigError
from emorph.core.images import HEIC_SUFFIXES, READABLE_SUFFIXES, WRITABLE_SUFFIXES, list_photos

if TYPE_CHECKING:
    from emorph.edit.pipeline import Editor

Photos = Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Photos, or folders of photos.")]
Model = Annotated[str, typer.Option(help="A bundled model, a folder, a hub id, or an official checkpoint.")]
DirectionsOption = Annotated[
    Path | None, typer.Option(help="A directions folder or classifier checkpoint, if the model's folder has none.")
]
_FACE_HELP = "Which face: largest, left, all, or a number from left to right, from 1."
Face = Annotated[str, typer.Option(help=_FACE_HELP)]
FaceIfGiven = Annotated[str | None, typer.Option(help=_FACE_HELP, show_default="largest")]
MinFace = Annotated[
    int,
    typer.Option(
        "--min-face",
        min=16,
        help="Smallest face that counts, in photo pixels; beside a large face, much smaller ones are not sought.",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Steps = Annotated[int | None, typer.Option(min=2, max=999, help="Network evaluations in each direction.")]
Solver = Annotated[str, typer.Option(help="dpm (second order, few steps) or ddim (as the official models sample).")]
Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON.")]


def load_editor(model: str, directions: Path | None, device: str, steps: int | None, solver: str) -> Editor:
    """The editor that the options ask for."""
    from emorph.edit.pipeline import DEFAULT_STEPS, Editor

    return Editor.from_pretrained(
        model, directions=directions, device=device, steps=steps or DEFAULT_STEPS, solver_name=solver
    )


def refuse_options(what: str, given: Mapping[str, object]) -> None:
    """Raises ConfigError naming those of the options that were given (are not None) and do not apply to ``what``."""
    found = [name for name, value in given.items() if value is not None]
    if found:
        names = " and ".join([", ".join(found[:-1]), found[-1]] if found[1:] else found)
        raise ConfigError(f"{names} {'do' if found[1:] else 'does'} not apply to {what}; leave out {names}.")


def gather(photos: list[Path]) -> list[Path]:
    """The photos, and those in the folders, without repeats, in order. Raises ImageError for an empty folder."""
    found = [path for photo in photos for path in (list_photos(photo) if _is_folder(photo) else [photo])]
    return list(dict.fromkeys(found))


def _is_folder(path: Path) -> bool:
    """As ``path.is_dir()``; a name that cannot be looked up is none, and reading or writing it says why."""
    try:
        return path.is_dir()
    except OSError:
        return False


def parse_strengths(text: str) -> list[float]:
    """ "0.8" is one strength; "0:1.5:0.25" is first:last:step, both ends included. Raises ConfigError."""
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if len(parts) == 1 and -3 <= parts[0] <= 3:
        return parts
    if len(parts) == 3 and parts[2] > 0 and -3 <= parts[0] < parts[1] <= 3:
        n_steps = round((parts[1] - parts[0]) / parts[2])
        if 1 <= n_steps <= 40 and abs(parts[0] + n_steps * parts[2] - parts[1]) < 1e-6:
            return [round(parts[0] + i * parts[2], 6) for i in range(n_steps + 1)]
    raise ConfigError(
        f"--strength {text!r} is neither a number from -3 to 3 nor FIRST:LAST:STEP in whole steps, as in 0:1.5:0.25."
    )


def is_file_name(out: Path) -> bool:
    """Whether ``out`` names a picture rather than a folder. Raises ConfigError for a kind that is not written."""
    suffix = out.suffix.lower()
    if _is_folder(out):
        return False
    if suffix in (*READABLE_SUFFIXES, *HEIC_SUFFIXES) and suffix not in WRITABLE_SUFFIXES:
        raise ConfigError(f"-o {out}: emorph does not write {suffix}; use {', '.join(WRITABLE_SUFFIXES)}, or a folder.")
    return suffix in WRITABLE_SUFFIXES


def result_paths(out: Path, names: Sequence[str], given: str = "photos are given") -> list[Path]:
    """A picture for each result: ``out`` itself where it names one, else NAME.png in the folder ``out``.

    Raises ConfigError where ``out`` names a picture, but so and so many ``given``.
    """
    if not is_file_name(out):
        return [out / f"{name}.png" for name in names]
    if len(names) > 1:
        raise ConfigError(f"-o {out} is one picture, but {len(names)} {given}; name a folder.")
    return [out]


def check_writable(out: Path) -> None:
    """Make the folder and try it, before any work is done. Raises ConfigError."""
    folder = out.parent if is_file_name(out) else out
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        out.exists()  # a picture's name may be too long where its folder's is not
    except OSError as error:
        raise ConfigError(f"{out} cannot be written ({error.strerror}); choose another -o.") from None


def output_names(photos: Sequence[Path]) -> list[str]:
    """A name for each photo's result, different also where file names ignore case; repeated ones are numbered."""
    used: set[str] = set()
    names = []
    for photo in photos:
        name, number = photo.stem, 1
        while name.lower() in used:
            number += 1
            name = f"{photo.stem}-{number}"
        used.add(name.lower())
        names.append(name)
    return names
