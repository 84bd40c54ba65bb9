"""Registrations of numbers and of prefixes, as the store has them.

Whole registries are long, and numbers are touched all the time: ask for those of some.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.common.store import Store
from services.common.store.asking import Among, newest

_IN_FORCE = "valid_from_ms <= %(at)s AND valid_until_ms > %(at)s"


def in_force(
    store: Store, columns: str, at_ms: int, numbers: npt.NDArray[np.int64] | None = None
) -> pa.Table:
    """Columns of the registrations in force at a time, those that began last at the end.

    Args:
        store: where they are.
        columns: of `registry`, separated by commas.
        at_ms: the time, epoch milliseconds.
        numbers: only of these, 0 being that of all prefixes; None: all.
    """
    if numbers is None:
        sql = f"SELECT {columns} FROM registry FINAL WHERE {_IN_FORCE} ORDER BY valid_from_ms"
        return store.query(sql, {"at": at_ms})
    asked = Among.of(numbers)
    key = "number, prefix, valid_from_ms"
    rows = newest("registry", "*", key, f"number IN {asked.sql} AND valid_from_ms <= %(at)s")
    sql = f"SELECT {columns} FROM {rows} WHERE {_IN_FORCE} ORDER BY valid_from_ms"
    return store.query(sql, {"at": at_ms, **asked.params}, asked.tables)
