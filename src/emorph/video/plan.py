"""What is asked of a film, where the results go, and what they say of themselves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from emorph.core.errors import ClipError, ConfigError
from emorph.core.files import check_room, file_digest
from emorph.core.landmarks import MIN_FACE_PX
from emorph.core.target import short_word, strength_word
from emorph.core.types import Target
from emorph.edit.files import made_by
from emorph.edit.metadata import described
from emorph.edit.paths import ends_as_a_file, output_names, unwritable
from emorph.edit.pipeline import Editor
from emorph.video.clip import FILM_NAMES, FILM_SUFFIXES
from emorph.video.keyframes import DRAW_EVERY, MOST_APART, Easing, Keyframe, between, parse_strengths, strength_at

MOST_APART_S = 0.17  # between frames that the network draws, whatever ``draw_every`` says
VERSION = 6  # of how films are edited: results of another are not gone on with


@dataclass(frozen=True)
class FilmPlan:
    """What the chosen faces should show at each time.

    targets: keyframes of strength 1; between two the one gives way to the other. strengths: keyframes that scale them.
    face: "largest", "left", "all", a number from 1 in the order in which people appear, or a still of the person.
    preview: the first seconds alone, and small.
    draw_every: the network draws one of so many frames; what it draws is carried to the others by their landmarks.
    """

    targets: tuple[Keyframe[Target], ...]
    strengths: tuple[Keyframe[float], ...] = parse_strengths("1")
    easing: Easing = "smooth"
    face: str = "largest"
    min_face_px: int = MIN_FACE_PX
    preview: bool = False
    draw_every: int = DRAW_EVERY

    def __post_init__(self) -> None:
        """Raises ConfigError."""
        if not 1 <= self.draw_every <= MOST_APART:
            raise ConfigError(f"--draw-every {self.draw_every}: the network draws one of 1 to {MOST_APART} frames.")

    def draw_every_at(self, rate: float) -> int:
        """The same in a film of ``rate`` frames a second, where frames that are drawn lie MOST_APART_S apart at most.

        >>> plan = FilmPlan((Keyframe(Target.parse("happy"), 0.0),), draw_every=4)
        >>> plan.draw_every_at(25), plan.draw_every_at(12), plan.draw_every_at(5)
        (4, 2, 1)
        """
        return max(1, min(self.draw_every, int(MOST_APART_S * rate)))

    @property
    def word(self) -> str:
        """How files call it: "happy", "happy_0.5", "happy@0s_sad@3s", "happy_0@0s_1@2s"."""
        targets, several = self.targets, len(self.targets) > 1
        words = [f"{key.value.file_word}@{key.at_s:g}s" if several else key.value.file_word for key in targets]
        if len(self.strengths) > 1:
            words += [f"{key.value:g}@{key.at_s:g}s" for key in self.strengths]
        word = short_word(strength_word("_".join(words), [key.value for key in self.strengths]))
        return f"{word}_preview" if self.preview else word

    def targets_at(self, at_s: float, presence: float = 1.0) -> tuple[Target, ...]:
        """What a face is to show then, one target or two that add up; none where nothing changes.

        presence: in [0, 1], what of it a face takes that has just come or is about to leave.
        """
        strength = presence * strength_at(self.strengths, at_s, self.easing)
        one, other, share = between(self.targets, at_s, self.easing)
        parts = ((one, 1 - share), (other, share))
        return tuple(replace(target, strength=strength * part) for target, part in parts if strength * part)


def key_of(editor: Editor, source: Path, plan: FilmPlan, suffix: str) -> str:
    """What tells one result from all others: of the film's content, the plan, and the editor."""
    still = Path(plan.face)
    asked = {
        "version": VERSION,
        "film": file_digest(source),
        "plan": repr(plan),
        "still": file_digest(still) if still.is_file() else "",
        "suffix": suffix,
        "detector": editor.detector,
        "min_score": editor.min_score,
        "maker": made_by(editor).as_facts(),
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def film_metadata(editor: Editor, plan: FilmPlan, key: str) -> dict[str, str]:
    """What a film's file says of itself: a sentence for people, the rest for machines."""
    targets = [[key.value.word, key.at_s] for key in plan.targets]
    strengths = [[key.value, key.at_s] for key in plan.strengths]
    made = {
        "edited": True,
        "targets": targets,
        "strengths": strengths,
        "easing": plan.easing,
        "key": key,
        **made_by(editor).as_facts(),
    }
    said = described("The facial expression in this film was edited by a machine.", made)
    return {"description": said["Description"], "comment": said["emorph"]}


def film_paths(sources: Sequence[Path], out: Path, word: str) -> list[Path]:
    """A file for each film: ``out`` itself if it names one, else NAME_happy.mp4 in the folder ``out``.

    No folder is made yet. Raises ConfigError where ``out`` cannot be written, is named as neither films nor folders
    are, or is one film for several, ClipError where a result would take a source's place.
    """
    is_file = out.suffix.lower() in FILM_NAMES + FILM_SUFFIXES and not out.is_dir()
    if is_file and len(sources) > 1:
        raise ConfigError(f"{out} is one film, but {len(sources)} are given; name a folder.")
    if not is_file and ends_as_a_file(out):
        raise ConfigError(f"{out}: films are not written as {out.suffix}; use {', '.join(FILM_SUFFIXES)}, or a folder.")
    folder = out.parent if is_file else out
    try:
        check_room(folder)
    except OSError as error:
        raise unwritable(out, error) from None
    named = zip(sources, output_names(sources), strict=True)
    paths = [out] if is_file else [folder / f"{name}_{word}{_suffix(source)}" for source, name in named]
    for path in paths:
        if any(path.exists() and source.exists() and path.samefile(source) for source in sources):
            raise ClipError(f"{path} is a source film itself; choose another output name.")
    return paths


def _suffix(source: Path) -> str:
    return source.suffix.lower() if source.suffix.lower() in FILM_SUFFIXES else ".mp4"
