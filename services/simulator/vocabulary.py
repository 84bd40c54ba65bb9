"""The words in which each source names a category, and how its menu makes people err."""

from collections.abc import Mapping
from dataclasses import dataclass, field

# Words as vendors use them (china.md section 2.2). A category without a word of its own is named
# by its next wider one; "" means that the menu has nothing for it and nobody marks it there.
_WIDER = {
    "A1101": "A1100", "A1102": "A1100", "A1103": "A1100", "A1104": "A1100", "A1105": "A1100",
    "A1400": "A1990", "A1510": "A1990", "A1990": "A2000", "A2100": "A2000", "A2200": "A2000",
    "A3101": "A3100", "A3102": "A3100", "A3103": "A3100", "A3104": "A3100", "A3107": "A3100",
    "A3302": "A3300", "A3310": "A3300", "A3210": "A3000", "A3100": "A3000", "A3200": "A3000",
    "A3300": "A3000", "A3400": "A3000", "A3500": "A3000", "A3600": "A3000", "A3700": "A3000",
    "A3710": "A3000", "A3730": "A3000", "A4110": "A4100", "A4300": "A4200", "A4900": "A4200",
}  # fmt: skip
CATEGORIES = (
    "A1100", "A1101", "A1102", "A1103", "A1104", "A1105", "A1400", "A1510", "A1990", "A2000",
    "A2100", "A2200", "A3000", "A3100", "A3101", "A3102", "A3103", "A3104", "A3107", "A3200",
    "A3210", "A3300", "A3302", "A3310", "A3400", "A3500", "A3600", "A3700", "A3710", "A3730",
    "A4100", "A4110", "A4120", "A4200", "A4300", "A4900",
)  # fmt: skip
CATEGORY_INDEX = {code: index for index, code in enumerate(CATEGORIES)}


@dataclass(frozen=True)
class Source:
    """One sender of marks.

    Attributes:
        coverage: share of the called people who use it.
        words: category to the words of its menu, the first most used.
        hostile_to: service categories whose callers its users over-mark, with the chance.
        confuses: pairs of categories that its menu makes people mix up, with the chance.
        care: shares of careful, ordinary, careless and mis-clicking reporters.
        call_proof: share of honest marks that carry the time of the call.
        names_reporters: share of marks sent with a reporter.
        odd_writing: share of numbers sent in other than plain digits.
    """

    name: str
    coverage: float
    words: Mapping[str, tuple[str, ...]]
    care: tuple[float, float, float, float] = (0.30, 0.55, 0.08, 0.07)
    hostile_to: dict[str, float] = field(default_factory=dict)
    confuses: tuple[tuple[str, str, float], ...] = ()
    call_proof: float = 0.9
    names_reporters: float = 1.0
    odd_writing: float = 0.06

    def menu(self, category: str) -> tuple[str, ...]:
        """Words for the category; empty if the menu has none."""
        code = category
        while code and code not in self.words:
            code = _WIDER.get(code, "")
        return self.words.get(code, ())

    @property
    def habit_word(self) -> str:
        """The entry at the top of the menu, which mis-clickers hit."""
        return self.words["A2000"][0]


