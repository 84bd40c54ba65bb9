"""Admission to a server: calls of a kind share threads of their own, and only so many may wait.

Without it a kind of call that waits (for a commit, another service, a slow client) takes all
threads, and every other kind waits with it. A call that finds no place is refused at once, before
its request is parsed. One whose deadline passes while it waits is never begun: gRPC sees to that.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from dataclasses import dataclass
from typing import Any

import grpc

from services.common.errors import DomainError, ResourceExhausted
from services.common.handlers import formed, function_of
from services.common.telemetry.names import SHED, Instrument

RETRY_S = 1
"""A refused caller is asked to wait at least so long; rpc.to_status_proto adds chance."""
REFUSING_THREADS = 2

UNARY, STREAMS, STREAMS_IN = "calls", "streams", "streams in"
"""Lanes of methods that have none of their own."""

Count = Callable[[Instrument, float, str], None]
Refuse = Callable[[grpc.ServicerContext, DomainError], object]


@dataclass(frozen=True)
class Size:
    """How many calls of a kind run at a time, and how many more may wait."""

    threads: int
    waiting: int


class Lane(futures.ThreadPoolExecutor):
    """The threads of one kind of call."""

    def __init__(self, name: str, size: Size) -> None:
        """No thread is begun before there is a call for it."""
        super().__init__(size.threads, thread_name_prefix=f"rpc-{name}")
        self.name = name
        self._most, self._held = size.threads + size.waiting, 0
        self._counting = threading.Lock()

    @property
    def is_full(self) -> bool:
        """Whether one more call would find no place."""
        return self._held >= self._most

    def submit(  # type: ignore[override] # the same call, typed as grpc makes it
        self, work: Callable[..., Any], /, *arguments: Any
    ) -> "futures.Future[Any]":
        """Run a call as soon as a thread is free."""
        with self._counting:
            self._held += 1
        try:
            future = super().submit(work, *arguments)
        except BaseException:
            self._left(None)
            raise
        future.add_done_callback(self._left)
        return future

    def _left(self, _future: object) -> None:
        with self._counting:
            self._held -= 1


def overloaded(lane: str) -> ResourceExhausted:
    """The error of a call that found no place."""
    return ResourceExhausted(
        "OVERLOADED",
        f"too many {lane} wait already; try again",
        lane=lane,
        retry_after_s=RETRY_S,
    )


class AdmissionInterceptor(grpc.ServerInterceptor):
    """Stands before all others: gives each call to its lane, or to those who refuse it.

    It runs in the one thread that takes calls from the network, so it only looks things up.
    """

    def __init__(self, lanes: Mapping[str, Lane], refuse: Refuse, count: Count) -> None:
        """Know the lanes.

        Args:
            lanes: by method; and by UNARY, STREAMS and STREAMS_IN for all other methods.
            refuse: ends a call with an error.
            count: told of each call that was refused.
        """
        self._lanes, self._refuse, self._count = lanes, refuse, count
        self._refusing = Lane("refusals", Size(REFUSING_THREADS, 0))

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """The handler, in its lane."""
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        lane = self._lane_of(handler, handler_call_details.method)
        if lane.is_full:
            self._count(SHED, 1, lane.name)
            return self._refusal(handler, lane.name)
        # Of grpcio since 1.13: the pool that a method's calls run in.
        function: Any = function_of(handler)
        function.experimental_thread_pool = lane
        return handler

    def close(self) -> None:
        """End the threads, once the server has stopped."""
        for lane in {*self._lanes.values(), self._refusing}:
            lane.shutdown(wait=False)

    def _lane_of(self, handler: Any, method: str) -> Lane:
        found = self._lanes.get(method)
        if found is not None:
            return found
        if handler.request_streaming:
            return self._lanes[STREAMS_IN]
        return self._lanes[STREAMS if handler.response_streaming else UNARY]

    def _refusal(self, handler: Any, lane: str) -> Any:
        def one(_request: Any, context: grpc.ServicerContext) -> None:
            self._refuse(context, overloaded(lane))

        def many(_request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            self._refuse(context, overloaded(lane))
            yield

        behaviour: Any = many if handler.response_streaming else one
        behaviour.experimental_thread_pool = self._refusing
        return formed(handler, behaviour)
