"""Two processes of ingest and of reputation beside one of each, over one ClickHouse server:
python -m loadtests.bench_apart [--seconds N].

The same clients send the same batches to both arrangements. Clients, services and the store
share the machine's cores, which are printed: where these are busy, further processes add nothing.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from contextlib import ExitStack
from pathlib import Path

import grpc
import numpy as np
import psutil

from loadtests.servers import ROOT, started
from services.application import ROOT as SERVICES
from services.common import rpc
from services.common.migrate import migrate_services
from services.common.store import open_store
from services.configuration import NAMES
from services.reputation import queries
from tests.clickhouse_server import ClickHouseServer
from tests.published_rows import key, published
from zhengming.ingest.v1 import ingest_pb2
from zhengming.reputation.v1 import reputation_pb2

MARKS = 2_000
LOOKUPS = 1_000
NUMBERS = 200_000
FIRST = 8613800000000
LABELS = ("房产中介", "快递", "广告推销", "骚扰电话", "诈骗")
CLIENTS, THREADS, BATCHES = 2, 3, 40


def marks(generator: np.random.Generator) -> ingest_pb2.SubmitMarksRequest:
    """A batch of messages, each mark with an id of its own."""
    now_s = int(time.time()) - 60
    request = ingest_pb2.SubmitMarksRequest(source="bench")
    digits = (FIRST + generator.integers(0, NUMBERS, MARKS)).tolist()
    for at, label in zip(digits, generator.integers(0, len(LABELS), MARKS).tolist(), strict=True):
        mark = request.marks.add(
            mark_id=uuid.uuid4().hex, number=f"+{at}", label=LABELS[label], reporter=f"r{at}"
        )
        mark.occurred_time.seconds = now_s
    return request


def lookups(generator: np.random.Generator) -> reputation_pb2.BatchGetReputationsRequest:
    digits = (FIRST + generator.integers(0, NUMBERS, LOOKUPS)).tolist()
    return reputation_pb2.BatchGetReputationsRequest(numbers=[f"+{at}" for at in digits])


def client(kind: str, address: str, seconds: float, seed: int) -> None:
    """Call in a few threads, with requests made before; print items answered and the seconds.

    Marks are never sent twice: it ends when the batches do, if that is before the time is over.
    """
    method = {
        "ingest": "/zhengming.ingest.v1.IngestService/SubmitMarks",
        "reputation": "/zhengming.reputation.v1.ReputationService/BatchGetReputations",
    }[kind]
    batches: list[list[bytes]] = []
    for at in range(THREADS):
        own = np.random.default_rng(seed * 100 + at)
        if kind == "ingest":
            batches.append([marks(own).SerializeToString() for _ in range(BATCHES)])
        else:
            batches.append([lookups(own).SerializeToString() for _ in range(8)])
    size = MARKS if kind == "ingest" else LOOKUPS
    done, ends = [0] * THREADS, [0.0] * THREADS
    channels = [rpc.connect(address) for _ in range(THREADS)]
    for channel in channels:
        grpc.channel_ready_future(channel).result(60)
    begun = time.perf_counter()

    def call(at: int) -> None:
        ask = channels[at].unary_unary(method)
        turn = 0
        while time.perf_counter() - begun < seconds:
            if kind == "ingest" and turn == BATCHES:
                break
            ask(batches[at][turn % len(batches[at])], timeout=120)
            done[at] += size
            turn += 1
            ends[at] = time.perf_counter()

    threads = [threading.Thread(target=call, args=(at,)) for at in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"items": sum(done), "seconds": max(ends) - begun}))


def rate(kind: str, addresses: list[str], seconds: float) -> float:
    """Items a second that clients in processes of their own were answered."""
    address = "ipv4:" + ",".join(addresses)
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "loadtests.bench_apart", "--client", kind, "--at", address,
             "--seconds", str(seconds), "--seed", str(seed)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )
        for seed in range(CLIENTS)
    ]  # fmt: skip
    said = [json.loads(process.communicate()[0]) for process in running]
    return sum(one["items"] / one["seconds"] for one in said)


def measure(server: ClickHouseServer, each: int, seconds: float, folder: Path) -> dict[str, float]:
    """Marks and numbers a second with so many processes of ingest and of reputation."""
    url = server.url(f"bench_{each}")
    store = open_store(url)
    migrate_services(store, SERVICES, NAMES, lambda: 0)
    rows = published({key(FIRST + at): (3107, 2, 3, 4) for at in range(NUMBERS)}, version=1)
    queries.insert_version(store, None, 0, 1, 1, 1, NUMBERS, "0", 0, rows)
    with ExitStack() as stack:
        addresses: dict[str, list[str]] = {"ingest": [], "reputation": []}
        for at in range(each):
            for name in addresses:
                variables = {
                    "ZHENGMING_STORE": url,
                    "ZHENGMING_ADDRESS": "127.0.0.1:0",
                    "ZHENGMING_KEY_FILE": str(folder / "key"),
                    "ZHENGMING_MODELS": str(folder / "models"),
                    "ZHENGMING_PUBLISHED": str(folder / f"{each}-{name}-{at}"),
                    "ZHENGMING_SNAPSHOTS": str(folder / f"{each}-{name}-{at}-snapshots"),
                    # Nothing is published meanwhile: taking in and asking are what is measured.
                    "ZHENGMING_INGEST_ADDRESS": "" if name == "ingest" else "127.0.0.1:1",
                }
                _, address = stack.enter_context(started(["-m", "services", name], variables))
                addresses[name].append(address)
        found = {
            "marks_per_s": rate("ingest", addresses["ingest"], seconds),
            "numbers_per_s": rate("reputation", addresses["reputation"], seconds),
        }
    counted = store.query("SELECT count() AS n, uniqExact(mark_key) AS distinct FROM marks")
    row = counted.to_pylist()[0]
    if row["n"] != row["distinct"]:
        raise SystemExit(f"marks stand twice: {row}")
    store.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--client", default="", help=argparse.SUPPRESS)
    parser.add_argument("--at", default="", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.client:
        client(chosen.client, chosen.at, chosen.seconds, chosen.seed)
        return
    load = os.getloadavg()[0]
    print(f"cores {psutil.cpu_count()}, load of the machine before {load:.1f}")
    print("marks a batch", MARKS, "numbers a lookup", LOOKUPS, "client processes", CLIENTS)
    found = {}
    with tempfile.TemporaryDirectory() as folder, ClickHouseServer() as server:
        for each in (1, 2):
            found[each] = measure(server, each, chosen.seconds, Path(folder))
            for name, value in found[each].items():
                print(f"{each} ingest + {each} reputation: {name} {value:,.0f}", flush=True)
    for name in found[1]:
        print(f"2 + 2 over 1 + 1: {name} {found[2][name] / found[1][name]:.2f}")


if __name__ == "__main__":
    main()
