"""What the other numbers of a block of neighbouring numbers tell of one: pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.places import groups, runs
from services.features.columns import (
    DAY_MS,
    F64,
    I64,
    Aggregates,
    Aligned,
    blocks_of,
    ratio,
)
from services.features.definitions import BLOCK_SIZES, NEAR_SIZES, TEN

BLOCK_SUMS = ("numbers_30d", "marks_30d", "marks_7d", "marks")
"""Of a block, and but for the first of a number."""


@dataclass(frozen=True)
class Blocks:
    """What the marks of blocks sum to, and what the numbers asked about are in it.

    Attributes:
        sizes: of the blocks, of BLOCK_SIZES.
        sums: `key`, ascending, and BLOCK_SUMS.
        own: `number`, ascending, and BLOCK_SUMS but for the first, of the numbers asked about.
    """

    sizes: Sequence[int]
    sums: Aggregates
    own: Aggregates


def by_key(
    by_size: Mapping[int, Aggregates], sizes: Sequence[int], names: Sequence[str]
) -> dict[str, npt.NDArray[Any]]:
    """One table of those of blocks of several sizes: `key`, ascending, and columns.

    The key of a block is its first number, whose last digit is 0, and in place of that digit which
    of the sizes it has: the blocks that a number is in are near each other.

    Args:
        by_size: `block` and columns, by size.
        sizes: multiples of TEN, ten at most, these among them.
        names: of the columns.
    """
    tables = by_size.values()
    keys = [table["block"] * size + sizes.index(size) for size, table in by_size.items()]
    key = np.concatenate(keys)
    order = np.argsort(key, kind="stable")
    columns = {name: np.concatenate([table[name] for table in tables])[order] for name in names}
    return {"key": key[order], **columns}


def _keys_of(numbers: I64, which: Sequence[int], sizes: Sequence[int]) -> I64:
    """Keys of the blocks that numbers, (n,), are in, of `which` of the sizes, (which * n,)."""
    keys = [blocks_of(numbers, size) * size + sizes.index(size) for size in which]
    return np.concatenate(keys)


def recent_marks(as_of_ms: int, numbers: I64, times: I64) -> dict[str, npt.NDArray[Any]]:
    """What `marks_of_tens` sums, by `number` ascending, from single marks that count.

    Args:
        as_of_ms: epoch milliseconds.
        numbers: of each mark, (m,), in any order.
        times: when each occurred, (m,).
    """
    order = np.argsort(numbers, kind="stable")  # a store gives them in order, part by part
    numbers, times = numbers[order], times[order]
    marked, starts, count = runs(numbers)
    found: dict[str, npt.NDArray[Any]] = {"number": marked, "marks": count}
    for days in (7, 30):
        recent = times > as_of_ms - days * DAY_MS
        found[f"marks_{days}d"] = np.add.reduceat(recent, starts, dtype=np.int64)
    return found


def marks_of_tens(marks: Aggregates) -> dict[str, npt.NDArray[Any]]:
    """`key` of blocks of ten numbers, ascending, and what their marked numbers sum to."""
    recent = np.asarray(marks["marks_30d"])
    block, at, _ = groups(blocks_of(np.asarray(marks["number"], dtype=np.int64), TEN))
    own = {**{name: marks[name] for name in BLOCK_SUMS[1:]}, "numbers_30d": recent > 0}
    return {
        "key": block * TEN,
        **{name: np.bincount(at, own[name], minlength=len(block)) for name in BLOCK_SUMS},
    }


def wider(tens: Aggregates) -> dict[str, npt.NDArray[Any]]:
    """`key`, ascending, and BLOCK_SUMS of the wider blocks of BLOCK_SIZES, given those of ten."""
    found: dict[int, Aggregates] = {}
    for size in BLOCK_SIZES[1:]:
        block, at, _ = groups(tens["key"] // size)
        found[size] = {
            "block": block,
            **{name: np.bincount(at, tens[name], minlength=len(block)) for name in BLOCK_SUMS},
        }
    return by_key(found, BLOCK_SIZES, BLOCK_SUMS)


def block_columns(numbers: I64, blocks: Sequence[Blocks]) -> dict[str, F64]:
    """`block_…` columns of ascending numbers, given what their blocks of each size sum to."""
    columns: dict[str, F64] = {}
    for some in blocks:
        keys = _keys_of(numbers, some.sizes, BLOCK_SIZES)
        whole = Aligned(some.sums, "key", keys).columns(BLOCK_SUMS, 0)
        own = Aligned(some.own, "number", numbers).columns(BLOCK_SUMS[1:], 0)
        others = _without(whole, np.concatenate([own[:1] > 0, own]))
        marked_30d, marks_30d, marks_7d, marks = others
        older = marks - marks_30d
        for at, size in enumerate(some.sizes):
            columns[f"block_{size}_numbers_30d_count"] = marked_30d[at]
            columns[f"block_{size}_marks_30d_count"] = marks_30d[at]
            columns[f"block_{size}_marks_7d_count"] = marks_7d[at]
            columns[f"block_{size}_older_count"] = older[at]
    return columns


def _without(whole: F64, own: npt.NDArray[Any]) -> F64:
    """What the others in a number's blocks sum to, (sums, sizes, n).

    Args:
        whole: sums of the blocks, (sums, sizes * n).
        own: the number's, (sums, n).
    """
    others: F64 = np.maximum(whole.reshape(len(own), -1, own.shape[1]) - own[:, None], 0.0)
    return others


MIN_REPEATED = 3
"""Marks from which a number counts as marked repeatedly."""
OLD_DAYS = 30
RETURN_PRIOR = 5.0
"""So many numbers at the common rate are added to a block's own."""


