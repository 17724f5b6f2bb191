"""Of which split of a data set the source photos are: what measures of a thesis have to say of themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from emorph.core.photo_list import ListedPhoto, read_list
from emorph.core.split_words import known_split
from emorph.evaluate.measure.inputs import Pair

TRAIN, VAL, TEST = "train", "val", "test"
OUTSIDE, UNKNOWN = "outside", "unknown"
_IN_ORDER = (TEST, VAL, TRAIN, OUTSIDE, UNKNOWN)


def with_splits(
    pairs: Sequence[Pair], *, stated: str | None = None, of_set: Mapping[str, str] | None = None
) -> list[Pair]:
    """The pairs with the splits of their sources, and the persons that a list tells.

    of_set: the splits of the photos that a prepared data set was made from, by their paths in the raw set: a photo is
    one of them if its path ends so, and OUTSIDE if it is none. Otherwise a pair's own split holds, then the list
    beside the photo (photos.csv), then ``stated``, such as "affectnet/val". Raises DataError for a damaged list.
    """
    by_name = _by_name(of_set or {})
    lists: dict[Path, dict[str, ListedPhoto]] = {}
    found = []
    for pair in pairs:
        folder = pair.source.parent
        if folder not in lists:
            lists[folder] = read_list(folder)
        listed = lists[folder].get(pair.source.name)
        told = pair.split or (known_split(listed.split) if listed else "")
        if of_set is not None:
            told = _in_set(pair.source, by_name) or told or OUTSIDE
        person = pair.person or (listed.identity if listed else "")
        found.append(replace(pair, split=told or known_split(stated or ""), person=person))
    return found


def counted(splits: Iterable[tuple[str, str]]) -> dict[str, int]:
    """How many photos are of each split. splits: (id of a photo, its split), a photo as often as it was edited."""
    of_photo = dict(splits)
    counts = dict.fromkeys(_IN_ORDER, 0)
    for split in of_photo.values():
        counts[split or UNKNOWN] += 1
    return {word: n for word, n in counts.items() if n}


def sentence(counts: Mapping[str, int]) -> str:
    """What a report's first line says: "Split: test."."""
    if not counts:
        return ""
    if len(counts) == 1:
        (word,) = counts
        return f"Split: {_SAID[word]}."
    return f"Splits: {'; '.join(f'{_SAID[word]}, {n} photos' for word, n in counts.items())}."


def warning(counts: Mapping[str, int]) -> str:
    """What flatters the numbers; "" where nothing is known to."""
    n, whole = counts.get(TRAIN, 0), sum(counts.values())
    if not n:
        return ""
    are = "is a training face" if n == 1 else "are training faces"
    return (
        f"{n} of {whole} source photos {are}: a model does better on faces that it was trained on. "
        "Measure on the test split."
    )


_SAID = {
    TEST: "test",
    VAL: "val, by which settings may have been chosen; a thesis measures on test",
    TRAIN: "train",
    OUTSIDE: "none, the photos are not in the data set",
    UNKNOWN: "unknown, for nothing tells of which split the photos are (--data SET or --split test would)",
}


def _by_name(of_set: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    found = defaultdict(list)
    for path, split in of_set.items():
        found[PurePosixPath(path).name].append((path, split))
    return found


def _in_set(source: Path, by_name: Mapping[str, list[tuple[str, str]]]) -> str:
    """The split of the photo whose path in the set this one ends with; "" for none."""
    if source.name not in by_name:
        return ""
    whole = f"/{source.resolve().as_posix()}"
    fitting = [(len(path), split) for path, split in by_name[source.name] if whole.endswith(f"/{path}")]
    return max(fitting, default=(0, ""))[1]
