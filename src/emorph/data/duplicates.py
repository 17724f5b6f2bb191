"""Pictures that look the same: perceptual hashes, compared in bands so that hundreds of thousands take seconds.

Two hashes of at most d differing bits agree in at least k of d + k bands (pigeonhole), so that only pictures with k
equal bands are compared (multi-index hashing; Norouzi et al. 2012). Nothing within d bits is missed, whatever k is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from emorph.core.types import UInt8
from emorph.data.splits import HASH_SIDE, SAME_PICTURE_BITS

DRAFT_PX = 4 * (HASH_SIDE + 1)  # a JPEG need not be decoded any larger
MOST_AGREEING = 3
_SAMPLED_PAIRS = 100_000
_SORT_COST = 0.4  # a row's part in sorting by some bands, in comparisons of two rows
_PAIRS_AT_A_TIME = 1 << 16  # each takes some 200 bytes

_BITS_OF_TWO_BYTES = np.array([number.bit_count() for number in range(1 << 16)], np.uint8)

Pairs = NDArray[np.int64]


@dataclass(frozen=True)
class Copies:
    """Pictures that look the same. members: their places, ascending; bits: differing ones to the first, at most."""

    members: tuple[int, ...]
    bits: int


def draft(image: Image.Image) -> None:
    """Let an opened JPEG be decoded at an eighth, a quarter or a half, if that is enough for its hash."""
    image.draft("RGB", (DRAFT_PX, DRAFT_PX))


def copies(hashes: Sequence[bytes | None], max_bits: int = SAME_PICTURE_BITS) -> list[Copies]:
    """Groups of pictures that are linked by pairs of at most ``max_bits`` differing bits, by their first member."""
    known = np.array([i for i, one in enumerate(hashes) if one is not None], np.int64)
    if len(known) < 2:
        return []
    packed = np.frombuffer(b"".join(one for one in hashes if one is not None), np.uint8).reshape(len(known), -1)
    unique, place = np.unique(packed, axis=0, return_inverse=True)  # copies bit for bit need no comparing
    root = _linked(len(unique), near_pairs(unique, max_bits))[place.reshape(-1)]
    order = np.argsort(root, kind="stable")
    starts = np.flatnonzero(np.diff(root[order], prepend=-1))
    linked = [rows for rows in np.split(order, starts[1:]) if len(rows) > 1]
    groups = [
        Copies(tuple(known[rows].tolist()), int(_differing(packed[rows[:1]], packed[rows]).max())) for rows in linked
    ]
    return sorted(groups, key=lambda group: group.members)


def near_pairs(packed: UInt8, max_bits: int) -> Pairs:
    """Pairs (i < j) of rows of packed bits, uint8 (n, even), that differ in at most ``max_bits``; (n_pairs, 2)."""
    bits, words = np.unpackbits(packed, axis=1), packed.view(np.uint16)
    agreeing = _bands_to_agree(bits, max_bits)
    bands = _bands(bits, max_bits + agreeing)
    near_ones = [np.zeros((0, 2), np.int64)]
    for chosen in combinations(bands, agreeing):
        for pairs in _equal_pairs(np.sum(chosen, axis=0, dtype=np.uint64)):
            is_near = _differing(*(words.take(side, axis=0) for side in pairs.T)) <= max_bits
            near_ones.append(pairs[is_near])
    return np.unique(np.sort(np.concatenate(near_ones), axis=1), axis=0)


def _bands_to_agree(bits: UInt8, max_bits: int) -> int:
    """How many bands are to agree before two pictures are compared, so that sorting and comparing cost the least.

    Pictures of much the same scene agree in many a band by chance: what that comes to is told from some pairs of them.
    """
    n = len(bits)
    if n < 2:
        return 1
    some = np.random.default_rng(0).integers(0, n, (min(n * n, _SAMPLED_PAIRS), 2))
    some = some[some[:, 0] != some[:, 1]]
    cost = {}
    for agreeing in range(1, MOST_AGREEING + 1):
        bands = _bands(bits, max_bits + agreeing)
        n_equal = (bands[:, some[:, 0]] == bands[:, some[:, 1]]).sum(axis=0)
        ways = [math.comb(m, agreeing) for m in range(len(bands) + 1)]
        compared = n * (n - 1) / 2 * float(np.mean(np.array(ways)[n_equal]))
        cost[agreeing] = math.comb(len(bands), agreeing) * n * _SORT_COST + compared
    return min(cost, key=lambda agreeing: cost[agreeing])


def _bands(bits: UInt8, n_bands: int) -> NDArray[np.uint64]:
    """A number for each band of each row, equal where its bits are; (n_bands, n). Sums of some stand for these bands.

    Bits that tell most pictures apart, and bits of neighbouring places, are dealt out among the bands.
    """
    rng = np.random.default_rng(0)
    scattered = rng.permutation(bits.shape[1])
    share = bits[:, scattered].mean(axis=0)
    telling = scattered[np.argsort(share * (share - 1), kind="stable")]
    weights = rng.integers(0, 1 << 64, bits.shape[1], np.uint64)  # sums wrap; chance hits are compared and dropped
    parts = [telling[band::n_bands] for band in range(n_bands)]
    return np.stack([bits[:, part] @ weights[part] for part in parts])


def _equal_pairs(keys: NDArray[np.uint64]) -> Iterator[Pairs]:
    """Pairs of places of equal keys (n,), some at a time."""
    order = np.argsort(keys)
    ends = np.append(np.flatnonzero(np.diff(keys[order])) + 1, len(keys))
    after = np.repeat(ends, np.diff(ends, prepend=0)) - np.arange(len(order)) - 1  # members of its group that follow
    total = np.cumsum(after)
    start = 0
    while start < len(order):
        base = total[start - 1] if start else 0
        stop = max(int(np.searchsorted(total, base + _PAIRS_AT_A_TIME, side="right")), start + 1)
        n = after[start:stop]
        left = np.repeat(np.arange(start, stop), n)
        right = left + 1 + np.arange(len(left)) - np.repeat(np.cumsum(n) - n, n)
        if len(left):
            yield np.stack([order[left], order[right]], axis=1)
        start = stop


def _differing(some: UInt8, others: UInt8) -> NDArray[np.int64]:
    """Differing bits of rows of packed bits, (n, n_bytes) or one row, of an even number of bytes; (n,)."""
    counts: NDArray[np.int64] = _BITS_OF_TWO_BYTES[(some ^ others).view(np.uint16)].sum(axis=1, dtype=np.int64)
    return counts


def _linked(n: int, pairs: Pairs) -> Pairs:
    """The least row that each of n rows is linked to, by whatever chain; int64 (n,)."""
    root = np.arange(n)
    while len(pairs):
        least = np.minimum(root[pairs[:, 0]], root[pairs[:, 1]])
        before = root.copy()
        for side in (0, 1):
            np.minimum.at(root, pairs[:, side], least)
        root = root[root]
        if (root == before).all():
            break
    return root
