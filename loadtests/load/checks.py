"""What must hold of a scenario, while and after."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from loadtests.load import plan
from loadtests.load.processes import Server, until
from services.common import rpc
from services.common.numbering import parse
from services.common.store import open_store
from services.consumer.sync import Consumer
from zhengming.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from zhengming.reputation.v1 import reputation_pb2, reputation_pb2_grpc

READY_S = 300
DRAIN_S = 300
"""The bar of a burst: five minutes."""
SLOPE_MIB = 1.0
"""A minute: the bar of a soak."""
SLOWER = 2.0
"""The bar of p99 under load, beside its own in quiet."""
CALL_S = 60

Calls = list[dict[str, Any]]
"""What locust counted, by kind of call."""


@dataclass
class Outcome:
    """What a scenario showed."""

    figures: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def check(self, holds: bool, what: str) -> None:
        """Note what must hold."""
        print(f"{'holds' if holds else 'DOES NOT HOLD':14} {what}", flush=True)
        if not holds:
            self.broken.append(what)


def p99_ms(counted: dict[str, Any]) -> float:
    """The 99th percentile of answers, from locust's histogram of rounded times."""
    times = sorted((float(ms), count) for ms, count in counted["response_times"].items())
    left = 0.99 * sum(count for _, count in times)
    for ms, count in times:
        left -= count
        if left <= 0:
            return ms
    return 0.0


def check_calls(calls: Calls, outcome: Outcome) -> None:
    """Calls that failed, answers that cannot be right, and what was shed."""
    for counted in calls:
        name, count = counted["name"], counted["num_requests"]
        outcome.figures[name] = {
            "calls": count,
            "failed": counted["num_failures"],
            "p99_ms": round(p99_ms(counted), 1),
        }
        print(f"{name:40} {count:8,} calls, p99 {p99_ms(counted):8.1f} ms", flush=True)
    failed = {c["name"]: c["num_failures"] for c in calls if c["num_failures"]}
    outcome.check(
        not failed, f"every call was answered, rightly, or shed with RetryInfo {failed or ''}"
    )


def check_slower(calls: Calls, outcome: Outcome) -> None:
    """Lookups under load are about as fast as in quiet."""
    p99 = {counted["name"]: p99_ms(counted) for counted in calls}
    for name in ("GetReputation", "BatchGetReputations"):
        quiet, loaded = p99[name + plan.QUIET], p99[name + plan.LOADED]
        outcome.check(
            loaded <= SLOWER * quiet,
            f"p99 of {name} under load at most {SLOWER:g} times as in quiet: {loaded:.0f} ms, "
            f"{quiet:.0f} ms",
        )


def check_drained(server: Server, outcome: Outcome) -> None:
    """All that was committed is published within DRAIN_S."""
    with rpc.connect(server.address) as channel:
        ingest = ingest_pb2_grpc.IngestServiceStub(channel)
        reputation = reputation_pb2_grpc.ReputationServiceStub(channel)

        def drained() -> bool:
            try:
                version = reputation.GetVersion(reputation_pb2.GetVersionRequest(), timeout=CALL_S)
                request = ingest_pb2.ListChangesRequest(cursor=version.change_cursor, page_size=1)
                return not ingest.ListChanges(request, timeout=CALL_S).number_keys
            except grpc.RpcError:
                return False

        try:
            outcome.figures["drained_s"] = round(until(drained, DRAIN_S), 1)
        except TimeoutError:
            outcome.figures["drained_s"] = None
        outcome.check(
            outcome.figures["drained_s"] is not None,
            f"the backlog was published within {DRAIN_S} s: {outcome.figures['drained_s']} s",
        )


def check_feed(server: Server, folder: Path, outcome: Outcome) -> None:
    """A copy leads to the newest version; it and lookups say the same of every number in it."""
    with rpc.connect(server.address) as channel, rpc.connect(server.lookup.address) as lookup:
        reputation = reputation_pb2_grpc.ReputationServiceStub(lookup)

        def looked_up(keys: bytes) -> reputation_pb2.LookupColumnsResponse:
            request = reputation_pb2.LookupColumnsRequest(number_keys=keys)
            return reputation.LookupColumns(request, timeout=CALL_S)

        one = np.array([parse("13800138000").key], dtype="<i8").tobytes()
        newest = looked_up(one).version
        copy, _ = Consumer(channel, folder / "copy").catch_up()
        version = int(copy.head.version.partition("-")[0])
        outcome.check(
            version >= newest, f"the feed leads to version {newest} or a newer one: {version}"
        )
        until(lambda: looked_up(one).version >= version, READY_S)
        keys = np.ascontiguousarray(copy.rows["number"], dtype="<i8")
        values = np.frombuffer(looked_up(keys.tobytes()).values, dtype="<u8")
        kept = np.ascontiguousarray(copy.rows).view("<u8").reshape(-1, 2)[:, 1]
        outcome.figures["numbers_in_feed"] = len(keys)
        outcome.check(
            len(keys) > plan.KNOWN // 2 and bool((values == kept).all()),
            f"feed and lookup are equal over {len(keys):,} numbers",
        )


def check_marks(server: Server, folder: Path, outcome: Outcome) -> None:
    """In the store: every acknowledged mark, none twice, and none that nobody sent."""
    sent, acknowledged = plan.noted(folder, plan.SENT), plan.noted(folder, plan.ACKNOWLEDGED)
    store = open_store(server.store)
    names = store.query("SELECT source, name FROM sources").to_pylist()
    counted = store.query(
        "SELECT source, count() AS n, uniqExact(mark_key, mark_check) AS once FROM marks"
        " GROUP BY source"
    ).to_pylist()
    store.close()
    by_key = {row["source"]: row["name"] for row in names}
    held = {by_key[row["source"]]: row for row in counted}
    outcome.figures["marks_acknowledged"] = sum(acknowledged.values())
    outcome.check(bool(acknowledged), f"{sum(acknowledged.values()):,} marks were acknowledged")
    for name, count in sorted(acknowledged.items()):
        row = held.get(name, {"n": 0, "once": 0})
        outcome.check(
            count <= row["once"] == row["n"] <= sent[name],
            f"{name}: {count:,} acknowledged, {row['n']:,} stored, {row['once']:,} different, "
            f"{sent[name]:,} sent",
        )


def check_memory(slope: float | None, has_faults: bool, outcome: Outcome) -> None:
    """In a soak a process's memory does not grow."""
    outcome.figures["mib_a_minute"] = None if slope is None else round(slope, 2)
    print(f"memory grew by {outcome.figures['mib_a_minute']} MiB a minute", flush=True)
    if has_faults and slope is not None:
        outcome.check(slope < SLOPE_MIB, f"memory grew by less than {SLOPE_MIB:g} MiB a minute")
