"""Whether the intervals of a study hold: made studies with known answers, and how often their intervals have them.

python bench/study_coverage.py [--studies 500] [--seed 0]

People and photos of the made studies differ, so the right answer is that of all people and photos: of preferences the
abilities and chances that endlessly many votes would give, of identification the share of right answers, and of the
mixed model the odds ratio of a middling person and photo.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from emorph.study.population import Judges, Viewers
from emorph.study.statistics import identification, mixed_model, preference
from emorph.study.statistics.estimates import Estimate
from support.measure import table, write_section

N_RESAMPLES = 200
WANTED = (0.92, 0.98)
Hits = dict[str, list[bool]]


@dataclass(frozen=True)
class Case:
    """One kind of study. study: makes one and says of each interval whether it holds the right answer."""

    name: str
    study: Callable[[np.random.Generator], Hits]


def main() -> None:
    """Make the studies, and write the section "Intervals of the user study"."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows = []
    for case in _cases():
        before = time.process_time()
        hits = _gathered(case, arguments.studies, arguments.seed)
        seconds = time.process_time() - before
        for what, held in hits.items():
            share, spread = float(np.mean(held)), 1.96 * math.sqrt(0.05 * 0.95 / arguments.studies)
            said = "" if WANTED[0] <= share <= WANTED[1] else " (outside)"
            rows.append((case.name, what, f"{100 * share:.1f} %{said}", len(held)))
        print(f"{case.name}: {seconds:.0f} s, chance alone moves a coverage by {100 * spread:.1f} points", flush=True)
    header = ("made studies", "intervals of", "coverage", "intervals")
    body = (
        f"How often 95 % intervals hold the right answer in {arguments.studies} made studies of each kind (seed "
        f"{arguments.seed}, {N_RESAMPLES} resamples); it shall be 92 to 98 %. People and photos differ, by the "
        "standard deviations given (log odds).\n\n" + table(header, rows)
    )
    write_section(
        "Intervals of the user study",
        f"python bench/study_coverage.py --studies {arguments.studies} --seed {arguments.seed}",
        body,
    )


def _gathered(case: Case, n_studies: int, seed: int) -> Hits:
    found: Hits = {}
    for number in range(n_studies):
        for what, held in case.study(np.random.default_rng([seed, number])).items():
            found.setdefault(what, []).extend(held)
    return found


def _cases() -> list[Case]:
    abilities = (0.8, 0.2, 0.0, -0.6)
    tied = Judges(abilities, 0.5, 0.5, left=0.2, tie=-1.0)
    by_taste, alike = Judges(abilities, 1.0, 0.2, left=0.2), Judges(abilities, 0.0, 0.0)
    viewers = Viewers(((1.0, 0.0, 0.5), (2.0, 1.0, 1.5)), 0.7, 0.0)
    varied = Viewers(viewers.log_odds, 0.7, 0.6)
    return [
        Case("preference, 30 people, 20 photos, 20 trials, ties; 0.5 and 0.5", _preference(tied, 30, 20, 20)),
        Case("preference, 20 people, 12 photos, 15 trials, ties; 0.5 and 0.5", _preference(tied, 20, 12, 15)),
        Case("preference, 60 people, 40 photos, 30 trials, ties; 0.5 and 0.5", _preference(tied, 60, 40, 30)),
        Case("preference, 30 people, 20 photos, 20 trials; 1.0 and 0.2", _preference(by_taste, 30, 20, 20)),
        Case("preference, 30 people, 20 photos, 20 trials; 0 and 0", _preference(alike, 30, 20, 20)),
        Case("identification, 30 people, 20 photos, 24 trials; 0.7 and 0", _accuracy(viewers, 30, 20, 24)),
        Case("identification, 30 people, 20 photos, 24 trials; 0.7 and 0.6", _accuracy(varied, 30, 20, 24)),
        Case("identification, 20 people, 12 photos, 18 trials; 0.7 and 0.6", _odds_ratio(varied, 20, 12, 18)),
    ]


def _holds(estimate: Estimate, answer: float) -> bool:
    return estimate.low <= answer <= estimate.high


def _preference(judges: Judges, people: int, photos: int, trials: int) -> Callable[[np.random.Generator], Hits]:
    abilities, chances = judges.truth()
    n = len(abilities)

    def study(rng: np.random.Generator) -> Hits:
        votes = judges.draw(people, photos, trials, rng)
        found = preference.analyse(votes, rng=rng, n_resamples=N_RESAMPLES)
        assert found is not None
        pairs = ((found.superiority[i][j], float(chances[i, j])) for i, j in combinations(range(n), 2))
        return {
            "abilities": [_holds(e, answer) for e, answer in zip(found.abilities, abilities.tolist(), strict=True)],
            "chances": [_holds(e, answer) for e, answer in pairs if e is not None],
        }

    return study


def _accuracy(viewers: Viewers, people: int, photos: int, trials: int) -> Callable[[np.random.Generator], Hits]:
    shares, photos_vary = viewers.truth(), viewers.photos_sd > 0

    def study(rng: np.random.Generator) -> Hits:
        found = viewers.draw(people, photos, trials, rng)
        held = []
        for (method, target), answer in np.ndenumerate(shares):
            mask = (found.method == method) & (found.target == target)
            who, where = found.participant[mask], found.photo[mask]
            share = identification.share(found.is_right[mask], who, where, photos_vary=photos_vary)
            assert share is not None
            held.append(_holds(share, float(answer)))
        gap = identification.difference(found, found.method == 0, found.method == 1, ("", ""))
        assert gap is not None
        hits = {"accuracies by target" + (", for other photos" if photos_vary else ""): held}
        if not photos_vary:
            hits["difference of two methods"] = [_holds(gap.difference, float(shares[0].mean() - shares[1].mean()))]
        return hits

    return study


def _odds_ratio(viewers: Viewers, people: int, photos: int, trials: int) -> Callable[[np.random.Generator], Hits]:
    ratio = math.exp(viewers.log_odds[0][0] - viewers.log_odds[1][0])

    def study(rng: np.random.Generator) -> Hits:
        made = viewers.draw(people, photos, trials, rng)
        columns = (made.method, made.target, made.is_right, made.participant, made.photo)
        found = mixed_model.compare(made.methods, *columns)
        assert found is not None
        return {"odds ratios of the mixed model": [_holds(found.ratios[0].ratio, ratio)]}

    return study


if __name__ == "__main__":
    main()
