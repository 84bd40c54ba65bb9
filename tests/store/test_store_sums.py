"""EM's sums as GROUP BYs in the store, on each engine and on a cluster, beside those in memory."""

import itertools

import numpy as np
import pytest

from services.application import ROOT
from services.arbitration import chunks
from services.arbitration.domain import Marks, Vocabulary, starting_accuracies
from services.arbitration.gold import Gold
from services.arbitration.learning import settle, settle_shares, sums_in_memory
from services.arbitration.prior import Told
from services.arbitration.store_sums import StoreSums, write_cells
from services.arbitration.weighing import weigh_by
from services.common.migrate import migrate
from services.common.store import open_store

GOLD = {3: 2, 50: 0, 400: 1}
_databases = itertools.count(1)


@pytest.fixture(params=["chdb", "clickhouse", "cluster"])
def store(request):
    if request.param == "cluster":
        url = request.getfixturevalue("cluster").url(f"sums_{next(_databases)}")
        opened = open_store(url)
        yield opened
        opened.close()
    else:
        yield request.getfixturevalue(f"{request.param}_store")


def words(sources=3, categories=5):
    """Labels that mean one category mostly and the next a little; category 0 has none."""
    meaning = 0.8 * np.eye(categories + 1)[1:] + 0.2 * np.roll(np.eye(categories + 1)[1:], 1, 0)
    return Vocabulary(
        labels=np.arange(1, sources * categories + 1, dtype=np.uint64),
        sources=np.repeat(np.arange(1, sources + 1, dtype=np.uint64), categories),
        categories=np.arange(categories + 1, dtype=np.uint16),
        meaning=np.tile(meaning, (sources, 1)),
        half_life_ms=np.ones(sources * categories),
    )


def crowd(numbers=3_000, seed=1, sources=3, categories=5):
    """Marks of numbers that are of one category, by sources that are right 7 times of 10."""
    chance = np.random.default_rng(seed)
    each = chance.integers(1, 6, numbers)
    number_at = np.repeat(np.arange(numbers), each)
    count = len(number_at)
    truth = chance.choice(categories, numbers, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    right = chance.random(count) < 0.7
    said = np.where(right, truth[number_at], chance.integers(0, categories, count))
    source_at = chance.integers(0, sources, count)
    return Marks(
        numbers=(1 << 60) + 8613800138000 + np.arange(numbers),
        number_at=number_at,
        label_at=source_at * categories + said,
        source_at=source_at,
        weight=chance.random(count) ** 0.5,
        occurred_ms=chance.integers(0, 10**9, count),
        reporter_at=np.full(count, -1),
        trait=chance.integers(0, 36, count),
        judges=np.ones(count, dtype=bool),
        mark_key=np.arange(count, dtype=np.uint64),
    )


def behaviour(marks, vocabulary):
    """What behaviour says of one number in two: log ratios of two classes, one a whole group."""
    chance = np.random.default_rng(3)
    told = Told((1, 3), marks.numbers[::2], chance.normal(size=(len(marks.numbers[::2]), 2)) * 2)
    return told.of(marks.numbers, vocabulary.categories).weighing(0.75)


@pytest.mark.parametrize("told", [False, True])
def test_the_store_learns_the_accuracies_that_memory_learns(store, told):
    migrate(store, "arbitration", ROOT / "arbitration" / "schema", clock=lambda: 0)
    vocabulary, marks = words(), crowd()
    frequency = np.bincount(marks.label_at, marks.weight, minlength=len(vocabulary.labels))
    start = starting_accuracies(vocabulary, frequency)
    weighed = weigh_by(marks, vocabulary, start)
    prior = behaviour(marks, vocabulary) if told else None
    write_cells(store, 7, marks, weighed, GOLD, prior)
    write_cells(store, 6, crowd(seed=2), weigh_by(crowd(seed=2), vocabulary, start), {})

    whole = settle(vocabulary, sums_in_memory(weighed, Gold.of(GOLD), prior), start, start, 12, 0.0)
    spread = settle(vocabulary, StoreSums(store, 7, prior), start, start, 12, 0.0)

    assert spread.iteration_count == whole.iteration_count == 12
    for name in ("log_confusion", "log_noise", "log_prior"):
        one, other = np.exp(getattr(whole, name)), np.exp(getattr(spread, name))
        assert np.abs(one - other).max() < 1e-6
    assert np.abs(np.exp(whole.log_confusion) - np.exp(start.log_confusion)).max() > 0.05


def test_the_store_learns_shares_under_a_prior_as_memory_does(store):
    migrate(store, "arbitration", ROOT / "arbitration" / "schema", clock=lambda: 0)
    vocabulary, marks = words(), crowd()
    start = starting_accuracies(vocabulary, np.ones(len(vocabulary.labels)))
    weighed = weigh_by(marks, vocabulary, start)
    prior, gold = behaviour(marks, vocabulary), Gold.of(GOLD)
    write_cells(store, 7, marks, weighed, GOLD, prior)

    by_marks = settle(vocabulary, sums_in_memory(weighed, gold), start, start, 5, 0.0)
    whole = settle_shares(sums_in_memory(weighed, gold, prior), by_marks, start, 5, 0.0)
    silent = StoreSums(store, 7, prior.silent())
    spread = settle(vocabulary, silent, start, start, 5, 0.0)
    spread = settle_shares(StoreSums(store, 7, prior), spread, start, 5, 0.0)

    for name in ("log_confusion", "log_noise", "log_prior"):
        one, other = np.exp(getattr(whole, name)), np.exp(getattr(spread, name))
        assert np.abs(one - other).max() < 1e-6
    assert np.abs(np.exp(whole.log_prior) - np.exp(by_marks.log_prior)).max() > 0.01


def test_memory_adds_up_the_same_in_any_number_of_pieces(monkeypatch):
    vocabulary, marks = words(), crowd()
    start = starting_accuracies(vocabulary, np.ones(len(vocabulary.labels)))
    weighed = weigh_by(marks, vocabulary, start)

    whole, mass = sums_in_memory(weighed, Gold.of(GOLD))(start)
    monkeypatch.setattr(chunks, "CHUNK", 7)
    pieces, mass_of_pieces = sums_in_memory(weighed, Gold.of(GOLD))(start)

    assert np.allclose(whole, pieces, rtol=1e-12)
    assert np.allclose(mass, mass_of_pieces, rtol=1e-12)
