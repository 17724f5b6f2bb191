"""A report's drawings as SVG text: what identity costs, and how the distances are spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from emorph.core.ticks import round_ticks
from emorph.core.types import Float64
from emorph.evaluate.scores.tradeoff import Point

COLOURS = ("#1b6ca8", "#c1440e", "#3a7d44", "#7b3f8c", "#a67c00", "#555555")  # told apart also by the colour-blind
WIDTH, HEIGHT = 520, 360
LEFT, RIGHT, TOP, BOTTOM = 60, 26, 26, 48
N_BINS = 30


@dataclass(frozen=True)
class Axis:
    """From values to pixels. ticks: (value, text)."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    title: str

    def x(self, value: float) -> float:
        """Pixels from the left."""
        return LEFT + (value - self.low) / (self.high - self.low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        return HEIGHT - BOTTOM - (value - self.low) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)


def curve(lines: Sequence[tuple[str, Sequence[Point]]], judge: str = "") -> str:
    """Share that passes for the person over the gain, a line a method, a dot a strength, with both intervals."""
    lowest = min([0.0, *(point.gain.low for _, points in lines for point in points)])
    shares = tuple((v, f"{100 * v:.0f} %") for v in np.linspace(-1, 1, 9).tolist())
    x = Axis(
        lowest,
        1,
        tuple(t for t in shares if t[0] >= lowest),
        f"gain: recognised more often than the unedited photo{judge and f' ({judge})'}",
    )
    y = Axis(0, 1, tuple(t for t in shares if t[0] >= 0), "passes for the person")
    parts = [_frame(x, y), f'<circle cx="{x.x(0):.1f}" cy="{y.y(1):.1f}" r="5" fill="none" stroke="#000"/>']
    parts.append(_text(x.x(0) + 9, y.y(1) + 16, "unedited"))
    for i, (_, points) in enumerate(lines):
        colour = COLOURS[i % len(COLOURS)]
        start = [(x.x(0), y.y(1))] if any(point.strength for point in points) else []
        places = start + [(x.x(p.gain.mean), y.y(p.verified.mean)) for p in points if p.strength]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts += [_dot(point, x, y, colour) for point in points]
    return _svg(parts, [name for name, _ in lines], "what identity costs")


def _dot(point: Point, x: Axis, y: Axis, colour: str) -> str:
    a, b = x.x(point.gain.mean), y.y(point.verified.mean)
    across = f"M{x.x(point.gain.low):.1f} {b:.1f}H{x.x(point.gain.high):.1f}"
    along = f"M{a:.1f} {y.y(point.verified.low):.1f}V{y.y(point.verified.high):.1f}"
    return (
        f'<path d="{across}{along}" stroke="{colour}" opacity="0.5"/><circle cx="{a:.1f}" cy="{b:.1f}" r="4" '
        f'fill="{colour}"/>{_text(a + 6, b - 6, f"{point.strength:g}")}'
    )


def histogram(rows: Sequence[tuple[str, Float64]], title: str, threshold: float | None = None) -> str:
    """Each row's share of its values by bin, as outlines over one axis; a dashed line at the threshold."""
    rows = [(f"{name} (n = {len(values)})", values) for name, values in rows if len(values)]
    highest = max([0.1, threshold or 0.0, *(float(values.max()) for _, values in rows)])
    lowest = min([0.0, *(float(values.min()) for _, values in rows)])
    edges = np.linspace(lowest, highest, N_BINS + 1)
    shares = [np.histogram(values, edges)[0] / len(values) for _, values in rows]
    peak = max([0.01, *(float(share.max()) for share in shares)])
    x = Axis(lowest, highest, tuple((v, f"{v:g}") for v in round_ticks(lowest, highest)), title)
    y = Axis(0, peak, tuple((v, f"{100 * v:g} %") for v in round_ticks(0, peak)), "share")
    parts = [_frame(x, y)]
    for i, share in enumerate(shares):
        steps = "".join(
            f"L{x.x(a):.1f} {y.y(v):.1f}H{x.x(b):.1f}" for a, b, v in zip(edges, edges[1:], share, strict=False)
        )
        colour = COLOURS[i % len(COLOURS)]
        outline = f"M{x.x(lowest):.1f} {y.y(0):.1f}{steps}V{y.y(0):.1f}Z"
        parts.append(f'<path d="{outline}" fill="{colour}" fill-opacity="0.2" stroke="{colour}"/>')
    if threshold is not None:
        place = x.x(threshold)
        parts.append(f'<path d="M{place:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#000" stroke-dasharray="4 3"/>')
        parts.append(_text(place + 4, TOP - 6, f"threshold {threshold:.3f}"))
    return _svg(parts, [name for name, _ in rows], title)


def course(rows: Sequence[tuple[str, Float64]], times_s: Float64, title: str) -> str:
    """Values (n,) of each row over times (n,) in seconds, as lines; where a value is NaN the line is drawn through."""
    known = np.concatenate([values[np.isfinite(values)] for _, values in rows] or [np.zeros(1)])
    low, high = (min(0.0, float(known.min())), max(1e-9, float(known.max()))) if len(known) else (0.0, 1.0)
    first, last = float(times_s[0]), max(float(times_s[-1]), float(times_s[0]) + 1e-3)
    x = Axis(first, last, tuple((v, f"{v:g}") for v in round_ticks(first, last)), "seconds")
    y = Axis(low, high, tuple((v, f"{v:g}") for v in round_ticks(low, high)), title)
    parts = [_frame(x, y)]
    for i, (_, values) in enumerate(rows):
        seen = np.isfinite(values)
        points = " ".join(f"{x.x(t):.1f},{y.y(v):.1f}" for t, v in zip(times_s[seen], values[seen], strict=True))
        colour = COLOURS[i % len(COLOURS)]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return _svg(parts, [name for name, _ in rows], f"{title} over time")


def _frame(x: Axis, y: Axis) -> str:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="#444"/>']
    for value, text in x.ticks:
        parts.append(f'<path d="M{x.x(value):.1f} {TOP}V{bottom}" stroke="#ddd"/>')
        parts.append(_text(x.x(value), bottom + 15, text, "middle"))
    for value, text in y.ticks:
        parts.append(f'<path d="M{LEFT} {y.y(value):.1f}H{right}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 5, y.y(value) + 4, text, "end"))
    parts.append(_text((LEFT + right) / 2, HEIGHT - 10, x.title, "middle"))
    middle = (TOP + bottom) / 2
    parts.append(f'<g transform="rotate(-90 13 {middle})">{_text(13, middle, y.title, "middle")}</g>')
    return "".join(parts)


def _svg(parts: Sequence[str], names: Sequence[str], title: str) -> str:
    legend = "".join(
        f'<rect x="{LEFT}" y="{HEIGHT + 16 * i + 2}" width="10" height="10" fill="{COLOURS[i % len(COLOURS)]}"/>'
        + _text(LEFT + 15, HEIGHT + 16 * i + 11, name)
        for i, name in enumerate(names)
    )
    height = HEIGHT + 16 * len(names) + 4
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title)}">{"".join(parts)}{legend}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
