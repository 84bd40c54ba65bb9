"""The three axes of the standard as values: categories, behaviours, identities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidArgument

_Item = TypeVar("_Item", bound=np.generic)
_ID_SPACE = 1 << 16


@dataclass(frozen=True, slots=True)
class Category:
    """One content category (axis A), or one of its groups A1 to A4.

    Attributes:
        code: "A3107".
        id: the code's digits as a uint16: 3107; 1 for the group A1.
        name_zh: Chinese name.
        name_en: English name.
        severity: 1 informational to 4 critical (china.md section 8).
        authority: short Chinese names of the authorities in charge, the first leads; may be empty.
        authority_en: their English names, in the same order.
        authority_inferred: those of `authority` that no source names (our inference).
        parent: code of the wider category, or "".
        group: "A1" illegal, "A2" malicious nuisance, "A3" marketing, "A4" service,
            "A9" unclassified.
        catch_all_of: the group that this category stands for where nothing finer is known, or "".
        half_life_days: after so many days a mark of this category counts half.
        level: published level, see `Standard.level_of`.
        is_nuisance: the call is unwanted (A1, A2, A3).
        is_illegal: the call is unlawful (A1).
        is_leaf: no category lies under it.
        source: where the category comes from, in the abbreviations of categories.csv.
    """

    code: str
    id: int
    name_zh: str
    name_en: str
    severity: int
    authority: tuple[str, ...]
    authority_en: tuple[str, ...]
    authority_inferred: tuple[str, ...]
    parent: str
    group: str
    catch_all_of: str
    half_life_days: float
    level: int
    is_nuisance: bool
    is_illegal: bool
    is_leaf: bool
    source: str


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One way of calling (axis B); `severity` is None where it says nothing of the caller."""

    code: str
    id: int
    name_zh: str
    name_en: str
    severity: int | None
    authority: tuple[str, ...]
    authority_en: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Identity:
    """What a number is (axis C), and what that does to its marks."""

    code: str
    id: int
    name_zh: str
    name_en: str
    effect: str


@dataclass(frozen=True, slots=True)
class Authority:
    """A body in charge: short and full Chinese name, English name."""

    name_zh: str
    full_name_zh: str
    name_en: str


