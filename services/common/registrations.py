"""Registrations of numbers and of prefixes, as the store has them.

Whole registries are long, and numbers are touched all the time: ask for those of some.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.common.store import Store
from services.common.store.asking import Among, newest


def in_force(
    store: Store, columns: str, at_ms: int, numbers: npt.NDArray[np.int64] | None = None
) -> pa.Table:
    """Columns, valid_from_ms and valid_until_ms of the registrations in force at a time, ascending
    in when they began.

    Args:
        store: where they are.
        columns: of `registry`, separated by commas.
        at_ms: the time, epoch milliseconds.
        numbers: only of these, 0 being that of all prefixes; None: all.
    """
    columns = f"{columns}, valid_from_ms, valid_until_ms"
    begun, ends = "valid_from_ms <= %(at)s", "valid_until_ms > %(at)s"
    if numbers is None:
        sql = f"SELECT {columns} FROM registry FINAL WHERE {begun} AND {ends}"
        found = store.query(sql, {"at": at_ms})
    else:
        asked = Among.of(numbers)
        condition = f"number IN {asked.sql} AND {begun}"
        sql = newest("registry", columns, "number, prefix, valid_from_ms", condition)
        found = store.query(sql, {"at": at_ms, **asked.params}, asked.tables)
        # The newest row of a key says when it ends: not to be chosen by that among older ones.
        found = found.filter(pc.greater(found["valid_until_ms"], at_ms))
    return found.sort_by("valid_from_ms")
