"""The published state as a file."""

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from services.cli.session import Stubs
from services.common.numbering import format_keys
from services.common.wire import category_code
from zhengming.reputation.v1 import reputation_pb2 as pb

COLUMNS = (
    "number",
    "category",
    "probability",
    "risk",
    "level",
    "state",
    "effective_sources",
    "mark_count",
    "first_marked_at",
    "last_marked_at",
    "reasons",
    "epoch",
    "version",
)
CALL_TIMEOUT_S = 300


def pages(stubs: Stubs, as_of_ms: int | None) -> Iterator[dict[str, list[Any]]]:
    """Pages of rows by COLUMNS, ascending by key."""
    request = pb.ListReputationsRequest(page_size=100_000)
    if as_of_ms is not None:
        request.as_of_time.FromMilliseconds(as_of_ms)
    while True:
        page = stubs.reputation.ListReputations(request, timeout=CALL_TIMEOUT_S)
        states = {v: k.removeprefix("REPUTATION_STATE_") for k, v in pb.ReputationState.items()}
        yield {
            "number": list(format_keys(np.array(page.number_keys, dtype=np.int64))),
            "category": [category_code(c) for c in page.categories],
            "probability": [f"{p:.4f}" for p in page.probabilities],
            "risk": [f"{r:.6f}" for r in page.risks],
            "level": list(page.levels),
            "state": [states[s] for s in page.states],
            "effective_sources": [f"{e:.2f}" for e in page.effective_sources],
            "mark_count": list(page.mark_counts),
            "first_marked_at": _times(page.first_marked_ms),
            "last_marked_at": _times(page.last_marked_ms),
            "reasons": list(page.reasons),
            "epoch": list(page.epochs),
            "version": list(page.versions),
        }
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def write(stubs: Stubs, out: Path, as_of_ms: int | None) -> int:
    """Write CSV, CSV.gz or Parquet by the file's ending. Returns rows."""
    count = 0
    if out.suffix == ".parquet":
        writer: pa.parquet.ParquetWriter | None = None
        for page in pages(stubs, as_of_ms):
            table = pa.table(page)
            writer = writer or pa.parquet.ParquetWriter(out, table.schema)
            writer.write_table(table)
            count += len(table)
        if writer:
            writer.close()
        return count
    # mtime 0 keeps the bytes of two exports of one version equal.
    opened: Any = gzip.GzipFile(out, "wb", mtime=0) if out.suffix == ".gz" else out.open("wb")
    with opened as file:
        file.write((",".join(COLUMNS) + "\n").encode())
        for page in pages(stubs, as_of_ms):
            lines = _Lines()
            csv.writer(lines, lineterminator="\n").writerows(
                zip(*(page[name] for name in COLUMNS), strict=True)
            )
            file.write("".join(lines.parts).encode())
            count += len(page["number"])
    return count


class _Lines:
    def __init__(self) -> None:
        self.parts: list[str] = []

    def write(self, text: str) -> None:
        self.parts.append(text)


def _times(values: Any) -> list[str]:
    """ISO 8601 in UTC, "" for 0."""
    times = np.array(values, dtype="datetime64[ms]")
    texts = np.datetime_as_string(times, unit="s", timezone="UTC")
    return np.where(np.array(values) == 0, "", texts).tolist()
