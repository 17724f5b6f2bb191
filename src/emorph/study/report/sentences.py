"""What a report says first: warnings that must be read, and what was found, in sentences with their numbers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from emorph.study.analysis import Results
from emorph.study.findings import Findings, Identified
from emorph.study.report.tables import Value, p_text
from emorph.study.report.words import QUESTIONS
from emorph.study.statistics.preference import PairTest, Preference
from emorph.study.tabulate import REAL

ALPHA = 0.05
LANGUAGES = {"en": "English", "ja": "Japanese"}


def about(results: Results) -> str:
    """Who judged how much, in a line."""
    main = results.main
    text = f"{main.n_votes} votes of {main.n_participants} {_people(main.n_participants)}"
    if len(results.languages) > 1:
        text += f" ({', '.join(f'{n} in {LANGUAGES.get(word, word)}' for word, n in results.languages.items())})"
    if results.median_min is not None:
        text += f"; half of those who finished took less than {results.median_min:.1f} minutes"
    return text + "."


def warnings(results: Results) -> list[str]:
    """What limits the numbers, each said once."""
    found = list(_of_preferences(results.main))
    identified = results.main.identified
    real = identified.accuracy.get((REAL, "")) if identified is not None else None
    if identified is not None and real is not None and real.low <= identified.chance:  # NaN is not
        found.append(
            f"Even the emotions of real photos are named no better than by chance ({Value(real, 'share')}); the task, "
            "or who took part, is in doubt."
        )
    if (out := results.exclusions).excluded and 2 * len(out.excluded) > out.n_started:
        found.append(
            f"The rules leave out {len(out.excluded)} of {out.n_started} who answered, more than half; see how the "
            "figures with them differ."
        )
    return found


def _of_preferences(findings: Findings) -> Iterator[str]:
    """Remarks of each question's overall analysis; one that holds for all questions stands once, without a name."""
    overall = [s for s in findings.preferences if not s.target and s.strength is None]
    said = {s.question: s.result.remarks for s in overall if s.result is not None}
    for stratum in overall:
        if stratum.result is None:
            yield f"{QUESTIONS[stratum.question]}: its {stratum.n} votes do not join the methods, so none are ranked."
    common = []
    for text in dict.fromkeys(text for remarks in said.values() for text in remarks):
        those = [question for question, remarks in said.items() if text in remarks]
        if len(those) == len(said):
            common.append(text)
        else:
            yield f"{', '.join(QUESTIONS[question] for question in those)}: {text}"
    yield from common


def conclusions(results: Results) -> list[str]:
    """What was found, the most important first."""
    return [*_preferred(results), *_seen(results.main.identified), *_excluded(results)]


def _preferred(results: Results) -> Iterator[str]:
    for stratum in results.main.preferences:
        if stratum.result is not None and not stratum.target and stratum.strength is None:
            yield f"{QUESTIONS[stratum.question]}: {_ranking(stratum.result)}"


def _ranking(result: Preference) -> str:
    """The order, and each method against the next."""
    order = sorted(range(len(result.methods)), key=lambda i: -result.abilities[i].value)
    names = [result.methods[i] for i in order]
    tests = {frozenset((test.first, test.second)): test for test in result.tests}
    steps = [_step(tests[frozenset(pair)]) for pair in itertools.pairwise(names)]
    ranked = f"{', then '.join(names)}. " if len(names) > 2 else ""
    return ranked + " ".join(steps)


def _step(test: PairTest) -> str:
    chance = Value(test.superiority, "share")
    told = f"95 % interval {chance.interval}, p {_equals(test.p_holm)}, n = {test.superiority.n}"
    if test.p_holm < ALPHA:
        return f"{test.first} is chosen over {test.second} in {chance.number} of the choices ({told})."
    return f"{test.first} and {test.second} cannot be told apart: {test.first} is chosen in {chance.number} ({told})."


def _equals(p: float) -> str:
    text = p_text(p)
    return text if text.startswith("<") else f"= {text}"


def _seen(found: Identified | None) -> Iterator[str]:
    if found is None:
        return
    named = []
    for method in found.methods:
        share = Value(found.accuracy[method, ""], "share")
        named.append(f"{method} {share.number} (95 % interval {share.interval}, n = {share.estimate.n})")
    yield f"How often people name the target: {', '.join(named)}; a blind choice has {100 * found.chance:.1f} %."
    if found.mixed is not None:
        apart = [ratio for ratio in found.mixed.ratios if ratio.p_holm < ALPHA]
        pairs = ", ".join(
            f"{ratio.first} from {ratio.second} (odds ratio {ratio.ratio.value:.2f}, p {_equals(ratio.p_holm)})"
            for ratio in apart
        )
        yield f"With people and photos as random effects, this tells {pairs or 'no two methods'} apart."


def _excluded(results: Results) -> Iterator[str]:
    n, started = len(results.exclusions.excluded), results.exclusions.n_started
    if n:
        yield f"{n} of {started} who answered {'is' if n == 1 else 'are'} left out by the study's own rules."
    else:
        yield f"Nobody is left out: no rule of the study holds for any of the {started} who answered."


def _people(n: int) -> str:
    return "person" if n == 1 else "people"
