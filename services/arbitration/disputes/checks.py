"""What the store knows of a contested number, and what follows from it without a person. Pure."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from services.arbitration.disputes.dispute import View
from services.arbitration.disputes.words import Ground, Outcome, Reason
from services.common.taxonomy import standard

ILLEGAL_SHARE = 0.2
"""Posterior of the illegal class from which two reviewers must agree, whatever category leads."""

BUSINESS_NAME = 4300
"""A4300: the label is the name of a business and no reproach."""

AUTOMATIC_DAYS = 90
"""How long an automatic clearing holds. Marks of a former holder never count again, so it need not
last; without an end it would shield whatever the new holder does (china.md 3.2, S30)."""

PROSPECTS = 5
"""Outcomes worth a thought beside clearing: the most probable categories."""


@dataclass(frozen=True)
class Standing:
    """Marks of one source with one label that count.

    Attributes:
        category: id of the label's most probable category.
    """

    source: str
    label: str
    category: int
    mark_count: int


@dataclass(frozen=True)
class Facts:
    """A number as arbitration sees it now.

    Attributes:
        epoch_start_ms: when the present holder's tenure began, 0 not known.
        mark_count, former_mark_count: marks that count; marks of former holders.
        distribution: (category id, posterior), most probable first; 0 is an ordinary number.
        standing: the marks that count.
        decided: -1 no decision in force, 0 cleared, else the category.
        holder: registered holder, "" none.
    """

    epoch_start_ms: int = 0
    mark_count: int = 0
    former_mark_count: int = 0
    distribution: tuple[tuple[int, float], ...] = ()
    standing: tuple[Standing, ...] = ()
    decided: int = -1
    holder: str = ""

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources whose marks count, by name."""
        return tuple(sorted({row.source for row in self.standing}))

    @property
    def contested(self) -> int:
        """The category there is to contest: the decided, else the most probable one; 0 none."""
        if self.decided > 0:
            return self.decided
        if not self.mark_count:
            return 0
        return next((category for category, _ in self.distribution if category), 0)

    @property
    def is_grave(self) -> bool:
        """Whether the number may be of the illegal class."""
        if self.decided > 0 and is_illegal(self.decided):
            return True
        share = sum(p for category, p in self.distribution if is_illegal(category))
        return bool(self.mark_count) and (is_illegal(self.contested) or share >= ILLEGAL_SHARE)


def is_illegal(category: int) -> bool:
    """Whether a category's id is of the illegal class: A1 and A1xxx."""
    return category == 1 or category // 1000 == 1


def automatic(ground: Ground, facts: Facts) -> View | None:
    """The decision where proof is complete, else None.

    Complete is: the number was reassigned and every mark is of a former holder; or every standing
    mark is a business name, and none the registered holder's (CAICT decides these two itself,
    china.md 3.1). A decision in force is never undone automatically.
    """
    if facts.decided >= 0:
        return None
    if facts.epoch_start_ms and facts.former_mark_count and not facts.mark_count:
        return View(Outcome.CLEARED, 0, Reason.REASSIGNED, REASSIGNED_REPLY)
    if (
        ground is Ground.NAME_MISMATCH
        and facts.holder
        and facts.standing
        and all(row.category == BUSINESS_NAME for row in facts.standing)
        and not any(same_name(row.label, facts.holder) for row in facts.standing)
    ):
        return View(Outcome.CLEARED, 0, Reason.NAME_MISMATCH, MISMATCH_REPLY)
    return None


REASSIGNED_REPLY = (
    "经核实，该号码已重新分配，原有标记均产生于前任使用人期间，现予清除，无需您再做任何操作。"
    " / The number was reassigned after all of its marks were made; they are cleared, and there "
    "is nothing more for you to do."
)
MISMATCH_REPLY = (
    "经核实，所显示名称与登记使用人不一致，现予清除。"
    " / The name shown is not that of the registered holder; it is cleared."
)


def same_name(label: str, holder: str) -> bool:
    """Whether a shown name may be the holder's: one contains the other, spaces and case aside."""
    shown, registered = _plain(label), _plain(holder)
    return bool(shown) and (shown in registered or registered in shown)


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if c.isalnum())


def agrees(marked: int, decided: int) -> bool:
    """Whether a mark of a category was right, given what was decided.

    Against a cleared number (0) only marks of the nuisance classes are wrong. A coarser mark of
    the same group is right, and so is one of the same family (A3201 for A3200).
    """
    std = standard.load()
    mark = std.category_of_id(marked)
    if decided == 0:
        return not mark.is_nuisance
    group = std.category_of_id(decided).group
    return mark.group == group and (
        marked // 100 == decided // 100 or mark.catch_all_of == group or len(mark.code) == 2
    )


@dataclass(frozen=True)
class Prospect:
    """What an outcome would change.

    Attributes:
        category: id that would be published, 0 none.
        level: 0 to 4.
        probability: posterior of that now.
        sources: (name, standing marks right, wrong), by name.
    """

    outcome: Outcome
    category: int
    level: int
    probability: float
    sources: tuple[tuple[str, int, int], ...]


def tally(standing: Sequence[Standing], decided: int) -> tuple[tuple[str, int, int], ...]:
    """(source, marks right, marks wrong) given what was decided, by source."""
    counts: dict[str, list[int]] = {}
    for row in standing:
        pair = counts.setdefault(row.source, [0, 0])
        pair[0 if agrees(row.category, decided) else 1] += row.mark_count
    return tuple((name, right, wrong) for name, (right, wrong) in sorted(counts.items()))


def prospects(facts: Facts) -> list[Prospect]:
    """Clearing, upholding, and relabelling to each probable category."""
    std = standard.load()
    chances = dict(facts.distribution)
    candidates = [0, facts.contested, *(category for category, _ in facts.distribution)]
    found = []
    for category in dict.fromkeys(candidates[: PROSPECTS + 2]):
        if category == 0:
            outcome, level = Outcome.CLEARED, 0
        else:
            outcome = Outcome.UPHELD if category == facts.contested else Outcome.RELABELLED
            level = std.level_of(std.category_of_id(category).code)
        found.append(
            Prospect(
                outcome,
                category,
                level,
                chances.get(category, 0.0),
                tally(facts.standing, category),
            )  # fmt: skip
        )
    return found
