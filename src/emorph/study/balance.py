"""The combinatorics of a fair study: trials into even blocks, pictures left and right, an order without echoes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from emorph.study.records import Screen, Trial

Graph = dict[str, dict[str, int | None]]  # who stands beside whom, and in which pair
_ANYONE = ""  # the vertex that makes every degree even


def n_blocks(trials: Sequence[Trial], at_most: int, *, same_source: bool) -> int:
    """How many blocks hold all trials once.

    at_most: trials a block. same_source: whether a photo may come twice in a block; if not, each of its trials needs a
    block of its own.
    """
    by_source = Counter(trial.source for trial in trials)
    return max(-(-len(trials) // at_most), 1 if same_source else max(by_source.values()))


def partition(trials: Sequence[Trial], n: int, rng: np.random.Generator) -> list[list[Trial]]:
    """Deal all trials into ``n`` blocks whose sizes differ by at most one.

    The trials of a photo go to blocks that follow each other in a ring, so no block gets two of them unless there are
    more than n. Which of them goes where evens out targets, pairs of methods and both together in each block.
    """
    by_source: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        by_source[trial.source].append(trial)
    blocks: list[list[Trial]] = [[] for _ in range(n)]
    held: list[Counter[tuple[str, ...]]] = [Counter() for _ in range(n)]
    sources, place = sorted(by_source), 0
    for number in rng.permutation(len(sources)):
        own = by_source[sources[number]]
        own = [own[i] for i in rng.permutation(len(own))]
        ring = [(place + i) % n for i in range(len(own))]
        place += len(own)
        for block in rng.permutation(ring):
            chosen = min(own, key=lambda trial: sum(held[block][kind] ** 2 for kind in _kinds(trial)))
            own.remove(chosen)
            blocks[block].append(chosen)
            held[block].update(_kinds(chosen))
    return blocks


def _kinds(trial: Trial) -> tuple[tuple[str, ...], ...]:
    """What a block shall hold equally often of."""
    methods = (trial.control, trial.method, trial.method_a, trial.method_b)
    aim = (trial.target, f"{trial.strength:g}")
    return (("methods", *methods), ("aim", *aim), ("both", *methods, *aim))


def sides(pairs: Sequence[tuple[str, str]], rng: np.random.Generator) -> list[bool]:
    """For each pair of methods, whether its first one stands on the left.

    Of each pair, and of each method over all of its pairs, left and right differ by at most one. Two showings of one
    pair take opposite sides; what is left over has each pair once, and its edges are directed along closed walks
    (Euler), which leave every vertex as often as they enter it.
    """
    waiting: dict[frozenset[str], int] = {}
    is_left = [False] * len(pairs)
    for i in map(int, rng.permutation(len(pairs))):
        pair = frozenset(pairs[i])
        if pair in waiting:
            other = waiting.pop(pair)
            left = pairs[other][int(rng.integers(2))]
            is_left[other] = pairs[other][0] == left
            is_left[i] = pairs[i][0] != left
        else:
            waiting[pair] = i
    for i, left in _directed(pairs, sorted(waiting.values()), rng):
        is_left[i] = pairs[i][0] == left
    return is_left


def _directed(
    pairs: Sequence[tuple[str, str]], singles: Sequence[int], rng: np.random.Generator
) -> list[tuple[int, str]]:
    """Numbers of the single pairs with the method that stands on the left."""
    graph: Graph = defaultdict(dict)
    for i in singles:
        a, b = pairs[i]
        graph[a][b] = graph[b][a] = i
    for vertex in [vertex for vertex, edges in graph.items() if len(edges) % 2]:
        graph[vertex][_ANYONE] = graph[_ANYONE][vertex] = None
    found = []
    for start in list(graph):
        while graph[start]:
            here = start
            while graph[here]:
                there = sorted(graph[here])[int(rng.integers(len(graph[here])))]
                edge = graph[here].pop(there)
                del graph[there][here]
                if edge is not None:
                    found.append((edge, here))
                here = there
    return found


def in_order(trials: Sequence[Trial], rng: np.random.Generator) -> list[Trial] | None:
    """The trials in a random order in which no picture, and if possible no photo, comes twice in a row.

    None if this draw ends where only echoes are left; draw again.
    """
    rest = [trials[i] for i in rng.permutation(len(trials))]
    left = Counter(trial.source for trial in rest)
    found: list[Trial] = []
    while rest:
        free = [trial for trial in rest if not found or not echoes(found[-1], trial)]
        if not free:
            return None
        elsewhere = [trial for trial in free if not found or trial.source != found[-1].source] or free
        most = max(left[trial.source] for trial in elsewhere)
        is_pressing = 2 * most > len(rest)  # a photo that has more than half of what is left must come now
        chosen = next(trial for trial in elsewhere if not is_pressing or left[trial.source] == most)
        rest.remove(chosen)
        left[chosen.source] -= 1
        found.append(chosen)
    return found


def echoes(before: Trial, after: Trial) -> bool:
    """Whether a picture that was judged would come again at once."""
    return not set(before.pictures).isdisjoint(after.pictures)


def free_places(screens: Sequence[Screen], trial: Trial, first: int) -> list[int]:
    """Where ``trial`` can be put in, from place ``first`` on, so that it echoes neither neighbour.

    Places beside the same photo are only named if there are no others.
    """
    places = []
    for place in range(first, len(screens) + 1):
        near = [screen.trial for screen in screens[max(place - 1, 0) : place + 1]]
        if not any(echoes(trial, other) for other in near):
            places.append((any(trial.source == other.source for other in near), place))
    return [place for same, place in places if not same] or [place for _, place in places]
