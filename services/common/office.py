"""A service's work that one process at a time does, and the way to that process for all others."""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import grpc

from services.common import rpc
from services.common.errors import DomainError, Unavailable
from services.common.identity.caller import BEHALF, caller
from services.common.lease import Fence, Lease, kept

log = logging.getLogger(__name__)

FORWARDED = "zhengming-forwarded"
"""Metadata of a call that one process has passed on; it is not passed on again."""
CALL_TIMEOUT_S = 60.0
PAUSE_S = 0.05
REACH_S = 0.5


class Work(Protocol):
    """What an owner does."""

    def take_up(self, fence: Fence | None) -> None:
        """Begin, writing behind the fence; what a former owner wrote is all there."""
        ...

    def lay_down(self) -> None:
        """End."""
        ...


class Thread(Protocol):
    """Something that runs in a thread of its own."""

    def start(self) -> None:
        """Begin; again after an end."""
        ...

    def stop(self) -> None:
        """End."""
        ...


class Threads:
    """Work that runs in threads: while this process is the owner, and once it is allowed."""

    def __init__(self) -> None:
        self._threads: list[Thread] = []
        self._lock = threading.Lock()
        self._is_allowed = self._is_taken_up = self._runs = False

    def add(self, *threads: Thread) -> None:
        """Threads of this work."""
        self._threads += threads

    def allow(self) -> None:
        """Run from now on."""
        self._set(allowed=True)

    def take_up(self, fence: Fence | None) -> None:
        """Run, if allowed."""
        self._set(taken_up=True)

    def lay_down(self) -> None:
        """Stop."""
        self._set(taken_up=False)

    def _set(self, allowed: bool | None = None, taken_up: bool | None = None) -> None:
        with self._lock:
            self._is_allowed = self._is_allowed if allowed is None else allowed
            self._is_taken_up = self._is_taken_up if taken_up is None else taken_up
            runs = self._is_allowed and self._is_taken_up
            if runs != self._runs:
                self._runs = runs
                for thread in self._threads:
                    (thread.start if runs else thread.stop)()


