"""A copy as CSV files for carriers who take files: whole at first, then what changed.

Names follow the files of the Do-Not-Call platform that carriers run already (YD/T 4535-2023, by the
summary in china.md section 2.1): KIND_CARRIER_YYYYMMDD_NNN.csv, UTF-8.
"""

import hashlib
import io
import json
import os
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from services.common.errors import DomainError, InvalidArgument, out_of_range
from services.common.feed import files
from services.common.feed.rows import EMPTY, Rows, values_of
from services.common.numbering import format_keys
from services.common.places import I64, place
from services.common.taxonomy import standard
from services.common.wire import category_code
from services.consumer.copy import Copy
from services.consumer.states import state_name

FULL, UPDATE, CHECK = "NumberMarkFull", "NumberMarkUpdate", "NumberMarkCheck"
PUT, DELETE = "PUT", "DELETE"
ROWS_PER_FILE = 1_000_000
LAST_ROWS, LAST = "last.parquet", "last.json"
"""What was handed over before; kept in a folder of its own beside the files."""
STATE_FOLDER = ".handed-over"
_CARRIER = re.compile(r"[A-Z0-9]{2,16}")
_LINE = pa.schema(
    {
        "operation": pa.string(), "number": pa.string(), "category": pa.string(),
        "category_name": pa.string(), "probability": pa.float64(), "risk": pa.float64(),
        "level": pa.uint8(), "state": pa.string(), "marks": pa.uint16(),
    }
)  # fmt: skip
_OPTIONS = pyarrow.csv.WriteOptions(quoting_style="needed", quoting_header="none")


@dataclass(frozen=True)
class HandedOver:
    """What one call wrote.

    Attributes:
        kind: FULL or UPDATE; "" where nothing had changed.
        paths: the files with rows, then the check file.
        puts, deletes: rows by operation.
    """

    kind: str
    paths: tuple[Path, ...]
    puts: int
    deletes: int


def hand_over(
    copy: Copy, folder: Path, carrier: str, day: date, rows_per_file: int = ROWS_PER_FILE
) -> HandedOver:
    """Write the whole copy, or what changed since the last call for this carrier and folder.

    The check file comes last: where it is, all files that it names are whole. Deletions come
    before all that is put. A crash at any moment leaves files without a check file; the next call
    writes them again under the next number.

    Args:
        copy: a verified copy.
        folder: made if absent.
        carrier: code of the carrier, as "CMCC".
        day: for the names.
        rows_per_file: lines of a file, its header apart.

    Raises:
        InvalidArgument: FIELD_OUT_OF_RANGE for the carrier, FILE_UNREADABLE for a damaged record of
            what was handed over.
    """
    if not _CARRIER.fullmatch(carrier):
        raise out_of_range("carrier", repr(carrier[:32]), "2 to 16 capital letters and digits")
    folder.mkdir(parents=True, exist_ok=True)
    before = _last(folder / STATE_FOLDER / carrier, copy.filter_json)
    if before is None:
        kind, deletes, puts = FULL, np.zeros(0, dtype=np.int64), copy.rows
    else:
        kind, (deletes, puts) = UPDATE, difference(before, copy.rows)
        if not len(deletes) and not len(puts):
            return HandedOver("", (), 0, 0)
    stem = f"{carrier}_{day:%Y%m%d}"
    number = _next_number(folder, stem)
    written: list[tuple[Path, int, str]] = []
    count = len(deletes) + len(puts)
    for start in range(0, max(count, 1), rows_per_file):
        path = folder / f"{kind}_{stem}_{number:03}.csv"
        table = _table(deletes, puts, start, min(start + rows_per_file, count))
        written.append((path, len(table), _write(path, table)))
        number += 1
    head, names = copy.head, [path.name for path, _, _ in written]
    check = folder / f"{CHECK}_{stem}_{number:03}.csv"
    _write(
        check,
        pa.table(
            {
                "file": names,
                "rows": [rows for _, rows, _ in written],
                "sha256": [sha256 for _, _, sha256 in written],
                "version": [head.version] * len(names),
                "state_rows": [head.row_count] * len(names),
                "state_sha256": [head.state_sha256] * len(names),
            }
        ),
    )
    _remember(folder / STATE_FOLDER / carrier, copy)
    paths = (*(path for path, _, _ in written), check)
    return HandedOver(kind, paths, len(puts), len(deletes))


def difference(before: Rows, now: Rows) -> tuple[I64, Rows]:
    """Numbers that are gone, ascending, and rows that are new or other than before."""
    _, there = place(now["number"], before["number"])
    at, known = place(before["number"], now["number"])
    same = known.copy()
    same[known] = values_of(before)[at[known]] == values_of(now)[known]
    return np.asarray(before["number"][~there]), now[~same]


def _table(deletes: I64, puts: Rows, start: int, end: int) -> pa.Table:
    """Lines `start` to `end` of what is deleted and then put; a deletion has its number only."""
    gone = deletes[start:end]
    rows = puts[max(start - len(deletes), 0) : max(end - len(deletes), 0)]
    names = {c.id: c.name_zh for c in standard.load().categories}
    columns = {
        "operation": np.full(len(rows), PUT),
        "number": format_keys(rows["number"]),
        "category": [category_code(c) for c in rows["category"].tolist()],
        "category_name": [names.get(c, "") for c in rows["category"].tolist()],
        "probability": rows["probability"] / 100,
        "risk": rows["risk"] / 100,
        "level": rows["level"],
        "state": [state_name(s) for s in rows["state"].tolist()],
        "marks": rows["marks"],
    }
    none = {"operation": np.full(len(gone), DELETE), "number": format_keys(gone)}
    return pa.concat_tables(
        [
            pa.table(
                [pa.array(none.get(f.name, [None] * len(gone)), f.type) for f in _LINE], _LINE
            ),
            pa.table([pa.array(columns[f.name], f.type) for f in _LINE], _LINE),
        ]
    )


def _write(path: Path, table: pa.Table) -> str:
    """Write a CSV file whole or not at all; its SHA-256 in hex."""
    content = io.BytesIO()
    pyarrow.csv.write_csv(table, content, _OPTIONS)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return hashlib.sha256(content.getbuffer()).hexdigest()


def _next_number(folder: Path, stem: str) -> int:
    pattern = re.compile(rf"[A-Za-z]+_{re.escape(stem)}_(\d+)\.csv")
    found = [pattern.fullmatch(path.name) for path in folder.iterdir()]
    return max((int(match[1]) for match in found if match), default=0) + 1


def _last(folder: Path, filter_json: str) -> Rows | None:
    """Rows handed over last; None where there were none, or of another filter."""
    if not (folder / LAST).exists():
        return None
    try:
        known = json.loads((folder / LAST).read_text())
        if known["filter"] != filter_json:
            return None
        return files.read_rows(str(folder / LAST_ROWS)) if known["rows"] else EMPTY
    except (DomainError, OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidArgument(
            "FILE_UNREADABLE",
            f"{folder} does not tell what was handed over: {error}; remove it to begin anew",
            file=folder,
            cause=error,
        ) from None


def _remember(folder: Path, copy: Copy) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LAST).unlink(missing_ok=True)  # a crash from here on: the next hand-over is whole
    part = folder / (LAST_ROWS + ".part")
    files.write_rows(copy.rows, str(part))
    part.replace(folder / LAST_ROWS)
    about = {"filter": copy.filter_json, "version": copy.head.version, "rows": len(copy.rows)}
    part = folder / (LAST + ".part")
    part.write_text(json.dumps(about))
    part.replace(folder / LAST)
