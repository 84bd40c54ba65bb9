"""Lookups and bulk updates beside bare peers: python -m loadtests.bench_serving [--numbers N]."""

import argparse
import hashlib
import math
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import redis

from loadtests import published_state
from loadtests.echo_server import LARGE_MESSAGES
from loadtests.servers import resident_mib, started
from services.__main__ import ROOT
from services.common.feed import files
from services.common.feed.rows import Digest, Rows, updated
from services.common.migrate import migrate
from services.common.store import open_store
from services.reputation.filters import to_rows
from zhengming.reputation.v1 import reputation_pb2 as pb
from zhengming.reputation.v1 import reputation_pb2_grpc as pb_grpc

ROUNDS = 5
ROUND_S = 3.0
THREADS = 4


def line(what: str, figure: str, bar: str = "") -> None:
    print(f"{what:58} {figure:>22}  {bar}", flush=True)


def rate(call: Callable[[], Any], threads: int = THREADS) -> float:
    """Calls a second of several client threads."""
    counts, stop = [0] * threads, threading.Event()

    def run(at: int) -> None:
        while not stop.is_set():
            call()
            counts[at] += 1

    workers = [threading.Thread(target=run, args=(at,)) for at in range(threads)]
    begun = time.perf_counter()
    for worker in workers:
        worker.start()
    stop.wait(ROUND_S)
    stop.set()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - begun)


