"""Who may call what, over real TLS sockets."""

import json
import shutil
import socket
import ssl
from datetime import UTC, datetime, timedelta

import grpc
import jwt
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.application import Application, store_of
from services.cli.certificates import authority_in, issue
from services.cli.session import Stubs, run_pipeline
from services.common import rpc
from services.common.errors import FailedPrecondition
from services.common.identity.certificates import Certificates, read_certificates, watched
from services.common.identity.entrance import Identity
from services.common.identity.tokens import AUDIENCE
from services.common.store.chdb import ChdbStore
from services.configuration import Configuration
from tests.services_in_process import BEGAN_MS, SetClock, kept_in
from zhengming.arbitration.v1 import arbitration_pb2, notice_pb2
from zhengming.ingest.v1 import ingest_pb2
from zhengming.reputation.v1 import feed_pb2, reputation_pb2
from zhengming.scoring.v1 import scoring_pb2

CLIENTS = [
    {"name": "zhengming", "scopes": ["service"]},
    {"name": "app-lan", "scopes": ["vendor"]},
    {"name": "hasty", "scopes": ["vendor"], "per_minute": {"lookups": 5}},
    {"name": "cmcc", "scopes": ["carrier"]},
    {"name": "ops", "scopes": ["operator"]},
]
NUMBER = "+8613800138000"
ISSUER = ed25519.Ed25519PrivateKey.generate()


def key_set(*keys):
    return {
        "keys": [
            {**json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key())), "kid": kid}
            for kid, key in keys
        ]
    }


def token(key=ISSUER, kid="k1", algorithm="EdDSA", **changes):
    now_s = BEGAN_MS // 1000
    claims = {"sub": "app-lan", "aud": AUDIENCE, "exp": now_s + 600, **changes}
    return jwt.encode(claims, key, algorithm, headers={"kid": kid})


class Secured:
    """Services behind TLS, and the folder of their certificates and clients."""

    def __init__(self, folder, chdb_path):
        self.folder, self.clock = folder, SetClock()
        self.authority, self.key = authority_in(folder)
        issue(
            folder / "server", "zhengming", ["localhost", "127.0.0.1"], self.authority, self.key, 9
        )
        for client in CLIENTS:
            self.issue(client["name"])
        self.list_clients(CLIENTS)
        (folder / "keys.json").write_text(json.dumps(key_set(("k1", ISSUER))))
        self.application = Application(
            kept_in(
                folder,
                chdb_path,
                "identity",
                identity=Identity(
                    certificates=folder / "server",
                    clients=folder / "clients.yaml",
                    token_address="127.0.0.1:0",
                    token_keys=folder / "keys.json",
                ),
            ),
            clock=self.clock,
        )
        self.application.follow()
        self.address = self.application.address
        self.token_address = f"127.0.0.1:{self.application.ports[1]}"

    def list_clients(self, clients):
        part = self.folder / "clients.part"
        part.write_text(yaml.safe_dump({"clients": clients}))
        part.replace(self.folder / "clients.yaml")

    def issue(self, name, days=9, now=None):
        issue(self.folder / name, name, [name], self.authority, self.key, days, now)

    def as_client(self, name):
        return rpc.connect(self.address, watched(self.folder / name))

    def with_token(self, text):
        trusted = Certificates(b"", b"", (self.folder / "ca.crt").read_bytes())
        return rpc.connect(self.token_address, lambda: trusted, token=text)


@pytest.fixture(scope="module")
def secured(chdb_engine, chdb_path, tmp_path_factory):
    running = Secured(tmp_path_factory.mktemp("identity"), chdb_path)
    yield running
    running.application.stop()
    with_engine = ChdbStore(chdb_path, "default")
    with_engine.execute("DROP DATABASE IF EXISTS identity")
    with_engine.close()


@pytest.fixture
def lookup():
    return reputation_pb2.GetReputationRequest(number=NUMBER)


def marks(source, mark_id):
    mark = ingest_pb2.Mark(mark_id=mark_id, number=NUMBER, label="诈骗", reporter="r1")
    mark.occurred_time.FromMilliseconds(BEGAN_MS - 1000)
    return ingest_pb2.SubmitMarksRequest(source=source, marks=[mark])


def stored_marks(secured):
    found = store_of(secured.application).query("SELECT count() AS n FROM marks")
    return found["n"][0].as_py()


def test_a_vendor_looks_up_and_sends_its_own_marks(secured, lookup):
    with secured.as_client("app-lan") as channel:
        stubs = Stubs.of(channel)

        answer = stubs.ingest.SubmitMarks(marks("app-lan", "own-1"))
        found = stubs.reputation.GetReputation(lookup)

    assert not answer.results[0].HasField("error")
    assert found.number == NUMBER


