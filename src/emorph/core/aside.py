"""Values that would fill the memory together: they lie in an unnamed file, and memory holds where."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, MutableMapping
from typing import IO, Generic, TypeVar

from emorph.core.errors import DataError

K = TypeVar("K")
V = TypeVar("V")
LENGTH_BITS = 32  # of a place, which is an offset and, below it, a length


class Aside(MutableMapping[K, V], Generic[K, V]):
    """A dict whose values are read anew each time, so that a change of what was read changes nothing here.

    pack, unpack: a value to bytes, under 4 GB, and back. The file lies where temporary files do (TMPDIR), and is gone
    with the process. Raises DataError where it cannot be written.
    """

    def __init__(self, pack: Callable[[V], bytes], unpack: Callable[[bytes], V]) -> None:
        self._pack, self._unpack = pack, unpack
        self._places: dict[K, int] = {}
        self._file: IO[bytes] | None = None

    def __getitem__(self, key: K) -> V:
        offset, length = divmod(self._places[key], 1 << LENGTH_BITS)
        file = self._opened()
        file.seek(offset)
        return self._unpack(file.read(length))

    def __setitem__(self, key: K, value: V) -> None:
        data = self._pack(value)
        try:
            file = self._opened()
            offset = file.seek(0, 2)
            file.write(data)
            file.flush()
        except OSError as error:
            raise DataError(
                f"a temporary file in {tempfile.gettempdir()} cannot be written ({error.strerror}); make room there, "
                "or set TMPDIR to another folder."
            ) from None
        self._places[key] = offset << LENGTH_BITS | len(data)

    def __delitem__(self, key: K) -> None:
        del self._places[key]

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __iter__(self) -> Iterator[K]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed as the last reference to it goes
        return self._file
