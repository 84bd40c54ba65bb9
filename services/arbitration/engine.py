"""Arbitration over the store: what both ways of running share, full and incremental."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.arbitration import domain, learning, queries, recording
from services.arbitration.half_lives import HalfLives, learn_half_lives
from services.arbitration.honesty import Honesty
from services.arbitration.judging import Arbitrated, judge, together
from services.arbitration.prior import Told
from services.arbitration.queries import Sampled, Scope, SourceCard
from services.arbitration.reading import Context, Reader, UnknownLabel
from services.arbitration.scorecards import make_cards
from services.arbitration.store_sums import StoreSums, write_cells
from services.arbitration.weighing import weigh_by
from services.common.store import Store
from services.common.taxonomy import confirmed, standard
from services.common.taxonomy.crosswalk import Crosswalk

I64 = npt.NDArray[np.int64]
T = TypeVar("T")
R = TypeVar("R")
SAMPLE = 200_000
"""Numbers that the matrices are learned from, where there are more: a few thousand probabilities
are learned, and more numbers than that teach nothing."""


STORE_ITERATIONS = 10
"""Iterations over all numbers at most: the sample has brought the matrices close."""


class Engine:
    """Reads marks, weighs them, keeps the accuracies of the newest run at hand."""

    def __init__(self, store: Store, in_store: bool = False, sample: int = SAMPLE) -> None:
        """Nothing is read yet.

        Args:
            store: with the tables of ingest, reputation and this service.
            in_store: whether the matrices of more numbers than the sample are learned from all
                of them, by sums in the store; else from the sample alone.
            sample: numbers that are learned from in memory.
        """
        self._store, self._in_store, self._sample_size = store, in_store, sample
        self._standard = standard.load()
        self._lock = threading.Lock()
        self._labels: pa.Table | None = None
        self._learned: _Learned | None = None
        self._proof: set[int] = set()
        self._cards: tuple[int, list[SourceCard]] | None = None

    def run(self, run: int, as_of_ms: int, finished_ms: int) -> tuple[int, int, int]:
        """Learn, judge everything, and write the run. Returns numbers, marks, iterations.

        The matrices are learned from a sample of the numbers; every number is then judged, one
        range of numbers after the other, so that memory does not grow with the store.
        """
        with self._lock:
            self._labels = None
            self._proof = queries.sources_with_proof(self._store)
        crosswalk, mapping_count = self._confirmed()
        vocabulary = self._vocabulary(crosswalk)
        told = self._told(run)
        reader = Reader(self._store, as_of_ms, vocabulary, self._proof)
        spans = list(reader.spans())
        scope = self._sample()
        known = reader.acquaint(spans, scope)
        sample = reader.read(scope, known)
        lives = learn_half_lives(vocabulary, sample[0])
        vocabulary = lives.of_labels(vocabulary)
        reader = Reader(self._store, as_of_ms, vocabulary, self._proof, told)
        sample = reader.read(scope, known)
        gold = _gold(vocabulary, sample[1])
        accuracies = learning.learn(vocabulary, sample[0], gold, known, prior=sample[1].prior)

        parts = [sample]
        if scope is not None:  # the reporters' own records need all that they said
            records, parts = learning.Records(vocabulary, accuracies), []
            for marks, context in _ahead(lambda span: reader.read(span, known), spans):
                records.add(marks, _gold(vocabulary, context))
                parts.append((marks.packed(), context))
            accuracies = records.accuracies()
            if self._in_store:
                accuracies = self._settle_in_store(run, vocabulary, accuracies, parts)
        numbers = mark_count = 0
        by_source: dict[str, I64] = {}

        def judged(part: tuple[domain.Marks, Context]) -> tuple[Arbitrated, int]:
            marks = part[0].unpacked()
            return judge(marks, part[1], vocabulary, accuracies), len(marks.number_at)

        for found, count in _ahead(judged, parts):
            recording.write_judged(self._store, run, found)
            numbers, mark_count = numbers + len(found.numbers), mark_count + count
            for name, counts in found.by_source.items():
                by_source[name] = by_source.get(name, np.zeros_like(counts)) + counts
        recording.write_learned(self._store, run, vocabulary, accuracies)
        recording.write_half_lives(self._store, run, lives)
        cards = make_cards(vocabulary, sample[0], gold, accuracies, as_of_ms)
        recording.write_cards(self._store, run, as_of_ms, vocabulary, cards, by_source, numbers)
        queries.finish_run(
            self._store, run, as_of_ms, numbers, mark_count, accuracies.iteration_count,
            finished_ms,
        )  # fmt: skip
        if queries.last_run(self._store) == run:  # a run over the past judges nothing new
            with self._lock:
                self._learned = _Learned(run, vocabulary, accuracies, lives, mapping_count)
                self._cards = None
        return numbers, mark_count, accuracies.iteration_count

    def _settle_in_store(
        self,
        run: int,
        vocabulary: domain.Vocabulary,
        accuracies: domain.Accuracies,
        parts: Iterable[tuple[domain.Marks, Context]],
    ) -> domain.Accuracies:
        """The same as `learn` from all numbers, the sums taken where the rows are."""
        frequency = np.zeros(len(vocabulary.labels))
        prior = None
        for packed, context in parts:
            marks = packed.unpacked()
            weighed = weigh_by(marks, vocabulary, accuracies)
            prior = context.prior and context.prior.weighing(accuracies.prior_weight)
            write_cells(self._store, run, marks, weighed, _gold(vocabulary, context), prior)
            frequency += np.bincount(marks.label_at, marks.weight, minlength=len(frequency))
        start = domain.starting_accuracies(vocabulary, frequency)
        limits = STORE_ITERATIONS, learning.TOLERANCE
        by_marks = StoreSums(self._store, run, prior and prior.silent())
        found = learning.settle(vocabulary, by_marks, accuracies, start, *limits)
        if prior is None:
            return found
        return learning.settle_shares(StoreSums(self._store, run, prior), found, start, *limits)

    def _sample(self) -> Scope:
        """Numbers to learn from: all, or so many of them by a hash and those decided upon."""
        count, size = queries.number_count(self._store), self._sample_size
        return None if count <= size else Sampled(int(size / count * queries.PARTS))

    def _told(self, run: int) -> Callable[[Scope], Told | None]:
        """What behaviour says of numbers by the priors of a run."""
        classes = queries.prior_classes(self._store, run)
        if not classes:
            return lambda scope: None

        def read(scope: Scope) -> Told:
            numbers, values = queries.priors(self._store, run, scope)
            return Told(classes, numbers, values.reshape(-1, len(classes)))

        return read

    def arbitrate(
        self, numbers: I64, as_of_ms: int, told: Told | None = None
    ) -> tuple[Arbitrated, int]:
        """Judge the numbers, ascending, with the newest run's accuracies; returns its id too.

        Args:
            numbers: int64 (n,).
            as_of_ms: only what occurred by then counts.
            told: what their behaviour says.
        """
        learned = self._current()
        if queries.mapping_count(self._store) != learned.mapping_count:
            learned = self._extend(learned)
        try:
            found = self._judged(learned, numbers, as_of_ms, told)
        except UnknownLabel:  # one that came since the run
            with self._lock:
                self._labels = None
            learned = self._extend(learned)
            found = self._judged(learned, numbers, as_of_ms, told)
        return found, learned.run

    def _judged(
        self, learned: "_Learned", numbers: I64, as_of_ms: int, told: Told | None
    ) -> Arbitrated:
        vocabulary, accuracies = learned.vocabulary, learned.accuracies
        reader = Reader(self._store, as_of_ms, vocabulary, self._proof, lambda scope: told)
        parts = reader.read_in_parts(numbers, accuracies.honesty)
        return together([judge(*part, vocabulary, accuracies) for part in parts])

    def cards(self) -> tuple[int, list[SourceCard]]:
        """The newest run and what it found of every source, by name.

        Of a source that came since, or before any run, only its marks are told.
        """
        run = self._current().run
        labels = self._label_table()
        names = dict(zip(labels["source"].to_pylist(), labels["name"].to_pylist(), strict=True))
        kept = self._cards
        if kept is None or kept[0] != run:  # what a run found never changes
            kept = run, queries.source_cards(self._store, run, names)
            self._cards = kept
        judged = {card.name for card in kept[1]}
        new = {source: name for source, name in names.items() if name not in judged}
        received = queries.received_counts(self._store) if new else {}
        found = kept[1] + [
            SourceCard.unjudged(name, received.get(source, 0)) for source, name in new.items()
        ]
        return run, sorted(found, key=lambda card: card.name)

    def half_lives(self) -> tuple[int, HalfLives]:
        """The newest run and the half-lives in force."""
        learned = self._current()
        return learned.run, learned.lives

    def label_names(self) -> dict[int, tuple[str, str]]:
        """(source's name, label) by label key."""
        table = self._label_table()
        return {
            label: (name, text)
            for label, name, text in zip(
                table["label"].to_pylist(),
                table["name"].to_pylist(),
                table["text"].to_pylist(),
                strict=True,
            )
        }

    def meaning_of(self, label: int) -> int:
        """The most probable category of a label key."""
        vocabulary = self._current().vocabulary
        at = int(np.searchsorted(vocabulary.labels, np.uint64(label)))
        if at >= len(vocabulary.labels) or vocabulary.labels[at] != np.uint64(label):
            return standard.UNCLASSIFIED_ID
        return int(vocabulary.categories[vocabulary.meaning[at].argmax()])

    def _label_table(self) -> pa.Table:
        with self._lock:
            if self._labels is None:
                self._labels = queries.labels(self._store)
            return self._labels

    def _confirmed(self, until_ms: int | None = None) -> tuple[Crosswalk, int]:
        """The crosswalk with what reviewers confirmed, up to a time, and how much that is."""
        rows = queries.mappings(self._store, until_ms).to_pylist()
        return confirmed.crosswalk_with(rows), len(rows)

    def _vocabulary(
        self, crosswalk: Crosswalk, extra: npt.NDArray[np.uint16] | None = None
    ) -> domain.Vocabulary:
        table = self._label_table()
        mapped = [
            crosswalk.map_label(name, text).rows
            for name, text in zip(table["name"].to_pylist(), table["text"].to_pylist(), strict=True)
        ]
        used = {category for rows in mapped for category, _ in rows} | {domain.ORDINARY}
        if extra is not None:
            used |= set(extra.tolist())
        categories = np.array(sorted(used), dtype=np.uint16)
        meaning = np.zeros((len(mapped), len(categories)))
        half_life = np.ones(len(mapped))
        for i, rows in enumerate(mapped):
            for category, weight in rows:
                meaning[i, np.searchsorted(categories, category)] += weight
            top = int(categories[meaning[i].argmax()])
            half_life[i] = self._standard.category_of_id(top).half_life_days * domain.DAY_MS
        return domain.Vocabulary(
            labels=table["label"].to_numpy().astype(np.uint64),
            sources=table["source"].to_numpy().astype(np.uint64),
            categories=categories,
            meaning=meaning,
            half_life_ms=half_life,
        )

    def _current(self) -> "_Learned":
        with self._lock:
            learned = self._learned
        if learned is not None and not self._store.is_shared:
            return learned
        newest = queries.last_run(self._store)
        if learned is not None and learned.run == newest:
            return learned  # else another process has run since
        # What was confirmed since the run comes on top, by `_extend`; a run's id is its time.
        crosswalk, mapping_count = self._confirmed(until_ms=newest)
        vocabulary = self._vocabulary(crosswalk)
        accuracies = domain.starting_accuracies(vocabulary, np.zeros(len(vocabulary.labels)))
        lives = recording.half_lives(self._store, newest)
        if newest:
            categories = queries.accuracies(self._store, newest)["category"].to_numpy()
            vocabulary = self._vocabulary(crosswalk, np.unique(categories).astype(np.uint16))
            vocabulary = lives.of_labels(vocabulary)
            accuracies = recording.restore(self._store, newest, vocabulary)
        with self._lock:
            self._proof = queries.sources_with_proof(self._store)
            self._learned = _Learned(newest, vocabulary, accuracies, lives, mapping_count)
            return self._learned

    def _extend(self, learned: "_Learned") -> "_Learned":
        """Add labels that came since the run or mean something else now, as if never heard."""
        crosswalk, mapping_count = self._confirmed()
        before, accuracies = learned.vocabulary, learned.accuracies
        wider = learned.lives.of_labels(self._vocabulary(crosswalk, before.categories))
        start = domain.starting_accuracies(wider, np.zeros(len(wider.labels)))
        if learned.run:  # else nothing was learned yet
            at = np.searchsorted(wider.labels, before.labels)
            columns = np.searchsorted(wider.categories, before.categories)
            log_confusion, log_prior = start.log_confusion.copy(), start.log_prior.copy()
            meant = np.zeros((len(at), len(wider.categories)))
            meant[:, columns] = before.meaning
            same = (meant == wider.meaning[at]).all(axis=1)
            log_confusion[np.ix_(at[same], columns)] = accuracies.log_confusion[same]
            log_prior[columns] = accuracies.log_prior
            log_noise = start.log_noise.copy()
            log_noise[at] = accuracies.log_noise
            sources = np.searchsorted(wider.source_keys, before.source_keys)
            stratum, copying = start.honesty.stratum.copy(), start.copying.copy()
            stratum[sources] = accuracies.honesty.stratum
            missing = start.honesty.missing.copy()
            missing[sources] = accuracies.honesty.missing
            copying[np.ix_(sources, sources)] = accuracies.copying
            start = domain.Accuracies(
                log_confusion,
                log_noise,
                log_prior,
                Honesty(stratum, accuracies.honesty.reporters, missing),
                copying,
                accuracies.iteration_count,
                accuracies.prior_weight,
            )
        extended = _Learned(learned.run, wider, start, learned.lives, mapping_count)
        with self._lock:
            self._learned = extended
        return extended


@dataclass(frozen=True)
class _Learned:
    """What the run for the latest time learned, and how many confirmed meanings it knows."""

    run: int
    vocabulary: domain.Vocabulary
    accuracies: domain.Accuracies
    lives: HalfLives
    mapping_count: int


def _gold(vocabulary: domain.Vocabulary, context: Context) -> Mapping[int, int]:
    """Row -> place of the decided category, of the numbers with a decision in force."""
    return {
        row: int(np.searchsorted(vocabulary.categories, max(category, 0)))
        for row, category in enumerate(context.decided_category.tolist())
        if category >= 0 and category in vocabulary.categories
    }


def _ahead(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """The results of work, each made while the one before is used."""
    with ThreadPoolExecutor(1) as pool:
        coming: Future[R] | None = None
        for item in items:
            before, coming = coming, pool.submit(work, item)
            if before is not None:
                yield before.result()
        if coming is not None:
            yield coming.result()
