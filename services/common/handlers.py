"""Handlers of methods in a server, whichever of the four forms of calls they have."""

from collections.abc import Callable
from typing import Any

import grpc

Function = Callable[[Any, Any], Any]

_MAKE: dict[tuple[bool, bool], Any] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
"""By whether requests and answers are streams."""


def function_of(handler: Any) -> Function:
    """What a handler does with a request, or requests, and the call's context."""
    function: Function = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )
    return function


def like(handler: Any, function: Function) -> Any:
    """A handler of the same form that reads and writes as it does."""
    return formed(handler, function, handler.request_deserializer, handler.response_serializer)


def formed(handler: Any, function: Function, read: Any = None, write: Any = None) -> Any:
    """A handler of the same form; without `read` and `write` its messages are bytes."""
    return _MAKE[handler.request_streaming, handler.response_streaming](function, read, write)
