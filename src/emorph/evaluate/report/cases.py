"""The best and the worst edits of a set, as pictures for people to judge the judges."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from emorph.core.encode import jpeg_url
from emorph.core.errors import EmorphError
from emorph.core.images import read_photo
from emorph.core.records import SeenFace
from emorph.core.types import Float64
from emorph.evaluate.metrics.takes import Takes
from emorph.evaluate.scores.evidence import Scored
from emorph.evaluate.scores.gallery import DLIB, DLIB_THRESHOLD
from emorph.evaluate.scores.method import MethodScores

N_CASES = 6
N_LIKENESSES = 2  # recognisers that are quoted under a picture
THUMB_PX = 150
SURROUNDINGS = 0.45  # of the box's side, on each side
JPEG_QUALITY = 85


@dataclass(frozen=True)
class Case:
    """An edit to look at. source, edited: pictures as data: URLs, "" where the file is gone. lines: what is said."""

    source: str
    edited: str
    lines: tuple[str, ...]


def ranked(scores: MethodScores) -> list[int]:
    """Rows of the edits at the dose, best first: by the harmonic mean of what the edit won and of its likeness.

    Won: the target's probability by the first judge, less that of the source. An edit that lost stands behind all that
    won nothing, so that neither a face that showed the target already nor another person's comes first.
    """
    rows = np.flatnonzero(scores.evidence.at_dose)
    gallery = scores.identity.gallery
    threshold = DLIB_THRESHOLD if gallery.name == DLIB else gallery.threshold or 0.5
    likeness = np.nan_to_num(np.clip(1 - scores.identity.distance / (2 * threshold), 0, 1))
    value: Float64 = likeness
    if scores.emotions and np.isfinite(scores.emotions[0].after[rows]).any():
        won = np.nan_to_num(scores.emotions[0].after - scores.emotions[0].before)
        gained = won.clip(min=0)
        value = 2 * gained * likeness / np.maximum(gained + likeness, 1e-9) + won.clip(max=0)
        rows = rows[np.isfinite(scores.emotions[0].after[rows])]
    return [int(i) for i in rows[np.argsort(-value[rows], kind="stable")]]


def best_and_worst(scores: MethodScores) -> tuple[list[Case], list[Case]]:
    """Up to ``N_CASES`` of each, no edit twice; the worst one first among the worst."""
    if not scores.evidence.edits:
        return [], []
    order = ranked(scores)
    n_best = min(N_CASES, (len(order) + 1) // 2)
    n_worst = min(N_CASES, len(order) - n_best)
    worst = order[len(order) - n_worst :][::-1]
    return [_case(scores, i) for i in order[:n_best]], [_case(scores, i) for i in worst]


def _case(scores: MethodScores, row: int) -> Case:
    scored = scores.evidence.edits[row]
    lines = [f"{scored.pair.word}, strength {scored.pair.strength:g}"]
    if scored.is_lost:
        lines.append("no face is found")
    elif scores.emotions and np.isfinite((first := scores.emotions[0]).after[row]):
        answer = first.judge.emotions[int(np.argmax(first.answers[row]))]
        lines.append(f"seen as {answer.word}; target {100 * first.before[row]:.0f} → {100 * first.after[row]:.0f} %")
    for identity in () if scored.is_lost else scores.identities[:N_LIKENESSES]:
        gallery = identity.gallery
        name = f" ({gallery.name.partition('@')[0]})" if gallery.metric.takes == Takes.FEATURES else ""
        lines.append(f"{gallery.metric.column} {gallery.shown(identity.distance)[row]:.2f}{name}")
    lines.append(scored.pair.edited.name)
    return Case(*_pictures(scored), tuple(lines))


def _pictures(scored: Scored) -> tuple[str, str]:
    is_aligned = scored.source.size == scored.edit.size  # then one window shows what moved
    edited = _thumb(scored.pair.edited, scored.source if is_aligned or scored.is_lost else scored.edit)
    return _thumb(scored.pair.source, scored.source), edited


def _thumb(path: Path, face: SeenFace) -> str:
    try:
        image = Image.fromarray(read_photo(path).pixels)
    except EmorphError:
        return ""
    corner, side = _window(face, image.size)
    cut = image.crop((*corner, corner[0] + side, corner[1] + side))
    cut = cut.resize((THUMB_PX, THUMB_PX), Image.Resampling.LANCZOS)
    return jpeg_url(np.asarray(cut), JPEG_QUALITY)


def _window(face: SeenFace, size: tuple[int, int]) -> tuple[tuple[int, int], int]:
    """Upper left corner and side of a square around the face that lies in the photo."""
    left, top, right, bottom = face.box
    side = min(round((1 + 2 * SURROUNDINGS) * max(right - left, bottom - top)), *size)
    x, y = (left + right - side) // 2, (top + bottom - side) // 2
    return (min(max(x, 0), size[0] - side), min(max(y, 0), size[1] - side)), max(side, 1)
