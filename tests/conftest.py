"""Fixtures that every test folder may take."""

from hypothesis import settings

from tests.engines import (
    chdb_engine,
    chdb_path,
    chdb_store,
    clickhouse_server,
    clickhouse_store,
    cluster,
    either,
    replicated,
)

__all__ = [
    "chdb_engine",
    "chdb_path",
    "chdb_store",
    "clickhouse_server",
    "clickhouse_store",
    "cluster",
    "either",
    "replicated",
]

# How long an example takes is the machine's business, not a fact about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
