"""How soon an acknowledged mark is seen: python -m loadtests.bench_freshness [--rate N].

Marks go in over gRPC at a steady rate, most of them on other numbers. Every so often one number
gets eight marks at once; a lookup and a standing feed are watched for it.
"""

import argparse
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np

from loadtests import bars
from loadtests.echo_server import LARGE_MESSAGES
from loadtests.servers import started
from services.common.feed import files
from zhengming.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from zhengming.reputation.v1 import feed_pb2, feed_pb2_grpc, reputation_pb2, reputation_pb2_grpc

BATCHES_PER_S = 10
PROBE_EVERY = 3
"""Every so many batches one number is watched."""
PROBE_MARKS = 8
E164 = 1 << 60
FIRST_PROBE = 8613600000000
FIRST = 8613800000000
POOL = 20_000_000
LABELS = ("房产中介", "快递", "广告推销", "骚扰电话", "诈骗")
PAUSE_S = 0.02
DRAIN_S = 60.0


@dataclass
class Probes:
    """Watched numbers by their digits, and when they were acknowledged and seen."""

    acknowledged: dict[int, float] = field(default_factory=dict)
    in_lookup: dict[int, float] = field(default_factory=dict)
    in_feed: dict[int, float] = field(default_factory=dict)


def batch(generator: np.random.Generator, count: int, probe: int) -> object:
    digits = (FIRST + generator.integers(0, POOL, count)).tolist() + [probe] * PROBE_MARKS * (
        probe > 0
    )
    labels = generator.integers(0, len(LABELS), len(digits))
    labels[count:] = 0
    now_ms = time.time_ns() // 1_000_000
    return ingest_pb2.SubmitMarkColumnsRequest(
        source="bench",
        mark_ids=[uuid.uuid4().hex for _ in digits],
        numbers=[f"+{n}" for n in digits],
        labels=LABELS,
        label_indexes=labels.tolist(),
        occurred_ms=[now_ms - 60_000] * len(digits),
        reporters=[f"r{r}" for r in generator.integers(0, 1 << 40, len(digits)).tolist()],
    )


def send(address: str, rate: int, seconds: float, probes: Probes) -> tuple[float, float]:
    """Marks a second that were acknowledged, and the 99th percentile of a batch's answer in s."""
    generator, count = np.random.default_rng(1), rate // BATCHES_PER_S
    taken, sent = [], 0
    with grpc.insecure_channel(address, options=LARGE_MESSAGES) as channel:
        ingest = ingest_pb2_grpc.IngestServiceStub(channel)
        begun = time.perf_counter()
        for at in range(int(seconds * BATCHES_PER_S)):
            wait = begun + at / BATCHES_PER_S - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            probe = FIRST_PROBE + at if at % PROBE_EVERY == 0 else 0
            request = batch(generator, count, probe)
            asked = time.perf_counter()
            answer = ingest.SubmitMarkColumns(request, timeout=60)
            now = time.perf_counter()
            taken.append(now - asked)
            sent += answer.committed_count
            if probe:
                probes.acknowledged[probe] = now
        return sent / (time.perf_counter() - begun), float(np.percentile(taken, 99))


def look(address: str, probes: Probes, stop: threading.Event) -> None:
    with grpc.insecure_channel(address, options=LARGE_MESSAGES) as channel:
        stub = reputation_pb2_grpc.ReputationServiceStub(channel)
        while not stop.wait(PAUSE_S):
            waiting = [n for n in list(probes.acknowledged) if n not in probes.in_lookup]
            if not waiting:
                continue
            request = reputation_pb2.BatchGetReputationsRequest(numbers=[f"+{n}" for n in waiting])
            found = stub.BatchGetReputations(request, timeout=60).results
            now = time.perf_counter()
            for number, result in zip(waiting, found, strict=True):
                if result.reputation.mark_count == PROBE_MARKS:
                    probes.in_lookup[number] = now


def watch(address: str, probes: Probes, version: str, stop: threading.Event) -> None:
    with grpc.insecure_channel(address, options=LARGE_MESSAGES) as channel:
        stub = feed_pb2_grpc.FeedServiceStub(channel)
        call = stub.WatchUpdates(feed_pb2.WatchUpdatesRequest(version=version))
        try:
            for updates in call:
                if updates.additions:
                    numbers = files.read_rows(updates.additions)["number"] - E164
                    now = time.perf_counter()
                    for number in numbers[numbers < FIRST].tolist():
                        probes.in_feed.setdefault(number, now)
                if stop.is_set():
                    break
        except grpc.RpcError:
            if not stop.is_set():
                raise


def report(what: str, seen: dict[int, float], probes: Probes) -> None:
    delays = [max(seen[n] - at, 0) for n, at in probes.acknowledged.items() if n in seen]
    missing = len(probes.acknowledged) - len(delays)
    if not delays:
        print(f"{what:44} none of {missing} seen")
        return
    p50, p99 = np.percentile(delays, [50, 99])
    bars.at_most(f"{what}, p99 in s", p99, 2)
    print(
        f"{what:44} p50 {p50:.2f} s, p99 {p99:.2f} s, most {max(delays):.2f} s  (bar p99 2 s; "
        f"{len(delays)} watched, {missing} not seen)",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=60)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        variables = {
            "ZHENGMING_STORE": f"chdb:{Path(folder) / 'store'}",
            "ZHENGMING_ADDRESS": "127.0.0.1:0",
            "ZHENGMING_CONSOLE_ADDRESS": "127.0.0.1:0",
        }
        with started(["-m", "services"], variables) as (process, address):
            probes, stop = Probes(), threading.Event()
            send(address, 100, 3, Probes())  # what loads on first use is loaded
            with grpc.insecure_channel(address) as channel:
                feed = feed_pb2_grpc.FeedServiceStub(channel)
                head = feed.GetSnapshot(feed_pb2.GetSnapshotRequest()).head.head
                version = head.decode().split('"version":"')[1].split('"')[0]
            threads = [
                threading.Thread(target=look, args=(address, probes, stop)),
                threading.Thread(target=watch, args=(address, probes, version, stop), daemon=True),
            ]
            for thread in threads:
                thread.start()
            before = process.cpu_times().user
            begun = time.perf_counter()
            rate, answer_s = send(address, chosen.rate, chosen.seconds, probes)
            used = (process.cpu_times().user - before) / (time.perf_counter() - begun)
            until = time.perf_counter() + DRAIN_S
            while time.perf_counter() < until and len(probes.in_feed) < len(probes.acknowledged):
                time.sleep(0.1)
            stop.set()
            threads[0].join()
            print(
                f"{rate:,.0f} marks/s acknowledged (asked {chosen.rate:,}), p99 of an answer "
                f"{answer_s:.2f} s, {used:.2f} cores of the server"
            )
            report("acknowledged to seen in a lookup", probes.in_lookup, probes)
            report("acknowledged to seen in a standing feed", probes.in_feed, probes)


if __name__ == "__main__":
    main()