def beside(
    what: str, ours: Callable[[], Any], peer: Callable[[], Any], scale: int, bar: str
) -> None:
    """Rates of ours and the peer in turns, and the median of their ratios."""
    ours(), peer()
    pairs = [(rate(ours), rate(peer)) for _ in range(ROUNDS)]
    mine, theirs = (statistics.median(side) * scale for side in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    line(what, f"{mine:,.0f}/s beside {theirs:,.0f}/s", f"ratio {ratio:.2f} ({bar})")


def lookups(numbers: int, folder: Path) -> None:
    url = f"chdb:{folder}/store"
    store = open_store(url)
    for name in ("ingest", "features", "scoring", "arbitration", "reputation"):
        migrate(store, name, ROOT / name / "schema", clock=lambda: 0)
    keys = published_state.write(store, numbers)
    store.close()
    variables = {
        "ZHENGMING_STORE": url,
        "ZHENGMING_ADDRESS": "127.0.0.1:0",
        "ZHENGMING_CONSOLE_ADDRESS": "127.0.0.1:0",
    }
    begun = time.perf_counter()
    with started(["-m", "services"], variables) as (process, address):
        line(f"start with {numbers:,} numbers", f"{time.perf_counter() - begun:.1f} s")
        line("resident memory a number", f"{resident_mib(process) * 2**20 / numbers:.0f} bytes")
        with grpc.insecure_channel(address, options=LARGE_MESSAGES) as channel:
            _unary_and_batch(channel, keys, folder)
            _columns(pb_grpc.ReputationServiceStub(channel), keys)


def _unary_and_batch(channel: grpc.Channel, keys: np.ndarray, folder: Path) -> None:
    stub = pb_grpc.ReputationServiceStub(channel)
    generator = np.random.default_rng(1)
    texts = [f"+{int(key) & (2**60 - 1)}" for key in generator.choice(keys, 100_000)]
    singles = [pb.GetReputationRequest(number=text) for text in texts]
    batches = [
        pb.BatchGetReputationsRequest(numbers=texts[start : start + 1000])
        for start in range(0, len(texts), 1000)
    ]
    answers = folder / "answers"
    answers.mkdir()
    known = next(a for a in map(stub.GetReputation, singles) if a.category)
    (answers / "GetReputation").write_bytes(known.SerializeToString())
    batch = stub.BatchGetReputations(batches[0])
    (answers / "BatchGetReputations").write_bytes(batch.SerializeToString())
    with (
        started(["-m", "loadtests.echo_server", str(answers)], {}) as (_, echo_address),
        grpc.insecure_channel(echo_address, options=LARGE_MESSAGES) as echo,
    ):
        echo_one = echo.unary_unary(
            "/echo.Echo/GetReputation",
            pb.GetReputationRequest.SerializeToString,
            pb.Reputation.FromString,
        )
        echo_batch = echo.unary_unary(
            "/echo.Echo/BatchGetReputations",
            pb.BatchGetReputationsRequest.SerializeToString,
            pb.BatchGetReputationsResponse.FromString,
        )
        one, other = _cycle(singles), _cycle(singles)
        beside(
            "GetReputation beside a bare echo",
            lambda: stub.GetReputation(one()),
            lambda: echo_one(other()),
            1,
            "bar 0.8",
        )
        many, others = _cycle(batches), _cycle(batches)
        beside(
            "numbers by batches of 1,000 beside a bare echo",
            lambda: stub.BatchGetReputations(many()),
            lambda: echo_batch(others()),
            1000,
            "bar 0.8",
        )


def _cycle(items: list[Any]) -> Callable[[], Any]:
    lock, at = threading.Lock(), 0

    def give() -> Any:
        nonlocal at
        with lock:
            at = (at + 1) % len(items)
            return items[at]

    return give


def _columns(stub: pb_grpc.ReputationServiceStub, keys: np.ndarray) -> None:
    asked = np.random.default_rng(2).choice(keys, 200_000).astype("<i8")
    request = pb.LookupColumnsRequest(number_keys=asked.tobytes())
    stub.LookupColumns(request)
    taken = [_seconds(lambda: stub.LookupColumns(request)) for _ in range(9)]
    figure = len(asked) / statistics.median(taken) / 1e6
    line("LookupColumns, 200,000 a call, one client", f"{figure:.1f} M numbers/s", "bar 5")


def bulk(numbers: int, folder: Path) -> None:
    published = published_state.columns(published_state.numbers(numbers))
    rows, shown = to_rows(published)
    rows = rows[shown]
    path = folder / "snapshot.parquet"
    taken = _seconds(lambda: files.write_rows(rows, str(path)))
    line("snapshot written", f"{len(rows) / taken / 1e6:.1f} M numbers/s", "bar 2")
    taken = _seconds(lambda: files.read_rows(str(path)))
    line("snapshot read and checked", f"{len(rows) / taken / 1e6:.1f} M numbers/s")
    size, bound = path.stat().st_size, entropy_bytes(rows)
    line(
        f"snapshot of {len(rows):,} rows",
        f"{size / len(rows):.2f} bytes a row",
        f"{size / bound:.2f} of the entropy bound {bound / len(rows):.2f} (bar 1.3)",
    )
    digest = Digest.of(rows)
    taken = _seconds(lambda: Digest.of(rows))
    plain = _seconds(lambda: hashlib.sha256(rows.tobytes()).digest())
    line("state's digest", f"{taken:.2f} s", f"{taken / plain:.1f} of one plain SHA-256")
    generator = np.random.default_rng(3)
    changed = rows[np.sort(generator.choice(len(rows), len(rows) // 100, replace=False))].copy()
    changed["risk"] = generator.permutation(changed["risk"])
    changed["probability"] = generator.permutation(changed["probability"])
    delta = len(files.pack_rows(changed))
    line(
        "update after 1 % changed",
        f"{delta:,} bytes",
        f"{delta / size:.2%} of the snapshot (bar 2 %)",
    )
    none = np.zeros(0, dtype=np.int64)
    taken = _seconds(lambda: digest.updated(updated(rows, none, changed), changed["number"]))
    line("the same applied and verified", f"{taken:.2f} s")


def entropy_bytes(rows: Rows) -> float:
    """log2 C(N, n) of the set of numbers, and the columns' own entropies, in bytes."""
    count = len(rows)
    universe = published_state.UNIVERSE
    bits = (
        math.lgamma(universe + 1) - math.lgamma(count + 1) - math.lgamma(universe - count + 1)
    ) / math.log(2)
    joint = np.stack([rows["category"], rows["level"], rows["state"]], axis=1)
    for column in (joint, rows["probability"], rows["risk"], rows["marks"]):
        _, counts = np.unique(column, return_counts=True, axis=0)
        share = counts / count
        bits += count * float(-(share * np.log2(share)).sum())
    return bits / 8


def against_redis(numbers: int) -> None:
    """MGET of a Redis server of our own, pipelined, the same keys and values of 8 bytes."""
    keys = [str(key) for key in published_state.numbers(min(numbers, 200_000)).tolist()]
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/redis"
        command = ["redis-server", "--port", "0", "--unixsocket", socket, "--save", ""]
        with subprocess.Popen([*command, "--dir", folder], stdout=subprocess.DEVNULL) as server:
            try:
                client = _redis(socket)
                client.mset(dict.fromkeys(keys, b"12345678"))
                taken = statistics.median(_seconds(lambda: client.mget(keys)) for _ in range(5))
            finally:
                server.terminate()
    line("Redis MGET through its client", f"{len(keys) / taken / 1e6:.2f} M numbers/s")


def _redis(socket: str) -> redis.Redis:
    """A client of the server, as soon as it answers."""
    client, until = redis.Redis(unix_socket_path=socket), time.monotonic() + 20
    while True:
        try:
            client.ping()
        except redis.ConnectionError:
            if time.monotonic() > until:
                raise
            threading.Event().wait(0.05)
        else:
            return client


def _seconds(call: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numbers", type=int, default=1_000_000)
    parser.add_argument("--bulk-numbers", type=int, default=10_000_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lookups(chosen.numbers, Path(folder))
        bulk(chosen.bulk_numbers, Path(folder))
    against_redis(chosen.numbers)


if __name__ == "__main__":
    main()