@pytest.mark.parametrize(
    ("client", "call", "needs"),
    [
        ("app-lan", lambda s: s.scoring.ListModels(scoring_pb2.ListModelsRequest()), "auditor or"),
        (
            "app-lan",
            lambda s: s.ingest.SubmitLifecycle(ingest_pb2.SubmitLifecycleRequest()),
            "carrier",
        ),
        ("cmcc", lambda s: s.ingest.SubmitMarks(marks("cmcc", "x")), "vendor or authority"),
        ("ops", lambda s: s.reputation.GetReputation(
            reputation_pb2.GetReputationRequest(number=NUMBER)), "vendor or carrier"),
    ],
)  # fmt: skip
def test_who_lacks_the_scope_is_told_which_one_it_needs(secured, client, call, needs):
    with secured.as_client(client) as channel, pytest.raises(grpc.RpcError) as refused:
        call(Stubs.of(channel))

    error = rpc.to_domain_error(refused.value)
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert error.reason == "PERMISSION_DENIED"
    assert error.metadata["needs"].startswith(needs)
    assert error.metadata["client"] == client


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda s: s.ingest.SubmitMarks(marks("app-sun", "x")), "source"),
        (
            lambda s: list(s.ingest.StreamMarks(iter(
                [ingest_pb2.StreamMarksRequest(batch=marks("app-sun", "x"))]
            ))),
            "batch.source",
        ),
        (
            lambda s: s.arbitration.GetScorecard(
                arbitration_pb2.GetScorecardRequest(source="app-sun")
            ),
            "source",
        ),
        (
            lambda s: s.notices.ListNoticeTargets(
                notice_pb2.ListNoticeTargetsRequest(source="app-sun", reader="x")
            ),
            "source",
        ),
        (
            lambda s: s.notices.CreateNoticeTarget(
                notice_pb2.CreateNoticeTargetRequest(
                    holder="某某公司", url="https://a.example/", created_by="x"
                )
            ),
            "source",
        ),
        (
            lambda s: s.feed.ReportApplied(feed_pb2.ReportAppliedRequest(consumer="cmcc")),
            "consumer",
        ),
    ],
)  # fmt: skip
def test_a_vendor_speaks_for_itself_only(secured, call, field):
    before = stored_marks(secured)

    with secured.as_client("app-lan") as channel, pytest.raises(grpc.RpcError) as refused:
        call(Stubs.of(channel))

    assert rpc.to_domain_error(refused.value).metadata["field"] == field
    assert stored_marks(secured) == before


def test_who_is_over_its_quota_is_told_when_to_come_again(secured, lookup):
    with secured.as_client("hasty") as channel:
        stub = Stubs.of(channel).reputation
        for _ in range(5):
            stub.GetReputation(lookup)

        with pytest.raises(grpc.RpcError) as refused:
            stub.GetReputation(lookup)
        secured.clock.now_ms += 60_000
        again = stub.GetReputation(lookup)

    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert rpc.to_domain_error(refused.value).reason == "RATE_LIMITED"
    retry = error_details_pb2.RetryInfo()
    details = rpc_status.from_call(refused.value).details
    assert any(detail.Unpack(retry) for detail in details)
    assert 1 <= retry.retry_delay.seconds <= 60
    assert again.number == NUMBER


def strangers(secured, tmp_path):
    """Channels of those who must not be let in, by what is wrong with them."""
    other, other_key = authority_in(tmp_path / "other")
    issue(tmp_path / "forged", "app-lan", ["app-lan"], other, other_key, 9)
    trusted = read_certificates(secured.folder / "app-lan").authority
    forged = read_certificates(tmp_path / "forged")
    yield "of another authority", Certificates(forged.certificate, forged.key, trusted)
    yield "without a certificate", Certificates(b"", b"", trusted)
    past = datetime.now(UTC) - timedelta(days=30)
    issue(tmp_path / "late", "app-lan", ["x"], secured.authority, secured.key, 1, past)
    yield "expired", read_certificates(tmp_path / "late")


def test_a_wrong_or_expired_certificate_never_reaches_a_handler(secured, tmp_path):
    before = stored_marks(secured)
    for what, shown in strangers(secured, tmp_path):
        with (
            rpc.connect(secured.address, lambda shown=shown: shown) as channel,
            pytest.raises(grpc.RpcError) as refused,
        ):
            Stubs.of(channel).ingest.SubmitMarks(marks("app-lan", f"x {what}"), timeout=5)

        # The handshake fails: no handler has answered, so there is no status of ours.
        assert refused.value.code() in (
            grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED
        ), what  # fmt: skip
        assert rpc.to_domain_error(refused.value) is None, what
    with rpc.connect(secured.address) as channel, pytest.raises(grpc.RpcError):
        Stubs.of(channel).ingest.SubmitMarks(marks("app-lan", "in clear"), timeout=5)
    assert stored_marks(secured) == before


def test_a_certificate_of_somebody_who_is_no_client_is_refused(secured, lookup):
    secured.issue("unlisted")

    with secured.as_client("unlisted") as channel, pytest.raises(grpc.RpcError) as refused:
        Stubs.of(channel).reputation.GetReputation(lookup)

    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert rpc.to_domain_error(refused.value).metadata["cause"] == "ClientUnknown"


