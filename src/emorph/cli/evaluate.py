"""``emorph evaluate``: pairs of photos in, scores, tables and a page out; of autoencoders, their reconstructions."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emorph.cli.console import items, print_json, say
from emorph.cli.options import Json, refuse_options
from emorph.core.errors import ConfigError

if TYPE_CHECKING:
    from emorph.core.loss_networks import LossNetwork
    from emorph.core.shard import Shard
    from emorph.evaluate.judges.asked import NotMeasured
    from emorph.evaluate.judges.panel import Panel
    from emorph.evaluate.measure.inputs import Pair
    from emorph.evaluate.measure.records import Identified, Records
    from emorph.evaluate.report.summary import Summary


class LostFaces(Enum):
    """The choices of --lost-faces."""

    FAIL = "fail"
    SKIP = "skip"


Edits = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="EDITS...",
        help="An edits.jsonl or its folder; a CSV with source, edited, target (strength, identity, valence, "
        "arousal, landmarks), or of AffectNet's own columns; or a folder of pictures named STEM_EMOTION.png. Several "
        "with --compare.",
    ),
]
Out = Annotated[
    Path, typer.Option("-o", "--out", help="The report's folder; after a stop, run the same command again to resume.")
]
Compare = Annotated[bool, typer.Option("--compare", help="Compare several sets of edits with the first.")]
Sources = Annotated[Path | None, typer.Option(help="Folder of the source photos, for a folder of pictures.")]
Judges = Annotated[
    list[str] | None,
    typer.Option(
        help="emorph-judge, a folder, emonet_8, emonet_5, an ONNX judge's name, or its .onnx file beside its card; "
        "may be repeated."
    ),
]
Recognisers = Annotated[
    list[str] | None,
    typer.Option(
        help="Besides dlib's: an ONNX recogniser's name (emorph models list), or an .onnx file in ArcFace's "
        "format; may be repeated."
    ),
]
FaceModels = Annotated[
    list[str] | None,
    typer.Option(
        help="Face model whose coefficients measure expression, pose and shape: ict-facekit (fitted to the "
        "landmarks), deca, emoca, or a file; may be repeated.  [default: ict-facekit]"
    ),
]
Without = Annotated[
    list[str] | None,
    typer.Option(help="Skip a measure that needs a large network, by its name in the report; may be repeated."),
]
CountLost = Annotated[
    LostFaces,
    typer.Option(
        "--lost-faces",
        help="How to count edits in which no face is found: fail counts them as failures of expression and "
        "identity, skip leaves them out.",
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        help="Where the sources come from, such as affectnet/train; judges trained on them are refused. With --data: "
        "which of its splits to take; by default test, else val."
    ),
]
MadeBy = Annotated[
    str | None,
    typer.Option(
        help="Folder of the model that made the edits, where they do not tell: networks that gave a loss in its "
        "training may not mark them."
    ),
]
AllowLossJudge = Annotated[
    bool,
    typer.Option(
        "--allow-loss-judge", help="Ask networks that gave a loss, too; the report says so in its first lines."
    ),
]
Workers = Annotated[int, typer.Option(min=1, max=64, help="Processes that find faces.")]
ShardOption = Annotated[str, typer.Option(help="Measure only this part, such as 1/2; run all parts with the same -o.")]
Models = Annotated[
    list[str] | None,
    typer.Option(
        help="Instead of EDITS, with --data: an autoencoder whose reconstructions are measured: a bundled model, a "
        "checkpoint, or a run's folder for all its checkpoints; may be repeated."
    ),
]
Data = Annotated[str | None, typer.Option(help="The prepared faces that --model encodes and decodes.")]
N = Annotated[int | None, typer.Option("--n", min=1, help="How many of these faces.", show_default="500")]
StepsList = Annotated[
    str | None,
    typer.Option("--steps", help="Network evaluations in each direction, such as 10,20,50.", show_default="20"),
]
Window = Annotated[
    str | None,
    typer.Option(
        help="LEFT,TOP,SIDE of each stored picture, in its pixels, that --model takes; by default as its run has it."
    ),
]
SolverIfGiven = Annotated[str | None, typer.Option("--solver", help="With --model: dpm or ddim.", show_default="dpm")]


def evaluate(
    edits: Edits = None,
    out: Out = Path("report"),
    compare: Compare = False,
    sources: Sources = None,
    judge: Judges = None,
    recogniser: Recognisers = None,
    face_model: FaceModels = None,
    without: Without = None,
    lost_faces: CountLost = LostFaces.FAIL,
    split: Split = None,
    made_by: MadeBy = None,
    allow_loss_judge: AllowLossJudge = False,
    workers: Workers = min(2, os.cpu_count() or 1),
    shard: ShardOption = "1/1",
    model: Models = None,
    data: Data = None,
    n: N = None,
    steps: StepsList = None,
    window: Window = None,
    solver: SolverIfGiven = None,
    as_json: Json = False,
) -> None:
    """Measure edits, by emorph or any other method: is it still the person, and is it the expression asked for?

    With --model and --data: how near an autoencoder's reconstructions come to their faces.
    """
    of_edits = {"--sources": sources, "--judge": judge, "--recogniser": recogniser, "--face-model": face_model}
    of_edits |= {"--made-by": made_by, "--allow-loss-judge": allow_loss_judge or None}
    of_models = {"--data": data, "--n": n, "--steps": steps, "--window": window, "--solver": solver}
    if model:
        from emorph.cli.reconstructions import reconstructions

        refuse_options("reconstructions (--model)", of_edits | {"EDITS": edits, "--compare": compare or None})
        reconstructions(model, data, out, n, steps, split, window, solver, without or [], as_json=as_json)
        return
    refuse_options("edits; they need --model", of_models)
    if not edits:
        raise ConfigError("name edits to measure, or --model and --data for reconstructions.")
    pairs = _pairs(edits, sources, compare=compare)
    panel = _panel(judge or [], recogniser or [], face_model or [], without or [], split)
    panel = panel.without_loss_givers(_losses(pairs, made_by), allowed=allow_loss_judge)
    _report(pairs, panel, out, lost_faces, workers, shard, as_json=as_json)
    if _named_and_missing(panel, [*(judge or []), *(recogniser or []), *(face_model or [])]):
        raise typer.Exit(1)


def _report(
    pairs: list[Pair], panel: Panel, out: Path, lost_faces: LostFaces, workers: int, shard: str, *, as_json: bool
) -> None:
    """Measure, write the page and show the first of it."""
    from emorph.core.shard import Shard
    from emorph.evaluate.measure.records import identify
    from emorph.evaluate.report.set_records import keep_set_scores
    from emorph.evaluate.report.summary import summarise
    from emorph.evaluate.report.write import check_template, write_report

    part = Shard.parse(shard)
    check_template()
    judged = identify(pairs)
    records = _measured(judged, out, panel, workers, part)
    if records is not None:
        summary = summarise(judged, records, panel, lost_faces=lost_faces.value)
        keep_set_scores(out, summary, records)
        _tell(summary, write_report(out, summary, panel, shlex.join(["emorph", *sys.argv[1:]])), as_json=as_json)


def _pairs(edits: list[Path], sources: Path | None, *, compare: bool) -> list[Pair]:
    from emorph.evaluate.measure.inputs import method_names, read_pairs

    if len(edits) > 1 and not compare:
        raise ConfigError(f"{len(edits)} sets of edits are given; add --compare to compare them, or name one.")
    if compare and len(edits) < 2:
        raise ConfigError("--compare needs at least two sets of edits; name another one.")
    named = zip(edits, method_names(edits), strict=True)
    return [pair for path, name in named for pair in read_pairs(path, sources=sources, method=name)]


def _losses(pairs: list[Pair], model: str | None) -> list[LossNetwork]:
    """The networks that gave a loss while any of the models was trained."""
    from emorph.core.loss_networks import told_losses

    named = told_losses(model) if model else ()
    return list(dict.fromkeys([*named, *(network for pair in pairs for network in pair.losses)]))


def _panel(
    judges: list[str], recognisers: list[str], face_models: list[str], without: list[str], split: str | None
) -> Panel:
    """What is asked; mentions what was named and is not here."""
    from emorph.evaluate.judges.open_networks import BUNDLED_JUDGE, FACE_MODELS
    from emorph.evaluate.judges.panel import Panel

    panel = Panel.load(judges or [BUNDLED_JUDGE], recognisers, face_models or [FACE_MODELS[0]], without=without)
    if split is not None:
        panel.refuse_unfair(split)
    for missing in _named_and_missing(panel, [*judges, *recognisers, *face_models]):  # the report tells of the rest
        say(f"{missing.name}: {missing.why}")
    return panel


def _named_and_missing(panel: Panel, names: Sequence[str]) -> list[NotMeasured]:
    """What was asked for by name, and cannot be asked here."""
    return [missing for missing in panel.missing if any(name in missing.name for name in names)]


def _measured(judged: Sequence[Identified], out: Path, panel: Panel, workers: int, part: Shard) -> Records | None:
    """All records of the pairs; None, and a word about it, while other shards have sources to look at."""
    from emorph.evaluate.measure.records import Records
    from emorph.evaluate.measure.run import evaluate, unfinished

    with items(1) as work:
        records = evaluate(judged, out, panel, workers=workers, shard=part, on_step=work.step)
    if part.of > 1:
        records = Records.read(out)  # other shards may have finished meanwhile
    if left := unfinished(judged, records, panel):
        say(f"{left} sources are left to other shards; the last one, or a run without --shard, writes the report.")
        return None
    return records


def _tell(summary: Summary, page: Path, *, as_json: bool) -> None:
    """What was found, and what could not be measured; then exit status 1."""
    from emorph.evaluate.report.write import as_json as summary_as_json

    if as_json:
        print_json({"report": str(page), **summary_as_json(summary)})
    else:
        _show(summary)
        typer.echo(str(page))
    _mention_left_out(summary)


def _show(summary: Summary) -> None:
    """Warnings, conclusions and the first tables, for a look without the page."""
    for warning in summary.warnings:
        say(f"Warning: {warning}")
    for sentence in summary.conclusions:
        typer.echo(sentence)
    for table in summary.tables:
        if table.name.endswith(("headline", "summary")):
            typer.echo(table.title)
            for row in table.rows:
                typer.echo(f"  {row[0]!s:<64} {row[2]!s}")


def _mention_left_out(summary: Summary) -> None:
    """List the edits without a face and what could not be measured; end with exit status 1 if anything could not."""
    for score in summary.scores:
        for scored in score.evidence.edits:
            if scored.is_lost:
                say(f"counted as a failure: {scored.edit.trouble}")
    left_out = [item for score in summary.scores for item in score.evidence.excluded]
    for item in left_out:
        say(f"left out: {item.edited}: {item.why}")
    if left_out:
        raise typer.Exit(1)
