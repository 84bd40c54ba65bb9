"""The bulletin of a month: how right each vendor is, as one HTML file without a script."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

from services.arbitration.scorecards import WEEK_MS
from services.cli.report_page import STYLE
from services.cli.report_periods import Period
from services.cli.report_referrals import UNKNOWN_TABLE
from services.common.intervals import wilson
from services.common.store import Store, StoreError
from services.common.taxonomy import standard

MIN_TOLD = 30
"""Marks that the others say something of, from which a vendor is ranked (below, its 95 % interval
is over 36 points)."""
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Share:
    """Marks that others confirm, of those they say anything of (each by how much)."""

    told: float
    right: float

    @property
    def value(self) -> float:
        """The share, 0 of nothing."""
        return self.right / self.told if self.told else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval."""
        return wilson(self.value, self.told)


@dataclass(frozen=True)
class VendorMonth:
    """One vendor in the month.

    Attributes:
        weeks: by start of week, the weeks of the run's trend up to the month's end.
        month: the weeks that begin in the month, together.
        before: those of the month before.
        categories: of all marks as of the run.
        mark_count, withdrawn_count: marks made in the month, and taken back.
        decided_count, overturned_count: disputes decided in the month over its marks, and those
            that found one or more of them wrong.
        rank: from 1 by the lower end of the interval; 0 where too little is told.
    """

    name: str
    weeks: Mapping[int, Share]
    month: Share
    before: Share
    categories: Sequence[tuple[str, Share]]
    mark_count: int
    withdrawn_count: int
    decided_count: int
    overturned_count: int
    rank: int = 0


@dataclass(frozen=True)
class Bulletin:
    """A month of all vendors; as_of_ms: of the run that judged, 0 without one."""

    period: Period
    as_of_ms: int
    vendors: Sequence[VendorMonth]


def read_bulletin(store: Store, period: Period, before: Period) -> Bulletin:
    """Read a month; what was never stored is empty.

    The newest run whose weeks reach the month's end judges, else the newest there is.
    """
    runs = _rows(
        store,
        """
        SELECT run, as_of_ms FROM arbitration_runs
        WHERE run IN (SELECT DISTINCT run FROM scorecards) ORDER BY as_of_ms, run
        """,
    )
    later = [row for row in runs if row["as_of_ms"] >= period.end_ms]
    chosen = (later or runs[-1:] or [{"run": 0, "as_of_ms": 0}])[0]
    names = {
        row["source"]: row["name"]
        for row in _rows(store, "SELECT DISTINCT source, name FROM sources")
    }
    weeks: dict[str, dict[int, Share]] = defaultdict(dict)
    categories: dict[str, list[tuple[str, Share]]] = defaultdict(list)
    sql = """
        SELECT source, category, week_ms, told, right FROM scorecards WHERE run = %(run)s
        ORDER BY source, category, week_ms
    """
    for row in _rows(store, sql, run=chosen["run"]):
        name, share = names.get(row["source"], ""), Share(row["told"], row["right"])
        if row["week_ms"] and row["week_ms"] < period.end_ms:
            weeks[name][row["week_ms"]] = share
        elif row["category"] and share.told:
            code = standard.load().category_of_id(row["category"]).code
            categories[name].append((code, share))
    made, withdrawn = _marks(store, period, names)
    decided, overturned = _outcomes(store, period)
    vendors = [
        VendorMonth(
            name,
            weeks[name],
            _within(weeks[name], period),
            _within(weeks[name], before),
            sorted(categories[name], key=lambda pair: -pair[1].told),
            made[name],
            withdrawn[name],
            decided[name],
            overturned[name],
        )
        for name in sorted(made.keys() | decided.keys() | weeks.keys())
        if name
    ]
    return Bulletin(period, chosen["as_of_ms"], ranked(vendors))


def ranked(vendors: Sequence[VendorMonth]) -> list[VendorMonth]:
    """The best first, by the lower end of the interval: few marks do not make a winner."""
    told = [v for v in vendors if v.month.told >= MIN_TOLD]
    told.sort(key=lambda v: (-v.month.interval[0], v.name))
    rest = sorted((v for v in vendors if v.month.told < MIN_TOLD), key=lambda v: v.name)
    return [VendorMonth(**{**v.__dict__, "rank": at}) for at, v in enumerate(told, 1)] + rest


