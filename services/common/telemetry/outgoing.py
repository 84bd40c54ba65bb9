"""Calls to other services inside a trace: a span for each, and the header that carries it on."""

from typing import Any, NamedTuple

import grpc
from opentelemetry.trace import Status, StatusCode

from services.common.telemetry import names, traceparent
from services.common.telemetry.traces import Traces, current


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: Any
    compression: Any


class _Details_(_Details, grpc.ClientCallDetails):
    """What grpc takes for the details of a call."""


class TraceInterceptor(grpc.UnaryUnaryClientInterceptor):
    """Carries a trace on; without one a call is what it was. Streams are not traced."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces

    def intercept_unary_unary(
        self, continuation: Any, client_call_details: Any, request: Any
    ) -> Any:
        """Make the call, in a span if there is a trace."""
        if current() is None:
            return continuation(client_call_details, request)
        span = self._traces.made(client_call_details.method)
        header = (traceparent.HEADER, traceparent.write(span.get_span_context()))
        call = continuation(_with(client_call_details, header), request)

        def answered(done: Any) -> None:
            code = done.code()
            span.set_attribute(names.STATUS, code.name)
            if code is not grpc.StatusCode.OK:
                span.set_status(Status(StatusCode.ERROR))
            span.end()

        call.add_done_callback(answered)  # at once where the caller has waited for the answer
        return call


def _with(details: Any, header: tuple[str, str]) -> grpc.ClientCallDetails:
    return _Details_(
        details.method,
        details.timeout,
        (*(details.metadata or ()), header),
        details.credentials,
        getattr(details, "wait_for_ready", None),
        getattr(details, "compression", None),
    )
