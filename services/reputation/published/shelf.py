"""The folder of the published state: one process writes it, any number read it.

`current.json` names the tables, newest first, and the log of the versions since. It is replaced by
renaming, after what it names is on disk; a record of the log counts once it is whole. A writer that
is killed at any moment therefore leaves the state before or the state after, never half of one.
"""

import fcntl
import json
import os
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from services.common.errors import InvalidArgument, Unavailable
from services.reputation.published import table as tables_
from services.reputation.published.table import Table

CURRENT = "current.json"
_RECORD = struct.Struct("<8sIQ")
_RECORD_MAGIC = b"ZMDELTA1"
_NAME = re.compile(r"[0-9]+-[0-9]+\.(?:table|log)", re.ASCII)


@dataclass(frozen=True)
class Mark:
    """What a state is.

    Attributes:
        version, as_of_ms, publish_ms, change_cursor: of the newest version in it.
        number_count: distinct numbers in it.
    """

    version: int = 0
    as_of_ms: int = 0
    publish_ms: int = 0
    change_cursor: str = ""
    number_count: int = 0


@dataclass(frozen=True)
class Manifest:
    """What `current.json` says."""

    mark: Mark
    tables: tuple[str, ...]
    log: str


class Shelf:
    """The writer's side; one at a time."""

    def __init__(self, folder: Path) -> None:
        """Take the folder.

        Raises:
            Unavailable: STATE_IN_USE.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = (folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise Unavailable(
                "STATE_IN_USE",
                f"another process writes the published state in {folder}",
                folder=folder,
            ) from None
        self._log = ""

    def load(self) -> tuple[list[Table], list[tuple[Mark, Table]], Mark] | None:
        """Tables, records of the log and what they amount to; None where nothing good is kept.

        The log is cut after its last whole record.
        """
        try:
            manifest = read_manifest(self._folder)
            found = [tables_.open_table(self._folder / name) for name in manifest.tables]
            path = self._folder / manifest.log
            records, end = read_log(path, 0)
        except (InvalidArgument, OSError):
            return None
        os.truncate(path, end)
        self._log = manifest.log
        self._remove_others(manifest)
        return found, records, records[-1][0] if records else manifest.mark

    def append(self, mark: Mark, table: Table) -> None:
        """Add a version to the log."""
        content = _pack_record(mark, table)
        handle = os.open(self._folder / self._log, os.O_WRONLY | os.O_APPEND)
        end = os.fstat(handle).st_size
        try:
            written = 0
            while written < len(content):
                written += os.write(handle, content[written:])
        except OSError:
            os.ftruncate(handle, end)  # nothing after half a record would ever be read
            raise
        finally:
            os.close(handle)

    def write(self, mark: Mark, parts: Sequence[Table]) -> Table:
        """Write a table of parts, newest first; it counts once `replace` names it."""
        path = self._folder / self._free_name(mark.version, "table")
        tables_.write_merged(parts, path)
        return tables_.open_table(path)

    def replace(self, mark: Mark, kept: Sequence[Table]) -> None:
        """Begin a new log over these tables, all of them opened here, newest first."""
        log = self._free_name(mark.version, "log")
        (self._folder / log).touch(exist_ok=False)
        manifest = Manifest(mark, tuple(table.name for table in kept), log)
        _write_manifest(self._folder, manifest)
        self._log = log
        self._remove_others(manifest)

    def close(self) -> None:
        """Give the folder up."""
        self._lock.close()

    def _free_name(self, version: int, ending: str) -> str:
        at = 0
        while (self._folder / f"{version:012d}-{at}.{ending}").exists():
            at += 1
        return f"{version:012d}-{at}.{ending}"

    def _remove_others(self, manifest: Manifest) -> None:
        named = {*manifest.tables, manifest.log}
        for pattern in ("*.table", "*.log", "*.part"):
            for path in self._folder.glob(pattern):
                if path.name not in named:
                    path.unlink(missing_ok=True)


class Reader:
    """A reader's side: follows what the writer does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: tuple[int, int] | None = None
        self._manifest: Manifest | None = None
        self._tables: dict[str, Table] = {}
        self._offset = 0

    def poll(self) -> tuple[Mark, list[Table] | None, list[tuple[Mark, Table]]] | None:
        """What is new: the mark, the tables if they were replaced, and further records of the log.

        None where nothing is. Raises what is wrong with the files; the next poll tries again.

        Raises:
            InvalidArgument: FILE_UNREADABLE.
            OSError: a file is not there.
        """
        status = (self._folder / CURRENT).stat()
        seen = (status.st_ino, status.st_mtime_ns)
        replaced = None
        if seen != self._seen:
            manifest = read_manifest(self._folder)
            opened = {
                name: self._tables.get(name) or tables_.open_table(self._folder / name)
                for name in manifest.tables
            }
            records, offset = read_log(self._folder / manifest.log, 0)
            self._tables, self._manifest, self._seen = opened, manifest, seen
            replaced = list(opened.values())
        else:
            assert self._manifest is not None
            manifest = self._manifest
            records, offset = read_log(self._folder / manifest.log, self._offset)
        self._offset = offset
        if replaced is None and not records:
            return None
        return (records[-1][0] if records else manifest.mark), replaced, records


