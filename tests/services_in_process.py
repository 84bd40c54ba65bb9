"""All services in the test's process over the embedded engine, with a clock that the test sets."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from services.application import Application, store_of
from services.cli import importing
from services.cli.demo import FILES
from services.cli.kinds import KINDS
from services.cli.session import Stubs
from services.common import rpc
from services.common.clock import Clock
from services.common.store.chdb import ChdbStore
from services.common.telemetry import Telemetry
from services.configuration import Configuration

BEGAN_MS = 1_790_000_000_000  # Monday 2026-09-21
_databases = count(1)


class SetClock:
    """A clock that stands still until the test moves it."""

    def __init__(self) -> None:
        self.now_ms = BEGAN_MS

    def __call__(self) -> int:
        return self.now_ms


class InProcess:
    """Running services, their stubs, clock and store."""

    def __init__(self, application: Application, stubs: Stubs, clock: Any) -> None:
        self.application, self.stubs, self.clock = application, stubs, clock
        self.store = store_of(application)


@contextmanager
def in_process(
    path: Path,
    folder: Path,
    database: str = "",
    clock: Clock | None = None,
    address: str = "127.0.0.1:0",
    follow: bool = True,
    telemetry: Telemetry | None = None,
) -> Iterator[InProcess]:
    """Services over a database of the engine at `path`; dropped at the end unless named.

    Without `follow`, nothing is published but by the pipeline.
    """
    name = database or f"rpc_{next(_databases)}"
    configuration = kept_in(folder, path, name, address=address)
    try:
        with serving(configuration, clock or SetClock(), follow, telemetry) as running:
            yield running
    finally:
        if not database:
            with_engine = ChdbStore(path, "default")
            with_engine.execute(f"DROP DATABASE IF EXISTS {name}")
            with_engine.close()


@contextmanager
def serving(
    configuration: Configuration,
    clock: Clock,
    follow: bool = True,
    telemetry: Telemetry | None = None,
) -> Iterator[InProcess]:
    """All services as configured, while the block runs."""
    application = Application(configuration, clock=clock, telemetry=telemetry)
    if follow:
        application.follow()
    try:
        with rpc.connect(application.address) as channel:
            yield InProcess(application, Stubs.of(channel), clock)
    finally:
        application.stop()


def kept_in(folder: Path, path: Path, database: str, **more: Any) -> Configuration:
    """Tables in a database of the engine at `path`, all else in the folder."""
    settings: dict[str, Any] = {
        "store": f"chdb:{path}?database={database}",
        "address": "127.0.0.1:0",
        "models": folder / "models",
        "key_file": folder / "key",
        "peers": {},
        "signing_key_file": folder / "signing",
        "snapshots": folder / "snapshots",
        "private_notices": True,
    }
    return Configuration(**settings | more)


def import_city(running: InProcess, folder: Path) -> None:
    """Import every file of a simulated city."""
    for kind, name in FILES:
        for line, table in importing.read_tables(folder / name):
            KINDS[kind](running.stubs, folder / name, line, table, {}, importing.Tally())
