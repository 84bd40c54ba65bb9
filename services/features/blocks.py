"""What the other numbers of a block of neighbouring numbers tell of one: pure."""

from collections.abc import Iterable, Mapping
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
    side_by_side,
)
from services.features.definitions import BLOCK_SIZES, NEAR_SIZES, TEN

BLOCK_SUMS = ("numbers_30d", "marks_30d", "marks_7d", "marks")
"""Of a block, and but for the first of a number."""


@dataclass(frozen=True)
class Blocks:
    """What the marks of blocks sum to, and what the numbers asked about are in it.

    Attributes:
        sums: `block`, ascending, and BLOCK_SUMS.
        own: `number`, ascending, and BLOCK_SUMS but for the first, of the numbers asked about.
    """

    sums: Aggregates
    own: Aggregates


def recent_marks(as_of_ms: int, numbers: I64, times: I64) -> dict[str, npt.NDArray[Any]]:
    """What `marks_of_blocks` sums, by `number` ascending, from single marks that count.

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


def marks_of_blocks(marks: Aggregates) -> dict[str, npt.NDArray[Any]]:
    """`block` of ten numbers, ascending, and what its marked numbers sum to."""
    recent = np.asarray(marks["marks_30d"])
    block, at, _ = groups(blocks_of(np.asarray(marks["number"], dtype=np.int64), 10))
    own = {**{name: marks[name] for name in BLOCK_SUMS[1:]}, "numbers_30d": recent > 0}
    return {
        "block": block,
        **{name: np.bincount(at, own[name], minlength=len(block)) for name in BLOCK_SUMS},
    }


def keys_of(blocks: I64, size: int) -> I64:
    """One integer for each block of a size of BLOCK_SIZES, (n,): its first number, whose last digit
    is 0, and in place of that digit which size it is.
    """
    return blocks * size + BLOCK_SIZES.index(size)


def by_size(sums: Aggregates, sizes: Iterable[int]) -> dict[int, Aggregates]:
    """`block`, ascending, and BLOCK_SUMS of blocks of each of some sizes, given `key` of all."""
    place = sums["key"] % TEN
    found: dict[int, Aggregates] = {}
    for size in sizes:
        those = place == BLOCK_SIZES.index(size)
        found[size] = {
            "block": sums["key"][those] // size,
            **side_by_side({name: sums[name][those] for name in BLOCK_SUMS}),
        }
    return found


def wider(tens: Aggregates) -> dict[int, Aggregates]:
    """By size of BLOCK_SIZES, the sums of blocks of ten over the blocks of that size."""
    found: dict[int, Aggregates] = {}
    for size in BLOCK_SIZES:
        block, at, _ = groups(np.asarray(tens["block"], dtype=np.int64) // (size // 10))
        found[size] = {
            "block": block,
            **{name: np.bincount(at, tens[name], minlength=len(block)) for name in BLOCK_SUMS},
        }
    return found


def block_columns(numbers: I64, blocks: Mapping[int, Blocks]) -> dict[str, F64]:
    """`block_…` columns of ascending numbers, given what their blocks of each size sum to."""
    columns: dict[str, F64] = {}
    for size, block in blocks.items():
        whole = Aligned(block.sums, "block", blocks_of(numbers, size)).columns(BLOCK_SUMS, 0)
        own = Aligned(block.own, "number", numbers).columns(BLOCK_SUMS[1:], 0)
        mine = np.concatenate([own[:1] > 0, own])
        marked_30d, marks_30d, marks_7d, marks = np.maximum(whole - mine, 0.0)
        columns[f"block_{size}_numbers_30d_count"] = marked_30d
        columns[f"block_{size}_marks_30d_count"] = marks_30d
        columns[f"block_{size}_marks_7d_count"] = marks_7d
        columns[f"block_{size}_older_count"] = marks - marks_30d
    return columns


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
    numbers: I64,
    contributed: Aggregates,
    near: Mapping[int, Aggregates],
    common_return_rate: float,
) -> dict[str, F64]:
    """`near_…` columns of ascending numbers, given what each marked number contributed."""
    own = Aligned(contributed, "number", numbers).columns(CONTRIBUTIONS, 0)
    columns: dict[str, F64] = {}
    for size, table in near.items():
        whole = Aligned(table, "block", blocks_of(numbers, size)).columns(CONTRIBUTIONS, 0)
        sums = dict(zip(CONTRIBUTIONS, np.maximum(whole - own, 0.0), strict=True))
        count = sums["numbers"]
        each = ratio(np.array([sums["marks"], sums["repeated"], sums["life_days"]]), count)
        columns[f"near_{size}_numbers_count"] = count
        columns[f"near_{size}_marks_mean"] = each[0]
        columns[f"near_{size}_repeated_ratio"] = each[1]
        columns[f"near_{size}_life_days"] = each[2]
        columns[f"near_{size}_active_count"] = sums["active"]
        columns[f"near_{size}_return_ratio"] = (
            sums["returned"] + RETURN_PRIOR * common_return_rate
        ) / (sums["old"] + RETURN_PRIOR)
    return columns


def common_return_rate(near: Mapping[int, Aggregates]) -> float:
    """Share of all old numbers that returned; 0 of none.

    Args:
        near: by size of NEAR_SIZES, the neighbourhoods of a run.
    """
    widest = near[NEAR_SIZES[-1]]
    return float(widest["returned"].sum()) / max(float(widest["old"].sum()), 1.0)