def read_manifest(folder: Path) -> Manifest:
    """Read `current.json`.

    Raises:
        InvalidArgument: FILE_UNREADABLE.
        OSError: there is none.
    """
    content = (folder / CURRENT).read_bytes()
    body, _, crc = content.rpartition(b"\n")
    if not crc.isdigit() or len(crc) > 10 or zlib.crc32(body) != int(crc):
        raise _damaged(CURRENT, "checksum")
    said = _json(body, CURRENT)
    listed = said.get("tables")
    names: list[Any] = [*(listed if isinstance(listed, list) else [None]), said.get("log")]
    # A name is of a file in the folder, whatever the manifest says.
    if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
        raise _damaged(CURRENT, "names of files")
    return Manifest(_mark(said.get("mark"), CURRENT), tuple(names[:-1]), names[-1])


def _json(content: bytes, file: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _damaged(file, str(error)) from None
    if not isinstance(found, dict):
        raise _damaged(file, "no object")
    return found


def _mark(said: Any, file: str) -> Mark:
    kinds = {name: type(value) for name, value in asdict(Mark()).items()}
    found = {name: type(value) for name, value in said.items()} if isinstance(said, dict) else {}
    if found != kinds:
        raise _damaged(file, "fields of the mark")
    return Mark(**said)


def _damaged(file: str, cause: str) -> InvalidArgument:
    return InvalidArgument(
        "FILE_UNREADABLE", f"{file} is damaged: {cause}", file="published", cause=cause
    )


def _write_manifest(folder: Path, manifest: Manifest) -> None:
    body = json.dumps(asdict(manifest), sort_keys=True).encode()
    part = folder / "current.part"
    with part.open("wb") as file:
        file.write(body + b"\n" + str(zlib.crc32(body)).encode())
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / CURRENT)
    tables_.sync_folder(folder)


def _pack_record(mark: Mark, table: Table) -> bytes:
    head = json.dumps(asdict(mark)).encode()
    body = struct.pack("<I", len(head)) + head + tables_.to_bytes(table)
    return _RECORD.pack(_RECORD_MAGIC, zlib.crc32(body), len(body)) + body


def read_log(path: Path, offset: int) -> tuple[list[tuple[Mark, Table]], int]:
    """Whole records from an offset, oldest first, and where the last of them ends.

    Raises:
        InvalidArgument: FILE_UNREADABLE, for a whole record that is none of ours.
    """
    with path.open("rb") as file:
        file.seek(offset)
        content = file.read()
    records = []
    for body in _records(content):
        length = int.from_bytes(body[:4], "little")
        mark = _mark(_json(bytes(body[4 : 4 + length]), "the log"), "the log")
        records.append((mark, tables_.from_bytes(body[4 + length :])))
        offset += _RECORD.size + len(body)
    return records, offset


def _records(content: bytes) -> Iterator[memoryview]:
    at, view = 0, memoryview(content)
    while at + _RECORD.size <= len(content):
        magic, crc, length = _RECORD.unpack_from(content, at)
        body = view[at + _RECORD.size : at + _RECORD.size + length]
        if magic != _RECORD_MAGIC or len(body) != length or zlib.crc32(body) != crc:
            return
        yield body
        at += _RECORD.size + length
