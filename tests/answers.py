"""What services answer a test: a reputation once it is as expected, or the reason of a refusal."""

import threading
import time

import grpc
import pytest

from services.common import rpc
from zhengming.reputation.v1 import reputation_pb2

DEADLINE_S = 60


def lookup(services, number):
    request = reputation_pb2.GetReputationRequest(number=number)
    return services.stubs.reputation.GetReputation(request, timeout=DEADLINE_S)


def lookup_when(services, number, condition):
    """The reputation, as soon as the condition holds of it."""
    until, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while time.monotonic() < until:
        found = lookup(services, number)
        if condition(found):
            return found
        pause.wait(0.02)
    raise AssertionError(f"never published as expected: {found}")


def failure(call, *arguments, **named):
    """The reason of the domain error that a call is refused with."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **named)
    error = rpc.to_domain_error(caught.value)
    assert error is not None, caught.value
    return error.reason
