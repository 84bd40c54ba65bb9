"""A channel to several servers asks them in turn, and leaves out what does not answer."""

import contextlib
import threading

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common import rpc, rpc_loop
from services.common.errors import Unavailable
from services.common.waiting import waiting_room
from tests.clickhouse_server import free_ports
from zhengming.ingest.v1 import ingest_pb2, ingest_pb2_grpc


class Named(ingest_pb2_grpc.IngestServiceServicer):
    """Answers with its own name, as a cursor."""

    def __init__(self, name: str) -> None:
        self.name = name

    def ListChanges(self, request, context):
        return ingest_pb2.ListChangesResponse(next_cursor=self.name)


def serve(name):
    return rpc.start(
        [lambda s: ingest_pb2_grpc.add_IngestServiceServicer_to_server(Named(name), s)],
        [rpc.Door("127.0.0.1:0")],
    )


def ask(stub):
    request = ingest_pb2.ListChangesRequest()
    return stub.ListChanges(request, timeout=20, wait_for_ready=True).next_cursor


def test_calls_go_to_all_servers_in_turn_and_to_those_that_are_left():
    first, second = serve("a"), serve("b")
    address = f"ipv4:127.0.0.1:{first.port},127.0.0.1:{second.port}"

    with rpc.connect(address) as channel:
        stub = ingest_pb2_grpc.IngestServiceStub(channel)
        names: list[str] = []
        while set(names) != {"a", "b"}:
            names.append(ask(stub))
        in_turn = [ask(stub) for _ in range(10)]
        first.stop(0)
        left = []
        while left[-5:] != ["b"] * 5:
            with contextlib.suppress(grpc.RpcError):
                left.append(ask(stub))
    second.stop(0)

    assert in_turn.count("a") == in_turn.count("b") == 5


def test_before_its_store_is_there_a_process_says_that_it_is_not_ready():
    (port,) = free_ports(1)

    with waiting_room([rpc.Door(f"127.0.0.1:{port}")]), rpc.connect(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.RpcError) as caught:
            ingest_pb2_grpc.IngestServiceStub(channel).ListChanges(
                ingest_pb2.ListChangesRequest(), timeout=20
            )
        health = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=20
        )

    error = rpc.to_domain_error(caught.value)
    assert isinstance(error, Unavailable)
    assert error.reason == "NOT_READY"
    assert health.status == health_pb2.HealthCheckResponse.NOT_SERVING


def test_calls_that_wait_in_a_server_that_stops_are_answered_by_another(policy):
    begun, ending = threading.Event(), threading.Event()

    def answer(request, _context):
        if request == b"wait":
            begun.set()
            assert ending.wait(20)
        return request

    echo = {"Echo": grpc.unary_unary_rpc_method_handler(answer, None, None)}
    first, second = (
        rpc_loop.start("test.Test", echo, {"Echo": 100}, [rpc.Door("127.0.0.1:0")])
        for _ in range(2)
    )
    address = f"ipv4:127.0.0.1:{first.port},127.0.0.1:{second.port}"

    with (
        grpc.insecure_channel(f"127.0.0.1:{first.port}") as one,
        grpc.insecure_channel(address, options=[("grpc.service_config", policy)]) as both,
    ):
        blocking = one.unary_unary("/test.Test/Echo", None, None).future(b"wait", timeout=20)
        assert begun.wait(20)
        ask = both.unary_unary("/test.Test/Echo", None, None)
        waiting = [ask.future(b"%d" % place, timeout=20) for place in range(40)]
        waited = threading.Timer(0.5, ending.set)  # by then half of them are in the first server
        waited.start()
        first.stop(10)
        answers = [call.result() for call in waiting]

    second.stop(0)
    assert blocking.result() == b"wait"
    assert answers == [b"%d" % place for place in range(40)]