def _within(weeks: Mapping[int, Share], period: Period) -> Share:
    """The weeks whose middle lies in a period, together: a run's weeks end with the run."""
    inside = [
        share
        for start, share in weeks.items()
        if period.start_ms <= start + WEEK_MS // 2 < period.end_ms
    ]
    return Share(sum(s.told for s in inside), sum(s.right for s in inside))


def _marks(
    store: Store, period: Period, names: Mapping[int, str]
) -> tuple[Counter[str], Counter[str]]:
    made: Counter[str] = Counter()
    withdrawn: Counter[str] = Counter()
    sql = """
        SELECT source, withdrawn, count() AS marks FROM marks
        WHERE occurred_ms >= %(start)s AND occurred_ms < %(end)s GROUP BY source, withdrawn
    """
    for row in _rows(store, sql, start=period.start_ms, end=period.end_ms):
        (withdrawn if row["withdrawn"] else made)[names.get(row["source"], "")] += row["marks"]
    return made, withdrawn


def _outcomes(store: Store, period: Period) -> tuple[Counter[str], Counter[str]]:
    sql = """
        SELECT source, count() AS decided, sum(wrong_count > 0) AS overturned
        FROM dispute_sources FINAL
        WHERE what = 3 AND right_count + wrong_count > 0
            AND occurred_ms >= %(start)s AND occurred_ms < %(end)s
        GROUP BY source
    """
    rows = _rows(store, sql, start=period.start_ms, end=period.end_ms)
    return (
        Counter({row["source"]: row["decided"] for row in rows}),
        Counter({row["source"]: row["overturned"] for row in rows}),
    )


def _rows(store: Store, sql: str, **values: Any) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = store.query(sql, values).to_pylist()
    except StoreError as error:
        if error.code == UNKNOWN_TABLE:
            return []
        raise
    return rows


# ---- the page ---------------------------------------------------------------------------------


def bulletin_page(found: Bulletin, written: datetime, only: str = "") -> str:
    """The whole page; `only`: the section of this vendor alone, with its place in the ranking."""
    name = escape(found.period.name)
    shown = [v for v in found.vendors if only in ("", v.name)]
    as_of = _china(found.as_of_ms).strftime("%Y-%m-%d %H:%M") if found.as_of_ms else "—"
    parts = [
        '<!doctype html><html lang="zh-CN"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>标记准确度月报 {name}</title><style>{STYLE}{_STYLE}</style></head><body>",
        f"<h1>标记准确度月报 {name}</h1>"
        f'<p class="muted">How right each source of marks is, {name} · 依据 judged as of {as_of}'
        f" · 生成于 written {written:%Y-%m-%d %H:%M}（UTC+8）</p>",
    ]
    if not shown:
        return "".join([*parts, '<p class="muted">本月没有数据 Nothing in this month</p></body>'])
    if not only:
        parts.append(f"<section><h2>排名 Ranking</h2>{_ranking(shown)}</section>")
    count = sum(v.rank > 0 for v in found.vendors)
    parts += [_vendor(vendor, count) for vendor in shown]
    return "\n".join([*parts, "</body></html>"])


def _ranking(vendors: Sequence[VendorMonth]) -> str:
    rows = "".join(
        f'<tr><td class="r">{v.rank or "—"}</td><td>{escape(v.name)}</td>'
        f'<td class="wide">{_interval(v.month)}</td><td class="r">{_told(v.month)}</td>'
        f'<td class="r">{_change(v)}</td><td class="r">{v.mark_count:,}</td>'
        f'<td class="r">{v.withdrawn_count:,}</td><td class="r">{v.decided_count:,}</td>'
        f'<td class="r">{v.overturned_count:,}{_rate(v)}</td></tr>'
        for v in vendors
    )
    return (
        '<div class="scroll"><table><thead><tr><th class="r">名次 rank</th><th>来源 source</th>'
        '<th>准确度 accuracy, 0–100 %</th><th class="r">95 %</th>'
        '<th class="r">较上月，百分点 points on last month</th><th class="r">标记 marks</th>'
        '<th class="r">撤回 withdrawn</th><th class="r">异议已决 decided</th>'
        f'<th class="r">被推翻 overturned</th></tr></thead><tbody>{rows}</tbody></table></div>'
        '<p class="muted">准确度：其他来源对同一号码所述，证实了多少（威尔逊 95 % 区间）；'
        f"按区间下限排名；可比标记不足 {MIN_TOLD} 个的不排名。"
        "Accuracy: how far what all other sources say of the same numbers "
        "confirms its marks, with Wilson's 95 % interval; ranked by its lower end; "
        f"not ranked below {MIN_TOLD} comparable marks.</p>"
    )


