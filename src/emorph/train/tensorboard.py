"""A run's numbers and sheets for TensorBoard, where that is installed."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from pathlib import Path

from emorph.core.commands import install
from emorph.core.types import UInt8

FOLDER = "tensorboard"
_log = logging.getLogger(__name__)


class Board:
    """Writes to ``folder``; what an earlier start of the run wrote of steps after ``start_step`` is hidden."""

    def __init__(self, folder: Path, start_step: int) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=start_step + 1)

    def scalars(self, row: Mapping[str, float]) -> None:
        """A line of stats.jsonl."""
        for name, value in row.items():
            if name != "step":
                self._writer.add_scalar(name, value, int(row["step"]))
        self._writer.flush()

    def picture(self, step: int, pixels: UInt8) -> None:
        """A sheet, uint8 (H, W, 3)."""
        self._writer.add_image("samples", pixels, step, dataformats="HWC")
        self._writer.flush()


def open_board(run: Path, asked: bool | None, start_step: int) -> Board | None:
    """The run's board; None where it is not wanted, or TensorBoard is not there (said only if it is asked for)."""
    if asked is False:
        return None
    if importlib.util.find_spec("tensorboard") is None:
        if asked:
            _log.warning("[log] tensorboard is set, but it is not installed: %s.", install("tensorboard"))
        return None
    return Board(run / FOLDER, start_step)
