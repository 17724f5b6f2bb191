"""The options that several verbs share, and what their texts mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emorph.cli.completion import BACKENDS, DETECTORS, SOLVERS, bundled, offered
from emorph.cli.console import items, say
from emorph.core.errors import ConfigError, EmorphError
from emorph.core.landmarks import SURE_SCORE
from emorph.core.types import Target

if TYPE_CHECKING:
    from emorph.core.workers import Crew
    from emorph.edit.pipeline import Editor
    from emorph.edit.rig.editor import RigEditor

FACES, COMPUTING, FILMS = "Which faces", "Model and computing", "Films"  # groups of options in --help

Photos = Annotated[list[Path], typer.Argument(metavar="PHOTO", help="Photos, or folders of photos.")]
Out = Annotated[Path, typer.Option("-o", "--out", help="A folder, or a file name if there is one photo.")]
Model = Annotated[
    str,
    typer.Option(
        help="A bundled model, a folder, a hub id, or an official checkpoint.",
        rich_help_panel=COMPUTING,
        autocompletion=bundled,
    ),
]
DirectionsOption = Annotated[
    Path | None,
    typer.Option(
        help="A directions folder or classifier checkpoint, if the model's folder has none.", rich_help_panel=COMPUTING
    ),
]
Anyway = Annotated[
    bool,
    typer.Option(
        "--anyway",
        help="Use directions that were fitted on another model, whose codes differ.",
        rich_help_panel=COMPUTING,
    ),
]
_FACE_HELP = "Which face: largest, left, all, or a number, counted from the left starting at 1."
PhotoFace = Annotated[str, typer.Option(help=_FACE_HELP, rich_help_panel=FACES)]
Face = Annotated[
    str,
    typer.Option(
        help=f"{_FACE_HELP} In a film, people are counted as they appear, and a photo of the person can be named.",
        rich_help_panel=FACES,
    ),
]
FaceIfGiven = Annotated[str | None, typer.Option(help=_FACE_HELP, show_default="largest", rich_help_panel=FACES)]
MinFace = Annotated[
    int,
    typer.Option(
        "--min-face",
        min=16,
        help="Ignore faces smaller than this, in photo pixels. In photos of more than 1280 pixels, faces under "
        "1/27 of the longer side are ignored.",
        rich_help_panel=FACES,
    ),
]
MinScore = Annotated[
    float,
    typer.Option(
        min=0,
        help="Leave alone what the detector is less sure of than this; clear faces have 0.5 to 3, badges and "
        f"patterns less than {SURE_SCORE:g}. The score of each edited face is in the JSON output.",
        rich_help_panel=FACES,
    ),
]
DetectorOption = Annotated[
    str,
    typer.Option(
        "--detector",
        help="Who looks for faces: hog (dlib; upright, frontal), mtcnn (also turned and small ones), or auto: both. "
        "Where the features of a far turned head cannot be placed, it is left as it is, and a message says so.",
        rich_help_panel=FACES,
        autocompletion=offered(*DETECTORS),
    ),
]
Frame = Annotated[
    int | None,
    typer.Option(min=1, help="Which frame of an animation or page of a TIFF, counted from 1.", show_default=False),
]
StripLocation = Annotated[
    bool,
    typer.Option(
        "--strip-location",
        help="Leave out where the photo was taken. The rest of its EXIF, its resolution, colour profile, transparency "
        "and 16 bits a channel are kept, as far as the result's kind of file holds them; PNG holds all.",
    ),
]
Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:1, mps.", rich_help_panel=COMPUTING)]
Steps = Annotated[
    int | None,
    typer.Option(
        min=2,
        max=999,
        help="Network evaluations in each direction; more is slower, but closer.",
        show_default="what the model states, such as 6 for emorph-base; else 15, of a rig 10",
        rich_help_panel=COMPUTING,
    ),
]
Solver = Annotated[
    str,
    typer.Option(
        help="dpm (second order, few steps), dpm-fitted (the same at time steps fitted to inversion and sampling: "
        "as close in fewer), or ddim (as the official models sample).",
        rich_help_panel=COMPUTING,
        autocompletion=offered(*SOLVERS),
    ),
]
Reuse = Annotated[
    int,
    typer.Option(
        min=1,
        max=10,
        help="Compute the network's deep layers only at every so many evaluations: 2 takes about 0.64 of the "
        "operations, and loses detail; 1 is exact. In the same time, fewer --steps lose less.",
        rich_help_panel=COMPUTING,
    ),
]
Backend = Annotated[
    str,
    typer.Option(
        help="What computes the networks: torch, or onnx or openvino, which are quicker on a CPU (extra: backends) and "
        "differ from torch by less than 1e-4. Their graphs are written once.",
        rich_help_panel=COMPUTING,
        autocompletion=offered(*BACKENDS),
    ),
]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        help="Have it done by a Dask cluster: the address of a scheduler, such as tcp://10.0.0.5:8786, or local:4 for "
        "4 processes of this machine. All workers need the same files under the same paths. Connect only to a "
        "scheduler that you trust.",
        rich_help_panel=COMPUTING,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON.")]


def load_editor(
    model: str,
    directions: Path | None,
    device: str,
    steps: int | None,
    solver: str,
    detector: str = "auto",
    min_score: float = SURE_SCORE,
    *,
    anyway: bool = False,
    reuse: int = 1,
    backend: str = "torch",
    tell: bool = True,
) -> Editor:
    """The editor that the options ask for. tell: say what is to be known of it."""
    from emorph.edit.pipeline import Editor
    from emorph.faces.detect import as_detector
    from emorph.models.backends.choose import place_for, write_graphs
    from emorph.models.backends.graphs import TORCH

    place_for(backend, device)
    if backend != TORCH:
        with items(1) as work:
            write_graphs(model, lambda done, total: work.named_step(f"{model} as ONNX, once", done, total))
    editor = Editor.from_pretrained(
        model,
        directions=directions,
        device=device,
        steps=steps,
        solver_name=solver,
        detector=as_detector(detector),
        min_score=min_score,
        anyway=anyway,
        reuse=reuse,
        backend=backend,
    )
    if tell and editor.note:
        say(editor.note)
    return editor


def load_rig_editor(
    model: str,
    face_model: Path | None,
    device: str,
    steps: int | None,
    solver: str,
    source_encoder: str | None = None,
    target_encoder: str | None = None,
    detector: str = "auto",
    min_score: float = SURE_SCORE,
) -> RigEditor:
    """The rig's editor that the options ask for."""
    from emorph.edit.rig.editor import DEFAULT_STEPS, RigEditor
    from emorph.faces.detect import as_detector

    return RigEditor.from_pretrained(
        model,
        face_model=face_model,
        source_encoder=source_encoder,
        target_encoder=target_encoder,
        device=device,
        steps=steps or DEFAULT_STEPS,
        solver_name=solver,
        detector=as_detector(detector),
        min_score=min_score,
    )


