"""Small plots as inline SVG: numbers in, markup out. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from markupsafe import Markup, escape

DAY_MS = 86_400_000


@dataclass(frozen=True)
class Dot:
    """Marks of one lane on one day.

    Attributes:
        lane: what the row is called.
        time_ms: the day.
        count: marks, >= 1.
        tone: 1 illegal, 2 nuisance, 3 marketing, 4 service, 9 else; 0 does not count.
        title: said on hovering.
    """

    lane: str
    time_ms: int
    count: int
    tone: int
    title: str


def timeline(
    dots: Sequence[Dot], now_ms: int, lines: Sequence[tuple[int, str]], label: str
) -> Markup:
    """Marks by lane over time, with vertical lines at named times."""
    lanes = list(dict.fromkeys(dot.lane for dot in dots))
    if not lanes:
        return Markup("")
    start = min([dot.time_ms for dot in dots] + [at for at, _ in lines])
    start = min(start, now_ms - 14 * DAY_MS)
    left, width, row = 150, 900, 30
    height = row * len(lanes) + 46
    span = max(now_ms + DAY_MS - start, 1)

    def x(time_ms: int) -> float:
        return left + (time_ms - start) / span * (width - left - 16)

    parts = [
        f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(label)}" preserveAspectRatio="xMinYMin meet">'
    ]
    for at, name in enumerate(lanes):
        y = 16 + row * at + row / 2
        parts.append(f'<text class="lane" x="{left - 12}" y="{y + 4}">{escape(name)}</text>')
        parts.append(f'<line class="rail" x1="{left}" y1="{y}" x2="{width - 8}" y2="{y}"/>')
    bottom = 16 + row * len(lanes)
    for time_ms in _ticks(start, now_ms):
        stamp = math.floor((time_ms + 8 * 3_600_000) / DAY_MS)
        parts.append(
            f'<text class="tick" x="{x(time_ms):.1f}" y="{bottom + 18}">{_day(stamp)}</text>'
        )
    for at, name in lines:
        parts.append(
            f'<line class="mark" x1="{x(at):.1f}" y1="8" x2="{x(at):.1f}" y2="{bottom + 4}"/>'
            f'<text class="note" x="{x(at) + 4:.1f}" y="14">{escape(name)}</text>'
        )
    for dot in dots:
        y = 16 + row * lanes.index(dot.lane) + row / 2
        radius = min(3 + 2.2 * math.sqrt(dot.count), 13)
        parts.append(
            f'<circle class="dot tone{dot.tone}" cx="{x(dot.time_ms + DAY_MS // 2):.1f}" '
            f'cy="{y}" r="{radius:.1f}"><title>{escape(dot.title)}</title></circle>'
        )
    parts.append("</svg>")
    return Markup("".join(parts))


def _ticks(start_ms: int, end_ms: int) -> list[int]:
    step = max((end_ms - start_ms) // 6 // DAY_MS, 1) * DAY_MS
    return list(range(start_ms, end_ms, step))


def _day(days: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=days)).strftime("%m-%d")


def bar(share: float, tone: int, label: str) -> Markup:
    """A horizontal bar of a share in [0, 1]."""
    width = max(min(share, 1.0), 0.0) * 100
    return Markup(
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}"><rect class="track" width="100" height="8" rx="1"/>'
        f'<rect class="tone{tone}" width="{width:.1f}" height="8" rx="1"/></svg>'
    )


def swing(value: float, limit: float, label: str) -> Markup:
    """A bar to the right of the middle for a positive value, to the left for a negative one."""
    half = min(abs(value) / limit, 1.0) * 50 if limit else 0.0
    x = 50.0 if value >= 0 else 50.0 - half
    tone = "against" if value >= 0 else "infavour"
    return Markup(
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}"><rect class="track" width="100" height="8"/>'
        f'<rect class="{tone}" x="{x:.1f}" width="{half:.1f}" height="8"/>'
        '<rect class="middle" x="49.7" width="0.6" height="8"/></svg>'
    )


def interval(low: float, value: float, high: float, label: str) -> Markup:
    """A value in [0, 1] with its interval."""
    return Markup(
        '<svg class="bar tall" viewBox="0 0 100 12" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}"><rect class="track" y="4" width="100" height="4"/>'
        f'<rect class="range" x="{low * 100:.1f}" y="3" '
        f'width="{max((high - low) * 100, 0.4):.1f}" height="6"/>'
        f'<rect class="point" x="{max(value * 100 - 0.4, 0):.1f}" width="0.8" height="12"/></svg>'
    )


def reliability(bins: Sequence[Any], label: str) -> Markup:
    """Stated against found probability: a dot a bin, on the diagonal where both agree."""
    size, edge = 260, 34
    parts = [
        f'<svg class="plot small" viewBox="0 -14 {size + edge + 24} {size + edge + 14}" role="img" '
        f'aria-label="{escape(label)}">'
        f'<line class="rail" x1="{edge}" y1="{size}" x2="{size + edge}" y2="0"/>'
    ]
    for at in range(0, 11, 2):
        place = at / 10 * size
        parts.append(
            f'<text class="tick" x="{edge + place:.0f}" y="{size + 18}">{at * 10}</text>'
            f'<text class="tick" x="4" y="{size - place + 4:.0f}">{at * 10}</text>'
        )
    for found in bins:
        radius = min(3 + 0.8 * math.sqrt(found.reviewed_count), 14)
        parts.append(
            f'<circle class="dot tone3" cx="{edge + found.stated * size:.1f}" '
            f'cy="{size - found.found * size:.1f}" r="{radius:.1f}"><title>'
            f"{found.stated:.0%} → {found.found:.0%} ({found.reviewed_count})</title></circle>"
        )
    return Markup("".join([*parts, "</svg>"]))


def tone_of(code: str) -> int:
    """The tone of a category's class, 9 for none of the four."""
    return int(code[1]) if len(code) > 1 and code[0] == "A" and code[1] in "1234" else 9
