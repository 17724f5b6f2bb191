"""Where the time of a film's edit goes: ``python bench/video.py --data CLIP``.

CLIP is a film that shows a face. It is edited once as it is; ``--to`` names the emotion. Quality of encoding is told by
the frames that are not edited: a second run has strength 0.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from emorph import Editor, Emotion
from emorph.core.types import Target
from emorph.video.clip import read_clip
from emorph.video.encode import stored
from emorph.video.frames import read_frames
from emorph.video.keyframes import Keyframe, parse_strengths
from emorph.video.pace import STAGES
from emorph.video.plan import FilmPlan
from emorph.video.run import edit_film
from support.measure import table, write_section


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a film with a face")
    parser.add_argument("--to", default="happy", help="the emotion")
    parser.add_argument("--detector", default="auto", choices=("auto", "hog", "mtcnn"), help="who looks for faces")
    options = parser.parse_args()
    if not options.data:
        print("bench/video.py needs a film: --data CLIP. RESULTS.md is left as it is.")
        return
    editor = Editor.from_pretrained(detector=options.detector)
    target = (Keyframe(Target(Emotion.parse(options.to)), 0.0),)
    with tempfile.TemporaryDirectory() as folder:
        made = edit_film(editor, options.data, Path(folder) / "edited.mp4", FilmPlan(target)).made
        unchanged = Path(folder) / "unchanged.mp4"
        edit_film(editor, options.data, unchanged, FilmPlan(target, parse_strengths("0")))
        quality_db = _psnr(options.data, unchanged)
        size = unchanged.stat().st_size / options.data.stat().st_size
    clip, n = read_clip(options.data), made["n_frames"]
    total_s = sum(made["seconds"].values())
    rows = [
        (stage, f"{1000 * made['seconds'][stage] / n:.1f}", f"{100 * made['seconds'][stage] / total_s:.0f} %")
        for stage in STAGES
    ]
    text = (
        f"{clip.width}x{clip.height} px, {n} frames, {made['n_frames_edited']} of them changed, {made['n_people']} "
        f"people: {made['frames_per_second']:.1f} frames a second from end to end. Decoding happens twice. "
        f"Frames that are not changed differ from the source by {quality_db:.1f} dB (PSNR); "
        f"their file is {size:.1f} times as large.\n\n"
    )
    write_section(
        "Films", "python bench/video.py --data CLIP", text + table(("stage", "ms a frame", "share of time"), rows)
    )


def _psnr(one: Path, other: Path) -> float:
    """Of all frames together, in dB."""
    clips = [read_clip(path) for path in (one, other)]
    pairs = zip(*(read_frames(clip, stored(clip, ".mp4").form) for clip in clips), strict=True)
    errors = [np.mean((a.pixels().astype(np.float32) - b.pixels()) ** 2) for a, b in pairs]
    return float(10 * np.log10(255**2 / max(float(np.mean(errors)), 1e-9)))


if __name__ == "__main__":
    main()
