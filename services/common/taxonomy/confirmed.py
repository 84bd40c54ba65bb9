"""Meanings that reviewers confirmed, as they are kept in table `mappings`."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from services.common.taxonomy import crosswalk
from services.common.taxonomy.crosswalk import Crosswalk
from services.common.taxonomy.meanings import Meaning

COLUMNS = ("scheme", "label", "meanings", "behaviours", "reviewer", "note", "confirmed_ms")


def crosswalk_with(rows: Iterable[Mapping[str, Any]]) -> Crosswalk:
    """The newest crosswalk with what was confirmed since, rows of COLUMNS in order of time."""
    known = crosswalk.load()
    confirmed = [to_meaning(row, known.standard.version) for row in rows]
    return known.with_meanings(confirmed) if confirmed else known


def to_meaning(row: Mapping[str, Any], version: str) -> Meaning:
    """A row of the table as a meaning."""
    parts = [part.split(":") for part in row["meanings"].split(";")]
    return Meaning(
        scheme=row["scheme"],
        label=row["label"],
        names=(),
        says_what=True,
        rows=tuple((int(category), float(weight)) for category, weight, _ in parts),
        relations=tuple(relation for _, _, relation in parts),
        behaviours=tuple(code for code in row["behaviours"].split(";") if code),
        version=version,
        valid_from=datetime.fromtimestamp(row["confirmed_ms"] / 1000, UTC).date(),
        note=row["note"],
    )


def to_text(meaning: Meaning) -> str:
    """Its categories as the column `meanings`."""
    return ";".join(
        f"{category}:{weight!r}:{relation}"
        for (category, weight), relation in zip(meaning.rows, meaning.relations, strict=True)
    )
