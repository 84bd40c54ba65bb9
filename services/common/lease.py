"""Leases: which process does a service's work, and how the store refuses what a former one writes.

A term belongs to one owner. A term is claimed by one statement that adds a row only if the newest
term is the one its owner has given up or let run out. Claims that run at the same time are told
apart once no such statement runs any more: the set of claims is final then, and the least owner
has it. What an owner writes goes through `Fence.insert`, one statement in the server that fails
unless the owner's term is the newest. A new owner begins when no statement of an earlier term
runs any more (Gray and Cheriton 1989, doi:10.1145/74851.74870, for leases; Kleppmann 2016, "How
to do distributed locking", for fencing).
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from services.common.errors import DomainError, Unavailable
from services.common.store import Columns, Store, StoreError
from services.common.store.columns import as_table

log = logging.getLogger(__name__)

TTL_S = 10.0
"""After so long without a sign of its owner a lease may be taken."""
BEATS = 4
"""Signs of life within that time."""
THROWN = 395
"""ClickHouse's code for throwIf."""
DRAIN_PAUSE_S = 0.02
HELD_PAUSE_S = 0.2

TABLE = """
CREATE TABLE IF NOT EXISTS leases (
    name String,
    term UInt64,
    beat UInt64,
    owner String,
    address String,
    released UInt8,
    noted_ms Int64
) ENGINE = ReplacingMergeTree(beat) ORDER BY (name, term, owner)
"""
# Of each claimant of a term the last sign of life stays. Only the owner of a term gives any.
_NEWEST = "(SELECT max(term) FROM leases WHERE name = %(lease)s)"
_ADD = f"""INSERT INTO leases (name, term, beat, owner, address, released, noted_ms)
SELECT %(lease)s AS name, toUInt64(%(term)s) AS term, toUInt64(%(beat)s) AS beat,
    %(owner)s AS owner, %(address)s AS address, toUInt8(%(released)s) AS released,
    toInt64(%(now)s) AS noted_ms
FROM (SELECT 1 AS one) WHERE NOT ignore(throwIf({_NEWEST} != %(expected)s))"""
_LOOK = """
SELECT max(term) AS newest, min(owner) AS owned_by, argMin(address, owner) AS at,
    max(beat) AS last_beat, max(released) AS is_released
FROM leases WHERE name = %(lease)s AND term IN
    (SELECT max(term) FROM leases WHERE name = %(lease)s)
"""


@dataclass(frozen=True)
class Seen:
    """What the store says of a lease: its newest term, whose it is, and its last sign of life."""

    term: int = 0
    owner: str = ""
    address: str = ""
    beat: int = 0
    released: bool = True


@dataclass(frozen=True)
class Fence:
    """A term of a lease, as a condition of what its owner writes."""

    name: str
    term: int

    def insert(
        self,
        store: Store,
        table: str,
        columns: Columns,
        values: Mapping[str, str] | None = None,
    ) -> None:
        """Append rows as one block, if the term is still the newest.

        Args:
            columns: of plain types, as an external table takes them.
            values: by column of the table, SQL for it over these; None: they are its columns.

        Raises:
            Unavailable: LEASE_LOST, and nothing was written.
        """
        rows = as_table(columns)
        if not rows.num_rows:
            return
        condition = f" WHERE NOT ignore(throwIf({_NEWEST} != %(term)s))"
        statement = _insertion(table, values or {name: name for name in rows.column_names})
        params = {"lease": self.name, "term": self.term}
        try:
            store.execute(statement + condition, params, {"inserted": rows}, exact=True)
        except StoreError as error:
            if error.code == THROWN:
                raise lost(self.name) from error
            raise


def insert(
    store: Store,
    fence: Fence | None,
    table: str,
    columns: Mapping[str, Any] | Columns,
    values: Mapping[str, str] | None = None,
) -> None:
    """Append rows as one block; behind a fence where there is one, see `Fence.insert`.

    Raises:
        Unavailable: LEASE_LOST.
    """
    if fence is not None:
        fence.insert(store, table, columns, values)
    elif values is None:
        store.insert(table, columns)
    elif (rows := as_table(columns)).num_rows:
        store.execute(_insertion(table, values), None, {"inserted": rows})


def _insertion(table: str, values: Mapping[str, str]) -> str:
    columns, sql = ", ".join(values), ", ".join(values.values())
    return f"INSERT INTO {table} ({columns}) SELECT {sql} FROM {{inserted}}"


def lost(name: str) -> Unavailable:
    """The error of an owner whose time was over."""
    return Unavailable(
        "LEASE_LOST", f"another process has taken over {name}; try again", service=name
    )


