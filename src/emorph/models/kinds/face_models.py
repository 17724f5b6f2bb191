"""The kinds of the 3D face models, FLAME and ICT-FaceKit, which are converted from their owners' releases."""

from __future__ import annotations

from pathlib import Path

from emorph.core.assets import FLAME_PAGE, ICT_PAGE
from emorph.face3d import flame
from emorph.face3d.convert import COMPANIONS, convert_flame, is_flame_source
from emorph.face3d.ict_source import MODEL_FILE, convert_ict, is_ict_source
from emorph.models.kinds.kind import FolderForm, ModelKind, Release


def _convert_ict(source: Path, folder: Path, version: str | None) -> None:
    convert_ict(source, folder / MODEL_FILE)


ICT: ModelKind[object] = ModelKind(
    name="ict",
    what="a copy of ICT-FaceKit",
    use="convert it, and name the ict_face.npz that this writes",
    release=Release(
        title="ICT-FaceKit",
        fits=lambda path: path.is_dir() and is_ict_source(path),
        convert=_convert_ict,
        main=f"FaceXModel (ICT-FaceKit, from {ICT_PAGE})",
    ),
)

FLAME = ModelKind(
    name=flame.KIND,
    what="a FLAME model that was converted before",
    use="use it as it is",
    folder=FolderForm(flame.KIND, flame.FLAME.load),
    release=Release(
        title="FLAME",
        fits=is_flame_source,
        convert=lambda source, folder, version: convert_flame(source, folder, version=version),
        main=f"generic_model.pkl or flame2023.pkl (FLAME, from {FLAME_PAGE})",
        companions=COMPANIONS,
        has_versions=True,
    ),
)
