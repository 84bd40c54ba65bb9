"""Enterprises to which many offending numbers are registered. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from services.common.numbering import from_key
from services.common.numbering.prefixes import Prefixes

FLOOR = 3
"""Offending numbers from which an enterprise is named (ours: one or two may be a stolen line)."""


@dataclass(frozen=True)
class OffendingHolder:
    """An enterprise with offending numbers.

    Attributes:
        holder: registered name.
        offending_count: published numbers of it that offend.
        registered_count: registrations of single numbers.
        by_group: of the offending ones, by class of axis A: 1 illegal, 2 malicious, 3 marketing;
            0 for carriers' signals alone.
        referred_count: of the offending ones, those that were referred.
    """

    holder: str
    offending_count: int
    registered_count: int
    by_group: Counter[int]
    referred_count: int


def offending_holders(
    registrations: Iterable[tuple[int, str, str]],
    offending: Iterable[tuple[int, int, bool]],
    floor: int = FLOOR,
) -> list[OffendingHolder]:
    """Holders of at least `floor` offending numbers, the most first.

    Args:
        registrations: number (0 for a prefix), prefix and holder of each. A number's own
            registration comes before the longest prefix that it has.
        offending: number, class of axis A or 0, and whether it was referred, of each.
        floor: offending numbers.
    """
    own: dict[int, str] = {}
    by_prefix: dict[str, str] = {}
    for number, prefix, holder in registrations:
        if number:
            own[number] = holder
        elif prefix:
            by_prefix[prefix] = holder
    prefixes, registered = Prefixes(by_prefix), Counter(own.values())
    groups: dict[str, Counter[int]] = {}
    referred: Counter[str] = Counter()
    for number, group, is_referred in offending:
        found = own.get(number)
        if found is None and prefixes:
            found = prefixes.find(from_key(number).number)
        if found is not None:
            groups.setdefault(found, Counter())[group] += 1
            referred[found] += is_referred
    found_all = [
        OffendingHolder(name, counts.total(), registered[name], counts, referred[name])
        for name, counts in groups.items()
        if counts.total() >= floor
    ]
    return sorted(found_all, key=lambda h: (-h.offending_count, h.holder))
