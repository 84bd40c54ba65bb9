"""Lookups and bulk updates beside bare peers.

python -m loadtests.bench_serving [--numbers N] [--workers N] [--bulk-numbers N] | --scale

The limit of how long a state takes to load is for ten million numbers, and grows with more.
"""

import argparse
import hashlib
import math
import shutil
import statistics
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil

from loadtests import bars, published_state, redis_peer
from loadtests.echo_server import LARGE_MESSAGES
from loadtests.servers import proportional_mib, started
from services.common.allocation import GIVE_BACK_S
from services.common.feed import files
from services.common.feed.rows import Digest, Rows, updated
from services.reputation.published import table
from zhengming.reputation.v1 import reputation_pb2 as pb
from zhengming.reputation.v1 import reputation_pb2_grpc as pb_grpc

ROUNDS = 5
ROUND_S = 3.0
THREADS = 4
CLIENTS = 8
"""Connections of h2load."""
H2LOAD_S = 5
COLUMN_CALLS = 50


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
    what: str, ours: Callable[[], Any], peer: Callable[[], Any], scale: int, limit: float
) -> None:
    """Rates of ours and the peer in turns, and the median of their ratios."""
    ours(), peer()
    pairs = [(rate(ours), rate(peer)) for _ in range(ROUNDS)]
    mine, theirs = (statistics.median(side) * scale for side in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    line(what, f"{mine:,.0f}/s beside {theirs:,.0f}/s", f"ratio {ratio:.2f} (bar {limit:g})")
    bars.note(f"{what}, of a bare echo", ratio, limit)


def lookups(numbers: int, folder: Path, workers: int) -> None:
    """Lookup processes over a folder of that many numbers."""
    published = folder / "published"
    begun = time.perf_counter()
    keys = published_state.write(published, numbers)
    taken = time.perf_counter() - begun
    line(f"{numbers:,} numbers generated, packed, written", f"{numbers / taken / 1e6:.2f} M/s")
    (file,) = published.glob("*.table")
    line("on disk a number", f"{file.stat().st_size / numbers:.1f} bytes")
    taken = _seconds(lambda: table.open_table(file))
    limit = 3 * max(numbers / 10_000_000, 1)
    line("opened and every byte checked", f"{taken:.2f} s", f"bar {limit:g} s")
    bars.at_most(f"{numbers:,} reputations loaded, s", taken, limit)
    variables = {
        "ZHENGMING_PUBLISHED": str(published),
        "ZHENGMING_ADDRESS": "127.0.0.1:0",
        "ZHENGMING_WORKERS": str(workers),
    }
    begun = time.perf_counter()
    with started(["-m", "services", "lookup"], variables) as (process, address):
        taken = time.perf_counter() - begun
        line(f"start of {workers} processes", f"{taken:.1f} s")
        with grpc.insecure_channel(address, options=LARGE_MESSAGES) as channel:
            stub = pb_grpc.ReputationServiceStub(channel)
            _unary_and_batch(channel, keys, folder)
            _columns([process, *process.children()], stub, keys)
            _private(stub, keys)
        half_load(address, folder / "answers" / "request")
        _touch_all(address, keys, 4 * workers)
        for when, after_s in (("right after", 0.0), ("at rest", 2 * GIVE_BACK_S)):
            time.sleep(after_s)
            share = proportional_mib([process, *process.children()]) * 2**20 / numbers
            what = f"resident a number, all {workers + 1} processes, {when}"
            line(what, f"{share:.1f} bytes", "bar 40")
            bars.at_most(f"resident bytes a number, all processes, {when}", share, 40)


def _touch_all(address: str, keys: np.ndarray, connections: int) -> None:
    """Ask every number over many connections, so that each process has touched every page."""
    for _ in range(connections):
        options = [*LARGE_MESSAGES, ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(address, options=options) as channel:
            stub = pb_grpc.ReputationServiceStub(channel)
            for start in range(0, len(keys), 500_000):
                asked = keys[start : start + 500_000].astype("<i8").tobytes()
                stub.LookupColumns(pb.LookupColumnsRequest(number_keys=asked))


def half_load(address: str, request: Path) -> None:
    """Peak of unary lookups by h2load, then the latencies at half of it."""
    if shutil.which("h2load") is None:
        line("GetReputation by h2load", "h2load is not there", "apt-get install nghttp2-client")
        return
    peak = _h2load(address, request, [])[0]
    _, p50, p99 = _h2load(address, request, ["--rps", str(max(int(peak / 2 / CLIENTS), 1))])
    line(
        "GetReputation at half of the peak, by h2load",
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms",
        f"peak {peak:,.0f}/s (bar p99 20 ms)",
    )
    bars.at_most("GetReputation at half of the peak, p99 in ms", p99, 20)


def _h2load(address: str, request: Path, more: list[str]) -> tuple[float, float, float]:
    """Answers a second, and the median and 99th percentile of their times in ms."""
    with tempfile.NamedTemporaryFile() as log:
        command = [
            "h2load", "-c", str(CLIENTS), "-m", "8" if not more else "1", "-D", str(H2LOAD_S),
            "-d", str(request), "-H", "content-type: application/grpc", "-H", "te: trailers",
            f"--log-file={log.name}", *more,
            f"http://{address}/zhengming.reputation.v1.ReputationService/GetReputation",
        ]  # fmt: skip
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        rows = np.loadtxt(log.name, dtype=np.int64, delimiter="\t")
    if not (rows[:, 1] == 200).all():
        raise RuntimeError("h2load was not answered")
    p50, p99 = np.percentile(rows[:, 2], [50, 99]) / 1000
    return len(rows) / H2LOAD_S, float(p50), float(p99)


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
    single = pb.GetReputationRequest(number=known.number).SerializeToString()
    (answers / "request").write_bytes(struct.pack(">?I", False, len(single)) + single)
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
            0.8,
        )
        many, others = _cycle(batches), _cycle(batches)
        beside(
            "numbers by batches of 1,000 beside a bare echo",
            lambda: stub.BatchGetReputations(many()),
            lambda: echo_batch(others()),
            1000,
            0.8,
        )


def _cycle(items: list[Any]) -> Callable[[], Any]:
    lock, at = threading.Lock(), 0

    def give() -> Any:
        nonlocal at
        with lock:
            at = (at + 1) % len(items)
            return items[at]

    return give


def _columns(
    processes: list[psutil.Process], stub: pb_grpc.ReputationServiceStub, keys: np.ndarray
) -> None:
    asked = np.random.default_rng(2).choice(keys, 200_000, replace=False).astype("<i8")
    request = pb.LookupColumnsRequest(number_keys=asked.tobytes())
    values = stub.LookupColumns(request).values
    with redis_peer.started() as peer:
        peer.fill(asked, values)
        if peer.lookup(asked) != values:
            raise RuntimeError("the peer holds other values")
        pairs = [
            (_seconds(lambda: stub.LookupColumns(request)), _seconds(lambda: peer.lookup(asked)))
            for _ in range(9)
        ]
        line("Redis, the same keys and values", f"{peer.bytes_a_number():.1f} bytes a number")
    ours, theirs = (len(asked) / statistics.median(side) / 1e6 for side in zip(*pairs, strict=True))
    line("LookupColumns, 200,000 a call, one client that waits", f"{ours:.1f} M numbers/s")
    begun = _core_seconds(processes)
    for _ in range(COLUMN_CALLS):
        stub.LookupColumns(request)
    of_core = COLUMN_CALLS * len(asked) / (_core_seconds(processes) - begun) / 1e6
    line("LookupColumns, a core of the server", f"{of_core:.1f} M numbers/s", "bar 5")
    bars.note("LookupColumns, million numbers a second and core", of_core, 5)
    ratio = statistics.median(other / own for own, other in pairs)
    line("Redis MGET, pipelined", f"{theirs:.2f} M numbers/s", f"ours is {ratio:.0f} times it")


def _core_seconds(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(one.user + one.system for one in times)


def _private(stub: pb_grpc.ReputationServiceStub, keys: np.ndarray) -> None:
    prefixes = np.random.default_rng(4).integers(0, 1 << 16, 300).astype(">u2")
    requests = [pb.SearchHashPrefixRequest(hash_prefix=p.tobytes()) for p in prefixes]
    stub.SearchHashPrefix(requests[0])
    taken = [_seconds(lambda r=r: stub.SearchHashPrefix(r)) for r in requests]
    p50, p99 = np.percentile(taken, [50, 99]) * 1000
    bucket = len(keys) / (1 << 16)
    line(f"SearchHashPrefix, buckets of {bucket:.0f}", f"p50 {p50:.1f} ms, p99 {p99:.1f} ms")


def bulk(numbers: int, folder: Path) -> None:
    rows = published_state.feed_rows(numbers)
    path = folder / "snapshot.parquet"
    taken = _seconds(lambda: files.write_rows(rows, str(path)))
    line("snapshot written", f"{len(rows) / taken / 1e6:.1f} M numbers/s", "bar 2")
    bars.note("snapshot written, million numbers a second", len(rows) / taken / 1e6, 2)
    taken = _seconds(lambda: files.read_rows(str(path)))
    line("snapshot read and checked", f"{len(rows) / taken / 1e6:.1f} M numbers/s")
    size, bound = path.stat().st_size, entropy_bytes(rows)
    line(
        f"snapshot of {len(rows):,} rows",
        f"{size / len(rows):.2f} bytes a row",
        f"{size / bound:.2f} of the entropy bound {bound / len(rows):.2f} (bar 1.3)",
    )
    bars.at_most("size of the snapshot, of its entropy bound", size / bound, 1.3)
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
    bars.at_most("update after 1 % changed, of the snapshot", delta / size, 0.02)
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
    category, level = rows["category"].astype(np.int64), rows["level"].astype(np.int64)
    joint = category << 16 | level << 8 | rows["state"]
    for column in (joint, rows["probability"], rows["risk"], rows["marks"]):
        _, counts = np.unique(column, return_counts=True)
        share = counts / count
        bits += count * float(-(share * np.log2(share)).sum())
    return bits / 8


def _seconds(call: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numbers", type=int, default=10_000_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--bulk-numbers", type=int, default=10_000_000)
    parser.add_argument("--scale", action="store_true", help="a hundred million of both: 10 GiB")
    chosen = parser.parse_args()
    if chosen.scale:
        chosen.numbers = chosen.bulk_numbers = 100_000_000
    with tempfile.TemporaryDirectory() as folder:
        lookups(chosen.numbers, Path(folder), chosen.workers)
        if chosen.bulk_numbers:
            bulk(chosen.bulk_numbers, Path(folder))


if __name__ == "__main__":
    main()
