"""Full and incremental arbitration over the store, on both engines: the same answer from both."""

import random

import numpy as np
import pytest

from services.application import ROOT
from services.arbitration.engine import Engine
from services.common.migrate import migrate
from services.configuration import NAMES as SERVICES

DAY_MS, MINUTE_MS = 86_400_000, 60_000
AS_OF = 1_790_000_000_000
GROUP = 500
"""Accounts from here on move in groups."""
NUMBERS = [(1 << 60) + 8613800138000 + i for i in range(60)]
WORDS = {
    7: ("诈骗电话", "快递物流", "贷款理财"),
    8: ("诈骗", "快递", "贷款"),
    9: ("涉诈电话", "快递", "贷款"),
}


@pytest.fixture
def store(either):
    for name in SERVICES:
        migrate(either, name, ROOT / name / "schema", clock=lambda: 0)
    either.insert(
        "sources",
        {
            "source": np.array(list(WORDS), dtype=np.uint64),
            "name": [f"app-{key}" for key in WORDS],
            "first_seen_ms": [0] * len(WORDS),
        },
    )
    pairs = [(key, at, text) for key, texts in WORDS.items() for at, text in enumerate(texts)]
    either.insert(
        "labels",
        {
            "label": np.array([10 * key + at for key, at, _ in pairs], dtype=np.uint64),
            "source": np.array([key for key, _, _ in pairs], dtype=np.uint64),
            "text": [text for _, _, text in pairs],
            "first_seen_ms": [0] * len(pairs),
        },
    )
    return either


def history(seed):
    """Honest marks with calls, and groups of accounts that name none."""
    chance = random.Random(seed)
    rows = []
    for number in NUMBERS:
        truth = chance.randrange(3)
        for _ in range(chance.randrange(7)):
            word = truth if chance.random() < 0.8 else chance.randrange(3)
            at = AS_OF - chance.randrange(1, 60 * DAY_MS)
            call = at - MINUTE_MS if chance.random() < 0.9 else 0
            rows.append(
                (number, at, chance.choice(list(WORDS)), word, chance.randrange(1, 90), call)
            )
        if chance.random() < 0.3:
            begins, source = (
                AS_OF - chance.randrange(DAY_MS, 30 * DAY_MS),
                chance.choice(list(WORDS)),
            )
            group = GROUP + 10 * chance.randrange(3)
            rows += [(number, begins + i * MINUTE_MS, source, 0, group + i, 0) for i in range(8)]
    return rows


def add_marks(store, rows, first_key=2, withdrawn=0):
    count = len(rows)
    number, at, source, word, reporter, call = zip(*rows, strict=True)
    store.insert(
        "marks",
        {
            "number": np.array(number),
            "occurred_ms": np.array(at),
            "source": np.array(source, dtype=np.uint64),
            "label": np.array([10 * s + w for s, w in zip(source, word, strict=True)], np.uint64),
            "reporter": np.array(
                [1_000 * s + r for s, r in zip(source, reporter, strict=True)], np.uint64
            ),
            "origin": np.zeros(count, dtype=np.uint32),
            "kind": np.ones(count, dtype=np.uint8),
            "withdrawn": np.full(count, withdrawn, dtype=np.uint8),
            "call_ms": np.array(call),
            "mark_key": np.arange(first_key, first_key + 2 * count, 2, dtype=np.uint64),
            "mark_check": np.zeros(count, dtype=np.uint64),
            "seq": np.arange(count, dtype=np.uint64),
            "received_ms": np.full(count, AS_OF),
        },
    )


def stored(store, run):
    table = store.query(
        "SELECT * FROM posteriors WHERE run = %(run)s ORDER BY number", {"run": run}
    )
    return {row["number"]: row for row in table.to_pylist()}


