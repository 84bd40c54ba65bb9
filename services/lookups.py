"""Wiring of the processes that answer lookups alone: python -m services lookup.

They load neither the store nor any model: a process is a tenth of the whole.
"""

import os
import sys
import threading
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from pathlib import Path

from services.common import allocation, rpc_loop, workers
from services.common.clock import wall_clock_ms
from services.common.errors import DomainError
from services.common.health import HealthDoor, Readiness
from services.common.identity.entrance import Identity
from services.common.numbering import parse, parse_column
from services.common.taxonomy import standard
from services.common.telemetry import Settings, open_telemetry
from services.common.telemetry.logs import log_as_json
from services.reputation import lookup
from services.reputation.currency import STALE_S
from services.reputation.following import FollowedState

PAUSE_S = 0.05
"""How long a process waits before it looks for a newer version."""
GRACE_S = 20.0
ANSWER_BYTES = 512 << 10
"""Answers to batches are smaller: mapping each by itself would cost more than its copy."""
TOP_BYTES = 2 << 20
"""A batch of a thousand takes less at a time."""
_EXAMPLE = "+8613800138000"


class _WithoutPandas(MetaPathFinder):
    """Hides pandas: pyarrow would load it with its first array, 30 MB that no lookup uses."""

    def find_spec(self, fullname: str, *_unused: object) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("a lookup process does without pandas", name=fullname)


def starting(
    folder: Path,
    identity: Identity,
    settings: Settings,
    health_address: str = "",
    drain_s: float = 0.0,
    stale_s: float = STALE_S,
) -> workers.Starting:
    """How a process begins that answers from a folder which another process writes."""

    def start(address: str, place: int) -> Callable[[], None]:
        door = HealthDoor(health_address, shared=True)
        telemetry = open_telemetry(settings.of_process(place), "lookup")
        followed = FollowedState(folder, stale_s)
        followed.poll()
        followed.start(PAUSE_S)
        servicer = lookup.LookupServicer(followed)
        doors, guard = identity.entrance(address, wall_clock_ms)
        running = rpc_loop.start(
            lookup.SERVICE.full_name,
            lookup.handlers(servicer),
            lookup.QUICK,
            doors,
            guard,
            shared=True,
            watch=telemetry.interceptor(),
            count=telemetry.count,
        )
        telemetry.observe("published", lambda: lookup.published_values(followed), 5.0)
        telemetry.start()

        def check() -> None:
            _ = followed.snapshot

        readiness = Readiness(door, check)

        def stop() -> None:
            readiness.stop()
            running.drain()
            threading.Event().wait(drain_s)
            running.stop(GRACE_S)
            telemetry.stop()
            followed.stop()
            door.close()

        return stop

    return start


def load_shared() -> None:
    """Load what every process needs, once."""
    sys.meta_path.insert(0, _WithoutPandas())
    standard.load()
    parse(_EXAMPLE)
    parse_column([_EXAMPLE])


def main(
    folder: str,
    address: str,
    count: str,
    health_address: str = "",
    drain_s: str = "0",
    stale_s: str = str(STALE_S),
) -> int:
    """Serve until SIGTERM or SIGINT."""
    log_as_json()
    allocation.keep_little(ANSWER_BYTES, TOP_BYTES)
    load_shared()
    identity = Identity.read(os.environ)
    try:
        identity.check(address)
        settings = Settings.read(os.environ)
    except DomainError as error:
        print(f"{error.reason}: {error}", file=sys.stderr)
        return 1
    begin = starting(
        Path(folder), identity, settings, health_address, float(drain_s), float(stale_s)
    )
    return workers.serve(address, int(count), begin)


def replace_process(
    folder: Path, address: str, count: int, health_address: str, drain_s: float, stale_s: float
) -> None:
    """Become such a process, without what this one has loaded.

    One thread does nearly all of its work: what is free in one arena of the allocator would be of
    no use to another, and libraries begin threads before mallopt(3) could say so.
    """
    os.environ.setdefault("MALLOC_ARENA_MAX", "1")
    arguments = [sys.executable, "-m", "services.lookups", str(folder), address, str(count)]
    arguments += [health_address, str(drain_s), str(stale_s)]
    sys.stdout.flush()
    os.execv(sys.executable, arguments)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
