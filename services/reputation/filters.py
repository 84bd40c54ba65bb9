"""Which rows of the published state a consumer keeps. Pure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.common.errors import out_of_range
from services.common.feed.head import filter_text
from services.common.feed.rows import ROW, Rows, round_marks
from services.common.numbering.keys import CLASS_SHIFT, CN, E164, MAX_E164_DIGITS, VALUE_MASK
from services.common.taxonomy import standard
from services.reputation.published.packing import Columns
from services.reputation.rules import State

I64 = npt.NDArray[np.int64]
MAX_LEVEL = 4

SHOWN_STATES = tuple(
    int(state)
    for state in (
        State.CONTESTED,
        State.DISPUTED,
        State.ADJUDICATED,
        State.SPOOFED,
        State.PROTECTED,
    )
)
"""States that are shown even without a category and a level."""


COLUMNS = ("number", "category", "level", "state", "probability", "risk", "mark_count")
"""Published columns that rows of the feed are made from."""


def to_rows(published: Columns) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Published columns as rows of the feed, and which of them have something to show.

    A row has nothing to show without a category, with level 0 and in a state that follows from
    marks alone; where it was shown before, it becomes a removal.
    """
    rows = np.empty(len(published["number"]), dtype=ROW)
    for name in ("number", "category", "level", "state"):
        rows[name] = published[name]
    for name in ("probability", "risk"):
        rows[name] = np.rint(published[name].astype(np.float64) * 100)
    rows["marks"] = round_marks(published["mark_count"])
    shown = (rows["category"] > 0) | (rows["level"] > 0)
    return rows, shown | np.isin(rows["state"], SHOWN_STATES)


@dataclass(frozen=True)
class Filter:
    """A consumer's choice.

    Attributes:
        calling_codes: ascending; none: all.
        minimum_level: 0 to 4.
        groups: ids of category groups, 3 for "A3", ascending; none: all.
    """

    calling_codes: tuple[int, ...] = ()
    minimum_level: int = 0
    groups: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """Canonical text, see `filter_text`."""
        groups = [f"A{group}" for group in self.groups]
        return filter_text(self.calling_codes, self.minimum_level, groups)

    def keeps(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which rows are kept, bool (n,)."""
        kept = rows["level"] >= self.minimum_level
        if self.groups:
            group = np.where(rows["category"] < 1000, rows["category"], rows["category"] // 1000)
            kept &= np.isin(group, self.groups)
        if self.calling_codes:
            kept &= self._has_code(rows["number"])
        return kept

    def _has_code(self, numbers: I64) -> npt.NDArray[np.bool_]:
        is_e164 = numbers >> CLASS_SHIFT == E164
        digits = numbers & VALUE_MASK
        found = ~is_e164 if CN in self.calling_codes else np.zeros(len(numbers), bool)
        for code in self.calling_codes:
            for rest in range(MAX_E164_DIGITS - len(str(code)) + 1):
                low, high = code * 10**rest, (code + 1) * 10**rest
                found |= is_e164 & (digits >= low) & (digits < high)
        return found


def make_filter(calling_codes: list[int], minimum_level: int, category_groups: list[str]) -> Filter:
    """A filter from what was asked.

    Raises:
        InvalidArgument: FIELD_OUT_OF_RANGE.
    """
    for code in calling_codes:
        if not 1 <= code <= 999:
            raise out_of_range("filter.calling_codes", code, "a country calling code, 1 to 999")
    if minimum_level > MAX_LEVEL:
        raise out_of_range("filter.minimum_level", minimum_level, f"0 to {MAX_LEVEL}")
    groups = {f"A{c.id // 1000 if c.id >= 1000 else c.id}" for c in standard.load().categories}
    for group in category_groups:
        if group not in groups:
            raise out_of_range("filter.category_groups", group, ", ".join(sorted(groups)))
    return Filter(
        tuple(sorted(set(calling_codes))),
        minimum_level,
        tuple(sorted({int(group[1:]) for group in category_groups})),
    )
