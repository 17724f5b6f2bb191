"""A portrait that moves as the person in a film does. Read top to bottom.

    film ............ is looked at: one person's face is followed            passes.py
    face ............ is fitted, and its changes from a neutral frame kept   motion.py
    photo's face .... changes by as much, in each frame of the film          looks below, emorph.edit.rig
    segments ........ are joined, with the sound of the film                 encode.py

The film's pictures are read once; what its person looks like goes nowhere but into the choice of whom to follow.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from emorph.core.decode import to_srgb
from emorph.core.errors import ConfigError
from emorph.core.files import file_digest
from emorph.core.images import read_photo
from emorph.core.landmarks import MIN_FACE_PX
from emorph.core.types import Landmarks, Photo, UInt8
from emorph.edit.batch import FileEdit
from emorph.edit.metadata import described
from emorph.edit.paths import SourcePhotos
from emorph.edit.rig.editor import MOST_TURN_DEG, RigEditor
from emorph.edit.rig.files import facts
from emorph.edit.rig.mouth import light_of_mouth
from emorph.edit.rig.parts import Look, Part, RigFace, check_parts, moved_as, taken_over, turn_deg
from emorph.evaluate.judges.dlib_recogniser import descriptor_of
from emorph.face3d.model import FaceModel
from emorph.face3d.skinning import axis_angle_of, rodrigues
from emorph.video.clip import Clip, read_clip
from emorph.video.encode import Stored, check_gif, check_holds, join, segment, stored
from emorph.video.frames import picture_of, previewed
from emorph.video.look import Described
from emorph.video.motion import Driver, Motion, driver_of
from emorph.video.pace import Tell
from emorph.video.passes import Passes, Watched, is_made, missing, person_of, resumed, sure_faces
from emorph.video.plan import film_paths
from emorph.video.tracks import Track, chosen

VERSION = 2  # of how portraits are driven: results of another are not gone on with
PARTS: tuple[Part, ...] = ("expression", "pose")  # that change over time
MOST_SIDE_PX = 1920  # of the result; larger photos are made smaller
FRAMES_AT_ONCE = 8


@dataclass(frozen=True)
class DrivePlan:
    """What a film gives a photo. parts: "expression", "pose". face: which of the photo's faces move, as for photos.

    driver: who in the film, as ``FilmPlan.face``. preview: the first seconds alone, and small.
    """

    parts: tuple[Part, ...] = ("expression",)
    face: str | int = "largest"
    driver: str = "largest"
    min_face_px: int = MIN_FACE_PX
    preview: bool = False

    def __post_init__(self) -> None:
        """Raises ConfigError for parts that a film does not give."""
        for part in check_parts(self.parts):
            if part not in PARTS:
                raise ConfigError(f"a film moves a photo by {' and '.join(PARTS)}; leave {part} out.")


def drive_film(
    editor: RigEditor,
    film: Path,
    photo: Path,
    out: Path,
    plan: DrivePlan,
    *,
    again: bool = False,
    tell: Tell | None = None,
) -> FileEdit:
    """Write a film in which the photo's face moves as a person in ``film`` does, with the film's sound and times.

    out: a film's name, or a folder. Raises ClipError, ImageError, NoFaceError; KeyboardInterrupt says what is kept.
    """
    (path,) = drive_paths(film, photo, out, plan)
    clip = read_clip(film)
    check_holds(clip, path.suffix.lower())
    key = _key(editor, film, photo, plan, path.suffix.lower())
    if not again and is_made(path, key):
        return FileEdit(film, (path,), 0.0, 0)
    portrait = _small(read_photo(photo), preview=plan.preview)
    return resumed(
        path, key, lambda work: _Drive(editor, clip, portrait, path, plan, work, tell).made(key), again=again
    )


def drive_paths(film: Path, photo: Path, out: Path, plan: DrivePlan) -> list[Path]:
    """Where the result goes, checked before anything is loaded. Raises as ``film_paths``, and ImageError."""
    word = f"{photo.stem}_{'-'.join(check_parts(plan.parts))}{'_preview' if plan.preview else ''}"
    paths = film_paths([film], out, word)
    SourcePhotos([photo]).refuse(paths)
    return paths


def driven(
    model: FaceModel, own: RigFace, motion: Motion, at: int, parts: Sequence[Part], light: float | None = None
) -> Look:
    """How a face looks in the ``at``-th frame of a motion: as it is, and changed by as much as the driver.

    light: of the inside of the driver's mouth where it is open, None if it is not known.
    """
    coeffs, beyond = own.coeffs, None
    presence, here = float(motion.presence[at]), slice(at, at + 1)
    goal = coeffs
    if "expression" in parts:
        change = presence * motion.expression[here].to(coeffs.expression)
        expression = moved_as(model, coeffs.expression, torch.zeros_like(change), change)
        goal = replace(goal, expression=expression, jaw=coeffs.jaw + presence * motion.jaw[here].to(coeffs.jaw))
        beyond = presence * motion.beyond[here].to(coeffs.expression)
    if "pose" in parts:
        upright = _roll(own).to(coeffs.pose)
        turn = rodrigues((presence * motion.turn[here].to(coeffs.pose)) @ upright)
        goal = replace(goal, pose=axis_angle_of(turn @ rodrigues(coeffs.pose)))
    shown = taken_over(model, coeffs, goal, parts, most_deg=MOST_TURN_DEG)
    return Look(
        shown,
        own.code,
        tuple(parts),
        beyond=beyond,
        light_inside=light,
        turned_deg=turn_deg(coeffs.pose, shown.pose),
        asked_deg=turn_deg(coeffs.pose, goal.pose),
    )


def _roll(own: RigFace) -> torch.Tensor:
    """From the photo's axes (y up) to those of the face's crop, which is cut out upright: (3, 3), applied to rows."""
    across = own.aligned.crop_to_photo[:2, 0]
    angle = -math.atan2(across[1], across[0])  # pictures count rows downwards
    matrix = torch.eye(3, dtype=torch.float64)
    matrix[0, 0] = matrix[1, 1] = math.cos(angle)
    matrix[1, 0], matrix[0, 1] = math.sin(angle), -math.sin(angle)
    return matrix


class _Drive:
    """One portrait on its way."""

    def __init__(
        self, editor: RigEditor, clip: Clip, portrait: Photo, out: Path, plan: DrivePlan, work: Path, tell: Tell | None
    ) -> None:
        self.editor, self.clip, self.portrait, self.out, self.plan = editor, clip, portrait, out, plan
        source = stored(clip, out.suffix.lower())
        form = previewed(source.form) if plan.preview else source.form
        self.passes = Passes(clip, form, out, work, tell)
        self.clock = self.passes.clock
        height, width = portrait.pixels.shape[:2]
        plain = replace(
            clip, width=width, height=height, rotation=0, pix_fmt="yuv420p", bits=8, curve="", aspect=Fraction(1)
        )
        if out.suffix.lower() == ".gif" and not plan.preview:
            check_gif(plain)
        held = stored(plain, out.suffix.lower())
        self.written = plain
        self.stored = Stored(held.codec, replace(held.form, until_s=form.until_s), held.remarks)

    def made(self, key: str) -> FileEdit:
        """Look, fit, draw and join. Raises as ``drive_film``."""
        started = time.perf_counter()
        faces = self.editor.sources(self.portrait, self.plan.face, min_face_px=self.plan.min_face_px)
        seen = self.passes.watched(self._detect, self._describe)
        who = person_of(self.plan.driver, self.editor.detector)
        tracks = chosen(seen.persons, who, self.clip.name)
        side = max(self.passes.form.width, self.passes.form.height)
        with self.clock.of("edit"):
            driver = driver_of(self.editor.face_model, tracks, seen.times_s, side, self.clip.name)
        self._write(faces, driver, _light(tracks), seen)
        made = {
            **facts(self.editor, self.plan.parts, seed=None, target=self.clip.name),
            "neutral_frame": driver.neutral_frame, "n_frames": len(seen.pts),
            "n_frames_edited": sum(len(motion.frames) for motion in driver.motions), "n_people": len(seen.persons),
        }  # fmt: skip
        with self.clock.of("encode"):
            said = {**_said(made), "comment": json.dumps({"driven": True, "key": key, **made})}
            join(self.written, self.passes.segments(), self.out, self.stored, said, self.stored.form.until_s)
        seconds = time.perf_counter() - started
        made |= {
            "frames_per_second": round(len(seen.pts) / seconds, 2),
            **self.clock.as_facts(),
        }
        remark = " ".join([*self.stored.remarks, *_turn_remark(self.plan, driver, self.portrait.name)])
        return FileEdit(
            self.clip.path, (self.out,), seconds, len(seen.persons), made=made, remark=remark, n_edited=len(faces),
            score=min(face.aligned.landmarks.score for face in faces),
        )  # fmt: skip

    def _detect(self, photo: Photo) -> list[Landmarks]:
        return sure_faces(photo, self.plan.min_face_px, self.editor.detector, self.editor.min_score)

    def _describe(self, photo: Photo, face: Landmarks) -> Described:
        light = light_of_mouth(photo, face.points.astype(np.float64), self.editor.painter)
        row = np.array([0.0, 0.0] if light is None else [light, 1.0], np.float32)
        return Described(descriptor_of(photo, face), row)

    def _write(self, faces: Sequence[RigFace], driver: Driver, light: float | None, seen: Watched) -> None:
        """Draw and encode the segments that are missing."""
        place = {number: (motion, at) for motion in driver.motions for at, number in enumerate(motion.frames)}
        pace = self.passes.pace("moving the photo")
        for path, numbers in missing(self.passes):
            pace(numbers.start - pace.done)
            with segment(path, self.written, self.stored) as made:
                for first in range(numbers.start, numbers.stop, FRAMES_AT_ONCE):
                    batch = range(first, min(first + FRAMES_AT_ONCE, numbers.stop))
                    for number, pixels in zip(batch, self._drawn(faces, place, batch, light), strict=True):
                        with self.clock.of("encode"):
                            made.add(picture_of(pixels, self.stored.form, seen.pts[number], self.clip.time_base))
                    pace(len(batch))

    def _drawn(
        self, faces: Sequence[RigFace], place: Mapping[int, tuple[Motion, int]], batch: range, light: float | None
    ) -> Iterator[UInt8]:
        """The photo's pixels in each frame."""
        here = [number for number in batch if number in place]
        with self.clock.of("edit"):
            looks = [
                [driven(self.editor.face_model, face, *place[number], self.plan.parts, light) for number in here]
                for face in faces
            ]
            edits = iter(self.editor.show(faces, looks) if here else [])
        for number in batch:
            yield next(edits).photo.pixels if number in place else self.portrait.pixels


