"""Files that emorph can use but may not bring along: what they are, and where their owners give them."""

from __future__ import annotations

from dataclasses import dataclass

from emorph.core.errors import MissingAssetError


@dataclass(frozen=True)
class Asset:
    """A file that the user gets from its owner."""

    name: str
    what: str
    file: str
    page: str
    terms: str


_DIFFAE = "https://github.com/phizaz/diffae#checkpoints"
_DIFFAE_TERMS = "code MIT; trained on FFHQ (CC BY-NC-SA 4.0), so research use"

OFFICIAL: tuple[Asset, ...] = (
    Asset("ffhq128-autoenc", "official autoencoder, 128 px", "ffhq128_autoenc_130M/last.ckpt", _DIFFAE, _DIFFAE_TERMS),
    Asset("ffhq256-autoenc", "official autoencoder, 256 px", "ffhq256_autoenc/last.ckpt", _DIFFAE, _DIFFAE_TERMS),
    Asset(
        "ffhq256-autoenc-latent",
        "the same with the latent net that draws faces from nothing",
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
)


def refuse_official(name: str) -> None:
    """Raises MissingAssetError, with the page to get it from, if ``name`` is a file that only its owner gives."""
    for asset in OFFICIAL:
        if asset.name == name:
            raise MissingAssetError(
                f"{name} is given out by its authors alone. Get {asset.file} from {asset.page} and pass its path "
                f"as --model (terms: {asset.terms})."
            )
