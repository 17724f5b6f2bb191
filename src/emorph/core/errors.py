"""Errors that a user can act on: each message says what was wrong, what was found, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EmorphError(Exception):
    """Base of all errors that emorph raises on purpose; the message is one clear sentence or two."""


class NoFaceError(EmorphError):
    """A photo holds no face that the detector can see, or not the one asked for."""


class ImageError(EmorphError):
    """A file is not an image that can be read: missing, empty, truncated, too large, or of another kind."""


class TooLargeError(ImageError):
    """A picture has more pixels than are read."""


class ClipError(EmorphError):
    """A film cannot be read or written: damaged, cut off, without pictures, or of a kind that does not hold it."""


class ShapeError(EmorphError):
    """An array has another shape, type or value range than the function states."""


class CheckpointError(EmorphError):
    """A checkpoint is damaged, unsafe, or not of the kind that was asked for."""


class ConfigError(EmorphError):
    """A configuration names an unknown key, has a value of the wrong type, or contradicts itself."""


class DataError(EmorphError):
    """A data set is missing, empty, or not in the layout that its reader expects."""


class MissingAssetError(EmorphError):
    """A file that only the user can get (a licence, an optional package) is not there."""


class UnknownNameError(EmorphError):
    """A name is not in its table; the message offers the nearest ones.

    >>> str(UnknownNameError("emotion", "hapy", ["happy", "sad"]))
    "emotion 'hapy' is not known; did you mean 'happy'?"
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = list(known)
        self._told = kind, name, known
        near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}."
        super().__init__(f"{kind} {name!r} is not known; {hint}")

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, str, list[str]]]:
        """From a worker process it comes as it is."""
        return type(self), self._told
