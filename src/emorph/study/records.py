"""What a study is made of, as its rooms hand it to each other: the design, its trials, and what people answered.

``read_design`` and ``read_trials`` read what ``emorph study new`` wrote, ``read_votes`` and ``read_participants`` what
``emorph study serve`` has collected. What a participant is shown is decided by ``emorph.study.allocation``.
"""

from __future__ import annotations

import dataclasses
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, model_validator

from emorph.core.config import Config
from emorph.core.errors import ConfigError, DataError, UnknownNameError
from emorph.core.expressions import Emotion

DESIGN_FILE = "study.toml"
VOTES_FILE = "study.sqlite"
PICTURES_FOLDER = "pictures"
ORIGINAL = "original"  # stands for the unedited photo where a method's name is expected
NONE_OF_THESE = "none"

Task = Literal["preference", "identification"]
Control = Literal["", "real", "unedited", "attention"]
PreferenceQuestion = Literal["realism", "emotion", "identity"]


class Preference(Config):
    """Two edits of one photo and target side by side.

    questions: which looks more real, which shows the asked emotion better, which is still the same person.
    ties: whether "no difference" may be answered. show_original: whether the photo stands above.
    unedited: whether an edit is also shown beside the photo itself, as a control.
    """

    questions: tuple[PreferenceQuestion, ...] = ("realism", "emotion", "identity")
    ties: bool = False
    show_original: bool = True
    unedited: bool = False


class Identification(Config):
    """One picture and the question which of eight emotions it shows, or none of them.

    order: of the eight choices, the same for all or shuffled for each person. intensity, realism: whether these are
    asked too, from 1 to 5. unedited: whether the photos themselves are shown among the edits, as a control.
    """

    order: Literal["fixed", "shuffled"] = "shuffled"
    intensity: bool = False
    realism: bool = False
    unedited: bool = True


class Blocks(Config):
    """What one participant sees.

    trials: at most so many of each task, besides those repeated. repeated: trials of each task that come a second time,
    with left and right exchanged. attention: screens of each task that say what to answer. same_source: whether a photo
    may come twice among one participant's trials of a task. return_after_min: a block whose participant has done
    nothing for so many minutes goes to somebody else.
    """

    trials: int = Field(30, ge=1, le=1000)
    repeated: int = Field(2, ge=0, le=100)
    attention: int = Field(1, ge=0, le=20)
    same_source: bool = False
    return_after_min: float = Field(120.0, gt=0)


class Exclude(Config):
    """Who is left out of the main analysis; written down before anybody has answered.

    failed_checks: from so many failed attention checks on (0: nobody for this). fast_s, fast_share: whose first
    answers to a screen came within fast_s seconds in more than this share of them. incomplete: who has not finished.
    """

    failed_checks: int = Field(1, ge=0)
    fast_s: float = Field(0.5, ge=0)
    fast_share: float = Field(0.2, ge=0, le=1)
    incomplete: bool = True


class Finish(Config):
    """The last page.

    code: the completion code; "" draws one for each person. return_url: where a panel wants its members back, in which
    {code} and {participant} are filled in. panel_parameter: the key in the address that brings a panel's own id.
    """

    code: str = Field("", max_length=64)
    return_url: str = ""
    panel_parameter: str = Field("", pattern=r"^[A-Za-z0-9_-]{0,64}$")


