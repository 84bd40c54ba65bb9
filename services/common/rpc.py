"""How gRPC servers run here: errors become statuses, health is told, a stop loses no call."""

import logging
import math
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from services.common import errors
from services.common.admission import (
    STREAMS,
    STREAMS_IN,
    UNARY,
    AdmissionInterceptor,
    Count,
    Lane,
    Size,
)
from services.common.handlers import formed, function_of
from services.common.identity.certificates import (
    Certificates,
    RenewedChannel,
    channel_credentials,
)

log = logging.getLogger(__name__)

DOMAIN = "zhengming"
"""google.rpc.ErrorInfo.domain of every error."""

RETRY_AFTER = "retry_after_s"
"""Metadata of an error that names the seconds after which the call may succeed."""
RETRY_S = 1.0
"""The same for an error that says no more than that it will pass."""
RETRY_SPREAD = 1.0
"""Callers refused together come again spread over so many times that wait."""

MAX_MESSAGE_BYTES = 64 << 20
"""Largest message either way: 200,000 marks in columns are about 20 MiB."""

OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
)

HOPELESS_S, LOOK_S = 2.0, 0.1

RECONNECTING = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 3_000),
)
"""A channel looks so often for a server that went away; gRPC's own pauses grow to two minutes. They
vary by a fifth, so that not all come at once."""

SEVERAL = ("dns:", "ipv4:", "ipv6:")
"""Schemes of addresses that may stand for several servers."""
IN_TURN = (
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    ("grpc.dns_min_time_between_resolutions_ms", 5_000),
)
CONNECTION_AGE = (("grpc.max_connection_age_ms", 300_000),)
"""A connection is begun anew after so long, so that clients find servers that came since."""

HEALTH = "health"
_HEALTH_CHECK = "/grpc.health.v1.Health/Check"
SIZES = {
    UNARY: Size(threads=16, waiting=256),
    STREAMS: Size(threads=32, waiting=0),
    STREAMS_IN: Size(threads=16, waiting=0),
    HEALTH: Size(threads=2, waiting=256),
}
"""Lanes of every server. A stream holds its thread until it ends, so none waits for one."""
NO_LANES: Mapping[str, str] = {}

_CODES: tuple[tuple[type[errors.DomainError], grpc.StatusCode], ...] = (
    (errors.InvalidArgument, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NotFound, grpc.StatusCode.NOT_FOUND),
    (errors.FailedPrecondition, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.ResourceExhausted, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.Unavailable, grpc.StatusCode.UNAVAILABLE),
    (errors.Unauthenticated, grpc.StatusCode.UNAUTHENTICATED),
    (errors.PermissionDenied, grpc.StatusCode.PERMISSION_DENIED),
)

_NO_DEADLINE_S = 1e8
"""Three years: a call without a deadline has one in hundreds of years."""
NOT_BEGUN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
"""Codes of calls that did not reach a handler: a server that stops ends those it has not begun with
CANCELLED, which should be UNAVAILABLE (grpc/grpc issue 41785)."""
_PASSING = (*NOT_BEGUN, grpc.StatusCode.DEADLINE_EXCEEDED)

Registration = Callable[[grpc.Server], None]


def to_status_proto(
    error: errors.DomainError, chance: Callable[[], float] = random.random
) -> status_pb2.Status:
    """Turn an error into a google.rpc.Status with exactly one ErrorInfo (AIP-193).

    Where the error says when to come again, or is one that passes, a RetryInfo goes with it; its
    delay is drawn anew each time, so that those who were refused together do not return together.
    """
    code = next(code for kind, code in _CODES if isinstance(error, kind))
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    status = status_pb2.Status(code=code.value[0], message=str(error))
    status.details.add().Pack(info)
    if RETRY_AFTER in error.metadata or isinstance(error, errors.Unavailable):
        wait_s = float(error.metadata.get(RETRY_AFTER, RETRY_S)) * (1 + RETRY_SPREAD * chance())
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(math.ceil(wait_s * 1000))
        status.details.add().Pack(retry)
    return status


def time_left_s(context: grpc.ServicerContext) -> float:
    """Seconds until the caller's deadline; infinite where it set none, which gRPC does not say."""
    left_s = context.time_remaining()
    return left_s if left_s is not None and left_s < _NO_DEADLINE_S else math.inf