def _small(photo: Photo, *, preview: bool) -> Photo:
    """In sRGB, with even sides of at most MOST_SIDE_PX, as films have it; of a preview as small as that is."""
    image = Image.fromarray(photo.pixels)
    image = image if photo.icc is None else to_srgb(image, photo.icc)
    scale = min(1.0, MOST_SIDE_PX / max(image.size), 360 / min(image.size) if preview else 1.0)
    width, height = (max(2, 2 * (round(side * scale) // 2)) for side in image.size)
    if scale < 1:
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    return Photo(np.asarray(image.crop((0, 0, width, height))), photo.path)


def _light(tracks: Sequence[Track]) -> float | None:
    """The mean light inside the driver's mouth where it is open: one for the film, so that it does not flicker."""
    total = np.sum([track.code * len(track.frames) for track in tracks], axis=0)
    return float(total[0] / total[1]) if total[1] > 0 else None


def _turn_remark(plan: DrivePlan, driver: Driver, name: str) -> list[str]:
    angles = np.concatenate(
        [np.degrees(motion.turn.norm(dim=1).numpy()) * motion.presence for motion in driver.motions]
    )
    n_beyond = int((angles > MOST_TURN_DEG + 1).sum())
    if "pose" not in plan.parts or not n_beyond:
        return []
    return [
        f"{name}: in {n_beyond} of {len(angles)} frames the head turns by {MOST_TURN_DEG:.0f} degrees where the "
        f"film's turns by up to {angles.max():.0f}; beyond that, the photo shows nothing that could be moved."
    ]


def _said(made: Mapping[str, object]) -> dict[str, str]:
    said = described("In this film, a machine moves the face of a photo.", made)
    return {"description": said["Description"]}


def _key(editor: RigEditor, film: Path, photo: Path, plan: DrivePlan, suffix: str) -> str:
    still = Path(plan.driver)
    asked = {
        "version": VERSION,
        "film": file_digest(film),
        "photo": file_digest(photo),
        "plan": repr(plan),
        "still": file_digest(still) if still.is_file() else "",
        "suffix": suffix,
        "detector": editor.detector,
        "min_score": editor.min_score,
        "maker": facts(editor, plan.parts, seed=None),
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]