class Design(Config):
    """``study.toml``: all that was decided before anybody answered.

    methods: two or more, in the order of the reports. targets: emotions' words, in AffectNet's order. strengths: those
    that the edits have. participants: how many shall finish; 0 is as many as come. seed: of all that is drawn.
    """

    title: str = Field(min_length=1, max_length=200)
    methods: tuple[str, ...]
    targets: tuple[str, ...] = Field(min_length=1)
    strengths: tuple[float, ...] = Field(min_length=1)
    languages: tuple[str, ...] = Field(("en", "ja"), min_length=1)
    consent_version: str = Field("1", min_length=1, max_length=40)
    participants: int = Field(0, ge=0, le=100_000)
    seed: int = Field(0, ge=0)
    preference: Preference | None = None
    identification: Identification | None = None
    blocks: Blocks = Blocks()
    exclude: Exclude = Exclude()
    finish: Finish = Finish()

    @model_validator(mode="after")
    def _check(self) -> Design:
        for trouble in _contradictions(self):
            raise ValueError(trouble)
        return self

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Those that are asked, in the order in which participants meet them."""
        present: list[Task] = []
        if self.preference is not None:
            present.append("preference")
        if self.identification is not None:
            present.append("identification")
        return tuple(present)

    def questions(self, task: Task) -> tuple[str, ...]:
        """Those of a screen of a task, in their order; () where the task is not asked."""
        if task == "preference":
            return self.preference.questions if self.preference else ()
        if self.identification is None:
            return ()
        scales = (("intensity", self.identification.intensity), ("realism", self.identification.realism))
        return ("emotion", *(name for name, asked in scales if asked))


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing to judge, the same for all who see it.

    id: unique in the study. source: a neutral name of the photo. target: what was asked for; of a real photo, what it
    is labelled with; "" of an unedited one. control: "" for the trials that the study is about.
    method_a, method_b: of a preference, in the order of the design; ``ORIGINAL`` for the photo itself.
    method: of an identification; "" for a real photo, ``ORIGINAL`` for an unedited one.
    pictures: files in the folder of pictures: a's and b's, or the only one. original: the photo's file, or "".
    """

    id: str
    task: Task
    source: str
    target: str
    strength: float
    control: Control = ""
    method_a: str = ""
    method_b: str = ""
    method: str = ""
    pictures: tuple[str, ...] = ()
    original: str = ""

    def __post_init__(self) -> None:
        """Take JSON's list as a tuple."""
        object.__setattr__(self, "pictures", tuple(self.pictures))


@dataclass(frozen=True, slots=True)
class Screen:
    """A trial as one participant meets it.

    slot: its place, from 0, across all tasks. position: where method_a's picture is, "" in an identification.
    repeat_of: the trial's id if it is shown for the second time, else "". expected: the answer that an attention check
    tells to give to every question ("a", "b" or an emotion's word), else "".
    """

    slot: int
    trial: Trial
    position: Literal["left", "right", ""] = ""
    repeat_of: str = ""
    expected: str = ""


@dataclass(frozen=True, slots=True)
class Vote:
    """One answer to one question.

    participant, slot, question tell votes apart. trial, task, source, target, strength, control, method_a, method_b,
    method: as in ``Trial``; position, repeat_of, expected: as in ``Screen``.
    answer: of a preference "a", "b" or "tie", in terms of method_a and method_b, wherever they stood; of the question
    "emotion" of an identification an emotion's word or ``NONE_OF_THESE``; of its scales "1" to "5".
    seconds_browser: from the pictures on the screen (or the answer before) to the answer. seconds_server: from sending
    the screen (or the answer before) to receiving this one; None if the server was restarted in between.
    language: of the page. time: of the commit, in seconds since 1970, UTC.
    """

    participant: str
    slot: int
    question: str
    answer: str
    trial: str
    task: Task
    source: str
    target: str
    strength: float
    control: Control
    method_a: str
    method_b: str
    method: str
    position: Literal["left", "right", ""]
    repeat_of: str
    expected: str
    seconds_browser: float
    seconds_server: float | None
    language: str
    time: float

    @property
    def is_failed_check(self) -> bool:
        """Whether an attention check was answered otherwise than it told to."""
        return self.expected != "" and self.answer != self.expected


@dataclass(frozen=True, slots=True)
class Participant:
    """Who took part. No name, no address: only what the study needs.

    id: random. block: which one was given. started, finished: seconds since 1970, UTC; finished is None before.
    n_screens: how many screens the block has. completion: the code that was shown at the end, "" before.
    consent: version of the text that was agreed to.
    """

    id: str
    block: int
    language: str
    consent: str
    started: float
    finished: float | None
    n_screens: int
    completion: str = ""


