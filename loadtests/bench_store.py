"""How fast each engine takes and gives columns: python -m loadtests.bench_store [--rows N]."""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from services.common.store import Columns, Store, open_store
from tests.clickhouse_server import ClickHouseServer

PLAIN = "number Int64, occurred_ms Int64, source UInt64, kind UInt8, weight Float32"
TEXT = "number Int64, text String"
LISTS = "number Int64, categories Array(UInt16), probabilities Array(Float32)"
SMALL_INSERT_ROWS = (1, 100, 10_000)
SMALL_INSERT_REPEATS = 60
KEY_COUNT = 200_000


def columns_of(kind: str, rows: int) -> Columns:
    """Rows as the services write them: numbers ascending at random, three list items each."""
    generator = np.random.default_rng(7)
    numbers = generator.integers(8_610_000_000_000, 8_620_000_000_000, rows)
    if kind == "plain":
        return {
            "number": numbers,
            "occurred_ms": generator.integers(1_700_000_000_000, 1_800_000_000_000, rows),
            "source": generator.integers(0, 30, rows).astype(np.uint64),
            "kind": generator.integers(0, 5, rows).astype(np.uint8),
            "weight": generator.random(rows, np.float32),
        }
    if kind == "text":
        return {"number": numbers, "text": pa.array(numbers % 5000).cast(pa.string())}
    offsets = np.arange(0, 3 * rows + 1, 3, dtype=np.int32)
    codes = generator.integers(0, 400, 3 * rows).astype(np.uint16)
    shares = generator.random(3 * rows, np.float32)
    return {
        "number": numbers,
        "categories": pa.ListArray.from_arrays(pa.array(offsets), pa.array(codes)),
        "probabilities": pa.ListArray.from_arrays(pa.array(offsets), pa.array(shares)),
    }


def seconds(call: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


@contextmanager
def table(store: Store, declared: str) -> Iterator[str]:
    store.execute(f"CREATE TABLE bench ({declared}) ENGINE = MergeTree ORDER BY number")
    yield "bench"
    store.execute("DROP TABLE bench")


def bulk(store: Store, rows: int) -> Iterator[tuple[str, str]]:
    for kind, declared in (("plain", PLAIN), ("text", TEXT), ("lists", LISTS)):
        columns = columns_of(kind, rows)
        with table(store, declared) as name:
            taken = seconds(partial(store.insert, name, columns))
            given = seconds(partial(store.query, f"SELECT * FROM {name}"))
        yield f"insert {rows} rows, {kind}", f"{rows / taken / 1e6:.2f} M rows/s"
        yield f"read {rows} rows, {kind}", f"{rows / given / 1e6:.2f} M rows/s"


def small(store: Store) -> Iterator[tuple[str, str]]:
    for rows in SMALL_INSERT_ROWS:
        with table(store, PLAIN) as name:
            columns = columns_of("plain", rows)
            taken = sorted(
                seconds(partial(store.insert, name, columns)) for _ in range(SMALL_INSERT_REPEATS)
            )
        yield f"insert {rows} rows, median / p95", milliseconds(taken)
    taken = sorted(seconds(partial(store.query, "SELECT 1 AS x")) for _ in range(200))
    yield "SELECT 1, median / p95", milliseconds(taken)


def keyed(store: Store, rows: int) -> Iterator[tuple[str, str]]:
    columns = columns_of("plain", rows)
    keys = {"number": columns["number"][:KEY_COUNT]}
    with table(store, PLAIN) as name:
        store.insert(name, columns)
        sql = f"SELECT sum(weight) AS s FROM {name} WHERE number IN (SELECT number FROM {{keys}})"
        taken = seconds(partial(store.query, sql, tables={"keys": keys}))
    yield f"sum over {len(keys['number'])} keys of {rows} rows", f"{taken * 1e3:.0f} ms"


def milliseconds(ascending: list[float]) -> str:
    p95 = ascending[int(len(ascending) * 0.95)]
    return f"{statistics.median(ascending) * 1e3:.1f} / {p95 * 1e3:.1f} ms"


def measure(url: str, rows: int) -> dict[str, str]:
    store = open_store(url)
    figures = {"engine": ".".join(map(str, store.engine_version))}
    for part in (small(store), bulk(store, rows), keyed(store, rows)):
        figures.update(part)
    store.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the bulk runs")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder, ClickHouseServer() as server:
        embedded = measure(f"chdb:{folder}", rows)
        served = measure(server.url("bench"), rows)
    width = max(map(len, embedded))
    print(f"{'':{width}}  {'chDB':>16}  {'ClickHouse':>16}")
    for name, figure in embedded.items():
        print(f"{name:{width}}  {figure:>16}  {served[name]:>16}")


if __name__ == "__main__":
    main()