def test_a_token_is_as_good_as_a_certificate(secured, lookup):
    with secured.with_token(token()) as channel:
        found = Stubs.of(channel).reputation.GetReputation(lookup)

    assert found.number == NUMBER


@pytest.mark.parametrize(
    ("made", "cause"),
    [
        (lambda: token(exp=BEGAN_MS // 1000 - 3600), "ExpiredSignatureError"),
        (lambda: token(nbf=BEGAN_MS // 1000 + 3600), "ImmatureSignatureError"),
        (lambda: token(aud="somebody else"), "InvalidAudienceError"),
        (lambda: token(ed25519.Ed25519PrivateKey.generate()), "InvalidSignatureError"),
        (lambda: token(kid="k9"), "KeyError"),
        (lambda: token(None, algorithm="none"), "InvalidAlgorithmError"),
        (lambda: token("secret" * 9, algorithm="HS256"), "InvalidAlgorithmError"),
        (lambda: token(sub="nobody"), "ClientUnknown"),
        (lambda: "no token at all", "DecodeError"),
        (lambda: "x" * 5000, "InvalidTokenError"),
    ],
)
def test_a_token_that_proves_nothing_is_refused_by_cause(secured, lookup, made, cause):
    with secured.with_token(made()) as channel, pytest.raises(grpc.RpcError) as refused:
        Stubs.of(channel).reputation.GetReputation(lookup)

    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert rpc.to_domain_error(refused.value).metadata["cause"] == cause


def test_without_a_token_nobody_is_let_in_where_tokens_are_taken(secured, lookup):
    with secured.with_token("") as channel, pytest.raises(grpc.RpcError) as refused:
        Stubs.of(channel).reputation.GetReputation(lookup)

    assert rpc.to_domain_error(refused.value).metadata["cause"] == "NoCredentials"


def test_the_services_call_each_other_with_their_own_certificate(secured):
    with secured.as_client("zhengming") as channel:
        published = run_pipeline(Stubs.of(channel), secured.clock.now_ms, lambda step: None)

    assert published.version > 0


def test_a_client_that_is_taken_off_the_list_is_refused_at_once(secured, lookup):
    with secured.as_client("cmcc") as channel:
        stub = Stubs.of(channel).reputation
        stub.GetReputation(lookup)
        secured.list_clients([c for c in CLIENTS if c["name"] != "cmcc"])
        with pytest.raises(grpc.RpcError) as refused:
            stub.GetReputation(lookup)
        (secured.folder / "clients.yaml").write_text("spoilt: [")
        with pytest.raises(grpc.RpcError) as still:
            stub.GetReputation(lookup)
        secured.list_clients(CLIENTS)
        again = stub.GetReputation(lookup)

    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert still.value.code() == grpc.StatusCode.UNAUTHENTICATED  # the last good list stays
    assert again.number == NUMBER


def shown_by(secured):
    """The certificate that the server shows in a new handshake."""
    context = ssl.create_default_context(cafile=str(secured.folder / "ca.crt"))
    context.load_cert_chain(
        secured.folder / "app-lan" / "tls.crt", secured.folder / "app-lan" / "tls.key"
    )
    context.set_alpn_protocols(["h2"])
    host, port = secured.address.split(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        return connection.getpeercert(binary_form=True)


def test_certificates_are_renewed_without_a_restart(secured, lookup, tmp_path):
    before = shown_by(secured)
    with secured.as_client("app-lan") as channel:
        stub = Stubs.of(channel).reputation
        stub.GetReputation(lookup)
        for folder in ("server", "app-lan"):
            name = "zhengming" if folder == "server" else folder
            issue(tmp_path / folder, name, ["localhost", "127.0.0.1"], secured.authority,
                  secured.key, 9)  # fmt: skip
            shutil.copytree(tmp_path / folder, secured.folder / folder, dirs_exist_ok=True)

        after = shown_by(secured)
        found = stub.GetReputation(lookup)

    assert after != before
    assert found.number == NUMBER


def test_a_key_that_does_not_fit_its_certificate_changes_nothing(secured, lookup):
    before = shown_by(secured)
    kept = (secured.folder / "server" / "tls.key").read_bytes()
    other = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

    (secured.folder / "server" / "tls.key").write_bytes(other)
    during = shown_by(secured)
    (secured.folder / "server" / "tls.key").write_bytes(kept)

    assert during == before


@pytest.mark.parametrize("address", ["0.0.0.0:50051", "[::]:50051", "10.1.2.3:50051"])
def test_nobody_serves_others_in_clear_by_accident(tmp_path, address):
    configuration = Configuration(
        store=f"chdb:{tmp_path}/s", address=address, models=tmp_path, key_file=tmp_path / "k",
        peers={},
    )  # fmt: skip

    with pytest.raises(FailedPrecondition) as refused:
        Application(configuration)

    assert refused.value.reason == "IDENTITY_REQUIRED"
    assert "ZHENGMING_CLIENTS" in str(refused.value)
