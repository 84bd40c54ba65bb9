"""What a number says of itself: who issued it, where, and what its range is for.

The carrier and the place are those of the issue. A ported number keeps both and belongs to another
carrier (china.md 4.1), and its holder may have moved: never decide on either alone.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.common.numbering import keys as keyed
from services.common.numbering import world
from services.common.numbering.kinds import Kind
from services.common.numbering.parser import Number
from services.common.numbering.plan import OBSERVED, Plan, load_plan
from services.common.numbering.segments import FIRST_SEGMENT, Segments, load_segments

_MOBILE_KINDS = (Kind.CN_MOBILE, Kind.CN_MOBILE_SATELLITE)
_SHORT_KINDS = (
    Kind.CN_SHORT_95,
    Kind.CN_SHORT_96,
    Kind.CN_SHORT_10,
    Kind.CN_SHORT_11,
    Kind.CN_SHORT_12,
)
# NANP non-geographic codes (NANPA: 8YY toll free, 900 premium, 5XX personal).
_TOLL_FREE = frozenset({800, 833, 844, 855, 866, 877, 888})
_PERSONAL = frozenset({500, 521, 522, 523, 524, 525, 526, 527, 528, 529, 533, 544, 566, 577, 588})
_RANGE_NAMES = {
    Kind.CN_400: ("400主被叫分摊付费", "400 shared cost"),
    Kind.CN_800: ("800被叫付费", "800 toll free"),
    Kind.CN_RELAY: ("700号码保护", "700 number protection"),
    Kind.CN_IOT: ("物联网", "Internet of Things"),
    Kind.CN_MOBILE_SATELLITE: ("卫星移动", "satellite mobile"),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the plan knows of a number; empty text and 0 stand for not known.

    Attributes:
        kind: kind of the number.
        country: ISO 3166 code, see `Number.country`.
        carrier: code of the *issuing* carrier, wrong for a ported number.
        carrier_zh: its Chinese name.
        is_mvno: in a code reserved for resellers; a weak prior at most (china.md 4.1).
        province: Chinese name.
        city: Chinese name; of the area's largest city where an area code covers several.
        province_code: GB/T 2260 code as a number, e.g. 330000.
        service_range: which range it is in, Chinese.
        service_range_en: the same in English.
        is_relay: a temporary number shared by many callers: never let marks add up on one.
        is_toll_free: the callee pays (800, NANP 8YY).
        is_premium: the caller pays more than the call (NANP 900).
        is_allocated: False where no table gives the prefix to anybody, though it is seen in use.
    """

    kind: Kind
    country: str
    carrier: str = ""
    carrier_zh: str = ""
    is_mvno: bool = False
    province: str = ""
    city: str = ""
    province_code: int = 0
    service_range: str = ""
    service_range_en: str = ""
    is_relay: bool = False
    is_toll_free: bool = False
    is_premium: bool = False
    is_allocated: bool = True


