"""The door for probes: gRPC health in clear on a port of its own, behind which nothing else is.

A kubelet shows no certificate, so it cannot ask a port that wants one. "live" is served for as long
as the process answers at all; "" only while it is ready for calls.
"""

import logging
import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.common import version
from services.common.errors import DomainError, Unavailable

log = logging.getLogger(__name__)

LIVE = "live"
READY = ""
VERSION_KEY = "zhengming-version"
"""Trailing metadata of every answer: which version answers."""
CHECK_EVERY_S = 5.0
_WORKERS = 2
_MAX_CALLS = 32
"""Calls at a time: an open Watch is one."""


class HealthDoor:
    """Answers probes from when it is made, before there is anything to serve."""

    def __init__(self, address: str, shared: bool = False) -> None:
        """Listen; live, and not ready.

        Args:
            address: such as "0.0.0.0:50052"; port 0 takes a free one; "" opens nothing.
            shared: several processes listen on the port.

        Raises:
            Unavailable: ADDRESS_IN_USE.
        """
        self._checks = health.HealthServicer()
        self._checks.set(LIVE, health_pb2.HealthCheckResponse.SERVING)
        self.tell(False)
        self._server: grpc.Server | None = None
        self.port = 0
        if not address:
            return
        server = grpc.server(
            futures.ThreadPoolExecutor(_WORKERS, thread_name_prefix="health"),
            interceptors=[_VersionInterceptor()],
            options=[("grpc.so_reuseport", int(shared))],
            maximum_concurrent_rpcs=_MAX_CALLS,
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._checks, server)
        try:
            self.port = server.add_insecure_port(address)
        except RuntimeError as error:
            raise Unavailable(
                "ADDRESS_IN_USE", f"cannot listen on {address}: is it in use?", address=address
            ) from error
        server.start()
        self._server = server

    def tell(self, is_ready: bool) -> None:
        """Say from now on whether calls may come."""
        states = health_pb2.HealthCheckResponse
        self._checks.set(READY, states.SERVING if is_ready else states.NOT_SERVING)

    def close(self) -> None:
        """Answer nothing more."""
        if self._server is not None:
            self._server.stop(None).wait()


class Readiness:
    """Keeps a door's word true: asks now and then whether what is needed still answers."""

    def __init__(
        self, door: HealthDoor, check: Callable[[], None], every_s: float = CHECK_EVERY_S
    ) -> None:
        """Begin to ask.

        Args:
            check: raises a DomainError while calls could not be answered.
        """
        self._door, self._check, self._every_s = door, check, every_s
        self._stopping = threading.Event()
        self._was_ready: bool | None = None
        self._ask()
        self._thread = threading.Thread(target=self._follow, name="readiness", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Not ready any more, for good."""
        self._stopping.set()
        self._door.tell(False)
        self._thread.join()
        self._door.tell(False)  # an answer that was under way came too late

    def _follow(self) -> None:
        while not self._stopping.wait(self._every_s):
            self._ask()

    def _ask(self) -> None:
        reason = ""
        try:
            self._check()
        except DomainError as error:
            reason = error.reason
        except Exception:
            log.exception("asking whether the process is ready failed")
            reason = "failed"
        is_ready = not reason
        if self._stopping.is_set():
            return
        self._door.tell(is_ready)
        if is_ready != self._was_ready:
            log.info("ready" if is_ready else f"not ready: {reason}")
        self._was_ready = is_ready


class _VersionInterceptor(grpc.ServerInterceptor):
    """Names the version in the trailing metadata of answers."""

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Wrap unary handlers; a stream is left as it is."""
        handler = continuation(handler_call_details)
        if handler is None or not handler.unary_unary:
            return handler
        inner, trailing = handler.unary_unary, ((VERSION_KEY, version.described()),)

        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            context.set_trailing_metadata(trailing)
            return inner(request, context)

        return grpc.unary_unary_rpc_method_handler(
            answer, handler.request_deserializer, handler.response_serializer
        )
