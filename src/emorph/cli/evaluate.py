"""``emorph evaluate``: pairs of photos in, scores, tables and a page out; of autoencoders, their reconstructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from emorph.cli.console import asked_command, items, print_json, say
from emorph.cli.evaluate_films import evaluate_films, films_of
from emorph.cli.evaluate_options import (
    AllowLossJudge,
    Compare,
    CountLost,
    Data,
    Edits,
    FaceModels,
    HowMany,
    Judges,
    LostFaces,
    MadeBy,
    Models,
    Out,
    Recognisers,
    ShardOption,
    SolverIfGiven,
    Sources,
    Split,
    StepsList,
    Window,
    Without,
    Workers,
)
from emorph.cli.options import ClusterOption, Json, crew_of, refuse_options
from emorph.cli.reconstructions import reconstructions
from emorph.core.commands import command
from emorph.core.errors import ConfigError
from emorph.core.files import said_of
from emorph.core.machine import usable_cores

if TYPE_CHECKING:
    from emorph.core.loss_networks import LossNetwork
    from emorph.core.shard import Shard
    from emorph.core.workers import Crew
    from emorph.evaluate.judges.asked import NotMeasured
    from emorph.evaluate.judges.panel import Panel
    from emorph.evaluate.measure.inputs import Pair
    from emorph.evaluate.measure.records import Identified, Records
    from emorph.evaluate.report.summary import Summary


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
    workers: Workers = None,
    cluster: ClusterOption = None,
    shard: ShardOption = "1/1",
    model: Models = None,
    data: Data = None,
    n: HowMany = None,
    steps: StepsList = None,
    window: Window = None,
    solver: SolverIfGiven = None,
    as_json: Json = False,
) -> None:
    """Measure edits, by emorph or any other method: is it still the person, and is it the expression asked for?

    With --model and --data: how near an autoencoder's reconstructions come to their faces. With a CSV of AffectNet's
    own columns: how far judges agree with its annotations. With edited films and --sources: how they fare over time.
    """
    only_edits: dict[str, object] = {
        "--compare": compare or None, "--recogniser": recogniser, "--face-model": face_model, "--made-by": made_by,
        "--allow-loss-judge": allow_loss_judge or None, "--lost-faces": lost_faces.given,
    }  # fmt: skip
    a_shard = {"--shard": None if shard == "1/1" else shard}
    of_edits: dict[str, object] = {
        "EDITS": edits, "--sources": sources, "--judge": judge, "--workers": workers, "--cluster": cluster, **a_shard,
    }  # fmt: skip
    of_models = {"--n": n, "--steps": steps, "--window": window, "--solver": solver}
    if model:
        refuse_options("reconstructions (--model)", of_edits | only_edits)
        reconstructions(model, data, out, n, steps, split, window, solver, without or [], as_json=as_json)
        return
    refuse_options("edits; they need --model", of_models)
    if not edits:
        raise ConfigError("name edits to measure, or --model and --data for reconstructions.")
    films = films_of(edits)
    if films:
        refuse_options("films", only_edits | a_shard)
        asked = _panel(judge or [], [], [], without or [], split)
        evaluate_films(films, sources, asked, out, as_json=as_json)
        return
    annotated = len(edits) == 1 and _is_annotated(edits[0])
    if annotated:
        refuse_options("a list of annotations, which has no edits", only_edits)
    panel = _panel(judge or [], recogniser or [], face_model or [], without or [], split)
    division = _Division(split, data)
    with crew_of(cluster, workers or min(2, usable_cores()), asked=workers) as crew:
        if annotated:
            _annotations(edits[0], sources, division, panel, judge or [], out, crew, shard, as_json=as_json)
        else:
            pairs = division.told(_pairs(edits, sources, compare=compare))
            asked = panel.without_emotions() if pairs and all(pair.sets_units for pair in pairs) else panel
            fair = asked.without_loss_givers(_losses(pairs, made_by), allowed=allow_loss_judge)
            _report(pairs, fair, out, lost_faces, crew, shard, as_json=as_json)
    if _named_and_missing(panel, [*(judge or []), *(recogniser or []), *(face_model or [])]):
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Division:
    """What the command says of the photos' splits: a split of them all, a prepared data set that knows them, or both.

    Without either, what lies beside the photos tells, or nothing does.
    """

    split: str | None
    data: str | None

    def told(self, pairs: Sequence[Pair]) -> list[Pair]:
        """The pairs with their splits."""
        from emorph.data.photos import splits_of_photos
        from emorph.evaluate.measure.seen_splits import with_splits

        of_set = None if self.data is None else splits_of_photos(Path(self.data))
        return with_splits(pairs, stated=self.split, of_set=of_set)


def _is_annotated(path: Path) -> bool:
    from emorph.evaluate.measure.annotated import is_annotated

    return is_annotated(path)


def _report(
    pairs: list[Pair], panel: Panel, out: Path, lost_faces: LostFaces, crew: int | Crew, shard: str, *, as_json: bool
) -> None:
    """Measure, write the page and show the first of it."""
    from emorph.core.shard import Shard
    from emorph.evaluate.measure.records import identify
    from emorph.evaluate.report.set_records import keep_set_scores
    from emorph.evaluate.report.summary import summarise
    from emorph.evaluate.report.write import write_report

    part = Shard.parse(shard)
    judged = identify(pairs)
    records = _measured(judged, out, panel, crew, part)
    if records is not None:
        summary = summarise(judged, records, panel, lost_faces=lost_faces.value)
        keep_set_scores(out, summary, records)
        _tell(summary, write_report(out, summary, panel, asked_command()), as_json=as_json)


def _annotations(
    path: Path,
    photos: Path | None,
    division: _Division,
    panel: Panel,
    asked: Sequence[str],
    out: Path,
    crew: int | Crew,
    shard: str,
    *,
    as_json: bool,
) -> None:
    """Judges against AffectNet's annotations, on unedited photos."""
    from dataclasses import replace

    from emorph.core.shard import Shard
    from emorph.evaluate.measure.annotated import read_annotated
    from emorph.evaluate.report.annotations import Agreement

    annotated = read_annotated(path, photos)
    told = division.told([item.pair for item in annotated.photos])
    known = tuple(replace(item, pair=pair) for item, pair in zip(annotated.photos, told, strict=True))
    annotated = replace(annotated, photos=known)
    judges = replace(panel, face_models=(), features=(), comparers=(), recognisers=())
    records = _measured(annotated.photos, out, judges, crew, Shard.parse(shard))
    if records is None:
        return
    found = Agreement.of(annotated, records, panel, path.name, asked)
    page = found.write(out, asked_command())
    if as_json:
        print_json({"report": str(page), **found.as_json()})
    else:
        typer.echo(found.about)
        for warning in found.warnings:
            say(f"Warning: {warning}")
        for table in found.tables():
            typer.echo(f"\n{table.title}")
            for line in table.plain():
                typer.echo(line)
        typer.echo(str(page))
    if annotated.left_out:
        say(f"{annotated.left_out} rows have no emotion (codes 8 to 10) and are not asked about.")
    for photo, why in found.failed:
        say(f"left out: {said_of(str(photo), why)}")
    if found.failed:
        raise typer.Exit(1)


