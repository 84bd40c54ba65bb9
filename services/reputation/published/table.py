"""A table of published rows: immutable, sorted by number, in memory or mapped from a file.

The file: MAGIC; the sections, each at a multiple of 64 bytes; a JSON footer that names each
section's place, type and CRC-32; the footer's CRC-32 and length, 8 bytes; MAGIC. Whatever is cut or
changed is found by `open_table`.
"""

import json
import mmap
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidArgument
from services.reputation import hashes
from services.reputation.hashes import HashBuckets
from services.reputation.published import key_index, packing, soundness
from services.reputation.published.key_index import KeyIndex
from services.reputation.published.packing import Columns, Packed

I64 = npt.NDArray[np.int64]
MAGIC = b"ZMTABLE1"
ALIGNMENT = 64
MERGED_AT_ONCE = 1 << 20
"""Rows of the largest part that a merge holds at a time."""
_TAIL = struct.Struct("<II8s")
_CHECKED_AT_ONCE = 1 << 24


@dataclass(frozen=True, eq=False)
class Table:
    """Rows ascending by number.

    Attributes:
        name: of its file; empty in memory.
    """

    index: KeyIndex
    packed: Packed
    hashed: HashBuckets
    name: str = ""

    def __len__(self) -> int:
        return len(self.index)

    def columns(self, names: Sequence[str], rows: Any = slice(None)) -> Columns:
        """Columns of all or some rows."""
        picked = packing.unpack(self.packed, self.packed.rows[rows], names)
        if "number" in names:
            is_all = isinstance(rows, slice) and rows == slice(None)
            if is_all:
                picked["number"] = self.index.keys()
            else:
                picked["number"] = self.index.keys_of(np.arange(len(self))[rows])
        return picked

    def newest(self) -> int:
        """The newest version in which one of its rows changed, 0 without rows."""
        return int(self.packed.issue["version"].max(initial=0))

    def since(self, version: int) -> I64:
        """Rows that changed after a version."""
        late = self.packed.issue["version"] > version
        if not late.any():
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero(late[self.packed.rows["issue"]])


def of_columns(columns: Columns) -> Table:
    """A table of columns by NAMES, of distinct numbers in any order."""
    number = columns["number"].astype(np.int64)
    if len(number) > 1 and not (np.diff(number) > 0).all():
        order = np.argsort(number, kind="stable")
        columns = {name: column[order] for name, column in columns.items()}
        number = number[order]
    hashed = hashes.buckets(hashes.heads_of(number))
    return Table(key_index.build(number), packing.pack(columns), hashed)


def merged(tables: Sequence[Table]) -> Table:
    """One table of several, newest first: of a number in several, the first row stands."""
    tables = [table for table in tables if len(table)] or list(tables[:1])
    if len(tables) == 1:
        return tables[0]
    parts: list[npt.NDArray[Any]] = []
    keys, heads, empty = _merge(tables, parts.append)
    rows = np.concatenate(parts) if parts else empty.rows
    return Table(key_index.build(keys), _with_rows(empty, rows), hashes.buckets(heads))


def named(table: Table, name: str) -> Table:
    """The same table under a name."""
    return Table(table.index, table.packed, table.hashed, name)


def write_merged(tables: Sequence[Table], path: Path) -> None:
    """`merged` straight into a file, which is whole or not there."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        writer = _Writer(file)
        writer.begin("rows")
        keys, heads, empty = _merge(tables, writer.add)
        writer.end(empty.rows.dtype)
        _write_rest(writer, Table(key_index.build(keys), empty, hashes.buckets(heads)))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


def to_bytes(table: Table) -> bytes:
    """A table as the bytes of a file."""
    import io

    file = io.BytesIO()
    writer = _Writer(file)
    writer.begin("rows")
    writer.add(table.packed.rows)
    writer.end(table.packed.rows.dtype)
    _write_rest(writer, table)
    return file.getvalue()


def open_table(path: Path) -> Table:
    """Map a file and check every byte of it.

    Raises:
        InvalidArgument: FILE_UNREADABLE.
    """
    try:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise _unreadable(str(error)) from None
    table = from_bytes(memoryview(content), path.name)
    # Checking has touched every page; only what is asked for shall count as this process's memory.
    content.madvise(mmap.MADV_DONTNEED)
    return table


def from_bytes(content: memoryview | bytes, name: str = "") -> Table:
    """A table over the bytes of a file.

    Raises:
        InvalidArgument: FILE_UNREADABLE.
    """
    content = memoryview(content)
    if len(content) < len(MAGIC) + _TAIL.size or content[: len(MAGIC)] != MAGIC:
        raise _unreadable("it is too short or begins otherwise")
    crc, length, magic = _TAIL.unpack(content[-_TAIL.size :])
    footer = content[-_TAIL.size - length : -_TAIL.size]
    if magic != MAGIC or len(footer) != length or zlib.crc32(footer) != crc:
        raise _unreadable("its end is missing")
    try:
        sections = json.loads(bytes(footer))
        read = {section: _section(content, section, place) for section, place in sections.items()}
        texts = json.loads(read["texts"].tobytes())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _unreadable(f"its footer or its texts are damaged: {error}") from None
    if found := soundness.fault(read, texts):
        raise _unreadable(found)
    return Table(
        KeyIndex(int(read["shift"][0]), read["first"], read["offset"], read["starts"], read["low"]),
        Packed(
            read["rows"],
            read["what"],
            read["why"],
            read["issue"],
            read["kinds"].reshape(-1, packing.TOP),
            texts,
        ),
        HashBuckets(read["heads"], read["hash_low"], read["hash_high"], read["hash_starts"]),
        name,
    )


def _section(content: memoryview, name: str, place: dict[str, Any]) -> npt.NDArray[Any]:
    start, size = place["start"], place["size"]
    part, crc = content[start : start + size], 0
    for at in range(0, size, _CHECKED_AT_ONCE):
        crc = zlib.crc32(part[at : at + _CHECKED_AT_ONCE], crc)
    if len(part) != size or crc != place["crc32"]:
        raise _unreadable(f"section {name} is damaged")
    return np.frombuffer(part, dtype=_read_dtype(place["dtype"]))


class _Writer:
    """Sections of a file, one after the other."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._places = file, dict[str, dict[str, Any]]()
        self._at = self._write(MAGIC)
        self._name, self._crc, self._start = "", 0, 0

    def _write(self, content: Any) -> int:
        self._file.write(content)
        return len(content)

    def begin(self, name: str) -> None:
        self._at += self._write(bytes(-self._at % ALIGNMENT))
        self._name, self._crc, self._start = name, 0, self._at

    def add(self, values: npt.NDArray[Any]) -> None:
        content = np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
        self._crc = zlib.crc32(content, self._crc)
        self._at += self._write(content)

    def end(self, dtype: np.dtype[Any]) -> None:
        self._places[self._name] = {
            "start": self._start,
            "size": self._at - self._start,
            "crc32": self._crc,
            "dtype": _plain(dtype),
        }

    def close(self) -> None:
        footer = json.dumps(self._places, sort_keys=True, separators=(",", ":")).encode()
        self._write(footer)
        self._write(_TAIL.pack(zlib.crc32(footer), len(footer), MAGIC))


