"""A small study to look at: the bundled model's edits of one photo, made with many steps and with few."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from emorph.core.expressions import Emotion
from emorph.core.images import read_photo, write_image
from emorph.core.types import Target
from emorph.edit.pipeline import Editor
from emorph.study.design import NewStudy, Wishes, new_study

STEPS = (10, 3)  # network evaluations in each direction: what the two "methods" differ in
TRIALS = 8
OnStep = Callable[[int, int], None]


def demo_study(study: Path, photo: Path, on_step: OnStep | None = None) -> NewStudy:
    """Edit a photo to all eight emotions twice and make a study of it, cut out around the face.

    on_step(done, total): reports progress. Raises what ``Editor`` and ``new_study`` raise.
    """
    source = read_photo(photo)
    targets = [Target.parse(emotion.word) for emotion in Emotion]
    with tempfile.TemporaryDirectory() as folder:
        sets = []
        for number, steps in enumerate(STEPS):
            editor = Editor.from_pretrained(steps=steps)
            made = Path(folder) / f"steps_{steps}"
            for edit, emotion in zip(editor.edit_many(source, targets), Emotion, strict=True):
                write_image(made / f"photo_{emotion.word}.png", edit.photo.pixels, icc=edit.photo.icc)
            sets.append(f"{steps} steps={made}")
            if on_step is not None:
                on_step(number + 1, len(STEPS))
        write_image(Path(folder) / "photo.png", source.pixels, icc=source.icc)
        wishes = Wishes(
            title="Faces and feelings", sources=Path(folder), trials=TRIALS, same_source=True, size_px=384, crop=True
        )
        return new_study(study, sets, wishes)
