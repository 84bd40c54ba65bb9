"""What each label of each scheme means: the crosswalk tables, read and checked."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path

from services.common.errors import InvalidArgument
from services.common.taxonomy import rows
from services.common.taxonomy.axes import Standard
from services.common.taxonomy.rows import Row

EXACT, BROADER, NARROWER, UNKNOWN = "exact", "broader", "narrower", "unknown"
RELATIONS = (EXACT, NARROWER, BROADER)
"""The best first: an exact label, one that says more than the category, one that says less."""
STANDARD = "standard"
"""The scheme of a label that is a code of the standard itself."""

WORDS = "words"
"""The scheme of free words, which every source falls back to."""

_MEANINGS = "scheme,label,names,axis,category,weight,relation,behaviours,version,valid_from,note"
_SOURCES = "source,scheme,note"
_WEIGHT_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Meaning:
    """One label of a scheme and the categories it may stand for.

    Attributes:
        scheme: "tencent".
        label: the vendor's code or word, as it is sent: "52".
        names: other spellings of it.
        says_what: False where the label tells only how the call was made (12321's `type`).
        rows: (category id, weight), the label's home first; the weights sum to 1.
        relations: for each row, what the category is to the label: "exact", "broader" (it takes
            in all the label's calls and more) or "narrower" (only some of them).
        behaviours: codes of axis B that the label also says.
        version: version of the standard that brought the meaning.
        valid_from: first day on which it is used.
        note: source and reason.
    """

    scheme: str
    label: str
    names: tuple[str, ...]
    says_what: bool
    rows: tuple[tuple[int, float], ...]
    relations: tuple[str, ...]
    behaviours: tuple[str, ...]
    version: str
    valid_from: date
    note: str

    @property
    def home(self) -> int:
        """Id of the category that the published crosswalk names for the label."""
        return self.rows[0][0]

    @property
    def keys(self) -> tuple[str, ...]:
        """Every spelling, folded as `fold` does, without repeats."""
        return tuple(dict.fromkeys(fold(text) for text in (self.label, *self.names)))

    def weight_of(self, category_id: int) -> float:
        """The category's weight, 0 if the label does not stand for it."""
        return dict(self.rows).get(category_id, 0.0)


def fold(label: str) -> str:
    """The form in which labels are compared: NFKC, no white space, case folded."""
    return "".join(unicodedata.normalize("NFKC", label).casefold().split())


def read_meanings(directory: Path, standard: Standard) -> tuple[Meaning, ...]:
    """Every meaning of a version's crosswalks, in the order of the files and their rows.

    Raises:
        InvalidArgument: TAXONOMY_INVALID, naming file, row and field, if a category or behaviour
            is unknown, a relation is not one, a label's weights do not sum to 1 or do not put
            its home first, or two labels of a scheme share a spelling.
    """
    found: list[Meaning] = []
    for path in sorted(directory.glob("crosswalk_*.csv")):
        table = rows.read(directory, path.name, _MEANINGS)
        seen: dict[tuple[str, str, str], str] = {}
        for _, group in groupby(table, lambda r: (r["scheme"], r["label"], r["valid_from"])):
            lines = tuple(group)
            meaning = _meaning(lines, standard)
            for key in meaning.keys:
                place = (meaning.scheme, key, str(meaning.valid_from))
                if place in seen:
                    raise lines[0].fault("label", f"{key!r} is a spelling of {seen[place]!r} too")
                seen[place] = meaning.label
            found.append(meaning)
    return tuple(found)


def read_sources(directory: Path, schemes: frozenset[str]) -> Mapping[str, str]:
    """The scheme of each source that is named in sources.csv, by the source's folded name.

    Raises:
        InvalidArgument: TAXONOMY_INVALID if a scheme is unknown or a source stands twice.
    """
    found: dict[str, str] = {}
    for row in rows.read(directory, "sources.csv", _SOURCES):
        source = fold(row["source"])
        if source in found:
            raise row.fault("source", f"{row['source']!r} stands twice")
        if row["scheme"] not in schemes:
            raise row.fault("scheme", f"{row['scheme']!r} has no crosswalk")
        found[source] = row["scheme"]
    return found


def check(meaning: Meaning, standard: Standard) -> None:
    """That a meaning made by a reviewer is as sound as one from a table.

    Raises:
        InvalidArgument: MAPPING_INVALID, naming the field; CATEGORY_UNKNOWN; BEHAVIOUR_UNKNOWN.
    """
    ids = [category_id for category_id, _ in meaning.rows]
    weights = [weight for _, weight in meaning.rows]
    wrong = ""
    if not weights or min(weights) <= 0 or abs(sum(weights) - 1) > _WEIGHT_TOLERANCE:
        wrong = "rows: the weights must be above 0 and sum to 1"
    elif weights[0] < max(weights):
        wrong = "rows: the first category is the home and must weigh the most"
    elif len(set(ids)) != len(ids):
        wrong = "rows: a category stands twice"
    elif len(meaning.relations) != len(ids) or not set(meaning.relations) <= set(RELATIONS):
        wrong = f"relations: one of {', '.join(RELATIONS)} for each row"
    elif meaning.scheme in ("", STANDARD) or fold(meaning.scheme) != meaning.scheme:
        wrong = f"scheme: {meaning.scheme!r} is not a folded name other than {STANDARD}"
    if wrong:
        raise InvalidArgument("MAPPING_INVALID", wrong, label=meaning.label)
    for category_id in ids:
        standard.category_of_id(category_id)
    for code in meaning.behaviours:
        standard.behaviour(code)


def _meaning(lines: tuple[Row, ...], standard: Standard) -> Meaning:
    first = lines[0]
    known = {category.code: category.id for category in standard.categories}
    pairs: dict[int, float] = {}
    for row in lines:
        if row["category"] not in known:
            raise row.fault("category", f"{row['category']!r} is not in the standard")
        category_id = known[row["category"]]
        if category_id in pairs:
            raise row.fault("category", f"{row['category']!r} stands twice for this label")
        if row["relation"] not in RELATIONS:
            raise row.fault("relation", f"{row['relation']!r} is not {', '.join(RELATIONS)}")
        if row["version"] != first["version"]:
            raise row.fault("version", "differs within one label")
        pairs[category_id] = row.number("weight", 0.001, 1)
    if abs(sum(pairs.values()) - 1) > _WEIGHT_TOLERANCE:
        raise first.fault("weight", f"the weights sum to {sum(pairs.values()):g}, not 1")
    if first.number("weight", 0, 1) < max(pairs.values()):
        raise first.fault("weight", "the first category is the home and must weigh the most")
    return Meaning(
        scheme=first["scheme"],
        label=first["label"],
        names=first.listed("names"),
        says_what=_says_what(first),
        rows=tuple(pairs.items()),
        relations=tuple(row["relation"] for row in lines),
        behaviours=_behaviours(first, standard),
        version=_version(first),
        valid_from=_day(first),
        note=first["note"],
    )


def _says_what(row: Row) -> bool:
    if row["axis"] not in ("A", "B"):
        raise row.fault("axis", f"{row['axis']!r} is not A or B")
    return row["axis"] == "A"


def _behaviours(row: Row, standard: Standard) -> tuple[str, ...]:
    known = {behaviour.code for behaviour in standard.behaviours}
    for code in row.listed("behaviours"):
        if code not in known:
            raise row.fault("behaviours", f"{code!r} is not in the standard")
    return row.listed("behaviours")


def _version(row: Row) -> str:
    if not all(part.isascii() and part.isdigit() for part in row["version"].split(".")):
        raise row.fault("version", f"{row['version']!r} is not numbers with dots between")
    return row["version"]


def _day(row: Row) -> date:
    try:
        return date.fromisoformat(row["valid_from"])
    except ValueError:
        raise row.fault("valid_from", f"{row['valid_from']!r} is not YYYY-MM-DD") from None
