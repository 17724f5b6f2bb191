"""A page of a film's measures, with the film beside its source."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from emorph.core.files import names_apart, written_beside
from emorph.core.outputs import make_folder, rendered, write_text
from emorph.edit.paths import output_names
from emorph.evaluate.report.plots import course
from emorph.models.dlib_net import SAME_PERSON
from emorph.video.clip import library
from emorph.video.encode import writing
from emorph.video.measure import CHANGED_LEVELS, FilmMeasures, Told
from emorph.video.rows import both

PAGE_FILE = "clips.html"
TEMPLATE = Path(__file__).with_name("clips.html.j2")
SHOWN_PX = 320  # height of the films on the page
SHOWN_S = 20.0  # of each film; longer ones are shown from their beginning
SHOWN_RATE = 12  # frames a second at most

# What a number is called, what it is measured in, which way is better, and how to read it.
ROWS = (
    ("flicker_ratio", "Flicker", "times the source's", "1 is best",
     "what optical flow leaves of the difference of two frames, inside the face"),
    ("flicker", "the same", "levels", "lower", "of the edited film"),
    ("flicker_source", "the same", "levels", "", "of the source"),
    ("jitter_ratio", "Landmarks tremble", "times the source's", "1 is best",
     "second differences of the 68 landmarks, found anew in every frame"),
    ("jitter", "the same", "eye distances", "lower", "of the edited film"),
    ("jitter_source", "the same", "eye distances", "", "of the source"),
    ("identity_distance", "Distance to the person (dlib)", "", "lower",
     f"mean over time; below {SAME_PERSON:g} dlib's author takes two faces for one person's (photos are held to a "
     "stricter limit, found on the photos themselves: one that 1 % of pairs of different persons pass)"),
    ("identity_distance_worst", "the same, at worst", "", "lower", "the largest over time"),
    ("change_outside", "Change outside the face", "levels", "lower", "mean; what encoding alone changes counts, too"),
)  # fmt: skip


def write_pages(folder: Path, films: Sequence[FilmMeasures], command: str) -> Path:
    """Write clips.html, clips.json and a CSV of every frame for each film. Returns the page.

    Raises ClipError or DataError if they cannot be written.
    """
    make_folder(folder)
    paths = [film.edited.path for film in films]
    names = names_apart(paths)
    parts = [_part(folder, film, names[film.edited.path]) for film in films]
    for film, name in zip(films, output_names(paths), strict=True):
        write_text(folder / f"{name}.csv", _frames_csv(film))
    made = {names[film.edited.path]: as_json(film) for film in films}
    write_text(folder / "clips.json", json.dumps(made, indent=2, ensure_ascii=False) + "\n")
    write_text(folder / PAGE_FILE, rendered(TEMPLATE, films=parts, command=command))
    return folder / PAGE_FILE


def as_json(film: FilmMeasures) -> dict[str, Any]:
    """The numbers of a film, and the facts of its files."""
    return {
        "source": str(film.source.path),
        "edited": str(film.edited.path),
        "judges": [told.judge for told in film.told],
        "n_frames_measured": len(film.frames),
        "n_frames_changed": int(film.is_edited.sum()),
        **film.summary(),
        **film.facts,
    }


def rows_of(film: FilmMeasures) -> list[tuple[str, str, str, str]]:
    """What the table says: what is measured, its value with the unit, which way is better, and how to read it."""
    found = film.summary()
    rows = []
    for name, title, unit, better, about in ROWS:
        value = found[name]
        rows.append((title, "nothing to measure" if value is None else f"{value:.4g} {unit}".strip(), better, about))
    for told in film.told:
        rows += _told_rows(told, told.summary(film.is_edited))
    return rows


def _told_rows(told: Told, found: Mapping[str, float | None]) -> list[tuple[str, str, str, str]]:
    """The same of what one judge says."""
    rows = []
    for emotion in told.emotions:
        seen, before = (found.get(f"{emotion.word}_{name}") for name in ("seen", "seen_source"))
        follows = found.get(f"{emotion.word}_follows")
        if seen is not None and before is not None:
            about = f"mean probability of {told.judge}; {before:.2f} in the source"
            rows.append((f"{emotion.title} seen by the judge", f"{seen:.2f}", "higher", about))
        if follows is not None:
            about = f"correlation of the strength asked for with the probability that {told.judge} sees"
            rows.append((f"{emotion.title} follows the keyframes", f"{follows:.2f}", "1 is best", about))
    return rows


def _part(folder: Path, film: FilmMeasures, name: str) -> dict[str, Any]:
    picture = folder / f"{film.edited.path.stem}.side_by_side.webm"
    _write_side_by_side(picture, film)
    video = f"data:video/webm;base64,{base64.b64encode(picture.read_bytes()).decode()}"
    picture.unlink()
    return {
        "name": name,
        "source": film.source.name,
        "video": video,
        "shown_s": min(SHOWN_S, max(film.facts["duration_s"])),
        "rows": rows_of(film),
        "facts": film.facts,
        "n_frames": len(film.frames),
        "n_changed": int(film.is_edited.sum()),
        "changed_from": f"{CHANGED_LEVELS:g} level{'' if CHANGED_LEVELS == 1 else 's'}",
        "judges": [told.judge for told in film.told],
        "plots": list(_plots(film)),
    }


def _plots(film: FilmMeasures) -> list[str]:
    times = film.times_s
    plots = [
        course([("edited", film.warped), ("source", film.warped_source)], times, "flicker, levels"),
        course([("edited", film.trembles), ("source", film.trembles_source)], times, "trembling, eye distances"),
        course([("edited", film.distance)], times, "distance to the person"),
    ]
    for told in film.told:
        for i, emotion in enumerate(told.emotions):
            asked = told.asked[:, i]
            if np.nan_to_num(asked).any():
                rows = [("seen", told.seen[:, i]), ("seen in the source", told.seen_source[:, i]), ("asked for", asked)]
                plots.append(course(rows, times, f"{emotion.word}, {told.judge}"))
    return plots


def _write_side_by_side(path: Path, film: FilmMeasures) -> None:
    """Source and edit in one picture, small, without sound, as VP9."""
    av = library()
    first, due_s = None, 0.0
    with writing(path), written_beside(path) as draft, av.open(f"file:{draft}", "w", format="webm") as container:
        stream = container.add_stream("libvpx-vp9", rate=SHOWN_RATE, options={"crf": "34", "b": "0", "cpu-used": "8"})
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, 1000)
        width, height = _shown_size(film.source.width, film.source.height)
        stream.width, stream.height = 2 * width, height
        for one, other in both((film.source, film.edited)):
            first = one.pts if first is None else first
            at_s = float((one.pts - first) * film.source.time_base)
            if at_s >= SHOWN_S:
                break
            if at_s < due_s:
                continue
            due_s = at_s + 1 / SHOWN_RATE - 1e-3
            sides = [cv2.resize(each.pixels(), (width, height), interpolation=cv2.INTER_AREA) for each in (one, other)]
            pixels = np.concatenate(sides, axis=1)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(1000 * at_s), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _shown_size(width: int, height: int) -> tuple[int, int]:
    """Of one film on the page, even."""
    scale = min(1.0, SHOWN_PX / height)
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))


def _frames_csv(film: FilmMeasures) -> str:
    """Every frame that was measured, a line each."""
    columns: dict[str, Any] = {
        "frame": film.frames, "time_s": film.times_s, "changed": film.changed, "change_outside": film.outside,
        "flicker_source": film.warped_source, "flicker": film.warped, "jitter_source": film.trembles_source,
        "jitter": film.trembles, "identity_distance": film.distance,
    }  # fmt: skip
    for number, told in enumerate(film.told):
        by = f" ({told.judge})" if number else ""
        for i, emotion in enumerate(told.emotions):
            columns |= {f"{emotion.word}_asked{by}": told.asked[:, i],
                        f"{emotion.word}_source{by}": told.seen_source[:, i],
                        f"{emotion.word}_seen{by}": told.seen[:, i]}  # fmt: skip
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for values in zip(*columns.values(), strict=True):
        writer.writerow(["" if np.isnan(value) else f"{value:.6g}" for value in values])
    return text.getvalue()
