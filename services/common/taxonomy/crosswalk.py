"""From the label that a source sent to the categories it may stand for, and back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidArgument
from services.common.taxonomy import meanings, reversal, rows, standard
from services.common.taxonomy.axes import Category, Standard
from services.common.taxonomy.meanings import (
    EXACT,
    NARROWER,
    STANDARD,
    UNKNOWN,
    WORDS,
    Meaning,
    fold,
)

JOINT = "|"
"""Stands between what and how in one label: "7|type:1", "Energy|robocall:Y"."""

LABEL_LENGTH_LIMIT = 256
"""Longer text is no label: it maps to unknown and is not remembered."""

_REMEMBERED_COUNT = 1 << 16


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a label may mean.

    Attributes:
        rows: (category id, weight), the home first. The weight is P(category | a competent source
            said this label) before any evidence about the number; the weights sum to 1.
        relation: what the home category is to the label: "exact", "broader", "narrower";
            "unknown" where no mapping exists, and the rows are ((9000, 1.0),).
        scheme: the scheme that answered: "standard", one of the crosswalks, or "" for unknown.
        behaviours: codes of axis B that the label also says.
        relations: the relation of each row.
        version: version of the standard that brought the mapping.
    """

    rows: tuple[tuple[int, float], ...]
    relation: str
    scheme: str
    behaviours: tuple[str, ...]
    relations: tuple[str, ...]
    version: str

    @property
    def home(self) -> int:
        """Id of the category that the published crosswalk names for the label."""
        return self.rows[0][0]


class Crosswalk:
    """The mappings of one version of the standard, with whatever was confirmed since.

    Immutable but for its memory of answers, which is bounded and safe to share between threads.

    Args:
        standard: the standard that the meanings speak of.
        meanings: in order; a later one takes the spellings of an earlier one of its scheme.
        sources: scheme by folded name of a source.
    """

    def __init__(
        self, standard: Standard, meanings: Iterable[Meaning], sources: Mapping[str, str]
    ) -> None:
        self.standard = standard
        self.meanings = tuple(meanings)
        self._sources = sources
        self._by_key: dict[str, dict[str, Meaning]] = {}
        for meaning in self.meanings:
            index = self._by_key.setdefault(meaning.scheme, {})
            index.update(dict.fromkeys(meaning.keys, meaning))
        self._codes = {c.code.casefold(): self._of_code(c) for c in standard.categories}
        self._remember = lru_cache(maxsize=_REMEMBERED_COUNT)(self._map)

    @property
    def schemes(self) -> tuple[str, ...]:
        """The schemes that have mappings, in order of name."""
        return tuple(sorted(self._by_key))

    def scheme_of(self, source: str) -> str:
        """The scheme that a source's labels are read by; "words" if it has none of its own.

        A source listed in sources.csv has the scheme given there; else the scheme whose name is
        the source's, or stands before a "-" or ":" at its beginning.
        """
        name = fold(source)
        if name in self._sources:
            return self._sources[name]
        for scheme in sorted(self._by_key, key=len, reverse=True):
            if name == scheme or name.startswith((f"{scheme}-", f"{scheme}:")):
                return scheme
        return WORDS

    def map_label(self, source: str, label: str) -> Mapped:
        """The categories that a source's label may stand for.

        The label is compared after NFKC, without white space and case. It is tried as a code of
        the standard, then in the source's own scheme, then among the free words. Failing these
        as a whole, it is split at "|": the parts that say what give the categories (in equal
        shares where they differ), and every part gives its behaviours. What is still not found
        is unknown, which is an answer and no error.
        """
        if len(label) > LABEL_LENGTH_LIMIT:
            return self._unknown(())
        return self._remember(self.scheme_of(source), label)

    def map_labels(self, source: str, labels: Sequence[str]) -> list[Mapped]:
        """`map_label` of each label, in order; the work is done once per distinct label."""
        found = {label: self.map_label(source, label) for label in set(labels)}
        return [found[label] for label in labels]

    def map_column(
        self, source: str, labels: Sequence[str]
    ) -> tuple[npt.NDArray[np.int32], tuple[Mapped, ...]]:
        """A column of labels as places in a short list of answers.

        Returns:
            places: shape (labels,), the index into `answers` of each label's mapping.
            answers: one per distinct label, in order of first appearance.
        """
        place: dict[str, int] = {}
        places = np.fromiter(
            (place.setdefault(label, len(place)) for label in labels), np.int32, len(labels)
        )
        return places, tuple(self.map_label(source, label) for label in place)

    def reverse(self, scheme: str, category_id: int) -> str | None:
        """The scheme's own label for a category of ours, or None if it has no fitting one.

        The rules are those of `reversal.label_for`; in the scheme "standard" it is the code.

        Raises:
            InvalidArgument: SCHEME_UNKNOWN; CATEGORY_UNKNOWN.
        """
        category = self.standard.category_of_id(category_id)
        if scheme == STANDARD:
            return category.code
        return reversal.label_for(category, self._in_force(scheme), self.standard)

    def reverse_behaviour(self, scheme: str, code: str) -> str | None:
        """The scheme's own label that says only this behaviour, or None.

        Raises:
            InvalidArgument: SCHEME_UNKNOWN; BEHAVIOUR_UNKNOWN.
        """
        self.standard.behaviour(code)
        for meaning in self._in_force(scheme):
            if not meaning.says_what and meaning.behaviours == (code,):
                return meaning.label
        return None

    def known_labels(self) -> tuple[tuple[str, int], ...]:
        """Every word that says what a call is about, with its home; codes are left out."""
        found: dict[str, tuple[str, int]] = {}
        for scheme in self.schemes:
            for meaning in self._in_force(scheme):
                if meaning.says_what and meaning.home != standard.UNCLASSIFIED_ID:
                    for text in (meaning.label, *meaning.names):
                        if fold(text) and not fold(text)[-1].isdigit():
                            found.setdefault(fold(text), (text, meaning.home))
        return tuple(found.values())

    def with_meanings(self, confirmed: Iterable[Meaning]) -> "Crosswalk":
        """This crosswalk with more meanings, which win over what their spellings meant before.

        A meaning of a scheme not known so far makes that scheme: the source of that name reads
        it. The mapping of a label received before changes with it, since labels are kept raw.

        Raises:
            InvalidArgument: MAPPING_INVALID if a weight or category of one is wrong.
        """
        added = tuple(confirmed)
        for meaning in added:
            meanings.check(meaning, self.standard)
        return Crosswalk(self.standard, (*self.meanings, *added), self._sources)

    def _in_force(self, scheme: str) -> tuple[Meaning, ...]:
        if scheme not in self._by_key:
            raise InvalidArgument(
                "SCHEME_UNKNOWN",
                f"scheme: {scheme!r} is not one of {', '.join(self.schemes)}",
                scheme=scheme,
            )
        return tuple({id(m): m for m in self._by_key[scheme].values()}.values())

    def _map(self, scheme: str, label: str) -> Mapped:
        key = fold(label)
        whole = self._find(scheme, key)
        if whole is not None:
            return whole[0]
        if JOINT not in key:
            return self._unknown(())
        parts = [found for part in key.split(JOINT) if (found := self._find(scheme, part))]
        behaviours = tuple(dict.fromkeys(b for mapped, _ in parts for b in mapped.behaviours))
        chosen = [mapped for mapped, says_what in parts if says_what] or [m for m, _ in parts]
        return _merged(chosen, behaviours) if chosen else self._unknown(behaviours)

    def _find(self, scheme: str, key: str) -> tuple[Mapped, bool] | None:
        if key in self._codes:
            return self._codes[key], True
        for name in (scheme, WORDS):
            meaning = self._by_key.get(name, {}).get(key)
            if meaning:
                return _mapped(meaning), meaning.says_what
        return None

    def _of_code(self, category: Category) -> Mapped:
        rows = ((category.id, 1.0),)
        return Mapped(rows, EXACT, STANDARD, (), (EXACT,), self.standard.version)

    def _unknown(self, behaviours: tuple[str, ...]) -> Mapped:
        rows = ((standard.UNCLASSIFIED_ID, 1.0),)
        return Mapped(rows, UNKNOWN, "", behaviours, (UNKNOWN,), self.standard.version)


