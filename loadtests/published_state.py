"""A published state of any size, generated, for the benchmarks of serving."""

import itertools
from pathlib import Path

import numpy as np

from services.common.feed.rows import Rows
from services.reputation.filters import to_rows
from services.reputation.published import table
from services.reputation.published.packing import NAMES, Columns
from services.reputation.published.shelf import Mark
from services.reputation.state import PublishedState

E164 = 1 << 60
PREFIXES = np.array([86130, 86131, 86135, 86138, 86139, 86150, 86158, 86159, 86180, 86186, 86188])
UNIVERSE = len(PREFIXES) * 10**8
CATEGORIES = np.array([0, 1100, 2000, 3000, 3101, 3107, 3200, 4100, 4110, 4900], dtype=np.uint16)
SHARES = np.array([0.30, 0.06, 0.12, 0.16, 0.10, 0.06, 0.08, 0.06, 0.04, 0.02])
LEVEL_OF = {0: 0, 1100: 4, 2000: 2, 3000: 2, 3101: 2, 3107: 1, 3200: 2}
KINDS = np.array([0, 2000, 3000, 1100, 4900], dtype=np.uint16)
FEATURES = ("night_ratio", "calls_out", "marks_30d", "short_ratio", "callees", "fan_out", "days",
            "industry", "silent_ratio", "answer_ratio", "burst", "area_spread")  # fmt: skip
REASONS = [
    ";".join(("MARKS_AGREE" if i % 2 else "BEHAVIOUR", *found))
    for i, found in enumerate(itertools.permutations(FEATURES, 3))
]
"""Some 1,300 combinations of a rule and three features."""
CHUNK = 1_000_000


def numbers(count: int, seed: int = 7) -> np.ndarray:
    """`count` mobile numbers chosen at random, ascending keys."""
    generator = np.random.default_rng(seed)
    blocks = generator.integers(0, len(PREFIXES), int(count * 1.02) + 10)
    found = np.unique(PREFIXES[blocks] * 10**8 + generator.integers(0, 10**8, len(blocks)))
    picked = np.sort(generator.permutation(found)[:count])
    return E164 | picked


def columns(keys: np.ndarray, version: int = 1, seed: int = 8) -> Columns:
    """Published rows of those numbers."""
    generator, count = np.random.default_rng(seed), len(keys)
    category = generator.choice(CATEGORIES, count, p=SHARES)
    level = np.zeros(count, dtype=np.uint8)
    for code, value in LEVEL_OF.items():
        level[category == code] = value
    level[(category == 0)] = 1

    def text(values: list[str]) -> np.ndarray:
        made = np.empty(len(values), dtype=object)
        made[:] = values
        return made[generator.integers(0, len(values), count)]

    marked = category > 0
    marks = np.where(marked, generator.geometric(0.2, count), 0)
    last_ms = np.where(marked, generator.integers(1_770_000_000_000, 1_789_000_000_000, count), 0)
    first_ms = np.where(marks > 1, last_ms - generator.integers(0, 10**10, count), last_ms)
    others = generator.choice(CATEGORIES[1:], (count, 5)).astype(np.uint16)
    kinds = np.where(generator.random((count, 5)) < 0.7, KINDS, others)
    kinds[:, 0] = category
    kinds[~marked] = 0
    shares = generator.dirichlet([8, 2, 1, 0.5, 0.3], count).astype(np.float32)
    shares[~marked] = 0
    rows: Columns = {name: np.zeros(count, dtype=np.int64) for name in NAMES}
    rows |= {
        "number": keys,
        "version": np.full(count, version, dtype=np.uint64),
        "category": category,
        "probability": np.where(marked, generator.beta(6, 2, count), 0).astype(np.float32),
        "categories": kinds,
        "probabilities": shares,
        "risk": generator.beta(2, 3, count).astype(np.float32),
        "level": level,
        "state": np.where(marked, 3, 2).astype(np.uint8),
        "mark_count": marks.astype(np.uint32),
        "former_mark_count": np.zeros(count, dtype=np.uint32),
        "effective_sources": np.where(marked, generator.gamma(2, 1, count), 0).astype(np.float32),
        "first_mark_ms": first_ms,
        "last_mark_ms": last_ms,
        "update_ms": np.full(count, 1_790_000_000_000),
        "epoch": (generator.random(count) < 0.05).astype(np.uint32),
        "rule": text(["crowd_established@1", "behaviour@1"]),
        "reasons": text(REASONS),
        "model_version": text(["1"]),
    }
    return rows


def feed_rows(count: int) -> Rows:
    """`count` numbers as the feed's rows, without those that are not shown."""
    keys, found = numbers(count), []
    for start in range(0, count, CHUNK):
        rows, shown = to_rows(columns(keys[start : start + CHUNK], seed=start))
        found.append(rows[shown])
    return np.concatenate(found)


def write(folder: Path, count: int) -> np.ndarray:
    """Publish `count` numbers as version 1 into the folder of a published state; their keys."""
    keys = numbers(count)
    parts = [
        table.of_columns(columns(keys[start : start + CHUNK], seed=start))
        for start in range(0, count, CHUNK)
    ]
    state = PublishedState(folder)
    state.replace(parts, Mark(1, 1_790_000_000_000, 1_790_000_000_000, ""))
    state.close()
    return keys
