"""Rate, errors and durations of every gRPC method, and the spans of those calls that are traced.

A lookup takes about a tenth of a millisecond, so what is done for each call is counting in place;
whether a call is traced is decided before anything is made for it.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from opentelemetry.trace import Span, SpanContext, Status, StatusCode

from services.common.handlers import Function, function_of, like
from services.common.telemetry import names, traceparent
from services.common.telemetry.histogram import Durations, Series
from services.common.telemetry.traces import Traces

OK = "OK"
_SERVER_FAULTS = ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE",
                  "DATA_LOSS")  # fmt: skip
"""Statuses that are the server's fault (OpenTelemetry's semantic conventions for gRPC)."""


class CallInterceptor(grpc.ServerInterceptor):
    """Stands before all others, so that it sees what the caller is answered."""

    def __init__(
        self, calls: Durations, traces: Traces, ratio: float, chance: Callable[[], float]
    ) -> None:
        self._calls, self._traces = calls, traces
        self._ratio = ratio if traces.is_on else 0.0
        self._chance = chance
        self._counted: dict[str, Any] = {}

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """The counted handler of a method, or for this call the traced one."""
        method = handler_call_details.method
        counted = self._counted.get(method)
        if counted is None:
            handler = continuation(handler_call_details)
            if handler is None:
                return None
            counted = self._counted[method] = like(handler, self._count(handler, method))
        if not self._traces.is_on:
            return counted
        parent = traceparent.of(handler_call_details.invocation_metadata)
        if parent is None and (self._ratio == 0 or self._chance() >= self._ratio):
            return counted
        return like(counted, self._trace(counted, method, parent))

    def _count(self, handler: Any, method: str) -> Function:
        inner = function_of(handler)
        name, calls = method.lstrip("/"), self._calls
        answered: Series = calls.series(name, OK)

        def one(request: Any, context: Any) -> Any:
            begun = time.perf_counter()
            try:
                answer = inner(request, context)
            except BaseException:
                calls.series(name, _status(context)).add(time.perf_counter() - begun)
                raise
            answered.add(time.perf_counter() - begun)
            return answer

        def many(request: Any, context: Any) -> Iterator[Any]:
            begun = time.perf_counter()
            status = "CANCELLED"  # the caller left before the end
            try:
                yield from inner(request, context)
                status = OK
            except Exception:
                status = _status(context)
                raise
            finally:
                calls.series(name, status).add(time.perf_counter() - begun)

        return many if handler.response_streaming else one

    def _trace(self, counted: Any, method: str, parent: SpanContext | None) -> Function:
        inner, traces = function_of(counted), self._traces

        def one(request: Any, context: Any) -> Any:
            with traces.served(method, parent) as span:
                try:
                    answer = inner(request, context)
                except BaseException:
                    _answered(span, _status(context))
                    raise
                _answered(span, OK)
                return answer

        def many(request: Any, context: Any) -> Iterator[Any]:
            with traces.served(method, parent) as span:
                try:
                    yield from inner(request, context)
                except BaseException:
                    _answered(span, _status(context))
                    raise
                _answered(span, OK)

        return many if counted.response_streaming else one


def _answered(span: Span, status: str) -> None:
    span.set_attribute(names.STATUS, status)
    if status in _SERVER_FAULTS:
        span.set_status(Status(StatusCode.ERROR))


def _status(context: Any) -> str:
    code = context.code()
    return "UNKNOWN" if code is None else code.name
