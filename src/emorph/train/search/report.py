"""The report of a search: the best setting as a TOML file, whether it is better, curves, and what mattered."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorph.core.commands import command
from emorph.core.outputs import rendered, write_text
from emorph.train.curves import Line, bar_chart, line_chart
from emorph.train.search.looks import Looks
from emorph.train.search.space import Choices, Range, Scalar, Space
from emorph.train.search.study import REASON, TRIALS_FOLDER, Trials, optuna_module
from emorph.train.search.verdict import Verdict, verdict
from emorph.train.seen import Measure, measure_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

TEMPLATE = Path(__file__).with_name("search.html.j2")
PAGE, BEST_FILE, TRIALS_FILE = "search.html", "best.toml", "trials.json"
LEAST_FOR_IMPORTANCE = 4  # finished trials


@dataclass(frozen=True)
class TrialRow:
    """One trial. state: "complete", "pruned", "failed" or "running". value: of its best look, at ``epoch``."""

    number: int
    state: str
    values: dict[str, Scalar]
    value: float | None
    epoch: float | None
    reason: str


@dataclass(frozen=True)
class Outcome:
    """How a search stands. best: the best finished trial, first: the one with the settings as they stood.

    importance: shares of the variance of the measure that go with each setting; empty with few trials.
    """

    folder: Path
    measure: str
    rows: tuple[TrialRow, ...]
    best: TrialRow | None
    first: TrialRow | None
    verdict: Verdict | None
    importance: dict[str, float]

    @property
    def page(self) -> Path:
        """The report."""
        return self.folder / PAGE

    def lines(self) -> list[str]:
        """The result in words."""
        counts = {state: sum(row.state == state for row in self.rows) for state in ("complete", "pruned", "failed")}
        told = ", ".join(f"{n} {state}" for state, n in counts.items() if n)
        text = [f"{len(self.rows)} trials: {told or 'none finished'}"]
        if self.best is None or self.best.value is None:
            return text
        kind = measure_of(self.measure)
        text.append(f"best: {self.told(self.best, kind)}")
        if self.first is not None:
            text.append(f"as it stood: {self.told(self.first, kind)}")
        text.append(self.judgement(kind))
        use = command("train", "run", self.folder / BEST_FILE)
        return [*text, f"The best setting is in {self.folder / BEST_FILE}. Use it with: {use}"]

    def told(self, row: TrialRow, kind: Measure) -> str:
        """A finished trial with its settings."""
        at = "" if row.epoch is None else f" at epoch {row.epoch:.3g}"
        value = "-" if row.value is None else kind.text(row.value)
        settings = ", ".join(f"{name} = {shown(value)}" for name, value in row.values.items())
        return f"trial {row.number}, {kind.words} {value}{at}: {settings}"

    def judgement(self, kind: Measure) -> str:
        """Whether the best is better than what stood, as far as these faces can tell."""
        found = self.verdict
        if self.best is not None and self.best is self.first:
            return "Nothing that was tried is better than what stood."
        if found is None:
            return "Whether it is better than what stood cannot be told: too few trials finished, or too few faces."
        gain, low, high = (kind.text(value, sign=True) for value in (found.gain, found.low, found.high))
        numbers = (
            f"on faces that did not choose it, it gains {gain} (95 %: {low} to {high}; {found.n_faces:,} validation "
            f"faces of {found.n_persons:,} persons, both chosen anew in each of 1,000 draws)"
        )
        if found.better:
            return f"It is better than what stood: {numbers}."
        return f"It is not shown to be better than what stood: {numbers}."

    def to_json(self) -> dict[str, Any]:
        """Everything, for machines."""
        found = self.verdict
        return {
            "measure": self.measure,
            "page": str(self.page),
            "best": None if self.best is None else vars(self.best),
            "first": None if self.first is None else vars(self.first),
            "verdict": None if found is None else {**vars(found), "better": found.better},
            "importance": self.importance,
            "trials": [vars(row) for row in self.rows],
        }


def write_report(space: Space, trials: Trials, folder: Path) -> Outcome:
    """Write the page, the numbers and the best setting of a search as it stands."""
    measure = space.search.measure
    stored = trials.study.get_trials(deepcopy=False)
    looks = {one.number + 1: Looks.read(folder / TRIALS_FOLDER / f"{one.number + 1:04d}.npz") for one in stored}
    rows = tuple(_row(one, looks[one.number + 1], space) for one in stored)
    finished = [row for row in rows if row.state == "complete" and row.value is not None]
    sign = 1 if measure_of(measure).higher else -1
    best = max(finished, key=lambda row: (sign * (row.value or 0.0), -row.number), default=None)
    outcome = Outcome(
        folder,
        measure,
        rows,
        best,
        next((row for row in finished if row.number == 1), None),
        verdict({row.number: looks[row.number] for row in finished}, measure, seed=space.search.seed),
        _importance(trials, len(finished)),
    )
    if best is not None:
        config = space.config(best.values)
        out = Path(config.out)
        written = config.model_copy(update={"out": str(out.with_name(f"{out.name}-best"))})
        write_text(folder / BEST_FILE, written.to_toml(), option="folder")
    write_text(folder / TRIALS_FILE, json.dumps(outcome.to_json(), indent=2, default=str) + "\n", option="folder")
    write_text(folder / PAGE, _page(space, outcome, looks), option="folder")
    return outcome


def _row(stored: FrozenTrial, looks: Looks, space: Space) -> TrialRow:
    state = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}.get(stored.state.name, "running")
    best = looks.best(space.search.measure) if looks.seen else None
    value = None if best is None else looks.values(space.search.measure)[best]
    epoch = None if best is None else looks.seen[best].epoch
    values = {name: stored.params[name] for name in space.ranges if name in stored.params}
    return TrialRow(stored.number + 1, state, values, value, epoch, str(stored.user_attrs.get(REASON, "")))


def _importance(trials: Trials, n_finished: int) -> dict[str, float]:
    """PED-ANOVA's shares (Watanabe, Bansal and Hutter 2023)."""
    if n_finished < LEAST_FOR_IMPORTANCE:
        return {}
    optuna = optuna_module()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            found = optuna.importance.get_param_importances(trials.study, evaluator=evaluator)
        except (ValueError, RuntimeError):  # all values alike, or no setting varied
            return {}
    return {name: float(share) for name, share in found.items() if math.isfinite(share)}