def facts(number: Number) -> Facts:
    """Facts of one number."""
    plan, segments = load_plan(), load_segments()
    if number.kind == Kind.NANP:
        return _nanp_facts(number)
    if number.kind == Kind.FOREIGN:
        return _foreign_facts(plan, number)
    if number.kind in _MOBILE_KINDS:
        return _mobile_facts(plan, segments, number)
    service_range, service_range_en = _RANGE_NAMES.get(number.kind, ("", ""))
    province_code, place = 0, ("", "")
    if number.kind == Kind.CN_FIXED:
        area = int(area_of(np.array([number.key]))[0])
        province_code = int(plan.province_of_area[area]) * 10_000
        index = segments.area_places.get(area)
        province = plan.provinces[province_code // 10_000]
        place = (province, segments.places[index][1] if index is not None else "")
    elif number.kind in _SHORT_KINDS:
        digits, province_two = divmod(number.key & keyed.VALUE_MASK, 100)
        if row := plan.service(str(digits)):
            service_range, service_range_en = row.zh, row.en
        province_code = province_two * 10_000
        place = (plan.provinces.get(province_two, ""), "")
    elif number.kind == Kind.CN_SMS:
        service_range, service_range_en = plan.sms_ranges[number.number[:4]]
    return Facts(
        kind=number.kind,
        country=number.country,
        province=place[0],
        city=place[1],
        province_code=province_code,
        service_range=service_range,
        service_range_en=service_range_en,
        is_relay=number.kind == Kind.CN_RELAY,
        is_toll_free=number.kind == Kind.CN_800,
    )


def _mobile_facts(plan: Plan, segments: Segments, number: Number) -> Facts:
    segment = int(number.number[3:10]) - FIRST_SEGMENT
    carrier, carrier_zh, _ = plan.carriers[int(plan.carrier[segment])]
    place = int(segments.place[segment])
    province, city = segments.places[place] if place >= 0 else ("", "")
    codes = {name: code for code, name in plan.provinces.items()}
    zh, en = _RANGE_NAMES.get(number.kind, ("", ""))
    return Facts(
        kind=number.kind,
        country="CN",
        carrier=carrier,
        carrier_zh=carrier_zh,
        is_mvno=bool(plan.mvno[segment]),
        province=province,
        city=city,
        province_code=codes.get(province, 0) * 10_000,
        service_range=zh,
        service_range_en=en,
        is_allocated=int(plan.allocation[segment]) != OBSERVED,
    )


def _nanp_facts(number: Number) -> Facts:
    area = int(number.number[2:5])
    named = {
        **dict.fromkeys(_TOLL_FREE, ("免费电话", "toll free")),
        **dict.fromkeys(_PERSONAL, ("个人号码", "personal number")),
        900: ("付费信息", "premium rate"),
    }.get(area, ("", ""))
    return Facts(
        kind=number.kind,
        country=number.country,
        service_range=named[0],
        service_range_en=named[1],
        is_toll_free=area in _TOLL_FREE,
        is_premium=area == 900,
        is_allocated=bool(named[0]) or number.country != world.UNKNOWN_REGION,
    )


def _foreign_facts(plan: Plan, number: Number) -> Facts:
    for calling_code, pattern, zh, en in plan.foreign_short:
        if number.number.startswith("+" + calling_code) and pattern.fullmatch(
            number.number, 1 + len(calling_code)
        ):
            return Facts(number.kind, number.country, service_range=zh, service_range_en=en)
    return Facts(number.kind, number.country)


def area_of(keys: NDArray[Any]) -> NDArray[np.int64]:
    """Area code without trunk 0 of each key of a CN fixed line; meaningless for other keys."""
    value = np.asarray(keys, dtype=np.int64) & keyed.VALUE_MASK
    ten = value // 10**10 == keyed.CN
    national = np.where(ten, value - keyed.CN_10, value - keyed.CN_11)
    three = np.where(ten, national // 10**7, national // 10**8)
    return np.where(three < 300, three // 10, three)


def segments_of(keys: NDArray[Any]) -> NDArray[np.int64]:
    """Index into the segment tables of each key, -1 where it is no CN mobile number."""
    places, is_mobile = keyed.mobile_places(np.asarray(keys, dtype=np.int64))
    return np.where(is_mobile, places // 10**4, -1)


def carriers_of(keys: NDArray[Any]) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Issuing carrier of each key as an index into the returned codes; code 0 is empty."""
    plan = load_plan()
    segment = segments_of(keys)
    carrier = np.where(segment >= 0, plan.carrier[segment.clip(0)], 0).astype(np.uint8)
    return carrier, tuple(code for code, _, _ in plan.carriers)


def places_of(keys: NDArray[Any]) -> tuple[NDArray[np.int16], tuple[tuple[str, str], ...]]:
    """Place of issue of each key as an index into the returned (province, city), -1 for none.

    A short number with a province has that province and an empty city.
    """
    plan, segments = load_plan(), load_segments()
    keys = np.asarray(keys, dtype=np.int64)
    names = list(segments.places)
    segment = segments_of(keys)
    place = np.where(segment >= 0, segments.place[segment.clip(0)], -1).astype(np.int16)
    of_area = np.full(1000, -1, dtype=np.int16)
    for area in np.flatnonzero(plan.province_of_area).tolist():
        index = segments.area_places.get(area)
        if index is None:
            index = len(names)
            names.append((plan.provinces[int(plan.province_of_area[area])], ""))
        of_area[area] = index
    others = np.flatnonzero(segment < 0)
    kinds = keyed.kinds_of(keys[others])
    fixed = others[kinds == Kind.CN_FIXED]
    place[fixed] = of_area[area_of(keys[fixed])]
    provincial = others[kinds == Kind.CN_SHORT_96]
    if len(provincial):
        of_province = np.full(100, -1, dtype=np.int16)
        for code, name in plan.provinces.items():
            of_province[code] = len(names)
            names.append((name, ""))
        place[provincial] = of_province[(keys[provincial] & keyed.VALUE_MASK) % 100]
    return place, tuple(names)


def countries_of(keys: NDArray[Any]) -> tuple[NDArray[np.uint16], tuple[str, ...]]:
    """Country of each key as an index into the returned ISO 3166 codes; code 0 is empty (key 0)."""
    keys = np.asarray(keys, dtype=np.int64)
    names = ["", "CN"]
    kinds = keyed.kinds_of(keys)
    countries = ((kinds != 0) * 1).astype(np.uint16)
    for kind, divisor in ((Kind.NANP, 10**7), (Kind.FOREIGN, 1)):
        rows = np.flatnonzero(kinds == kind)
        groups, which = np.unique((keys[rows] & keyed.VALUE_MASK) // divisor, return_inverse=True)
        index = np.zeros(len(groups), dtype=np.uint16)
        for i, group in enumerate(groups.tolist()):
            region = world.region_of(group * divisor)
            if region not in names:
                names.append(region)
            index[i] = names.index(region)
        countries[rows] = index[which]
    return countries, tuple(names)
