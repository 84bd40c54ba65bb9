"""A full pass of arbitration and touched numbers, over a generated store.

python -m loadtests.bench_arbitration [--marks N]
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from loadtests import bars
from services.application import ROOT
from services.arbitration.engine import Engine
from services.common.migrate import migrate
from services.common.store import Store, open_store
from services.configuration import NAMES as SERVICES

AS_OF = 1_790_000_000_000
DAY_MS = 86_400_000
WORDS = (
    "诈骗电话", "骚扰电话", "广告推销", "贷款理财", "保险推销", "房产中介", "教育培训", "招聘猎头",
    "快递物流", "送餐外卖", "出租车", "客服热线",
)  # fmt: skip
SOURCES = 6
PART = 1_000_000
TOUCHED = 1_000


def line(what: str, figure: str, bar: str = "") -> None:
    print(f"{what:52} {figure:>16}  {bar}", flush=True)


def fill(store: Store, marks: int) -> npt.NDArray[np.int64]:
    """Four marks a number on average, by six sources, twelve words and marks / 10 reporters."""
    rng = np.random.default_rng(3)
    numbers = np.unique((1 << 60) + 8613_000_000_000 + rng.integers(0, 10**9, marks // 4))
    truth = rng.integers(0, len(WORDS), len(numbers))
    keys = np.arange(7, 7 + SOURCES, dtype=np.uint64)
    store.insert(
        "sources",
        {"source": keys, "name": [f"app-{k}" for k in keys], "first_seen_ms": [0] * SOURCES},
    )
    store.insert(
        "labels",
        {
            "label": np.arange(100, 100 + SOURCES * len(WORDS), dtype=np.uint64),
            "source": np.repeat(keys, len(WORDS)),
            "text": list(WORDS) * SOURCES,
            "first_seen_ms": [0] * (SOURCES * len(WORDS)),
        },
    )
    for start in range(0, marks, PART):
        count = min(PART, marks - start)
        at = rng.integers(0, len(numbers), count)
        source = rng.integers(0, SOURCES, count)
        right = rng.random(count) < 0.75
        word = np.where(right, truth[at], rng.integers(0, len(WORDS), count))
        occurred = AS_OF - rng.integers(0, 60 * DAY_MS, count)
        columns: dict[str, Any] = {
            "number": numbers[at],
            "occurred_ms": occurred,
            "source": keys[source],
            "label": (100 + source * len(WORDS) + word).astype(np.uint64),
            "reporter": rng.integers(1, marks // 10 + 1, count).astype(np.uint64),
            "origin": np.zeros(count, dtype=np.uint32),
            "kind": np.ones(count, dtype=np.uint8),
            "withdrawn": np.zeros(count, dtype=np.uint8),
            "call_ms": np.where(rng.random(count) < 0.9, occurred - 60_000, 0),
            "mark_key": np.arange(start, start + count, dtype=np.uint64) * np.uint64(2),
            "mark_check": np.zeros(count, dtype=np.uint64),
            "seq": np.arange(start, start + count, dtype=np.uint64),
            "received_ms": np.full(count, AS_OF),
        }
        store.insert("marks", columns)
    return numbers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--marks", type=int, default=20_000_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"chdb:{Path(folder)}/store")
        for name in SERVICES:
            migrate(store, name, ROOT / name / "schema", clock=lambda: 0)
        numbers = fill(store, chosen.marks)
        line("resident before", f"{peak():.0f} MiB")
        engine = Engine(store)
        began = time.perf_counter()
        judged, marks, iterations = engine.run(10, AS_OF, AS_OF)
        taken = time.perf_counter() - began
        line(f"full pass, {marks:,} marks of {judged:,} numbers", f"{taken:.0f} s", "bar 90 s")
        line("peak memory of the process", f"{peak():.0f} MiB", "bar 4,096 MiB")
        bars.at_most("arbitration, full pass in s", taken, 90)
        bars.at_most("arbitration, peak memory in MiB", peak(), 4_096)
        asked = np.sort(np.random.default_rng(5).choice(numbers, TOUCHED, replace=False))
        engine.arbitrate(asked, AS_OF)
        times = []
        for seed in range(7):
            asked = np.sort(np.random.default_rng(seed).choice(numbers, TOUCHED, replace=False))
            began = time.perf_counter()
            engine.arbitrate(asked, AS_OF)
            times.append(time.perf_counter() - began)
        line(f"{TOUCHED:,} touched numbers", f"{np.median(times):.2f} s", "bar 0.5 s")
        bars.at_most(f"arbitration of {TOUCHED:,} touched numbers, s", float(np.median(times)), 0.5)
        store.close()


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
