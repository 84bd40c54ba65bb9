"""Hostile requests over the real channel: each is refused by name, and nothing is lost."""

import gzip

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass

from services.cli import importing, kinds
from services.common import rpc
from services.common.errors import DomainError
from services.common.numbering import parse
from tests.fuzz.calls import TYPED, methods
from tests.services_in_process import BEGAN_MS, in_process
from zhengming.arbitration.v1 import arbitration_pb2, dispute_pb2, notice_pb2
from zhengming.ingest.v1 import ingest_pb2
from zhengming.reputation.v1 import feed_pb2, reputation_pb2
from zhengming.scoring.v1 import scoring_pb2

SUBMIT = "/zhengming.ingest.v1.IngestService/SubmitMarks"
SQL = ("'; DROP TABLE marks; --", "' OR '1'='1", "\\'; SELECT 1 --", "%(name)s %s {a:Int64}")


@pytest.fixture(scope="module")
def services(chdb_engine, chdb_path, tmp_path_factory):
    with in_process(chdb_path, tmp_path_factory.mktemp("services"), follow=False) as running:
        yield running


def raw_call(services, method, request, **named):
    with rpc.connect(services.application.address) as channel:
        return channel.unary_unary(method)(request, timeout=60, **named)


def marks(*numbers, **fields):
    request = ingest_pb2.SubmitMarksRequest(source="app-one")
    for at, number in enumerate(numbers):
        mark = request.marks.add(
            number=number, label="诈骗", reporter="r", mark_id=f"{number}-{at}", **fields
        )
        mark.occurred_time.FromMilliseconds(BEGAN_MS - 1000)
    return request


@pytest.mark.parametrize(
    "request_bytes",
    [b"\xff\xff\xff", b"\x0a\x02\xc3\x28", b"\x0b" * 5000, b"\x0a\xff\xff\xff\xff\x0f"],
    ids=["no message", "invalid UTF-8", "deep nesting", "a length beyond the end"],
)
def test_bytes_that_are_no_message_are_refused_by_name(services, request_bytes):
    with pytest.raises(grpc.RpcError) as refused:
        raw_call(services, SUBMIT, request_bytes)

    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert rpc.to_domain_error(refused.value).reason == "BODY_INVALID"


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_over_the_limit_is_refused_also_when_it_is_small_on_the_wire(
    services, compression
):
    size = rpc.MAX_MESSAGE_BYTES + 1
    request = b"\x0a" + b"\x81\x80\x80\x20" + bytes(size)
    options = (("grpc.max_send_message_length", 2 * size),)
    with (
        grpc.insecure_channel(services.application.address, options=options) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        channel.unary_unary(SUBMIT)(request, timeout=60, compression=compression)

    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("run_id", ["", "9" * 400, "٣", "²", "-1", "1' OR 1=1"])
@pytest.mark.parametrize(
    ("service", "method", "request_of"),
    [
        ("arbitration", "RunArbitration", arbitration_pb2.RunArbitrationRequest),
        ("scoring", "RunPriors", scoring_pb2.RunPriorsRequest),
        ("scoring", "RunScoring", scoring_pb2.RunScoringRequest),
        ("reputation", "PublishReputations", reputation_pb2.PublishReputationsRequest),
    ],
)
def test_what_is_no_run_is_refused_by_name(services, service, method, request_of, run_id):
    with pytest.raises(grpc.RpcError) as refused:
        getattr(getattr(services.stubs, service), method)(request_of(run_id=run_id), timeout=60)

    told = rpc.to_domain_error(refused.value)
    assert told.reason == ("FIELD_OUT_OF_RANGE" if run_id else "FIELD_REQUIRED")
    assert told.metadata["field"] == "run_id"


@pytest.mark.parametrize(
    ("classes", "ratios", "reason"),
    [
        (["fraud"], [0.0], "CATEGORY_UNKNOWN"),
        (["A3107"], [float("nan")], "FIELD_OUT_OF_RANGE"),
        (["A3107"], [float("inf")], "FIELD_OUT_OF_RANGE"),
        (["A3107"], [], "COLUMN_LENGTH_MISMATCH"),
    ],
)
def test_a_prior_that_says_nothing_is_refused_by_name(services, classes, ratios, reason):
    request = arbitration_pb2.BatchArbitrateRequest(
        number_keys=[parse("13811110001").key], prior_classes=classes, prior_log_ratios=ratios
    )
    with pytest.raises(grpc.RpcError) as refused:
        services.stubs.arbitration.BatchArbitrate(request, timeout=60)

    assert rpc.to_domain_error(refused.value).reason == reason


def test_what_is_written_of_no_dispute_is_no_dispute(services):
    target = notice_pb2.CreateNoticeTargetRequest(
        source="app-one", url="http://127.0.0.1:9/notices", created_by="olga"
    )
    services.stubs.notices.CreateNoticeTarget(target, timeout=60)

    request = dispute_pb2.RequestEvidenceRequest(reviewer="ann", text="请补充")
    with pytest.raises(grpc.RpcError) as refused:
        services.stubs.disputes.RequestEvidence(request, timeout=60)

    assert rpc.to_domain_error(refused.value).reason == "DISPUTE_NOT_FOUND"


def test_a_time_that_is_none_costs_its_item_alone(services):
    request = marks("+8613811110001", "+8613811110002")
    request.marks[0].occurred_time.seconds = 1 << 62
    request.marks[0].occurred_time.nanos = -1

    results = services.stubs.ingest.SubmitMarks(request).results

    assert rpc.from_status_proto(results[0].error).reason == "TIME_INVALID"
    assert not results[1].HasField("error")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("＋８６１３８１１１１０００３", "+8613811110003"),
        ("+٨٦١٣٨١١١١٠٠٠٤", "+8613811110004"),
        ("+86\u200b13811110005", "+8613811110005"),
    ],
)
def test_digits_of_other_scripts_are_those_digits(services, written, meant):
    answer = services.stubs.ingest.SubmitMarks(marks(written))

    assert not answer.results[0].HasField("error")
    found = services.store.query("SELECT DISTINCT number FROM marks").column("number").to_pylist()
    assert parse(meant).key in found