def _page(space: Space, outcome: Outcome, looks: dict[int, Looks]) -> str:
    kind = measure_of(outcome.measure)
    best_file = outcome.folder / BEST_FILE
    return rendered(
        TEMPLATE,
        title=f"Search: {space.path.name}",
        lines=outcome.lines(),
        curves=_curves(outcome, looks, kind),
        best_curves=_best_curves(outcome, looks),
        settings=[_against(name, one, outcome, kind) for name, one in space.ranges.items()],
        importance=bar_chart(list(outcome.importance.items()), title="Importance") if outcome.importance else "",
        names=list(space.ranges),
        rows=outcome.rows,
        best=outcome.best,
        shown=shown,
        kind=kind,
        best_toml=best_file.read_text(encoding="utf-8") if outcome.best else "",
    )


def _curves(outcome: Outcome, looks: dict[int, Looks], kind: Measure) -> str:
    """Every trial over its epochs, in gray, but the best and the first."""
    special: dict[int, str] = {}
    for row, words in ((outcome.best, "best"), (outcome.first, "as it stood")):
        if row is not None:
            special[row.number] = f"{special[row.number]}, {words}" if row.number in special else words
    lines = []
    for row in outcome.rows:
        own = looks[row.number]
        points = tuple((s.epoch, v) for s, v in zip(own.seen, own.values(outcome.measure), strict=True))
        name = special.get(row.number)
        mark = own.best(outcome.measure) if name else None
        lines.append(Line(f"trial {row.number}, {name}" if name else f"trial {row.number}", points, mark, name is None))
    return line_chart(lines, title="All trials", x_name="epoch", y_name=kind.words, percent=kind.percent, log_x=True)


def _best_curves(outcome: Outcome, looks: dict[int, Looks]) -> list[str]:
    """Every measure of the best trial over its epochs, the best epoch marked; shares in one chart."""
    if outcome.best is None:
        return []
    own = looks[outcome.best.number]
    mark = own.best(outcome.measure)
    lines = {
        name: Line(measure_of(name).words, tuple(zip((s.epoch for s in own.seen), own.values(name), strict=True)), mark)
        for name in own.seen[-1].faces
    }
    shares = [line for name, line in lines.items() if measure_of(name).percent]
    charts = [shares] if shares else []
    charts += [[line] for name, line in lines.items() if not measure_of(name).percent]
    title = "The best trial"
    names = ["" if len(one) > 1 else one[0].name for one in charts]
    return [
        line_chart(one, title=title, x_name="epoch", y_name=name, percent=one is shares)
        for one, name in zip(charts, names, strict=True)
    ]


def _against(name: str, one: Range | Choices, outcome: Outcome, kind: Measure) -> tuple[str, str]:
    """One setting against the measure: a dot a finished trial."""
    rows: Sequence[TrialRow] = [row for row in outcome.rows if row.state == "complete" and row.value is not None]
    if isinstance(one, Choices):
        places = {repr(choice): float(i + 1) for i, choice in enumerate(one.choices)}
        points = [(places[repr(row.values[name])], row.value or 0.0) for row in rows]
        axis = f"{name}: " + ", ".join(f"{i + 1} = {shown(choice)}" for i, choice in enumerate(one.choices))
    else:
        points = [(float(row.values[name]), row.value or 0.0) for row in rows]
        axis = name
    mark = next((i for i, row in enumerate(rows) if row is outcome.best), None)
    line = Line(name, tuple(points), mark, dots=True)
    log = isinstance(one, Range) and one.log
    return name, line_chart([line], title=name, x_name=axis, y_name=kind.words, percent=kind.percent, log_x=log)


def shown(value: Scalar | None) -> str:
    """A setting's value for people."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