CONTRIBUTIONS = ("numbers", "marks", "repeated", "life_days", "old", "returned", "active")


def contributions(as_of_ms: int, marks: Aggregates) -> dict[str, npt.NDArray[Any]]:
    """`number` ascending and what each marked number adds to its neighbourhoods, (n,) each."""
    total = np.asarray(marks["marks"], dtype=np.float64)
    first = np.asarray(marks["first_ms"], dtype=np.float64)
    last = np.asarray(marks["last_ms"], dtype=np.float64)
    old = (as_of_ms - first >= OLD_DAYS * DAY_MS).astype(np.float64)
    return {
        "number": np.asarray(marks["number"], dtype=np.int64),
        "numbers": np.ones(len(total)),
        "marks": total,
        "repeated": (total >= MIN_REPEATED).astype(np.float64),
        "life_days": (last - first) / DAY_MS,
        "old": old,
        "active": np.where(total > 1, np.asarray(marks["decayed_7d"], dtype=np.float64), 0.0),
        "returned": old * (np.asarray(marks["later"]) >= MIN_REPEATED),
    }


def neighbourhoods(contributed: Aggregates) -> dict[int, dict[str, npt.NDArray[Any]]]:
    """By size of NEAR_SIZES: `block` ascending and the sums of `contributions` over its numbers."""
    found = {}
    for size in NEAR_SIZES:
        block, at, _ = groups(blocks_of(contributed["number"], size))
        found[size] = {
            "block": block,
            **{
                name: np.bincount(at, contributed[name], minlength=len(block))
                for name in CONTRIBUTIONS
            },
        }
    return found


def near_columns(
    numbers: I64, contributed: Aggregates, near: Aggregates, common_return_rate: float
) -> dict[str, F64]:
    """`near_…` columns of ascending numbers, given what each marked number contributed.

    Args:
        numbers: (n,).
        contributed: `contributions`.
        near: `neighbourhoods` by key.
        common_return_rate: of `common_return_rate`.
    """
    keys = _keys_of(numbers, NEAR_SIZES, NEAR_SIZES)
    whole = Aligned(near, "key", keys).columns(CONTRIBUTIONS, 0)
    own = Aligned(contributed, "number", numbers).columns(CONTRIBUTIONS, 0)
    sums = dict(zip(CONTRIBUTIONS, _without(whole, own), strict=True))
    count, old, returned = sums["numbers"], sums["old"], sums["returned"]
    marks, repeated, life = ratio(
        np.array([sums["marks"], sums["repeated"], sums["life_days"]]), count
    )
    returns = (returned + RETURN_PRIOR * common_return_rate) / (old + RETURN_PRIOR)
    columns: dict[str, F64] = {}
    for at, size in enumerate(NEAR_SIZES):
        columns[f"near_{size}_numbers_count"] = count[at]
        columns[f"near_{size}_marks_mean"] = marks[at]
        columns[f"near_{size}_repeated_ratio"] = repeated[at]
        columns[f"near_{size}_life_days"] = life[at]
        columns[f"near_{size}_active_count"] = sums["active"][at]
        columns[f"near_{size}_return_ratio"] = returns[at]
    return columns


def common_return_rate(near: Mapping[int, Aggregates]) -> float:
    """Share of all old numbers that returned; 0 of none.

    Args:
        near: by size of NEAR_SIZES, the neighbourhoods of a run.
    """
    widest = near[NEAR_SIZES[-1]]
    return float(widest["returned"].sum()) / max(float(widest["old"].sum()), 1.0)
