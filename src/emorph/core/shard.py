"""A part of some work, for one of several machines."""

from __future__ import annotations

from dataclasses import dataclass

from emorph.core.errors import ConfigError


@dataclass(frozen=True)
class Shard:
    """Part ``number`` (from 1) of ``of``: every ``of``-th piece of work, from the ``number``-th on."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """ "3/16" is the third of sixteen. Raises ConfigError.

        >>> Shard.parse("3/16").ending
        '.3of16'
        """
        number, _, of = text.partition("/")
        if number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of):
            return cls(int(number), int(of))
        raise ConfigError(f"--shard {text!r}: expected NUMBER/OF counting from 1, as in 3/16.")

    @property
    def ending(self) -> str:
        """For the stems of files that each part writes; empty for the whole."""
        return "" if self.of == 1 else f".{self.number}of{self.of}"
