"""The tab that draws one edit in two ways: other models, other steps."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from emorph.core.expressions import Emotion
from emorph.core.types import Target
from emorph.web.edit_tab import Controls, usual
from emorph.web.editors import MOST_STEPS
from emorph.web.saying import saying
from emorph.web.sessions import Sessions
from emorph.web.shown import divided, preview_image
from emorph.web.wish import MOST_STRENGTH

if TYPE_CHECKING:
    from PIL import Image

    from emorph.study.texts import Words

OTHER_STEPS = 4  # what the right side begins with


def add_compare_tab(words: Words, controls: Controls, sessions: Sessions, key: Any) -> None:
    """Draw the tab's content; within ``gradio.Blocks``. key: the component that holds the page's key."""
    import gradio as gr

    @saying(words)
    def compare(
        key: str, word: str, strength: float, one: str, one_steps: float, other: str, other_steps: float,
        progress: gr.Progress = gr.Progress(),
    ) -> tuple[Any, str]:  # fmt: skip
        session = sessions.of(key)
        live, face = session.photo, session.face
        target = Target(Emotion.parse(word), min(max(float(strength), -MOST_STRENGTH), MOST_STRENGTH))

        def told(done: int, total: int) -> None:
            progress((done, total), unit=words.say("edit.unit"))

        def draw(name: str, steps: float) -> tuple[Image.Image, float]:
            editor = sessions.editors.editor(name, min(max(int(steps), 0), MOST_STEPS))
            crops = editor.align(live.photo, [live.faces[face]])
            editor.check_targets([target])
            (edit,) = editor.edit_faces(live.photo, crops, [target], on_step=told)
            return preview_image(edit.photo), edit.seconds

        left, left_s = sessions.submit(partial(draw, one, one_steps)).result()
        right, right_s = sessions.submit(partial(draw, other, other_steps)).result()
        said = words.say("compare.took", left=f"{left_s:.2f}", right=f"{right_s:.2f}")
        return divided(left, right, session), said

    say = words.say
    names = sessions.editors.names
    gr.Markdown(say("compare.intro"))
    chosen: list[Any] = []
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=280):
            choices = [(say(f"emotion.{word}"), word) for word in controls.emotions]
            emotion = gr.Dropdown(choices, value=usual(controls), label=say("compare.emotion"))
            strength = gr.Slider(0, MOST_STRENGTH, 1.0, step=0.05, label=say("edit.strength"), buttons=[])
            for side, name, steps in (
                ("left", names[0], 0),
                ("right", names[-1], OTHER_STEPS if len(names) == 1 else 0),
            ):
                called = say(f"compare.{side}")
                model = gr.Dropdown(names, value=name, label=say("compare.model", side=called))
                count = gr.Slider(
                    0, MOST_STEPS, steps, step=1, label=say("compare.steps", side=called),
                    info=say("compare.steps_note"), buttons=[],
                )  # fmt: skip
                chosen += [model, count]
            start = gr.Button(say("compare.start"), variant="primary")
        with gr.Column(scale=2, min_width=280):
            result = gr.ImageSlider(label=say("compare.result"), interactive=False, type="pil")
            took = gr.Markdown()
    start.click(
        compare, [key, emotion, strength, *chosen], [result, took], api_visibility="private", concurrency_limit=2
    )
