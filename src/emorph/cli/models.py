"""``emorph models``: list, download, inspect and convert models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emorph.cli.console import items, print_json, say
from emorph.cli.options import Json

if TYPE_CHECKING:
    from emorph.core.assets import Asset

BUNDLED_ROLES = {
    "emorph-base": "the editor's own model",
    "emorph-judge": "recognises the emotion of a face, for evaluation",
    "emorph-loss-emotion": "names the emotion of a face, for losses in training",
    "emorph-rig": "action units and transfer between photos",
    "emorph-shape": "reads shape and expression off a face, for losses in training",
}
app = typer.Typer(help="Models: list, download, tell what a file is, convert.", no_args_is_help=True)


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List the models that come with emorph and the official ones it can use."""
    from emorph.core.assets import OFFICIAL
    from emorph.core.downloads import DOWNLOADS
    from emorph.core.pretrained import bundled_models

    if as_json:
        tables = {"official": OFFICIAL, "measuring": DOWNLOADS}
        rows = {key: [asdict(asset) for asset in assets] for key, assets in tables.items()}
        print_json({"bundled": bundled_models(), **rows})
        return
    for name in bundled_models():
        typer.echo(f"{name:<24} {BUNDLED_ROLES[name]}; included (weights for non-commercial research)")
    for asset in OFFICIAL:
        _print_asset(asset)
    typer.echo("Used by emorph evaluate:")
    for asset in DOWNLOADS:
        _print_asset(asset)


def _print_asset(asset: Asset) -> None:
    way = "installed" if asset.path.exists() else asset.fetched_by or f"get it from {asset.page}"
    typer.echo(f"{asset.name:<24} {asset.what}; {way}")


@app.command("get")
def get(
    name: Annotated[str, typer.Argument(help="A name shown by `emorph models list`, or a hub id such as owner/model.")],
    offline: Annotated[bool, typer.Option("--offline", help="Download nothing; only print where it is.")] = False,
) -> None:
    """Download a model and print where it is. For a licensed model, print the page that offers it.

    An interrupted download continues where it stopped. $EMORPH_HOME sets the folder, $EMORPH_MIRROR another server.
    """
    from emorph.core.assets import OFFICIAL
    from emorph.core.downloads import DOWNLOADS
    from emorph.core.errors import UnknownNameError
    from emorph.core.pretrained import bundled_models, locate
    from emorph.models.obtain import download_of

    download = download_of(name)
    if download is None:
        try:
            typer.echo(str(locate(name, offline=offline)))
        except UnknownNameError:
            known = [*bundled_models(), *(asset.name for asset in (*OFFICIAL, *DOWNLOADS))]
            raise UnknownNameError("model", name, known) from None
        return
    asset = download.asset
    say(f"{name}: {asset.what}, from {asset.page}; terms: {asset.terms}")
    with _share() as on_share:
        fetched = download.get(offline, on_share)
    if fetched.sha256 and not fetched.was_known:
        say(f"Its SHA-256 was not known beforehand; found {fetched.sha256}, saved in {fetched.path.name}.sha256.")
    typer.echo(str(fetched.path))


@app.command("bundle")
def bundle(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Names shown by `emorph models list`; by default all.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="The zip file to write.")] = Path("files.zip"),
    offline: Annotated[bool, typer.Option("--offline", help="Download nothing; pack what is here.")] = False,
) -> None:
    """Fetch all that `emorph evaluate` can use, into one zip file for a machine without a network.

    There, `emorph models install` puts the files in their places. Each keeps its owner's terms, as `emorph models list`
    names them. What only its owner hands out is packed if it is here.
    """
    from emorph.core.bundle import pack
    from emorph.core.errors import DataError, UnknownNameError
    from emorph.models.obtain import bundled_assets, download_of, is_obtainable

    known = bundled_assets()
    for name in names or []:
        if name not in known:
            raise UnknownNameError("file", name, known)
    chosen = [known[name] for name in dict.fromkeys(names or known)]
    wanted = [asset for asset in chosen if is_obtainable(asset)]
    with items(len(wanted)) as work:
        for asset in wanted:
            with work.item(asset.name):
                if (download := download_of(asset.name)) is not None:
                    download.get(offline, lambda done, total: work.step(done, total) if total else None)
    packed = [asset for asset in wanted if asset.path.is_file()]
    if not packed:
        raise DataError("there is no file to pack: none is here, and none could be downloaded.")
    with items(len(packed)) as packing:
        rows = pack(packed, out, lambda name, done, total: packing.named_step(name, done, total))
    for asset in chosen:
        if asset not in packed:
            say(f"not in it: {asset.name}, from {asset.page} ({asset.terms})")
    typer.echo(f"{out}  ({len(rows)} files, {sum(row.size for row in rows) / 1e6:.0f} MB)")
    work.finish()


@app.command("install")
def install(
    path: Annotated[Path, typer.Argument(metavar="FILES.ZIP", help="What `emorph models bundle` wrote.")],
) -> None:
    """Put the files of a bundle in their places; nothing is downloaded. Each is checked against its SHA-256."""
    from emorph.core.bundle import install as install_files
    from emorph.models.obtain import bundled_assets

    with items(1) as work:
        found = install_files(path, bundled_assets(), lambda name, done, total: work.named_step(name, done, total))
    for file in found:
        typer.echo(f"{file.path}{'  (was here)' if file.was_here else ''}")


@contextmanager
def _share() -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar for one download; it stays empty while the total is unknown."""
    with items(1) as work:
        yield lambda done, total: work.step(done, total) if total else None


@app.command("info")
def info(
    name: Annotated[str, typer.Argument(help="A bundled model, a folder, a hub id, or a checkpoint file.")],
    as_json: Json = False,
) -> None:
    """Show what a model file or folder is: its kind, sizes, number of parameters and hash."""
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
    source: Annotated[str, typer.Argument(help="An official checkpoint, or any model that emorph can load.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="The folder to create, with config.json and model.safetensors.")
    ],
    half: Annotated[bool, typer.Option("--half", help="Store 16-bit numbers, at half the size.")] = False,
    version: Annotated[
        str | None,
        typer.Option("--version", help="FLAME's release, 2020 or 2023, if its file's name does not say."),
    ] = None,
) -> None:
    """Convert a model to safetensors, so that its pickle file never has to be read again."""
    import torch

    from emorph.models import port

    port.convert(source, out, dtype=torch.float16 if half else torch.float32, version=version)
    typer.echo(str(out))


@app.command("export")
def export(
    name: Annotated[
        str, typer.Argument(help="An autoencoder or a judge: a bundled model, a folder, a hub id, or a checkpoint.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to create, with the graphs and a card.")],
    as_json: Json = False,
) -> None:
    """Write a model as ONNX graphs, each checked to give torch's numbers within 1e-4 of their largest.

    Of an autoencoder: encoder.onnx, unet.onnx and unet_outer.onnx, with its directions and painter; emorph edits with
    the folder by --model FOLDER --backend onnx (or openvino). Of a judge: judge.onnx, which emorph evaluate asks by
    --judge FOLDER.
    """
    from emorph.models.backends.export import export as write

    with items(1) as work:
        differences = write(name, out, lambda done, total: work.named_step("graphs", done, total))
    if as_json:
        print_json({"folder": str(out), "differences": differences})
        return
    for file, difference in differences.items():
        say(f"{file} differs from torch by {difference:.0e} of its largest value.")
    typer.echo(str(out))
