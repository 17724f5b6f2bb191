"""Files of others that emorph can use: which may simply be downloaded, from where, and which their owners hand out.

Page addresses and terms are the owners'; ``Asset.terms`` says only what they say.
"""

from __future__ import annotations

from emorph.core.assets import Asset
from emorph.core.commands import command
from emorph.core.errors import MissingAssetError, UnknownNameError

_HSEMOTION_PAGE = "https://github.com/sb-ai-lab/EmotiEffLib"
_HSEMOTION_TERMS = "its owners: code Apache-2.0, no limitation for academic and commercial use; trained on AffectNet"
_EMONET_PAGE = "https://github.com/face-analysis/emonet"
_EMONET_TERMS = "its owners: code CC BY-NC-ND 4.0, weights not mentioned"
_INSIGHTFACE_PAGE = "https://github.com/deepinsight/insightface/tree/master/model_zoo"
_ARCFACE_PAGE = "https://github.com/deepinsight/insightface/tree/master/recognition/arcface_torch"
_INSIGHTFACE_TERMS = "its owners: non-commercial research purposes only"
_ADAFACE_PAGE = "https://github.com/mk-minchul/AdaFace"
_ADAFACE_TERMS = "as on its page; export it to ONNX yourself, as its adaonnx.py does"
_LPIPS_PAGE = "https://github.com/richzhang/PerceptualSimilarity"
_LPIPS_RAW = "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1"
_TORCHVISION_PAGE = "https://pytorch.org/vision/stable/models.html"
_TORCHVISION_TERMS = "torchvision's weights, trained on ImageNet"

HSEMOTION_NAMES = (
    "enet_b0_8_best_vgaf",
    "enet_b0_8_best_afew",
    "enet_b0_8_va_mtl",
    "mobilevit_va_mtl",
    "enet_b2_8",
    "enet_b2_7",
    "mbf_va_mtl",
)

# A hash of eight digits is the one in the file's name: PyTorch's files carry the first digits of their SHA-256.
DOWNLOADS: tuple[Asset, ...] = (
    *(
        Asset(
            name,
            "HSEmotion: emotions" + (", valence and arousal" if name.endswith("_va_mtl") else ""),
            f"judges/{name}.onnx",
            _HSEMOTION_PAGE,
            _HSEMOTION_TERMS,
            url=f"{_HSEMOTION_PAGE}/raw/main/models/affectnet_emotions/onnx/{name}.onnx",
        )
        for name in HSEMOTION_NAMES
    ),
    *(
        Asset(
            f"emonet_{n}",
            f"EmoNet: {n} emotions, valence and arousal",
            f"judges/emonet_{n}.pth",
            _EMONET_PAGE,
            _EMONET_TERMS,
            url=f"{_EMONET_PAGE}/raw/master/pretrained/emonet_{n}.pth",
        )
        for n in (8, 5)
    ),
    Asset(
        "w600k_r50",
        "ArcFace of InsightFace's buffalo_l",
        "judges/w600k_r50.onnx",
        _INSIGHTFACE_PAGE,
        _INSIGHTFACE_TERMS,
        url="https://github.com/deepinsight/insightface/releases/download/v0.7/buffalo_l.zip",
        member="w600k_r50.onnx",
        sha256="80ffe37d8a5940d59a7384c201a2a38d4741f2f3c51eef46ebb28218a7b0ca2f",
    ),
    *(
        Asset(
            f"glint360k_cosface_{net}",
            f"InsightFace's CosFace, ResNet-{net[1:]}, Glint360K",
            f"judges/glint360k_cosface_{net}.onnx",
            _ARCFACE_PAGE,
            _INSIGHTFACE_TERMS,
        )
        for net in ("r18", "r34", "r50", "r100")
    ),
    *(
        Asset(name, "AdaFace", f"judges/{name}.onnx", _ADAFACE_PAGE, _ADAFACE_TERMS)
        for name in ("adaface_ir50_ms1mv2", "adaface_ir101_webface12m")
    ),
    Asset(
        "lpips-alexnet",
        "LPIPS's features (alex)",
        "lpips/alexnet-owt-7be5be79.pth",
        _TORCHVISION_PAGE,
        _TORCHVISION_TERMS,
        url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        sha256="7be5be79",
    ),
    Asset(
        "lpips-vgg16",
        "LPIPS's and DISTS's features (vgg)",
        "lpips/vgg16-397923af.pth",
        _TORCHVISION_PAGE,
        _TORCHVISION_TERMS,
        url="https://download.pytorch.org/models/vgg16-397923af.pth",
        sha256="397923af",
    ),
    *(
        Asset(
            f"lpips-heads-{net}",
            f"LPIPS's learned weights ({net}), v0.1",
            f"lpips/{net}.pth",
            _LPIPS_PAGE,
            "BSD-2-Clause",
            url=f"{_LPIPS_RAW}/{net}.pth",
        )
        for net in ("alex", "vgg")
    ),
    Asset(
        "dists",
        "DISTS's learned weights",
        "dists/weights.pt",
        "https://github.com/dingkeyan93/DISTS",
        "MIT licence",
        url="https://github.com/dingkeyan93/DISTS/raw/master/DISTS_pytorch/weights.pt",
    ),
    Asset(
        "inception-fid",
        "Inception v3 as FID and KID use it",
        "inception/pt_inception-2015-12-05-6726825d.pth",
        "https://github.com/mseitzer/pytorch-fid",
        "Apache-2.0; weights of TensorFlow's Inception of 2015, trained on ImageNet",
        url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        sha256="6726825d",
    ),
)

_BY_NAME = {asset.name: asset for asset in DOWNLOADS}


def download(name: str) -> Asset:
    """The entry called ``name``. Raises UnknownNameError with the nearest name."""
    if name not in _BY_NAME:
        raise UnknownNameError("file", name, _BY_NAME)
    return _BY_NAME[name]


def how_to_get(asset: Asset) -> str:
    """The end of a sentence that says how a missing file comes here."""
    if asset.url:
        way = command("models", "get", asset.name)
        return f"get it with {way}, or from {asset.page}, and put it at {asset.path}"
    return f"get it from {asset.page} and put it at {asset.path}"


def present(name: str) -> Asset:
    """The entry called ``name`` whose file is here. Raises MissingAssetError, saying how to get it."""
    asset = download(name)
    if not asset.path.is_file():
        raise MissingAssetError(f"{name} needs {asset.path.name}: {how_to_get(asset)} (terms: {asset.terms}).")
    return asset
