"""Features of all numbers and of touched ones, over a generated store.

python -m loadtests.bench_features [--numbers N] [--server]: N numbers, 20 N marks, 30 N days of
behaviour, in the process or, of touched numbers alone, on a ClickHouse server.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from loadtests import bars
from services.application import ROOT
from services.common import facts
from services.common.migrate import migrate
from services.common.store import Store, open_store
from services.configuration import NAMES as SERVICES
from services.features import queries, signals
from services.features.columns import Aggregates
from services.features.server import build
from services.features.signals.firing import fired_on
from services.features.touched import Wide, compute
from services.ingest.queries import insert_facts
from tests.clickhouse_server import ClickHouseServer

AS_OF = 1_790_000_000_000
DAY_MS = 86_400_000
LAST_DAY = (AS_OF + 8 * 3_600_000) // DAY_MS - 1
PART = 1_000_000
MARKS, DAYS = 20, 30
"""Marks and days of behaviour of a number, on average."""
SOURCES, WORDS, ORIGINS = 6, 12, 340
TOUCHED = 1_000

I64 = npt.NDArray[np.int64]


def line(what: str, figure: str, bar: str = "") -> None:
    print(f"{what:56} {figure:>14}  {bar}", flush=True)


def fill_marks(store: Store, numbers: I64, rng: np.random.Generator) -> None:
    """Marks over 90 days, with a tail: a few numbers have very many."""
    total = len(numbers) * MARKS
    share = rng.pareto(1.5, len(numbers)) + 0.1
    chosen = np.searchsorted(np.cumsum(share) / share.sum(), rng.random(total))
    for start in range(0, total, PART):
        at = np.minimum(chosen[start : start + PART], len(numbers) - 1)
        count = len(at)
        source = rng.integers(1, SOURCES + 1, count).astype(np.uint64)
        occurred = AS_OF - rng.integers(0, 90 * DAY_MS, count)
        columns: dict[str, Any] = {
            "number": numbers[at],
            "occurred_ms": occurred,
            "source": source,
            "label": source * np.uint64(WORDS) + rng.integers(0, WORDS, count).astype(np.uint64),
            "reporter": rng.integers(1, total // 10 + 2, count).astype(np.uint64),
            "origin": rng.integers(0, ORIGINS, count).astype(np.uint32),
            "kind": np.ones(count, dtype=np.uint8),
            "withdrawn": np.zeros(count, dtype=np.uint8),
            "call_ms": np.where(rng.random(count) < 0.9, occurred - 60_000, 0),
            "mark_key": np.arange(start, start + count, dtype=np.uint64) * np.uint64(2),
            "mark_check": np.zeros(count, dtype=np.uint64),
            "seq": np.arange(start, start + count, dtype=np.uint64),
        }
        insert_facts(store, None, "marks", columns, AS_OF)


def fill_behaviour(store: Store, numbers: I64, rng: np.random.Generator) -> None:
    """A row of every number for every day, sent day by day as carriers do."""
    for day in range(LAST_DAY - DAYS + 1, LAST_DAY + 1):
        for start in range(0, len(numbers), PART):
            some = numbers[start : start + PART]
            calls = rng.geometric(0.02, len(some))
            columns: dict[str, Any] = {
                "number": some,
                "day": np.full(len(some), day, dtype=np.int32),
                "carrier": np.full(len(some), "carrier"),
                "sequential_ratio": rng.random(len(some)),
                "seq": np.full(len(some), day, dtype=np.uint64),
                **{name: rng.integers(0, calls + 1) for name in facts.COUNTS},
                "calls_out": calls,
                "talk_s": calls * 30,
            }
            insert_facts(store, None, "behaviour", columns, AS_OF)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numbers", type=int, default=1_000_000)
    parser.add_argument("--server", action="store_true")
    given = parser.parse_args()
    if given.server:
        on_server(given.numbers)
    else:
        in_process(given.numbers)


def filled(store: Store, count: int) -> I64:
    """Fill a store, and let it rest; the numbers that are in it."""
    for name in SERVICES:
        migrate(store, name, ROOT / name / "schema", clock=lambda: 0)
    rng = np.random.default_rng(3)
    numbers = np.unique((1 << 60) + 8613_000_000_000 + rng.integers(0, 10**9, count))
    fill_marks(store, numbers, rng)
    fill_behaviour(store, numbers, rng)
    wait_for_rest(store)
    return numbers


def on_server(count: int) -> None:
    """Touched numbers where the store is a server of its own on the same two cores."""
    with ClickHouseServer() as server:
        store = open_store(server.url())
        numbers = filled(store, count)
        build(store, 1, AS_OF, "", lambda: AS_OF)
        touched_twice(store, numbers)
        store.close()


def in_process(count: int) -> None:
    """All numbers, and touched ones."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"chdb:{Path(folder)}/store")
        numbers = filled(store, count)
        line("peak memory before", f"{peak():,.0f} MiB")
        began = time.perf_counter()
        build(store, 1, AS_OF, "", lambda: AS_OF)
        taken = time.perf_counter() - began
        # The bars are for a million numbers and grow with them.
        line(
            f"features of {len(numbers):,} numbers",
            f"{taken:.0f} s",
            f"bar {120 * count / 1e6:.0f} s",
        )
        bars.at_most(f"features of {len(numbers):,} numbers, s", taken, 120 * count / 1e6)
        line(
            f"from {count * MARKS:,} marks and {len(numbers) * DAYS:,} behaviour rows, peak memory",
            f"{peak():,.0f} MiB",
            "bar 6,144 MiB",
        )
        bars.at_most("features, peak memory in MiB", peak(), 6_144)
        touched_twice(store, numbers)
        store.close()


