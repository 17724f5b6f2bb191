"""Training, validation and test: the data set's own division, else faces of each emotion held out, by person."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from emorph.core.errors import DataError
from emorph.core.records import FaceRecord
from emorph.core.types import UInt8

LARGEST_SHARE = 5  # at most one in five of a class is held out
COMPARED = 2048  # hashes on each side at once, in some 20 MB
HASH_SIDE = 16  # the hash has this many bits, squared
WORDS = {"train": "training", "val": "validation", "test": "test"}
_IN_ORDER = list(WORDS.values())
LEAST_CONTRAST = 2.0  # standard deviation of gray levels
# Of 256. Crops of a picture's copies follow landmarks that were found anew, and differ in more than the copies do.
SAME_CROP_BITS, SAME_PICTURE_BITS = 20, 10


def split_faces(records: Sequence[FaceRecord], *, holdout: int, seed: int, test: int = 0) -> list[FaceRecord]:
    """The records, each in "train" or "val", and with ``test`` some in "test".

    A data set with faces in "val" keeps its own division. Else up to ``holdout`` faces of each label, and never more
    than a fifth of them, go to "val": whole persons where they are known, whole files else, drawn by ``seed`` and the
    records' ids alone, so that their order does not matter. A limit may be missed by a little where a person would
    exceed it. Then, in the same way, up to ``test`` of each label of what is left for training go to "test": validation
    is what settings are chosen by, and test what nothing is. Raises DataError for a negative number, or if the own
    division has a person on both sides.
    """
    if holdout < 0 or test < 0:
        raise DataError(f"expected 0 or more faces to hold out, found {min(holdout, test)}.")
    if any(record.split == "val" for record in records):
        divided = [record if record.split else replace(record, split="train") for record in records]
    else:
        held = _held_out(records, holdout, seed)
        divided = [replace(record, split="val" if _group(record) in held else "train") for record in records]
    if test:
        tested = _held_out([record for record in divided if record.split == "train"], test, seed + 1)
        divided = [
            replace(record, split="test") if record.split == "train" and _group(record) in tested else record
            for record in divided
        ]
    check_disjoint(divided)
    return divided


def check_disjoint(records: Iterable[FaceRecord]) -> None:
    """Raises DataError naming a person or file that is in two of training, validation and test."""
    sides: dict[tuple[str, str], str | None] = {}
    for record in records:
        for key in (("person", record.identity), ("file", record.path)):
            other = record.split if key[1] is None else sides.setdefault((key[0], key[1]), record.split)
            if other != record.split:
                a, b = sorted((WORDS.get(str(side), str(side)) for side in (other, record.split)), key=_IN_ORDER.index)
                raise DataError(f"the {key[0]} {key[1]} is both in {a} and in {b}; mend the split column.")


def _group(record: FaceRecord) -> tuple[str, str]:
    return ("person", record.identity) if record.identity is not None else ("file", record.path)


def _held_out(records: Sequence[FaceRecord], holdout: int, seed: int) -> set[tuple[str, str]]:
    """The groups to hold out; rare labels choose first, because common ones have more to choose from."""
    groups: dict[tuple[str, str], Counter[int | None]] = defaultdict(Counter)
    for record in records:
        groups[_group(record)][record.label] += 1
    totals: Counter[int | None] = Counter(record.label for record in records)
    limits = {label: min(holdout, count // LARGEST_SHARE) for label, count in totals.items()}
    keys = sorted(groups)
    order = [keys[i] for i in np.random.default_rng(seed).permutation(len(keys))]
    by_label: dict[int | None, list[tuple[str, str]]] = defaultdict(list)
    for key in order:
        for label in groups[key]:
            by_label[label].append(key)
    held: set[tuple[str, str]] = set()
    taken: Counter[int | None] = Counter()
    for label in sorted(totals, key=lambda label: (totals[label], -1 if label is None else label)):
        for key in by_label[label]:
            if taken[label] >= limits[label]:
                break
            if key not in held and all(taken[of] + n <= limits[of] for of, n in groups[key].items()):
                held.add(key)
                taken.update(groups[key])
    return held


def picture_hash(pixels: UInt8) -> bytes | None:
    """What a picture looks like in 256 bits: whether each of 16x16 areas is brighter than its right neighbour.

    pixels: uint8 (H, W, 3) RGB. It hardly changes when a picture is scaled or compressed again. None where a picture
    is too flat or too small to have a look: all such hashes would be noise, or the same.
    """
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    if min(gray.shape) <= HASH_SIDE or float(gray.std()) < LEAST_CONTRAST:
        return None
    small = cv2.resize(gray, (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    return np.packbits(small[:, :-1] > small[:, 1:]).tobytes()


def same_pictures(
    some: Sequence[bytes | None], others: Sequence[bytes | None], max_bits: int = SAME_CROP_BITS
) -> list[tuple[int, int]]:
    """Pairs (i, j) of ``some[i]`` and ``others[j]`` whose hashes differ in at most ``max_bits`` bits, in order."""
    mine, theirs = ([i for i, one in enumerate(hashes) if one is not None] for hashes in (some, others))
    if not mine or not theirs:
        return []
    left, right = ([one for one in hashes if one is not None] for hashes in (some, others))
    pairs: list[tuple[int, int]] = []
    for first in range(0, len(left), COMPARED):
        these = _signs(left[first : first + COMPARED])
        for second in range(0, len(right), COMPARED):
            # of two rows of +-1, the product counts equal bits minus differing ones
            differing = (these.shape[1] - these @ _signs(right[second : second + COMPARED]).T) / 2
            pairs += [(mine[first + i], theirs[second + j]) for i, j in np.argwhere(differing <= max_bits)]
    return sorted(pairs)


def _signs(hashes: Sequence[bytes]) -> NDArray[np.float32]:
    bits = np.unpackbits(np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), -1), axis=1)
    return bits.astype(np.float32) * 2 - 1
