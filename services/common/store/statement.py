"""How one SQL text with `%(name)s` and `{table}` becomes a statement of either engine."""

import re
from collections.abc import Mapping
from datetime import date, datetime
from datetime import time as time_of_day
from typing import Any

import numpy as np
from clickhouse_driver.util.escape import escape_param

_SLOT = re.compile(r"%\((?P<param>\w+)\)s|\{(?P<table>\w+)\}")
_NAME = re.compile(r"[A-Za-z_]\w*")
_TABLE_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?")
_INLINE_ROWS = re.compile(r"\s*INSERT\s+INTO\s+[\w.`]+\s*(\([^)]*\)\s*)?(VALUES|FORMAT)\b", re.I)


def render(sql: str, params: Mapping[str, Any] | None, table_sources: Mapping[str, str]) -> str:
    """Replace the slots of a statement.

    One pass over the text, so that a value may itself look like a slot. A `%` or `{…}` that is
    no slot stays as it is: `LIKE '%x%'` needs no doubling.

    Args:
        sql: text with `%(name)s` for a value and `{name}` for an external table.
        params: values: int, float, str, bool, None, UUID, Enum, or a list (rendered `[…]`),
            tuple or numpy array (rendered `(…)`) of them.
        table_sources: what the engine reads for each external table.

    Raises:
        ValueError: a placeholder without a value, or a value of another type.
    """
    values = params or {}

    def fill(slot: re.Match[str]) -> str:
        name = slot["param"]
        if name is None:
            return table_sources.get(slot["table"], slot[0])
        if name not in values:
            raise ValueError(f"statement parameter {name!r} has no value")
        return literal(values[name])

    return _SLOT.sub(fill, sql)


def checked_command(sql: str) -> str:
    """A statement that carries no rows in its text.

    Raises:
        ValueError: it is INSERT … VALUES, for whose rows an 18.16 server waits forever.
    """
    if _INLINE_ROWS.match(sql):
        raise ValueError("INSERT … VALUES is not for execute: use insert, or INSERT … SELECT")
    return sql


def literal(value: Any) -> str:
    """A value as an SQL literal that both engines read.

    Raises:
        ValueError: the value's type has no such literal; times are epoch milliseconds.
    """
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "iu" and len(value):
            return f"({str(value.tolist())[1:-1]})"
        value = tuple(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, tuple):
        # ClickHouse 18.16 has no empty tuple; NULL is in no set of values.
        return f"({', '.join(map(literal, value)) or 'NULL'})"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, bytes | date | datetime | time_of_day | dict | set):
        raise ValueError(f"statement parameter of type {type(value).__name__} is not supported")
    return str(escape_param(value, None))


def checked_name(name: str) -> str:
    """A database or column name that needs no quoting.

    Raises:
        ValueError: it does.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no plain SQL name")
    return name


def checked_table_name(name: str) -> str:
    """A table's name, `table` or `database.table`, that needs no quoting.

    Raises:
        ValueError: it does.
    """
    if not _TABLE_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no plain SQL table name")
    return name
