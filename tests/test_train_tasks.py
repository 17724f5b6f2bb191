"""A task is one file and one line: with these alone a made one is planned, run, resumed, drawn and reported on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from emorph.core.config import Config
from emorph.core.images import unit_range
from emorph.models.weights import PretrainedModule
from emorph.train.checkpoint import load_state
from emorph.train.config import FitConfig, RunConfig
from emorph.train.samples_page import read_sheets
from emorph.train.sheets import Sheet, Shown, sheet_of
from emorph.train.task import Task
from emorph.train.tasks import TASKS
from test_data import make_store

pytest.importorskip("lightning_fabric", reason="needs the extra 'train'")

Emorph = Callable[..., tuple[int, str, str]]
SIDE = 8


class MeanFaceConfig(Config):
    """Sizes of the mean face."""

    side: int = SIDE


class MeanFace(PretrainedModule):
    """A made model: one picture, the same for everybody."""

    kind = "mean-face"
    config_type = MeanFaceConfig
    config: MeanFaceConfig

    def __init__(self, config: MeanFaceConfig) -> None:
        super().__init__()
        self.config = config
        self.picture = nn.Parameter(torch.zeros(1, config.side, config.side))


class MeanFaceLoss(nn.Module):
    """Squared distance from noisy faces to the mean face."""

    def __init__(self, config: MeanFaceConfig) -> None:
        super().__init__()
        self.model = MeanFace(config)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        error = (x - self.model.picture).square().mean()
        return {"loss": error, "error": error}


class MeanFaceTask(Task[MeanFace]):
    """The mean face as the loop sees it."""

    def __init__(self, config: MeanFaceConfig) -> None:
        self.loss = MeanFaceLoss(config)
        self.model = self.loss.model

    def start(self, name: str) -> MeanFace:
        return MeanFace.from_pretrained(name)

    def draw(self, items: Mapping[str, Tensor], seeds: Sequence[int], device: torch.device) -> tuple[Tensor]:
        shape = items["image"].shape[1:]
        noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return ((unit_range(items["image"]) + 0.1 * torch.stack(noise)).to(device),)

    def sheet(self, model: MeanFace, shown: Shown) -> Sheet:
        faces = unit_range(shown.images)
        return sheet_of([faces, model.picture.cpu().expand_as(faces)], ("Face", "Mean"), n_fixed=1)


class MeanFaceRunConfig(RunConfig):
    """A made run of steps."""

    task: Literal["mean-face"] = "mean-face"
    model: MeanFaceConfig = MeanFaceConfig()

    @property
    def picture(self) -> tuple[int, int]:
        return self.model.side, 1

    def new_model(self) -> MeanFace:
        return MeanFace(self.model)

    def build(self, faces: Dataset[Any], repeats: NDArray[np.float64] | None) -> MeanFaceTask:
        return MeanFaceTask(self.model)

    def trial(self, n: int) -> tuple[nn.Module, tuple[Tensor, ...]]:
        return MeanFaceLoss(self.model), (torch.zeros(n, 1, self.model.side, self.model.side),)

    def closing_report(self, model: Path) -> Sequence[str]:
        return (f"the mean face is {float(MeanFace.from_pretrained(model).picture.detach().mean()):+.3f} bright",)


class CountConfig(FitConfig):
    """A made task without steps: counts its faces."""

    task: Literal["count"] = "count"

    def planned(self, faces: NDArray[np.int64] | int | None) -> tuple[str, dict[str, Any]]:
        n = len(faces) if isinstance(faces, np.ndarray) else faces
        return f"counts {n} faces", {"faces": n}

    def fit(self, on_part: Callable[[str, int, int], None]) -> Sequence[str]:
        n = len(self.data.open(SIDE, 1))
        on_part("counting", n, n)
        Path(self.out).write_text(str(n))
        return (f"{n} faces were counted",)


def made_file(folder: Path, task: str, **values: Any) -> Path:
    """A TOML file of a made task on twenty made faces, sixteen of them to train on."""
    make_store(folder / "faces.parquet")
    text = [f'task = "{task}"', 'out = "out"', *(f"{key} = {value}" for key, value in values.items())]
    (folder / "run.toml").write_text("\n".join([*text, '[data]\npath = "faces.parquet"\nsplit = "train"\n']))
    return folder / "run.toml"


@pytest.fixture
def made_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one line, and a file of six steps."""
    monkeypatch.setitem(TASKS, "mean-face", f"{__name__}:MeanFaceRunConfig")
    values = {
        "optim": "{batch_size = 4, lr = 0.05}",
        "budget": "{steps = 6}",
        "checkpoint": "{every_steps = 3, keep = 2}",
        "samples": "{n = 3}",
        "log": "{every_steps = 2, tensorboard = false}",
    }
    return made_file(tmp_path, "mean-face", **values)


