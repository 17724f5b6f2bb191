"""Numbers by name of very many faces: each kind of row has its names once, and its numbers side by side."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, MutableMapping

Key = tuple[str, str]  # a face's id, and who tells the numbers


class Numbers(Mapping[str, float]):
    """Some numbers of one face. places: where each name's number is; shared by all rows of the same names."""

    __slots__ = ("_places", "_values")

    def __init__(self, places: Mapping[str, int], values: array[float]) -> None:
        self._places, self._values = places, values

    def __getitem__(self, name: str) -> float:
        return self._values[self._places[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class NumberTable(MutableMapping[Key, Mapping[str, float]]):
    """``Numbers`` by face and by who tells them: an eighth of the memory that a dict for each would take."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Numbers]] = {}
        self._places: dict[tuple[str, ...], dict[str, int]] = {}

    def put(self, key: Key, name: str, value: float) -> None:
        """Take one number in; of repeated ones the last counts."""
        id, judge = key
        rows = self._rows.setdefault(judge, {})
        known = rows.get(id)
        if known is not None and name in known:
            known._values[known._places[name]] = value
            return
        names = (name,) if known is None else (*known, name)
        values = array("d", [value]) if known is None else known._values
        if known is not None:
            values.append(value)
        rows[id] = Numbers(self._shared(names), values)

    def __getitem__(self, key: Key) -> Mapping[str, float]:
        id, judge = key
        return self._rows[judge][id]

    def __setitem__(self, key: Key, numbers: Mapping[str, float]) -> None:
        id, judge = key
        self._rows.setdefault(judge, {})[id] = Numbers(self._shared(tuple(numbers)), array("d", numbers.values()))

    def __delitem__(self, key: Key) -> None:
        id, judge = key
        del self._rows[judge][id]

    def __iter__(self) -> Iterator[Key]:
        return ((id, judge) for judge, rows in self._rows.items() for id in rows)

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))

    def _shared(self, names: tuple[str, ...]) -> dict[str, int]:
        return self._places.setdefault(names, {name: i for i, name in enumerate(names)})
