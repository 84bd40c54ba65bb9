"""The report of a quarter as one HTML file: no script, nothing from elsewhere."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape

from services.arbitration.disputes.words import Ground, Outcome
from services.cli.report_figures import CLASSES, K_ANONYMITY, Figures, SourceFigures
from services.cli.report_referrals import holder_section, referral_section
from services.common.taxonomy import standard

CLASS_NAMES = {
    1: ("违法犯罪类", "illegal"),
    2: ("恶意骚扰类", "malicious"),
    3: ("商业营销类", "marketing"),
    4: ("服务类", "service"),
    9: ("无法归类", "unclassified"),
}
_STATES = {
    1: "未知 unknown",
    2: "初步 provisional",
    3: "已确立 established",
    4: "来源不一致 contested",
    5: "有异议 disputed",
    6: "已裁定 adjudicated",
    7: "被冒用 spoofed",
    8: "受保护 protected",
}
_OUTCOMES = {
    Outcome.UPHELD: "维持 upheld",
    Outcome.RELABELLED: "更改 relabelled",
    Outcome.CLEARED: "清除 cleared",
    Outcome.REJECTED: "不予受理 rejected on form",
}
_GROUNDS = {
    Ground.REASSIGNED: "号码换人 reassigned",
    Ground.NAME_MISMATCH: "名称不符 name mismatch",
    Ground.SPOOFED: "号码被冒用 spoofed",
    Ground.WRONG_CATEGORY: "类别不对 wrong category",
    Ground.CONSENTED: "对方同意 consented",
    Ground.MALICIOUS_MARKS: "恶意标记 malicious marks",
    Ground.OTHER: "其他 other",
}
LONG_DAYS = 20
"""Decisions that took so many working days or more share a column."""

MIN_COMPARED = 30
"""A source's share is told from so many marks on (below, its 95 % interval is over 36 points)."""

STYLE = """
:root{--bg:#f4f6f8;--card:#fff;--line:#d9dfe5;--text:#17212b;--muted:#52606d;--a:#0f5c6e;
--c1:#b3261e;--c2:#d2731f;--c3:#b8901a;--c4:#2c6e49;--c9:#7b8794;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--bg:#10151a;--card:#181f26;--line:#2e3943;--text:#e5ebf0;
--muted:#a2afbb;--a:#6cc3d5;--c1:#ff8b80;--c2:#f2a25c;--c3:#e0c04a;--c4:#7fd0a0;--c9:#8a97a3}}
*{box-sizing:border-box}body{margin:0 auto;max-width:1080px;padding:28px 20px 60px;
background:var(--bg);color:var(--text);font:14px/1.55 system-ui,"PingFang SC","Microsoft YaHei",
"Noto Sans CJK SC",sans-serif}h1{font-size:25px;margin:0 0 4px}h2{font-size:16px;margin:0 0 12px}
section{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:18px 20px;
margin:14px 0}.muted{color:var(--muted)}p{margin:0 0 10px}.tiles{display:grid;gap:12px;
grid-template-columns:repeat(auto-fit,minmax(150px,1fr));margin:18px 0}.tile{background:var(--card);
border:1px solid var(--line);border-radius:8px;padding:12px 16px}.tile span{display:block;
color:var(--muted);font-size:12.5px}.tile b{font-size:25px;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th{text-align:left;
color:var(--muted);font-size:12.5px;font-weight:600}th,td{padding:5px 8px;
border-bottom:1px solid var(--line)}tr:last-child td{border:0}.r{text-align:right}
svg{width:100%;height:auto;display:block}svg text{font-size:11.5px;fill:var(--muted)}
.c1{fill:var(--c1)}.c2{fill:var(--c2)}.c3{fill:var(--c3)}.c4{fill:var(--c4)}.c9{fill:var(--c9)}
.a{fill:var(--a)}.axis{stroke:var(--line)}.legend{display:flex;flex-wrap:wrap;gap:4px 18px;
margin:8px 0 0;padding:0;list-style:none}.legend svg{display:inline-block;width:11px;height:11px;
margin-right:6px}h2:not(:first-child){margin-top:16px}
@media print{body{background:#fff}}
"""


def page(figures: Figures, written: datetime) -> str:
    """The whole file."""
    name = escape(figures.period.name)
    parts = [
        '<!doctype html><html lang="zh-CN"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{name} 号码标记季度报告</title><style>{STYLE}</style></head><body>",
        f"<h1>{name} 号码标记季度报告</h1>",
        f'<p class="muted">Labels on phone numbers, {name} · 生成于 written '
        f"{written:%Y-%m-%d %H:%M}（UTC+8）</p>",
        _tiles(figures),
        _section("每周标记量 Marks a week, by class", _weekly(figures)),
        _section("季末公布的标签 Labels published at the end", _labels(figures.published)),
        _section("季末状态 States at the end", _states(figures.states)),
        _section("主管部门 By authority in charge", _authorities(figures.published)),
        _section("呼叫行为 Calls a week", _calls(figures)),
        _section("标记来源 Sources", _sources(figures.sources)),
        _section("异议 Disputes", _disputes(figures)),
        _section("拒绝来电 Refusals, by industry", _refusals(figures)),
        _section(
            "移送主管部门 Referred to authorities", referral_section(figures.referrals, _none())
        ),
        _section(
            "违规号码较多的企业 Enterprises with many offending numbers",
            holder_section(figures.holders, _none()),
        ),
        "</body></html>",
    ]
    return "\n".join(parts)


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>"


