"""Arbitration over the store: what both ways of running share, full and incremental."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.arbitration import domain, learning, queries
from services.arbitration.honesty import (
    LEVELS,
    QUARANTINE,
    TRAITS,
    Honesty,
    Reporters,
    meet,
    missing_calls,
    traits,
)
from services.arbitration.learning import CHUNK
from services.arbitration.queries import SourceCard
from services.arbitration.scorecards import Cards, make_cards
from services.common.places import place
from services.common.store import Store
from services.common.taxonomy import confirmed, standard
from services.common.taxonomy.crosswalk import Crosswalk

I64 = npt.NDArray[np.int64]
LEARNED = ("label_noise", "honesty", "source_honesty", "copying", "reporters")


@dataclass(frozen=True)
class Arbitrated:
    """Posteriors of ascending numbers, n rows, and the evidence behind them, e rows.

    Attributes:
        numbers: int64 (n,).
        categories, probabilities: (n, up to 5), most probable first; category 0: ordinary.
        effective_sources: float64 (n,).
        counts: int64 (n,) each: reporter_count, mark_count, former_mark_count,
            quarantined_count, epoch, epoch_start_ms, first_mark_ms, last_mark_ms. Marks in
            quarantine are in no other count.
        decided_category: int64 (n,): -1 none, 0 cleared, else the category.
        decided_by: authority of each decision, "" without.
        evidence: number, label, mark_count, weight, last_mark_ms and log_odds of each row.
        suspicions: number, mark_key and honesty of each mark in quarantine.
        by_source: int64 (sources,) each: marks that stand, quarantined ones, numbers.
    """

    numbers: I64
    categories: npt.NDArray[np.uint16]
    probabilities: npt.NDArray[np.float32]
    effective_sources: npt.NDArray[np.float64]
    counts: dict[str, I64]
    decided_category: I64
    decided_by: list[str]
    evidence: dict[str, npt.NDArray[Any]]
    suspicions: dict[str, npt.NDArray[Any]]
    by_source: dict[str, I64]


class Engine:
    """Reads marks, weighs them, keeps the accuracies of the newest run at hand."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._standard = standard.load()
        self._lock = threading.Lock()
        self._labels: pa.Table | None = None
        self._learned: _Learned | None = None
        self._proof: set[int] = set()

    def run(self, run: int, as_of_ms: int, finished_ms: int) -> tuple[int, int, int]:
        """Learn from everything and write the run. Returns numbers, marks, iterations."""
        with self._lock:
            self._labels = None
            self._proof = queries.sources_with_proof(self._store)
        crosswalk, mapping_count = self._confirmed()
        vocabulary = self._vocabulary(crosswalk)
        table, marks, context = self._read(as_of_ms, None, vocabulary, None)
        gold = {
            row: int(np.searchsorted(vocabulary.categories, max(category, 0)))
            for row, category in enumerate(context.decided_category.tolist())
            if category >= 0 and category in vocabulary.categories
        }
        accuracies = learning.learn(vocabulary, marks, gold, context.reporters, context.missing)
        found = self._judge(marks, context, vocabulary, accuracies)
        self._write(run, found, vocabulary, accuracies)
        cards = make_cards(vocabulary, marks, gold, accuracies, as_of_ms)
        self._write_cards(run, as_of_ms, vocabulary, cards, found)
        queries.finish_run(
            self._store, run, as_of_ms, len(found.numbers), len(marks.number_at),
            accuracies.iteration_count, finished_ms,
        )  # fmt: skip
        if queries.last_run(self._store) == run:  # a run over the past judges nothing new
            with self._lock:
                self._learned = _Learned(run, vocabulary, accuracies, mapping_count)
        return len(found.numbers), len(marks.number_at), accuracies.iteration_count

    def arbitrate(self, numbers: I64, as_of_ms: int) -> tuple[Arbitrated, int]:
        """Judge the numbers, ascending, with the newest run's accuracies; returns its id too."""
        learned = self._current()
        if queries.mapping_count(self._store) != learned.mapping_count:
            learned = self._extend(learned)
        known = learned.accuracies.honesty
        table, marks, context = self._read(as_of_ms, numbers, learned.vocabulary, known)
        if table is not None:  # a label that the run did not know
            with self._lock:
                self._labels = None
            learned = self._extend(learned)
            _, marks, context = self._read(as_of_ms, numbers, learned.vocabulary, known)
        found = self._judge(marks, context, learned.vocabulary, learned.accuracies)
        return found, learned.run

    def cards(self) -> tuple[int, list[SourceCard]]:
        """The newest run and what it found of every source, by name."""
        run = self._current().run
        labels = self._label_table()
        names = dict(zip(labels["source"].to_pylist(), labels["name"].to_pylist(), strict=True))
        return run, queries.source_cards(self._store, run, names)

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
            if self._learned is not None:
                return self._learned
        newest = queries.last_run(self._store)
        # What was confirmed since the run comes on top, by `_extend`; a run's id is its time.
        crosswalk, mapping_count = self._confirmed(until_ms=newest)
        vocabulary = self._vocabulary(crosswalk)
        accuracies = domain.starting_accuracies(vocabulary, np.zeros(len(vocabulary.labels)))
        if newest:
            stored = queries.accuracies(self._store, newest)
            known = stored["category"].to_numpy().astype(np.uint16)
            vocabulary = self._vocabulary(crosswalk, np.unique(known))
            more = {name: queries.learned(self._store, name, newest) for name in LEARNED}
            accuracies = _restore(vocabulary, stored, more)
        with self._lock:
            self._proof = queries.sources_with_proof(self._store)
            self._learned = _Learned(newest, vocabulary, accuracies, mapping_count)
            return self._learned

    def _extend(self, learned: "_Learned") -> "_Learned":
        """Add labels that came since the run or mean something else now, as if never heard."""
        crosswalk, mapping_count = self._confirmed()
        before, accuracies = learned.vocabulary, learned.accuracies
        wider = self._vocabulary(crosswalk, before.categories)
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
            )
        extended = _Learned(learned.run, wider, start, mapping_count)
        with self._lock:
            self._learned = extended
        return extended

    def _read(
        self,
        as_of_ms: int,
        numbers: I64 | None,
        vocabulary: domain.Vocabulary,
        known: Honesty | None,
    ) -> tuple[pa.Table | None, domain.Marks, "_Context"]:
        """Marks that stand and their context; the table is returned if a label is not known.

        Without known reporters and calls, those of these marks are counted.
        """
        table = queries.marks(self._store, as_of_ms, numbers)
        columns = {name: table[name].to_numpy() for name in table.column_names}
        label = columns["label"].astype(np.uint64)
        at = np.minimum(
            np.searchsorted(vocabulary.labels, label), max(len(vocabulary.labels) - 1, 0)
        )
        if len(label) and (not len(vocabulary.labels) or (vocabulary.labels[at] != label).any()):
            if numbers is None:
                raise RuntimeError("a mark has a label without a name")
            nothing: Any = np.zeros(0, np.int64)
            empty = domain.Marks(*[nothing] * 10)
            return table, empty, _Context.empty()
        number = columns["number"].astype(np.int64)
        epochs = queries.epochs(self._store, as_of_ms, numbers)
        start, epoch = _lookup(epochs, "start_ms", number), None
        present = columns["occurred_ms"] >= start
        decided = queries.decisions(self._store, as_of_ms, numbers)
        universe = numbers
        if universe is None:
            universe = np.unique(np.concatenate([number, decided["number"].to_numpy()]))
        former = np.bincount(
            np.searchsorted(universe, number[~present]), minlength=len(universe)
        ).astype(np.int64)
        source_at = np.searchsorted(vocabulary.source_keys, columns["source"])
        reporter = columns["reporter"].astype(np.uint64)
        occurred = columns["occurred_ms"].astype(np.int64)
        stands = present.copy()
        stands[present] = domain.latest_of_reporter(
            number[present], source_at[present], reporter[present], occurred[present]
        )
        proof = np.isin(columns["source"], np.array(list(self._proof), dtype=np.uint64))
        weight = domain.mark_weights(
            as_of_ms - columns["occurred_ms"],
            vocabulary.half_life_ms[at],
            columns["has_call"] > 0,
            proof,
            columns["kind"],
        )
        number_at = np.searchsorted(universe, number[stands])
        has_call, by_person = columns["has_call"] > 0, columns["kind"] == domain.USER
        if known is None:
            reporters = meet(number_at, source_at[stands], occurred[stands], reporter[stands])
            missing = missing_calls(source_at, has_call, by_person, vocabulary.source_count)
        else:
            reporters, missing = known.reporters, known.missing
        shown = _lookup(queries.verdicts(self._store, as_of_ms, numbers), "shown_ms", universe)
        reporter_at = reporters.find(reporter[stands])
        marks = domain.Marks(
            numbers=universe,
            number_at=number_at,
            label_at=at[stands],
            source_at=source_at[stands],
            weight=domain.compare(number_at, weight[stands], len(universe)),
            occurred_ms=occurred[stands],
            reporter_at=reporter_at,
            trait=traits(
                number_at,
                source_at[stands],
                occurred[stands],
                reporter[stands] != 0,
                reporter_at,
                proof[stands],
                has_call[stands],
                by_person[stands],
                missing,
                reporters,
            ),
            judges=(shown[number_at] == 0) | (occurred[stands] < shown[number_at]),
            mark_key=columns["mark_key"][stands].astype(np.uint64),
        )
        epoch = _lookup(epochs, "epoch", universe)
        epoch_start = _lookup(epochs, "start_ms", universe)
        category = np.full(len(universe), -1, dtype=np.int64)
        decided_by = [""] * len(universe)
        for i, row in _rows_at(decided, universe):
            if decided["decided_at"][row].as_py() >= epoch_start[i]:
                category[i] = decided["decided"][row].as_py()
                decided_by[i] = decided["decided_by"][row].as_py()
        return (
            None,
            marks,
            _Context(former, epoch, epoch_start, category, decided_by, reporters, missing),
        )

    def _judge(
        self,
        marks: domain.Marks,
        context: "_Context",
        vocabulary: domain.Vocabulary,
        accuracies: domain.Accuracies,
    ) -> Arbitrated:
        level = domain.mark_levels(marks, vocabulary, accuracies.honesty)
        weighed = domain.weigh(marks, level, vocabulary, accuracies.copying)
        count, table = len(marks.numbers), accuracies.table()
        width = min(domain.TOP, len(vocabulary.categories))
        categories = np.zeros((count, width), dtype=np.uint16)
        probabilities = np.zeros((count, width), dtype=np.float32)
        best = np.zeros(count, dtype=np.int64)
        at, known = place(
            vocabulary.categories.astype(np.int64), np.maximum(context.decided_category, 0)
        )
        known &= context.decided_category >= 0
        for first in range(0, count, CHUNK):
            rows = slice(first, min(first + CHUNK, count))
            post = domain.posterior(weighed.cells[rows], accuracies, table)
            decided = known[rows]
            post[decided] = 0.0
            post[decided, at[rows][decided]] = 1.0
            categories[rows], probabilities[rows] = domain.top_categories(
                post, vocabulary.categories
            )
            if post.shape[1] > 1:
                best[rows] = post[:, 1:].argmax(axis=1) + 1
        honest = LEVELS[level]
        counts_ = honest >= QUARANTINE
        counted_at = marks.number_at[counts_]
        first_ms = np.full(count, np.iinfo(np.int64).max)
        last_ms = np.zeros(count, dtype=np.int64)
        np.minimum.at(first_ms, counted_at, marks.occurred_ms[counts_])
        np.maximum.at(last_ms, counted_at, marks.occurred_ms[counts_])
        mark_count = np.bincount(counted_at, minlength=count)
        # latest_of_reporter leaves one mark a known reporter and source.
        counts = {
            "reporter_count": mark_count.astype(np.int64),
            "mark_count": mark_count.astype(np.int64),
            "former_mark_count": context.former,
            "quarantined_count": np.bincount(marks.number_at[~counts_], minlength=count),
            "epoch": context.epoch,
            "epoch_start_ms": context.epoch_start_ms,
            "first_mark_ms": np.where(mark_count > 0, first_ms, 0),
            "last_mark_ms": last_ms,
        }
        return Arbitrated(
            numbers=marks.numbers,
            categories=categories,
            probabilities=probabilities,
            effective_sources=weighed.effective_sources,
            counts=counts,
            decided_category=context.decided_category,
            decided_by=context.decided_by,
            evidence=_evidence(marks, vocabulary, table, best, weighed),
            suspicions={
                "number": marks.numbers[marks.number_at[~counts_]],
                "mark_key": marks.mark_key[~counts_],
                "honesty": honest[~counts_].astype(np.float32),
            },
            by_source={
                "marks": np.bincount(marks.source_at, minlength=vocabulary.source_count),
                "quarantined": np.bincount(
                    marks.source_at[~counts_], minlength=vocabulary.source_count
                ),
                "numbers": np.bincount(weighed.pair_source, minlength=vocabulary.source_count),
            },
        )

    def _write(
        self,
        run: int,
        found: Arbitrated,
        vocabulary: domain.Vocabulary,
        accuracies: domain.Accuracies,
    ) -> None:
        width = found.categories.shape[1]
        offsets = pa.array(np.arange(0, (len(found.numbers) + 1) * width, width, dtype=np.int32))
        queries.insert_run_rows(
            self._store,
            "posteriors",
            run,
            {
                "number": found.numbers,
                "categories": pa.ListArray.from_arrays(offsets, pa.array(found.categories.ravel())),
                "probabilities": pa.ListArray.from_arrays(
                    offsets, pa.array(found.probabilities.ravel())
                ),
                "effective_sources": found.effective_sources.astype(np.float32),
                **{
                    name: column.astype(np.int64 if name.endswith("_ms") else np.uint32)
                    for name, column in found.counts.items()
                },
                "decided_category": found.decided_category.astype(np.int32),
                "decided_by": pa.array(found.decided_by, pa.string()),
            },
        )
        evidence = {name: c for name, c in found.evidence.items() if name != "log_odds"}
        queries.insert_run_rows(self._store, "evidence", run, evidence)
        queries.insert_run_rows(self._store, "suspicions", run, found.suspicions)
        self._write_learned(run, vocabulary, accuracies)

    def _write_cards(
        self,
        run: int,
        as_of_ms: int,
        vocabulary: domain.Vocabulary,
        cards: Cards,
        found: Arbitrated,
    ) -> None:
        keys = vocabulary.source_keys
        rows: dict[str, npt.NDArray[Any]] = {
            "source": keys[cards.source_at],
            "category": cards.category.astype(np.uint16),
            "week_ms": cards.week_ms,
            "marks": cards.marks,
            "told": cards.told,
            "right": cards.right,
        }
        queries.insert_run_rows(self._store, "scorecards", run, rows)
        delays = queries.delays(self._store, as_of_ms)
        counts: dict[str, npt.NDArray[Any]] = {
            "source": keys,
            **found.by_source,
            "all_numbers": np.full(len(keys), len(found.numbers)),
            "called": np.array([delays.get(int(k), (0, -1))[0] for k in keys], dtype=np.int64),
            "delay_s": np.array([delays.get(int(k), (0, -1))[1] for k in keys], dtype=np.int64),
        }
        queries.insert_run_rows(self._store, "source_counts", run, counts)

    def _write_learned(
        self, run: int, vocabulary: domain.Vocabulary, accuracies: domain.Accuracies
    ) -> None:
        labels, width = len(vocabulary.labels), len(vocabulary.categories)
        sources, keys = vocabulary.source_count, vocabulary.source_keys
        known = accuracies.honesty.reporters
        rows: dict[str, dict[str, npt.NDArray[Any]]] = {
            "label_noise": {
                "label": vocabulary.labels,
                "log_probability": accuracies.log_noise,
            },
            "honesty": {
                "source": np.repeat(keys, TRAITS),
                "trait": np.tile(np.arange(TRAITS, dtype=np.uint16), sources),
                "share": accuracies.honesty.stratum[:sources].ravel(),
            },
            "source_honesty": {"source": keys, "missing": accuracies.honesty.missing[:sources]},
            "copying": {
                "original": np.repeat(keys, sources),
                "copier": np.tile(keys, sources),
                "share": accuracies.copying.ravel(),
            },
            "reporters": {
                "reporter": known.key,
                "first_ms": known.first_ms,
                "ring": known.ring,
                "ratio": known.ratio,
            },
        }
        for name, columns in rows.items():
            queries.insert_run_rows(self._store, name, run, columns)
        queries.insert_run_rows(
            self._store,
            "accuracies",
            run,
            {
                "label": np.concatenate(
                    [np.repeat(vocabulary.labels, width), np.zeros(width, np.uint64)]
                ),
                "category": np.tile(vocabulary.categories, labels + 1),
                "log_probability": np.concatenate(
                    [accuracies.log_confusion.ravel(), accuracies.log_prior]
                ),
            },
        )


