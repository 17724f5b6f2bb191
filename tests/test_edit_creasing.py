"""Targets say which creases an edit may form: by the action units of their emotions, or those asked for."""

from __future__ import annotations

from typing import Any

import pytest

from emorph import Editor
from emorph.core.types import Landmarks, Photo, Target
from emorph.edit import change as change_module
from emorph.edit import latent
from emorph.edit.live import LivePhoto
from tiny import tiny_directions


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor.from_pretrained("emorph-base", device="cpu")


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        (["neutral"], set()),
        (["happy"], set()),
        (["contempt"], set()),
        (["surprise"], {"forehead"}),
        (["sad"], {"forehead", "frown"}),
        (["fear"], {"forehead", "frown"}),
        (["anger"], {"frown"}),
        (["disgust"], {"frown", "nose"}),
        (["AU4_L=0.4"], {"frown"}),
        (["AU12=1"], set()),
        (["happy=0.5,AU9=0.5"], {"frown", "nose"}),
        (["happy", "surprise"], {"forehead"}),
    ],
)
def test_kinds_are_those_of_the_units(editor: Editor, words: list[str], kinds: set[str]) -> None:
    assert latent.creases(editor.known_directions(), [Target.parse(word) for word in words]) == kinds


def test_what_is_taken_back_creases_nothing(editor: Editor) -> None:
    assert latent.creases(editor.known_directions(), [Target.parse("anger", -1.0)]) == set()


def test_without_units_nobody_knows(editor: Editor) -> None:
    assert latent.creases(tiny_directions(), [Target.parse("anger")]) is None
    assert latent.creases(editor.known_directions(), [Target(valence=0.5)]) is None


def test_changes_carry_them(editor: Editor, photo: Photo, landmarks: Landmarks) -> None:
    """One target's kinds, and not those of the targets beside it."""
    targets = [Target.parse("anger"), Target.parse("happy"), Target.parse("surprise", 0.0)]
    (changes,) = editor.changes(editor.align(photo, [landmarks]), targets)
    assert [change.creases for change in changes] == [{"frown"}, set(), None]


def test_a_sketch_forms_those_of_its_picture(editor: Editor, photo: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    real = change_module.with_creases

    def recorded(*words: Any) -> Photo:
        found.append(words[-1])
        return real(*words)

    monkeypatch.setattr(change_module, "with_creases", recorded)
    live = LivePhoto(editor, photo)
    for picture in (live.draw, live.sketch):
        picture(live.largest, Target.parse("sad"))
    assert found == [{"forehead", "frown"}] * 2
