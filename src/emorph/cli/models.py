"""``emorph models``: what there is, what a file holds, and converting official files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from emorph.cli.console import items, print_json, say
from emorph.cli.options import Json

BUNDLED_ROLES = {
    "emorph-base": "the editor's own model",
    "emorph-judge": "names the emotion of a face, for measuring",
    "emorph-rig": "action units and transfer between photos",
}
app = typer.Typer(help="Models: list, get, look into, convert.", no_args_is_help=True)


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """The models that come with emorph, and the official ones that it can use."""
    from emorph.core.assets import OFFICIAL
    from emorph.core.downloads import DOWNLOADS
    from emorph.core.pretrained import bundled_models

    if as_json:
        tables = {"official": OFFICIAL, "measuring": DOWNLOADS}
        rows = {key: [asdict(asset) for asset in assets] for key, assets in tables.items()}
        print_json({"bundled": bundled_models(), **rows})
        return
    for name in bundled_models():
        typer.echo(f"{name:<24} {BUNDLED_ROLES[name]}; comes with emorph (its weights: research, non-commercial)")
    for asset in OFFICIAL:
        state = "here" if asset.path.exists() else f"get it from {asset.page}"
        typer.echo(f"{asset.name:<24} {asset.what}; {state}")
    typer.echo("for emorph evaluate:")
    for asset in DOWNLOADS:
        way = f"emorph models get {asset.name}" if asset.url else f"get it from {asset.page}"
        typer.echo(f"{asset.name:<24} {asset.what}; {'here' if asset.path.exists() else way}")


@app.command("get")
def get(
    name: Annotated[str, typer.Argument(help="A name of `emorph models list`, or a hub id owner/model.")],
    offline: Annotated[bool, typer.Option("--offline", help="Download nothing: only say where it is.")] = False,
) -> None:
    """Fetch a model and print where it is; a licensed one is named with its page instead.

    A stopped download goes on where it was. $EMORPH_HOME is the folder, $EMORPH_MIRROR a server to ask instead.
    """
    from emorph.core.assets import OFFICIAL
    from emorph.core.downloads import DOWNLOADS
    from emorph.core.fetch import fetch
    from emorph.core.pretrained import locate
    from emorph.face3d.ict_fetch import obtain_ict

    asset = next((asset for asset in (*OFFICIAL, *DOWNLOADS) if asset.name == name), None)
    if asset is None or (asset in OFFICIAL and name != "ict-facekit"):
        typer.echo(str(locate(name, offline=offline)))
        return
    say(f"{name}: {asset.what}, from {asset.page}; terms: {asset.terms}")
    with _share() as on_share:
        if asset in OFFICIAL:
            typer.echo(str(obtain_ict(asset.path, offline=offline, on_file=on_share)))
            return
        found = fetch(asset, offline=offline, on_bytes=on_share)
    if found.sha256 and not found.was_known:
        say(f"Its SHA-256 was not known beforehand; found {found.sha256}, kept in {found.path.name}.sha256.")
    typer.echo(str(found.path))


@contextmanager
def _share() -> Iterator[Callable[[int, int | None], None]]:
    """A bar over one item, told (done, total); it stands where the total is not known."""
    with items(1) as work:
        yield lambda done, total: work.step(done, total) if total else None


@app.command("info")
def info(
    name: Annotated[str, typer.Argument(help="A bundled model, a folder, a hub id, or a checkpoint file.")],
    as_json: Json = False,
) -> None:
    """What a model file or folder is: kind, sizes, parameters, hash."""
    from emorph.models.port import model_info

    model = model_info(name)
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
