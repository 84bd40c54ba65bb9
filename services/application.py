"""Composition root: the services that run in a process, wired."""

import hmac
import logging
import random
import secrets
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from google.longrunning import operations_pb2_grpc

from services import lanes
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
from services.common.errors import (
    InvalidArgument,
    Unavailable,
)
from services.common.feed.signing import Signer
from services.common.lease import Lease
from services.common.migrate import migrate_services
from services.common.office import Forwarding, Office, Threads, Work
from services.common.operations import Operations
from services.common.store import Store, open_store
from services.common.store.lifeline import Lifeline
from services.common.telemetry import Telemetry, open_telemetry
from services.common.telemetry.process import disk_values
from services.configuration import NAMES, Configuration, read_key
from services.console import server as console
from services.console.accounts import Accounts
from services.console.app import create_app
from services.console.web import Upstream as ConsoleUpstream
from services.features import server as features
from services.features.similar.neighbours import Neighbours
from services.ingest import numbers, taxonomy
from services.ingest import server as ingest
from services.ingest.committing import Committing
from services.owned import owned
from services.reputation import feed_server, lookup
from services.reputation import server as reputation
from services.reputation.currency_watch import CurrencyWatch
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
CONSOLE_ADDRESS = "127.0.0.1:8080"
ROOT = Path(__file__).parent
SHIPPED_MODELS = ROOT.parent / "models"
GRACE_S = 20.0
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
        lifeline: Lifeline | None = None,
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
            self._lifeline = lifeline or Lifeline()
            self._store = self._telemetry.store(open_store(configuration.store, self._lifeline))
        except BaseException:
            self._telemetry.stop()
            raise
        self._closing: list[Callable[[], None]] = []
        self._offices: dict[str, Office] = {}
        self._threads = Threads()
        self._publisher: Publisher | None = None
        self._currency: CurrencyWatch | None = None
        try:
            migrate_services(self._store, ROOT, NAMES, clock, configuration.lease_s)
            self._serve(configuration, names, clock)
        except BaseException:
            self._close()
            raise

    def _serve(self, configuration: Configuration, names: Sequence[str], clock: Clock) -> None:
        operations = Operations(self._telemetry)
        self._registrations: list[rpc.Registration] = [
            lambda s: operations_pb2_grpc.add_OperationsServicer_to_server(operations, s)
        ]
        self._works: dict[str, list[Work]] = {name: [] for name in NAMES if name in names}
        self._stubs = Stubs(configuration, self._telemetry)
        self._closing.append(self._stubs.close)
        own_address = self._stubs.own = Late()
        committer = self._wire_ingest() if "ingest" in names else None
        if "features" in names:
            self._wire_features(operations)
        if "arbitration" in names:
            self._wire_arbitration(operations)
        if "scoring" in names:
            self._wire_scoring(operations)
        feed = self._wire_reputation(operations) if "reputation" in names else None
        self._telemetry.observe("disks", disk_values(configuration.volumes()), MEASURE_STORE_S)
        self._open(own_address)
        if committer is not None:
            committer.office = self._offices["ingest"]
        operations.offices = tuple(self._offices.values())
        for name, office in self._offices.items():
            reached_at = configuration.advertised or self.address
            office.start(Lease(self._store, name, reached_at, clock, configuration.lease_s))
            self._closing.append(office.stop)
        self._closing.append(operations.join)
        self._closing.append(lambda: self._running.stop(GRACE_S, lambda: self._lifeline.is_cut))
        if feed is not None:
            self._closing.append(feed.stop)

    def _open(self, own_address: Late) -> None:
        """Listen, and tell the stubs where."""
        configuration, telemetry = self._configuration, self._telemetry
        doors, guard = configuration.identity.entrance(configuration.address, self._clock)
        self._offices |= {
            name: Office(own, self._stubs.connect) for name, own in self._works.items()
        }
        self._running = rpc.start(
            self._registrations,
            doors,
            guard,
            Forwarding(owned(self._offices)),
            watch=telemetry.interceptor(),
            sizes=lanes.SIZES,
            lanes=lanes.lanes(),
            count=telemetry.count,
        )
        self.port, self.ports = self._running.port, self._running.ports
        self.metrics_port = telemetry.metrics_port
        host = configuration.address.rsplit(":", 1)[0]
        # An address that stands for all of this machine's is none to call, and no name for TLS.
        host = "localhost" if host in ("0.0.0.0", "[::]") else host
        self.address = own_address.value = f"{host}:{self.port}"

    def _wire_ingest(self) -> Committing:
        store, clock = self._store, self._clock
        committer = Committing(store, clock, self._telemetry)
        self._works["ingest"].append(committer)
        self._telemetry.observe("ingest", committer.values, MEASURE_S)
        marks = ingest.IngestServicer(store, committer, clock, self._key())
        words = taxonomy.TaxonomyServicer(store, committer, clock)
        facts = numbers.NumberServicer(store, clock)
        self._registrations += [
            lambda s: ingest.register(s, marks),
            lambda s: taxonomy.register(s, words),
            lambda s: numbers.register(s, facts),
        ]
        return committer

    def _wire_features(self, operations: Operations) -> None:
        servicer = features.FeaturesServicer(
            self._store,
            self._stubs.ingest,
            operations,
            self._clock,
            Neighbours(self._store, self._configuration.models / "neighbours"),
        )
        self._registrations.append(lambda s: features.register(s, servicer))

    def _wire_arbitration(self, operations: Operations) -> None:
        store, clock, key = self._store, self._clock, self._key()
        is_private = self._configuration.private_notices
        engine = Engine(store, in_store=self._configuration.store.startswith("clickhouse:"))
        judge = arbitration.ArbitrationServicer(store, engine, operations, clock, self._stubs.touch)
        accuracy = ledger.LedgerServicer(store, clock)
        cases = Cases(
            store,
            engine,
            clock,
            key,
            OutboxSender(store, clock),
            self._stubs.touch,
            secrets.randbelow,
        )
        referred = referrals.ReferralServicer(store, cases, clock, key)
        courier = Courier(store, clock, key, is_private, random.random)
        told = notices.NoticeServicer(store, cases, courier, clock, key, is_private)
        contested = disputes.DisputeServicer(store, cases, engine, judge, clock)
        self._registrations += [
            lambda s: arbitration.register(s, judge),
            lambda s: ledger.register(s, accuracy),
            lambda s: referrals.register(s, referred),
            lambda s: notices.register(s, told),
            lambda s: disputes.register(s, contested),
        ]
        observe = self._telemetry.observe
        observe("clocks", lambda: clock_values(store, clock), MEASURE_STORE_S)
        observe("quality", lambda: quality_values(store, clock), MEASURE_QUALITY_S)
        self._threads.add(courier, contested)
        self._works["arbitration"] += [cases, self._threads]

    def _wire_scoring(self, operations: Operations) -> None:
        store, stubs = self._store, self._stubs
        registry = Registry(SHIPPED_MODELS, self._configuration.models)
        servicer = scoring.ScoringServicer(
            store,
            registry,
            stubs.features,
            stubs.arbitration,
            stubs.operations,
            operations,
            self._clock,
        )
        self._registrations.append(lambda s: scoring.register(s, servicer))
        values = partial(model_values, store, registry)
        self._telemetry.observe("models", values, MEASURE_QUALITY_S)

    def _wire_reputation(self, operations: Operations) -> Feed:
        store, stubs, clock, telemetry = self._store, self._stubs, self._clock, self._telemetry
        configuration = self._configuration
        published = PublishedState(configuration.published, configuration.stale_s)
        self._closing.append(published.close)
        upstream = Upstream(stubs.ingest, stubs.features, stubs.arbitration, stubs.scoring)
        publisher = Publisher(store, upstream, published, clock, configuration.max_churn, telemetry)
        signer = Signer(read_key(configuration.signing_key_file))
        feed = Feed(published, signer, configuration.snapshots, clock)
        lookups = reputation.ReputationServicer(
            store, published, publisher, stubs.arbitration, operations
        )
        updates = feed_server.FeedServicer(store, feed, clock, random.random)
        self._registrations += [
            lambda s: lookup.register(s, lookups),
            lambda s: feed_server.register(s, updates),
        ]
        telemetry.observe("published", partial(lookup.published_values, published), MEASURE_S)
        telemetry.observe(
            "publishing",
            partial(publishing_values, store, published, publisher, clock),
            MEASURE_STORE_S,
        )
        self._works["reputation"].append(publisher)
        self._publisher = publisher
        self._currency = CurrencyWatch(
            store,
            lambda: published.snapshot.change_cursor,
            published.currency,
            configuration.published,
            clock,
        )
        return feed

    def _key(self) -> bytes:
        return read_key(self._configuration.key_file)

    def follow(self) -> None:
        """Publish touched numbers as they come, let time pass for disputes, read gauges."""
        self._telemetry.start()
        self._closing.append(self._telemetry.stop_reading)
        self._threads.allow()
        if self._publisher is not None:
            self._publisher.start()
            self._closing.append(self._publisher.stop)
        if self._currency is not None:
            self._currency.start()
            self._closing.append(self._currency.stop)

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
        for office in self._offices.values():
            office.end()
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
