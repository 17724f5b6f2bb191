"""What a metric says of itself, apart from its computation: a row of ``emorph.evaluate.metrics.table``."""

from __future__ import annotations

import functools
import importlib
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from emorph.evaluate.metrics.takes import Of, Shown, Takes

if TYPE_CHECKING:
    from pathlib import Path

Better = Literal["higher", "lower", "for information"]

ANY = (-math.inf, math.inf)
POSITIVE = (0.0, math.inf)
SHARE = (0.0, 1.0)
SIGNED = (-1.0, 1.0)

_HOME = "emorph.evaluate.metrics."
_FACTORS = {"degrees": 180 / math.pi}  # of what a table shows over what the function gives


@dataclass(frozen=True)
class Network:
    """A network that compares pictures. files: its id is made of their SHA-256.

    answer: distances (B,) of two batches, float (B, 3, 256, 256) in [-1, 1].
    """

    answer: Callable[[Any, Any], Any]
    files: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One number's meaning.

    name: in records and tables for machines. title: for people; short: where there is little room.
    takes: what its function is given. better: the direction of the better value.
    source: who defined it. function: "module:name" below ``emorph.evaluate.metrics``, or in full for a module of
    another package; by default "NAME:NAME". Imported when it is asked for.
    bounds: of the value; infinite where there are none. unit: "share" is shown in percent. shown_unit: of tables, if it
    is another one. needs: what must be there besides the pictures, in words.
    of_itself: the value of two equal pictures, which then is not worked out; None where nobody says.
    lost: the value of an edit in which no face is found any more: a failure; None where such an edit has none.
    least_px: smaller pictures have no value. most_px: larger ones are scaled down; None for never.
    network: "module:name" of what loads a ``Network``, which then is asked in batches instead of ``function``.
    tables: of a report, in which it stands; by default those of ``takes``.
    revision: raised when a mended function gives other numbers, so that those of older reports are measured anew.
    column, column_before: in edits.csv, of the edit and of the unedited photo; by default its name, and none.
    """

    name: str
    title: str
    takes: Takes
    better: Better
    source: str
    short: str = ""
    function: str = ""
    bounds: tuple[float, float] = ANY
    unit: str = ""
    shown_unit: str = ""
    needs: str = ""
    of_itself: float | None = None
    lost: float | None = None
    least_px: int = 1
    most_px: int | None = None
    network: str = ""
    tables: tuple[Shown, ...] = ()
    revision: int = 1
    column: str = ""
    column_before: str = ""

    def __post_init__(self) -> None:
        """Fill in what follows from the rest."""
        for field, value in (
            ("short", self.short or self.title),
            ("function", self.function or f"{self.name}:{self.name}"),
            ("shown_unit", self.shown_unit or self.unit),
            ("tables", self.tables or self.takes.tables),
            ("column", self.column or self.name),
        ):
            object.__setattr__(self, field, value)

    def load(self) -> Callable[..., Any]:
        """The function that computes it."""
        return _loaded(self.function)

    def load_network(self) -> Network:
        """The network that computes it. Raises MissingAssetError where its files are not here, CheckpointError."""
        network: Network = _loaded(self.network)()
        return network

    @property
    def of(self) -> Of:
        """Whether it is a number of each edit or of the whole set."""
        return self.takes.of

    @property
    def compares(self) -> str:
        """What with what; a number is only fair for these two."""
        return self.takes.compares

    @property
    def is_share(self) -> bool:
        """Whether it is shown in percent."""
        return self.unit == "share"

    @property
    def label(self) -> str:
        """Title and unit, as a table's row has them."""
        return self.title if self.is_share or not self.unit else f"{self.title}, {self.shown_unit}"

    @property
    def short_label(self) -> str:
        """Short title and unit, as a column has them."""
        return self.short if self.is_share or not self.unit else f"{self.short}, {self.shown_unit}"

    @property
    def factor(self) -> float:
        """What a table multiplies the value by, for its unit."""
        return _FACTORS[self.shown_unit] if self.shown_unit != self.unit else 1.0

    @property
    def absent(self) -> str:
        """What a table says where it could not be measured."""
        return f"not measured: needs {self.needs}" if self.needs else "not measured"

    @property
    def range_text(self) -> str:
        """ "0 to 1", "0 up", "any": its values' range for people."""
        lowest, highest = self.bounds
        if math.isinf(lowest):
            return "any"
        return f"{lowest:.3g} to {highest:.3g}" if math.isfinite(highest) else f"{lowest:.3g} up"


@functools.lru_cache(maxsize=256)
def _loaded(function: str) -> Callable[..., Any]:
    module, _, path = function.partition(":")
    # a dot tells a module of its own from one of this package's files
    found: Callable[..., Any] = operator.attrgetter(path)(
        importlib.import_module(module if "." in module else _HOME + module)
    )
    return found
