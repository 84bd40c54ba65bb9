"""Feature rows from the store, on both engines: known by then, and the same however asked for."""

import itertools
import math
import random

import numpy as np
import pytest

from services.application import ROOT
from services.common.facts import COUNTS
from services.common.migrate import migrate
from services.configuration import NAMES as SERVICES
from services.features.definitions import FEATURES, NAMES
from services.features.server import build
from services.features.touched import compute
from services.scoring.queries import feature_rows
from tests.store.facts import put

DAY_MS = 86_400_000
AS_OF = 1_790_000_000_000
E164 = 1 << 60
NUMBERS = np.array([E164 + 8613800138000 + i * 1_500 for i in range(40)], dtype=np.int64)


@pytest.fixture
def store(either):
    for name in SERVICES:
        migrate(either, name, ROOT / name / "schema", clock=lambda: 0)
    return either


_ids = itertools.count(2, 2)


def add_marks(store, rows, keys=None, withdrawn=0):
    """Marks given as (number, age in days, origin, reporter); their keys."""
    count = len(rows)
    keys = keys or [next(_ids) for _ in rows]
    put(
        store,
        "marks",
        {
            "number": np.array([row[0] for row in rows], dtype=np.int64),
            "occurred_ms": np.array([AS_OF - int(row[1] * DAY_MS) for row in rows]),
            "source": np.full(count, 7, dtype=np.uint64),
            "label": np.full(count, 9, dtype=np.uint64),
            "reporter": np.array([row[3] for row in rows], dtype=np.uint64),
            "origin": np.array([row[2] for row in rows], dtype=np.uint32),
            "kind": np.ones(count, dtype=np.uint8),
            "withdrawn": np.full(count, withdrawn, dtype=np.uint8),
            "call_ms": np.zeros(count, dtype=np.int64),
            "mark_key": np.array(keys, dtype=np.uint64),
            "mark_check": np.zeros(count, dtype=np.uint64),
            "seq": np.arange(count, dtype=np.uint64),
            "received_ms": np.full(count, AS_OF),
        },
    )
    return keys


def add_lifecycle(store, number, age_days, kind=1):
    put(
        store,
        "lifecycle",
        {
            "number": [int(number)],
            "occurred_ms": [AS_OF - int(age_days * DAY_MS)],
            "kind": np.array([kind], dtype=np.uint8),
            "carrier": ["carrier"],
            "seq": np.array([1], dtype=np.uint64),
        },
    )


def add_behaviour(store, numbers, age_days=3, seed=1):
    """A day of calls of each number, of every kind some."""
    chance, count = random.Random(seed), len(numbers)
    day = AS_OF // DAY_MS - age_days
    put(
        store,
        "behaviour",
        {
            "number": np.array(numbers, dtype=np.int64),
            "day": np.full(count, day, dtype=np.int32),
            "carrier": ["CMCC"] * count,
            **{
                name: np.array([chance.randint(1, 50) for _ in range(count)], dtype=np.int64)
                for name in COUNTS
            },
            "sequential_ratio": np.array([chance.random() for _ in range(count)]),
            "seq": np.arange(count, dtype=np.uint64),
        },
    )


def history(seed=1, count=400):
    chance = random.Random(seed)
    return [
        (int(chance.choice(NUMBERS)), chance.uniform(0.01, 120), chance.randrange(4), i + 1)
        for i in range(count)
    ]


def run_job(store):
    """Numbers and rows that the job writes."""
    build(store, 5, AS_OF, "", lambda: AS_OF)
    return feature_rows(store, 5, -1, 1_000)


def named(rows, name):
    return rows[:, NAMES.index(name)]


def test_touched_numbers_get_the_rows_of_the_job(store):
    add_marks(store, history())
    add_lifecycle(store, NUMBERS[3], 20)
    add_behaviour(store, NUMBERS[2:])
    numbers, rows = run_job(store)

    touched = compute(store, AS_OF, numbers[5:15])

    assert np.isfinite(named(rows[2:], "alike_distance")).all()

    np.testing.assert_allclose(touched, rows[5:15], rtol=1e-5, equal_nan=True)


def test_what_comes_later_changes_nothing(store):
    add_marks(store, history())
    add_behaviour(store, NUMBERS)
    numbers, before = run_job(store)
    add_marks(store, [(int(number), -0.5, 1, 1) for number in numbers])
    add_lifecycle(store, numbers[0], -1)
    add_behaviour(store, NUMBERS, age_days=-1, seed=2)

    after = compute(store, AS_OF, numbers)
    build(store, 6, AS_OF, "", lambda: AS_OF)
    numbers_again, again = feature_rows(store, 6, -1, 1_000)

    np.testing.assert_allclose(after, before, rtol=1e-5, equal_nan=True)
    np.testing.assert_array_equal(numbers_again, numbers)
    np.testing.assert_array_equal(again, before)