class Office:
    """Keeps a lease in a thread of its own; its owner does the work.

    The work is taken up before anybody is told that this process is the owner.
    """

    def __init__(self, works: Sequence[Work], connect: Callable[[str], grpc.Channel]) -> None:
        """Nobody is the owner yet; `connect` opens a channel to an address."""
        self._works, self._connect = works, connect
        self._lease: Lease | None = None
        self._stopping = threading.Event()
        self._is_ending = False
        self._thread: threading.Thread | None = None
        self._begun: list[Work] = []
        self._fence: Fence | None = None
        self._changed = threading.Condition()
        self._is_owner = False
        self._channels: dict[str, grpc.Channel] = {}
        self._answering: set[grpc.Channel] = set()

    @property
    def lease(self) -> Lease:
        """The lease.

        Raises:
            Unavailable: NOT_READY, before `start`.
        """
        if self._lease is None:
            raise Unavailable("NOT_READY", "this process has just begun; try again", service="")
        return self._lease

    @property
    def is_owner(self) -> bool:
        """Whether this process does the work."""
        return self._is_owner and self.lease.is_held

    def start(self, lease: Lease) -> None:
        """Take the lease now if it is free, and go on in a thread."""
        self._lease = lease
        self.step()
        name = f"lease-{self.lease.name}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Wait for no owner any more; who waits is told so. The work goes on until `stop`."""
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Lay the work down and give the lease up."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._lay_down()
        self.lease.release()
        for channel in self._channels.values():
            channel.close()

    def step(self) -> None:
        """Look at the lease once, and act upon what was found."""
        try:
            held = self.lease.step()
        except DomainError as error:
            held = self.lease.is_held
            log.warning("the lease of %s cannot be looked at: %s", self.lease.name, error.reason)
        fence = self.lease.fence if held else None
        if self._is_owner and not (held and fence == self._fence):
            self._lay_down()
        if held and not self._is_owner:
            self._take_up(fence)

    def owner(self, timeout_s: float) -> grpc.Channel | None:
        """A channel to the owner; None where it is this process.

        Raises:
            Unavailable: NOT_READY: nobody is within that time.
        """
        until = time.monotonic() + timeout_s
        with self._changed:
            while not self.is_owner:
                address = self.lease.owner_address
                if address and (channel := self._reached(address)):
                    return channel
                left = until - time.monotonic()
                if left <= 0 or self._is_ending:
                    raise Unavailable(
                        "NOT_READY",
                        f"no process does the work of {self.lease.name} now; try again",
                        service=self.lease.name,
                    )
                self._changed.wait(min(left, PAUSE_S))
        return None

    def failed(self, channel: grpc.Channel, error: grpc.RpcError) -> DomainError:
        """What a call to the owner failed with; where nothing answered, it is looked for anew."""
        if error.code() in rpc.NOT_BEGUN:
            self._answering.discard(channel)
        return rpc.translated(error)

    def _reached(self, address: str) -> grpc.Channel | None:
        """A channel to an address, if something answers there: a lease outlives its owner."""
        if address not in self._channels:
            self._channels[address] = self._connect(address)
        channel = self._channels[address]
        if channel not in self._answering:
            try:
                grpc.channel_ready_future(channel).result(timeout=REACH_S)
            except grpc.FutureTimeoutError:
                return None
            self._answering.add(channel)
        return channel

    def _take_up(self, fence: Fence | None) -> None:
        try:
            with kept(self.lease):  # it may take longer than the lease holds
                for work in self._works:
                    self._begun.append(work)
                    work.take_up(fence)
        except DomainError as error:
            log.warning("%s is not taken up: %s", self.lease.name, error.reason)
            self._lay_down()
            return
        self._fence = fence
        with self._changed:
            self._is_owner = True
            self._changed.notify_all()

    def _lay_down(self) -> None:
        self._is_owner = False
        for work in reversed(self._begun):
            work.lay_down()
        self._begun.clear()

    def _run(self) -> None:
        while not self._stopping.wait(self.lease.pause_s):
            try:
                self.step()
            except Exception:
                log.exception("keeping a lease failed, trying again")


class Forwarding(grpc.ServerInterceptor):
    """Passes calls that only an owner can answer on to the owner."""

    def __init__(self, offices: Mapping[str, Office]) -> None:
        """By method, "/zhengming.features.v1.FeaturesService/BuildFeatures"."""
        self._offices = offices

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Wrap the handler of a method that has an owner."""
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        office = self._offices.get(method)
        if office is None or handler is None or handler.unary_unary is None:
            return handler
        answer, serialize = handler.unary_unary, handler.response_serializer

        def behave(request: Any, context: grpc.ServicerContext) -> Any:
            patience_s = 2 * office.lease.ttl_s
            channel = office.owner(patience_s)
            if channel is None:
                return answer(request, context)
            return forward(office, channel, method, request.SerializeToString(), context)

        return grpc.unary_unary_rpc_method_handler(
            behave,
            handler.request_deserializer,
            lambda found: found if isinstance(found, bytes) else serialize(found),
        )


def forward(
    office: Office,
    channel: grpc.Channel,
    method: str,
    request: bytes,
    context: grpc.ServicerContext,
) -> bytes:
    """Answer a call with what another process answers to the same caller.

    Raises:
        Unavailable: NOT_READY: the call was passed on already.
        DomainError: the other one's.
    """
    if any(key == FORWARDED for key, _ in context.invocation_metadata()):
        raise Unavailable("NOT_READY", "the owner has just changed; try again", service="owner")
    left_s = rpc.time_left_s(context)
    client = caller()
    behalf = () if client is None else ((BEHALF, client.name.encode()),)
    call: Any = channel.unary_unary(method)
    try:
        answer: bytes = call(
            request,
            timeout=CALL_TIMEOUT_S if left_s == math.inf else left_s,
            metadata=((FORWARDED, "1"), *behalf),
        )
    except grpc.RpcError as error:
        raise office.failed(channel, error) from error
    return answer
