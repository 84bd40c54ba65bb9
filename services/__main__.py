"""Processes: python -m services [NAME...]; without a name, all services in one.

`python -m services lookup` answers lookups alone, in ZHENGMING_WORKERS processes on one port, from
the folder ZHENGMING_PUBLISHED; it needs no store. `python -m services job NAME` does one of
services/jobs.py and ends.
"""

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace

import grpc

from services.common import allocation  # before Arrow

# isort: split
from services import lookups
from services.application import Application
from services.common import rpc
from services.common.clock import Clock, wall_clock_ms
from services.common.ending import Ending
from services.common.errors import (
    DomainError,
    Unavailable,
)
from services.common.health import HealthDoor, Readiness
from services.common.store import answers, open_store
from services.common.store.lifeline import Lifeline, cut_when_lost
from services.common.telemetry.logs import log_as_json
from services.common.version import described
from services.common.waiting import waiting_room
from services.configuration import NAMES, Configuration, environment
from services.jobs import JOBS, STORE_JOBS

log = logging.getLogger(__name__)

LOOKUP = "lookup"
STORE_PAUSE_S = 2.0
"""Between two looks whether the store is there."""


def started(
    configuration: Configuration, names: Sequence[str], stop: Ending, lifeline: Lifeline
) -> Application | None:
    """The services, once a store of other processes answers; None if told to stop before.

    Raises:
        DomainError: what cannot be waited for.
    """
    while not stop.is_set():
        try:
            return Application(configuration, names, lifeline=lifeline)
        except Unavailable as error:
            if error.reason != "STORE_UNAVAILABLE" or configuration.store.startswith("chdb:"):
                raise
            log.warning("waiting for the store: %s", error)
        doors, _ = configuration.identity.entrance(configuration.address, wall_clock_ms)
        with waiting_room(doors):
            while not stop.wait(STORE_PAUSE_S) and not answers(configuration.store):
                pass
    return None


def run_job(names: Sequence[str], configuration: Configuration, clock: Clock) -> int:
    """Do a job: on the store, at the scoring service of another process, else with all services
    in this one."""
    if len(names) != 1 or names[0] not in {**JOBS, **STORE_JOBS}:
        print(f"job must be one of {', '.join((*JOBS, *STORE_JOBS))}", file=sys.stderr)
        return 2
    if names[0] in STORE_JOBS:
        return _run_on_store(names[0], configuration, clock)
    application, address = None, configuration.peers.get("scoring", "")
    try:
        if not address:
            told = replace(configuration.telemetry, metrics_address="")  # nobody would scrape it
            own = replace(configuration, address="127.0.0.1:0", telemetry=told)
            application = Application(own, NAMES, clock)
            address = application.address
        with rpc.connect(address, configuration.identity.own()) as channel:
            print(JOBS[names[0]](channel, clock()), flush=True)
    except DomainError as error:
        print(f"{error.reason}: {error}", file=sys.stderr)
        return 1
    except grpc.RpcError as error:
        print(str(rpc.to_domain_error(error) or error), file=sys.stderr)
        return 1
    finally:
        if application is not None:
            application.stop()
    return 0


def _run_on_store(name: str, configuration: Configuration, clock: Clock) -> int:
    try:
        store = open_store(configuration.store)
        try:
            print(STORE_JOBS[name](store, clock()), flush=True)
        finally:
            store.close()
    except DomainError as error:
        print(f"{error.reason}: {error}", file=sys.stderr)
        return 1
    return 0


def main(names: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT, or do a job."""
    log_as_json()
    allocation.keep_little()
    if names and names[0] == "job":
        return run_job(names[1:], environment(os.environ), wall_clock_ms)
    if list(names) == [LOOKUP]:
        try:
            configuration = environment(os.environ)
        except DomainError as error:
            print(f"{error.reason}: {error}", file=sys.stderr)
            return 1
        assert configuration.published is not None
        lookups.replace_process(
            configuration.published,
            configuration.address,
            configuration.workers,
            configuration.health_address,
            configuration.drain_s,
            configuration.stale_s,
        )
    stop = Ending()
    log.info("zhengming %s begins", described())
    try:
        configuration = environment(os.environ)
        door = HealthDoor(configuration.health_address)
        lifeline = Lifeline()
        cut_when_lost(lifeline, stop.wait, lambda: answers(configuration.store))
        application = started(configuration, names, stop, lifeline)
    except DomainError as error:
        print(f"{error.reason}: {error}", file=sys.stderr)
        return 1
    if application is None:
        return 0
    application.follow()
    print(f"serving on {application.address}", flush=True)
    if application.metrics_port:
        print(f"metrics on port {application.metrics_port}", flush=True)
    try:
        pages = application.serve_console()
    except DomainError as error:
        print(f"{error.reason}: {error}", file=sys.stderr)
        application.stop()
        return 1
    if pages:
        print(f"console on {pages}", flush=True)
    readiness = Readiness(door, application.check)
    allocation.give_back_until(stop.wait)
    readiness.stop()
    application.drain(configuration.drain_s)
    application.stop()
    door.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
