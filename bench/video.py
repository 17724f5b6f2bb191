"""Where the time of a film's edit goes, and how it holds over time: ``python bench/video.py --data CLIP``.

CLIP is a film that shows a face. It is edited once as it is; ``--to`` names the emotion. Quality of encoding is told by
the frames that are not edited: a second run has strength 0. What is told over time is that of ``emorph evaluate``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from emorph import Editor, Target
from emorph.video.clip import read_clip
from emorph.video.encode import stored
from emorph.video.frames import read_frames
from emorph.video.keyframes import Keyframe, parse_strengths
from emorph.video.measure import measure_film
from emorph.video.pace import STAGES
from emorph.video.plan import FilmPlan
from emorph.video.run import edit_film
from support.measure import table, write_section

SHOWN = {
    "flicker_ratio": "flicker, over the source's",
    "jitter_ratio": "trembling of landmarks, over the source's",
    "identity_distance": "distance to the person (dlib), mean",
    "identity_distance_worst": "distance to the person (dlib), worst",
    "change_outside": "change outside the face, levels",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a film with a face")
    parser.add_argument("--to", default="happy", help="the emotion, or a blend")
    parser.add_argument("--detector", default="auto", choices=("auto", "hog", "mtcnn"), help="who looks for faces")
    parser.add_argument("--steps", type=int, help="evaluations of the model in each direction; by default its own")
    options = parser.parse_args()
    if not options.data:
        print("bench/video.py needs a film: --data CLIP. RESULTS.md is left as it is.")
        return
    editor = Editor.from_pretrained(detector=options.detector, steps=options.steps)
    target = (Keyframe(Target.asked(options.to), 0.0),)
    with tempfile.TemporaryDirectory() as folder:
        edited, unchanged = Path(folder) / "edited.mp4", Path(folder) / "unchanged.mp4"
        before_s = time.process_time()
        made = edit_film(editor, options.data, edited, FilmPlan(target)).made
        processor_s = time.process_time() - before_s
        edit_film(editor, options.data, unchanged, FilmPlan(target, parse_strengths("0")))
        quality_db = _psnr(options.data, unchanged)
        size = unchanged.stat().st_size / options.data.stat().st_size
        measured = measure_film(options.data, edited, detector=options.detector).summary()
    clip, n = read_clip(options.data), made["n_frames"]
    total_s = sum(made["seconds"].values())
    rows = [
        (stage, f"{1000 * made['seconds'][stage] / n:.1f}", f"{100 * made['seconds'][stage] / total_s:.0f} %")
        for stage in STAGES
    ]
    text = (
        f"{clip.width}x{clip.height} px, {n} frames, {made['n_frames_edited']} of them changed to {options.to}, "
        f"{made['n_people']} {'person' if made['n_people'] == 1 else 'people'}; {editor.model_id}, {editor.steps} "
        f"evaluations each way. {made['frames_per_second']:.2f} frames a second from end to end, at a load of "
        f"{os.getloadavg()[1]:.1f} on {os.cpu_count()} processors; {1000 * processor_s / n:.0f} ms of one processor's "
        f"time a frame, so {n / processor_s:.2f} frames a second where one is idle. Decoding happens twice. Frames "
        f"that are not changed differ from the source by {quality_db:.1f} dB (PSNR); their file is {size:.1f} times as "
        "large.\n\n"
    )
    held = [(title, f"{measured[name]:.3g}") for name, title in SHOWN.items() if measured[name] is not None]
    text += table(("stage", "ms a frame", "share of time"), rows) + "\n\n" + table(("over time", "value"), held)
    command = f"python bench/video.py --data CLIP --to {options.to}"
    command += f" --detector {options.detector}" if options.detector != "auto" else ""
    write_section("Films", command + (f" --steps {options.steps}" if options.steps else ""), text)


def _psnr(one: Path, other: Path) -> float:
    """Of all frames together, in dB."""
    clips = [read_clip(path) for path in (one, other)]
    pairs = zip(*(read_frames(clip, stored(clip, ".mp4").form) for clip in clips), strict=True)
    errors = [np.mean((a.pixels().astype(np.float32) - b.pixels()) ** 2) for a, b in pairs]
    return float(10 * np.log10(255**2 / max(float(np.mean(errors)), 1e-9)))


if __name__ == "__main__":
    main()