def test_marks_of_an_earlier_holder_do_not_count(store):
    add_marks(store, [(int(NUMBERS[0]), age, 1, 1) for age in (5, 6, 7, 40)])
    add_lifecycle(store, NUMBERS[0], 5.5)

    rows = compute(store, AS_OF, NUMBERS[:1])

    assert named(rows, "marks_count") == 1
    assert named(rows, "epoch") == 1
    assert named(rows, "tenure_days") == pytest.approx(5.5)


def test_the_dynamics_of_a_number_are_what_their_descriptions_say(store):
    ages = (0.5, 2, 2.25, 6, 20, 100)
    origins = (3, 3, 0, 3, 5, 5)
    add_marks(
        store,
        [(int(NUMBERS[0]), a, o, i) for i, (a, o) in enumerate(zip(ages, origins, strict=True))],
    )

    (row,) = compute(store, AS_OF, NUMBERS[:1])

    found = dict(zip(NAMES, row.tolist(), strict=True))
    assert [found[f"marks_{d}d_count"] for d in (1, 3, 7, 14, 30, 90)] == [1, 3, 4, 4, 5, 5]
    assert found["marks_count"] == 6
    assert [found[f"mark_{n}_days"] for n in (2, 3, 5)] == pytest.approx([2, 2.25, 20])
    assert math.isnan(found["mark_10_days"])
    assert found["last_mark_days"] == pytest.approx(0.5)
    assert found["first_mark_days"] == pytest.approx(100)
    assert found["origins_count"] == 2
    assert found["origin_known_ratio"] == pytest.approx(5 / 6)
    assert found["origin_top_ratio"] == pytest.approx(3 / 6)
    assert found["decayed_1d_count"] == pytest.approx(sum(2**-age for age in ages), rel=1e-4)
    assert found["reporters_count"] == 5
    assert [found[f"origins_{d}d_count"] for d in (1, 3, 7, 14, 30, 90)] == [1, 1, 1, 1, 2, 2]
    assert [found[f"reporters_{d}d_count"] for d in (1, 3, 7, 30)] == [0, 2, 3, 4]
    assert [found[f"sources_{d}d_count"] for d in (1, 90)] == [1, 1]
    assert found["mark_weeks_count"] == 2
    assert found["mark_gap_last_days"] == pytest.approx(1.5)
    assert found["mark_gap_max_days"] == pytest.approx(80)
    gaps = np.array([1.5, 0.25, 3.75, 14, 80])
    bursts = (gaps.std() - gaps.mean()) / (gaps.std() + gaps.mean())
    assert found["burstiness"] == pytest.approx(bursts, rel=1e-5)
    shares = np.array([3, 1, 2]) / 6
    assert found["origin_entropy_bits"] == pytest.approx(-(shares @ np.log2(shares)), rel=1e-5)
    assert found["label_entropy_bits"] == 0
    assert found["withdrawn_ratio"] == 0
    assert found["number_prefix"] == 861380
    assert found["marks_last_day_count"] == 1
    assert found["marks_top_day_count"] == 2


def test_a_withdrawn_mark_counts_as_withdrawn_alone(store):
    keys = add_marks(store, [(int(NUMBERS[0]), age, 1, 1) for age in (3, 2, 1)])
    add_marks(store, [(int(NUMBERS[0]), 0.5, 1, 1)], [keys[0] + 1], withdrawn=1)

    (row,) = compute(store, AS_OF, NUMBERS[:1])

    found = dict(zip(NAMES, row.tolist(), strict=True))
    assert found["marks_count"] == 2
    assert found["first_mark_days"] == pytest.approx(2)
    assert found["withdrawn_ratio"] == pytest.approx(1 / 3)


def test_a_released_number_rests_until_it_is_assigned(store):
    add_lifecycle(store, NUMBERS[0], 9, kind=1)
    add_lifecycle(store, NUMBERS[0], 4, kind=2)
    add_lifecycle(store, NUMBERS[1], 9, kind=2)
    add_lifecycle(store, NUMBERS[1], 4, kind=1)
    add_lifecycle(store, NUMBERS[1], 2, kind=3)

    rows = compute(store, AS_OF, NUMBERS[:2])

    assert named(rows, "released_days").tolist() == pytest.approx([4, math.nan], nan_ok=True)
    assert named(rows, "tenure_days").tolist() == pytest.approx([4, 4])
    assert named(rows, "ported_days").tolist() == pytest.approx([math.nan, 2], nan_ok=True)
    assert named(rows, "epoch").tolist() == [1, 1]


