"""A service's tables, as numbered SQL files applied once each and never changed."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from services.common.clock import Clock
from services.common.errors import FailedPrecondition
from services.common.lease import TABLE, TTL_S, Lease, held
from services.common.store import Store, StoreError
from services.common.store.failure import ALREADY_DONE_CODES

_FILE_NAME = re.compile(r"\d{4}_\w+\.sql")
_GATE = re.compile(r"--\s*engine\s*(>=|<)\s*(\d+)\.(\d+)\s*")

# One row a step; the steps of a file ascend, and the last one is `finished`.
_RECORDS = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    service String,
    name String,
    sha256 String,
    statements_done UInt32,
    finished UInt8,
    applied_ms Int64
) ENGINE = MergeTree ORDER BY (service, name, statements_done)
"""
_HISTORY = """
SELECT name, any(sha256) AS digest, uniqExact(sha256) AS versions,
       max(statements_done) AS done, max(finished) AS is_finished
FROM schema_migrations WHERE service = %(service)s GROUP BY name ORDER BY name
"""


@dataclass(frozen=True)
class Migration:
    """One file of a service's schema folder.

    Attributes:
        name: the file's name, `0001_marks.sql`.
        sha256: of its bytes, hexadecimal.
        text: its SQL.
    """

    name: str
    sha256: str
    text: str


@dataclass(frozen=True)
class Record:
    """How far a file has been applied.

    Attributes:
        sha256: of the file as it was then.
        statements_done: of those that hold for the engine.
        is_finished: whether these were all.
    """

    sha256: str
    statements_done: int
    is_finished: bool


def migrate_services(
    store: Store, root: Path, services: Sequence[str], clock: Clock, ttl_s: float = TTL_S
) -> list[str]:
    """Apply what the services' schema folders have that is not yet applied; see `migrate`.

    Any number of processes may do so at the same time: one applies, the others wait for it, and
    go on where it stopped if it dies.

    Args:
        root: the folder of `<service>/schema`.
        ttl_s: how long to wait for one that shows no sign of life.
    """

    def left() -> bool:
        return any(_pending(store, name, root / name / "schema") for name in services)

    _create(store, "schema_migrations", _RECORDS)
    if store.is_shared:
        _create(store, "leases", TABLE)
    if not left():
        return []
    with held(Lease(store, "schema", "", clock, ttl_s)):
        return [
            f"{name}/{applied}"
            for name in services
            for applied in migrate(store, name, root / name / "schema", clock=clock)
        ]


def migrate(
    store: Store, service: str, folder: Path, database: str | None = None, *, clock: Clock
) -> list[str]:
    """Apply the files of a schema folder that are not yet applied, in order.

    A file is `NNNN_what.sql` with statements that end in `;` at the end of a line. Whole-line
    comments are dropped; one that says `-- engine >= 21.0` or `-- engine < 21.0` just before a
    statement lets it hold only for such engines; several must all hold. What an engine skipped
    is not made up for when it is upgraded: that is a new file's work.

    Each statement is recorded when it is done, so a run that was killed is taken up where it
    stopped. One that was done but not yet recorded is recognised by its table or column being
    there; other statements may then run twice.

    Args:
        store: where to apply and record, in table `schema_migrations`.
        service: whose files these are.
        folder: `services/<service>/schema`; a missing one has no files.
        database: switches the store to this database first, creating it if need be.
        clock: for the record.

    Returns:
        The names of the files applied now; none if all were.

    Raises:
        FailedPrecondition: MIGRATION_CHANGED: an applied file has changed or is gone, or a new
            one is numbered before an applied one.
        ValueError: a file's name is not of that form, or two share a number.
        StoreError: the engine refuses a statement.
    """
    if database is not None and database != store.database:
        store.use(database)
    _create(store, "schema_migrations", _RECORDS)
    records = _recorded(store, service)
    applied = []
    for migration in pending(read_folder(folder), records, service):
        record = records.get(migration.name)
        _apply(store, service, migration, record.statements_done if record else None, clock)
        applied.append(migration.name)
    return applied


def _create(store: Store, name: str, statement: str) -> None:
    """Create a table that is not there; else a cluster would wait for every server to agree."""
    found = store.query(
        "SELECT count() AS n FROM system.tables WHERE database = %(database)s AND name = %(name)s",
        {"database": store.database, "name": name},
    )
    if not found["n"][0].as_py():
        store.execute(statement)


