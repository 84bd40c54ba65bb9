"""EM over all marks: the sources' matrices, the honesty of marks, who copies whom. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from services.arbitration.chunks import by_chunk
from services.arbitration.domain import (
    F64,
    PRIOR_STRENGTH,
    SMOOTHING_MARKS,
    Accuracies,
    Marks,
    Vocabulary,
    posterior,
    starting_accuracies,
)
from services.arbitration.gold import Gold
from services.arbitration.honesty import LEVELS, Honesty, Tally, with_ratios
from services.arbitration.others import Said, others_say
from services.arbitration.prior import Prior, best_weight
from services.arbitration.weighing import Weighed, weigh_by

ITERATIONS_A_ROUND = 6
WARMING = (0.4, 0.6, 0.8)
"""Powers of the posterior, one after the other, before the first round (deterministic annealing,
Ueda and Nakano 1998, doi 10.1016/S0893-6080(97)00133-0). Begun at once, EM ends where it happens to
begin: of two categories next to each other the smaller is swallowed or not by a few marks."""
WARMING_ITERATIONS = 4
TOLERANCE = 1e-4
"""EM stops where no share of a category moves by more."""
ROUNDS = 4
"""How often honesty is learned anew between the iterations of the matrices."""
NOISE_STRENGTH = 20.0
"""Strength of a source's label mix as what its dishonest marks say, in marks."""


def learn(
    vocabulary: Vocabulary,
    marks: Marks,
    gold: Mapping[int, int],
    known: Honesty | None = None,
    max_iterations: int = 30,
    tolerance: float = TOLERANCE,
    prior: Prior | None = None,
) -> Accuracies:
    """Run EM until the mean posterior moves by less than the tolerance.

    Args:
        vocabulary: labels and meanings.
        marks: those to learn from.
        gold: row -> place of the decided category.
        known: the reporters, and who names calls how often; None: nothing is known of them.
        prior: what behaviour says of the numbers; how far it is believed is learned, too. What
            labels mean is learned without it: it cannot tell a category from one next to it, and
            the two would change names by which of them fits behaviour a little better.
    """
    frequency = np.bincount(marks.label_at, marks.weight, minlength=len(vocabulary.labels)).astype(
        np.float64
    )
    start = starting_accuracies(vocabulary, frequency)
    if known is not None:
        start = replace(start, honesty=known)
    fixed, found = Gold.of(gold), start
    weighed = weigh_by(marks, vocabulary, found)
    for power in WARMING:
        sums = sums_in_memory(weighed, fixed, power=power)
        found = settle(vocabulary, sums, found, start, WARMING_ITERATIONS, tolerance)
    rounds = ROUNDS if vocabulary.source_count > 1 or gold else 1  # nobody else to compare with
    for round_ in range(rounds):
        if round_:  # honesty and copying are known better now
            weighed = weigh_by(marks, vocabulary, found)
        limit = max_iterations if round_ == rounds - 1 else ITERATIONS_A_ROUND
        sums = sums_in_memory(weighed, fixed)
        found = settle(vocabulary, sums, found, start, limit, tolerance)
        if round_ < rounds - 1:
            said = others_say(vocabulary, marks, weighed, found, fixed)
            found = replace(found, copying=said.copying)
            strata = replace(found.honesty, stratum=_tally(found.honesty, marks, said).strata())
            ratio = _tally(strata, marks, said).ratios()
            found = replace(found, honesty=with_ratios(strata, ratio))
    if prior is None:
        return found
    weight = _believed(vocabulary, marks, weighed, found, fixed, prior)
    if told := prior.weighing(weight):
        sums = sums_in_memory(weighed, fixed, told)
        found = settle_shares(sums, found, start, max_iterations, tolerance)
    return replace(found, prior_weight=weight)


def _believed(
    vocabulary: Vocabulary,
    marks: Marks,
    weighed: Weighed,
    found: Accuracies,
    gold: Gold,
    prior: Prior,
) -> float:
    """The weight of the prior under which marks are foretold best by all but their source."""

    def likelihood(weight: float) -> F64:
        return others_say(
            vocabulary, marks, weighed, found, gold, copying=False, prior=prior.weighing(weight)
        ).likelihood

    return best_weight(likelihood, weighed.mark_weight)


def _tally(honesty: Honesty, marks: Marks, said: Said) -> Tally:
    tally = Tally.of(honesty)
    _count(tally, honesty, marks, said)
    return tally


def _count(tally: Tally, honesty: Honesty, marks: Marks, said: Said) -> None:
    tally.add(
        honesty, marks.source_at, marks.trait, marks.reporter_at, said.responsibility,
        said.telling * marks.judges,
    )  # fmt: skip


