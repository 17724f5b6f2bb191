"""What a full table of a thesis needs besides what comes with emorph, and which of it is not here."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from emorph.core.assets import OFFICIAL, Asset
from emorph.core.commands import command, install
from emorph.core.downloads import DOWNLOADS, HSEMOTION_NAMES, how_to_get


@dataclass(frozen=True)
class Need:
    """Rows of a table. what: they are. ways: files of any one of which they can be made, the best known first.

    package: of Python, that these files need.
    """

    what: str
    ways: tuple[tuple[str, ...], ...]
    package: str = ""


_ONNX = "onnxruntime"
NEEDS: tuple[Need, ...] = (
    Need("emotion accuracy by HSEmotion", (("enet_b0_8_best_vgaf",), ("enet_b0_8_va_mtl",), ("enet_b2_8",)), _ONNX),
    Need("valence and arousal: RMSE, PCC, CCC, SAGR", (("emonet_8",), ("emonet_5",), ("enet_b0_8_va_mtl",))),
    Need(
        "identity: CSIM by CosFace or ArcFace",
        (("w600k_r50",), *((f"glint360k_cosface_{net}",) for net in ("r100", "r50", "r34", "r18"))),
        _ONNX,
    ),
    Need("LPIPS", (("lpips-alexnet", "lpips-heads-alex"), ("lpips-vgg16", "lpips-heads-vgg"))),
    Need("distance of pictures by DISTS", (("lpips-vgg16", "dists"),)),
    Need("FID and KID", (("inception-fid",),)),
    Need("shape by DECA's coefficients", (("deca",), ("emoca",))),
)


AFFECT_JUDGES = ("emonet_8", "emonet_5", *(name for name in HSEMOTION_NAMES if name.endswith("_va_mtl")))
GET_AFFECT = (
    "not measured: needs a judge that predicts them, in emonet_8.pth or enet_b0_8_va_mtl.onnx; get it with emorph "
    "models get emonet_8 (or enet_b0_8_va_mtl) and name it: --judge emonet_8."
)


@dataclass(frozen=True)
class Lacking:
    """Rows that cannot be made here. how: what to do about it."""

    what: str
    how: str


def lacking() -> list[Lacking]:
    """The rows of ``NEEDS`` that cannot be made on this machine."""
    assets = {asset.name: asset for asset in (*OFFICIAL, *DOWNLOADS)}
    found = []
    for need in NEEDS:
        is_here = any(all(assets[name].path.exists() for name in way) for way in need.ways)
        absent = [] if is_here else [assets[name] for name in need.ways[0] if not assets[name].path.exists()]
        steps = [_get(asset) for asset in absent]
        if need.package and importlib.util.find_spec(need.package) is None:
            steps.append(f"{need.package}: {install('evaluate')}")
        if steps:
            found.append(Lacking(need.what, "; ".join(steps)))
    return found


def _get(asset: Asset) -> str:
    return f"{asset.path.name}: {how_to_get(asset)}"


def all_at_once() -> str:
    """How everything that may be downloaded comes here, with a network or by way of a machine that has one."""
    return (
        f"all that anyone may download, at once: {command('models', 'bundle', '-o', 'files.zip')} on a machine with a "
        f"network, and {command('models', 'install', 'files.zip')} here"
    )
