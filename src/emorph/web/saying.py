"""How the functions behind Gradio's buttons say what went wrong: one sentence in the page's language."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from emorph.core.errors import EmorphError
from emorph.study.texts import Words
from emorph.web.sessions import Refused
from emorph.web.words import sentence


@contextmanager
def saying(words: Words) -> Iterator[None]:
    """Turn what goes wrong inside into a message on the page; also what is no fault of the user's."""
    import gradio as gr

    try:
        yield
    except gr.Error:
        raise
    except (EmorphError, Refused) as error:
        raise gr.Error(sentence(error, words), print_exception=False) from None