class Records:
    """The reporters' own records, from marks that come range after range of numbers."""

    def __init__(self, vocabulary: Vocabulary, found: Accuracies) -> None:
        self._vocabulary, self._found = vocabulary, found
        self._tally = Tally.of(found.honesty)

    def add(self, marks: Marks, gold: Mapping[int, int]) -> None:
        """Count marks of numbers that no other call has."""
        weighed = weigh_by(marks, self._vocabulary, self._found)
        said = others_say(
            self._vocabulary, marks, weighed, self._found, Gold.of(gold), copying=False
        )
        _count(self._tally, self._found.honesty, marks, said)

    def accuracies(self) -> Accuracies:
        """The same accuracies with these records."""
        honesty = with_ratios(self._found.honesty, self._tally.ratios())
        return replace(self._found, honesty=honesty)


Sums = Callable[[Accuracies], tuple[F64, F64]]
"""Expected weight of each cell and category, (L * levels, K), and of each category over the
numbers, (K,), under given accuracies: the E step, summed as the M step needs it."""


def settle(
    vocabulary: Vocabulary,
    sums: Sums,
    found: Accuracies,
    start: Accuracies,
    limit: int,
    tolerance: float,
) -> Accuracies:
    """Iterate the matrices, the noise and the class prior under fixed honesty.

    Marks in quarantine weigh nothing here either: what careless people say is learned from the
    others, else an attack would decide which words are noise.

    Args:
        vocabulary: labels and meanings.
        sums: over the numbers to learn from.
        found: accuracies to begin with.
        start: what the matrices are smoothed towards.
        limit: iterations at most.
        tolerance: stop when no share of a category moves by more.
    """
    labels, width = start.log_confusion.shape
    pseudo = SMOOTHING_MARKS * np.exp(start.log_confusion)
    noise_pseudo = NOISE_STRENGTH * np.exp(start.log_noise)
    source_at, sources = vocabulary.source_at, vocabulary.source_count
    before = np.exp(found.log_prior)
    for _ in range(limit):
        counts, mass = sums(found)
        by_level = counts.reshape(labels, len(LEVELS), width)
        honest, other = found.mixture()
        share = honest / (honest + other)
        confusion = (by_level * share).sum(axis=1) + pseudo
        noise = (by_level * (1 - share)).sum(axis=(1, 2)) + noise_pseudo
        total = np.zeros((sources, width))
        np.add.at(total, source_at, confusion)
        of_source = np.bincount(source_at, noise, minlength=sources)
        mean = _shares(mass, start)
        found = replace(
            found,
            log_confusion=np.log(confusion / total[source_at]),
            log_noise=np.log(noise / of_source[source_at]),
            log_prior=np.log(mean),
            iteration_count=found.iteration_count + 1,
        )
        if np.abs(mean - before).max() < tolerance:
            break
        before = mean
    return found


def settle_shares(
    sums: Sums, found: Accuracies, start: Accuracies, limit: int, tolerance: float
) -> Accuracies:
    """Iterate how common each category is under fixed matrices: the likelihood is concave in that,
    so there is one answer (maximum a posteriori; for a changed prior as Saerens et al. 2002,
    doi 10.1162/089976602753284446).

    Args:
        sums, found, start, limit, tolerance: as of `settle`.
    """
    before = np.exp(found.log_prior)
    for _ in range(limit):
        mean = _shares(sums(found)[1], start)
        count = found.iteration_count + 1
        found = replace(found, log_prior=np.log(mean), iteration_count=count)
        if np.abs(mean - before).max() < tolerance:
            break
        before = mean
    return found


def _shares(mass: F64, start: Accuracies) -> F64:
    """Share of each category by how many numbers are of it, drawn to what is believed at first."""
    counts = PRIOR_STRENGTH * np.exp(start.log_prior) + mass
    return np.asarray(counts / counts.sum())


def sums_in_memory(
    weighed: Weighed, gold: Gold, prior: Prior | None = None, power: float = 1.0
) -> Sums:
    """The sums over cells that are at hand; `power`: of the posteriors, see `posterior`."""

    def add_up(found: Accuracies) -> tuple[F64, F64]:
        table = found.table()

        def expect(first: int, last: int) -> tuple[F64, F64]:
            cells = weighed.cells[first:last]
            told = None if prior is None else prior.rows(first, last)
            post = posterior(cells, found, table, told, power)
            gold.fix(post, first)
            spoken = np.diff(cells.indptr) > 0
            return np.asarray(cells.T @ post), post[spoken].sum(axis=0, dtype=np.float64)

        counts, mass = np.zeros(table.shape), np.zeros(table.shape[1])
        for some_counts, some_mass in by_chunk(weighed.cells.shape[0], expect):
            counts += some_counts
            mass += some_mass
        return counts, mass

    return add_up