@dataclass(frozen=True)
class _Learned:
    """What the run for the latest time learned, and how many confirmed meanings it knows."""

    run: int
    vocabulary: domain.Vocabulary
    accuracies: domain.Accuracies
    mapping_count: int


@dataclass(frozen=True)
class _Context:
    former: I64
    epoch: I64
    epoch_start_ms: I64
    decided_category: I64
    decided_by: list[str]
    reporters: Reporters
    missing: npt.NDArray[np.float64]

    @classmethod
    def empty(cls) -> "_Context":
        nothing = np.zeros(0, dtype=np.int64)
        return cls(nothing, nothing, nothing, nothing, [], Reporters(), np.zeros(0))


def _rows_at(table: pa.Table, numbers: I64) -> list[tuple[int, int]]:
    """(place in numbers, row of the table) for every row whose number is there."""
    keys = table["number"].to_numpy()
    at = np.minimum(np.searchsorted(numbers, keys), max(len(numbers) - 1, 0))
    if not len(numbers):
        return []
    return [(int(i), row) for row, i in enumerate(at) if numbers[i] == keys[row]]


def _lookup(table: pa.Table, name: str, numbers: I64) -> I64:
    """A column's value at each number, 0 where the table has none; the table is ascending."""
    keys = table["number"].to_numpy()
    if len(keys) == 0:
        return np.zeros(len(numbers), dtype=np.int64)
    at = np.minimum(np.searchsorted(keys, numbers), len(keys) - 1)
    values = table[name].to_numpy().astype(np.int64)
    return np.where(keys[at] == numbers, values[at], 0)


