"""Published columns for tests of the feed."""

from collections.abc import Mapping, Sequence

import numpy as np

from services.reputation.published.packing import NAMES, Columns

E164 = 1 << 60


def key(digits: int) -> int:
    """Key of an E.164 number from its digits."""
    return E164 | digits


def published(
    rows: Mapping[int, tuple[int, int, int, int]], version: int, risk: float = 0.5
) -> Columns:
    """Columns of rows given as number: (category, level, state, marks)."""
    numbers = sorted(rows)
    count = len(numbers)

    def column(at: int, dtype: type) -> np.ndarray:
        return np.array([rows[number][at] for number in numbers], dtype=dtype)

    def text(value: str) -> np.ndarray:
        values = np.empty(count, dtype=object)
        values[:] = value
        return values

    columns: Columns = {name: np.zeros(count, dtype=np.int64) for name in NAMES}
    columns |= {
        "number": np.array(numbers, dtype=np.int64),
        "version": np.full(count, version, dtype=np.uint64),
        "category": column(0, np.uint16),
        "level": column(1, np.uint8),
        "state": column(2, np.uint8),
        "mark_count": column(3, np.uint32),
        "probability": np.full(count, 0.8, dtype=np.float32),
        "risk": np.full(count, risk, dtype=np.float32),
        "categories": np.zeros((count, 5), dtype=np.uint16),
        "probabilities": np.zeros((count, 5), dtype=np.float32),
        "rule": text("rule@1"),
        "reasons": text(""),
        "model_version": text("1"),
    }
    return columns


def numbers_of(rows: np.ndarray) -> Sequence[int]:
    """Numbers of feed rows."""
    found: list[int] = rows["number"].tolist()
    return found
