"""How a table of the taxonomy is read, and how a fault in it is named."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.common.errors import InvalidArgument, NotFound

TABLES = Path(__file__).parent / "tables"
"""One folder per version of the standard; nothing in a published folder ever changes."""


@dataclass(frozen=True)
class Row:
    """One line of a table: its place, for messages, and its fields, stripped.

    Attributes:
        file: name of the table.
        line: line in the file, the first is 1 (comments count).
        fields: value by column name; an empty field is "".
    """

    file: str
    line: int
    fields: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.fields[column]

    def listed(self, column: str) -> tuple[str, ...]:
        """The parts of a field written with ";" between them."""
        return tuple(part.strip() for part in self.fields[column].split(";") if part.strip())

    def fault(self, field: str, why: str) -> InvalidArgument:
        """The error that names this row and the field at fault."""
        return fault(self.file, self.line, field, why)

    def number(self, column: str, low: float, high: float) -> float:
        """The field as a number in [low, high].

        Raises:
            InvalidArgument: TAXONOMY_INVALID if it is not one.
        """
        try:
            value = float(self.fields[column])
        except ValueError:
            raise self.fault(column, f"{self.fields[column]!r} is not a number") from None
        if not low <= value <= high:
            raise self.fault(column, f"{value:g} is outside {low:g} to {high:g}")
        return value


def fault(file: str, line: int, field: str, why: str) -> InvalidArgument:
    """TAXONOMY_INVALID, naming file, row and field."""
    return InvalidArgument(
        "TAXONOMY_INVALID", f"{file}, row {line}, {field}: {why}", file=file, row=line, field=field
    )


def parse(file: str, text: str, header: str) -> tuple[Row, ...]:
    """The rows of a commented CSV text.

    Lines that begin with "#" are comments, and a field never holds a line break. The first other
    line must be exactly `header`, so that a misspelt column is an error and not a missing value.

    Raises:
        InvalidArgument: TAXONOMY_INVALID on another header or a row of another width.
    """
    columns = header.split(",")
    found: list[Row] = []
    header_seen = False
    for line, text_of_line in enumerate(text.splitlines(), 1):
        if not text_of_line.strip() or text_of_line.startswith("#"):
            continue
        cells = _cells(file, line, text_of_line)
        if not header_seen:
            if cells != columns:
                raise fault(file, line, "header", f"expected {header}")
            header_seen = True
        elif len(cells) != len(columns):
            raise fault(file, line, "row", f"{len(cells)} fields, not {len(columns)}")
        else:
            values = (cell.strip() for cell in cells)
            found.append(Row(file, line, dict(zip(columns, values, strict=True))))
    if not header_seen:
        raise fault(file, 1, "header", f"expected {header}")
    return tuple(found)


def versions() -> tuple[str, ...]:
    """Every version of the standard that this program carries, oldest first."""
    found = [path.name for path in TABLES.iterdir() if (path / "standard.yaml").is_file()]
    return tuple(sorted(found, key=lambda name: tuple(int(part) for part in name.split("."))))


def folder(version: str | None) -> Path:
    """Where a version's tables are; None is the newest.

    Raises:
        NotFound: TAXONOMY_VERSION_UNKNOWN.
    """
    known = versions()
    chosen = known[-1] if version is None else version
    if chosen not in known:
        raise NotFound(
            "TAXONOMY_VERSION_UNKNOWN",
            f"version {chosen!r} of the category standard is not one of {', '.join(known)}",
            version=chosen,
        )
    return TABLES / chosen


def read(directory: Path, file: str, header: str) -> tuple[Row, ...]:
    """The rows of one table of a version."""
    return parse(file, (directory / file).read_text(encoding="utf-8"), header)


def _cells(file: str, line: int, text: str) -> list[str]:
    """The fields of one line; read alone, so that a stray quote cannot swallow the next ones."""
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise fault(file, line, "row", str(error)) from None
