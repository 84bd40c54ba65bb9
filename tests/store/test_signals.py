"""Signals on both engines: each rule fires at its thresholds and not just beside them."""

from dataclasses import replace

import numpy as np
import pytest

from services.application import ROOT
from services.common.migrate import migrate
from services.common.numbering import parse
from services.common.store.asking import FEW
from services.features import queries
from services.features.columns import columns_of
from services.features.signals import VALUES, Condition, Rule, load
from services.features.signals.firing import fired, fired_on, rule_days_of
from services.features.touched import days_of
from tests.store.facts import put

DAY_MS = 86_400_000
AS_OF = 1_790_000_000_000
TODAY = (AS_OF + 8 * 3_600_000) // DAY_MS
MOBILE = parse("13800138000", "CN").key
IOT = parse("1064912345678", "CN").key
FOREIGN = parse("+442079460000", "CN").key
SERVICE = parse("4008123123", "CN").key
NAMES = (
    "calls_out", "answered_out", "distinct_callees", "ring_only_out", "short_calls_out", "talk_s",
    "calls_in", "callbacks_in", "night_calls_out", "max_calls_per_callee", "max_calls_per_minute",
    "max_callers_share_callee", "distinct_areas", "imei_count", "cell_count",
    "intl_ingress_calls", "auth_failed_calls", "after_refusal_calls",
)  # fmt: skip
QUIET = {"calls_out": 10, "answered_out": 8, "distinct_callees": 6, "talk_s": 600, "calls_in": 9,
         "imei_count": 1, "cell_count": 3}  # fmt: skip


@pytest.fixture
def store(either):
    for name in ("features", "ingest"):
        migrate(either, name, ROOT / name / "schema", clock=lambda: 0)
    return either


def day(number=MOBILE, ago=2, carrier="c", sequential_ratio=0.0, **values):
    return {"number": number, "day": TODAY - ago, "carrier": carrier,
            "sequential_ratio": sequential_ratio, **QUIET, **values}  # fmt: skip


def add(store, *days, seq=0):
    columns = {
        "number": np.array([row["number"] for row in days]),
        "day": np.array([row["day"] for row in days], dtype=np.int32),
        "carrier": [row["carrier"] for row in days],
        "sequential_ratio": np.array([row["sequential_ratio"] for row in days]),
        "seq": np.arange(seq, seq + len(days), dtype=np.uint64),
    }
    for name in NAMES:
        columns[name] = np.array([row.get(name, 0) for row in days], dtype=np.int64)
    put(store, "behaviour", columns)


def of_number(store, number):
    """The rows of a number as of those read, which are those of the job."""
    days = days_of(store, AS_OF, np.array([number]))
    alone = fired_on(store, AS_OF, days, load()).to_pylist()
    of_all = fired(store, AS_OF, load()).to_pylist()
    assert alone == [row for row in of_all if row["number"] == number]
    return alone


def codes(store, number=MOBILE):
    return [row["code"] for row in of_number(store, number)]


