"""What a process answers while its store is not there yet: NOT_READY to every call."""

from collections.abc import Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_status import rpc_status

from services.common import rpc
from services.common.errors import Unavailable


class _NotReady(grpc.GenericRpcHandler):
    def service(self, handler_call_details: Any) -> Any:
        def answer(_: bytes, context: grpc.ServicerContext) -> bytes:
            error = Unavailable(
                "NOT_READY", "the store is not there yet; try again", service="store"
            )
            status = rpc_status.to_status(rpc.to_status_proto(error))
            context.set_trailing_metadata(status.trailing_metadata)
            context.abort(status.code, status.details)
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@contextmanager
def waiting_room(doors: Sequence[rpc.Door]) -> Iterator[None]:
    """Answer every call with Unavailable(NOT_READY), and health with NOT_SERVING, in the block.

    Doors that cannot be opened are left shut: who serves there afterwards says what is wrong.
    """
    server = grpc.server(
        futures.ThreadPoolExecutor(2, thread_name_prefix="waiting"),
        options=[("grpc.so_reuseport", 0)],
    )
    checks = health.HealthServicer()
    checks.enter_graceful_shutdown()  # NOT_SERVING, whoever asks
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    server.add_generic_rpc_handlers((_NotReady(),))
    for door in doors:
        if not door.address.endswith(":0"):
            try:
                rpc.open_door(server, door)
            except Unavailable:
                continue
    server.start()
    try:
        yield
    finally:
        server.stop(0).wait()
