"""A plan in words: what a researcher wants to know at one glance before a run starts."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from emorph.core.expressions import UNLABELLED
from emorph.train.plan import Plan
from emorph.train.resources import size

LABEL_WIDTH = 12
LINE_WIDTH = 110
PRECISIONS = {"32-true": "float32", "bf16-mixed": "bfloat16 where that is exact enough, else float32 (bf16-mixed)"}
BALANCES = {
    "none": "every face once per epoch, so emotions are as frequent as in the data",
    "cap": "the same number of faces of every emotion: as many as the rarest has, or as stated",
    "repeat": "every emotion as often as the most common one; faces of the rarer ones are repeated",
    "classes": "draws are balanced over emotions; an epoch has as many draws as there are faces",
    "affect": "draws are balanced over valence and arousal; an epoch has as many draws as there are faces",
    "class_power": "faces of rare emotions are repeated, which brings them closer to the common ones",
}


def full_text(plan: Plan, starts: str = "") -> str:
    """The whole plan, line by line. starts: where a run that goes on does so; a new one says whose weights it has."""
    rows = [
        ("starts", starts or start(plan)),
        ("data", _data(plan)),
        ("length", length(plan)),
        ("batch", _batch(plan)),
        ("balance", _balance(plan)),
        ("saves", _saves(plan)),
        ("memory", _memory(plan)),
        ("time", _time(plan)),
        ("ends", ending(plan)),
    ]
    blocks = [f"{plan.task}, {_parameters(plan)}", "\n".join(_row(*row) for row in rows)]
    if plan.sets:
        blocks.append(_set_table(plan))
    if plan.classes:
        blocks.append(_class_table(plan))
    if plan.warnings:
        blocks.append("\n".join(_row("warning", warning, indent="") for warning in plan.warnings))
    return "\n\n".join(blocks)


def short_text(plan: Plan, *, new: bool = True) -> str:
    """The plan in a few lines, for the start of a run; a ``new`` one says whose weights it starts from."""
    faces = "" if plan.faces is None else f" of {plan.epoch_size:,} faces"
    lines = [
        f"{length(plan)}{faces}; {plan.needs.parameters / 1e6:.1f} M parameters",
        f"On {computing(plan)}.",
        f"Ends {ending(plan)}.",
    ]
    if plan.init and new:
        lines.insert(0, f"Starts {start(plan)}.")
    if plan.compiled:
        lines.append("The network is compiled in its first step, which takes a minute or more.")
    if plan.classes and plan.balance != "none":
        drawn = [row.samples for row in plan.classes if row.faces and row.word != UNLABELLED]
        lines.append(f"Balance {plan.balance}: {min(drawn):,} to {max(drawn):,} samples of each emotion.")
    lines += [f"Warning: {warning}" for warning in plan.warnings]
    return "\n".join(lines)


def start(plan: Plan) -> str:
    """Where the weights of a new run are from."""
    if plan.init is None:
        return "from random weights"
    return f"from the weights of {plan.init}; its steps, optimiser and average begin anew"


def computing(plan: Plan) -> str:
    """What a run computes on, and in which numbers."""
    devices = f"{plan.devices} {plan.device or 'device'}{'s' if plan.devices > 1 else ''}"
    return f"{devices}, in {PRECISIONS[plan.precision]}"


def length(plan: Plan) -> str:
    """Steps, samples and epochs, each from the others."""
    epochs = f" = {plan.epochs:.2f} epochs" if plan.epochs is not None else ""
    return f"{plan.steps:,} steps x batch {plan.batch_size} = {plan.samples:,} samples{epochs}"


def ending(plan: Plan) -> str:
    """Which budget ends the run, and where."""
    stated = " and ".join(f"{unit} = {amount:,}" for unit, amount in plan.budget.items())
    if plan.stop_step is not None:
        return f"after {plan.max_minutes:g} minutes (max_minutes), at about step {plan.stop_step:,}"
    limit = f", or after {plan.max_minutes:g} minutes" if plan.max_minutes and not plan.warm_up else ""
    return f"after step {plan.steps:,}, when the budget is spent ({stated}){limit}"


def duration(seconds: float) -> str:
    """ "40 s", "12 min", "3.4 h" or "5.2 days".

    >>> duration(12_345)
    '3.4 h'
    """
    for limit, unit, length_s in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / length_s:.1f} {unit}" if unit == "h" else f"{seconds / length_s:.0f} {unit}"
    return f"{seconds / 86400:.1f} days"


def _parameters(plan: Plan) -> str:
    n, trained = plan.needs.parameters, plan.needs.trained
    if trained > n:
        return f"{n / 1e6:.1f} M parameters; {trained / 1e6:.1f} M are trained, with what only the training needs"
    return f"{n / 1e6:.1f} M parameters, {'all' if trained == n else f'{trained / 1e6:.1f} M'} of them trained"


def _data(plan: Plan) -> str:
    if plan.faces is None:
        return f"{plan.data} does not exist yet"
    source = f"by {plan.faces_from}; {plan.data} does not exist yet" if plan.assumed else plan.data
    if plan.sets:
        source = f"of {len(plan.sets)} sets, below; not all of them exist yet" if plan.assumed else "of the sets below"
    return f"{plan.faces:,} faces ({source}){_draws(plan)}"


def _draws(plan: Plan) -> str:
    """How often faces come, and why some never do."""
    if plan.seen is None or plan.faces is None or plan.least is None or plan.most is None:
        return ""
    never = round((1 - plan.seen) * plan.faces)
    if not never:
        return f"; each is drawn {_times(plan.least, plan.most)}"
    if plan.epochs is not None and plan.epochs < 1:
        return f"; each is drawn {_times(0, plan.most)}, and {never:,} never, as the run is shorter than an epoch"
    if plan.balance == "none":
        return f"; each is drawn {_times(0, plan.most)}, and {never:,} never"
    return (
        f"; each is drawn {plan.samples / plan.faces:.1f} times on average, those of rare expressions "
        f"{_times(0, plan.most)}, and {never:,} never"
    )


def _times(least: int, most: int) -> str:
    if least == most:
        return "once" if most == 1 else f"{most:,} times"
    if least == 0:
        return "at most once" if most == 1 else f"at most {most:,} times"
    return f"{least:,} to {most:,} times"


def _batch(plan: Plan) -> str:
    devices = f"{plan.devices} device{'s' if plan.devices > 1 else ''}"
    return f"{plan.batch_size} = {plan.micro_batch} at a time x {plan.rounds} accumulated x {devices}"


def _kept(stay: int) -> str:
    return "1 is kept" if stay == 1 else f"{stay:,} are kept"


def _saves(plan: Plan) -> str:
    saves = plan.saves
    when = [f"every {saves.every_steps:,} steps"] if saves.every_steps else []
    when += [f"every {saves.every_minutes:g} min"] if saves.every_minutes else []
    kept = f"; steps {', '.join(f'{s:,}' for s in saves.keep_steps)} are always kept" if saves.keep_steps else ""
    number = "" if saves.written is None else f", {saves.written:,} in all"
    return (
        f"{' and '.join(when)}, and at the end{number}{kept}; {size(plan.needs.checkpoint)} each (model, average, "
        f"optimiser), {_kept(saves.stay)}, at most {size(saves.disk_bytes)} on disk at once"
    )


def _memory(plan: Plan) -> str:
    needs = plan.needs
    parts = (
        ("weights", needs.weights),
        ("gradients", needs.gradients),
        ("optimiser", needs.optimiser),
        ("average (EMA)", needs.average),
    )
    known = ", ".join(f"{name} {size(n)}" for name, n in parts)
    device = " on each device" if plan.devices > 1 else ""
    if needs.activations is None:
        return f"{size(needs.memory)}{device} and activations ({needs.how}): {known}"
    return f"about {size(needs.memory)}{device}: {known}, activations {size(needs.activations)} ({needs.how})"


def _time(plan: Plan) -> str:
    tried, seconds = plan.warm_up, plan.seconds
    if tried is None or seconds is None:
        return f"not measured: {plan.untimed}" if plan.untimed else "not measured"
    faces_per_s = plan.batch_size / tried.step_s
    faces = (
        "the data set's faces"
        if tried.own_faces
        else "synthetic faces, because the data set's are missing or incomplete"
    )
    waiting = f"; {tried.wait_share:.1%} of it is waiting for data" if tried.wait_share is not None else ""
    fewer = f" {tried.tried} at a time, so the run may be faster" if tried.tried < plan.micro_batch else ""
    return (
        f"about {duration(seconds)}: {tried.step_s:.3g} s a step, {faces_per_s:.3g} faces a second on {tried.device}, "
        f"tried with {faces}{fewer}{waiting}"
    )


def _balance(plan: Plan) -> str:
    kinds = [part.replace(":", " ").split()[0] for part in plan.balance.split(" + ")]
    if len(kinds) == 1:
        return f"{plan.balance}: {BALANCES[kinds[0]]}"
    return f"each set in its own way, in their order: {plan.balance}"


def _set_table(plan: Plan) -> str:
    counts = [(row.name, row.faces, row.samples) for row in plan.sets]
    lines = count_table("set", counts, plan.samples)
    drawn = [f"of {row.name} {_times(row.least, row.most)}" for row in plan.sets]
    return "\n".join([*lines, f"  (each face is drawn {', '.join(drawn)})"])


def _class_table(plan: Plan) -> str:
    lines = count_table("emotion", [(row.word, row.faces, row.samples) for row in plan.classes], plan.samples)
    if not plan.classes_exact and plan.balance == "none":
        lines.append("  (the data set does not exist yet, so the draws of the last, incomplete epoch are estimated)")
    return "\n".join(lines)


def count_table(name: str, counts: Sequence[tuple[str, int, int]], samples: int) -> list[str]:
    """Lines of a table. counts: name, faces and samples of each row; samples: of all rows."""
    header = (name, "faces", "samples", "share", "each face")
    total = sum(faces for _, faces, _ in counts)
    rows = [header]
    for row, faces, drawn in [*counts, ("all", total, samples)]:
        each = f"{drawn / faces:.2f}x" if faces else "-"
        rows.append((row, f"{faces:,}", f"{drawn:,}", f"{drawn / samples:.1%}", each))
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    return [
        "  "
        + "  ".join(cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]


def _row(label: str, text: str, indent: str = "  ") -> str:
    lines = textwrap.wrap(text, LINE_WIDTH - LABEL_WIDTH, break_long_words=False, break_on_hyphens=False)
    first = f"{indent}{label:<{LABEL_WIDTH - len(indent)}}"
    return "\n".join((first if i == 0 else " " * LABEL_WIDTH) + line for i, line in enumerate(lines))