def test_a_registration_in_force_is_told(store):
    count = 3
    put(
        store,
        "registry",
        {
            "number": NUMBERS[:count],
            "prefix": [""] * count,
            "holder": ["holder"] * count,
            "identity": ["C01"] * count,
            "purpose": [""] * count,
            "outbound_allowed": np.array([0, 1, 1], dtype=np.uint8),
            "valid_from_ms": np.array([AS_OF - 8 * DAY_MS, AS_OF - DAY_MS, AS_OF - 9 * DAY_MS]),
            "valid_until_ms": np.array([AS_OF + 1, AS_OF + 1, AS_OF - DAY_MS]),
            "seq": np.arange(count, dtype=np.uint64),
        },
    )

    rows = compute(store, AS_OF, NUMBERS[:4])

    assert named(rows, "registered").tolist() == [1, 1, 0, 0]
    days, outbound = named(rows, "registered_days"), named(rows, "registered_outbound")
    assert days.tolist() == pytest.approx([8, 1, math.nan, math.nan], nan_ok=True)
    assert outbound.tolist() == pytest.approx([0, 1, math.nan, math.nan], nan_ok=True)


def test_blocks_are_the_others_that_share_all_but_the_last_digits(store):
    number = E164 + 8613800130000
    others = {1: 1, 20: 2, 300: 3, 4_000: 4, 50_000: 5}
    for step, marks in others.items():
        add_marks(store, [(number + step, 40 if i else 1, 1, 1) for i in range(marks)])
    add_marks(store, [(number, 1, 1, 1)])
    run_job(store)

    (row,) = compute(store, AS_OF, np.array([number]))

    found = dict(zip(NAMES, row.tolist(), strict=True))
    sizes = (10, 100, 1_000, 10_000)
    assert [found[f"block_{size}_numbers_30d_count"] for size in sizes] == [1, 2, 3, 4]
    assert [found[f"block_{size}_marks_30d_count"] for size in sizes] == [1, 2, 3, 4]
    assert found["block_10000_older_count"] == 0 + 1 + 2 + 3


def test_a_mark_ages_by_what_was_marked_on_later_days(store):
    add_marks(store, [(int(NUMBERS[0]), 5, 1, 1)])
    add_marks(store, [(int(NUMBERS[1]), 3, 1, i) for i in range(6)])
    add_marks(store, [(int(NUMBERS[2]), 1, 1, i) for i in range(2)])

    _, rows = run_job(store)

    # Nine marks on three days: three on a mean day.
    ages = [8 / 3, 2 / 3, 0]
    assert named(rows, "last_mark_volume_days").tolist() == pytest.approx(ages)
    decayed = [2 ** -(8 / 3), 6 * 2 ** -(2 / 3), 2]
    assert named(rows, "decayed_1v_count").tolist() == pytest.approx(decayed)


def test_a_mark_on_a_busy_day_weighs_less(store):
    add_marks(store, [(int(NUMBERS[0]), 1, 1, 1), (int(NUMBERS[1]), 3, 1, 1)])
    add_marks(store, [(int(NUMBERS[2]), 3, 1, i) for i in range(3)])

    _, rows = run_job(store)

    # Two and a half marks on an average day, one on the first and four on the other.
    assert named(rows, "marks_day_weighted").tolist() == pytest.approx([2.5, 2.5 / 4, 7.5 / 4])


def test_marks_of_an_earlier_holder_are_in_no_feature_of_marks(store):
    add_marks(store, [(int(NUMBERS[0]), age, 1, 1) for age in (5, 6, 40)])
    add_lifecycle(store, NUMBERS[0], 2)

    (row,) = compute(store, AS_OF, NUMBERS[:1])

    marks = [f.name for f in FEATURES if f.group == "marks"]
    assert all(math.isnan(row[NAMES.index(name)]) or row[NAMES.index(name)] == 0 for name in marks)


def test_neighbours_are_the_others_of_the_block(store):
    add_marks(store, [(int(NUMBERS[0]), 1, 1, 1)])
    add_marks(store, [(int(NUMBERS[1]), age, 1, 1) for age in (80, 79, 78, 77, 10)])
    add_marks(store, [(int(NUMBERS[2]), 60, 1, 1)])
    numbers, rows = run_job(store)

    near = {name: named(rows, f"near_1000000_{name}") for name in (
        "numbers_count", "marks_mean", "repeated_ratio", "life_days", "return_ratio")}  # fmt: skip

    assert numbers.tolist() == NUMBERS[:3].tolist()
    assert near["numbers_count"].tolist() == [2, 2, 2]
    assert near["marks_mean"].tolist() == [3, 1, 3]
    assert near["repeated_ratio"].tolist() == [0.5, 0, 0.5]
    assert near["life_days"].tolist() == pytest.approx([35, 0, 35])
    # Two were first marked over 30 days ago, one of them came back: the common rate is one half.
    expected = [(1 + 2.5) / (2 + 5), (0 + 2.5) / (1 + 5), (1 + 2.5) / (1 + 5)]
    assert near["return_ratio"].tolist() == pytest.approx(expected)


def test_a_number_nobody_knows_has_a_row(store):
    add_marks(store, history())
    run_job(store)

    (row,) = compute(store, AS_OF, np.array([E164 + 8619900000000], dtype=np.int64))

    found = dict(zip(NAMES, row.tolist(), strict=True))
    assert found["marks_count"] == 0
    assert math.isnan(found["last_mark_days"])
    assert found["number_kind"] == 1
