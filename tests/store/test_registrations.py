"""Registrations in force on both engines: of all, and of those numbers that are asked for."""

import numpy as np
import pytest

from services.application import ROOT
from services.common.migrate import migrate
from services.common.registrations import in_force
from services.common.store.asking import FEW

NOW = 1_790_000_000_000
FIRST = (1 << 60) + 8613800138000
COLUMNS = "number, prefix, holder"


@pytest.fixture
def store(either):
    migrate(either, "ingest", ROOT / "ingest" / "schema", clock=lambda: 0)
    return either


def register(store, seq, *rows):
    """Rows of number, prefix, holder, from and until, in milliseconds from now."""
    numbers, prefixes, holders, starts, ends = zip(*rows, strict=True)
    count = len(rows)
    store.insert(
        "registry",
        {
            "number": np.array(numbers, dtype=np.int64),
            "prefix": list(prefixes),
            "holder": list(holders),
            "identity": ["C04"] * count,
            "purpose": [""] * count,
            "outbound_allowed": np.ones(count, dtype=np.uint8),
            "valid_from_ms": NOW + np.array(starts),
            "valid_until_ms": NOW + np.array(ends),
            "seq": np.full(count, seq, dtype=np.uint64),
        },
    )


def holders(store, numbers=None):
    found = in_force(store, COLUMNS, NOW, numbers).to_pylist()
    return [(row["number"], row["prefix"], row["holder"]) for row in found]


def test_what_began_last_comes_last_in_whatever_order_it_was_told(store):
    register(store, 1, (FIRST, "", "new", -5, 9))
    register(store, 2, (FIRST, "", "old", -7, 9), (FIRST + 1, "", "other", -8, 9))
    register(store, 3, (0, "95", "range", -6, 9), (0, "96", "ended", -6, 0))
    register(store, 4, (FIRST, "", "later", 1, 9))

    other, old = (FIRST + 1, "", "other"), (FIRST, "", "old")
    assert holders(store) == [other, old, (0, "95", "range"), (FIRST, "", "new")]
    assert holders(store, np.array([FIRST, 0])) == [old, (0, "95", "range"), (FIRST, "", "new")]
    assert holders(store, np.array([FIRST + 1, FIRST + 2])) == [other]
    assert holders(store, np.array([], dtype=np.int64)) == []


@pytest.mark.parametrize("count", [1, FEW + 1])
def test_of_rows_told_twice_the_newest_stands(store, count):
    numbers = FIRST + np.arange(count)

    def tell(seq, holder, end):
        register(store, seq, *((n, "", holder, -5, end) for n in numbers.tolist()))

    tell(1, "first", 9)
    tell(3, "third", 9)
    tell(2, "second", 9)
    for asked in (None, numbers):
        assert {holder for _, _, holder in holders(store, asked)} == {"third"}
        assert len(holders(store, asked)) == count

    tell(4, "third", 0)  # it ended

    assert holders(store) == holders(store, numbers) == []