def _none() -> str:
    return '<p class="muted">本季度没有数据 Nothing in this quarter</p>'


def _tiles(figures: Figures) -> str:
    decided = sum(figures.outcomes.values())
    tiles = [
        ("标记 marks", f"{figures.mark_count:,}"),
        ("来源 sources", f"{len(figures.sources):,}"),
        ("有标签的号码 labelled numbers", f"{sum(figures.published.values()):,}"),
        ("异议 disputes filed", f"{figures.filed_count:,}"),
        ("已决定 decided", f"{decided:,}"),
        ("其中自动清除 automatically", f"{figures.automatic_count:,}"),
    ]
    body = "".join(f'<div class="tile"><span>{k}</span><b>{v}</b></div>' for k, v in tiles)
    return f'<div class="tiles">{body}</div>'


def _weekly(figures: Figures) -> str:
    if not figures.mark_count:
        return _none()
    columns = [
        [(f"c{group}", figures.weekly[group][week]) for group in CLASSES]
        for week in range(figures.period.week_count)
    ]
    legend = "".join(
        f'<li><svg viewBox="0 0 1 1" aria-hidden="true"><rect class="c{g}" width="1" height="1"/>'
        f"</svg>{CLASS_NAMES[g][0]} {CLASS_NAMES[g][1]} · {sum(figures.weekly[g]):,}</li>"
        for g in CLASSES
    )
    return stacked(columns, "每周标记量 marks a week") + f'<ul class="legend">{legend}</ul>'


def stacked(columns: Sequence[Sequence[tuple[str, int]]], label: str, first: int = 1) -> str:
    """Stacked columns of (class, value), numbered from `first`."""
    top = max(sum(value for _, value in column) for column in columns) or 1
    width, height, left, base = 960, 230, 64, 200
    step = (width - left) / len(columns)
    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">']
    for share in (0, 0.5, 1):
        y = base - share * 180
        parts.append(f'<line class="axis" x1="{left}" x2="{width}" y1="{y}" y2="{y}"/>')
        parts.append(
            f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{top * share:,.0f}</text>'
        )
    for at, column in enumerate(columns):
        y = float(base)
        x = left + at * step + step * 0.16
        for name, value in column:
            tall = value / top * 180
            y -= tall
            if value:
                parts.append(
                    f'<rect class="{name}" x="{x:.1f}" y="{y:.1f}" width="{step * 0.68:.1f}" '
                    f'height="{tall:.1f}"><title>{at + first}: {value:,}</title></rect>'
                )
        middle = x + step * 0.34
        parts.append(
            f'<text x="{middle:.1f}" y="{base + 18}" text-anchor="middle">{at + first}</text>'
        )
    parts.append("</svg>")
    return "".join(parts)


def bars(rows: Sequence[tuple[str, int, str]]) -> str:
    """Horizontal bars of (name, value, class)."""
    top = max((value for _, value, _ in rows), default=0) or 1
    row, left, width = 24, 330, 960
    parts = [f'<svg viewBox="0 0 {width} {row * len(rows) + 4}" role="img" aria-label="bars">']
    for at, (name, value, tone) in enumerate(rows):
        y = at * row + 4
        tall = (width - left - 90) * value / top
        parts.append(
            f'<text x="{left - 10}" y="{y + 13}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="{tone}" x="{left}" y="{y}" width="{max(tall, 1):.1f}" height="16"/>'
            f'<text x="{left + tall + 8:.1f}" y="{y + 13}">{value:,}</text>'
        )
    parts.append("</svg>")
    return "".join(parts)


def _labels(published: Mapping[str, int]) -> str:
    if not published:
        return _none()
    std = standard.load()
    rows = []
    for code, count in Counter(published).most_common(25):
        found = std.category(code)
        rows.append((f"{found.name_zh} {code}", count, f"c{found.group[1:]}"))
    return bars(rows)


def _states(states: Mapping[int, int]) -> str:
    if not states:
        return _none()
    return bars([(_STATES[state], states[state], "a") for state in sorted(states)])


def _authorities(published: Mapping[str, int]) -> str:
    std = standard.load()
    counts: Counter[tuple[str, str]] = Counter()
    for code, count in published.items():
        found = std.category(code)
        if found.is_nuisance and found.authority:
            counts[found.authority[0], found.authority_en[0]] += count
    if not counts:
        return _none()
    rows = "".join(
        f'<tr><td>{escape(zh)}</td><td>{escape(en)}</td><td class="r">{count:,}</td></tr>'
        for (zh, en), count in counts.most_common()
    )
    return (
        '<table><thead><tr><th>主管部门</th><th>Authority</th><th class="r">号码 numbers</th></tr>'
        f"</thead><tbody>{rows}</tbody></table>"
    )