def read_design(study: Path) -> Design:
    """``study.toml`` of a study's folder. Raises ConfigError naming what is wrong in it, in one sentence."""
    if not (study / DESIGN_FILE).is_file():
        raise ConfigError(f"{study} is no study: it has no {DESIGN_FILE}; make one with emorph study new.")
    return Design.from_toml(study / DESIGN_FILE)


def read_trials(study: Path) -> list[Trial]:
    """The trials of a study's folder; those with control "attention" are only what checks fall back on.

    They follow from the list of pictures and the design. Raises DataError, ConfigError.
    """
    from emorph.study.trials import make_trials, read_pictures  # which makes trials, and so knows what they are

    return make_trials(read_design(study), read_pictures(study))


def read_votes(study: Path) -> list[Vote]:
    """All votes of a study in the order in which they were committed; [] before the first. Raises DataError."""
    return _rows(study, Vote, "votes", "rowid")


def read_participants(study: Path) -> list[Participant]:
    """All who have begun, in that order; [] before the first. Raises DataError."""
    return _rows(study, Participant, "participants", "started, rowid")


Row = TypeVar("Row", Vote, Participant)


def _rows(study: Path, kind: type[Row], table: str, order: str) -> list[Row]:
    path = study / VOTES_FILE
    if not path.exists():
        return []
    columns = ", ".join(f'"{field.name}"' for field in dataclasses.fields(kind))
    try:
        with closing(sqlite3.connect(path, timeout=30)) as file:
            found: list[Any] = file.execute(f"SELECT {columns} FROM {table} ORDER BY {order}").fetchall()
    except sqlite3.Error as error:
        raise DataError(f"{path} cannot be read ({error}); is it the file of a study?") from None
    return [kind(*row) for row in found]


def _contradictions(design: Design) -> list[str]:
    """What in a design cannot be meant, one sentence each."""
    said = []
    if len(design.methods) < 2 and design.preference is not None:
        said.append(f"a preference needs two methods; methods names {len(design.methods)}; add one, or leave it out")
    if not design.methods:
        said.append("methods names none; a study needs one at least")
    for name in ("methods", "targets", "strengths", "languages"):
        values = getattr(design, name)
        if len(set(values)) < len(values):
            said.append(f"{name} names one twice: {list(values)}")
    if ORIGINAL in design.methods or "" in design.methods:
        said.append(f"a method may not be called {ORIGINAL!r} or nothing; give it another name")
    said += _wrong_targets(design)
    if not design.tasks:
        said.append("nothing is asked; add a table [preference] or [identification]")
    said += _wrong_questions(design.preference) if design.preference is not None else []
    if design.blocks.repeated > design.blocks.trials:
        said.append(f"blocks.repeated is {design.blocks.repeated}, but a block has {design.blocks.trials} trials")
    if design.exclude.failed_checks and not design.blocks.attention:
        said.append("exclude.failed_checks counts checks, but blocks.attention is 0; set one of them")
    if design.finish.return_url and not design.finish.return_url.startswith("https://"):
        said.append(f"finish.return_url must start with https://, found {design.finish.return_url!r}")
    return said


def _wrong_questions(preference: Preference) -> list[str]:
    asked = preference.questions
    if not asked:
        return ["preference.questions is empty; ask one at least, or take [preference] out"]
    if len(set(asked)) < len(asked):
        return [f"preference.questions asks one twice: {list(asked)}"]
    if "identity" in asked and not preference.show_original:
        return ["preference.questions asks who it still is, but show_original is false; show it, or do not ask"]
    return []


def _wrong_targets(design: Design) -> list[str]:
    for word in design.targets:
        try:
            if Emotion.parse(word).word != word:
                return [f"targets names {word!r}; write {Emotion.parse(word).word!r}"]
        except UnknownNameError as error:
            return [str(error).rstrip(".")]
    return []