def touched_twice(store: Store, numbers: I64) -> None:
    """Touched numbers among the parts that the engine keeps for a while, and once they are one,
    which the bars are about: a store is loaded in minutes and asked for months."""
    line("parts of facts by number, as loaded", str(parts(store)))
    touched(store, numbers, with_bars=False)
    store.execute(f"OPTIMIZE TABLE {facts.TABLE} FINAL")
    wait_for_rest(store)
    line("parts of facts by number, merged", str(parts(store)))
    touched(store, numbers)


def parts(store: Store) -> int:
    sql = """
        SELECT count() AS parts FROM system.parts
        WHERE active AND database = currentDatabase() AND table = %(table)s
    """
    return int(store.query(sql, {"table": facts.TABLE})["parts"][0].as_py())


def wait_for_rest(store: Store) -> None:
    """Wait until no table is merged."""
    while store.query("SELECT count() AS merges FROM system.merges")["merges"][0].as_py():
        time.sleep(1)


def touched(store: Store, numbers: I64, with_bars: bool = True) -> None:
    """Numbers one, ten and a thousand at a time; the incremental path asks for signals, too."""
    wide = Wide.of(store, *queries.wide_run(store, AS_OF))
    rules = signals.load()

    def fire(days: Aggregates) -> None:
        fired_on(store, AS_OF, days, rules)

    nothing = [_seconds(partial(store.query, "SELECT 1 AS one")) for _ in range(200)]
    empty_ms = float(np.median(nothing)) * 1_000
    line("a statement that reads nothing", f"{empty_ms:.2f} ms")
    for size, rounds in ((1, 400), (10, 50), (TOUCHED, 7)):
        draw = np.random.default_rng(size)
        alone, both = [], []
        for _ in range(rounds):
            some, other = (np.sort(draw.choice(numbers, size, replace=False)) for _ in range(2))
            alone.append(_seconds(partial(compute, store, AS_OF, some, None, wide)))
            both.append(_seconds(partial(compute, store, AS_OF, other, None, wide, fire)))
        each = float(np.median(alone)) * 1_000 / size
        line(f"{size:,} touched, each", f"{each:.2f} ms", "bar 5 ms" if with_bars else "")
        line("nine times of ten within", f"{np.quantile(alone, 0.9) * 1_000 / size:.2f} ms")
        if size == 1:
            line("so many times a statement that reads nothing", f"{each / empty_ms:.1f}")
        line("with signals", f"{np.median(both) * 1_000 / size:.2f} ms")
        if with_bars:
            bars.at_most(f"features of {size:,} touched, ms each", each, 5)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
