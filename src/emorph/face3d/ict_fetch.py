"""ICT-FaceKit from its official repository: only the files that ``convert_ict`` reads, then the conversion."""

from __future__ import annotations

import shutil
from pathlib import Path

from emorph.core.commands import command
from emorph.core.fetch import fetch_url
from emorph.core.types import OnStep
from emorph.face3d.ict_source import FOLDER, INDEX_FILE, MEAN_FILE, N_IDENTITIES, UNIT_NAMES, convert_ict

# The commit from which the parity tests' data was taken; git names a commit by its content.
BASE = "https://raw.githubusercontent.com/ICT-VGL/ICT-FaceKit/da5f95a607f5e6b37755b38d3385d7f2853732e5"
PAGE = "https://github.com/ICT-VGL/ICT-FaceKit"


def source_files(n_identities: int = N_IDENTITIES) -> tuple[str, ...]:
    """Names in the repository's folder ``FaceXModel``."""
    identities = (f"identity{i:03d}.obj" for i in range(n_identities))
    return (MEAN_FILE, INDEX_FILE, *identities, *(f"{name}.obj" for name in UNIT_NAMES))


def obtain_ict(
    path: Path,
    *,
    n_identities: int = N_IDENTITIES,
    offline: bool = False,
    on_file: OnStep | None = None,
) -> Path:
    """``path``, an ict_face.npz, made from the official files unless it is there; a stopped download resumes.

    The files lie in "source" beside it until it is made. on_file: called with (files here, files in all).
    Raises MissingAssetError if a file cannot be had, CheckpointError if one is damaged.
    """
    if path.is_file():
        return path
    folder = path.parent / "source" / FOLDER
    names = source_files(n_identities)
    otherwise = (
        f"copy {path} from a machine that has it, or the repository {PAGE}, and run: "
        f"{command('models', 'convert', 'ICT-FaceKit', '-o', path.parent)}"
    )
    for done, name in enumerate(names):
        if on_file is not None:
            on_file(done, len(names))
        if not (folder / name).is_file():
            fetch_url(f"{BASE}/{FOLDER}/{name}", folder / name, offline=offline, otherwise=otherwise)
    if on_file is not None:
        on_file(len(names), len(names))
    try:
        return convert_ict(folder, path, n_identities=n_identities)
    finally:  # what cannot be converted is of no use to the next try either
        shutil.rmtree(folder.parent)
