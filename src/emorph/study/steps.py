"""What a participant is asked, one question after the other, and how the page has to show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from emorph.study.records import NONE_OF_THESE, Design, Screen, Task
from emorph.study.texts import Words

SCALE = ("1", "2", "3", "4", "5")
N_PRELOADED = 3  # screens ahead whose pictures the browser fetches
SECONDS_PER_ANSWER: dict[Task, float] = {"preference": 5.0, "identification": 5.0}
Layout = Literal["pair", "words", "scale"]


@dataclass(frozen=True)
class Step:
    """One question about one screen. n, of: its place among those of its screen, from 1."""

    screen: Screen
    question: str
    n: int
    of: int


@dataclass(frozen=True)
class ShownPicture:
    """A picture of a screen. role: "left", "right", "original" or "single". label: what it is called."""

    role: str
    file: str
    label: str


@dataclass(frozen=True)
class Choice:
    """An answer that can be given. key: what is sent. shortcut: its key on the keyboard."""

    key: str
    label: str
    shortcut: str


@dataclass(frozen=True)
class ShownStep:
    """All that the page needs to ask one question; nothing in it tells a method.

    slot, question: what the answer is sent with. screen, n_screens, step, n_steps: for the progress. ends: what the
    lowest and the highest number of a scale mean. preload: pictures of the screens that follow.
    """

    slot: int
    question: str
    text: str
    layout: Layout
    pictures: tuple[ShownPicture, ...]
    choices: tuple[Choice, ...]
    ends: tuple[str, ...]
    screen: int
    n_screens: int
    step: int
    n_steps: int
    preload: tuple[str, ...]


def steps_of(design: Design, screens: Sequence[Screen]) -> list[Step]:
    """All questions of a block in their order.

    An attention check asks one only; who it is cannot be asked where the photo does not stand above.
    """
    found = []
    for screen in screens:
        asked = design.questions(screen.trial.task)
        questions = tuple(question for question in asked if question != "identity" or screen.trial.original)
        if screen.expected:
            questions = questions[:1]
        found += [Step(screen, question, n, len(questions)) for n, question in enumerate(questions, 1)]
    return found


def minutes(steps: Sequence[Step]) -> int:
    """How long answering takes, about, rounded up."""
    return max(1, -int(-sum(SECONDS_PER_ANSWER[step.screen.trial.task] for step in steps) // 60))


def show(step: Step, screens: Sequence[Screen], choices: Sequence[str], design: Design, words: Words) -> ShownStep:
    """How the page asks a step. choices: the emotions' words in this participant's order."""
    slot = step.screen.slot
    following = [name for screen in screens[slot + 1 : slot + 1 + N_PRELOADED] for name in _files(screen)]
    layout = _layout(step)
    ends = tuple(words.say(f"scales.{step.question}_{n}") for n in (1, 5)) if layout == "scale" else ()
    return ShownStep(
        slot=slot,
        question=step.question,
        text=_text(step, words),
        layout=layout,
        pictures=_pictures(step.screen, words),
        choices=_choices(layout, choices, design, words),
        ends=ends,
        screen=slot + 1,
        n_screens=len(screens),
        step=step.n,
        n_steps=step.of,
        preload=tuple(dict.fromkeys(following)),
    )


def meaning(step: Step, key: str) -> str:
    """The answer as it is stored: of left and right, which method's picture was chosen."""
    if step.screen.trial.task != "preference" or key == "tie":
        return key
    return "a" if key == step.screen.position else "b"


def _layout(step: Step) -> Layout:
    if step.screen.trial.task == "preference":
        return "pair"
    return "words" if step.question == "emotion" else "scale"


def _text(step: Step, words: Words) -> str:
    trial, expected = step.screen.trial, step.screen.expected
    if expected:
        is_left = expected == ("a" if step.screen.position == "left" else "b")
        key = ("answers.left" if is_left else "answers.right") if trial.task == "preference" else f"emotions.{expected}"
        return words.say("questions.check", answer=words.say(key))
    target = words.say(f"emotions.{trial.target}") if trial.target else ""
    return words.say(f"questions.{trial.task}_{step.question}", target=target)


def _files(screen: Screen) -> list[str]:
    return [*screen.trial.pictures, *filter(None, (screen.trial.original,))]


def _pictures(screen: Screen, words: Words) -> tuple[ShownPicture, ...]:
    trial = screen.trial
    if trial.task == "identification":
        return (ShownPicture("single", trial.pictures[0], words.say("trial.single")),)
    left, right = trial.pictures if screen.position == "left" else trial.pictures[::-1]
    above = [ShownPicture("original", trial.original, words.say("trial.original"))] if trial.original else []
    sides = (("left", left), ("right", right))
    return (*above, *(ShownPicture(side, file, words.say(f"trial.{side}")) for side, file in sides))


def _choices(layout: Layout, emotions: Sequence[str], design: Design, words: Words) -> tuple[Choice, ...]:
    if layout == "scale":
        return tuple(Choice(number, number, number) for number in SCALE)
    if layout == "words":
        keys = [*emotions, NONE_OF_THESE]
        return tuple(Choice(key, words.say(f"emotions.{key}"), str(n)) for n, key in enumerate(keys, 1))
    ties = [("tie", "↓")] if design.preference is not None and design.preference.ties else []
    keys_of_pair = [("left", "←"), *ties, ("right", "→")]
    return tuple(Choice(key, words.say(f"answers.{key}"), shortcut) for key, shortcut in keys_of_pair)
