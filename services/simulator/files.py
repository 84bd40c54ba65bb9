"""How the city is written down: CSV of the import formats, equal bytes for equal arguments."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from services.simulator.calling import COUNTS, BlockCalls
from services.simulator.collusion import Raid
from services.simulator.columns import iso_times, picked, texts
from services.simulator.marking import KINDS, NOBODY, WORDS, Marks
from services.simulator.numbers import CARRIERS, CTCC, MOBILE, MVNO, written_forms
from services.simulator.population import City
from services.simulator.records import Ports
from services.simulator.reporters import CARES, Reporters
from services.simulator.vocabulary import SOURCES
from services.simulator.window import Window

_SOURCE_NAMES = tuple(source.name for source in SOURCES)
_GZIP_LEVEL = 1  # the files are read once or twice: speed over size


def write_csv(path: Path, table: pa.Table) -> int:
    """Writes one table, gzipped by its ending; answers its number of rows."""
    with opened(path) as stream:
        append_csv(stream, table, with_header=True)
    return int(table.num_rows)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Opens a file to write; gzip streams carry neither name nor time."""
    with path.open("wb") as raw:
        if path.suffix != ".gz":
            yield raw
            return
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as packed:
            yield cast(BinaryIO, packed)


def append_csv(stream: BinaryIO, table: pa.Table, *, with_header: bool) -> None:
    """Appends a table as unquoted CSV; no value of ours holds a comma, quote or line break."""
    if with_header:
        stream.write((",".join(table.column_names) + "\n").encode())
    buffer = pa.BufferOutputStream()
    options = pacsv.WriteOptions(include_header=False, quoting_style="none")
    pacsv.write_csv(table, buffer, options)
    stream.write(buffer.getvalue())


def write_json(path: Path, value: Any) -> None:
    """Writes a value as readable JSON, Chinese as it is."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


class BehaviourRows:
    """Turns blocks of calls into tables of the behaviour format."""

    def __init__(self, city: City, window: Window, ports: Ports) -> None:
        kind = city.numbers.kind
        # One carrier sends its mobiles with the country code, as some do.
        coded = (ports.carrier == CTCC) & ((kind == MOBILE) | (kind == MVNO))
        self._numbers = texts(
            [
                "86" + number if with_code else number
                for number, with_code in zip(city.numbers.national, coded.tolist(), strict=True)
            ]
        )
        self._days = texts(window.day_names)
        self._carriers = texts(CARRIERS)
        self._city = city
        self._carrier = ports.carrier.astype(np.int64)

    def table(self, tenures: NDArray[np.int64], calls: BlockCalls) -> pa.Table:
        """The rows of one block."""
        number = self._city.number[tenures][calls.tenure]
        return pa.table(
            {
                "number": picked(self._numbers, number),
                "day": picked(self._days, calls.day),
                "carrier": picked(self._carriers, self._carrier[number]),
                **{name: pa.array(calls.columns[name]) for name in COUNTS},
            }
        )


def marks_table(
    rng: np.random.Generator, city: City, reporters: Reporters, marks: Marks
) -> pa.Table:
    """The rows of marks.csv, in the order of the marks; mark ids count up within each source."""
    number = city.number[marks.tenure]
    raw = np.empty(len(marks), dtype=object)
    mark_id = np.empty(len(marks), dtype=object)
    for index, source in enumerate(SOURCES):
        rows = np.flatnonzero(marks.source == index)
        national = [city.numbers.national[i] for i in number[rows].tolist()]
        kinds = city.numbers.kind[number[rows]]
        raw[rows] = written_forms(rng, national, kinds, source.odd_writing)
        prefix = source.name.removeprefix("app-")
        mark_id[rows] = [f"{prefix}-{serial:08d}" for serial in range(1, len(rows) + 1)]
    tokens = [*reporters.token, ""]
    reporter = np.where(marks.reporter == NOBODY, len(reporters.token), marks.reporter)
    return pa.table(
        {
            "source": picked(_SOURCE_NAMES, marks.source),
            "mark_id": texts(mark_id.tolist()),
            "number": texts(raw.tolist()),
            "label": picked(WORDS, marks.word),
            "occurred_at": iso_times(marks.occurred_s),
            "reporter": picked(tokens, reporter),
            "kind": picked(KINDS, marks.kind),
            "call_at": iso_times(marks.call_s),
            "withdrawn": pa.array(marks.withdrawn.astype(np.int8)),
        }
    )


def reporter_table(reporters: Reporters, marks: Marks) -> pa.Table:
    """Who really is how careful, for those who appear in the marks."""
    seen = np.unique(marks.reporter[marks.reporter != NOBODY])
    return pa.table(
        {
            "source": picked(_SOURCE_NAMES, reporters.source[seen]),
            "reporter": picked(reporters.token, seen),
            "care": picked(CARES, reporters.care[seen]),
        }
    )


def attack_table(city: City, raids: list[Raid]) -> pa.Table:
    """What the colluders aimed at; numbers in canonical form."""
    wire = city.numbers.wire
    begins = np.array([raid.begins_s for raid in raids], dtype=np.int64)
    return pa.table(
        {
            "group": pa.array([raid.group for raid in raids], type=pa.int64()),
            "number": texts([wire[city.number[raid.tenure]] for raid in raids]),
            "goal": texts([raid.goal for raid in raids]),
            "source": texts([SOURCES[raid.source].name for raid in raids]),
            "began_at": iso_times(begins),
            "marks": pa.array([raid.marks for raid in raids], type=pa.int64()),
        }
    )