# (code, a day on which it fires, and what to change so that it just does not)
EDGES = [
    ("B01", {"calls_out": 50, "ring_only_out": 30, "distinct_callees": 25, "answered_out": 40},
     [{"ring_only_out": 29}, {"distinct_callees": 24}, {"calls_out": 51}]),
    ("B01", {"calls_out": 30, "ring_only_out": 15, "callbacks_in": 5, "answered_out": 20},
     [{"ring_only_out": 14}, {"callbacks_in": 4}, {"calls_out": 31}]),
    ("B02", {"calls_out": 40, "max_calls_per_callee": 30}, [{"max_calls_per_callee": 29}]),
    ("B02", {"max_callers_share_callee": 5, "max_calls_per_callee": 10},
     [{"max_callers_share_callee": 4}, {"max_calls_per_callee": 9}]),
    ("B03", {"calls_out": 80, "max_calls_per_minute": 5, "answered_out": 40, "talk_s": 1000,
             "distinct_callees": 40},
     [{"calls_out": 79}, {"max_calls_per_minute": 4}, {"talk_s": 1001}]),
    ("B03", {"calls_out": 80, "sequential_ratio": 0.6, "answered_out": 40, "short_calls_out": 20,
             "talk_s": 4000, "distinct_callees": 40},
     [{"calls_out": 79}, {"sequential_ratio": 0.59}, {"short_calls_out": 19}]),
    ("B05", {"calls_out": 80, "distinct_callees": 48, "answered_out": 40, "talk_s": 4000},
     [{"calls_out": 79}, {"distinct_callees": 47}, {"answered_out": 41}]),
    ("B05", {"calls_out": 200, "distinct_callees": 100, "answered_out": 150, "talk_s": 9000},
     [{"calls_out": 199}, {"distinct_callees": 99}]),
    ("B06", {"after_refusal_calls": 1}, [{"after_refusal_calls": 0}]),
    ("B07", {"calls_out": 50, "night_calls_out": 10, "answered_out": 40},
     [{"night_calls_out": 9}, {"calls_out": 51}]),
    ("B09", {"calls_out": 25, "auth_failed_calls": 5},
     [{"auth_failed_calls": 4}, {"calls_out": 26}]),
    ("B10", {"calls_out": 25, "intl_ingress_calls": 5},
     [{"intl_ingress_calls": 4}, {"calls_out": 26}]),
    ("B11", {"calls_out": 100, "cell_count": 1, "calls_in": 2, "distinct_callees": 80,
             "answered_out": 90, "talk_s": 9000},
     [{"cell_count": 2}, {"calls_in": 3}, {"distinct_callees": 79}, {"calls_out": 99}]),
    ("B11", {"calls_out": 50, "imei_count": 4, "calls_in": 2, "answered_out": 40},
     [{"imei_count": 3}, {"calls_in": 3}, {"calls_out": 49, "calls_in": 2}]),
]  # fmt: skip


@pytest.mark.parametrize(("code", "values", "changes"), EDGES)
def test_a_rule_fires_at_its_thresholds_and_not_just_beside(store, code, values, changes):
    other = MOBILE + 1
    add(store, day(**values), *(day(other + i, **values | less) for i, less in enumerate(changes)))

    assert code in codes(store)
    for i, less in enumerate(changes):
        assert code not in codes(store, other + i), less


def test_an_ordinary_day_fires_nothing(store):
    add(store, day())

    assert codes(store) == []


@pytest.mark.parametrize(("ago", "expected"), [(0, []), (1, ["B06"]), (30, ["B06"]), (31, [])])
def test_only_whole_days_of_the_window_count(store, ago, expected):
    add(store, day(ago=ago, after_refusal_calls=1))

    assert codes(store) == expected


def test_days_are_counted_and_the_last_one_named(store):
    add(store, *(day(ago=ago, after_refusal_calls=1) for ago in (9, 5, 3)), day(ago=1))

    row = of_number(store, MOBILE)[0]

    assert (row["days"], row["last_day"]) == (3, TODAY - 3)


@pytest.mark.parametrize(
    ("number", "code"), [(IOT, "B08"), (FOREIGN, "B13"), (MOBILE, None), (SERVICE, None)]
)
def test_kinds_that_are_no_caller_or_come_from_abroad_are_noticed(store, number, code):
    add(store, day(number))

    assert codes(store, number) == ([code] if code else [])


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(SERVICE, "", 0)], ["B12"]),
        ([(SERVICE, "", 1)], []),
        ([(SERVICE, "", 2)], []),
        ([(0, "400", 0)], ["B12"]),
        ([(0, "400", 0), (SERVICE, "", 1)], []),
        ([(0, "400", 0), (0, "4008123", 1)], []),
        ([(0, "95", 0)], []),
    ],
)
def test_a_number_registered_as_inbound_only_must_not_call(store, rows, expected):
    add(store, day(SERVICE))
    number, prefix, allowed = zip(*rows, strict=True)
    count = len(rows)
    put(
        store,
        "registry",
        {
            "number": np.array(number, dtype=np.int64),
            "prefix": list(prefix),
            "holder": ["h"] * count,
            "identity": ["C04"] * count,
            "purpose": [""] * count,
            "outbound_allowed": np.array(allowed, dtype=np.uint8),
            "valid_from_ms": np.zeros(count, dtype=np.int64),
            "valid_until_ms": np.full(count, 2**62),
            "seq": np.arange(count, dtype=np.uint64),
        },
    )

    assert codes(store, SERVICE) == expected