def _recorded(store: Store, service: str) -> dict[str, Record]:
    return _read_records(store.query(_HISTORY, {"service": service}), service)


def _pending(store: Store, service: str, folder: Path) -> list[Migration]:
    return pending(read_folder(folder), _recorded(store, service), service)


def pending(
    migrations: list[Migration], records: dict[str, Record], service: str
) -> list[Migration]:
    """The files still to be applied or finished, in order.

    A recorded file later than all of ours is a newer release's and no fault: an older process
    may start beside it.

    Raises:
        FailedPrecondition: MIGRATION_CHANGED.
    """
    names = [migration.name for migration in migrations]
    for name in records:
        if name not in names and names and name < names[-1]:
            raise _changed(service, name, "was applied and is gone")
    finished = [name for name, record in records.items() if record.is_finished]
    unfinished = []
    for migration in migrations:
        record = records.get(migration.name)
        if record is not None and record.sha256 != migration.sha256:
            raise _changed(service, migration.name, "differs from what was applied")
        if record is not None and record.is_finished:
            continue
        if finished and migration.name < max(finished):
            raise _changed(service, migration.name, f"comes before {max(finished)}, applied")
        unfinished.append(migration)
    return unfinished


def read_folder(folder: Path) -> list[Migration]:
    """The files of a schema folder in order.

    Raises:
        ValueError: a name is not `NNNN_what.sql`, or two share a number.
    """
    migrations: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        if not _FILE_NAME.fullmatch(path.name):
            raise ValueError(f"{path.name} is not named NNNN_what.sql")
        if migrations and migrations[-1].name[:4] == path.name[:4]:
            raise ValueError(f"{path.name} and {migrations[-1].name} share a number")
        content = path.read_bytes()
        migrations.append(
            Migration(path.name, hashlib.sha256(content).hexdigest(), content.decode())
        )
    return migrations


def statements(text: str, engine_version: tuple[int, int]) -> list[str]:
    """The statements of a file that hold for an engine, without comment lines and `;`."""
    found: list[str] = []
    lines: list[str] = []
    holds = True
    for line in [*text.splitlines(), ";"]:
        stripped = line.strip()
        if stripped.startswith("--"):
            gate = _GATE.fullmatch(stripped)
            if gate is not None:
                version = (int(gate[2]), int(gate[3]))
                is_new = engine_version >= version
                holds = holds and (is_new if gate[1] == ">=" else not is_new)
            continue
        lines.append(line.rstrip())
        if stripped.endswith(";"):
            statement = "\n".join(lines).strip().removesuffix(";").strip()
            if statement and holds:
                found.append(statement)
            if statement:
                holds = True
            lines = []
    return found


def _apply(
    store: Store, service: str, migration: Migration, resumed_at: int | None, clock: Clock
) -> None:
    todo = statements(migration.text, store.engine_version)

    def record(done: int, is_finished: bool) -> None:
        store.insert(
            "schema_migrations",
            {
                "service": [service],
                "name": [migration.name],
                "sha256": [migration.sha256],
                "statements_done": [done],
                "finished": [is_finished],
                "applied_ms": [clock()],
            },
        )

    first = resumed_at or 0
    if resumed_at is None:
        record(0, is_finished=not todo)
    for position, statement in enumerate(todo[first:], first):
        try:
            store.execute(statement)
        except StoreError as error:
            was_done = position == resumed_at and error.code in ALREADY_DONE_CODES
            if not was_done:
                raise
        record(position + 1, is_finished=position + 1 == len(todo))


def _read_records(history: pa.Table, service: str) -> dict[str, Record]:
    records = {}
    for row in history.to_pylist():
        if row["versions"] != 1:
            raise _changed(service, row["name"], "was applied in two versions")
        records[row["name"]] = Record(row["digest"], row["done"], bool(row["is_finished"]))
    return records


def _changed(service: str, name: str, how: str) -> FailedPrecondition:
    return FailedPrecondition(
        "MIGRATION_CHANGED",
        f"migration {service}/{name} {how}; add a new file instead",
        service=service,
        migration=name,
    )
