"""The quarter's referrals and offending enterprises: figures from the store, and their sections."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeVar

from services.arbitration.referrals import queries
from services.arbitration.referrals.holders import FLOOR, OffendingHolder, offending_holders
from services.arbitration.referrals.referral import OPEN, Disposition
from services.arbitration.referrals.server import offending_numbers, rows_of
from services.arbitration.referrals.wire import english
from services.common.store import Store, StoreError

MOST_HOLDERS = 50
UNKNOWN_TABLE = 60
"""ClickHouse's code for a table that is not there: nothing of the kind was ever stored."""

DISPOSITIONS = {
    Disposition.ACCEPTED: "受理 accepted",
    Disposition.CASE_OPENED: "立案 case opened",
    Disposition.RECTIFICATION_ORDERED: "约谈整改 rectification",
    Disposition.PENALISED: "行政处罚 penalised",
    Disposition.NUMBER_SHUT_DOWN: "关停号码 shut down",
    Disposition.CREDIT_RECORDED: "列入信用记录 credit record",
    Disposition.TRANSFERRED: "移送 transferred",
    Disposition.UNSUBSTANTIATED: "查无实据 unsubstantiated",
    Disposition.NOT_COMPETENT: "非本部门职责 not competent",
}

T = TypeVar("T")


@dataclass(frozen=True)
class ReferralFigures:
    """Referrals of a quarter to one authority, and what it had answered by the quarter's end."""

    authority: str
    referral_count: int
    dispositions: Counter[int]

    @property
    def open_count(self) -> int:
        """Without a final disposition."""
        return sum(self.dispositions[value] for value in OPEN)


def read_referrals(store: Store, start_ms: int, end_ms: int) -> list[ReferralFigures]:
    """Referrals drawn in [start_ms, end_ms), the most first."""
    rows = _or_nothing(lambda: queries.counts_between(store, start_ms, end_ms))
    by_authority: dict[str, Counter[int]] = {}
    for row in rows:
        found = by_authority.setdefault(row["authority"], Counter())
        found[row["disposition"]] += row["referrals"]
    figures = [
        ReferralFigures(authority, counts.total(), counts)
        for authority, counts in by_authority.items()
    ]
    return sorted(figures, key=lambda f: (-f.referral_count, f.authority))


def read_holders(store: Store, end_ms: int) -> list[OffendingHolder]:
    """Enterprises above the floor at a quarter's end, the most offending numbers first."""

    def read() -> list[OffendingHolder]:
        registered = rows_of(queries.enterprise_registrations(store, end_ms - 1))
        return offending_holders(registered, offending_numbers(store, end_ms))

    return _or_nothing(read)


def _or_nothing(read: Callable[[], list[T]]) -> list[T]:
    try:
        return read()
    except StoreError as error:
        if error.code == UNKNOWN_TABLE:
            return []
        raise


def referral_section(referrals: Sequence[ReferralFigures], nothing: str) -> str:
    """A table by authority."""
    if not referrals:
        return nothing
    rows = "".join(
        f"<tr><td>{escape(f.authority)}</td><td>{escape(english(f.authority))}</td>"
        f'<td class="r">{f.referral_count:,}</td><td class="r">{f.open_count:,}</td>'
        f"<td>{_told(f.dispositions)}</td></tr>"
        for f in referrals
    )
    return (
        '<table><thead><tr><th>主管部门</th><th>Authority</th><th class="r">移送 referred</th>'
        '<th class="r">待反馈 open</th><th>处置结果 dispositions</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _told(dispositions: Counter[int]) -> str:
    told = [
        f"{name} {dispositions[value]:,}"
        for value, name in DISPOSITIONS.items()
        if dispositions[value]
    ]
    return " · ".join(told) or "—"


def holder_section(holders: Sequence[OffendingHolder], nothing: str) -> str:
    """A table of enterprises, without any number of theirs."""
    if not holders:
        return nothing
    rows = "".join(
        f'<tr><td>{escape(h.holder)}</td><td class="r">{h.offending_count:,}</td>'
        f'<td class="r">{h.registered_count:,}</td><td class="r">{h.by_group[1]:,}</td>'
        f'<td class="r">{h.by_group[2]:,}</td><td class="r">{h.by_group[3]:,}</td>'
        f'<td class="r">{h.by_group[0]:,}</td><td class="r">{h.referred_count:,}</td></tr>'
        for h in holders[:MOST_HOLDERS]
    )
    return (
        '<table><thead><tr><th>企业 enterprise</th><th class="r">违规号码 offending</th>'
        '<th class="r">登记号码 registered</th><th class="r">违法 illegal</th>'
        '<th class="r">恶意骚扰 malicious</th><th class="r">营销 marketing</th>'
        '<th class="r">仅信号 signal alone</th><th class="r">已移送 referred</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
        f'<p class="muted">名下至少 {FLOOR} 个违规号码的认证企业与登记服务号码，不含个人。'
        f" Verified enterprises and registered service numbers with at least {FLOOR} offending"
        " numbers; no person is among them.</p>"
    )
