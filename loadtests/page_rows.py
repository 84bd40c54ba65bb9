"""A country's rows for the benchmark of the pages: numbers, their marks, behaviour, registrations.

Written through the tables' own inserts; what follows from them (features, posteriors, what is
published) the services make of them.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.store import Store
from services.ingest import digest, queries

DAY_MS = 86_400_000
PART = 500_000
E164 = 1 << 60
FIRST = 8613_000_000_000
SOURCES = ("app-one", "app-two", "app-three", "app-four", "app-five", "app-six")
WORDS = (
    "诈骗电话", "骚扰电话", "广告推销", "贷款理财", "保险推销", "房产中介", "教育培训", "招聘猎头",
    "快递物流", "送餐外卖", "出租车", "客服热线",
)  # fmt: skip
STRANGE = tuple(f"某地方言叫法{i}" for i in range(10))
"""Words of each source that the crosswalk does not know."""
STRANGE_SHARE = 0.01
RIGHT_SHARE = 0.75
MARKS = 3
"""Marks of a number, on average; everyone has one."""
WITH_BEHAVIOUR, DAYS, GANGS, GANG = 100_000, 5, 50, 40
"""Numbers of which a carrier tells, days of each; groups of numbers that call alike, their size."""
HOLDERS, LINES, KNOWN_GOOD, REASSIGNED = 500, 20, 5_000, 50_000
"""Enterprises and numbers of each; numbers known to be good; numbers with a new holder."""
COUNTS = (
    "answered_out", "distinct_callees", "ring_only_out", "short_calls_out", "calls_in",
    "callbacks_in", "night_calls_out", "max_calls_per_callee", "max_calls_per_minute",
    "max_callers_share_callee", "distinct_areas", "imei_count", "cell_count",
    "intl_ingress_calls", "auth_failed_calls", "after_refusal_calls",
)  # fmt: skip

I64 = npt.NDArray[np.int64]


def fill(store: Store, count: int, now_ms: int) -> I64:
    """Write the facts of `count` numbers; their keys, ascending."""
    rng = np.random.default_rng(11)
    drawn = np.unique(rng.integers(0, 10**9, int(count * 1.002) + 10))
    numbers = np.sort(rng.permutation(drawn)[:count]) + E164 + FIRST
    seq = _marks(store, numbers, rng, now_ms)
    seq = _behaviour(store, numbers, rng, now_ms, seq)
    seq = _registry(store, numbers, rng, now_ms, seq)
    _lifecycle(store, numbers, rng, now_ms, seq)
    return numbers


def _commit(store: Store, table: str, columns: dict[str, Any], seq: int, now_ms: int) -> int:
    """Rows and their commit record, as ingest writes them. Returns the next seq."""
    count = len(columns["number"])
    columns["seq"] = np.arange(seq, seq + count, dtype=np.uint64)
    queries.insert_facts(store, None, table, columns, now_ms)
    queries.insert_changes(store, None, seq, columns["number"], now_ms)
    return seq + count


def _marks(store: Store, numbers: I64, rng: np.random.Generator, now_ms: int) -> int:
    """Marks over 200 days, with a tail: a few numbers have very many."""
    words = (*WORDS, *STRANGE)
    labels = np.array(
        [[digest.label_key(source, word) for word in words] for source in SOURCES], dtype=np.uint64
    )
    keys = np.array([digest.source_key(source) for source in SOURCES], dtype=np.uint64)
    queries.insert_names(
        store, "sources", [(int(key), name) for key, name in zip(keys, SOURCES, strict=True)], 1
    )
    rows = [
        (int(labels[s, w]), int(keys[s]), word)
        for s in range(len(SOURCES))
        for w, word in enumerate(words)
    ]
    queries.insert_names(store, "labels", rows, 1)
    truth = rng.integers(0, len(WORDS), len(numbers))
    share = np.cumsum(rng.pareto(1.5, len(numbers)) + 0.1)
    more = np.searchsorted(share / share[-1], rng.random((MARKS - 1) * len(numbers)))
    chosen = np.concatenate([np.arange(len(numbers)), np.minimum(more, len(numbers) - 1)])
    seq = 1
    for start in range(0, len(chosen), PART):
        at = chosen[start : start + PART]
        count = len(at)
        source = rng.integers(0, len(SOURCES), count)
        word = np.where(
            rng.random(count) < RIGHT_SHARE, truth[at], rng.integers(0, len(WORDS), count)
        )
        strange = rng.random(count) < STRANGE_SHARE
        word = np.where(strange, rng.integers(len(WORDS), len(words), count), word)
        occurred = now_ms - DAY_MS - rng.integers(0, 200 * DAY_MS, count)
        # Ids as they would be sent ("m1", "m2", …), so that their senders can ask after them.
        ids = (f"m{i}" for i in range(start, start + count))
        mark_key, mark_check = digest.mark_keys(SOURCES[0], ids, np.zeros(count, dtype=np.bool_))
        columns: dict[str, Any] = {
            "number": numbers[at],
            "occurred_ms": occurred,
            "source": keys[source],
            "label": labels[source, word],
            "reporter": rng.integers(1, len(chosen) // 10 + 2, count).astype(np.uint64),
            "origin": np.zeros(count, dtype=np.uint32),
            "kind": np.ones(count, dtype=np.uint8),
            "withdrawn": np.zeros(count, dtype=np.uint8),
            "call_ms": np.where(rng.random(count) < 0.9, occurred - 60_000, 0),
            "mark_key": mark_key,
            "mark_check": mark_check,
        }
        seq = _commit(store, "marks", columns, seq, now_ms)
    return seq


def _behaviour(store: Store, numbers: I64, rng: np.random.Generator, now_ms: int, seq: int) -> int:
    """Days of calls; members of a gang call on the same days in nearly the same way."""
    told = np.sort(rng.choice(numbers, min(WITH_BEHAVIOUR, len(numbers)), replace=False))
    gangs = np.full(len(told), -1)
    members = rng.permutation(len(told))[: GANGS * GANG]
    gangs[members] = np.arange(len(members)) % GANGS
    base = rng.geometric(0.02, len(told))
    base = np.where(gangs >= 0, 200 + 13 * gangs, base)
    way = rng.random((GANGS + 1, len(COUNTS)))
    last = (now_ms + 8 * 3_600_000) // DAY_MS - 1
    for day in range(last - DAYS + 1, last + 1):
        calls = np.where(gangs >= 0, base + rng.integers(0, 3, len(told)), base)
        columns: dict[str, Any] = {
            "number": told,
            "day": np.full(len(told), day, dtype=np.int32),
            "carrier": np.full(len(told), "carrier"),
            "calls_out": calls,
            "talk_s": calls * 30,
            "sequential_ratio": np.where(gangs >= 0, way[gangs, 0], rng.random(len(told))),
        }
        for place, name in enumerate(COUNTS):
            alike = (calls * way[gangs, place]).astype(np.int64)
            columns[name] = np.where(gangs >= 0, alike, rng.integers(0, calls + 1))
        seq = _commit(store, "behaviour", columns, seq, now_ms)
    return seq


def _registry(store: Store, numbers: I64, rng: np.random.Generator, now_ms: int, seq: int) -> int:
    """Lines of enterprises, and numbers that are known to be good."""
    firms = HOLDERS * LINES
    some = rng.choice(numbers, firms + KNOWN_GOOD, replace=False)
    count = len(some)
    columns: dict[str, Any] = {
        "number": some,
        "prefix": np.full(count, ""),
        "holder": np.array([f"第{i // LINES}号公司" for i in range(firms)] + ["市"] * KNOWN_GOOD),
        "identity": np.array(["C03"] * firms + ["C02"] * KNOWN_GOOD),
        "purpose": np.full(count, ""),
        "outbound_allowed": np.full(count, 2, dtype=np.uint8),
        "valid_from_ms": np.full(count, now_ms - 900 * DAY_MS),
        "valid_until_ms": np.full(count, now_ms + 900 * DAY_MS),
    }
    return _commit(store, "registry", columns, seq, now_ms)


def _lifecycle(store: Store, numbers: I64, rng: np.random.Generator, now_ms: int, seq: int) -> int:
    some = rng.choice(numbers, min(REASSIGNED, len(numbers)), replace=False)
    columns: dict[str, Any] = {
        "number": some,
        "occurred_ms": now_ms - rng.integers(DAY_MS, 300 * DAY_MS, len(some)),
        "kind": np.ones(len(some), dtype=np.uint8),
        "carrier": np.full(len(some), "carrier"),
    }
    return _commit(store, "lifecycle", columns, seq, now_ms)
