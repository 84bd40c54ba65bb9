"""A whole store as Parquet files that either engine restores.

What records that something is whole is read before what it records: facts without their record
are completed at the next start, as after a crash. So a store may be in use while it is copied.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from services.common.errors import FailedPrecondition
from services.common.store import Store

MANIFEST = "manifest.json"
FORMAT = 1
ROWS = 1_000_000
"""About so many rows are in memory at a time."""
INSERTED_ROWS = 250_000
FIRST = (
    "versions", "changes", "disputes", "notice_cursors", "referral_draws", "feature_runs",
    "arbitration_runs", "score_runs", "prior_runs", "shadow_runs", "mark_ids",
)  # fmt: skip
"""Records of what is whole, in the order they are read; all other tables follow."""
LEFT_OUT = ("leases", "schema_migrations", "facts_by_number")
"""Tables of the running processes, and what ingest makes anew of other tables at its start."""
_KEYS = ("number", "mark_key", "seq", "version", "reporter", "run")
"""Columns by whose ranges a large table is read, the first that it has."""

Progress = Callable[[str, int], None]
"""Told a table's name and how many rows of it were done."""


@dataclass(frozen=True)
class Part:
    """One file of a backup.

    Attributes:
        table: whose rows it has.
        file: its name in the folder.
        rows: how many.
        sha256: of the file, hexadecimal.
    """

    table: str
    file: str
    rows: int
    sha256: str


def write_backup(store: Store, folder: Path, now_ms: int, progress: Progress) -> dict[str, int]:
    """Copy every table into an empty folder. Returns rows by table.

    Raises:
        FailedPrecondition: BACKUP_UNFIT: there is a backup in the folder already.
    """
    if (folder / MANIFEST).exists():
        raise _unfit("", "there is a backup in the folder")
    folder.mkdir(parents=True, exist_ok=True)
    names = [name for name in _tables(store) if name not in LEFT_OUT]
    parts: list[Part] = []
    for name in [*(n for n in FIRST if n in names), *(n for n in names if n not in FIRST)]:
        for at, rows in enumerate(_read(store, name)):
            file = f"{name}-{at:05d}.parquet"
            pq.write_table(rows, folder / file, compression="zstd")
            parts.append(Part(name, file, rows.num_rows, _sha256(folder / file)))
            progress(name, rows.num_rows)
    said = {
        "format": FORMAT,
        "made_ms": now_ms,
        "migrations": _migrations(store),
        "tables": names,
        "parts": [asdict(part) for part in parts],
    }
    new = folder / f"{MANIFEST}.part"
    new.write_text(json.dumps(said, indent=1))
    new.replace(folder / MANIFEST)  # last: a folder without it is no backup
    return _counts(names, parts)


def restore_backup(store: Store, folder: Path, progress: Progress) -> dict[str, int]:
    """Fill an empty, migrated store from a backup. Returns rows by table.

    Every file is checked before the first row is written.

    Raises:
        FailedPrecondition: BACKUP_UNFIT: a file is damaged or missing, the store has rows, or it
            has not the tables that the backup was made from.
    """
    try:
        said = json.loads((folder / MANIFEST).read_text())
        parts = [Part(**part) for part in said["parts"]]
        names, migrations = list(said["tables"]), dict(said["migrations"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise _unfit("", "the manifest is missing or damaged") from None
    if said.get("format") != FORMAT or _migrations(store) != migrations:
        raise _unfit("", "it was made by another release: restore with that one, then upgrade")
    known = _tables(store)  # what the manifest calls a table becomes part of a statement
    for name in [*names, *(part.table for part in parts)]:
        if name not in known or name not in names:
            raise _unfit("", "the manifest names a table that is not the store's")
    for name in names:
        if store.query(f"SELECT count() AS n FROM {name}")["n"][0].as_py():
            raise _unfit(name, "the store has rows of it")
    for part in parts:
        path = folder / part.file
        if path.parent != folder or not path.exists() or _sha256(path) != part.sha256:
            raise _unfit(part.table, "a file of it is missing or damaged")
    counts = _counts(names, parts)
    for part in parts:
        with pq.ParquetFile(folder / part.file) as file:
            for batch in file.iter_batches(INSERTED_ROWS):
                store.insert(part.table, pa.Table.from_batches([batch]))
                progress(part.table, batch.num_rows)
    for name, count in counts.items():
        held = int(store.query(f"SELECT count() AS n FROM {name}")["n"][0].as_py())
        if held != count:
            raise _unfit(name, f"{held} of {count} rows are there")
    return counts


def _tables(store: Store) -> list[str]:
    found = store.query(
        "SELECT name FROM system.tables WHERE database = %(name)s ORDER BY name",
        {"name": store.database},
    )
    return [name for name in found["name"].to_pylist() if not name.startswith(".")]


def _migrations(store: Store) -> dict[str, str]:
    """SHA-256 of every applied schema file, by service and name."""
    rows = store.query(
        "SELECT service, name, any(sha256) AS digest FROM schema_migrations GROUP BY service, name"
    ).to_pylist()
    return {f"{row['service']}/{row['name']}": row["digest"] for row in rows}


def _read(store: Store, table: str) -> Iterator[pa.Table]:
    """A table in parts of about ROWS rows, by ranges of a key where there are more."""
    count = int(store.query(f"SELECT count() AS n FROM {table}")["n"][0].as_py())
    names = store.query(
        "SELECT name FROM system.columns WHERE database = %(database)s AND table = %(table)s",
        {"database": store.database, "table": table},
    )["name"].to_pylist()
    key = next((name for name in _KEYS if name in names), "")
    if count <= ROWS or not key:
        found = store.query(f"SELECT * FROM {table}")
        if found.num_rows:
            yield found
        return
    steps = -(-count // ROWS)
    levels = ", ".join(f"{at / steps:.6f}" for at in range(1, steps))
    cuts = store.query(f"SELECT quantiles({levels})({key}) AS cuts FROM {table}")
    bounds = sorted({int(cut) for cut in cuts["cuts"][0].as_py()})
    for low, high in zip([None, *bounds], [*bounds, None], strict=True):
        conditions = [
            *([] if low is None else [f"{key} >= {low}"]),
            *([] if high is None else [f"{key} < {high}"]),
        ]
        found = store.query(f"SELECT * FROM {table} WHERE {' AND '.join(conditions)}")
        if found.num_rows:
            yield found


def _counts(names: list[str], parts: list[Part]) -> dict[str, int]:
    counts = dict.fromkeys(names, 0)
    for part in parts:
        counts[part.table] += part.rows
    return counts


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unfit(table: str, cause: str) -> FailedPrecondition:
    return FailedPrecondition(
        "BACKUP_UNFIT", f"backup{f' of {table}' if table else ''}: {cause}", table=table,
        cause=cause,
    )  # fmt: skip
