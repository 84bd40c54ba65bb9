"""Which scopes may call which method: a table, and the decision that it makes. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from services.common.errors import PermissionDenied

SCOPES = ("vendor", "carrier", "authority", "reviewer", "auditor", "operator", "service")
FOR_ALL = frozenset({"reviewer", "auditor", "operator", "service"})
"""Scopes of those who look after everybody's marks, not only their own."""
QUOTAS = ("lookups", "writes", "bulk", "calls")
BYTES_AN_ITEM = 8


@dataclass(frozen=True)
class Permission:
    """Who may call one method.

    Attributes:
        scopes: one of these is needed.
        own: dotted path of the field that must be the name the client acts as; "" none.
        quota: which quota a call takes from; "" none.
        items: dotted path of the field whose entries are counted; "": one a call.
        public: no identity is needed.
    """

    scopes: frozenset[str] = frozenset()
    own: str = ""
    quota: str = ""
    items: str = ""
    public: bool = False

    def check_scopes(self, client: str, scopes: frozenset[str], method: str) -> None:
        """Accept a client for a method.

        Raises:
            PermissionDenied: PERMISSION_DENIED, naming the scopes of which one is needed.
        """
        if self.scopes & scopes:
            return
        needs = " or ".join(s for s in SCOPES if s in self.scopes) or "nobody's scope"
        raise PermissionDenied(
            "PERMISSION_DENIED",
            f"{client} may not call {method}: it needs the scope {needs}",
            client=client,
            method=method,
            needs=needs,
        )

    def check_own(
        self, client: str, scopes: frozenset[str], acts_as: str, method: str, request: Any
    ) -> None:
        """Accept a request that speaks for the client alone.

        Raises:
            PermissionDenied: PERMISSION_DENIED, naming the field.
        """
        if not self.own or self.scopes & scopes & FOR_ALL:
            return
        if value_of(request, self.own) != acts_as or not acts_as:
            raise PermissionDenied(
                "PERMISSION_DENIED",
                f"{client} may call {method} for itself only: {self.own} must be "
                f"{acts_as or 'a name that its entry lacks'}",
                client=client,
                method=method,
                field=self.own,
                needs=acts_as,
            )

    def cost(self, request: Any) -> int:
        """How much of its quota a request takes, 1 or more."""
        if not self.items:
            return 1
        found = value_of(request, self.items)
        size = len(found) // BYTES_AN_ITEM if isinstance(found, bytes) else len(found)
        return max(size, 1)


NOBODY = Permission()
"""Of a method that the table does not name."""


@cache
def load() -> Mapping[str, Permission]:
    """Permissions by method, as "/zhengming.ingest.v1.IngestService/SubmitMarks"."""
    text = (Path(__file__).parent / "scopes.yaml").read_text()
    found = {}
    for service, methods in yaml.safe_load(text).items():
        for name, entry in methods.items():
            scopes = frozenset(entry.pop("scopes", ()))
            if unknown := scopes - set(SCOPES) or {entry.get("quota", "calls")} - set(QUOTAS):
                raise ValueError(f"{service}/{name}: {sorted(unknown)} is not known")
            found[f"/{service}/{name}"] = Permission(scopes, **entry)
    return found


def value_of(message: Any, path: str) -> Any:
    """The value at a dotted path."""
    for name in path.split("."):
        message = getattr(message, name)
    return message