def _vendor(vendor: VendorMonth, count: int) -> str:
    rank = f"第 {vendor.rank}／{count} 名 · rank {vendor.rank} of {count}" if vendor.rank else "—"
    parts = [
        f"<section><h2>{escape(vendor.name)} · {rank}</h2>",
        f"<p>{_told(vendor.month)} · 异议已决 decided {vendor.decided_count:,} · 被推翻 overturned "
        f"{vendor.overturned_count:,}{_rate(vendor)}</p>",
        trend(vendor.weeks, f"{vendor.name}: 每周准确度 accuracy by week"),
    ]
    if vendor.categories:
        std = standard.load()
        rows = "".join(
            f"<tr><td>{escape(std.category(code).name_zh)} {code}</td>"
            f'<td class="wide">{_interval(share)}</td><td class="r">{_told(share)}</td></tr>'
            for code, share in vendor.categories[:15]
        )
        parts.append(
            '<div class="scroll"><table><thead><tr><th>类别 category（至运行时 as of the run）</th>'
            '<th>准确度 accuracy, 0–100 %</th><th class="r">95 %</th></tr></thead>'
            f"<tbody>{rows}</tbody></table></div>"
        )
    return "".join([*parts, "</section>"])


def trend(weeks: Mapping[int, Share], label: str) -> str:
    """Accuracy by week with its interval, from 0 to 100 %."""
    told = [(start, weeks[start]) for start in sorted(weeks) if weeks[start].told]
    if not told:
        return '<p class="muted">没有可比标记 Nothing to compare</p>'
    width, left, base, tall = 960, 52, 190, 170
    step = (width - left) / len(told)
    parts = [f'<svg viewBox="0 0 {width} 222" role="img" aria-label="{escape(label)}">']
    for tick in (0, 0.25, 0.5, 0.75, 1):
        y = base - tick * tall
        parts.append(
            f'<line class="axis" x1="{left}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:.0%}</text>'
        )
    points = []
    for at, (start, share) in enumerate(told):
        low, high = share.interval
        x, y = left + (at + 0.5) * step, base - share.value * tall
        points.append(f"{x:.1f},{y:.1f}")
        parts.append(
            f'<line class="range" x1="{x:.1f}" x2="{x:.1f}" y1="{base - high * tall:.1f}" '
            f'y2="{base - low * tall:.1f}"/><circle class="a" cx="{x:.1f}" cy="{y:.1f}" r="5">'
            f"<title>{_china(start):%m-%d}: {share.value:.1%} ({low:.1%}–{high:.1%})</title>"
            f'</circle><text x="{x:.1f}" y="{base + 20}" text-anchor="middle">'
            f"{_china(start):%m-%d}</text>"
        )
    parts.insert(1, f'<polyline class="trend" points="{" ".join(points)}"/>')
    return "".join([*parts, "</svg>"])


def _interval(share: Share) -> str:
    low, high = share.interval
    if not share.told:
        return "—"
    return (
        f'<svg viewBox="0 0 100 12" preserveAspectRatio="none" class="bar" role="img" '
        f'aria-label="{share.value:.1%}"><rect class="track" y="5" width="100" height="2"/>'
        f'<rect class="band" x="{low * 100:.1f}" y="2" width="{(high - low) * 100:.1f}" '
        f'height="8"/><rect class="a" x="{share.value * 100 - 0.4:.1f}" width="0.8" height="12"/>'
        "</svg>"
    )


def _told(share: Share) -> str:
    if not share.told:
        return "—"
    low, high = share.interval
    return f"{share.value:.1%} ({low:.1%}–{high:.1%})"


def _change(vendor: VendorMonth) -> str:
    if not vendor.before.told or not vendor.month.told:
        return "—"
    return f"{(vendor.month.value - vendor.before.value) * 100:+.1f}"


def _rate(vendor: VendorMonth) -> str:
    if not vendor.decided_count:
        return ""
    return f" ({vendor.overturned_count / vendor.decided_count:.0%})"


def _china(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC) + timedelta(hours=8)


_STYLE = """
.scroll{overflow-x:auto}.wide{min-width:200px}svg.bar{height:12px;width:100%;display:block}
.track{fill:var(--line)}.band{fill:var(--a);opacity:.35}.range{stroke:var(--a);stroke-width:8;
opacity:.3}.trend{fill:none;stroke:var(--a);stroke-width:2}td.r,td:nth-child(2){white-space:nowrap}
"""
