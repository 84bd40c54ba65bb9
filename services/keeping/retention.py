"""Drops records whose term is over; the terms are data, in `terms.yaml`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from services.common.errors import InvalidArgument
from services.common.store import Store

DAY_MS = 86_400_000
NEVER = frozenset(
    ("dispute_events", "disputes", "dispute_sources", "decisions", "versions", "published",
     "schema_migrations", "leases")
)  # fmt: skip
"""The audit and what it proves, and what the services stand on: no term is accepted for them."""


@dataclass(frozen=True)
class Term:
    """How long rows of a table are kept.

    Attributes:
        table: whose.
        column: when a row is from.
        days: kept so long, 1 or more.
        column_days: the column counts days since 1970, else milliseconds.
        last: a column of which the row with the greatest value always stays; "" none.
        above: the column counts from here; what is below is another kind of record.
    """

    table: str
    column: str
    days: int
    column_days: bool = False
    last: str = ""
    above: int = 0

    def __post_init__(self) -> None:
        """Check.

        Raises:
            InvalidArgument: RULES_INVALID.
        """
        if self.table in NEVER or self.days < 1:
            cause = "it is never dropped" if self.table in NEVER else "days must be 1 or more"
            raise InvalidArgument(
                "RULES_INVALID", f"term of {self.table}: {cause}", field=self.table, cause=cause
            )


@cache
def load() -> Sequence[Term]:
    """The terms in force."""
    text = (Path(__file__).parent / "terms.yaml").read_text()
    return tuple(Term(**row) for row in yaml.safe_load(text))


def drop_expired(store: Store, terms: Sequence[Term], now_ms: int) -> dict[str, int]:
    """Have the engine drop what is older than its term. Returns rows by table.

    The engine rewrites the parts in the background; where nothing is due nothing is rewritten.
    """
    dropped: dict[str, int] = {}
    for term in terms:
        condition, params = _condition(store, term, now_ms)
        found = store.query(f"SELECT count() AS n FROM {term.table} WHERE {condition}", params)
        due = int(found["n"][0].as_py())
        dropped[term.table] = dropped.get(term.table, 0) + due
        if due:
            store.execute(f"ALTER TABLE {term.table} DELETE WHERE {condition}", params)
    return dropped


def _condition(store: Store, term: Term, now_ms: int) -> tuple[str, Mapping[str, Any]]:
    before = now_ms - term.days * DAY_MS
    params = {"before": term.above + (before // DAY_MS if term.column_days else before)}
    condition = f"{term.column} < %(before)s"
    if term.above:
        condition += f" AND {term.column} >= %(above)s"
        params["above"] = term.above
    if not term.last:
        return condition, params
    found = store.query(f"SELECT max({term.last}) AS last FROM {term.table}")
    return (
        f"{condition} AND {term.last} < %(last)s",
        {**params, "last": int(found["last"][0].as_py() or 0)},
    )