def load(version: str | None = None, as_of: date | None = None) -> Crosswalk:
    """The crosswalk of a version of the standard, read once a process for each pair of arguments.

    Args:
        version: None is the newest.
        as_of: the mappings in force on that day; None is the latest of each label.

    Raises:
        NotFound: TAXONOMY_VERSION_UNKNOWN.
        InvalidArgument: TAXONOMY_INVALID, naming file, row and field.
    """
    return _load(rows.folder(version), as_of)


def read(directory: Path, as_of: date | None = None) -> Crosswalk:
    """The crosswalk whose tables are in a folder, checked; `as_of` as in `load`.

    Raises:
        InvalidArgument: TAXONOMY_INVALID, naming file, row and field.
    """
    std = standard.read(directory)
    every = meanings.read_meanings(directory, std)
    used = [m for m in every if as_of is None or m.valid_from <= as_of]
    used.sort(key=lambda m: m.valid_from)
    sources = meanings.read_sources(directory, frozenset(m.scheme for m in every))
    return Crosswalk(std, used, sources)


@cache
def _load(directory: Path, as_of: date | None) -> Crosswalk:
    return read(directory, as_of)


def reverse(scheme: str, category_id: int) -> str | None:
    """`Crosswalk.reverse` of the newest crosswalk."""
    return load().reverse(scheme, category_id)


def _mapped(meaning: Meaning) -> Mapped:
    return Mapped(
        rows=meaning.rows,
        relation=meaning.relations[0],
        scheme=meaning.scheme,
        behaviours=meaning.behaviours,
        relations=meaning.relations,
        version=meaning.version,
    )


def _merged(parts: Sequence[Mapped], behaviours: tuple[str, ...]) -> Mapped:
    """The parts of one label in equal shares; each home covers only some of it if they differ."""
    first = parts[0]
    weights: dict[int, float] = {}
    relations: dict[int, str] = {}
    for mapped in parts:
        for (category_id, weight), relation in zip(mapped.rows, mapped.relations, strict=True):
            weights[category_id] = weights.get(category_id, 0.0) + weight / len(parts)
            relations.setdefault(category_id, relation)
    alike = len({mapped.home for mapped in parts}) == 1
    order = sorted(weights, key=lambda category_id: -weights[category_id])
    spread = tuple(relations[c] if alike else NARROWER for c in order)
    return Mapped(
        rows=tuple((c, weights[c]) for c in order),
        relation=spread[0],
        scheme=first.scheme,
        behaviours=behaviours,
        relations=spread,
        version=first.version,
    )
