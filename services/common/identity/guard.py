"""Stands before every handler: who calls, whether that client may, and how much is left."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from services.common.clock import Clock
from services.common.errors import DomainError, Unauthenticated
from services.common.handlers import function_of, like
from services.common.identity import caller
from services.common.identity.clients import Client, read_clients
from services.common.identity.policy import NOBODY, Permission, load
from services.common.identity.tokens import read_keys, subject
from services.common.identity.watched import Watched
from services.common.quota import Limits

log = logging.getLogger(__name__)

BEARER = "bearer "


class Guard:
    """Knows the clients; asked once a call, and once a message of a stream."""

    def __init__(
        self,
        clients: Callable[[], Mapping[str, Client]],
        keys: Callable[[], Mapping[str, Any]],
        permissions: Mapping[str, Permission],
        clock: Clock,
    ) -> None:
        """Nothing is read yet.

        Args:
            clients: the present ones, by name.
            keys: the present public keys of tokens, by id.
            permissions: by method.
            clock: for the times of tokens and the refilling of quotas.
        """
        self._clients, self._keys, self._clock = clients, keys, clock
        self._permissions = permissions
        self._limits = Limits(clock)

    def permission(self, method: str) -> Permission:
        """Who may call a method."""
        return self._permissions.get(method, NOBODY)

    def admit(self, context: grpc.ServicerContext, method: str) -> Client:
        """The client of a call, if it may call the method.

        Raises:
            Unauthenticated: UNAUTHENTICATED.
            PermissionDenied: PERMISSION_DENIED.
        """
        try:
            client = self._identify(context)
        except Unauthenticated as error:
            _trace("", method, error)
            raise
        try:
            self.permission(method).check_scopes(client.name, client.scopes, method)
        except DomainError as error:
            _trace(client.name, method, error)
            raise
        return client

    def take(self, client: Client, method: str, request: Any) -> None:
        """Accept a request of an admitted client.

        Raises:
            PermissionDenied: PERMISSION_DENIED, for what is not the client's own.
            ResourceExhausted: RATE_LIMITED.
        """
        permission = self.permission(method)
        if isinstance(request, bytes):  # a handler that reads its request itself
            request = _read(method, request)
        try:
            permission.check_own(client.name, client.scopes, client.acts_as, method, request)
        except DomainError as error:
            _trace(client.name, method, error)
            raise
        rate = client.rates.get(permission.quota)
        if rate and "service" not in client.scopes:
            try:
                self._limits.take(rate, client.name, min(permission.cost(request), rate.burst))
            except DomainError as error:
                _trace(client.name, method, error)
                raise

    def _identify(self, context: grpc.ServicerContext) -> Client:
        names = _certified(context)
        if not names:
            names = [subject(_token(context), self._keys(), self._clock)]
        clients = self._clients()
        shown = _listed(clients, names)
        behalf = _behalf(context) if "service" in shown.scopes else ""
        # Whoever passes the call on has taken it from the client's quota.
        return replace(_listed(clients, [behalf]), rates={}) if behalf else shown


def _trace(client: str, method: str, error: DomainError) -> None:
    """Leave word of a refusal in the log: who ("" is nobody known), what, and why."""
    told = {name: error.metadata.get(name, "") for name in ("cause", "field")}
    what: dict[str, str] = {"client": client, "method": method, "reason": error.reason}
    log.warning("denied", extra=what | told)


def _listed(clients: Mapping[str, Client], names: Sequence[str]) -> Client:
    for name in names:
        if name in clients:
            return clients[name]
    raise Unauthenticated(
        "UNAUTHENTICATED", f"{names[0][:64]} is not among the clients", cause="ClientUnknown"
    )


def _behalf(context: grpc.ServicerContext) -> str:
    for key, value in context.invocation_metadata():
        if key == caller.BEHALF and isinstance(value, bytes):
            return value.decode("utf-8", "replace")
    return ""


def _read(method: str, request: bytes) -> Any:
    """The message of a request that is still bytes; what cannot be read is for the handler."""
    found = descriptor_pool.Default().FindMethodByName(method[1:].replace("/", "."))
    message = GetMessageClass(found.input_type)()
    with contextlib.suppress(DecodeError):
        message.ParseFromString(request)
    return message


def _certified(context: grpc.ServicerContext) -> list[str]:
    """Common name and DNS names of the verified certificate of the caller; none without one."""
    found = context.auth_context()
    if not found.get("x509_common_name"):
        return []
    names = [*found.get("x509_common_name", ()), *found.get("x509_subject_alternative_name", ())]
    return [name.decode("utf-8", "replace") for name in names]


def _token(context: grpc.ServicerContext) -> str:
    for key, value in context.invocation_metadata():
        if key == "authorization" and str(value)[: len(BEARER)].lower() == BEARER:
            return str(value)[len(BEARER) :].strip()
    raise Unauthenticated(
        "UNAUTHENTICATED",
        "there is neither a certificate nor a bearer token",
        cause="NoCredentials",
    )


class GuardInterceptor(grpc.ServerInterceptor):
    """Asks the guard before a handler runs."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._wrapped: dict[str, Any] = {}

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Wrap the handler of a method, once."""
        method = handler_call_details.method
        if self._guard.permission(method).public:
            return continuation(handler_call_details)
        if method not in self._wrapped:
            handler = continuation(handler_call_details)
            if handler is None:
                return None
            self._wrapped[method] = self._wrap(handler, method)
        return self._wrapped[method]

    def _wrap(self, handler: Any, method: str) -> Any:
        guard, inner = self._guard, function_of(handler)

        def one(request: Any, context: Any) -> Any:
            client = guard.admit(context, method)
            guard.take(client, method, request)
            caller.enter(client)
            return inner(request, context)

        def many(requests: Iterator[Any], context: Any) -> Any:
            client = guard.admit(context, method)
            caller.enter(client)

            def taken() -> Iterator[Any]:
                for request in requests:
                    guard.take(client, method, request)
                    yield request

            return inner(taken(), context)

        return like(handler, many if handler.request_streaming else one)


def make_guard(clients: Path, keys: Path | None, clock: Clock) -> GuardInterceptor:
    """A guard over a file of clients and, where tokens are taken, a file of their keys.

    Raises:
        InvalidArgument: FILE_UNREADABLE, FIELD_REQUIRED, FIELD_OUT_OF_RANGE.
    """

    def no_keys() -> Mapping[str, Any]:
        return {}

    return GuardInterceptor(
        Guard(
            Watched([clients], lambda: read_clients(clients)),
            no_keys if keys is None else Watched([keys], lambda: read_keys(keys)),
            load(),
            clock,
        )
    )
