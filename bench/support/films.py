"""Stretches of films, for benchmarks of which a whole film would take too long."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from emorph.video.clip import read_clip
from emorph.video.encode import join, segment, stored
from emorph.video.frames import read_frames


def stretch(film: Path, n: int | None, folder: Path) -> Path:
    """``n`` frames from the middle of a film as one of its own, with its sound; the film itself if it has no more.

    Raises ClipError.
    """
    clip = read_clip(film)
    held = stored(clip, ".mp4")
    if n is None or clip.n_frames <= n:
        return film
    out, first = folder / f"{film.stem}_{n}.mp4", (clip.n_frames - n) // 2
    with segment(folder / "stretch.nut", clip, held) as made:
        for frame in read_frames(clip, held.form):
            if first <= frame.number < first + n:
                made.add(frame.picture)
    join(replace(clip, n_frames=n, duration_s=0.0), [folder / "stretch.nut"], out, held, {}, None)
    return out