@dataclass(frozen=True, eq=False)
class Standard:
    """One version of the category standard.

    The arrays `…_of_id` are indexed by category id, have 65,536 places so that every uint16 is a
    valid index, and are read-only: `standard.severity_of_id[ids]` answers a whole column.

    Attributes:
        version: "1.0.0".
        valid_from: first day of this version, ISO 8601.
        import_half_life_ratio: factor on `half_life_days` for marks imported in bulk.
        categories: axis A in order of code, groups before their members, A9000 last.
        behaviours: axis B in order of code.
        identities: axis C in order of code.
        authorities: every authority named, by its short Chinese name.
    """

    version: str
    valid_from: str
    import_half_life_ratio: float
    categories: tuple[Category, ...]
    behaviours: tuple[Behaviour, ...]
    identities: tuple[Identity, ...]
    authorities: Mapping[str, Authority]

    @cached_property
    def _by_code(self) -> dict[str, Category]:
        return {category.code: category for category in self.categories}

    @cached_property
    def _by_id(self) -> dict[int, Category]:
        return {category.id: category for category in self.categories}

    def category(self, code: str) -> Category:
        """The category of a code.

        Raises:
            InvalidArgument: CATEGORY_UNKNOWN.
        """
        try:
            return self._by_code[code]
        except KeyError:
            raise _unknown("CATEGORY_UNKNOWN", "category", code) from None

    def category_of_id(self, category_id: int) -> Category:
        """The category of an id.

        Raises:
            InvalidArgument: CATEGORY_UNKNOWN.
        """
        try:
            return self._by_id[category_id]
        except KeyError:
            raise _unknown("CATEGORY_UNKNOWN", "category", category_id) from None

    def behaviour(self, code: str) -> Behaviour:
        """The behaviour of a code.

        Raises:
            InvalidArgument: BEHAVIOUR_UNKNOWN.
        """
        for behaviour in self.behaviours:
            if behaviour.code == code:
                return behaviour
        raise _unknown("BEHAVIOUR_UNKNOWN", "behaviour", code)

    def identity(self, code: str) -> Identity:
        """The identity of a code.

        Raises:
            InvalidArgument: IDENTITY_UNKNOWN.
        """
        for identity in self.identities:
            if identity.code == code:
                return identity
        raise _unknown("IDENTITY_UNKNOWN", "identity", code)

    def level_of(self, code: str) -> int:
        """The published level of an established category: its severity, and 0 for service.

        So: 4 for fraud and the like, 3 for other illegal calls and malicious nuisance,
        2 for marketing, 1 for what could not be classified (a mark exists, so it is not
        "nothing known"), 0 for service, which must never raise a risk (china.md section 2.2).

        Raises:
            InvalidArgument: CATEGORY_UNKNOWN.
        """
        return self.category(code).level

    def ancestors(self, code: str) -> tuple[Category, ...]:
        """The wider categories of a code, the nearest first, the group last."""
        found: list[Category] = []
        parent = self.category(code).parent
        while parent:
            found.append(self.category(parent))
            parent = found[-1].parent
        return tuple(found)

    def descendants(self, code: str) -> tuple[Category, ...]:
        """Every narrower category under a code, in order of code."""
        self.category(code)
        return tuple(c for c in self.categories if code in {a.code for a in self.ancestors(c.code)})

    @cached_property
    def ids(self) -> npt.NDArray[np.uint16]:
        """Every category id, ascending, groups included. Shape (categories,)."""
        return _frozen(np.sort(np.array([c.id for c in self.categories], np.uint16)))

    @cached_property
    def leaf_ids(self) -> npt.NDArray[np.uint16]:
        """The ids of categories with none under them, ascending."""
        return _frozen(np.sort(np.array([c.id for c in self.categories if c.is_leaf], np.uint16)))

    @cached_property
    def group_of_id(self) -> npt.NDArray[np.uint8]:
        """1 to 4 for A1 to A4, 9 for A9000; 0 where the id names no category. Shape (65536,)."""
        return self._table(np.uint8, 0, [int(c.group[1:]) for c in self.categories])

    @cached_property
    def severity_of_id(self) -> npt.NDArray[np.int8]:
        """Severity; -1 where the id names no category. Shape (65536,)."""
        return self._table(np.int8, -1, [c.severity for c in self.categories])

    @cached_property
    def level_of_id(self) -> npt.NDArray[np.int8]:
        """Published level; -1 where the id names no category. Shape (65536,)."""
        return self._table(np.int8, -1, [c.level for c in self.categories])

    @cached_property
    def half_life_days_of_id(self) -> npt.NDArray[np.float32]:
        """Half-life in days; NaN where the id names no category. Shape (65536,)."""
        return self._table(np.float32, np.nan, [c.half_life_days for c in self.categories])

    @cached_property
    def parent_of_id(self) -> npt.NDArray[np.uint16]:
        """Id of the wider category; 0 where there is none. Shape (65536,)."""
        parents = [self._by_code[c.parent].id if c.parent else 0 for c in self.categories]
        return self._table(np.uint16, 0, parents)

    @cached_property
    def position_of_id(self) -> npt.NDArray[np.int16]:
        """Place of the id in `ids`; -1 where the id names no category. Shape (65536,)."""
        table = np.full(_ID_SPACE, -1, np.int16)
        table[self.ids] = np.arange(len(self.ids), dtype=np.int16)
        return _frozen(table)

    @cached_property
    def is_nuisance_of_id(self) -> npt.NDArray[np.bool_]:
        """True for A1, A2 and A3. Shape (65536,)."""
        return self._table(np.bool_, False, [c.is_nuisance for c in self.categories])

    def _table(
        self, dtype: type[_Item], absent: float, values: Sequence[float]
    ) -> npt.NDArray[_Item]:
        table = np.full(_ID_SPACE, absent, dtype)
        table[[c.id for c in self.categories]] = values
        return _frozen(table)


def _unknown(reason: str, kind: str, value: object) -> InvalidArgument:
    return InvalidArgument(reason, f"{kind}: {value!r} is not in the standard", **{kind: value})


def _frozen(array: npt.NDArray[_Item]) -> npt.NDArray[_Item]:
    array.setflags(write=False)
    return array
