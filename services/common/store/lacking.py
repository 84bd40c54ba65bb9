"""Replicas that lack what others of their shard have acknowledged.

`select_sequential_consistency` refuses a read to a replica that lacks the newest part that a quorum
has, and looks no further (ClickHouse, StorageReplicatedMergeTree::getMaxAddedBlocks). With a quorum
of two of three a replica may have the newest part and lack one before it: for ten seconds and more
where the server it was fetching from has died. Its rows would be missing from the answer.

What has waited for a second, a server sees itself, and asks another replica of the shard (`EXACT`).
For what is younger whoever reads waits here.
"""

import re
import time
from typing import Any, Protocol

from services.common.errors import Unavailable
from services.common.store.cluster import shard_database
from services.common.store.statement import render
from services.common.store.undecided import PAUSE_S, WAIT_S

EXACT = {
    "select_sequential_consistency": 1,
    "max_replica_delay_for_distributed_queries": 1,
    "fallback_to_stale_replicas_for_distributed_queries": 0,
}
"""Settings of an exact read. The delay is in whole seconds, of the oldest part to be fetched."""

_LACKING = """
SELECT count() FROM cluster(%(cluster)s, system, replicas)
WHERE database = %(database)s AND table IN %(tables)s AND (
    inserts_in_queue > 0 AND toInt64(now()) - toInt64(inserts_oldest_time) < 1
    OR log_max_index > 0 AND log_pointer <= log_max_index
)
"""
"""Of the replicas that are asked first, one a shard, those with parts to fetch that are too young
for the server to see, or that have not read the newest entry of their log, which may name some."""
_TABLE_READ = re.compile(r"\b(?:FROM|JOIN|IN)\s+\(?\s*(?:\w+\.)?([A-Za-z_]\w*)", re.I)


class Connection(Protocol):
    """A connection of the driver."""

    def execute(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of an answer."""
        ...


def await_fetches(connection: Connection, cluster: str, database: str, statement: str) -> None:
    """Wait until a statement, sent over this connection, finds all that was acknowledged before.

    Raises:
        Unavailable: STORE_UNAVAILABLE: not within WAIT_S.
    """
    asked = {
        "cluster": cluster,
        "database": shard_database(database),
        "tables": tuple(sorted(set(_TABLE_READ.findall(statement)))),
    }
    lacking, until = render(_LACKING, asked, {}), time.monotonic() + WAIT_S
    while connection.execute(lacking)[0][0]:
        if time.monotonic() > until:
            raise Unavailable(
                "STORE_UNAVAILABLE", "store: a replica has not fetched yet what others have"
            )
        time.sleep(PAUSE_S)