def _restore(
    vocabulary: domain.Vocabulary, stored: pa.Table, more: Mapping[str, pa.Table]
) -> domain.Accuracies:
    """Accuracies of a run, with starting values where it knew nothing."""
    start = domain.starting_accuracies(vocabulary, np.zeros(len(vocabulary.labels)))
    log_confusion, log_prior = start.log_confusion.copy(), start.log_prior.copy()
    label = stored["label"].to_numpy().astype(np.uint64)
    column = np.searchsorted(vocabulary.categories, stored["category"].to_numpy())
    value = stored["log_probability"].to_numpy()
    is_prior = label == 0
    log_prior[column[is_prior]] = value[is_prior]
    row = np.searchsorted(vocabulary.labels, label[~is_prior])
    log_confusion[row, column[~is_prior]] = value[~is_prior]
    columns = {
        name: {column: table[column].to_numpy() for column in table.column_names}
        for name, table in more.items()
    }
    log_noise, noise = start.log_noise.copy(), columns["label_noise"]
    log_noise[np.searchsorted(vocabulary.labels, noise["label"])] = noise["log_probability"]
    stratum, honesty = start.honesty.stratum.copy(), columns["honesty"]
    keys = vocabulary.source_keys
    stratum[np.searchsorted(keys, honesty["source"]), honesty["trait"]] = honesty["share"]
    missing, calls = start.honesty.missing.copy(), columns["source_honesty"]
    missing[np.searchsorted(keys, calls["source"])] = calls["missing"]
    copying, copies = start.copying.copy(), columns["copying"]
    places = tuple(np.searchsorted(keys, copies[name]) for name in ("original", "copier"))
    copying[places] = copies["share"]
    known = columns["reporters"]
    reporters = Reporters(known["reporter"], known["first_ms"], known["ring"], known["ratio"])
    return domain.Accuracies(
        log_confusion, log_noise, log_prior, Honesty(stratum, reporters, missing), copying
    )


def _evidence(
    marks: domain.Marks,
    vocabulary: domain.Vocabulary,
    table: npt.NDArray[np.float64],
    best: I64,
    weighed: domain.Weighed,
) -> dict[str, npt.NDArray[Any]]:
    """What each label adds on each number, in favour of its best category against ordinary."""
    width = max(len(vocabulary.labels), 1)
    pair, inverse, count = np.unique(
        marks.number_at * width + marks.label_at, return_inverse=True, return_counts=True
    )
    last = np.zeros(len(pair), dtype=np.int64)
    np.maximum.at(last, inverse, marks.occurred_ms)
    cell = weighed.mark_cell
    odds = weighed.mark_weight * (table[cell, best[marks.number_at]] - table[cell, 0])
    return {
        "number": marks.numbers[pair // width],
        "label": vocabulary.labels[pair % width] if len(pair) else np.zeros(0, np.uint64),
        "mark_count": count.astype(np.uint32),
        "weight": np.bincount(inverse, weighed.mark_weight, minlength=len(pair)).astype(np.float32),
        "last_mark_ms": last,
        "log_odds": np.bincount(inverse, odds, minlength=len(pair)),
    }
