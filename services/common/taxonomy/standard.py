"""The category standard: read from its tables, checked, one value per version."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import yaml

from services.common.taxonomy import rows
from services.common.taxonomy.axes import Authority, Behaviour, Category, Identity, Standard
from services.common.taxonomy.rows import Row

__all__ = [
    "UNCLASSIFIED_ID",
    "Authority",
    "Behaviour",
    "Category",
    "Identity",
    "Standard",
    "load",
    "read",
]

UNCLASSIFIED_ID = 9000
"""A9000: the label could not be placed; the raw label is kept beside it."""

_SERVICE_GROUP = "A4"
_CATEGORIES = (
    "code,parent,name_zh,name_en,severity,authority,authority_inferred,catch_all_of,"
    "half_life_days,source"
)
_BEHAVIOURS = "code,name_zh,name_en,severity,authority,source"
_IDENTITIES = "code,name_zh,name_en,effect"
_AUTHORITIES = "name_zh,full_name_zh,name_en"


@cache
def load(version: str | None = None) -> Standard:
    """A version of the standard, the newest unless named; read once a process.

    Raises:
        NotFound: TAXONOMY_VERSION_UNKNOWN.
        InvalidArgument: TAXONOMY_INVALID, naming file, row and field.
    """
    return _load(rows.folder(version))


def read(directory: Path) -> Standard:
    """The standard whose tables are in a folder, checked.

    Raises:
        InvalidArgument: TAXONOMY_INVALID, naming file, row and field.
    """
    version, valid_from, ratio = _read_head(directory)
    authorities = {
        row["name_zh"]: Authority(row["name_zh"], row["full_name_zh"], row["name_en"])
        for row in _unique(rows.read(directory, "authorities.csv", _AUTHORITIES), "name_zh")
    }
    table = _unique(rows.read(directory, "categories.csv", _CATEGORIES), "code")
    return Standard(
        version=version,
        valid_from=valid_from,
        import_half_life_ratio=ratio,
        categories=tuple(_category(row, table, authorities) for row in table),
        behaviours=_behaviours(directory, authorities),
        identities=_identities(directory),
        authorities=authorities,
    )


_load = cache(read)


def _read_head(directory: Path) -> tuple[str, str, float]:
    file = "standard.yaml"
    head = yaml.safe_load((directory / file).read_text(encoding="utf-8"))
    if not isinstance(head, dict):
        raise rows.fault(file, 1, "document", "expected a mapping")
    try:
        ratio = float(head["import_half_life_ratio"])
        version, valid_from = str(head["version"]), str(head["valid_from"])
    except (KeyError, TypeError, ValueError) as error:
        raise rows.fault(file, 1, str(error), "missing or not a number") from None
    if not 0 < ratio <= 1:
        raise rows.fault(file, 1, "import_half_life_ratio", f"{ratio:g} is outside (0, 1]")
    return version, valid_from, ratio


def _category(row: Row, table: Sequence[Row], authorities: Mapping[str, Authority]) -> Category:
    code, parent = row["code"], row["parent"]
    codes = {other["code"] for other in table}
    if not (code[:1] == "A" and code[1:].isascii() and code[1:].isdigit() and len(code) in (2, 5)):
        raise row.fault("code", f"{code!r} is not A and one or four digits")
    if parent and parent not in codes:
        raise row.fault("parent", f"{parent!r} is not a code of this table")
    group = code[:2]
    if parent and parent[:2] != group:
        raise row.fault("parent", f"{parent!r} is of another group")
    if parent and len(parent) >= len(code) and int(parent[1:]) >= int(code[1:]):
        raise row.fault("parent", f"{parent!r} must come before its members")
    catch_all = row["catch_all_of"]
    if catch_all not in ("", group):
        raise row.fault("catch_all_of", f"{catch_all!r} is not the category's group")
    named, inferred = row.listed("authority"), row.listed("authority_inferred")
    for name in inferred:
        if name not in named:
            raise row.fault("authority_inferred", f"{name!r} is not in authority")
    severity = _severity(row)
    return Category(
        code=code,
        id=int(code[1:]),
        name_zh=_present(row, "name_zh"),
        name_en=_present(row, "name_en"),
        severity=severity,
        authority=named,
        authority_en=_english(row, authorities),
        authority_inferred=inferred,
        parent=parent,
        group=group,
        catch_all_of=catch_all,
        half_life_days=row.number("half_life_days", 1, 3650),
        level=0 if group == _SERVICE_GROUP else severity,
        is_nuisance=group in ("A1", "A2", "A3"),
        is_illegal=group == "A1",
        is_leaf=all(other["parent"] != code for other in table),
        source=row["source"],
    )


def _behaviours(directory: Path, authorities: Mapping[str, Authority]) -> tuple[Behaviour, ...]:
    table = _unique(rows.read(directory, "behaviours.csv", _BEHAVIOURS), "code")
    return tuple(
        Behaviour(
            code=row["code"],
            id=_short_id(row, "B"),
            name_zh=_present(row, "name_zh"),
            name_en=_present(row, "name_en"),
            severity=_severity(row) if row["severity"] else None,
            authority=row.listed("authority"),
            authority_en=_english(row, authorities),
            source=row["source"],
        )
        for row in table
    )


def _identities(directory: Path) -> tuple[Identity, ...]:
    table = _unique(rows.read(directory, "identities.csv", _IDENTITIES), "code")
    return tuple(
        Identity(
            code=row["code"],
            id=_short_id(row, "C"),
            name_zh=_present(row, "name_zh"),
            name_en=_present(row, "name_en"),
            effect=row["effect"],
        )
        for row in table
    )


def _unique(table: tuple[Row, ...], column: str) -> tuple[Row, ...]:
    seen: dict[str, int] = {}
    for row in table:
        if row[column] in seen:
            raise row.fault(column, f"{row[column]!r} stands in row {seen[row[column]]} already")
        seen[row[column]] = row.line
    return table


def _present(row: Row, column: str) -> str:
    if not row[column]:
        raise row.fault(column, "must not be empty")
    return row[column]


def _severity(row: Row) -> int:
    value = row.number("severity", 0, 4)
    if value != int(value):
        raise row.fault("severity", f"{value:g} is not a whole number")
    return int(value)


def _short_id(row: Row, axis: str) -> int:
    code = row["code"]
    if not (len(code) == 3 and code[0] == axis and code[1:].isascii() and code[1:].isdigit()):
        raise row.fault("code", f"{code!r} is not {axis} and two digits")
    return int(code[1:])


def _english(row: Row, authorities: Mapping[str, Authority]) -> tuple[str, ...]:
    for name in row.listed("authority"):
        if name not in authorities:
            raise row.fault("authority", f"{name!r} is not in authorities.csv")
    return tuple(authorities[name].name_en for name in row.listed("authority"))