def publish(store, numbers, at_ms):
    """A visible verdict on each number, in the reputation service's log."""
    count = len(numbers)
    store.insert(
        "published",
        {
            "lineage": np.zeros(count, dtype=np.uint64),
            "number": np.array(numbers),
            "version": np.ones(count, dtype=np.uint64),
            "category": np.full(count, 3107, dtype=np.uint16),
            "probability": np.ones(count, dtype=np.float32),
            "categories": [[3107]] * count,
            "probabilities": [[1.0]] * count,
            "risk": np.ones(count, dtype=np.float32),
            "level": np.full(count, 2, dtype=np.uint8),
            "state": np.ones(count, dtype=np.uint8),
            "rule": ["crowd"] * count,
            "effective_sources": np.ones(count, dtype=np.float32),
            "mark_count": np.ones(count, dtype=np.uint32),
            "former_mark_count": np.zeros(count, dtype=np.uint32),
            "first_mark_ms": np.full(count, at_ms),
            "last_mark_ms": np.full(count, at_ms),
            "reasons": [""] * count,
            "epoch": np.zeros(count, dtype=np.uint32),
            "update_ms": np.full(count, at_ms),
            "model_version": ["m"] * count,
        },
    )


def record(store, run, reporter):
    """Honest marks of a reporter over what marks of their kinds lead to expect."""
    found = store.query(
        "SELECT ratio FROM reporters WHERE run = %(run)s AND reporter = %(reporter)s",
        {"run": run, "reporter": reporter},
    )
    return found["ratio"].to_pylist()[0]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("restarted", [False, True])
def test_touched_numbers_get_what_the_full_pass_gave_them(store, seed, restarted):
    add_marks(store, history(seed))
    engine = Engine(store)
    engine.run(10, AS_OF, AS_OF)
    whole = stored(store, 10)

    asked = np.array(sorted(random.Random(seed).sample(sorted(whole), 12)), dtype=np.int64)
    found, run = (Engine(store) if restarted else engine).arbitrate(asked, AS_OF)

    assert run == 10
    for i, number in enumerate(asked.tolist()):
        row = whole[number]
        assert found.categories[i].tolist() == row["categories"]
        assert np.allclose(found.probabilities[i], row["probabilities"], atol=1e-6)
        assert found.counts["mark_count"][i] == row["mark_count"]
        assert found.counts["quarantined_count"][i] == row["quarantined_count"]
        assert found.effective_sources[i] == pytest.approx(row["effective_sources"], abs=1e-6)


def test_touched_numbers_judged_in_parts_get_what_they_get_together(store, monkeypatch):
    add_marks(store, history(2))
    engine = Engine(store)
    engine.run(10, AS_OF, AS_OF)
    unmarked = [NUMBERS[0] - 1, NUMBERS[-1] + 1]
    asked = np.array(sorted([*NUMBERS, *unmarked]), dtype=np.int64)
    together, _ = engine.arbitrate(asked, AS_OF)

    for name, value in (("PART_MARKS", 20), ("FIRST_AT_ONCE", 3), ("MARKS_AT_ONCE", 50)):
        monkeypatch.setattr(f"services.arbitration.reading.{name}", value)
    in_parts, _ = engine.arbitrate(asked, AS_OF)

    assert len(together.suspicions["number"])
    assert in_parts.decided_by == together.decided_by
    for name in ("numbers", "categories", "effective_sources", "decided_category"):
        np.testing.assert_array_equal(getattr(in_parts, name), getattr(together, name))
    np.testing.assert_allclose(in_parts.probabilities, together.probabilities, atol=1e-6)
    for name in ("counts", "evidence", "suspicions", "by_source"):
        for column, values in getattr(together, name).items():
            np.testing.assert_allclose(getattr(in_parts, name)[column], values, err_msg=column)


