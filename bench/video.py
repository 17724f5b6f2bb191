"""Where the time of a film's edit goes, and how it holds over time: ``python bench/video.py --data CLIP_OR_FOLDER``.

Each film that shows a face is edited once; ``--to`` names the emotion, ``--frames`` takes so many frames from its
middle. Quality of encoding is told by the frames that are not edited: a second run of the first film has strength 0.
``--exact`` edits each film once more with every frame drawn, and compares the faces. What is told over time is that of
``emorph evaluate``. Processor time is that of one process with as many threads as torch is told to take.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emorph import Editor, Target
from emorph.core.errors import ClipError, NoFaceError
from emorph.evaluate.metrics.fidelity import ssim
from emorph.video.clip import Clip, is_film, read_clip
from emorph.video.encode import OPTIONS
from emorph.video.keyframes import DRAW_EVERY, Keyframe, parse_strengths
from emorph.video.measure import FilmMeasures, measure_film, sound_of
from emorph.video.pace import STAGES
from emorph.video.plan import FilmPlan
from emorph.video.rows import both
from emorph.video.run import edit_film
from support.films import stretch
from support.measure import table, write_section

SHOWN = {
    "flicker_ratio": "flicker, over the source's",
    "jitter_ratio": "trembling of landmarks, over the source's",
    "identity_distance": "distance to the person (dlib), mean",
    "identity_distance_worst": "distance to the person (dlib), worst",
    "change_outside": "change outside the face, levels",
}


@dataclass(frozen=True)
class Held:
    """One film, edited and measured. likeness: SSIM of its faces with those of the exact way, (n,), or None."""

    clip: Clip
    made: dict[str, Any]
    processor_s: float
    measured: FilmMeasures
    exact: FilmMeasures | None
    likeness: np.ndarray | None
    sound_is_kept: bool
    apart_s: float

    @property
    def ms_a_frame(self) -> float:
        """Of one processor's time."""
        return 1000 * self.processor_s / int(self.made["n_frames"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a film with a face, or a folder of films")
    parser.add_argument("--to", default="happy", help="the emotion, or a blend")
    parser.add_argument("--frames", type=int, help="take so many frames from each film's middle")
    parser.add_argument("--exact", action="store_true", help="compare with every frame drawn by the network")
    parser.add_argument("--detector", default="auto", choices=("auto", "hog", "mtcnn"), help="who looks for faces")
    parser.add_argument("--steps", type=int, help="evaluations of the model in each direction; by default its own")
    options = parser.parse_args()
    if not options.data:
        print("bench/video.py needs a film: --data CLIP. RESULTS.md is left as it is.")
        return
    editor = Editor.from_pretrained(detector=options.detector, steps=options.steps)
    with tempfile.TemporaryDirectory() as folder:
        held, left = [], []
        for film in _films(options.data):
            try:
                held.append(_measured(editor, stretch(film, options.frames, Path(folder)), options, Path(folder)))
                print(
                    film.name, f"{held[-1].ms_a_frame:.0f} ms", held[-1].measured.summary()["flicker_ratio"], flush=True
                )
            except (ClipError, NoFaceError) as error:
                left.append(f"{film.name} ({error})")
        quality = "" if options.data.is_dir() or not held else _encoding(editor, held[0].clip.path, Path(folder))
    if options.data.is_dir():
        write_section("Films of a folder", _command(options), _several(held, left, options.to, editor))
    elif held:
        write_section("Films", _command(options), f"{_one(held[0], options.to, editor)}\n\n{quality}")
    else:
        print(left[0])


def _films(data: Path) -> list[Path]:
    return sorted(path for path in data.iterdir() if is_film(path)) if data.is_dir() else [data]


def _measured(editor: Editor, film: Path, options: argparse.Namespace, folder: Path) -> Held:
    """Edit a film, and once more exactly if that is asked for."""
    out, exact = folder / f"{film.stem}_edited.mp4", folder / f"{film.stem}_exact.mp4"
    target = (Keyframe(Target.asked(options.to), 0.0),)
    before_s = time.process_time()
    made = edit_film(editor, film, out, FilmPlan(target)).made
    processor_s = time.process_time() - before_s
    measured, other, likeness = measure_film(film, out, detector=options.detector), None, None
    if options.exact:
        unencoded = folder / f"{film.stem}_unencoded.mp4"
        with _lossless():
            edit_film(editor, film, exact, FilmPlan(target, draw_every=1))
            edit_film(editor, film, unencoded, FilmPlan(target))
        other = measure_film(film, exact, detector=options.detector)
        likeness = _likeness(read_clip(exact), read_clip(unencoded), measured)
    clips = read_clip(film), read_clip(out)
    apart_s = abs(clips[0].duration_s - clips[1].duration_s)
    return Held(
        clips[0], dict(made), processor_s, measured, other, likeness, sound_of(clips[0]) == sound_of(clips[1]), apart_s
    )


@contextmanager
def _lossless() -> Iterator[None]:
    """Films are stored without loss inside: encoding changes a grainy face more than what is compared does."""
    usual = OPTIONS["libx264"]
    OPTIONS["libx264"] = usual | {"crf": "0"}
    try:
        yield
    finally:
        OPTIONS["libx264"] = usual


def _likeness(one: Clip, other: Clip, measured: FilmMeasures) -> np.ndarray:
    """SSIM (n,) of the faces in two films of the same frames."""
    boxes = dict(zip(measured.frames.tolist(), measured.boxes.tolist(), strict=True))
    found = []
    for a, b in both((one, other)):
        if a.number in boxes:
            left, top, right, bottom = boxes[a.number]
            faces = (torch.from_numpy(each.pixels()[top:bottom, left:right].copy()) for each in (a, b))
            pair = [face.permute(2, 0, 1)[None].double() for face in faces]
            found.append(float(ssim(*pair, data_range=255.0)))
    return np.array(found)


def _one(held: Held, word: str, editor: Editor) -> str:
    made, n = held.made, int(held.made["n_frames"])
    wall, own = ({stage: 1000 * made[name][stage] / n for stage in STAGES} for name in ("seconds", "processor_seconds"))
    rows = [(stage, f"{own[stage]:.1f}", f"{wall[stage]:.1f}") for stage in STAGES]
    two_ms = own["detect"] + own["decode"] / 2 + max(own["decode"] / 2 + own["edit"], own["paste"] + own["encode"])
    people, ms = "person" if made["n_people"] == 1 else "people", held.ms_a_frame
    text = (
        f"{held.clip.name}: {held.clip.width}x{held.clip.height} px, {n} frames, {made['n_frames_edited']} of them "
        f"changed to {word}, {made['n_people']} {people}; {_model(editor)}. {made['frames_per_second']:.2f} frames a "
        f"second from end to end, at a load of {os.getloadavg()[1]:.1f} on {os.cpu_count()} processors; {ms:.0f} ms of "
        f"one processor's time a frame, so {1000 / ms:.1f} frames a second where one is idle. Faces are drawn while "
        "those before are pasted and encoded: by the times of these threads, two idle processors would take at least "
        f"{two_ms:.0f} ms a frame ({1000 / two_ms:.1f} frames a second), which is computed, not measured. Decoding "
        "happens twice.\n\n"
    )
    summary = held.measured.summary()
    over_time = [(title, _number(summary[name])) for name, title in SHOWN.items() if summary[name] is not None]
    stages = table(("stage", "ms of processor time a frame", "ms of wall time a frame"), rows)
    if held.exact is not None:
        drawn = _number(_of(held.exact, "flicker_ratio"))
        over_time.append(("flicker if every frame is drawn, before encoding", drawn))
    beside = "".join(_beside_exact([held])).strip()
    return f"{text}{stages}\n\n{table(('over time', 'value'), over_time)}\n\n{beside}".strip()


def _model(editor: Editor) -> str:
    return f"{editor.model_id}, {editor.steps} evaluations each way, one frame in {DRAW_EVERY} drawn"


def _several(held: list[Held], left: list[str], word: str, editor: Editor) -> str:
    flicker = [_of(each.measured, "flicker_ratio") for each in held]
    ours, theirs = (np.nansum([_of(each.measured, name) for each in held]) for name in ("flicker", "flicker_source"))
    n_frames = sum(int(each.made["n_frames"]) for each in held)
    ms = 1000 * sum(each.processor_s for each in held) / n_frames
    exact = [each for each in held if each.likeness is not None]
    apart = max(each.apart_s * float(each.clip.rate) for each in held)
    text = (
        f"{len(held)} films, {n_frames} frames, changed to {word}; {_model(editor)}. {ms:.0f} ms of one processor's "
        f"time a frame on average. Flicker over the sources': {ours / theirs:.3f} of all films alike, "
        f"{np.nanmedian(flicker):.3f} in the median film, {np.nanmax(flicker):.3f} in the worst. Sound is the same bit "
        f"for bit in {sum(each.sound_is_kept for each in held)} of {len(held)}; durations differ by {apart:.2f} frames "
        "at most."
    )
    text += f" Not edited: {', '.join(left)}." if left else ""
    text += "".join(_beside_exact(exact))
    header = [
        "film",
        "size",
        "frames",
        "ms a frame",
        "flicker",
        "landmarks",
        *(["flicker, exact", "SSIM"] if exact else []),
    ]
    return f"{text}\n\n{table(header, [_row(each) for each in held])}"


def _beside_exact(films: list[Held]) -> list[str]:
    """How like the faces are to those of films of which every frame is drawn; nothing if that was not asked for."""
    found = [each.likeness for each in films if each.likeness is not None]
    if not found:
        return []
    means = [float(likeness.mean()) for likeness in found]
    worst = f"{min(means):.4f} in the worst film and " if len(means) > 1 else ""
    return [
        " Beside films of which every frame is drawn, before they are encoded, faces have an SSIM of "
        f"{np.mean(means):.4f} on average, "
        f"{worst}{min(float(each.min()) for each in found):.4f} in the worst frame."
    ]


def _row(held: Held) -> list[str]:
    row = [
        held.clip.name, f"{held.clip.width}x{held.clip.height}", str(held.made["n_frames"]), f"{held.ms_a_frame:.0f}",
        _number(_of(held.measured, "flicker_ratio")), _number(_of(held.measured, "jitter_ratio")),
    ]  # fmt: skip
    if held.exact is not None and held.likeness is not None:
        row += [_number(_of(held.exact, "flicker_ratio")), f"{held.likeness.mean():.4f}"]
    return row


def _of(measured: FilmMeasures, name: str) -> float:
    value = measured.summary()[name]
    return float("nan") if value is None else value


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _encoding(editor: Editor, film: Path, folder: Path) -> str:
    """What encoding alone does to a film."""
    unchanged = folder / "unchanged.mp4"
    target = (Keyframe(Target.asked("happy"), 0.0),)
    edit_film(editor, film, unchanged, FilmPlan(target, parse_strengths("0")))
    size = unchanged.stat().st_size / film.stat().st_size
    return (
        f"Frames of {film.name} that are not changed differ from the source by {_psnr(film, unchanged):.1f} dB (PSNR); "
        f"their file is {size:.1f} times as large."
    )


def _psnr(one: Path, other: Path) -> float:
    """Of all frames together, in dB."""
    errors = [np.mean((a.pixels().astype(np.float32) - b.pixels()) ** 2) for a, b in _pairs(one, other)]
    return float(10 * np.log10(255**2 / max(float(np.mean(errors)), 1e-9)))


def _pairs(one: Path, other: Path) -> Iterator[tuple[Any, Any]]:
    return both((read_clip(one), read_clip(other)))


def _command(options: argparse.Namespace) -> str:
    words = ["python bench/video.py --data", "CLIPS" if options.data.is_dir() else "CLIP", "--to", options.to]
    words += ["--frames", str(options.frames)] if options.frames else []
    words += ["--exact"] if options.exact else []
    words += ["--detector", options.detector] if options.detector != "auto" else []
    words += ["--steps", str(options.steps)] if options.steps else []
    return " ".join(words)


if __name__ == "__main__":
    main()
