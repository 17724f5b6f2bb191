"""``emorph data``: look at a data set, prepare it, balance it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from emorph.cli.console import items, print_json, say
from emorph.cli.options import ClusterOption, Json, crew_of

if TYPE_CHECKING:
    from emorph.data.index import FaceIndex
    from emorph.data.parts import Summary
    from emorph.data.report import ScanReport

app = typer.Typer(help="Data sets: scan, prepare, show, balance, take photos out.", no_args_is_help=True)

Root = Annotated[Path, typer.Argument(help="The data set: a folder, a .csv or a .parquet file.")]
LayoutName = Annotated[
    str | None,
    typer.Option("--layout", help="The layout to read it as.", show_default="recognised from the contents"),
]
Holdout = Annotated[
    int, typer.Option(min=0, help="Faces of each emotion to hold out, where the data set has no validation list.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of every random choice: held-out faces, draws.")]
Page = Annotated[Path | None, typer.Option("--html", help="Also write an HTML page with charts and sample pictures.")]


@app.command("scan")
def scan(
    root: Root,
    no_files: Annotated[bool, typer.Option("--no-files", help="Read the lists only, not the pictures.")] = False,
    layout: LayoutName = None,
    holdout: Holdout = 500,
    seed: Seed = 0,
    page: Page = None,
    as_json: Json = False,
) -> None:
    """Count the faces of each emotion, and the problems of the data set."""
    from emorph.data.check import check_files
    from emorph.data.layouts import open_index

    index = open_index(root, layout)
    if not no_files:
        with items(1) as work:
            check_files(index, work.step, look_alikes=True)
    _present(index, holdout, seed, page, as_json=as_json)


@app.command("prepare")
def prepare(
    root: Root,
    out: Annotated[Path, typer.Argument(help="The folder to write; the same command resumes a stopped run.")],
    size: Annotated[int, typer.Option(min=16, max=1024, help="Side of the crops in px.")] = 256,
    image_format: Annotated[str, typer.Option("--format", help="JPEG (quality 95), PNG or WEBP.")] = "JPEG",
    layout: LayoutName = None,
    holdout: Holdout = 500,
    test: Annotated[
        int, typer.Option(min=0, help="Faces of each emotion for a test set, by which nothing is chosen.")
    ] = 0,
    seed: Seed = 0,
    min_face: Annotated[int, typer.Option(min=16, help="Smallest face box, in photo px.")] = 40,
    min_score: Annotated[float, typer.Option(help="Lowest detector score; clear faces have 0.5 to 3.")] = 0.0,
    min_sharpness: Annotated[
        float, typer.Option(help="Lowest variance of the Laplacian at 128 px and one exposure; 0 keeps all.")
    ] = 15.0,
    max_yaw: Annotated[float, typer.Option(min=0, help="Largest turn to the side, in degrees.")] = 60.0,
    max_pitch: Annotated[float, typer.Option(min=0, help="Largest turn up or down, in degrees.")] = 45.0,
    doubtful: Annotated[
        bool,
        typer.Option(
            "--doubtful",
            help="Keep faces, too, whose landmarks are not to be trusted, mostly of heads turned far or partly hidden.",
        ),
    ] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 is one for each core.")] = 0,
    cluster: ClusterOption = None,
    shard: Annotated[str, typer.Option(help="The share of this machine, such as 3/16.")] = "1/1",
    as_json: Json = False,
) -> None:
    """Crop every usable face and write the data set that training reads. Run it again to resume."""
    from emorph.core.machine import usable_cores
    from emorph.core.shard import Shard
    from emorph.data.layouts import open_index
    from emorph.data.prepare import Settings
    from emorph.data.prepare import prepare as prepare_all
    from emorph.data.quality import Gate

    gate = Gate(
        min_face_px=min_face,
        min_score=min_score,
        min_sharpness=min_sharpness,
        max_yaw_deg=max_yaw,
        max_pitch_deg=max_pitch,
        doubtful=doubtful,
    )
    settings = Settings(
        side_px=size, image_format=image_format.upper(), holdout=holdout, test=test, seed=seed, gate=gate
    )
    share = Shard.parse(shard)
    index = open_index(root, layout)
    with crew_of(cluster, workers or usable_cores(), asked=workers or None) as crew, items(1) as work:

        def on_step(done: int, total: int, before: int) -> None:
            work.named_step("faces", done, total)

        summary = prepare_all(index, out, settings, workers=crew, shard=share, on_step=on_step)
    if summary is None:
        say(f"Shard {shard} is done. When the others are: emorph data merge FOLDER... -o OUT")
    else:
        _summarise(out, summary, as_json=as_json)


@app.command("merge")
def merge(
    folders: Annotated[list[Path], typer.Argument(help="The folders that the shards were written to.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to write; may be one of them.")],
    as_json: Json = False,
) -> None:
    """Merge the shards that several machines prepared into one data set."""
    from emorph.data.parts import merge as merge_all

    _summarise(out, merge_all(folders, out), as_json=as_json)


@app.command("show")
def show(
    root: Annotated[Path, typer.Argument(help="What `emorph data prepare` wrote, or a .parquet file of faces.")],
    holdout: Holdout = 500,
    seed: Seed = 0,
    page: Page = None,
    as_json: Json = False,
) -> None:
    """Count the faces of a prepared data set."""
    from emorph.data.check import check_files
    from emorph.data.layouts import open_index

    index = open_index(root, "prepared")
    check_files(index)
    _present(index, holdout, seed, page, as_json=as_json)


@app.command("photos")
def photos(
    root: Annotated[Path, typer.Argument(help="What `emorph data prepare` wrote, or a .parquet file of faces.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to write.")] = Path("photos"),
    split: Annotated[str, typer.Option(help="The split to take: train, val or test.")] = "test",
    n: Annotated[
        int | None, typer.Option("-n", "--n", min=1, help="How many, drawn at random.", show_default="all")
    ] = None,
    seed: Seed = 0,
    of: Annotated[
        Path | None,
        typer.Option("--of", help="The data set that it was prepared from: whole photos in place of prepared crops."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write faces of a split as photos to edit; a list beside them tells `emorph evaluate` of which split they are."""
    from emorph.data.photos import take_photos

    with items(1) as work:
        taken = take_photos(
            root, out, split=split, n=n, seed=seed, raw=of, on_step=lambda *step: work.named_step("photos", *step)
        )
    if as_json:
        print_json({"path": str(out), "photos": taken.n, "missing": list(taken.missing)})
    else:
        typer.echo(f"{out}: {taken.n:,} photos of the split {split}.")
    if taken.missing:
        say(f"{len(taken.missing)} photos are not in {of}, such as {taken.missing[0]}.")


