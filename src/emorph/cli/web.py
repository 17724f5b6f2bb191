"""``emorph web``: a page to edit on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emorph.cli.console import say
from emorph.cli.options import (
    Anyway,
    DetectorOption,
    Device,
    DirectionsOption,
    MinScore,
    Model,
    Solver,
    Steps,
    load_editor,
    load_rig_editor,
)
from emorph.core.errors import ConfigError
from emorph.core.landmarks import SURE_SCORE

if TYPE_CHECKING:
    from emorph.edit.pipeline import Editor
    from emorph.edit.rig.editor import RigEditor


def web(
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own needs --auth.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 7860,
    share: Annotated[
        bool, typer.Option("--share", help="Also give a public address, through a tunnel of Gradio's; needs --auth.")
    ] = False,
    auth: Annotated[
        str | None,
        typer.Option(
            metavar="NAME:PASSWORD",
            envvar="EMORPH_AUTH",
            help="Ask for this name and password. In the environment, other users of the machine do not see it.",
        ),
    ] = None,
    lang: Annotated[
        str | None, typer.Option(help="Open the page in this language: en or ja.", show_default="the browser's")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
    model: Model = "emorph-base",
    directions: DirectionsOption = None,
    anyway: Anyway = False,
    steps: Steps = None,
    solver: Solver = "dpm",
    detector: DetectorOption = "auto",
    min_score: MinScore = SURE_SCORE,
    device: Device = "auto",
    also: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="Another model to compare with, on its tab; may be repeated."),
    ] = None,
    face_model: Annotated[
        Path | None, typer.Option(help="ict_face.npz, for Transfer and 3D, if it is not in the usual place.")
    ] = None,
) -> None:
    """Edit photos on a page in the browser. It needs no network, and nothing leaves this machine.

    Photos are kept in memory and in a temporary folder, until their page is closed; Ctrl-C removes all.
    """
    from emorph.edit.rig.editor import DEFAULT_RIG
    from emorph.study.serve import Place
    from emorph.web.editors import Editors
    from emorph.web.serve import checked_access, serve
    from emorph.web.wish import Setup
    from emorph.web.words import LANGUAGES

    if lang is not None and lang not in LANGUAGES:
        raise ConfigError(f"--lang {lang} is not there; use {' or '.join(LANGUAGES)}.")
    access = checked_access(host, auth, share=share)

    def load(name: str) -> Editor:
        of_model = directions if name == model else None
        return load_editor(name, of_model, device, steps, solver, detector, min_score, anyway=anyway)

    def load_rig() -> RigEditor:
        return load_rig_editor(DEFAULT_RIG, face_model, device, None, solver, detector=detector, min_score=min_score)

    def ready(address: str) -> None:
        say(f"The page: {address}    Ctrl-C ends it, and removes all photos.")

    setup = Setup(model, directions, steps, solver, anyway, detector, min_score)
    editors = Editors(load(model), setup, tuple(also or ()), load, load_rig, face_model)
    serve(editors, Place(host, port), access, share=share, language=lang or "", browser=not no_browser, on_ready=ready)
