"""The tab in which one photo is edited: the picture on the left, the controls on the right.

Gradio draws the controls; what they do is told to the page's own script (page/page.js), which asks for the pictures.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emorph.core.action_units import WORDS
from emorph.core.expressions import Emotion
from emorph.edit.latent import editable
from emorph.web.live import saved_as
from emorph.web.templates import rendered
from emorph.web.wish import MOST_STRENGTH

if TYPE_CHECKING:
    from emorph.edit.pipeline import Editor
    from emorph.study.texts import Words


@dataclass(frozen=True)
class Controls:
    """What a model can be asked for. units: as ``--au`` takes them."""

    emotions: tuple[str, ...]
    has_affect: bool
    units: tuple[str, ...]

    @classmethod
    def of(cls, editor: Editor) -> Controls:
        """Those of an editor. Raises MissingAssetError for one without directions."""
        directions = editor.known_directions()
        units = () if directions.units is None else facs_units(directions.units.names)
        emotions = tuple(emotion.word for emotion in editable(directions))
        return cls(emotions, directions.affect is not None, units)


def usual(controls: Controls) -> str:
    """The emotion that a choice begins with."""
    happy = Emotion.HAPPY.word
    return happy if happy in controls.emotions else controls.emotions[0]


def facs_units(known: tuple[str, ...]) -> tuple[str, ...]:
    """The units of FACS that units of these names can show, as AU12; where there are none, the names themselves."""
    from emorph.core.errors import ConfigError
    from emorph.face3d.action_units import units_among

    found = []
    for number in WORDS:
        try:
            units_among(known, {f"AU{number}": 1.0})
        except ConfigError:
            continue
        found.append(f"AU{number}")
    return tuple(found) or tuple(known)


def add_edit_tab(words: Words, controls: Controls) -> None:
    """Draw the tab's content; within ``gradio.Blocks``."""
    import gradio as gr

    say = words.say
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320, elem_id="em-left"):
            _own_html("stage.html", "attachStage", words)
        with gr.Column(scale=2, min_width=300):
            with gr.Row():
                undo = gr.Button(say("edit.undo"), elem_id="em-undo", min_width=80)
                redo = gr.Button(say("edit.redo"), elem_id="em-redo", min_width=80)
                reset = gr.Button(say("edit.reset"), min_width=80)
            sliders = _controls(words, controls)
            with gr.Accordion(say("edit.code"), open=False):
                _own_html("code.html", "attachCode", words)
    with gr.Row(equal_height=True):
        kinds = [suffix.removeprefix(".") for suffix in saved_as("")]
        kind = gr.Dropdown(kinds, value=kinds[0], label=say("edit.save_as"), min_width=110)
        save = gr.Button(say("edit.save"), variant="primary", min_width=120)
        strip = gr.Button(say("edit.strip"), min_width=120)
        sheet = gr.Button(say("edit.sheet"), min_width=120)
    gr.Markdown(say("edit.responsible"), elem_classes="em-note")
    for button, call in ((undo, "undo"), (redo, "redo"), (reset, "reset")):
        button.click(None, None, sliders, js=f"() => window.emorph.{call}()", api_visibility="private")
    save.click(None, kind, None, js="kind => { window.emorph.save('save', kind) }", api_visibility="private")
    for button, what in ((strip, "strip"), (sheet, "sheet")):
        button.click(None, None, None, js=f"() => {{ window.emorph.save('{what}') }}", api_visibility="private")


def _own_html(name: str, attach: str, words: Words, **values: object) -> None:
    """A template of the page's own, without Gradio's look of buttons. attach: the script's function for it."""
    import gradio as gr

    gr.HTML(
        rendered(name, words, **values), js_on_load=f"window.emorph.{attach}(element)", apply_default_css=False
    )  # fmt: skip


def _controls(words: Words, controls: Controls) -> list[Any]:
    """All sliders, in the order in which the script gives their values back."""
    import gradio as gr

    say = words.say
    strength = gr.Slider(
        0, MOST_STRENGTH, 1.0, step=0.05, label=say("edit.strength"), info=say("edit.strength_note"),
        elem_id="em-strength", buttons=[],
    )  # fmt: skip
    _tells(strength, "strength")
    with gr.Tabs():
        with gr.Tab(say("emotion.tab")):
            shares, buttons = _emotions(words, controls)
        with gr.Tab(say("affect.tab"), visible=controls.has_affect):
            affect, sync = _affect(words)
        with gr.Tab(say("units.tab")):
            units = _units(words, controls)
    sliders = [*shares, strength, *affect, *units]
    for word, button in buttons.items():
        button.click(None, None, sliders, js=f"() => window.emorph.only({json.dumps(word)})", api_visibility="private")
    sync.click(None, None, sliders, js="() => window.emorph.controls()", api_visibility="private")
    return sliders


def _emotions(words: Words, controls: Controls) -> tuple[list[Any], dict[str, Any]]:
    import gradio as gr

    say = words.say
    with gr.Row(elem_id="emotions"):
        buttons = {
            word: gr.Button(say(f"emotion.{word}"), elem_id=f"emotion-{word}", min_width=60)
            for word in controls.emotions
        }
    shares = []
    with gr.Accordion(say("emotion.blend"), open=False):
        gr.Markdown(say("emotion.blend_note"), elem_classes="em-note")
        for word in controls.emotions:
            label = say(f"emotion.{word}")
            shares.append(gr.Slider(0, 1, 0, step=0.05, label=label, elem_id=f"share-{word}", buttons=[]))
            _tells(shares[-1], "emotions", word)
    return shares, buttons


def _affect(words: Words) -> tuple[list[Any], Any]:
    import gradio as gr

    _own_html("plane.html", "attachPlane", words, emotions=list(Emotion))
    sliders = []
    for part in ("valence", "arousal"):
        label = words.say(f"affect.{part}")
        sliders.append(gr.Slider(-1, 1, 0, step=0.01, label=label, elem_id=f"em-{part}", buttons=[]))
        _tells(sliders[-1], part)
    return sliders, gr.Button(words.say("tab.edit"), elem_id="em-sync")


def _units(words: Words, controls: Controls) -> list[Any]:
    import gradio as gr

    if not controls.units:
        gr.Markdown(words.say("units.missing"))
        return []
    gr.Markdown(words.say("units.note"), elem_classes="em-note")
    sliders = []
    for name in controls.units:
        label = words.texts.get(f"unit.{name}", name)
        sliders.append(gr.Slider(0, 1, 0, step=0.05, label=label, elem_id=f"unit-{name}", buttons=[]))
        _tells(sliders[-1], "units", name)
    return sliders


def _tells(slider: Any, part: str, name: str = "") -> None:
    """Have a slider tell the script of every value that it passes."""
    call = f"value => {{ window.emorph.set({json.dumps(part)}, {json.dumps(name)}, value) }}"
    slider.input(None, slider, None, js=call, api_visibility="private", show_progress="hidden")