@app.command("balance")
def balance(
    root: Root,
    choices: Annotated[
        list[str] | None,
        typer.Option(
            "--choice",
            help="none, cap, cap:N, repeat, classes, classes:p, affect or affect:p; may be repeated.",
            show_default="each of them",
        ),
    ] = None,
    layout: LayoutName = None,
    holdout: Holdout = 500,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Show what an epoch contains under each way of balancing the emotions."""
    from dataclasses import asdict

    import numpy as np

    from emorph.data.balance import CHOICES, outcome
    from emorph.data.layouts import open_index
    from emorph.data.report import scan_report

    report = scan_report(open_index(root, layout), holdout=holdout, seed=seed)
    faces = [face for face in report.faces if face.split == "train"]
    labels = np.array([-1 if face.label is None else face.label for face in faces], np.int64)
    unknown = float("nan")
    affect = np.array(
        [(unknown, unknown) if f.valence is None or f.arousal is None else (f.valence, f.arousal) for f in faces]
    ).reshape(-1, 2)
    known = [c for c in CHOICES if c != "affect" or np.isfinite(affect).any()]
    outcomes = [outcome(choice, labels, affect, seed=seed) for choice in choices or known]
    if as_json:
        print_json({"faces": len(faces), "choices": [asdict(o) for o in outcomes]})
        return
    words = list(outcomes[0].per_emotion)
    header = ["balance", "an epoch", *words, "faces seen", "most often"]
    rows = [
        [o.choice, o.n_draws, *o.per_emotion.values(), f"{o.seen_share:.1%}", f"{o.most_repeats}x"] for o in outcomes
    ]
    _table(header, rows)
    typer.echo(f"Draws in the first epoch over {len(faces):,} training faces, seed {seed}.")
    if not report.index.checked:
        typer.echo("They are counted as listed, missing and damaged pictures, too; emorph data scan opens them.")
    for o in outcomes:
        if o.choice in CHOICES:
            typer.echo(f"  {o.choice}: {CHOICES[o.choice]}")


def _summarise(out: Path, summary: Summary, *, as_json: bool) -> None:
    from dataclasses import asdict

    from emorph.data.parts import REJECTS

    if as_json:
        print_json({"path": str(out), **asdict(summary)})
        return
    splits = ", ".join(f"{n:,} {split}" for split, n in summary.splits.items())
    typer.echo(f"{out}: {summary.n_rows:,} face{'s' * (summary.n_rows != 1)} ({splits}).")
    n_rejects = sum(summary.rejects.values())
    typer.echo(f"Left out: {n_rejects:,}{f', each with its reason in {out / REJECTS}' if n_rejects else ''}.")
    for reason, n in summary.rejects.items():
        typer.echo(f"  {n:>9,}  {reason}")


def _present(index: FaceIndex, holdout: int, seed: int, page: Path | None, *, as_json: bool) -> None:
    from emorph.data.page import write_page
    from emorph.data.report import scan_report, to_json

    report = scan_report(index, holdout=holdout, seed=seed)
    if page is not None:
        write_page(page, report)
    if as_json:
        print_json(to_json(report))
        return
    _print(report)
    if page is not None:
        typer.echo(str(page))


def _print(report: ScanReport) -> None:
    from emorph.data.index import KINDS
    from emorph.data.report import COLUMNS, table_rows, used_columns

    rows = table_rows(report)
    used = used_columns(rows)
    _table(
        [f"{report.index.layout}", *(COLUMNS[i] for i in used)],
        [[name, *(cells[i] for i in used)] for name, cells in rows],
    )
    division = (
        "Validation is the data set's own list."
        if report.own_division
        else f"Held out: up to {report.holdout} of each emotion, at most a fifth (seed {report.seed})."
    )
    typer.echo(division + ("" if report.index.checked else " The picture files were not checked."))
    problems = report.index.problems.by_kind()
    typer.echo("Problems:" if problems else "Problems: none.")
    for kind, problem in problems.items():
        typer.echo(f"  {problem.count:>9,}  {kind} ({KINDS[kind]})")
        for example in problem.examples:
            typer.echo(f"             {example}")


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; whole, however narrow the terminal."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i else "left", no_wrap=True)
    for row in rows:
        table.add_row(*("-" if cell is None else f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    console = Console(highlight=False, markup=False)
    console.width = max(console.width, 40 + sum(14 for _ in header))
    console.print(table, crop=False, overflow="ignore")