def test_matrices_learned_in_the_store_judge_touched_numbers_the_same(store):
    add_marks(store, history(1))
    engine = Engine(store, in_store=True, sample=20)
    engine.run(10, AS_OF, AS_OF)
    Engine(store, sample=20).run(9, AS_OF, AS_OF)
    whole, sampled = stored(store, 10), stored(store, 9)

    asked = np.array(sorted(whole)[::5], dtype=np.int64)
    found, run = engine.arbitrate(asked, AS_OF)

    assert run == 10
    for number, probabilities in zip(asked.tolist(), found.probabilities, strict=True):
        assert np.allclose(probabilities, whole[number]["probabilities"], atol=1e-6)
    moved = [
        abs(whole[n]["probabilities"][0] - sampled[n]["probabilities"][0]) > 1e-3 for n in whole
    ]
    assert any(moved)  # more was learned from than the sample


def test_marks_in_quarantine_are_named_and_counted_apart(store):
    add_marks(store, history(1))
    engine = Engine(store)

    engine.run(10, AS_OF, AS_OF)

    held = store.query(
        "SELECT number, mark_key, honesty FROM suspicions WHERE run = 10"
    ).to_pylist()
    whole = stored(store, 10)
    assert len(held) == sum(row["quarantined_count"] for row in whole.values()) > 0
    made = store.query(
        "SELECT reporter, mark_key FROM marks WHERE mark_key IN "
        "(SELECT mark_key FROM suspicions WHERE run = 10)"
    ).to_pylist()
    assert np.mean([row["reporter"] % 1_000 >= GROUP for row in made]) > 0.9
    assert max(row["honesty"] for row in held) <= 0.5


def test_marks_of_a_former_holder_weigh_nothing_from_the_next_pass_on(store):
    number = NUMBERS[0]
    add_marks(
        store, [(number, AS_OF - i * DAY_MS, 7, 0, i + 1, AS_OF - i * DAY_MS) for i in range(1, 9)]
    )
    engine = Engine(store)
    engine.run(10, AS_OF, AS_OF)
    before = stored(store, 10)[number]

    store.insert(
        "lifecycle",
        {
            "number": [number],
            "occurred_ms": [AS_OF - MINUTE_MS],
            "kind": np.array([1], dtype=np.uint8),
            "carrier": ["c"],
            "seq": np.array([1], dtype=np.uint64),
        },
    )
    engine.run(11, AS_OF, AS_OF)

    after = stored(store, 11)[number]
    assert (before["mark_count"], before["former_mark_count"]) == (8, 0)
    assert (after["mark_count"], after["former_mark_count"], after["epoch"]) == (0, 8, 1)
    touched, _ = engine.arbitrate(np.array([number]), AS_OF)
    assert touched.counts["mark_count"].tolist() == [0]


def test_only_marks_before_a_visible_verdict_judge_their_reporters(store):
    liar, until = 77, AS_OF - 20 * DAY_MS
    rows = []
    for at, number in enumerate(NUMBERS):
        late, word, lies = AS_OF - DAY_MS, at % 3, at < 20
        for source in (8, 9):
            call = until - source * DAY_MS
            rows.append((number, call + MINUTE_MS, source, word, 1 + at, call))
        said, reporter = ((word + 1) % 3, liar) if lies else (word, 1 + at)
        rows.append((number, late, 7, said, reporter, late - MINUTE_MS))
    add_marks(store, rows)
    Engine(store).run(10, AS_OF, AS_OF)
    publish(store, NUMBERS[:20], until)
    Engine(store).run(11, AS_OF, AS_OF)

    assert record(store, 10, 7_000 + liar) < 0.95
    assert record(store, 11, 7_000 + liar) == pytest.approx(1.0)


def test_a_mark_that_was_taken_back_weighs_nothing(store):
    number = NUMBERS[0]
    add_marks(store, [(number, AS_OF - DAY_MS, 7, 0, 1, AS_OF - DAY_MS)])
    add_marks(store, [(number, AS_OF - 5, 7, 0, 1, 0)], first_key=3, withdrawn=1)

    Engine(store).run(10, AS_OF, AS_OF)
    Engine(store).run(9, AS_OF - 10, AS_OF)

    assert number not in stored(store, 10)
    assert stored(store, 9)[number]["mark_count"] == 1
