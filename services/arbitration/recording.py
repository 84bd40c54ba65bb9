"""What a run learned and found, to the store and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.arbitration import domain, queries
from services.arbitration.half_lives import HalfLives
from services.arbitration.honesty import TRAITS, Honesty, Reporters
from services.arbitration.judging import Arbitrated
from services.arbitration.scorecards import Cards
from services.common.store import Store

I64 = npt.NDArray[np.int64]
LEARNED = ("label_noise", "honesty", "source_honesty", "copying", "reporters", "prior_weight")


def write_judged(
    store: Store,
    run: int,
    found: Arbitrated,
) -> None:
    """Append posteriors, evidence and suspicions to a run."""
    width = found.categories.shape[1]
    offsets = pa.array(np.arange(0, (len(found.numbers) + 1) * width, width, dtype=np.int32))
    queries.insert_run_rows(
        store,
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
    queries.insert_run_rows(store, "evidence", run, evidence)
    queries.insert_run_rows(store, "suspicions", run, found.suspicions)


def write_cards(
    store: Store,
    run: int,
    as_of_ms: int,
    vocabulary: domain.Vocabulary,
    cards: Cards,
    by_source: Mapping[str, I64],
    number_count: int,
) -> None:
    """Append what a run found of the sources."""
    keys = vocabulary.source_keys
    rows: dict[str, npt.NDArray[Any]] = {
        "source": keys[cards.source_at],
        "category": cards.category.astype(np.uint16),
        "week_ms": cards.week_ms,
        "marks": cards.marks,
        "told": cards.told,
        "right": cards.right,
    }
    queries.insert_run_rows(store, "scorecards", run, rows)
    delays = queries.delays(store, as_of_ms)
    counts: dict[str, npt.NDArray[Any]] = {
        "source": keys,
        **by_source,
        "all_numbers": np.full(len(keys), number_count),
        "called": np.array([delays.get(int(k), (0, -1))[0] for k in keys], dtype=np.int64),
        "delay_s": np.array([delays.get(int(k), (0, -1))[1] for k in keys], dtype=np.int64),
    }
    queries.insert_run_rows(store, "source_counts", run, counts)


def write_learned(
    store: Store, run: int, vocabulary: domain.Vocabulary, accuracies: domain.Accuracies
) -> None:
    """Append what a run learned."""
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
    rows["prior_weight"] = {"weight": np.array([accuracies.prior_weight])}
    for name, columns in rows.items():
        queries.insert_run_rows(store, name, run, columns)
    queries.insert_run_rows(
        store,
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


def write_half_lives(store: Store, run: int, lives: HalfLives) -> None:
    """Append the half-lives of a run."""
    queries.insert_run_rows(
        store,
        "half_lives",
        run,
        {
            "category": lives.category,
            "days": lives.days,
            "standard_days": lives.standard_days,
            "pairs": lives.pairs,
        },
    )


def half_lives(store: Store, run: int) -> HalfLives:
    """The half-lives of a run."""
    table = queries.learned(store, "half_lives", run)
    category, days, standard_days, pairs = (table[n].to_numpy() for n in table.column_names)
    return HalfLives(category, days, standard_days, pairs.astype(np.int64))


def restore(store: Store, run: int, vocabulary: domain.Vocabulary) -> domain.Accuracies:
    """Accuracies of a run, with starting values where it knew nothing."""
    stored = queries.accuracies(store, run)
    more = {name: queries.learned(store, name, run) for name in LEARNED}
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
    believed = columns["prior_weight"]["weight"]
    return domain.Accuracies(
        log_confusion, log_noise, log_prior, Honesty(stratum, reporters, missing), copying,
        prior_weight=float(believed[0]) if len(believed) else 0.0,
    )  # fmt: skip
