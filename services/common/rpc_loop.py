"""A gRPC server on an event loop, for methods that answer from memory.

grpc.server hands every call to a thread and back, which costs more than such an answer itself. Here
a quick method answers on the loop; any other runs in a thread, so that none waits for it. The loop
is libuv's, which answers more a second than asyncio's own (docs/decisions.md).
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

import grpc
import uvloop
from google.rpc import status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from services.common import rpc
from services.common.admission import Count, Lane, Size, overloaded
from services.common.errors import DomainError, Unavailable
from services.common.telemetry.names import SHED

log = logging.getLogger(__name__)

_FAILED = rpc_status.to_status(
    status_pb2.Status(code=grpc.StatusCode.INTERNAL.value[0], message="internal error")
)
START_S = 30.0
SLOW = Size(threads=4, waiting=64)
"""Of the methods that run in threads. The quick ones are never refused: to refuse one costs the
loop as much as to answer it."""
MAX_STREAMS = 1_000
"""Calls that one connection may have open; its further calls wait at the client."""


class Running:
    """A started server, its loop in a thread of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
        self._loop, self._thread = loop, thread
        self._server: grpc.aio.Server | None = None
        self._checks = health.aio.HealthServicer()
        self.ports: tuple[int, ...] = ()

    @property
    def port(self) -> int:
        """Of the first door."""
        return self.ports[0]

    async def begin(
        self,
        service: str,
        handlers: "dict[str, grpc.RpcMethodHandler[Any, Any]]",
        doors: Sequence[rpc.Door],
        shared: bool,
    ) -> None:
        """Listen behind the doors.

        Raises:
            Unavailable: ADDRESS_IN_USE.
        """
        options = [
            *rpc.OPTIONS,
            ("grpc.so_reuseport", int(shared)),
            ("grpc.max_concurrent_streams", MAX_STREAMS),
        ]
        server = self._server = grpc.aio.server(options=options)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        health_pb2_grpc.add_HealthServicer_to_server(self._checks, server)
        self.ports = tuple(rpc.open_door(server, door) for door in doors)
        await server.start()
        await self._checks.set("", health_pb2.HealthCheckResponse.SERVING)

    async def _end(self, grace_s: float) -> None:
        await self._checks.enter_graceful_shutdown()
        if self._server is not None:
            await self._server.stop(grace_s)

    def drain(self) -> None:
        """Tell clients to go elsewhere, and answer those that have not heard yet."""
        self._wait(self._checks.enter_graceful_shutdown())

    def _wait(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def stop(self, grace_s: float) -> None:
        """Tell clients to go elsewhere, finish running calls, at most for grace_s seconds."""
        self._wait(self._end(grace_s))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


def start(
    service: str,
    handlers: "dict[str, grpc.RpcMethodHandler[Any, Any]]",
    quick: Mapping[str, int],
    doors: Sequence[rpc.Door],
    guard: grpc.ServerInterceptor | None = None,
    shared: bool = False,
    watch: grpc.ServerInterceptor | None = None,
    count: Count = lambda *_: None,
) -> Running:
    """Serve one service of unary methods.

    Args:
        service: its full name.
        handlers: by method, such as a grpc.server takes; they may ask a context who calls, no more.
        quick: methods that never wait and answer at once, and up to how many bytes of
            request, where they take it as bytes.
        doors: where.
        guard: asked before every handler.
        shared: several processes listen on the port.
        watch: sees every call as its caller does, before the guard.
        count: told of each call that found no thread.

    Raises:
        Unavailable: ADDRESS_IN_USE.
    """
    pool = Lane("lookups", SLOW)
    answering = {}
    for name, handler in handlers.items():
        method = f"/{service}/{name}"
        guarded = _within(handler, method, guard)
        answering[name] = _on_loop(guarded, method, watch, quick.get(name, -1), pool, count)
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=_run, args=(loop,), name="rpc loop", daemon=True)
    thread.start()
    running = Running(loop, thread)
    begun = asyncio.run_coroutine_threadsafe(running.begin(service, answering, doors, shared), loop)
    try:
        begun.result(START_S)
    except Unavailable:
        running.stop(0)
        raise
    return running


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()


def _within(handler: Any, method: str, guard: grpc.ServerInterceptor | None) -> Any:
    if guard is None:
        return handler
    details: Any = _Details(method)
    return guard.intercept_service(lambda _details: handler, details)


class _Details:
    """Of a call, what an interceptor asks when it wraps a handler."""

    def __init__(self, method: str, context: Any = None) -> None:
        self.method, self._context = method, context

    @property
    def invocation_metadata(self) -> Any:
        return () if self._context is None else self._context.invocation_metadata()


class _Call:
    """Of a call, what handlers and interceptors of grpc.server ask, whatever thread they run in."""

    def __init__(self, context: Any) -> None:
        self.auth_context = context.auth_context
        self.invocation_metadata = context.invocation_metadata
        self.status: Any = None

    def code(self) -> grpc.StatusCode | None:
        """Of the status that it ends with; None as long as nothing went wrong."""
        return None if self.status is None else self.status.code


def _on_loop(
    handler: Any,
    method: str,
    watch: grpc.ServerInterceptor | None,
    quick_bytes: int,
    pool: Lane,
    count: Count,
) -> "grpc.RpcMethodHandler[Any, Any]":
    inner: Callable[[Any, Any], Any] = handler.unary_unary

    def answered(request: Any, call: _Call) -> Any:
        try:
            return inner(rpc.accepted(request), call)
        except DomainError as error:
            call.status = rpc.to_status(error)
            raise
        except Exception:
            log.exception("call failed", extra={"method": method})
            call.status = _FAILED
            raise

    told: Any = grpc.unary_unary_rpc_method_handler(answered)

    def of_call(context: Any) -> Callable[[Any, Any], Any]:
        if watch is None:
            return answered
        details: Any = _Details(method, context)
        watched: Any = watch.intercept_service(lambda _details: told, details)
        found: Callable[[Any, Any], Any] = watched.unary_unary
        return found

    async def at_once(request: Any, context: Any) -> Any:
        call = _Call(context)
        try:
            return of_call(context)(request, call)
        except Exception:
            return await _abort(context, call)

    async def in_thread(request: Any, context: Any) -> Any:
        call, loop = _Call(context), asyncio.get_running_loop()
        if pool.is_full:
            count(SHED, 1, pool.name)
            call.status = rpc.to_status(overloaded(pool.name))
            return await _abort(context, call)
        try:
            return await loop.run_in_executor(pool, of_call(context), request, call)
        except Exception:
            return await _abort(context, call)

    async def by_size(request: bytes, context: Any) -> Any:
        return await (at_once if len(request) <= quick_bytes else in_thread)(request, context)

    answer: Callable[[Any, Any], Awaitable[Any]] = in_thread if quick_bytes < 0 else at_once
    if quick_bytes >= 0 and handler.request_deserializer is None:
        answer = by_size
    return grpc.unary_unary_rpc_method_handler(
        answer, rpc.tolerant(handler.request_deserializer), handler.response_serializer
    )


async def _abort(context: Any, call: _Call) -> Any:
    status = _FAILED if call.status is None else call.status
    return await context.abort(status.code, status.details, status.trailing_metadata)
