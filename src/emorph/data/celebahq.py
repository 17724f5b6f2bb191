"""CelebA-HQ as CelebAMask-HQ gives it out: 30,000 faces and a text file of 40 attributes (Lee et al. 2020)."""

from __future__ import annotations

from pathlib import Path

from emorph.core.errors import DataError
from emorph.core.records import FaceRecord
from emorph.data.index import FaceIndex, inside, read_text

IMAGES = "CelebA-HQ-img"
ATTRIBUTES = "CelebAMask-HQ-attribute-anno.txt"
MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"  # idx, orig_idx, orig_file
IDENTITIES = "identity_CelebA.txt"  # of CelebA itself: orig_file, person; given out on request


def fits(root: Path) -> bool:
    """Whether ``root`` holds the attribute file or the folder of CelebAMask-HQ."""
    return (root / ATTRIBUTES).is_file() or (root / IMAGES).is_dir()


def read(root: Path, *, landmarks: bool = False) -> FaceIndex:
    """The faces of the attribute file, without emotion labels; identities where CelebA's own file lies there too.

    landmarks: there are none. Raises DataError if the attribute file is missing or of another kind.
    """
    path = root / ATTRIBUTES
    if not path.is_file():
        raise DataError(f"{root} has {IMAGES} but no {ATTRIBUTES}; copy it there from CelebAMask-HQ.")
    lines = read_text(path).splitlines()
    names = lines[1].split() if len(lines) > 1 else []
    if len(names) < 2 or not lines[0].strip().isdigit():
        raise DataError(f"{path}: expected a count and a line of attribute names, found {lines[:1]!r}.")
    index = FaceIndex(root, "celebahq")
    persons, seen = _persons(root), set()
    for number, line in enumerate(lines[2:], 3):
        cells = line.split()
        if not cells:
            continue
        index.rows[None, None] += 1
        name, values = cells[0], cells[1:]
        if len(values) != len(names) or not set(values) <= {"-1", "1"}:
            index.problems.add("malformed row", f"{path.name}, line {number}: {len(values)} values for {len(names)}")
        elif not inside(name):
            index.problems.add("path outside the data set", name)
        elif name in seen:
            index.problems.add("duplicate row", name)
        else:
            seen.add(name)
            has = tuple(word for word, value in zip(names, values, strict=True) if value == "1")
            person = persons.get(name.partition(".")[0])
            record = FaceRecord(name, f"{IMAGES}/{name}", identity=person, source=index.layout, attributes=has)
            index.records.append(record)
    if not index.records:
        raise DataError(f"{path} lists no face; copy it again from CelebAMask-HQ.")
    _count_missing_rows(index, int(lines[0]))
    return index


def _count_missing_rows(index: FaceIndex, stated: int) -> None:
    listed = index.rows.total()
    if listed < stated:
        what = f"{ATTRIBUTES} states {stated} faces and lists {listed}"
        index.problems.add("missing annotation", what, stated - listed)


def _persons(root: Path) -> dict[str, str]:
    """The person of each picture number, from the two files that lead there; empty without them."""
    if not ((root / MAPPING).is_file() and (root / IDENTITIES).is_file()):
        return {}
    rows = [line.split() for line in read_text(root / IDENTITIES).splitlines()]
    by_file = {row[0]: row[1] for row in rows if len(row) == 2}
    mapping = [line.split() for line in read_text(root / MAPPING).splitlines()[1:]]
    return {row[0]: by_file[row[2]] for row in mapping if len(row) == 3 and row[2] in by_file}
