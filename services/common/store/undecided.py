"""Inserts into a cluster of which nobody was told whether they are done.

A quorum insert whose server or whose ZooKeeper goes away may stand half way:

- One replica has the rows, and exact reads leave them out until another one has fetched them.
  Whoever reads in between takes the rows for lost, writes them again, and has them twice.
  ClickHouse keeps such an insert at `quorum/status` of its table in ZooKeeper, and takes no other
  one before it is decided.
- A server does not know whether ZooKeeper took the part, and shows it: for five minutes, then it
  looks (ClickHouse, MAX_AGE_OF_LOCAL_PART_THAT_WASNT_ADDED_TO_ZOOKEEPER). Rows that were written
  again meanwhile are there twice, and what relies on the first ones loses them. A replica that
  begins again looks at once, and moves what ZooKeeper does not know to `detached`.
"""

import time
from collections.abc import Mapping
from typing import Any, Protocol

import pyarrow as pa

from services.common.errors import Unavailable

WAIT_S, PAUSE_S = 2.0, 0.02
"""So long inserts of others are waited for, as long as an insert does."""

_TABLES = """
SELECT table AS name, zookeeper_path, replica_path FROM system.replicas
WHERE database = %(database)s ORDER BY name
"""
_STATUS = """
SELECT name FROM system.zookeeper WHERE path = '{zookeeper_path}/quorum' AND name = 'status'
"""
_SHOWN = """
SELECT table AS holder, name FROM system.parts WHERE database = %(database)s AND active = 1
"""
_KNOWN = """
SELECT '{name}' AS holder, name FROM system.zookeeper WHERE path = '{replica_path}/parts'
"""


class Replica(Protocol):
    """What is asked of a store of one replica's rows."""

    database: str

    def query(self, sql: str, params: Mapping[str, Any] | None = None) -> pa.Table:
        """See Store.query."""
        ...

    def execute(self, sql: str) -> None:
        """See Store.execute."""
        ...


def decide(replica: Replica) -> None:
    """Wait until every insert into a replica's database is done or given up, and let it look at
    parts of which it does not know whether ZooKeeper has them.

    Raises:
        Unavailable: STORE_UNAVAILABLE: not within WAIT_S, or ZooKeeper does not answer.
    """
    of_database = {"database": replica.database}
    tables = replica.query(_TABLES, of_database).to_pylist()
    if not tables:
        return
    waiting, until = _of_each(tables, _STATUS), time.monotonic() + WAIT_S
    while left := replica.query(waiting).num_rows:
        if time.monotonic() > until:
            raise Unavailable("STORE_UNAVAILABLE", f"store: inserts are undecided: {left}")
        time.sleep(PAUSE_S)
    shown = _parts(replica.query(_SHOWN, of_database))  # before what ZooKeeper knows
    unknown = shown - _parts(replica.query(_of_each(tables, _KNOWN)))
    for table in sorted({holder for holder, _ in unknown}):
        replica.execute(f"SYSTEM RESTART REPLICA {replica.database}.{table}")


def _of_each(tables: list[dict[str, str]], statement: str) -> str:
    return " UNION ALL ".join(statement.format_map(table) for table in tables)


def _parts(found: pa.Table) -> set[tuple[str, str]]:
    return set(zip(found["holder"].to_pylist(), found["name"].to_pylist(), strict=True))
