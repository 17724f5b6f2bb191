"""Who is left out of the main analysis, by the rules that ``study.toml`` laid down before anybody answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from emorph.study.records import Exclude, Participant, Vote


@dataclass(frozen=True)
class Excluded:
    """One person who is left out. reasons: all that hold, in words."""

    participant: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """One rule, in words, and how many it holds for; a person may fall under several."""

    text: str
    n: int


@dataclass(frozen=True)
class Exclusions:
    """What the rules come to. n_started: everybody who has answered anything."""

    rules: tuple[Rule, ...]
    excluded: tuple[Excluded, ...]
    n_started: int

    @property
    def n_kept(self) -> int:
        """How many are in the main analysis."""
        return self.n_started - len(self.excluded)

    def keep(self, votes: Sequence[Vote]) -> list[Vote]:
        """The votes of those who are not left out."""
        out = {person.participant for person in self.excluded}
        return [vote for vote in votes if vote.participant not in out]


def exclusions(rules: Exclude, participants: Sequence[Participant], votes: Sequence[Vote]) -> Exclusions:
    """Apply the rules to everybody who has answered; who has only opened the page has nothing to leave out."""
    own: dict[str, list[Vote]] = {}
    for vote in votes:
        own.setdefault(vote.participant, []).append(vote)
    finished = {person.id for person in participants if person.finished is not None}
    found: dict[str, list[str]] = {person: [] for person in own}
    told = []
    for text, breaks in _tests(rules, finished):
        those = [person for person, given in own.items() if breaks(given)]
        for person in those:
            found[person].append(text)
        told.append(Rule(text, len(those)))
    excluded = tuple(Excluded(person, tuple(reasons)) for person, reasons in found.items() if reasons)
    return Exclusions(tuple(told), excluded, len(own))


def _tests(rules: Exclude, finished: set[str]) -> Iterator[tuple[str, Callable[[Sequence[Vote]], bool]]]:
    """Each rule that is in force, in words and as a test of one person's votes."""
    if rules.failed_checks:
        plural = "s" if rules.failed_checks > 1 else ""
        yield f"failed {rules.failed_checks} attention check{plural} or more", lambda votes: _fails_checks(rules, votes)
    if rules.fast_s:
        share = f"{100 * rules.fast_share:g} %"
        text = f"answered in less than {rules.fast_s:g} s on more than {share} of the screens"
        yield text, lambda votes: _is_fast(rules, votes)
    if rules.incomplete:
        yield "did not finish", lambda votes: votes[0].participant not in finished


def _fails_checks(rules: Exclude, votes: Sequence[Vote]) -> bool:
    """A check counts once, however many of its questions were answered otherwise."""
    return len({vote.slot for vote in votes if vote.is_failed_check}) >= rules.failed_checks


def _is_fast(rules: Exclude, votes: Sequence[Vote]) -> bool:
    """The first answer to each screen counts; those after it need no new look."""
    first: dict[int, Vote] = {}
    for vote in votes:
        first.setdefault(vote.slot, vote)
    fast = sum(vote.seconds_browser < rules.fast_s for vote in first.values())
    return fast > rules.fast_share * len(first)
