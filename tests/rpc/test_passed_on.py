"""What one process passes on to another over TLS is the caller's call, not the process's own."""

from concurrent import futures

import grpc
import pytest
import yaml

from services.application import Application
from services.cli.certificates import authority_in, issue
from services.cli.session import Stubs
from services.common import rpc
from services.common.identity.caller import BEHALF
from services.common.identity.certificates import server_credentials, watched
from services.common.identity.entrance import Identity
from services.common.lease import TABLE, Lease, kept
from services.common.office import FORWARDED
from services.common.store import open_store
from services.configuration import Configuration
from tests.services_in_process import SetClock
from zhengming.arbitration.v1 import arbitration_pb2, notice_pb2

VENDOR = {"name": "app-lan", "scopes": ["vendor"]}
CLIENTS = [
    {"name": "zhengming", "scopes": ["service"]},
    VENDOR,
    {"name": "运营", "scopes": ["operator"]},
    {"name": "hasty", "scopes": ["vendor"], "per_minute": {"calls": 3}},
]
OWN = notice_pb2.ListNoticeTargetsRequest(source="app-lan", reader="x")
RUN = arbitration_pb2.RunArbitrationRequest(run_id="7")
LEASE_S = 4.0


class Authority:
    """Certificates of one authority in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self._authority, self._key = authority_in(folder)
        self.issue("server", "zhengming", ["localhost", "127.0.0.1"])
        for client in CLIENTS:
            self.issue(client["name"], client["name"], ["client"])

    def issue(self, at, name, hosts):
        issue(self.folder / at, name, hosts, self._authority, self._key, 9)

    def channel(self, address, name):
        return rpc.connect(address, watched(self.folder / name))


class Process:
    """Arbitration over a shared store, with a list of clients of its own."""

    def __init__(self, authority, folder, url, clients=CLIENTS):
        folder.mkdir()
        self.clients = folder / "clients.yaml"
        self.list_clients(clients)
        self.application = Application(
            Configuration(
                store=url,
                address="127.0.0.1:0",
                models=folder / "models",
                key_file=authority.folder / "key",
                peers={},
                lease_s=LEASE_S,
                identity=Identity(certificates=authority.folder / "server", clients=self.clients),
            ),
            ["arbitration"],
            SetClock(),
        )
        self.address = self.application.address

    def list_clients(self, clients):
        part = self.clients.with_suffix(".part")
        part.write_text(yaml.safe_dump({"clients": clients}, allow_unicode=True))
        part.replace(self.clients)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def processes(authority, clickhouse_server, tmp_path_factory):
    """The owner of arbitration's lease, and another one, which passes on to it."""
    folder, url = tmp_path_factory.mktemp("processes"), clickhouse_server.url("passed_on")
    owner = Process(authority, folder / "owner", url)
    other = Process(authority, folder / "other", url)
    yield owner, other
    other.application.stop()
    owner.application.stop()


@pytest.fixture
def owner(processes):
    return processes[0]


@pytest.fixture
def other(processes):
    return processes[1]


def refusal(call):
    with pytest.raises(grpc.RpcError) as refused:
        call()
    return rpc.to_domain_error(refused.value)


def test_a_call_is_answered_by_the_owner_to_whoever_called(authority, other):
    with authority.channel(other.address, "app-lan") as channel:
        answer = Stubs.of(channel).notices.ListNoticeTargets(OWN, timeout=60)
    with authority.channel(other.address, "运营") as channel:
        begun = Stubs.of(channel).arbitration.RunArbitration(RUN, timeout=60)

    assert list(answer.targets) == []
    assert begun.name.startswith("operations/arbitration-")


