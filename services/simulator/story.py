"""The telling numbers of the city: which they are, what happened to them, what is true of them."""

from typing import Any

import numpy as np

from services.simulator.collusion import DEFAME, Raid
from services.simulator.columns import iso_times
from services.simulator.marking import Marks
from services.simulator.population import City
from services.simulator.roles import ROLES
from services.simulator.vocabulary import CATEGORIES
from services.simulator.window import Window

_BAD_CODES = np.array([code[:2] in ("A1", "A2", "A3") for code in CATEGORIES])

# part: title and happening, Chinese and English; {} is filled from the city.
_TELLINGS: dict[str, tuple[str, str, str, str]] = {
    "courier": (
        "被误标的快递员", "A courier with hostile marks",
        "{good} 人标为快递等服务，{hostile} 人嫌电话多，标成了骚扰或推销。",
        "{good} marks rightly name a service; {hostile} came from people annoyed by the calls.",
    ),
    "recycled": (
        "二次放号的号码", "A reassigned number",
        "前机主推销保险，被标记 {total} 次；{released} 销号，{assigned} 归新机主，此后来电正常。",
        "The former holder sold insurance and drew {total} marks; released {released}, assigned "
        "{assigned} to a private person who never called a stranger.",
    ),
    "fraud": (
        "冒充客服的诈骗号码", "A fraud number",
        "团伙 {started} 启用，冒充客服办理退款；{total} 次标记中 {good} 次信以为真。",
        "A gang's fresh number, in use since {started}, plays a shop's refund desk; {good} of its "
        "{total} marks believe it.",
    ),
    "victim": (
        "遭竞争对手恶意标记的商户", "A competitor's victim",
        "{raiders} 个新账号在 {minutes} 分钟内集中标记，几乎都无通话记录；如实的标记 {good} 次。",
        "{raiders} new accounts marked it within {minutes} minutes, nearly all without a call; "
        "{good} other marks call it a service.",
    ),
    "one_ring": (
        "响一声号码", "A one-ring number",
        "响一声就挂断，引人回拨；{started} 启用，{total} 次标记。",
        "Rings once and hangs up so that people call back; in use since {started}, {total} marks.",
    ),
    "protected": (
        "受保护的公共服务热线", "A protected public-service line",
        "政务热线回访群众，被 {hostile} 次标成骚扰或诈骗；它在保护名录中。",
        "A public hotline calls citizens back and drew {hostile} hostile marks; the registry "
        "protects it.",
    ),
    "unmarked": (
        "仅凭呼叫行为可知的呼叫中心", "An unmarked call centre",
        "教育培训呼叫中心，无人标记（{total} 次），只有运营商的呼叫行为可作依据。",
        "A call centre selling courses, marked {total} times: only its calling behaviour tells.",
    ),
    "spoofed": (
        "被冒用主叫号码的个人", "A spoofed victim",
        "个人号码被他人改号冒用 {days} 天，被标记 {total} 次；冒用的呼叫未通过主叫认证。",
        "Others forged this private number for {days} days and drew {total} marks; the forged "
        "calls failed authentication, its own did not.",
    ),
}  # fmt: skip


def telling_numbers(
    city: City, window: Window, marks: Marks, raids: list[Raid]
) -> list[dict[str, Any]]:
    """The story, one entry per telling number, ready for JSON."""
    hostile = _BAD_CODES[marks.category]
    story: list[dict[str, Any]] = []
    for part, (title_zh, title_en, happened_zh, happened_en) in _TELLINGS.items():
        tenure = city.cast[part]
        of_number = marks.tenure == tenure
        facts: dict[str, object] = {
            "total": int(of_number.sum()),
            "hostile": int((of_number & hostile).sum()),
            "good": int((of_number & ~hostile).sum()),
            "started": _day(int(city.start_s[tenure])),
            "days": int(city.spoof_last[tenure] - city.spoof_first[tenure]),
        }
        holder = tenure
        if part == "recycled":
            holder = city.cast["recycled_next"]
            facts["released"] = _day(int(city.end_s[tenure]))
            facts["assigned"] = _day(int(city.start_s[holder]))
        if part == "victim":
            raid = next((r for r in raids if r.tenure == tenure and r.goal == DEFAME), None)
            if raid is None:  # a city without collusion has no victim to tell of
                continue
            after = (marks.occurred_s - raid.begins_s)[of_number & hostile]
            facts["raiders"] = raid.marks
            within = after[(after >= 0) & (after < 3 * 3600)]
            facts["minutes"] = 1 + int(within.max(initial=0)) // 60
        role = ROLES[int(city.role[holder])]
        story.append(
            {
                "part": part,
                "number": city.numbers.wire[int(city.number[tenure])],
                "title": {"zh": title_zh, "en": title_en},
                "happened": {"zh": happened_zh.format(**facts), "en": happened_en.format(**facts)},
                "truth": {"category": role.category, "bad": int(role.bad), "holder": role.name},
            }
        )
    return story


def _day(time_s: int) -> str:
    return str(iso_times(np.array([time_s]))[0])[:10]
