"""Rows of touched numbers are summed by themselves; the job sums in the store: to the last bit."""

import numpy as np
import pyarrow as pa
import pytest

from services.application import ROOT
from services.common import facts
from services.common.migrate import migrate
from services.common.numbering.keys import relay_key, short_key, sms_key
from services.configuration import NAMES as SERVICES
from services.features import mark_queries, number_rows
from services.features.columns import columns_of
from services.features.definitions import NAMES
from services.features.mark_rows import MarkRows, counting
from services.features.mark_sums import SUMS, sums
from services.features.server import build
from services.features.touched import FIRST_AT_ONCE, compute, volumes_of
from services.scoring.queries import feature_rows
from tests.store.facts import put

DAY_MS = 86_400_000
AS_OF = 1_790_000_000_123
FIRST = 1 << 60
NOTHING_OUT = np.zeros(0, dtype=np.uint64)


@pytest.fixture
def store(either):
    for name in SERVICES:
        migrate(either, name, ROOT / name / "schema", clock=lambda: 0)
    return either


def fill(store, seed, count):
    """Marks, withdrawals, events, days of calls and registrations, many at the same time."""
    rng = np.random.default_rng(seed)
    mobiles = FIRST + 8613_800_000_000 + np.unique(rng.integers(0, 60_000, count))
    others = [short_key(95588), *map(sms_key, (981_201, 981_234, 987_654))]  # some of one block
    others += [relay_key(700_123_456_789_000 + last) for last in (12, 57)]
    numbers = np.append(mobiles, others)
    some = rng.choice(numbers, 12 * count)
    total = len(some)
    fresh = AS_OF + DAY_MS - rng.integers(0, 130 * DAY_MS, total)  # a few come later
    whole = AS_OF - rng.integers(0, 100, total) * DAY_MS  # on the edge of the windows
    occurred = np.where(rng.random(total) < 0.5, fresh, whole)
    key = np.arange(1, total + 1, dtype=np.uint64) * np.uint64(2)
    marks = {
        "number": some,
        "occurred_ms": occurred,
        "source": rng.integers(1, 4, total).astype(np.uint64),
        "label": rng.integers(0, 5, total).astype(np.uint64) << np.uint64(62),
        "reporter": rng.integers(0, total // 3, total).astype(np.uint64),
        "origin": rng.choice(np.array([0, 380, 755], dtype=np.uint32), total),
        "kind": np.ones(total, dtype=np.uint8),
        "withdrawn": np.zeros(total, dtype=np.uint8),
        "call_ms": np.where(rng.random(total) < 0.6, occurred - 60_000, 0),
        "mark_key": key,
        "mark_check": key,
        "seq": key,
        "received_ms": occurred,
    }
    put(store, "marks", marks)
    taken = rng.random(total) < 0.1
    back = {name: column[taken] for name, column in marks.items()}
    back["occurred_ms"] = back["occurred_ms"] + rng.integers(0, 5 * DAY_MS, taken.sum())
    back["withdrawn"] = np.ones(taken.sum(), dtype=np.uint8)
    back["mark_key"] = back["mark_key"] + np.uint64(1)
    put(store, "marks", back)
    held = np.repeat(numbers[rng.random(len(numbers)) < 0.3], 2)
    put(
        store,
        "lifecycle",
        {
            "number": held,
            "occurred_ms": AS_OF - rng.integers(-5, 100, len(held)) * DAY_MS,
            "kind": rng.integers(1, 5, len(held)).astype(np.uint8),
            "carrier": ["carrier"] * len(held),
            "seq": np.arange(len(held), dtype=np.uint64),
        },
    )
    _fill_behaviour(store, rng, np.repeat(numbers[rng.random(len(numbers)) < 0.7], 4))
    put(
        store,
        "registry",
        {
            "number": numbers[:5],
            "prefix": [""] * 5,
            "holder": ["holder"] * 5,
            "identity": ["company"] * 5,
            "purpose": [""] * 5,
            "outbound_allowed": np.array([0, 1, 2, 1, 1], dtype=np.uint8),
            "valid_from_ms": AS_OF - np.array([1, 2, 3, -4, 5]) * DAY_MS,
            "valid_until_ms": AS_OF + np.array([1, 2, 3, 4, -1]) * DAY_MS,
            "seq": np.arange(5, dtype=np.uint64),
        },
    )
    return numbers


def _fill_behaviour(store, rng, numbers):
    total = len(numbers)
    put(
        store,
        "behaviour",
        {
            "number": numbers,
            "day": ((AS_OF // DAY_MS) - rng.integers(-2, 34, total)).astype(np.int32),
            "carrier": rng.choice(["CMCC", "CUCC"], total).tolist(),
            **{name: rng.integers(0, 50, total) for name in facts.COUNTS},
            "sequential_ratio": rng.random(total),
            "seq": np.arange(total, dtype=np.uint64),
        },
    )


@pytest.mark.parametrize("seed", range(4))
def test_touched_numbers_have_the_bytes_of_the_job(store, seed):
    fill(store, seed, 200)
    build(store, 5, AS_OF, "", lambda: AS_OF)
    numbers, rows = feature_rows(store, 5, -1, 1_000)
    asked = np.random.default_rng(seed).random(len(numbers)) < 0.5

    touched = compute(store, AS_OF, numbers[asked])

    assert {name for name, column in zip(NAMES, rows.T, strict=True) if np.isnan(column).all()} <= {
        "alike_distance"
    }
    np.testing.assert_array_equal(touched, rows[asked])


def test_each_sum_is_the_same_in_the_store_and_here(store):
    numbers = fill(store, 9, 300)
    days = np.arange(AS_OF // DAY_MS - 60, AS_OF // DAY_MS + 1)
    volumes = volumes_of(pa.table({"day": days, "marks": days % 7 + 1}))
    told = facts.of_numbers(store, numbers, numbers, AS_OF, (0, 0))
    read, epochs = told["marks"], number_rows.epochs(told["lifecycle"])

    stored = columns_of(mark_queries.mark_dynamics(store, AS_OF, volumes))
    counts, _ = counting(read, epochs, NOTHING_OUT)
    order = np.lexsort((-read["occurred_ms"], read["number"]))
    order = order[counts[order]]
    here = sums(MarkRows(AS_OF, {k: v[order] for k, v in read.items()}, volumes))

    for name in ("number", "marks", *SUMS):
        one, other = here[name], stored[name]
        if one.dtype == np.float64:  # kept wide; 18.16 squares with an error in the last place
            one, other = one.astype(np.float32), other.astype(np.float32)
        np.testing.assert_array_equal(one, other, err_msg=name)


def test_wide_blocks_are_those_of_the_job_and_the_number_itself_is_in_none(store):
    numbers = fill(store, 7, 200)
    build(store, 5, AS_OF, "", lambda: AS_OF)
    _, before = feature_rows(store, 5, -1, 1_000)
    late = {name: column.to_numpy() for name, column in newest_marks(store).items()}
    shift = np.uint64(1 << 40)
    put(
        store,
        "marks",
        late
        | {"occurred_ms": np.full(len(late["number"]), AS_OF + 1_000)}
        | {name: late[name] + shift for name in ("mark_key", "mark_check", "seq")},
    )

    after = compute(store, AS_OF + 2_000, numbers)

    wide = [at for at, name in enumerate(NAMES) if name.startswith("block_10")]
    wide = [at for at in wide if not NAMES[at].startswith("block_10_")]
    np.testing.assert_array_equal(after[:, wide], before[:, wide])
    marks, in_ten = NAMES.index("marks_count"), NAMES.index("block_10_marks_30d_count")
    assert (after[:, marks] > before[:, marks]).all()
    assert after[:, in_ten].sum() > before[:, in_ten].sum()


def test_marks_that_are_excluded_later_do_not_turn_into_marks_of_neighbours(store):
    fill(store, 8, 200)
    build(store, 5, AS_OF, "", lambda: AS_OF)
    numbers, before = feature_rows(store, 5, -1, 1_000)
    read = facts.of_numbers(store, numbers, numbers, AS_OF, (0, 0))["marks"]
    own = read["mark_key"][read["number"] == numbers[100]]

    after = compute(store, AS_OF, numbers[100:101], own)

    wide = [at for at, name in enumerate(NAMES) if name.startswith(("block_100_", "block_1000"))]
    np.testing.assert_array_equal(after[:, wide], before[100:101, wide])
    assert before[100, NAMES.index("marks_count")] > after[0, NAMES.index("marks_count")] == 0


def newest_marks(store):
    """A mark of every number."""
    table = store.query(
        """
        SELECT number, max(occurred_ms) AS occurred_ms, any(source) AS source, any(label) AS label,
            any(reporter) AS reporter, any(origin) AS origin, any(kind) AS kind,
            toUInt8(0) AS withdrawn, toInt64(0) AS call_ms, max(mark_key) * 2 AS mark_key,
            max(mark_check) * 2 AS mark_check, max(seq) * 2 AS seq, max(received_ms) AS received_ms
        FROM marks GROUP BY number ORDER BY number
        """
    )
    return {name: table[name] for name in table.column_names}


def test_numbers_read_in_parts_have_the_rows_of_each(store, monkeypatch):
    numbers = fill(store, 3, 2 * FIRST_AT_ONCE)
    monkeypatch.setattr("services.features.touched.FACTS_AT_ONCE", 1_000)  # parts of some 80

    together = compute(store, AS_OF, numbers)

    assert len(together) == len(numbers) > FIRST_AT_ONCE
    for at in (0, FIRST_AT_ONCE - 1, FIRST_AT_ONCE, FIRST_AT_ONCE + 120, len(numbers) - 1):
        np.testing.assert_array_equal(together[at], compute(store, AS_OF, numbers[at : at + 1])[0])


@pytest.mark.parametrize("what", ["SUMMED_AT_ONCE", "ROWS_AT_ONCE"])
def test_marks_summed_and_rows_made_in_parts_are_the_same(store, monkeypatch, what):
    numbers = fill(store, 5, 100)
    together = compute(store, AS_OF, numbers)

    monkeypatch.setattr(f"services.features.touched.{what}", 30)

    np.testing.assert_array_equal(compute(store, AS_OF, numbers), together)


def test_an_excluded_mark_counts_in_no_row_of_its_block(store):
    numbers = fill(store, 4, 100)
    read = facts.of_numbers(store, numbers, numbers, AS_OF, (0, 0))["marks"]
    excluded = read["mark_key"][read["withdrawn"] == 0][::3]
    whole, before = compute(store, AS_OF, numbers), compute(store, AS_OF, numbers, excluded)
    store.execute(f"CREATE TABLE without AS {facts.TABLE}")
    store.execute(
        f"INSERT INTO without SELECT * FROM {facts.TABLE}"
        " WHERE NOT (row[1] = %(mark)s AND toUInt64(row[6]) IN %(out)s)",
        {"mark": facts.MARK, "out": excluded},
    )
    store.execute(f"RENAME TABLE {facts.TABLE} TO before, without TO {facts.TABLE}")

    after = compute(store, AS_OF, numbers)

    np.testing.assert_array_equal(before, after)
    count = NAMES.index("marks_count")
    assert before[:, count].sum() < whole[:, count].sum()
