"""Learning curves and other drawings of a report, as SVG text that needs no program and no network to be seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from emorph.core.ticks import round_log_ticks, round_ticks

COLOURS = ("#1b6ca8", "#b03a0a", "#2f6b38", "#7b3f8c", "#7a5c00", "#444444")  # all at least 4.5 : 1 on white
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 300, 64, 16, 28, 44
FAINT = "#9a9a9a"


@dataclass(frozen=True)
class Line:
    """Points joined by a line, or dots alone. mark: the place of a point to ring. faint: one of many, in gray."""

    name: str
    points: tuple[tuple[float, float], ...]
    mark: int | None = None
    faint: bool = False
    dots: bool = False


def line_chart(
    lines: Sequence[Line], *, title: str, x_name: str, y_name: str, log_x: bool = False, percent: bool = False
) -> str:
    """A chart of lines over one axis; what is not finite is left out. percent: y is a share.

    The text for screen readers names each line's last and its marked point.
    """
    kept = [_finite(line) for line in lines]
    points = [point for line in kept for point in line.points] or [(0.0, 0.0)]
    frame = _Frame(points, log_x=log_x)
    parts = [frame.axes(x_name, y_name, percent=percent)]
    coloured = [line for line in kept if not line.faint]
    for line in (line for line in kept if line.faint):
        parts.append(_drawn(line, frame, FAINT))
    for i, line in enumerate(coloured):
        colour = COLOURS[i % len(COLOURS)]
        parts.append(_drawn(line, frame, colour))
        if len(coloured) > 1:
            parts.append(_text(LEFT + 8 + 150 * i, 16, line.name, colour=colour))
    told = "; ".join(_told(line) for line in coloured)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img"><title>{escape(title)}</title><desc>{escape(told)}</desc>{"".join(parts)}</svg>'
    )


def bar_chart(bars: Sequence[tuple[str, float]], *, title: str) -> str:
    """Shares from 0 to 1, one bar below the other. bars: name and share."""
    row, left = 26, 220
    height = row * len(bars) + 12
    parts = []
    for i, (name, share) in enumerate(bars):
        y = 6 + row * i
        width = max(0.0, min(1.0, share)) * (WIDTH - left - 70)
        parts.append(_text(left - 8, y + 16, name, anchor="end"))
        parts.append(f'<rect x="{left}" y="{y + 3}" width="{width:.1f}" height="{row - 8}" fill="{COLOURS[0]}"/>')
        parts.append(_text(left + width + 6, y + 16, f"{share:.0%}"))
    told = "; ".join(f"{name}: {share:.0%}" for name, share in bars)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img"><title>{escape(title)}</title><desc>{escape(told)}</desc>{"".join(parts)}</svg>'
    )


class _Frame:
    """The place of values on the drawing. counts: whether x counts something, so that ticks are whole numbers."""

    def __init__(self, points: Sequence[tuple[float, float]], *, log_x: bool) -> None:
        self.log_x = log_x and all(x > 0 for x, _ in points)
        xs, ys = [self._scaled(x) for x, _ in points], [y for _, y in points]
        self.x0, self.x1 = _spread(min(xs), max(xs), 0.0)
        self.counts = not self.log_x and all(x == round(x) for x in xs)
        self.y0, self.y1 = _spread(min(ys), max(ys), 0.05)

    def _scaled(self, x: float) -> float:
        return math.log10(x) if self.log_x else x

    def x(self, value: float) -> float:
        return LEFT + (self._scaled(value) - self.x0) / (self.x1 - self.x0) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.y0) / (self.y1 - self.y0) * (HEIGHT - TOP - BOTTOM)

    def axes(self, x_name: str, y_name: str, *, percent: bool) -> str:
        bottom = HEIGHT - BOTTOM
        parts = [f'<path d="M{LEFT} {TOP}V{bottom}H{WIDTH - RIGHT}" stroke="#444" fill="none"/>']
        for x in self._ticks():
            anchor = "end" if self.x(x) > WIDTH - 2 * RIGHT else "middle"
            parts.append(_text(self.x(x), bottom + 16, f"{x:,.0f}" if self.counts else f"{x:g}", anchor=anchor))
        for value in round_ticks(self.y0, self.y1):
            said = f"{100 * value:g}%" if percent else f"{value:g}"
            parts.append(_text(LEFT - 6, self.y(value) + 4, said, anchor="end"))
            parts.append(f'<path d="M{LEFT} {self.y(value):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_name, anchor="middle"))
        parts.append(_text(WIDTH - RIGHT, 16, y_name, anchor="end"))
        return "".join(parts)

    def _ticks(self) -> list[float]:
        """Of x: whole numbers where it counts something."""
        ticks = round_log_ticks(10**self.x0, 10**self.x1) if self.log_x else round_ticks(self.x0, self.x1)
        return [x for x in ticks if x == round(x)] if self.counts else ticks


def _spread(low: float, high: float, room: float) -> tuple[float, float]:
    if high - low < 1e-12:
        return low - 0.5, high + 0.5
    return low - room * (high - low), high + room * (high - low)


def _finite(line: Line) -> Line:
    kept = [i for i, (x, y) in enumerate(line.points) if math.isfinite(x) and math.isfinite(y)]
    mark = kept.index(line.mark) if line.mark in kept else None
    return Line(line.name, tuple(line.points[i] for i in kept), mark, line.faint, line.dots)


def _drawn(line: Line, frame: _Frame, colour: str) -> str:
    places = [(frame.x(x), frame.y(y)) for x, y in line.points]
    parts = []
    if len(places) > 1 and not line.dots:
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        width = 1 if line.faint else 2
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>')
    elif places:
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
    if line.mark is not None:
        x, y = places[line.mark]
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="none" stroke="{colour}" stroke-width="2"/>')
    return "".join(parts)


def _told(line: Line) -> str:
    if not line.points:
        return f"{line.name}: nothing"
    x, y = line.points[-1]
    text = f"{line.name}: {y:.4g} at {x:.4g}"
    if line.mark is not None:
        x, y = line.points[line.mark]
        text += f", marked {y:.4g} at {x:.4g}"
    return text


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = "#222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
