"""How the functions behind Gradio's buttons say what went wrong: one sentence in the page's language."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from emorph.core.errors import EmorphError
from emorph.study.texts import Words
from emorph.web.sessions import Refused
from emorph.web.words import sentence


class NotChosen(Exception):  # noqa: N818 - it is no fault of ours, and the page says so kindly
    """Something has to be chosen first. key: the text that says what."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def saying(words: Words) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Have a function turn what goes wrong in it into a message on the page; also what is no fault of the user's.

    Where a photo has to be chosen first, or the page to load, results stay as they are; else Gradio marks them failed.
    """
    import gradio as gr

    def with_messages(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            try:
                return function(*args, **options)
            except gr.Error:
                raise
            except NotChosen as missing:
                return hinted(words.say(missing.key))
            except Refused as refused:
                if refused.reason in ("no_photo", "early"):
                    return hinted(sentence(refused, words))
                raise gr.Error(sentence(refused, words), print_exception=False) from None
            except EmorphError as error:
                raise gr.Error(sentence(error, words), print_exception=False) from None

        return call

    def hinted(text: str) -> Any:
        gr.Warning(text)
        return gr.skip()

    return with_messages
