"""Composition root: python -m services [NAME...]; without a name, all services in one process.

`python -m services lookup` answers lookups alone, in ZHENGMING_WORKERS processes on one port, from
the folder ZHENGMING_PUBLISHED; it needs no store. `python -m services job NAME` does one of
services/jobs.py and ends.
"""

import hmac
import logging
import os
import random
import secrets
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import grpc
from google.longrunning import operations_pb2_grpc

from services import lookups
from services.arbitration import server as arbitration
from services.arbitration.disputes import server as disputes
from services.arbitration.disputes.cases import Cases, OutboxSender
from services.arbitration.engine import Engine
from services.arbitration.ledger import server as ledger
from services.arbitration.measures import clock_values, quality_values
from services.arbitration.notices import server as notices
from services.arbitration.notices.courier import Courier
from services.arbitration.referrals import server as referrals
from services.common import rpc
from services.common.clock import Clock, wall_clock_ms
from services.common.ending import Ending
from services.common.errors import (
    DomainError,
    InvalidArgument,
    Unavailable,
)
from services.common.feed.head import Signer
from services.common.health import HealthDoor, Readiness
from services.common.lease import Lease
from services.common.migrate import migrate_services
from services.common.office import Forwarding, Office, Threads, Work
from services.common.operations import Operations
from services.common.store import Store, open_store
from services.common.telemetry import Telemetry, open_telemetry
from services.common.telemetry.logs import log_as_json
from services.common.telemetry.process import disk_values
from services.common.version import described
from services.common.waiting import waiting_room
from services.configuration import NAMES, Configuration, environment, read_key
from services.console import server as console
from services.console.accounts import Accounts
from services.console.web import Upstream as ConsoleUpstream
from services.console.web import create_app
from services.features import server as features
from services.features.similar.neighbours import Neighbours
from services.ingest import numbers, taxonomy
from services.ingest import server as ingest
from services.ingest.committing import Committing
from services.jobs import JOBS, STORE_JOBS
from services.owned import owned
from services.reputation import feed_server, lookup
from services.reputation import server as reputation
from services.reputation.feed import Feed
from services.reputation.judging import Upstream
from services.reputation.measures import publishing_values
from services.reputation.publisher import Publisher
from services.reputation.state import PublishedState
from services.scoring import server as scoring
from services.scoring.measures import model_values
from services.scoring.registry import Registry
from services.stubs import Late, Stubs

log = logging.getLogger(__name__)

CONSOLE = "console"
LOOKUP = "lookup"
CONSOLE_ADDRESS = "127.0.0.1:8080"
ROOT = Path(__file__).parent
SHIPPED_MODELS = ROOT.parent / "models"
GRACE_S = 20.0
STORE_PAUSE_S = 2.0
"""Between two looks whether the store is there."""
MEASURE_S, MEASURE_STORE_S, MEASURE_QUALITY_S = 5.0, 15.0, 60.0
"""How often gauges are read: from memory, small tables, what a run or a review changes."""


