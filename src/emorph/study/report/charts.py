"""Drawings of a report as SVG text: numbers with their intervals, one below the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from emorph.study.report.tables import Style, Value
from emorph.study.statistics.estimates import Estimate

COLOURS = ("#1b6ca8", "#b03a0a", "#2f6b38", "#7b3f8c", "#7a5c00", "#444444")  # all at least 4.5 : 1 on white
WIDTH, LEFT, RIGHT, TOP, BOTTOM = 640, 190, 24, 14, 44
ROW, GAP = 22, 12
MOST_LETTERS = 26  # of a row's name


@dataclass(frozen=True)
class Group:
    """Rows under one heading, "" for none. rows: (name, number)."""

    title: str
    rows: tuple[tuple[str, Estimate], ...]


def forest(groups: Sequence[Group], title: str, axis: str, style: Style, mark: tuple[float, str] | None = None) -> str:
    """A dot and an interval a row; each row's name has one colour and one shape. mark: a dashed line and its name.

    The text for screen readers holds all numbers.
    """
    groups = [group for group in groups if group.rows]
    low, high = _range(groups, style, mark)

    def x(value: float) -> float:
        return LEFT + (min(max(value, low), high) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    names = list(dict.fromkeys(name for group in groups for name, _ in group.rows))
    parts, y = [], float(TOP)
    for group in groups:
        if group.title:
            y += ROW
            parts.append(_text(4, y - 6, group.title, weight="bold"))
        for name, estimate in group.rows:
            y += ROW
            parts.append(_mark(names.index(name), x, y - ROW / 2, estimate) + _text(12, y - ROW / 2 + 4, _short(name)))
        y += GAP
    frame = _frame(x, low, high, y, axis, style)
    if mark is not None:
        frame += f'<path d="M{x(mark[0]):.1f} {TOP}V{y:.0f}" stroke="#000" stroke-dasharray="4 3"/>'
        frame += _text(x(mark[0]), TOP - 2, mark[1], "middle")
    told = "; ".join(
        f"{g.title + ', ' if g.title else ''}{name}: {Value(e, style)}" for g in groups for name, e in g.rows
    )
    height = y + BOTTOM
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img"><title>{escape(title)}</title><desc>{escape(told)}</desc>'
        f"{frame}{''.join(parts)}</svg>"
    )


def _range(groups: Sequence[Group], style: Style, mark: tuple[float, str] | None) -> tuple[float, float]:
    if style == "share":
        return 0.0, 1.0
    known = [
        bound
        for group in groups
        for _, e in group.rows
        for bound in ((e.low, e.high) if e.has_interval else (e.value,))
    ] + ([mark[0]] if mark else [])
    low, high = min(known), max(known)
    room = 0.08 * max(high - low, 0.5)
    return low - room, high + room


def _frame(x: Callable[[float], float], low: float, high: float, bottom: float, axis: str, style: Style) -> str:
    parts = [f'<path d="M{LEFT} {bottom:.0f}H{WIDTH - RIGHT}" stroke="#444"/>']
    for value in _ticks(low, high):
        place = x(value)
        text = f"{100 * value:.0f} %" if style == "share" else f"{value:g}"
        parts.append(f'<path d="M{place:.1f} {TOP}V{bottom:.0f}" stroke="#ddd"/>')
        parts.append(_text(place, bottom + 16, text, "middle"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, bottom + 36, axis, "middle"))
    return "".join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two, about six."""
    rough = (high - low) / 6
    step = float(10 ** np.floor(np.log10(rough)))
    step *= next(times for times in (1, 2, 5, 10) if times * step >= rough)
    return [round(step * i, 6) for i in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def _mark(number: int, x: Callable[[float], float], y: float, estimate: Estimate) -> str:
    colour = COLOURS[number % len(COLOURS)]
    place = x(estimate.value)
    line = ""
    if estimate.has_interval:
        a, b = x(estimate.low), x(estimate.high)
        line = f'<path d="M{a:.1f} {y:.1f}H{b:.1f}M{a:.1f} {y - 4:.1f}v8M{b:.1f} {y - 4:.1f}v8" stroke="{colour}"/>'
    shapes = (
        f'<circle cx="{place:.1f}" cy="{y:.1f}" r="5"',
        f'<rect x="{place - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9"',
        f'<path d="M{place:.1f} {y - 6:.1f}l6 11h-12z"',
        f'<path d="M{place:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z"',
    )
    return f'{line}{shapes[number % len(shapes)]} fill="{colour}"/>'


def _short(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}…"


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'