def test_a_made_task_is_planned(made_run: Path, emorph: Emorph) -> None:
    status, out, _ = emorph("train", "plan", made_run, "--devices", 1, "--accelerator", "cpu", "--no-warm-up")
    assert status == 0
    assert f"{made_run}: mean-face, 0.0 M parameters" in out
    assert "6 steps x batch 4 = 24 samples = 1.50 epochs" in out
    status, out, _ = emorph("train", "plan", made_run, "--devices", 1, "--accelerator", "cpu", "--steps", 8, "--json")
    plan = json.loads(out)
    assert (status, plan["task"], plan["steps"], plan["needs"]["parameters"]) == (0, "mean-face", 8, SIDE**2)
    assert plan["warm_up"]["own_faces"], "the measured steps took the faces of the data set"


def test_a_made_task_is_run_shown_reported_and_resumed(made_run: Path, emorph: Emorph) -> None:
    words = ("--devices", 1, "--accelerator", "cpu")
    status, out, err = emorph("train", "run", made_run, *words)
    run = made_run.parent / "out"
    assert (status, out.strip()) == (0, str(run / "step_00000006" / "ema"))
    ending, report = err.strip().splitlines()[-2:]
    assert ending.startswith("6 steps, 24 samples, 1.50 epochs in ")
    mean = MeanFace.from_pretrained(run / "step_00000006" / "ema").picture
    assert report == f"the mean face is {float(mean.detach().mean()):+.3f} bright"
    assert [sheet.titles for sheet in read_sheets(run)] == [("Face", "Mean")] * 2
    assert [sheet.tiles.shape[:2] for sheet in read_sheets(run)] == [(3, 2)] * 2
    assert {"loss", "error"} <= json.loads((run / "stats.jsonl").read_text().splitlines()[0]).keys()

    straight = load_state(run / "step_00000006")
    for path in sorted((run / "step_00000006").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (run / "step_00000006").rmdir()
    status, out, err = emorph("train", "resume", run, *words)
    assert (status, out.strip()) == (0, str(run / "step_00000006" / "ema"))
    assert err.strip().splitlines()[-1] == report
    resumed = load_state(run / "step_00000006")
    assert torch.equal(MeanFace.from_pretrained(run / "step_00000006" / "ema").picture, mean)
    moments = [state["optimizer"]["state"][0]["exp_avg"] for state in (straight, resumed)]
    assert torch.equal(*moments)


def test_a_made_task_starts_from_its_own_models(made_run: Path, emorph: Emorph) -> None:
    bright = MeanFace(MeanFaceConfig())
    with torch.no_grad():
        bright.picture.fill_(5.0)
    bright.save_pretrained(made_run.parent / "bright")
    made_run.write_text('init = "bright"\n' + made_run.read_text())
    status, out, _ = emorph("train", "run", made_run, "--devices", 1, "--accelerator", "cpu")
    assert status == 0
    assert MeanFace.from_pretrained(out.strip()).picture.mean() > 4


def test_a_made_fit_is_planned_and_run(tmp_path: Path, emorph: Emorph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "count", f"{__name__}:CountConfig")
    file = made_file(tmp_path, "count")
    status, out, _ = emorph("train", "plan", file)
    assert (status, out) == (0, f"{file}: counts 16 faces\n")
    status, out, _ = emorph("train", "plan", file, "--faces", 5, "--json")
    assert (status, json.loads(out)) == (0, {"task": "count", "faces": 5})
    status, out, err = emorph("train", "run", file)
    assert (status, out, err) == (0, f"{tmp_path / 'out'}\n", "16 faces were counted\n")
    assert (tmp_path / "out").read_text() == "16"
    status, _, err = emorph("train", "run", file, "--devices", 2)
    assert status == 2
    assert "--devices does not apply to" in err
    status, _, err = emorph("train", "run", file, "--epochs", 2)
    assert status == 2
    assert "a count has no length: leave --samples, --steps and --epochs out" in err


def test_without_its_line_a_task_is_unknown(tmp_path: Path, emorph: Emorph) -> None:
    status, _, err = emorph("train", "plan", made_file(tmp_path, "mean-face"))
    assert status == 2
    assert "task 'mean-face' is not known" in err
