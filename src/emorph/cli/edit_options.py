"""What ``emorph edit`` takes, beside the options that other verbs take, too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from emorph.cli.completion import bundled, emotions
from emorph.cli.options import COMPUTING
from emorph.core.action_units import WORDS, spelled
from emorph.core.errors import ConfigError

To = Annotated[
    list[str] | None,
    typer.Option(
        metavar="<str>",
        help="neutral, happy, sad, surprise, fear, disgust, anger or contempt; or a blend: happy=0.6,surprise=0.4, "
        "also with action units: happy=0.6,AU4=0.5.",
        autocompletion=emotions,
    ),
]
Strength = Annotated[
    str,
    typer.Option(
        help="0 changes nothing, 1 is the usual amount; 0:1.5:0.25 gives a strip of strengths. "
        "Of films, keyframes: 0@0s,1@2s,1@5s,0@6s."
    ),
]
Valence = Annotated[
    float | None,
    typer.Option(help="Instead of --to: from -1 (displeased) to 1 (pleased). On its own, arousal stays as it is."),
]
Arousal = Annotated[
    float | None,
    typer.Option(help="Instead of --to: from -1 (calm) to 1 (excited). On its own, valence stays as it is."),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        help="A bundled model, a folder, a hub id, or an official checkpoint.",
        show_default="emorph-base; emorph-rig for action units that it does not know, or with --face-model",
        rich_help_panel=COMPUTING,
        autocompletion=bundled,
    ),
]
Units = Annotated[
    list[str] | None,
    typer.Option(
        metavar="<str>",
        help="Action units from 0 to 1: by their numbers in FACS, as in AU6=0.7,AU12=0.9, AU14_R for the "
        "right side alone, or by the names of ICT-FaceKit's face: mouthSmile_L=0.8,jawOpen=0.3. "
        f"{', '.join(map(spelled, WORDS))}. May be repeated.",
    ),
]
FaceModelFile = Annotated[
    Path | None,
    typer.Option(help="The rig's ict_face.npz, if it is not in the usual place.", rich_help_panel=COMPUTING),
]
Again = Annotated[bool, typer.Option("--again", help="Redo photos that were already edited this way.")]


def one_goal(to: Sequence[str] | None) -> str | None:
    """What --to says. Raises ConfigError where it is repeated, so that no word takes another's place unsaid."""
    if to and to[1:]:
        words = f"{', '.join(to[:-1])} and {to[-1]}"
        raise ConfigError(
            f"--to is given {len(to)} times ({words}), but an edit has one goal. Write a blend, as in "
            "happy=0.6,surprise=0.4, or edit once for each; emorph sheet shows several side by side."
        )
    return to[0] if to else None


def all_units(au: Sequence[str] | None) -> dict[str, float] | None:
    """Names and values 0..1 of what --au says, which may be repeated. Raises ConfigError."""
    from emorph.edit.rig.action_units import parse_units

    return parse_units(",".join(au)) if au else None
