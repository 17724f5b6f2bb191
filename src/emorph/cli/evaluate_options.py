"""The options of ``emorph evaluate``, and what their texts mean."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class LostFaces(Enum):
    """The choices of --lost-faces."""

    FAIL = "fail"
    SKIP = "skip"

    @property
    def given(self) -> str | None:
        """None for the default."""
        return None if self is LostFaces.FAIL else self.value


Edits = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="EDITS",
        help="An edits.jsonl or its folder; a CSV with source, edited, target (strength, identity, split, valence, "
        "arousal, landmarks), or of AffectNet's own columns; or a folder of pictures named STEM_EMOTION.png. Several "
        "with --compare. Or edited films, with --sources.",
    ),
]
Out = Annotated[
    Path, typer.Option("-o", "--out", help="The report's folder; after a stop, run the same command again to resume.")
]
Compare = Annotated[bool, typer.Option("--compare", help="Compare several sets of edits with the first.")]
Sources = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the source photos, for a folder of pictures, or where photos are no longer where they were "
        "edited; of films the source, or its folder."
    ),
]
Judges = Annotated[
    list[str] | None,
    typer.Option(
        help="emorph-judge, a folder, emonet_8, emonet_5, an ONNX judge's name, or its .onnx file beside its card; "
        "may be repeated.",
        show_default="emorph-judge",
    ),
]
Recognisers = Annotated[
    list[str] | None,
    typer.Option(
        help="Besides dlib's: an ONNX recogniser's name (emorph models list), or an .onnx file in ArcFace's "
        "format; may be repeated."
    ),
]
FaceModels = Annotated[
    list[str] | None,
    typer.Option(
        help="Face model whose coefficients measure expression, pose and shape: ict-facekit (fitted to the "
        "landmarks), deca, emoca, or a file; may be repeated.",
        show_default="ict-facekit",
    ),
]
Without = Annotated[
    list[str] | None,
    typer.Option(help="Skip a measure that needs a large network, by its name in the report; may be repeated."),
]
CountLost = Annotated[
    LostFaces,
    typer.Option(
        "--lost-faces",
        help="How to count edits in which no face is found: fail counts them as failures of expression and "
        "identity, skip leaves them out.",
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        help="Where the sources come from, such as test, or affectnet/train, for the report to tell; judges trained on "
        "them are refused. With --model: which split of --data to take; by default test, else val."
    ),
]
MadeBy = Annotated[
    str | None,
    typer.Option(
        help="Folder of the model that made the edits, where they do not tell: networks that gave a loss in its "
        "training may not mark them."
    ),
]
AllowLossJudge = Annotated[
    bool,
    typer.Option(
        "--allow-loss-judge", help="Ask networks that gave a loss, too; the report says so in its first lines."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, max=64, help="Processes that find faces.", show_default="2, or 1 on a machine with one core"),
]
ShardOption = Annotated[str, typer.Option(help="Measure only this part, such as 1/2; run all parts with the same -o.")]
Models = Annotated[
    list[str] | None,
    typer.Option(
        help="Instead of EDITS, with --data: an autoencoder whose reconstructions are measured: a bundled model, a "
        "checkpoint, or a run's folder for all its checkpoints; may be repeated."
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        help="A prepared data set: with --model the faces to encode and decode; with EDITS the set that the photos are "
        "from, so that the report tells their split."
    ),
]
HowMany = Annotated[
    int | None, typer.Option("-n", "--n", min=1, help="With --model: how many of these faces.", show_default="500")
]
StepsList = Annotated[
    str | None,
    typer.Option(
        "--steps", help="With --model: network evaluations in each direction, such as 10,20,50.", show_default="20"
    ),
]
Window = Annotated[
    str | None,
    typer.Option(
        help="With --model: LEFT,TOP,SIDE of each stored picture that it takes, in the picture's pixels.",
        show_default="as its run has it",
    ),
]
SolverIfGiven = Annotated[str | None, typer.Option("--solver", help="With --model: dpm or ddim.", show_default="dpm")]
