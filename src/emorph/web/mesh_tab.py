"""The tab that shows the chosen face in 3D."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emorph.core.commands import command
from emorph.core.errors import MissingAssetError
from emorph.face3d.ict import ASSET
from emorph.web.saying import saying
from emorph.web.sessions import Sessions

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

    from emorph.study.texts import Words


def add_mesh_tab(words: Words, sessions: Sessions, key: Any) -> None:
    """Draw the tab's content; within ``gradio.Blocks``. key: the component that holds the page's key."""
    import gradio as gr

    @saying(words)
    def fit(key: str) -> tuple[str, Image.Image, str, str]:
        session = sessions.of(key)
        live = session.photo

        def work() -> tuple[Path, Image.Image, str]:
            from PIL import Image

            from emorph.face3d.glb import write_glb
            from emorph.face3d.photo import fit_photo, picture, write_obj

            try:
                model = sessions.editors.mesh()
            except MissingAssetError:
                raise gr.Error(missing(words), print_exception=False) from None
            fitted = fit_photo(model, live.photo, live.faces[session.face])
            path = session.folder / "face.obj"
            write_obj(path, model, fitted)
            write_glb(path.with_suffix(".glb"), model.vertices(fitted.fit.coeffs)[0], model.faces)
            error = f"{100 * float(fitted.fit.error[0]):.1f}"
            return path, Image.fromarray(picture(model, fitted)), words.say("mesh.facts", error=error)

        path, tiles, facts = sessions.submit(work).result()
        return str(path.with_suffix(".glb")), tiles, str(path), facts

    say = words.say
    gr.Markdown(say("mesh.intro"))
    start = gr.Button(say("mesh.start"), variant="primary")
    facts = gr.Markdown()
    with gr.Row(equal_height=False):
        mesh = gr.Model3D(label=say("mesh.result"), interactive=False, height=420)
        with gr.Column(min_width=280):
            tiles = gr.Image(
                label=say("mesh.picture"), interactive=False, type="pil", buttons=["download", "fullscreen"]
            )  # fmt: skip
            file = gr.File(label=say("mesh.file"), interactive=False, height=90, elem_classes="em-made")
    start.click(fit, key, [mesh, tiles, file, facts], api_visibility="private", concurrency_limit=2)


def missing(words: Words) -> str:
    """What to do where the face model is not there."""
    return words.say("mesh.missing", command=command("models", "get", ASSET))