def test_the_owner_judges_the_caller_and_not_the_process_that_passes_on(authority, owner, other):
    owner.list_clients(
        [c for c in CLIENTS if c is not VENDOR] + [{**VENDOR, "scopes": ["carrier"]}]
    )
    try:
        with authority.channel(other.address, "app-lan") as channel:
            notices = Stubs.of(channel).notices
            without_scope = refusal(lambda: notices.ListNoticeTargets(OWN, timeout=60))
            owner.list_clients([c for c in CLIENTS if c is not VENDOR])
            unknown = refusal(lambda: notices.ListNoticeTargets(OWN, timeout=60))
            owner.list_clients(
                [c for c in CLIENTS if c is not VENDOR] + [{**VENDOR, "acts_as": "app-sun"}]
            )
            not_its_own = refusal(lambda: notices.ListNoticeTargets(OWN, timeout=60))
    finally:
        owner.list_clients(CLIENTS)

    assert without_scope.reason == not_its_own.reason == "PERMISSION_DENIED"
    assert without_scope.metadata["client"] == not_its_own.metadata["client"] == "app-lan"
    assert not_its_own.metadata["field"] == "source"
    assert unknown.metadata["cause"] == "ClientUnknown"


@pytest.mark.parametrize("name", ["运营", "zhengming"])
def test_who_is_no_service_speaks_for_nobody_else(authority, owner, other, name):
    claim = ((BEHALF, name.encode()), (FORWARDED, "1"))

    for process in (owner, other):
        with authority.channel(process.address, "app-lan") as channel:
            stubs = Stubs.of(channel)
            denied = refusal(
                lambda stubs=stubs: stubs.arbitration.RunArbitration(
                    RUN, timeout=60, metadata=claim
                )
            )

        assert denied.reason == "PERMISSION_DENIED"
        assert denied.metadata["client"] == "app-lan"


def test_a_call_that_says_it_was_passed_on_goes_no_further(authority, owner, other):
    with authority.channel(other.address, "app-lan") as channel:
        told = refusal(
            lambda: Stubs.of(channel).notices.ListNoticeTargets(
                OWN, timeout=60, metadata=((FORWARDED, "1"),)
            )
        )
    with authority.channel(owner.address, "app-lan") as channel:
        answer = Stubs.of(channel).notices.ListNoticeTargets(
            OWN, timeout=60, metadata=((FORWARDED, "1"),)
        )

    assert told.reason == "NOT_READY"
    assert list(answer.targets) == []


def test_a_quota_is_taken_from_once_and_no_claim_spares_it(authority, owner, other):
    own = notice_pb2.ListNoticeTargetsRequest(source="hasty", reader="x")
    claim = ((BEHALF, b"hasty"), (FORWARDED, "1"))
    with authority.channel(other.address, "hasty") as channel:
        notices = Stubs.of(channel).notices
        for _ in range(3):
            notices.ListNoticeTargets(own, timeout=60)
        over = refusal(lambda: notices.ListNoticeTargets(own, timeout=60))
    with authority.channel(owner.address, "hasty") as channel:
        notices = Stubs.of(channel).notices
        for _ in range(3):  # the owner has counted none of those that were passed on
            notices.ListNoticeTargets(own, timeout=60, metadata=claim)
        over_too = refusal(lambda: notices.ListNoticeTargets(own, timeout=60, metadata=claim))

    assert over.reason == over_too.reason == "RATE_LIMITED"


class Impostor(grpc.GenericRpcHandler):
    """Answers every call, and keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def service(self, handler_call_details):
        self.asked.append(handler_call_details.method)
        return grpc.unary_unary_rpc_method_handler(lambda request, context: b"")


def test_nothing_is_passed_on_to_who_shows_another_authoritys_certificate(
    authority, clickhouse_server, tmp_path
):
    stranger, impostor = Authority(tmp_path / "stranger"), Impostor()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((impostor,))
    credentials = server_credentials(watched(stranger.folder / "server"), False)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    store = open_store(clickhouse_server.url("impostor"))
    store.execute(TABLE)
    lease = Lease(store, "arbitration", f"127.0.0.1:{port}", lambda: 0, LEASE_S)
    assert lease.step()
    with kept(lease):
        asking = Process(authority, tmp_path / "asking", clickhouse_server.url("impostor"))
        with authority.channel(asking.address, "app-lan") as channel:
            notices = Stubs.of(channel).notices
            told = refusal(lambda: notices.ListNoticeTargets(OWN, timeout=60))
        asking.application.stop()
    store.close()
    server.stop(0).wait()

    assert told.reason == "NOT_READY"
    assert impostor.asked == []