@pytest.mark.parametrize(
    ("own", "forged", "victim"), [(3, 4, True), (2, 1, False), (3, 5, False), (0, 3, False)]
)
def test_who_calls_in_good_order_on_other_days_is_a_victim(store, own, forged, victim):
    add(
        store,
        *(day(ago=1 + i) for i in range(own)),
        *(day(ago=11 + i, calls_out=100, auth_failed_calls=90) for i in range(forged)),
    )

    found = of_number(store, MOBILE)

    assert [row["victim"] for row in found if row["code"] == "B09"] == [victim]
    assert all(not row["victim"] for row in found if row["code"] != "B09")


def test_all_numbers_at_once_get_what_each_gets_alone(store):
    add(store, *(day(MOBILE + i, ago=1 + i, after_refusal_calls=i % 2) for i in range(20)))

    whole = fired(store, AS_OF, load())

    assert whole.to_pylist() == [row for i in range(20) for row in of_number(store, MOBILE + i)]
    queries.insert_signals(store, 5, whole)
    assert store.query("SELECT count() AS n FROM signals WHERE run = 5")["n"].to_pylist() == [10]


def test_every_value_is_the_same_in_the_store_and_here(store):
    rng = np.random.default_rng(1)

    def random_day(at):
        counts = {name: rng.integers(0, 6) for name in NAMES}
        return day(MOBILE + at // 60, at % 32, "ab"[at % 2], rng.integers(0, 5) / 4, **counts)

    add(store, *map(random_day, range(600)))
    add(store, *map(random_day, range(0, 600, 3)), seq=600)  # corrected, in place of those before
    rules = tuple(
        Rule(f"{letter}{at}", 1, ((Condition(name, relation, 0.5),),), frozenset(), False, "")
        for relation, letter in ((">=", "A"), ("<=", "B"))
        for at, name in enumerate(VALUES)
    )
    both = Rule(
        "C", 1, (rules[0].cases[0] + rules[3].cases[0], rules[5].cases[0]), frozenset(), False, ""
    )
    signals = replace(load(), rules=(*rules, both), window_days=20)
    numbers = MOBILE + np.arange(10)

    stored = columns_of(queries.rule_days(store, AS_OF, signals))
    here = rule_days_of(days_of(store, AS_OF, numbers), AS_OF, signals)

    assert stored.keys() == here.keys()
    for name, column in stored.items():
        np.testing.assert_array_equal(here[name], column, err_msg=name)
    assert all(stored[f"days_{rule.code}"].any() for rule in rules)


@pytest.mark.parametrize("count", [1, FEW + 1])
def test_of_days_told_twice_the_newest_are_read(store, count):
    days = [day(MOBILE + at, calls_out=1) for at in range(count)]
    add(store, *days, *days, day(calls_out=1, carrier="other"))
    add(store, *(one | {"calls_out": 5} for one in days), seq=100_000)
    add(store, *(one | {"calls_out": 9} for one in days), seq=10_000)

    found = days_of(store, AS_OF, MOBILE + np.arange(count))

    told = sorted(zip(found["number"].tolist(), found["calls_out"].tolist(), strict=True))
    assert told == [(MOBILE, 1)] + [(MOBILE + at, 5) for at in range(count)]
