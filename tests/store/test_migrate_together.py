"""Processes that start at once migrate a store once, and one that dies is finished by another."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from services.application import ROOT
from services.common.migrate import migrate_services, read_folder
from services.common.store import open_store
from services.configuration import NAMES

DEADLINE_S = 120
TTL_S = 2.0
PROGRAM = f"""
import sys
from pathlib import Path
from services.common.clock import wall_clock_ms
from services.common.migrate import migrate_services
from services.common.store import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(len(migrate_services(store, Path({str(ROOT)!r}), {NAMES!r}, wall_clock_ms, {TTL_S})))
"""
FILES = sum(len(read_folder(ROOT / name / "schema")) for name in NAMES)


def started(url: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, url],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def go(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def ended(process: "subprocess.Popen[str]") -> int:
    out, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    return int(out.split()[-1])


@pytest.fixture(params=["server", "cluster"])
def url(request, tmp_path):
    name = f"together_{tmp_path.name[-1]}_{request.node.name[5:9]}"
    if request.param == "cluster":
        return request.getfixturevalue("cluster").url(name)
    return request.getfixturevalue("clickhouse_server").url(name)


def test_one_of_many_applies_everything(url):
    processes = [started(url) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()

    for process in processes:
        go(process)
    applied = sorted(ended(process) for process in processes)

    assert applied == [0, 0, 0, FILES]
    store = open_store(url)
    finished = store.query("SELECT count() AS n FROM schema_migrations WHERE finished = 1")
    assert finished["n"].to_pylist() == [FILES]
    assert migrate_services(store, ROOT, NAMES, clock=lambda: 0) == []
    store.close()


def test_what_a_killed_process_began_is_finished(url):
    store = open_store(url)
    first, second = started(url), started(url)
    pause, until = threading.Event(), time.monotonic() + DEADLINE_S

    go(first)
    while True:
        found = store.query(
            "SELECT toUInt64(count()) AS n FROM system.tables WHERE database = %(name)s"
            " AND name IN ('marks', 'behaviour')",
            {"name": store.database},
        )
        if found["n"][0].as_py():
            break
        assert time.monotonic() < until
        pause.wait(0.002)
    first.send_signal(signal.SIGKILL)
    first.wait(DEADLINE_S)
    go(second)
    ended(second)

    assert migrate_services(store, ROOT, NAMES, clock=lambda: 0) == []
    store.insert(
        "receipts", {"consumer": ["c"], "version": [1], "filter": [""], "received_ms": [1]}
    )
    store.close()
    for process in (first, second):
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        process.stdout.close()
