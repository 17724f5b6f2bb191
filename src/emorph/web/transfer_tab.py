"""The tab that takes an expression over from a second photo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorph.core.errors import MissingAssetError
from emorph.edit.rig.parts import PARTS
from emorph.web.mesh_tab import missing
from emorph.web.saying import NotChosen, saying
from emorph.web.sessions import Sessions, checked_size
from emorph.web.shown import divided, preview_image

if TYPE_CHECKING:
    from emorph.study.texts import Words


def add_transfer_tab(words: Words, sessions: Sessions, key: Any) -> None:
    """Draw the tab's content; within ``gradio.Blocks``. key: the component that holds the page's key."""
    import gradio as gr

    @saying(words)
    def transfer(
        key: str, source: str | None, parts: list[str], progress: gr.Progress = gr.Progress()
    ) -> tuple[Any, str]:
        session = sessions.of(key)
        live = session.photo
        if source is None:
            raise NotChosen("transfer.none")
        checked_size(Path(source))

        def work() -> Path:
            from emorph.edit.batch import Watch
            from emorph.edit.rig.files import transfer_files

            class Told(Watch):
                def step(self, done: int, total: int) -> None:
                    progress((done, total), unit=words.say("edit.unit"))

            try:
                rig = sessions.editors.rig()
            except MissingAssetError:
                raise gr.Error(missing(words), print_exception=False) from None
            assert live.photo.path is not None
            report = transfer_files(
                rig, [live.photo.path], source, session.folder / "transferred", parts or ["expression"],
                face=session.face, frame=1, watch=Told(),
            )  # fmt: skip
            for failure in report.failures:
                raise failure.error
            return report.edits[0].files[-1]

        path = sessions.submit(work).result()
        return divided(preview_image(live.photo), preview_image(path), session), str(path)

    say = words.say
    gr.Markdown(say("transfer.intro"))
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=280):
            source = gr.Image(
                label=say("transfer.source"), type="filepath", sources=["upload", "webcam", "clipboard"],
                buttons=["fullscreen"],
            )  # fmt: skip
            choices = [(say(f"transfer.{part}"), part) for part in PARTS]
            parts = gr.CheckboxGroup(choices, value=["expression"], label=say("transfer.parts"))
            start = gr.Button(say("transfer.start"), variant="primary")
        with gr.Column(scale=2, min_width=280):
            result = gr.ImageSlider(label=say("transfer.result"), interactive=False, type="pil")
            file = gr.File(label=say("transfer.file"), interactive=False, height=90, elem_classes="em-made")
    start.click(transfer, [key, source, parts], [result, file], api_visibility="private", concurrency_limit=2)
