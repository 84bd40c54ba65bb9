"""What features mean, in Chinese and English: a reason names what raised the risk.

A phrase a feature, or a family of features by a pattern whose groups fill the phrase. A test holds
that every feature of the models has one.
"""

import re

_ENTITIES = {
    "origin": ("来源地区", "origins"),
    "reporter": ("标记人", "reporters"),
    "source": ("来源", "sources"),
    "label": ("标签", "labels"),
}
_NEIGHBOURS = {
    "numbers_count": ("被标记的号码数", "marked numbers"),
    "marks_mean": ("号码平均被标记次数", "marks on each marked number"),
    "repeated_ratio": ("被多次标记的号码占比", "share of numbers marked repeatedly"),
    "life_days": ("号码被标记的持续时间", "how long numbers go on being marked"),
    "return_ratio": ("号码再次被标记的占比", "share of numbers that were marked again"),
    "active_count": ("近期仍被标记的号码", "numbers still being marked"),
    "numbers_30d_count": ("近30天被标记的号码数", "numbers marked in the last 30 days"),
    "marks_30d_count": ("近30天的标记数", "marks in the last 30 days"),
    "marks_7d_count": ("近7天的标记数", "marks in the last 7 days"),
    "older_count": ("30天以前的标记数", "marks over 30 days ago"),
}

_PHRASES: dict[str, tuple[str, str]] = {
    # marks
    "marks_count": ("被标记次数", "number of marks"),
    "marks_older_count": ("30天以前被标记次数", "marks more than 30 days old"),
    "mark_days_count": ("被标记的天数", "days on which it was marked"),
    "mark_weeks_count": ("被标记的周数", "weeks in which it was marked"),
    "last_mark_days": ("距最近一次标记的时间", "time since its last mark"),
    "first_mark_days": ("距首次标记的时间", "time since its first mark"),
    "last_mark_volume_days": ("最近一次标记后全网的标记量", "all marks made since its last one"),
    "first_mark_volume_days": ("首次标记后全网的标记量", "all marks made since its first one"),
    "mark_gap_days": ("标记的平均间隔", "time between marks"),
    "mark_gap_last_days": ("最近两次标记的间隔", "time between its two last marks"),
    "mark_gap_max_days": ("标记的最长间隔", "longest time between marks"),
    "burstiness": ("标记的集中程度", "how much its marks come in bursts"),
    "label_entropy_bits": ("标签的分散程度", "how much its labels differ"),
    "origin_entropy_bits": ("标记来源地区的分散程度", "how much the origins of its marks differ"),
    "day_entropy_bits": ("标记日期的分散程度", "how its marks spread over days"),
    "call_proof_ratio": ("有通话佐证的标记占比", "share of marks that name a call"),
    "origin_known_ratio": ("已知来源地区的标记占比", "share of marks of known origin"),
    "origin_top_ratio": ("最多来源地区的标记占比", "share of marks from the commonest origin"),
    "same_area_ratio": ("本地标记占比", "share of marks from the number's own area"),
    "withdrawn_ratio": ("被撤回的标记占比", "share of marks taken back"),
    "marks_last_day_count": ("最近标记日的标记数", "marks on its last marked day"),
    "marks_top_day_count": ("单日最多标记数", "most marks in one day"),
    "marks_day_weighted": ("相对当日总量的标记数", "marks, beside all marks of their days"),
    "weekend_ratio": ("周末标记占比", "share of marks made at weekends"),
    "marks_per_answered_ratio": ("每次接通的被标记次数", "marks for each answered call"),
    # behaviour
    "active_days": ("有通话的天数", "days with calls"),
    "calls_out_per_day": ("日均拨出次数", "calls made a day"),
    "calls_out_max": ("单日最多拨出次数", "most calls made in a day"),
    "answered_ratio": ("接通率", "share of calls answered"),
    "callees_per_call_ratio": ("被叫号码的分散程度", "different people for each call"),
    "ring_only_ratio": ("响一声即挂断的占比", "calls hung up before an answer"),
    "short_ratio": ("短时通话占比", "share of calls under 10 seconds"),
    "talk_per_answered_s": ("平均通话时长", "time talked in a call"),
    "in_out_ratio": ("呼入占比", "share of calls received"),
    "callback_ratio": ("回拨占比", "calls back from people it called"),
    "night_ratio": ("夜间拨出占比", "share of calls made at night"),
    "calls_per_callee_max": ("对同一被叫的单日最多拨打次数", "most calls to one person in a day"),
    "calls_per_minute_max": ("每分钟最多拨出次数", "most calls in one minute"),
    "callers_share_callee_max": ("与其他号码同时呼叫同一被叫", "calls to one person with others"),
    "areas_per_day": ("每日呼叫的地区数", "areas called a day"),
    "sequential_ratio": ("按号码顺序拨打的占比", "share of calls in the order of numbers"),
    "devices_max": ("单日最多终端数", "most devices in a day"),
    "cells_per_day": ("每日基站数", "cells a day"),
    "intl_ingress_ratio": ("来自国际中继的占比", "share of calls from an international trunk"),
    "auth_failed_ratio": ("认证失败的占比", "share of calls that failed authentication"),
    "after_refusal_ratio": ("拒绝后仍拨打的占比", "calls to people who had refused"),
    # alike
    "alike_distance": ("呼叫行为的罕见程度", "how unusual its calls are"),
    # lifecycle, registry, plan
    "tenure_days": ("入网时间", "time since it was assigned"),
    "epoch": ("放号次数", "how often it was assigned"),
    "released_days": ("距销号的时间", "time since it was released"),
    "ported_days": ("距携号转网的时间", "time since it changed carrier"),
    "registered": ("是否登记", "whether it is registered"),
    "registered_days": ("登记时间", "time since it was registered"),
    "registered_outbound": ("登记是否允许外呼", "whether it may make calls by its registration"),
    "number_kind": ("号码类型", "kind of number"),
    "number_prefix": ("号段", "the range it is in"),
    # arbitration
    "posterior_ordinary": ("标记不可信的可能性", "how likely its marks mean nothing"),
    "posterior_illegal": ("标记指向违法类的可能性", "how likely its marks mean something illegal"),
    "posterior_malicious": ("标记指向骚扰类的可能性", "how likely its marks mean harassment"),
    "posterior_marketing": ("标记指向营销类的可能性", "how likely its marks mean marketing"),
    "posterior_service": ("标记指向服务类的可能性", "how likely its marks mean a service"),
    "posterior_top": ("标记的一致程度", "how sure its marks are"),
    "effective_sources": ("独立来源数", "independent sources"),
    "counted_marks_count": ("有效标记数", "marks that count"),
    "former_marks_count": ("前机主时期的标记数", "marks from an earlier holder's time"),
}


