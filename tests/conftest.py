"""Fixtures that every test folder may take."""

from tests.engines import (
    chdb_engine,
    chdb_path,
    chdb_store,
    clickhouse_server,
    clickhouse_store,
    cluster,
    either,
)

__all__ = [
    "chdb_engine",
    "chdb_path",
    "chdb_store",
    "clickhouse_server",
    "clickhouse_store",
    "cluster",
    "either",
]
