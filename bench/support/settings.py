"""What edits depend on, as a few digits for the name of the folder that keeps them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from emorph.edit.pipeline import Editor


def settings(editor: Editor, data: Path | None = None) -> str:
    """Eight digits that tell directions, gain, solver and steps apart, and the faces' file where it is given.

    ``editor.model_id`` stands beside them: it names the autoencoder alone.
    """
    known = editor.directions
    if known is None:
        raise SystemExit("the model holds no emotions, so there are no edits to measure; name directions for it.")
    digest = hashlib.sha256(f"{editor.steps} {editor.solver_name} {known.gain}".encode())
    for name, tensor in sorted(known.tensors().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    if data is not None:
        with data.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:8]