def _calls(figures: Figures) -> str:
    if not any(calls for calls, _, _ in figures.calls):
        return _none()
    columns = [[("a", calls)] for calls, _, _ in figures.calls]
    total = [sum(week[i] for week in figures.calls) for i in range(3)]
    return stacked(columns, "每周呼叫量 calls a week") + (
        f'<p class="muted">呼叫 calls {total[0]:,} · 响一声 ring-only {total[1]:,}'
        f"（{total[1] / total[0]:.1%}） · 拒绝后再呼 after refusal {total[2]:,}"
        f"（{total[2] / total[0]:.2%}）</p>"
    )


def _sources(sources: Sequence[SourceFigures]) -> str:
    if not sources:
        return _none()
    ranked = sorted(
        sources,
        key=lambda s: (
            -(s.agreed_count / s.compared_count) if s.compared_count >= MIN_COMPARED else 1
        ),
    )
    rows = []
    for s in ranked:
        enough = s.compared_count >= MIN_COMPARED
        agreed = f"{s.agreed_count / s.compared_count:.1%}" if enough else "—"
        rows.append(
            f'<tr><td>{escape(s.name)}</td><td class="r">{s.mark_count:,}</td>'
            f'<td class="r">{s.withdrawn_count:,}</td><td class="r">{s.compared_count:,}</td>'
            f'<td class="r">{agreed}</td><td class="r">{s.decided_count:,}</td>'
            f'<td class="r">{s.overturned_count:,}</td></tr>'
        )
    return (
        '<table><thead><tr><th>来源 source</th><th class="r">标记 marks</th>'
        '<th class="r">撤回 withdrawn</th><th class="r">可比 compared</th>'
        '<th class="r">与公布同类 same class as published</th>'
        '<th class="r">异议已决 disputes decided</th><th class="r">被推翻 overturned</th></tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table>"
        f'<p class="muted">可比：季末有公布标签的号码上的标记；少于 {MIN_COMPARED} 个不计比例。'
        " Compared: marks on numbers with a published label at the end; no share below "
        f"{MIN_COMPARED}.</p>"
    )


def _disputes(figures: Figures) -> str:
    if not figures.filed_count and not figures.outcomes:
        return _none()
    outcomes = [
        (_OUTCOMES[outcome], figures.outcomes.get(outcome, 0), "a") for outcome in _OUTCOMES
    ]
    grounds = [(_GROUNDS[ground], figures.grounds.get(ground, 0), "a") for ground in _GROUNDS]
    told = ""
    if figures.days:
        days = figures.days
        columns = [[("a", sum(day == at for day in days))] for at in range(min(max(days), 30) + 1)]
        told = (
            "<h2>从证明到决定的工作日 Working days from proof to decision</h2>"
            + stacked(columns, "工作日 working days", first=0)
            + f'<p class="muted">中位数 median {quantile(days, 0.5)} · 九成以内 90 % within '
            f"{quantile(days, 0.9)} · 人工决定 by people {len(days):,}；最右一列含更久的 "
            "(the last column holds all that took longer)</p>"
        )
    return (
        f"<h2>结果 Outcomes</h2>{bars(outcomes)}<h2>理由 Grounds</h2>{bars(grounds)}"
        f'<p class="muted">季末未决 open at the end {figures.open_count:,} · 经申诉 after appeal '
        f"{figures.appealed_count:,}</p>{told}"
    )


def quantile(ascending: Sequence[int], share: float) -> int:
    """The least value that at least a share of the values do not exceed."""
    return ascending[max(math.ceil(len(ascending) * share) - 1, 0)]


def _refusals(figures: Figures) -> str:
    if not figures.refusals:
        return _none()
    std = standard.load()
    told = [row for row in figures.refusals if row.people_count is not None]
    withheld = len(figures.refusals) - len(told)
    rows = []
    for row in told:
        name = std.category(row.industry).name_zh if row.industry else "未说明 not stated"
        rows.append(
            f'<tr><td>{escape(name)} {row.industry}</td><td class="r">{row.people_count:,}</td>'
            f'<td class="r">{row.refusal_count:,}</td></tr>'
        )
    table = (
        '<table><thead><tr><th>行业 industry</th><th class="r">人数 people</th>'
        f'<th class="r">次数 refusals</th></tr></thead><tbody>{"".join(rows)}</tbody></table>'
        if rows
        else ""
    )
    return table + (
        f'<p class="muted">不足 {K_ANONYMITY} 人的行业不公布，共 {withheld} 个。'
        f" Industries with fewer than {K_ANONYMITY} people are withheld: {withheld}.</p>"
    )
