"""``emorph models``: what there is, what a file holds, and converting official files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from emorph.cli.console import print_json
from emorph.cli.options import Json

BUNDLED_ROLES = {"emorph-base": "the editor's own model", "emorph-judge": "names the emotion of a face, for measuring"}
app = typer.Typer(help="Models: list, get, look into, convert.", no_args_is_help=True)


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """The models that come with emorph, and the official ones that it can use."""
    from emorph.core.assets import OFFICIAL
    from emorph.core.pretrained import bundled_models

    if as_json:
        print_json({"bundled": bundled_models(), "official": [asdict(asset) for asset in OFFICIAL]})
        return
    for name in bundled_models():
        typer.echo(f"{name:<24} {BUNDLED_ROLES[name]}; comes with emorph (its weights: research, non-commercial)")
    for asset in OFFICIAL:
        state = "here" if asset.path.exists() else f"get it from {asset.page}"
        typer.echo(f"{asset.name:<24} {asset.what}; {state}")


@app.command("get")
def get(name: Annotated[str, typer.Argument(help="A name of `emorph models list`, or a hub id owner/model.")]) -> None:
    """Fetch a model and print its folder; a licensed one is named with its page instead."""
    from emorph.core.pretrained import locate

    typer.echo(str(locate(name)))


@app.command("info")
def info(
    name: Annotated[str, typer.Argument(help="A bundled model, a folder, a hub id, or a checkpoint file.")],
    as_json: Json = False,
) -> None:
    """What a model file or folder is: kind, sizes, parameters, hash."""
    from emorph.models.port import describe

    model = describe(name)
    config = model.config.model_dump(mode="json") if model.config else None
    facts = asdict(model) | {"weights": str(model.weights), "config": config, "training": dict(model.training)}
    if as_json:
        print_json(facts)
        return
    for key, value in {**facts, **(config or {})}.items():
        if value not in (None, (), {}) and key != "config":
            typer.echo(f"{key:<22} {value}")


@app.command("convert")
def convert(
    source: Annotated[str, typer.Argument(help="An official checkpoint, or any model emorph can load.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to write: config.json, model.safetensors.")],
    half: Annotated[bool, typer.Option("--half", help="Store 16-bit numbers: half the size.")] = False,
) -> None:
    """Write a model as safetensors, once, so that no pickle is read again."""
    import torch

    from emorph.models import port

    port.convert(source, out, dtype=torch.float16 if half else torch.float32)
    typer.echo(str(out))
