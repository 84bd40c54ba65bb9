"""Who is behind the call that a handler answers, where a guard has asked."""

from contextvars import ContextVar

from services.common.identity.clients import Client

BEHALF = "zhengming-caller-bin"
"""Metadata by which a process says for whom it passes a call on: a client's name in UTF-8. Guards
believe it of services alone."""

_CALLER: ContextVar[Client | None] = ContextVar("caller", default=None)


def enter(client: Client) -> None:
    """Say who calls, before the handler runs in the same thread or task."""
    _CALLER.set(client)


def caller() -> Client | None:
    """The client of this call; None where no guard stands, so that anybody may see everything."""
    return _CALLER.get()
