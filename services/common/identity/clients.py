"""Who the clients are: a file that an operator keeps, read anew when it changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from services.common.errors import InvalidArgument
from services.common.identity.policy import QUOTAS, SCOPES
from services.common.quota import Rate

DEFAULT_PER_MINUTE: Mapping[str, float] = {
    "lookups": 600_000, "writes": 300_000, "bulk": 60, "calls": 600
}  # fmt: skip
"""What a client may take in a minute where its entry says nothing: numbers looked up, items
written, calls of bulk downloads, other calls."""


@dataclass(frozen=True)
class Client:
    """One client.

    Attributes:
        name: also the common name or a DNS name of its certificate, or the `sub` of its tokens.
        scopes: what it may do.
        acts_as: the source, carrier or consumer it speaks for.
        rates: by quota.
    """

    name: str
    scopes: frozenset[str]
    acts_as: str = ""
    rates: Mapping[str, Rate] = field(default_factory=dict)


def read_clients(path: Path) -> dict[str, Client]:
    """Clients by name.

    The file: `clients:` with entries of `name`, `scopes`, and if need be `acts_as` (default: the
    name) and `per_minute` by quota.

    Raises:
        InvalidArgument: FILE_UNREADABLE, FIELD_REQUIRED, FIELD_OUT_OF_RANGE.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))["clients"]
        found = [_client(entry) for entry in entries]
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise InvalidArgument(
            "FILE_UNREADABLE",
            f"{path} is no list of clients: {error}",
            file=path.name,
            cause=type(error).__name__,
        ) from None
    clients = {client.name: client for client in found}
    if len(clients) < len(found):
        raise _refused("name", "every client once")
    return clients


def _client(entry: Mapping[str, Any]) -> Client:
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidArgument("FIELD_REQUIRED", "a client has no name", field="clients.name")
    scopes = frozenset(entry.get("scopes") or ())
    if not scopes or scopes - set(SCOPES):
        raise _refused(f"scopes of {name}", f"some of {', '.join(SCOPES)}")
    given = entry.get("per_minute") or {}
    if set(given) - set(QUOTAS) or not all(
        isinstance(value, int | float) and value > 0 for value in given.values()
    ):
        raise _refused(f"per_minute of {name}", f"numbers above 0 for {', '.join(QUOTAS)}")
    rates = {}
    for quota in QUOTAS:
        per_minute = float(given.get(quota, DEFAULT_PER_MINUTE[quota]))
        rates[quota] = Rate(quota, max(int(per_minute), 1), per_minute)
    return Client(name, scopes, str(entry.get("acts_as") or name), rates)


def _refused(what: str, expected: str) -> InvalidArgument:
    return InvalidArgument(
        "FIELD_OUT_OF_RANGE",
        f"{what} must be {expected}",
        field=what,
        value="",
        expected=expected,
    )
