"""Sheets of always the same faces, drawn with the averaged weights at checkpoints, to watch a run by.

A sheet costs some forty evaluations of the network a face, which without a GPU is more than many steps: one that would
take too large a part of the run's time is left out, and said so.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from emorph.core.errors import DataError, EmorphError
from emorph.core.images import write_image
from emorph.core.types import UInt8
from emorph.data.store import FaceStore
from emorph.edit.sheet import grid
from emorph.models.weights import PretrainedModule
from emorph.train.sections import SamplesConfig
from emorph.train.sheets import N_STEPS, Sheet, Shown
from emorph.train.task import Task
from emorph.train.tensorboard import Board

FOLDER = "samples"
LAYOUT_KEY = "emorph-sheet"  # the PNG's text that says where its tiles are
FREE_S = 5.0  # of drawing in all, however short the run
EVALUATION_SHARE = 1 / 3  # of what a training step takes for a face: its pass forward
_log = logging.getLogger(__name__)


class SheetWriter:
    """Writes ``run``/samples/step_00005000.png. A sheet that fails is said and left out: the run is worth more.

    spent_s: how long all of them took so far. tell: is told in a sentence what is being drawn, or left out.
    """

    def __init__(
        self,
        run: Path,
        task: Task[Any],
        faces: Dataset[Any],
        config: SamplesConfig,
        tell: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.folder = run / FOLDER
        self.task, self.faces, self.config, self.tell = task, faces, config, tell
        self.spent_s = 0.0
        self._shown: Shown | None = None
        self._cost_s: float | None = None

    def write_if_cheap(
        self, step: int, model: PretrainedModule, board: Board | None, *, trained_s: float, face_s: float
    ) -> None:
        """As ``write``, unless sheets would then take more than ``time_share`` of the run's time, and FREE_S.

        trained_s: of training so far. face_s: of a training step for one face; by it the first sheet is estimated.
        """
        n_evaluations = self.config.n * (2 + len(self.config.seeds)) * N_STEPS
        cost_s = n_evaluations * face_s * EVALUATION_SHARE if self._cost_s is None else self._cost_s
        allowed_s = FREE_S + self.config.time_share * trained_s
        if self.config.n and self.config.time_share < 1 and self.spent_s + cost_s > allowed_s:
            self.tell(
                f"no sheet at step {step:,}: drawing {_faces(self.config.n)} takes about {cost_s:.0f} s, and the "
                f"run has trained for {trained_s:.0f} s ([samples] time_share = 1 draws every one)"
            )
            return
        self.write(step, model, board)

    def write(self, step: int, model: PretrainedModule, board: Board | None = None) -> None:
        """Draw and write the sheet of one step; nothing for a task without one, or with n = 0."""
        if not self.config.n:
            return
        about = "" if self._cost_s is None else f", about {self._cost_s:.0f} s"
        self.tell(f"step {step:,}: drawing the sheet of {_faces(self.config.n)}{about}")
        before = time.monotonic()
        self._draw(step, model, board)
        self._cost_s = time.monotonic() - before
        self.spent_s += self._cost_s

    def _draw(self, step: int, model: PretrainedModule, board: Board | None) -> None:
        try:
            self._shown = self._shown or shown_faces(self.faces, self.config)
            with torch.inference_mode():
                sheet = self.task.sheet(model, self._shown)
            if sheet is not None:
                pixels = write_sheet(self.folder / f"step_{step:08d}.png", sheet, step)
                if board:
                    board.picture(step, pixels)
        except (EmorphError, torch.OutOfMemoryError) as error:
            reason = str(error).splitlines()[0]
            _log.warning("no sheet was written at step %d (%s); [samples] n = 0 asks for none.", step, reason)


def shown_faces(faces: Dataset[Any], config: SamplesConfig) -> Shown:
    """The faces of a run's sheets: evenly spread over the held-out ones, or over the training faces without these."""
    source = faces
    if isinstance(faces, FaceStore) and faces.split not in (None, config.split):
        try:
            source = faces.of_split(config.split)
        except DataError:  # there is no such split
            source = faces
    n_faces = len(source)  # type: ignore[arg-type]  # a map-style data set has a length
    n = min(config.n, n_faces)
    items = [source[int(i)] for i in (np.arange(n) * n_faces) // n]
    landmarks = torch.stack([item["landmarks"] for item in items]) if "landmarks" in items[0] else None
    return Shown(torch.stack([item["image"] for item in items]), landmarks, config.seeds)


def write_sheet(path: Path, sheet: Sheet, step: int, facts: Mapping[str, str] | None = None) -> UInt8:
    """Write a sheet, in it where its tiles are, and other facts. Returns its pixels (H, W, 3). Raises ImageError."""
    pixels: UInt8 = np.asarray(grid(sheet.rows))
    layout = {
        "step": step,
        "n_rows": len(sheet.rows),
        "titles": list(sheet.rows[0].titles),
        "n_fixed": sheet.n_fixed,
        "tile_px": sheet.rows[0].tiles[0].width,
        **(facts or {}),
    }
    write_image(path, pixels, metadata={"Software": "emorph", LAYOUT_KEY: json.dumps(layout)})
    return pixels


def _faces(n: int) -> str:
    return f"{n} face{'s' if n > 1 else ''}"
