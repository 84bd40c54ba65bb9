"""What a number says of itself."""

import numpy as np
import pytest

from services.common.numbering import (
    Kind,
    carriers_of,
    facts,
    parse,
    parse_column,
    places_of,
)


@pytest.mark.parametrize(
    ("raw", "carrier", "is_mvno"),
    [
        ("13800138000", "CHINA_MOBILE", False),
        ("18912345678", "CHINA_TELECOM", False),
        ("18612345678", "CHINA_UNICOM", False),
        ("19212345678", "CHINA_BROADNET", False),
        ("16191234567", "CHINA_SATNET", False),
        ("17011234567", "CHINA_TELECOM", True),
        ("17051234567", "CHINA_MOBILE", True),
        ("17091234567", "CHINA_UNICOM", True),
        ("17112345678", "CHINA_UNICOM", True),
        ("16212345678", "CHINA_TELECOM", True),
        ("16512345678", "CHINA_MOBILE", True),
        ("16712345678", "CHINA_UNICOM", True),
        ("17491234567", "OTHER", False),
    ],
)
def test_the_miit_prefix_tells_issuing_carrier_and_reseller(
    raw: str, carrier: str, is_mvno: bool
) -> None:
    found = facts(parse(raw))

    assert (found.carrier, found.is_mvno, found.is_allocated) == (carrier, is_mvno, True)


def test_a_mobile_segment_tells_province_and_city_of_issue() -> None:
    found = facts(parse("13800138000"))

    assert (found.province, found.city, found.province_code) == ("北京", "北京", 110000)
    assert found.carrier_zh == "中国移动"


@pytest.mark.parametrize(
    ("raw", "province", "city", "code"),
    [
        ("010-62671188", "北京", "北京", 110000),
        ("0571-88158198", "浙江", "杭州", 330000),
        ("0755-83765566", "广东", "深圳", 440000),
        ("0991-2345678", "新疆", "乌鲁木齐", 650000),
        ("0479-8220000", "内蒙古", "锡林郭勒", 150000),
        ("0571-96188", "浙江", "", 330000),
        ("96188", "", "", 0),
        ("95588", "", "", 0),
    ],
)
def test_an_area_code_tells_province_and_city(
    raw: str, province: str, city: str, code: int
) -> None:
    found = facts(parse(raw))

    assert (found.province, found.city, found.province_code) == (province, city, code)


@pytest.mark.parametrize(
    ("raw", "service_range"),
    [
        ("95588", "95大型企业客服"),
        ("95338", "95大型企业客服"),
        ("956025", "95大型企业客服"),
        ("95010", "95呼叫中心/增值业务"),
        ("952295", "95呼叫中心/增值业务"),
        ("95110", "海警报警"),
        ("96110", "反诈预警劝阻"),
        ("96188", "96省内服务"),
        ("110", "公安报警"),
        ("10690329395566", "全国短信接入"),
        ("10621234", "省内经营性短信"),
        ("4007075678", "400主被叫分摊付费"),
        ("13812345678", ""),
    ],
)
def test_a_service_number_tells_its_range(raw: str, service_range: str) -> None:
    found = facts(parse(raw))

    assert found.service_range == service_range
    assert bool(found.service_range_en) == bool(service_range)


def test_a_relay_number_is_flagged_so_that_no_marks_add_up_on_it() -> None:
    assert facts(parse("700123456789012")).is_relay
    assert not facts(parse("13812345678")).is_relay


@pytest.mark.parametrize(
    ("raw", "country", "is_toll_free", "is_premium", "is_allocated"),
    [
        ("+18005550138", "US", True, False, True),
        ("+19005550138", "US", False, True, True),
        ("+12055550134", "US", False, False, True),
        ("+14165550123", "CA", False, False, True),
        ("+18765550123", "JM", False, False, True),
        ("+19995550123", "ZZ", False, False, False),
        ("+85221221188", "HK", False, False, True),
        ("+8531888", "MO", False, False, True),
        ("+77012345678", "KZ", False, False, True),
        ("+79123456789", "RU", False, False, True),
        ("+80012345678", "001", False, False, True),
    ],
)
def test_a_number_abroad_tells_its_country_and_who_pays(
    raw: str, country: str, is_toll_free: bool, is_premium: bool, is_allocated: bool
) -> None:
    found = facts(parse(raw))

    assert found.country == country
    assert (found.is_toll_free, found.is_premium) == (is_toll_free, is_premium)
    assert found.is_allocated == is_allocated


def test_a_segment_that_no_table_allocates_is_a_number_but_said_to_be_nobody_s() -> None:
    # 1410000 is in the list of segments in use, though MIIT's table gives 141 to nobody.
    found = facts(parse("14100001234"))

    assert (found.kind, found.is_allocated) == (Kind.CN_MOBILE, False)
    assert found.carrier == "CHINA_TELECOM"


def test_arrays_of_carriers_and_places_say_what_facts_say() -> None:
    raws = ["13800138000", "17011234567", "010-62671188", "0571-96188", "95588", "+85221221188"]
    keys = parse_column(raws).keys

    carriers, carrier_names = carriers_of(keys)
    places, place_names = places_of(keys)

    for raw, carrier, place in zip(raws, carriers, places, strict=True):
        single = facts(parse(raw))
        assert carrier_names[carrier] == single.carrier
        assert (place_names[place] if place >= 0 else ("", "")) == (single.province, single.city)


def test_key_zero_has_neither_carrier_nor_place() -> None:
    keys = np.zeros(1, dtype=np.int64)

    assert carriers_of(keys)[0].tolist() == [0]
    assert places_of(keys)[0].tolist() == [-1]
