"""What emorph itself can download: weights whose owners let anyone fetch them, and ICT-FaceKit, which it then makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from emorph.core.assets import MADE_HERE, OFFICIAL, Asset
from emorph.core.downloads import DOWNLOADS
from emorph.core.fetch import Fetched, OnBytes, fetch
from emorph.face3d.ict_fetch import obtain_ict


@dataclass(frozen=True)
class Download:
    """Something that can be fetched by anyone. way: how."""

    asset: Asset
    way: Callable[[Asset, bool, OnBytes], Fetched]

    def get(self, offline: bool, on_share: OnBytes) -> Fetched:
        """Fetch it unless it is here; an interrupted download continues where it stopped.

        on_share: called with how much is done and how much there is in all, None where that is not known.
        Raises MissingAssetError where it cannot be had, DataError or CheckpointError where what came is damaged.
        """
        return self.way(self.asset, offline, on_share)


def download_of(name: str) -> Download | None:
    """What is fetched for this name; None for models that ``locate`` finds: bundled, licensed, or on the hub."""
    made = {asset.name: Download(asset, _make_ict) for asset in OFFICIAL if asset.name == MADE_HERE}
    return (made | {asset.name: Download(asset, _fetch) for asset in DOWNLOADS}).get(name)


def _fetch(asset: Asset, offline: bool, on_share: OnBytes) -> Fetched:
    return fetch(asset, offline=offline, on_bytes=on_share)


def _make_ict(asset: Asset, offline: bool, on_share: OnBytes) -> Fetched:
    return Fetched(obtain_ict(asset.path, offline=offline, on_file=on_share), "", was_known=True)


def bundled_assets() -> dict[str, Asset]:
    """All files of others that ``emorph evaluate`` can use and a bundle may hold, by name."""
    made = [asset for asset in OFFICIAL if asset.name == MADE_HERE]
    return {asset.name: asset for asset in (*DOWNLOADS, *made)}


def is_obtainable(asset: Asset) -> bool:
    """Whether a bundle can have it: it is here, or anyone may download it."""
    return asset.path.is_file() or bool(asset.fetched_by)