def _write_rest(writer: _Writer, table: Table) -> None:
    index, packed, hashed = table.index, table.packed, table.hashed
    texts = json.dumps(list(packed.texts), ensure_ascii=False, separators=(",", ":")).encode()
    for name, values in (
        ("shift", np.array([index.shift], dtype="<i8")),
        ("first", index.first),
        ("offset", index.offset),
        ("starts", index.starts),
        ("low", index.low),
        ("what", packed.what),
        ("why", packed.why),
        ("issue", packed.issue),
        ("kinds", packed.kinds),
        ("texts", np.frombuffer(texts, dtype=np.uint8)),
        ("heads", hashed.heads),
        ("hash_low", hashed.low),
        ("hash_high", hashed.high),
        ("hash_starts", hashed.starts),
    ):
        writer.begin(name)
        writer.add(values)
        writer.end(values.dtype)
    writer.close()


def _merge(tables: Sequence[Table], add: Any) -> tuple[I64, hashes.U16, Packed]:
    """Give the merged rows to `add`, part by part; their keys, hashes, and the dictionaries."""
    empty, codes = packing.united([table.packed for table in tables])
    keys = np.empty(sum(len(table) for table in tables), dtype=np.int64)
    heads = np.empty(len(keys), dtype=np.uint16)
    heads_of_table = [table.hashed.by_row() for table in tables]
    count = 0
    starts = [0] * len(tables)
    for bound in [*_bounds(tables), None]:
        ends = [len(t) if bound is None else t.index.rank(bound) for t in tables]
        part_keys, part_heads, part_rows = [], [], []
        for i, table in enumerate(tables):
            if ends[i] > starts[i]:
                part_keys.append(table.index.keys(starts[i], ends[i]))
                part_heads.append(heads_of_table[i][starts[i] : ends[i]])
                rows = table.packed.rows[starts[i] : ends[i]]
                part_rows.append(packing.recoded(rows, codes[i], empty.rows.dtype))
        starts = ends
        if not part_keys:
            continue
        found_keys, found_heads, found_rows = part_keys[0], part_heads[0], part_rows[0]
        if len(part_keys) > 1:
            found_keys = np.concatenate(part_keys)
            order = np.argsort(found_keys, kind="stable")
            order = order[np.diff(found_keys[order], prepend=-1) != 0]
            found_keys = found_keys[order]
            found_heads = np.concatenate(part_heads)[order]
            found_rows = np.concatenate(part_rows)[order]
        after = count + len(found_keys)
        keys[count:after], heads[count:after] = found_keys, found_heads
        count = after
        add(found_rows)
    return keys[:count], heads[:count], empty


def _bounds(tables: Sequence[Table]) -> list[int]:
    """Keys that cut the tables into parts of at most MERGED_AT_ONCE rows of each."""
    cuts = [
        table.index.keys_of(np.arange(MERGED_AT_ONCE, len(table), MERGED_AT_ONCE))
        for table in tables
    ]
    found: list[int] = np.unique(np.concatenate(cuts)).tolist()
    return found


def _with_rows(packed: Packed, rows: npt.NDArray[Any]) -> Packed:
    return Packed(rows, packed.what, packed.why, packed.issue, packed.kinds, packed.texts)


def _plain(dtype: np.dtype[Any]) -> Any:
    return dtype.str if dtype.names is None else dtype.descr


def _read_dtype(plain: Any) -> np.dtype[Any]:
    if isinstance(plain, str):
        return np.dtype(plain)
    fields = [(f[0], f[1], tuple(f[2])) if len(f) == 3 else (f[0], f[1]) for f in plain]
    return np.dtype(fields)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder outlive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unreadable(cause: str) -> InvalidArgument:
    return InvalidArgument(
        "FILE_UNREADABLE",
        f"this is no table of the published state: {cause}",
        file="published",
        cause=cause,
    )
