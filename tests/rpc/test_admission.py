"""A server takes only so many calls of a kind, and no kind takes the threads of another."""

import threading

import grpc
import pytest

from services import lanes
from services.common import rpc
from services.common.admission import Size
from services.common.telemetry.names import SHED
from zhengming.ingest.v1 import ingest_pb2, ingest_pb2_grpc

DEADLINE_S = 60
SUBMIT = "/zhengming.ingest.v1.IngestService/SubmitMarks"


class Slow(ingest_pb2_grpc.IngestServiceServicer):
    """Marks wait until they are let go; changes are answered at once."""

    def __init__(self):
        self.let_go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.begun_count = 0

    def SubmitMarks(self, request, context):
        self.begun_count += 1
        self.begun.release()
        self.let_go.wait(DEADLINE_S)
        return ingest_pb2.SubmitMarksResponse()

    def StreamMarks(self, requests, context):
        self.begun.release()
        self.let_go.wait(DEADLINE_S)
        yield ingest_pb2.StreamMarksResponse()

    def ListChanges(self, request, context):
        return ingest_pb2.ListChangesResponse(next_cursor="7")


class Served:
    """A server with one thread and one place for writes, and one for streams of them."""

    def __init__(self):
        self.servicer = Slow()
        self.shed = []
        self.running = rpc.start(
            [lambda s: ingest_pb2_grpc.add_IngestServiceServicer_to_server(self.servicer, s)],
            [rpc.Door("127.0.0.1:0")],
            sizes={"writes": Size(1, 1), "streams in": Size(1, 0)},
            lanes={SUBMIT: "writes"},
            count=lambda instrument, amount, lane: self.shed.append((instrument, amount, lane)),
        )
        self.channel = rpc.connect(f"127.0.0.1:{self.running.port}")
        self.stub = ingest_pb2_grpc.IngestServiceStub(self.channel)

    def begin_one(self):
        """A write that has begun and is not let go."""
        call = self.stub.SubmitMarks.future(ingest_pb2.SubmitMarksRequest(), timeout=DEADLINE_S)
        assert self.servicer.begun.acquire(timeout=DEADLINE_S)
        return call

    def fill(self):
        """Take the thread, and the place to wait; the calls."""
        calls = [self.begin_one()]
        while not (refused := self.refused()):
            pass
        return calls, refused

    def refused(self):
        """A further write, if it is refused; else it waits from now on."""
        call = self.stub.SubmitMarks.future(ingest_pb2.SubmitMarksRequest(), timeout=DEADLINE_S)
        asked = threading.Event()
        call.add_done_callback(lambda _: asked.set())
        return call if asked.wait(0.5) else None

    def submit(self):
        """A write that is answered: those before it may not have left their places yet."""
        while True:
            try:
                request = ingest_pb2.SubmitMarksRequest()
                return self.stub.SubmitMarks(request, timeout=DEADLINE_S)
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

    def stop(self):
        self.servicer.let_go.set()
        self.channel.close()
        self.running.stop(5)


@pytest.fixture
def served():
    running = Served()
    yield running
    running.stop()


def test_a_call_without_a_place_is_refused_at_once_and_told_when_to_come_again(served):
    _, refused = served.fill()

    error = rpc.to_domain_error(refused.exception())
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error is not None
    assert (error.reason, error.metadata["lane"]) == ("OVERLOADED", "writes")
    assert 1 <= rpc.retry_delay_s(refused.exception()) <= 2
    assert served.shed[0] == (SHED, 1, "writes")


def test_the_times_to_come_again_are_spread(served):
    served.fill()

    delays = set()
    while len(delays) < 5:
        if refused := served.refused():
            delays.add(rpc.retry_delay_s(refused.exception()))

    assert all(1 <= delay <= 2 for delay in delays)


def test_what_finds_no_place_leaves_other_calls_alone(served):
    served.fill()

    answer = served.stub.ListChanges(ingest_pb2.ListChangesRequest(), timeout=DEADLINE_S)

    assert answer.next_cursor == "7"


def test_once_calls_have_ended_others_find_their_places(served):
    calls, _ = served.fill()
    served.servicer.let_go.set()

    assert calls[0].result(DEADLINE_S) == ingest_pb2.SubmitMarksResponse()
    served.submit()


def test_a_call_whose_deadline_passed_while_it_waited_is_not_begun(served):
    first = served.begin_one()
    late = served.stub.SubmitMarks.future(ingest_pb2.SubmitMarksRequest(), timeout=0.3)

    assert late.exception(DEADLINE_S) is not None
    assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    served.servicer.let_go.set()
    first.result(DEADLINE_S)

    served.submit()
    assert served.servicer.begun_count == 2


def test_a_stream_without_a_thread_is_refused(served):
    let_end = threading.Event()

    def requests():
        yield ingest_pb2.StreamMarksRequest()
        let_end.wait(DEADLINE_S)

    first = served.stub.StreamMarks(requests(), timeout=DEADLINE_S)
    assert served.servicer.begun.acquire(timeout=DEADLINE_S)
    with pytest.raises(grpc.RpcError) as caught:
        next(served.stub.StreamMarks(requests(), timeout=DEADLINE_S))

    let_end.set()
    first.cancel()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert rpc.retry_delay_s(caught.value) >= 1


def test_every_lane_has_a_size_and_lookups_wait_for_no_other_service():
    by_method = lanes.lanes()

    assert set(by_method.values()) <= set(lanes.SIZES)
    assert by_method["/zhengming.reputation.v1.ReputationService/GetReputation"] == lanes.LOOKUPS
    assert "/zhengming.reputation.v1.ReputationService/ExplainReputation" not in by_method
    assert by_method[SUBMIT] == lanes.WRITES