@contextmanager
def crew_of(cluster: str | None, n_processes: int, *, asked: int | None = None) -> Iterator[int | Crew]:
    """Who does the work: so many processes, or a cluster, whose dashboard is named.

    asked: the processes that were asked for, which a cluster does without. Raises ConfigError.
    """
    if cluster is None:
        yield n_processes
        return
    from emorph.core.cluster import connected

    refuse_options("a cluster, which has its own workers", {"--workers": asked})
    with connected(cluster) as crew:
        n = crew.n_at_once()
        doing = f"{n} task{'s' * (n > 1)} at once" if n else "no worker yet; the work starts when one joins"
        say(f"Dask cluster {crew.address}: {doing}. Dashboard: {crew.dashboard}")
        yield crew


def refuse_options(what: str, given: Mapping[str, object]) -> None:
    """Raises ConfigError naming those of the options that were given (are not None) and do not apply to ``what``."""
    unfit = [name for name, value in given.items() if value is not None]
    if unfit:
        names = " and ".join([", ".join(unfit[:-1]), unfit[-1]] if unfit[1:] else unfit)
        raise ConfigError(f"{names} {'do' if unfit[1:] else 'does'} not apply to {what}; leave out {names}.")


def refuse_wishes_as_files(photos: Sequence[Path], otherwise: str) -> None:
    """Raises ConfigError for the second word of "--to happy sad", which is read as a photo and is the name of none.

    otherwise: what to do instead of a blend, in the words of the command.
    """
    for photo in photos:
        with suppress(EmorphError, OSError):
            wish = Target.parse(str(photo))
            if not photo.exists():
                break
    else:
        return
    if wish.units and not wish.weights:
        raise ConfigError(
            f"{photo} is an action unit, and there is no file of that name; --au takes one word, so join them, as in "
            "--au AU6=0.7,AU12=0.9."
        )
    raise ConfigError(
        f"{photo} is an emotion, and there is no file of that name; --to takes one word, so join them, as in "
        f"--to happy=0.6,sad=0.4, {otherwise}."
    )


def whole_numbers(option: str, text: str) -> list[int]:
    """What an option lists. Raises ConfigError.

    >>> whole_numbers("--steps", "10,20")
    [10, 20]
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"{option} {text!r}: expected whole numbers separated by commas, such as 10,20.") from None


def parse_strengths(text: str) -> list[float]:
    """ "0.8" is one strength; "0:1.5:0.25" is first:last:step, both ends included. Raises ConfigError.

    >>> parse_strengths("0:1:0.5")
    [0.0, 0.5, 1.0]
    """
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if len(parts) == 1 and -3 <= parts[0] <= 3:
        return parts
    if len(parts) == 3 and parts[2] > 0 and -3 <= parts[0] < parts[1] <= 3:
        n_steps = round((parts[1] - parts[0]) / parts[2])
        if 1 <= n_steps <= 40 and abs(parts[0] + n_steps * parts[2] - parts[1]) < 1e-6:
            return [round(parts[0] + i * parts[2], 6) for i in range(n_steps + 1)]
    if "@" in text:
        raise ConfigError(f"--strength {text!r}: keyframes, with a time after the @, are for films; give a number.")
    if len(parts) == 3 and parts[0] > parts[1]:
        raise ConfigError(
            f"--strength {text!r}: FIRST, {parts[0]:g}, is above LAST, {parts[1]:g}; write the smaller one first."
        )
    raise ConfigError(
        f"--strength {text!r} is neither a number from -3 to 3 nor FIRST:LAST:STEP in whole steps, as in 0:1.5:0.25."
    )
