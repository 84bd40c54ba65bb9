"""Reasons and display texts in words, Chinese and English."""

from dataclasses import dataclass
from functools import lru_cache

from services.common.taxonomy import standard
from services.reputation.feature_words import phrase

_RULES = {
    "RELAY": ("号码保护中间号，不累积标记", "Relay number: marks never accumulate on it"),
    "CLEARED": ("经核查无不良", "Reviewed and cleared"),
    "DECIDED": ("主管机构或评审认定", "Decided by an authority or a review"),
    "DISPUTED": ("持有人已提出异议，正在核查", "Contested by its holder; under review"),
    "PROTECTED": ("公共服务或已登记号码", "Public service or registered number"),
    "BEHAVIOUR": ("呼叫行为异常", "Its calls look unwanted"),
    "BEHAVIOUR_AGREES": ("标记与呼叫行为相符", "Its calls look like its marks"),
    "SPOOFED": ("号码被他人冒用", "Others forge this number; it is their victim"),
    "SIGNAL_AGREES": ("运营商信号与标记相符", "A carrier's signal agrees with its marks"),
    "MARKS_STALE": ("标记已过时", "Its marks are too old to tell"),
    "BEHAVIOUR_CONTRADICTS": ("呼叫行为与标记不符", "Its calls do not look like its marks"),
    "MARKS_WEAK": ("标记不足以说明问题", "Its marks do not add up to anything"),
    "MARKS_CONFLICT": ("各来源标记不一致", "Sources contradict each other"),
    "MARKS_ILLEGAL": (
        "用户标记涉嫌违法，待核实",
        "Marked as illegal by users; not confirmed by an authority",
    ),
    "MARKS_AGREE": ("多个独立来源标记一致", "Independent marks agree"),
    "MARKS_FEW": ("标记较少", "Few marks so far"),
}


def reason(code: str) -> tuple[str, str]:
    """A reason code in Chinese and English: a rule, a signal, or a feature that raised the risk."""
    if code in _RULES:
        return _RULES[code]
    if code in _signals():
        return _signals()[code]
    words = code.replace("_", " ")  # a feature of a model that is no longer there
    zh, en = phrase(code) or (words, words)
    return f"抬高风险：{zh}", f"raises the risk: {en}"


@lru_cache(maxsize=1)
def _signals() -> dict[str, tuple[str, str]]:
    return {
        found.code: (f"运营商信号：{found.name_zh}", f"carrier's signal: {found.name_en}")
        for found in standard.load().behaviours
    }


@dataclass(frozen=True)
class Display:
    """What a handset may show of a category, around the count of marks.

    Attributes:
        zh, en: what is shown without a count.
        zh_before, zh_after, en_before, en_after: what stands around the count.
    """

    zh: str = ""
    en: str = ""
    zh_before: str = ""
    zh_after: str = ""
    en_before: str = ""
    en_after: str = ""


@lru_cache(maxsize=1_000)
def display_parts(category: str, *, disputed: bool = False) -> Display:
    """The parts of a display text; empty without a category."""
    if not category:
        return Display()
    found = standard.load().category(category)
    note_zh, note_en = ("（有异议）", " (contested)") if disputed else ("", "")
    return Display(
        zh=found.name_zh + note_zh,
        en=found.name_en + note_en,
        zh_before="被",
        zh_after=f"人标记为{found.name_zh}{note_zh}",
        en_before=f"marked as {found.name_en} by ",
        en_after=note_en,
    )


def display(category: str, marks: int, *, disputed: bool = False) -> tuple[str, str]:
    """What a handset may show; empty texts without a category."""
    said = display_parts(category, disputed=disputed)
    if not marks or not category:
        return said.zh, said.en
    return (
        f"{said.zh_before}{marks}{said.zh_after}",
        f"{said.en_before}{marks}{said.en_after}",
    )