_FINE = {
    "A1100": ("诈骗电话", "涉诈电话"), "A1400": ("发票办证",), "A1990": ("违法",),
    "A2000": ("骚扰电话",), "A2100": ("违规催收",), "A3000": ("广告推销", "商业营销"),
    "A3101": ("贷款理财",), "A3102": ("贷款理财",), "A3100": ("贷款理财",), "A3107": ("保险推销",),
    "A3104": ("股票证券",), "A3200": ("房产中介",), "A3600": ("教育培训",), "A3300": ("医疗卫生",),
    "A3310": ("食药推销",), "A3400": ("招聘猎头",), "A3500": ("旅游推广",), "A4100": ("快递物流",),
    "A4110": ("送餐外卖",), "A4120": ("网约车", "出租车"), "A4200": ("客服热线",),
    "A4300": ("商户名称",),
}  # fmt: skip
_COARSE = {
    "A1100": ("诈骗电话",), "A2000": ("骚扰电话",), "A3000": ("广告推销",), "A3100": ("保险理财",),
    "A3200": ("中介", "房产中介"), "A4100": ("快递电话",), "A4120": ("出租车专车",), "A4110": (),
    "A4200": (),
}  # fmt: skip
_CODED = {code: (code,) for code in CATEGORIES}
_SEARCH = {
    "A1100": ("诈骗电话",), "A1990": ("违法电话",), "A2000": ("骚扰电话",), "A3000": ("广告营销",),
    "A3107": ("保险公司",), "A3100": ("金融理财",), "A3200": ("中介公司",), "A3400": ("猎头招聘",),
    "A4100": ("物流快递",), "A4110": ("送餐外卖",), "A4120": ("网约车",), "A4200": ("客服热线",),
}  # fmt: skip
_FREE = {
    "A1100": ("涉诈电话",), "A2000": ("骚扰电话",), "A2100": ("违规催收",), "A3000": ("广告推销",),
    "A3100": ("保险理财",), "A3101": ("贷款理财",), "A3200": ("房产中介",), "A3600": ("教育培训",),
    "A3400": ("招聘猎头",), "A4100": ("快递物流",), "A4110": ("送餐外卖",), "A4120": ("出租车",),
    "A4200": ("客服热线",),
}  # fmt: skip
# 12321's form: bad_type words; its older form names kinds of fraud. No service labels.
_REPORTING_CENTRE = {
    "A1100": ("金融类诈骗",), "A1101": ("冒充公检法",), "A1102": ("网购类诈骗",),
    "A1103": ("金融类诈骗",), "A1104": ("网购类诈骗",), "A1105": ("金融类诈骗",),
    "A1400": ("虚假票证",), "A1510": ("赌博",), "A2000": ("其他营销",), "A2100": ("欠款催收",),
    "A3000": ("其他营销",), "A3101": ("贷款理财",), "A3102": ("贷款理财",),
    "A3100": ("贷款理财",), "A3103": ("POS机推销",), "A3104": ("股票证券",),
    "A3107": ("保险推销",), "A3200": ("房产中介",), "A3210": ("装修建材",),
    "A3300": ("医疗保健",), "A3310": ("食药推销",), "A3400": ("猎头招聘",),
    "A3500": ("旅游推广",), "A3600": ("教育培训",), "A3700": ("零售业推销",),
    "A3710": ("电信业务推广",), "A3730": ("网络游戏",), "A4100": (), "A4120": (), "A4200": (),
}  # fmt: skip

SOURCES: tuple[Source, ...] = (
    Source("app-lan", 0.36, _FINE, call_proof=0.93),
    Source("app-shan", 0.26, _COARSE, (0.22, 0.56, 0.12, 0.10),
           {"A4100": 0.35, "A4110": 0.30, "A4120": 0.20}, call_proof=0.90, odd_writing=0.12),
    Source("app-he", 0.12, _CODED, (0.55, 0.38, 0.04, 0.03), call_proof=0.96),
    Source("app-hai", 0.18, _SEARCH, (0.18, 0.56, 0.14, 0.12), {"A4100": 0.08},
           (("A3101", "A3107", 0.30), ("A3102", "A3107", 0.20), ("A3107", "A3101", 0.25)),
           0.80, 0.75, 0.15),
    Source("app-yun", 0.04, _FREE, call_proof=0.70, names_reporters=0.8, odd_writing=0.25),
    Source("12321", 0.03, _REPORTING_CENTRE, (0.75, 0.23, 0.02, 0.0), call_proof=0.98,
           odd_writing=0.02),
    Source("app-tong", 0.0, _FINE, names_reporters=0.0, odd_writing=0.05),
)  # fmt: skip
SOURCE_INDEX = {source.name: index for index, source in enumerate(SOURCES)}
COPIER, COPIED, IMPORTER = (SOURCE_INDEX[name] for name in ("app-yun", "app-lan", "app-tong"))
APPS = tuple(SOURCE_INDEX[name] for name in ("app-lan", "app-shan", "app-he", "app-hai"))
ONE_RING_WORD = "响一声"