class Lease:
    """One process's part in a lease: claims it when it is free, and keeps it.

    The table is there once `migrate.migrate_services` was called.

    Over a store that only one process can open (`Store.is_shared` is false) it is held from the
    start, without a fence.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        address: str,
        clock: Callable[[], int],
        ttl_s: float = TTL_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is claimed yet.

        Args:
            name: what is owned, a service's name.
            address: where others reach this process.
            clock: for the record only; times are measured by `monotonic`.
        """
        self._store, self.name, self._address, self._clock = store, name, address, clock
        self.ttl_s = ttl_s
        self._monotonic = monotonic
        self._owner = uuid.uuid4().hex
        self._seen, self._seen_at = Seen(), 0.0
        self._term = 0
        self._is_new = True
        self._until = 0.0
        self._lock = threading.Lock()
        self.pause_s = ttl_s / BEATS

    @property
    def fence(self) -> Fence | None:
        """The condition of what this process writes; None over a store of its own.

        Raises:
            Unavailable: LEASE_LOST: the lease is not held, or not any more.
        """
        if not self._store.is_shared:
            return None
        term, until = self._term, self._until
        if not term or self._monotonic() >= until:
            raise lost(self.name)
        return Fence(self.name, term)

    @property
    def is_held(self) -> bool:
        """Whether this process is the owner, as far as it knows."""
        try:
            return self.fence is None or True
        except DomainError:
            return False

    @property
    def owner_address(self) -> str:
        """Where another owner is; "" where none is known."""
        seen = self._seen
        return "" if seen.released or seen.owner == self._owner else seen.address

    def step(self) -> bool:
        """Claim what is free, keep what is held, look at what another one has. Whether it is held.

        Raises:
            Unavailable: STORE_UNAVAILABLE; a lease that is held is held until its time is over.
        """
        if not self._store.is_shared:
            return True
        with self._lock:
            began = self._monotonic()
            seen = self._look()
            if (seen.term, seen.beat) != (self._seen.term, self._seen.beat):
                self._seen_at = began
            self._seen = seen
            if self._term and (seen.term != self._term or seen.owner != self._owner):
                self._term = 0
            if self._term:
                return self._renew(seen, began)
            is_free = seen.released or began - self._seen_at >= self.ttl_s
            # Who was at this process's own address before it is gone; asked once, at the start.
            was_here = self._is_new and self._address == seen.address != ""
            self._is_new = False
            return (is_free or was_here) and self._claim(seen, began)

    def release(self) -> None:
        """Give it up, so that another process need not wait."""
        if not self._term:
            return
        with self._lock:
            try:
                self._add(self._term, self._seen.beat + 2, self._term, released=True)
            except (DomainError, StoreError):
                log.warning(
                    "a lease could not be given up; it runs out", extra={"lease": self.name}
                )
            self._term = 0

    def _renew(self, seen: Seen, began: float) -> bool:
        if not self._add(self._term, seen.beat + 1, self._term):
            self._term = 0
            return False
        # Others count from when they see the sign, which is later than when this call began.
        self._until = began + self.ttl_s
        return True

    def _claim(self, seen: Seen, began: float) -> bool:
        term = seen.term + 1
        self._add(term, 0, seen.term)  # another one may have been first: see whose it is
        self._drain()
        self._store.doubt()
        self._seen, self._seen_at = self._look(), self._monotonic()
        if (self._seen.term, self._seen.owner) != (term, self._owner):
            return False
        if self._monotonic() - began >= self.ttl_s:  # the others have given it up meanwhile
            return False
        self._term, self._until = term, began + self.ttl_s
        return True

    def _add(self, term: int, beat: int, expected: int, released: bool = False) -> bool:
        try:
            self._store.execute(
                _ADD,
                {
                    "lease": self.name,
                    "term": term,
                    "beat": beat,
                    "owner": self._owner,
                    "address": self._address,
                    "released": released,
                    "now": self._clock(),
                    "expected": expected,
                },
                exact=True,
            )
        except StoreError as error:
            if error.code != THROWN:
                raise
            return False
        return True

    def _look(self) -> Seen:
        row = self._store.query(_LOOK, {"lease": self.name}, exact=True).to_pylist()[0]
        if not row["newest"]:
            return Seen()
        return Seen(
            row["newest"], row["owned_by"], row["at"], row["last_beat"], bool(row["is_released"])
        )

    def _drain(self) -> None:
        """Wait until no statement under this lease runs that began before this moment."""
        condition = f"leases WHERE name = '{self.name}'"
        before = self._store.running(condition)
        while before and before & self._store.running(condition):
            time.sleep(DRAIN_PAUSE_S)


@contextmanager
def held(lease: Lease) -> Iterator[None]:
    """Hold a lease while the block runs, waiting for it first."""
    while not lease.step():
        time.sleep(HELD_PAUSE_S)
    try:
        with kept(lease):
            yield
    finally:
        lease.release()


@contextmanager
def kept(lease: Lease) -> Iterator[None]:
    """Show signs of life in a thread of its own while the block runs."""
    done = threading.Event()

    def keep() -> None:
        while not done.wait(lease.pause_s):
            try:
                lease.step()
            except (DomainError, StoreError):
                log.warning("a lease could not be renewed, trying again")

    keeper = threading.Thread(target=keep, name=f"lease-{lease.name}", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()