def phrase(feature: str) -> tuple[str, str] | None:
    """A feature in Chinese and English; None where there are no words for it."""
    return _PHRASES.get(feature) or _of_family(feature)


def _of_family(feature: str) -> tuple[str, str] | None:
    if found := re.fullmatch(r"marks_(\d+)d_count", feature):
        return f"近{found[1]}天被标记次数", f"marks in the last {found[1]} days"
    if found := re.fullmatch(r"mark_days_(\d+)d_count", feature):
        return f"近{found[1]}天中被标记的天数", f"marked days among the last {found[1]}"
    if found := re.fullmatch(r"decayed_(\d+)([dv])_count", feature):
        days, zh, en = found[1], "", ""
        if found[2] == "v":
            zh, en = "按全网标记量计，", "mean "
        return f"近期标记次数（{zh}半衰期{days}天）", f"recent marks (halved every {days} {en}days)"
    if found := re.fullmatch(r"mark_(\d+)_days", feature):
        return (
            f"距倒数第{found[1]}次标记的时间",
            f"time since the last mark but {int(found[1]) - 1}",
        )
    if found := re.fullmatch(r"(origin|reporter|source|label)s_(?:(\d+)d_)?count", feature):
        zh, en = _ENTITIES[found[1]]
        if found[2]:
            return f"近{found[2]}天的{zh}数", f"{en} of marks in the last {found[2]} days"
        return f"不同{zh}数", f"different {en} of its marks"
    if found := re.fullmatch(r"(?:near|block)_(\d+)_(\w+)", feature):
        words = _NEIGHBOURS.get(found[2])
        size = int(found[1])
        return words and (
            f"相邻{size}个号码中：{words[0]}",
            f"{words[1]} among {size:,} neighbours",
        )
    return None