def _pairs(edits: list[Path], sources: Path | None, *, compare: bool) -> list[Pair]:
    from emorph.evaluate.measure.inputs import left_unread, method_names, read_pairs

    if len(edits) > 1 and not compare:
        raise ConfigError(f"{len(edits)} sets of edits are given; add --compare to compare them, or name one.")
    if compare and len(edits) < 2:
        raise ConfigError("--compare needs at least two sets of edits; name another one.")
    for other in filter(None, map(left_unread, edits)):
        say(f"{other} is not read; to measure it, too: {command('evaluate', other)}")
    named = zip(edits, method_names(edits), strict=True)
    pairs = [pair for path, name in named for pair in read_pairs(path, sources=sources, method=name)]
    gone = {pair.source for pair in pairs if not pair.source.is_file()}
    if gone:
        say(f"Photos that are not where the edits say: {len(gone)}, such as {min(gone)}; name their folder: --sources.")
    return pairs


def _losses(pairs: list[Pair], model: str | None) -> list[LossNetwork]:
    """The networks that gave a loss while any of the models was trained."""
    from emorph.core.loss_networks import parse_losses
    from emorph.models.beside import losses_of

    named = parse_losses(losses_of(model), model) if model else ()
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


def _measured(judged: Sequence[Identified], out: Path, panel: Panel, crew: int | Crew, part: Shard) -> Records | None:
    """All records of the pairs; None, and a word about it, while other shards have sources to look at."""
    from emorph.evaluate.measure.records import Records
    from emorph.evaluate.measure.run import evaluate, unfinished

    with items(1) as work:
        records = evaluate(judged, out, panel, workers=crew, shard=part, on_step=work.step)
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
    """What was looked at, warnings, conclusions and the first tables, for a look without the page."""
    typer.echo(summary.about)
    for warning in summary.warnings:
        say(f"Warning: {warning}")
    for sentence in summary.conclusions:
        typer.echo(sentence)
    asks_affect = any(scored.pair.asks_affect for score in summary.scores for scored in score.evidence.edits)
    for table in summary.tables:
        if table.name.endswith(("headline", "summary")) or (asks_affect and "_affect_" in table.name):
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
        say(f"left out: {item.told}")
    if left_out:
        raise typer.Exit(1)