@pytest.mark.parametrize("written", ["+861381111000O", "+86138111l0003", "+86138①1110003x"])
def test_letters_that_look_like_digits_are_refused(services, written):
    result = services.stubs.ingest.SubmitMarks(marks(written)).results[0]

    assert rpc.from_status_proto(result.error).reason == "NUMBER_INVALID"


def texts_set(message, text, depth=0):
    """Set every text of a message."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None:
            if depth < 3 and not field.message_type.GetOptions().map_entry:
                part = getattr(message, field.name)
                texts_set(part.add() if field.is_repeated else part, text, depth + 1)
        elif field.type == field.TYPE_STRING:
            if field.is_repeated:
                getattr(message, field.name).append(text)
            else:
                setattr(message, field.name, text)


def test_sql_in_every_text_field_changes_no_table(services):
    services.stubs.ingest.SubmitMarks(marks("+8613811110009"))
    tables = "SELECT name FROM system.tables WHERE database = currentDatabase() ORDER BY name"
    before = services.store.query(tables).to_pydict()
    count = services.store.query("SELECT count() AS n FROM marks").to_pydict()["n"][0]
    answered = 0

    with rpc.connect(services.application.address) as channel:
        for path, method in methods().items():
            if method.client_streaming or method.server_streaming:
                continue
            for text in SQL:
                request = GetMessageClass(method.input_type)()
                texts_set(request, text)
                try:
                    channel.unary_unary(path)(request.SerializeToString(), timeout=60)
                except grpc.RpcError as error:
                    assert error.code() in TYPED, (path, text, error)
                answered += 1

    assert answered > 100
    assert services.store.query(tables).to_pydict() == before
    assert services.store.query("SELECT count() AS n FROM marks").to_pydict()["n"][0] >= count


@pytest.mark.parametrize("name", ["../key", "/etc/passwd", "..", "a/b", "\0", "x" * 5000])
def test_a_snapshot_is_no_path(services, name):
    request = feed_pb2.DownloadSnapshotRequest(snapshot_id=name)

    with pytest.raises(grpc.RpcError) as refused:
        list(services.stubs.feed.DownloadSnapshot(request))

    assert rpc.to_domain_error(refused.value).reason == "SNAPSHOT_NOT_FOUND"


def test_a_packed_file_of_one_endless_line_is_refused(services, tmp_path):
    path = tmp_path / "marks.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"source,number,label,occurred_at\n")
        for _ in range(64):
            file.write(b"a" * (1 << 20))

    with pytest.raises(DomainError) as refused:
        for first, table in importing.read_tables(path):
            kinds.marks(services.stubs, path, first, table, {}, importing.Tally())

    assert refused.value.reason == "FILE_UNREADABLE"