class Application:
    """Services that run in this process."""

    def __init__(
        self,
        configuration: Configuration,
        names: Sequence[str] = (),
        clock: Clock = wall_clock_ms,
        telemetry: Telemetry | None = None,
    ) -> None:
        names = names or (*NAMES, CONSOLE)
        for name in names:
            if name not in (*NAMES, CONSOLE):
                known = ", ".join((*NAMES, CONSOLE))
                raise InvalidArgument(
                    "FIELD_OUT_OF_RANGE",
                    f"no service {name!r}; there are {known}",
                    field="service",
                    value=name,
                    expected=known,
                )
        self._names, self._clock, self._configuration = names, clock, configuration
        configuration.identity.check(configuration.address)
        service = "+".join(names) if set(names) < {*NAMES, CONSOLE} else "all"
        self._telemetry = telemetry or open_telemetry(configuration.telemetry, service)
        try:
            self._store = self._telemetry.store(open_store(configuration.store))
        except BaseException:
            self._telemetry.stop()
            raise
        self._closing: list[Callable[[], None]] = []
        self._offices: dict[str, Office] = {}
        self._threads = Threads()
        self._publisher: Publisher | None = None
        try:
            migrate_services(self._store, ROOT, NAMES, clock, configuration.lease_s)
            self._serve(configuration, names, clock)
        except BaseException:
            self._close()
            raise

    def _serve(self, configuration: Configuration, names: Sequence[str], clock: Clock) -> None:
        store, telemetry = self._store, self._telemetry
        operations = Operations(telemetry)
        committer = published = feed = None
        works: dict[str, list[Work]] = {name: [] for name in NAMES if name in names}
        if "ingest" in names:
            committer = Committing(store, clock, telemetry)
            works["ingest"].append(committer)
            telemetry.observe("ingest", committer.values, MEASURE_S)
        stubs = self._stubs = Stubs(configuration, telemetry)
        self._closing.append(stubs.close)
        registrations: list[rpc.Registration] = [
            lambda s: operations_pb2_grpc.add_OperationsServicer_to_server(operations, s)
        ]
        if committer is not None:
            ingest_servicer = ingest.IngestServicer(
                store, committer, clock, read_key(configuration.key_file)
            )
            taxonomy_servicer = taxonomy.TaxonomyServicer(store, committer, clock)
            registrations.append(lambda s: ingest.register(s, ingest_servicer))
            registrations.append(lambda s: taxonomy.register(s, taxonomy_servicer))
            number_servicer = numbers.NumberServicer(store, clock)
            registrations.append(lambda s: numbers.register(s, number_servicer))
        server_address = Late()
        stubs.own = server_address
        if "features" in names:
            features_servicer = features.FeaturesServicer(
                store,
                stubs.ingest,
                operations,
                clock,
                Neighbours(store, configuration.models / "neighbours"),
            )
            registrations.append(lambda s: features.register(s, features_servicer))
        if "arbitration" in names:
            engine = Engine(store, in_store=configuration.store.startswith("clickhouse:"))
            arbitration_servicer = arbitration.ArbitrationServicer(
                store, engine, operations, clock, stubs.touch
            )
            registrations.append(lambda s: arbitration.register(s, arbitration_servicer))
            ledger_servicer = ledger.LedgerServicer(store, clock)
            registrations.append(lambda s: ledger.register(s, ledger_servicer))
            cases = Cases(
                store,
                engine,
                clock,
                read_key(configuration.key_file),
                OutboxSender(store, clock),
                stubs.touch,
                secrets.randbelow,
            )
            referral_servicer = referrals.ReferralServicer(
                store, cases, clock, read_key(configuration.key_file)
            )
            registrations.append(lambda s: referrals.register(s, referral_servicer))
            courier = Courier(
                store,
                clock,
                read_key(configuration.key_file),
                configuration.private_notices,
                random.random,
            )
            notice_servicer = notices.NoticeServicer(
                store,
                cases,
                courier,
                clock,
                read_key(configuration.key_file),
                configuration.private_notices,
            )
            registrations.append(lambda s: notices.register(s, notice_servicer))
            telemetry.observe("clocks", lambda: clock_values(store, clock), MEASURE_STORE_S)
            telemetry.observe("quality", lambda: quality_values(store, clock), MEASURE_QUALITY_S)
            dispute_servicer = disputes.DisputeServicer(
                store, cases, engine, arbitration_servicer, clock
            )
            registrations.append(lambda s: disputes.register(s, dispute_servicer))
            self._threads.add(courier, dispute_servicer)
            works["arbitration"] += [cases, self._threads]
        if "scoring" in names:
            registry = Registry(SHIPPED_MODELS, configuration.models)
            telemetry.observe("models", lambda: model_values(store, registry), MEASURE_QUALITY_S)
            scoring_servicer = scoring.ScoringServicer(
                store,
                registry,
                stubs.features,
                stubs.arbitration,
                stubs.operations,
                operations,
                clock,
            )
            registrations.append(lambda s: scoring.register(s, scoring_servicer))
        if "reputation" in names:
            published = PublishedState(configuration.published)
            self._closing.append(published.close)
            upstream = Upstream(stubs.ingest, stubs.features, stubs.arbitration, stubs.scoring)
            publisher = Publisher(
                store, upstream, published, clock, configuration.max_churn, telemetry
            )
            telemetry.observe("published", partial(lookup.published_values, published), MEASURE_S)
            telemetry.observe(
                "publishing",
                partial(publishing_values, store, published, publisher, clock),
                MEASURE_STORE_S,
            )
            feed = Feed(
                published,
                Signer(read_key(configuration.signing_key_file)),
                configuration.snapshots,
                clock,
            )
            reputation_servicer = reputation.ReputationServicer(
                store, published, publisher, stubs.arbitration, operations
            )
            feed_servicer = feed_server.FeedServicer(store, feed, clock, random.random)
            registrations.append(lambda s: lookup.register(s, reputation_servicer))
            registrations.append(lambda s: feed_server.register(s, feed_servicer))
            works["reputation"].append(publisher)
            self._publisher = publisher
        telemetry.observe("disks", disk_values(configuration.volumes()), MEASURE_STORE_S)
        doors, guard = configuration.identity.entrance(configuration.address, clock)
        self._offices |= {name: Office(own, stubs.connect) for name, own in works.items()}
        self._running = rpc.start(
            registrations,
            doors,
            guard,
            Forwarding(owned(self._offices)),
            watch=telemetry.interceptor(),
        )
        self.port, self.ports = self._running.port, self._running.ports
        host = configuration.address.rsplit(":", 1)[0]
        # An address that stands for all of this machine's is none to call, and no name for TLS.
        host = "localhost" if host in ("0.0.0.0", "[::]") else host
        self.address = f"{host}:{self.port}"
        server_address.value = self.address
        if committer is not None:
            committer.office = self._offices["ingest"]
        operations.offices = tuple(self._offices.values())
        for name, office in self._offices.items():
            reached_at = configuration.advertised or self.address
            lease = Lease(store, name, reached_at, clock, configuration.lease_s)
            office.start(lease)
            self._closing.append(office.stop)
        self._closing.append(operations.join)
        self.metrics_port = telemetry.metrics_port
        self._closing.append(lambda: self._running.stop(GRACE_S))
        if feed is not None:
            self._closing.append(feed.stop)

    def follow(self) -> None:
        """Publish touched numbers as they come, let time pass for disputes, read gauges."""
        self._telemetry.start()
        self._closing.append(self._telemetry.stop_reading)
        self._threads.allow()
        if self._publisher is not None:
            self._publisher.start()
            self._closing.append(self._publisher.stop)

    def serve_console(self) -> str:
        """Serve the web pages; returns their address, "" where this process has none.

        Raises:
            Unavailable: ADDRESS_IN_USE, for an address that was chosen.
        """
        if CONSOLE not in self._names:
            return ""
        configuration, stubs = self._configuration, self._stubs
        app = create_app(
            ConsoleUpstream(
                ingest=stubs.ingest,
                taxonomy=stubs.taxonomy,
                numbers=stubs.numbers,
                arbitration=stubs.arbitration,
                disputes=stubs.disputes,
                ledger=stubs.ledger,
                referrals=stubs.referrals,
                notices=stubs.notices,
                reputation=stubs.reputation,
                scoring=stubs.scoring,
                features=stubs.features,
                feed=stubs.feed,
            ),
            Accounts(configuration.accounts),
            self._clock,
            hmac.digest(read_key(configuration.key_file), b"console sessions", "sha256"),
            configuration.rate_scale,
        )
        self._telemetry.pages(app)
        try:
            running = console.Running(app, configuration.console_address or CONSOLE_ADDRESS)
        except Unavailable as error:
            if configuration.console_address:
                raise
            log.warning("%s; set ZHENGMING_CONSOLE_ADDRESS. Going on without pages", error)
            return ""
        self._closing.append(running.stop)
        return running.address

    def check(self) -> None:
        """Accept that calls can be answered: what is published needs no store, all else does.

        Raises:
            Unavailable: STORE_UNAVAILABLE.
        """
        if set(self._names) != {"reputation"}:
            self._store.query("SELECT 1 AS one")

    def drain(self, wait_s: float) -> None:
        """Tell callers to go elsewhere, and answer for so long those that have not heard yet."""
        self._running.drain()
        threading.Event().wait(wait_s)

    def _close(self) -> None:
        for close in reversed(self._closing):
            close()
        self._closing.clear()
        self._store.close()
        self._telemetry.stop()

    def stop(self) -> None:
        """Finish what runs, commit what waits, close the store."""
        self._close()


def store_of(application: Application) -> Store:
    """The open store, for jobs in the same process."""
    return application._store


def started(configuration: Configuration, names: Sequence[str], stop: Ending) -> Application | None:
    """The services, once a store of other processes answers; None if told to stop before.

    Raises:
        DomainError: what cannot be waited for.
    """
    while not stop.is_set():
        try:
            return Application(configuration, names)
        except Unavailable as error:
            if error.reason != "STORE_UNAVAILABLE" or configuration.store.startswith("chdb:"):
                raise
            log.warning("waiting for the store: %s", error)
        doors, _ = configuration.identity.entrance(configuration.address, wall_clock_ms)
        with waiting_room(doors):
            while not stop.wait(STORE_PAUSE_S) and not _answers(configuration.store):
                pass
    return None


def _answers(store: str) -> bool:
    try:
        open_store(store).close()
    except Unavailable:
        return False
    return True


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
        )
    stop = Ending()
    log.info("zhengming %s begins", described())
    try:
        configuration = environment(os.environ)
        door = HealthDoor(configuration.health_address)
        application = started(configuration, names, stop)
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
    stop.wait()
    readiness.stop()
    application.drain(configuration.drain_s)
    application.stop()
    door.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