def retry_delay_s(error: grpc.RpcError) -> float | None:
    """How long the server asks the caller of a failed call to wait; None where it does not."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type] # an RpcError of a call is a Call
    for detail in () if status is None else status.details:
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(retry):
            return float(retry.retry_delay.ToMilliseconds()) / 1000
    return None


def to_status(error: errors.DomainError) -> Any:
    """The same as grpc.Status: code, details and trailing metadata of a call."""
    return rpc_status.to_status(to_status_proto(error))


def to_domain_error(error: grpc.RpcError) -> errors.DomainError | None:
    """Read the DomainError back out of a failed call; None where there is none in it."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type] # an RpcError of a call is a Call
    if status is None:
        return None
    return from_status_proto(status)


def translated(error: grpc.RpcError) -> errors.DomainError:
    """A failed call in the domain's words; CALL_FAILED where the server gave none."""
    return to_domain_error(error) or errors.Unavailable(
        "CALL_FAILED", f"{error.code().name}: {error.details()}"
    )


def not_ready(error: Exception) -> errors.DomainError | None:
    """What is told where a service that this one needs is not there, or says so; else None."""
    if not isinstance(error, grpc.RpcError) or error.code() not in _PASSING:
        return None
    return to_domain_error(error) or errors.Unavailable(
        "NOT_READY", "a service that this one needs does not answer; try again", service="peer"
    )


def from_status_proto(status: status_pb2.Status) -> errors.DomainError | None:
    """Read the DomainError that a status carries; None where it carries none."""
    code_kinds = {code.value[0]: kind for kind, code in _CODES}
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and status.code in code_kinds:
            return code_kinds[status.code](info.reason, status.message, **dict(info.metadata))
    return None


class ErrorInterceptor(grpc.ServerInterceptor):
    """Answers a DomainError as its status, and anything else as INTERNAL, with a traceback kept."""

    def __init__(self) -> None:
        self._wrapped: dict[str, Any] = {}

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Wrap the handler of a method, once."""
        method = handler_call_details.method
        if method not in self._wrapped:
            handler = continuation(handler_call_details)
            if handler is None:
                return None
            self._wrapped[method] = _wrap(handler, method)
        return self._wrapped[method]


class _Malformed:
    """Stands for a request whose bytes are no message of its method."""

    def __init__(self, cause: DecodeError) -> None:
        self.cause = cause


def tolerant(deserialize: Any) -> Any:
    """What reads a request, for grpc itself answers INTERNAL to bytes that are none."""

    def read(content: bytes) -> Any:
        try:
            return deserialize(content)
        except DecodeError as error:
            return _Malformed(error)

    return None if deserialize is None else read


def accepted(request: Any) -> Any:
    """A request as `tolerant` read it.

    Raises:
        InvalidArgument: BODY_INVALID, where it is no message of its method.
    """
    if isinstance(request, _Malformed):
        cause = str(request.cause)[:200]
        raise errors.InvalidArgument(
            "BODY_INVALID", f"the request is no message of this method: {cause}", cause=cause
        )
    return request


def _wrap(handler: Any, method: str) -> Any:
    inner = function_of(handler)

    def read(given: Any) -> Any:
        return map(accepted, given) if handler.request_streaming else accepted(given)

    def one(given: Any, context: grpc.ServicerContext) -> Any:
        try:
            return inner(read(given), context)
        except Exception as error:
            return _abort(context, error, method)

    def many(given: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        try:
            yield from inner(read(given), context)
        except Exception as error:
            _abort(context, error, method)

    return formed(
        handler,
        many if handler.response_streaming else one,
        tolerant(handler.request_deserializer),
        handler.response_serializer,
    )


def _abort(context: Any, error: Exception, method: str) -> Any:
    if isinstance(error, errors.DomainError):
        return _refuse(context, error)
    if getattr(context, "code", lambda: None)() is not None:
        raise error  # the handler has aborted the call itself
    if told := not_ready(error):
        return _abort(context, told, method)
    log.exception("call failed", extra={"method": method})
    return context.abort(grpc.StatusCode.INTERNAL, "internal error")


def _refuse(context: Any, error: errors.DomainError) -> Any:
    status = to_status(error)
    # abort_with_status is not seen by OpenTelemetry's interceptor; these two calls are.
    context.set_trailing_metadata(status.trailing_metadata)
    return context.abort(status.code, status.details)


class Running:
    """A started server."""

    def __init__(
        self,
        server: grpc.Server,
        checks: health.HealthServicer,
        ports: Sequence[int],
        admission: AdmissionInterceptor,
    ) -> None:
        self.ports, self.port = tuple(ports), ports[0]
        self._server, self._checks, self._admission = server, checks, admission
        self._stopped = threading.Event()

    def drain(self) -> None:
        """Tell clients to go elsewhere, and go on answering those that come."""
        self._checks.enter_graceful_shutdown()

    def stop(self, grace_s: float, is_hopeless: Callable[[], bool] = lambda: False) -> None:
        """Tell clients to go elsewhere, finish running calls, at most for grace_s seconds.

        Args:
            is_hopeless: whether what runs cannot be finished, so that it gets HOPELESS_S only.
        """
        self._checks.enter_graceful_shutdown()
        ended = self._server.stop(grace_s)
        while not ended.wait(LOOK_S):
            if is_hopeless():
                self._server.stop(HOPELESS_S).wait()
        self._admission.close()


@dataclass(frozen=True)
class Door:
    """Where a server listens, and how.

    Attributes:
        address: such as "127.0.0.1:50051"; port 0 takes a free one.
        credentials: of TLS; None: anybody, in clear.
    """

    address: str
    credentials: grpc.ServerCredentials | None = None


def start(
    registrations: Iterable[Registration],
    doors: Sequence[Door],
    guard: grpc.ServerInterceptor | None = None,
    forwarding: grpc.ServerInterceptor | None = None,
    shared: bool = False,
    watch: grpc.ServerInterceptor | None = None,
    sizes: Mapping[str, Size] = SIZES,
    lanes: Mapping[str, str] = NO_LANES,
    count: Count = lambda *_: None,
) -> Running:
    """Serve behind one or more doors; `guard` is asked before every handler, then `forwarding`.

    Args:
        watch: sees every call as its caller does, before all others.
        shared: several processes listen on the port, and each gets its share of the connections.
        sizes: of the lanes, by their names.
        lanes: names of the lanes of methods that have one of their own.
        count: told of each call that found no place in its lane.

    Raises:
        Unavailable: ADDRESS_IN_USE.
    """
    open_lanes = {name: Lane(name, size) for name, size in {**SIZES, **sizes}.items()}
    by_method = {_HEALTH_CHECK: open_lanes[HEALTH], **open_lanes}
    by_method |= {method: open_lanes[name] for method, name in lanes.items()}
    admission = AdmissionInterceptor(by_method, _refuse, count)
    inner = (admission, watch, ErrorInterceptor(), guard, forwarding)
    server = grpc.server(
        open_lanes[UNARY],
        interceptors=[i for i in inner if i is not None],
        options=[*OPTIONS, *CONNECTION_AGE, ("grpc.so_reuseport", int(shared))],
    )
    for register in registrations:
        register(server)
    checks = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    ports = [open_door(server, door) for door in doors]
    server.start()
    checks.set("", health_pb2.HealthCheckResponse.SERVING)
    return Running(server, checks, ports, admission)


def open_door(server: Any, door: Door) -> int:
    """Listen at a door of a grpc.server or grpc.aio.server; the port.

    Raises:
        Unavailable: ADDRESS_IN_USE.
    """
    try:
        if door.credentials is None:
            return int(server.add_insecure_port(door.address))
        return int(server.add_secure_port(door.address, door.credentials))
    except RuntimeError as error:
        raise errors.Unavailable(
            "ADDRESS_IN_USE",
            f"cannot listen on {door.address}: is it in use?",
            address=door.address,
        ) from error


def connect(
    address: str, certificates: Callable[[], Certificates] | None = None, token: str = ""
) -> grpc.Channel:
    """Open a channel to one of our servers, or to several that serve the same.

    Args:
        address: HOST:PORT; "dns:///HOST:PORT" for all that the name stands for, a headless service
            for one: calls go to them in turn, and those that do not answer are left out.
        certificates: what to show and whom to trust, as they are now; None: in clear.
        token: shown besides, or instead of a certificate.
    """
    options = [*OPTIONS, *RECONNECTING, *(IN_TURN if address.startswith(SEVERAL) else ())]
    if certificates is None:
        return grpc.insecure_channel(address, options=options)
    return RenewedChannel(
        certificates,
        lambda found: grpc.secure_channel(
            address, channel_credentials(found, token), options=options
        ),
    )
