"""The crosswalks: what each vendor's label may mean, and the way back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import InvalidArgument
from services.common.taxonomy import crosswalk, standard
from services.common.taxonomy.crosswalk import LABEL_LENGTH_LIMIT

# Code to category, as published in china.md section 8.
VENDOR_CODES = {
    "12321": {
        "1": "A1500",
        "2": "A1400",
        "3": "A1600",
        "4": "A3200",
        "5": "A3107",
        "6": "A3600",
        "7": "A3101",
        "8": "A3400",
        "9": "A2100",
        "10": "A3300",
        "11": "A3104",
        "12": "A3000",
        "13": "A3500",
        "14": "A3310",
        "21": "A3103",
        "22": "A3210",
        "23": "A3730",
        "24": "A3720",
        "25": "A3740",
        "26": "A3700",
        "27": "A3710",
    },
    "tencent": {
        "0": "A9000",
        "50": "A2000",
        "51": "A3200",
        "52": "A3100",
        "53": "A3000",
        "54": "A1100",
        "55": "A4100",
        "56": "A4120",
    },
    "baidu": {
        "1": "A1100",
        "2": "A3107",
        "3": "A3100",
        "4": "A3200",
        "5": "A3400",
        "6": "A3000",
        "7": "A4110",
        "8": "A4100",
        "10": "A2000",
        "11": "A1990",
        "12": "A4120",
    },
}
CODES = [
    (scheme, code, home) for scheme, codes in VENDOR_CODES.items() for code, home in codes.items()
]
FORMS = {"type:0": "B01", "type:1": "B03", "type:2": "B04"}
FTC_SUBJECTS = (
    "Calls pretending to be government, businesses, or family and friends",
    "Charities",
    "Computer & technical support",
    "Dropped call or no message",
    "Energy, solar, & utilities",
    "Home improvement & cleaning",
    "Home security & alarms",
    "Lotteries, prizes & sweepstakes",
    "Medical & prescriptions",
    "No Subject Provided",
    "Other",
    "Reducing your debt (credit cards, mortgage, student loans)",
    "Vacation & timeshares",
    "Warranties & protection plans",
    "Work from home & other ways to make money",
)


@pytest.mark.parametrize(("scheme", "code", "home"), CODES)
def test_every_vendor_code_leads_to_the_published_category(
    scheme: str, code: str, home: str
) -> None:
    mapped = crosswalk.load().map_label(scheme, code)

    assert mapped.scheme == scheme
    assert mapped.home == standard.load().category(home).id
    assert mapped.rows[0][1] == max(weight for _, weight in mapped.rows)


@pytest.mark.parametrize(("scheme", "code", "home"), CODES)
def test_every_vendor_code_comes_back_as_itself(scheme: str, code: str, home: str) -> None:
    xw = crosswalk.load()

    assert xw.reverse(scheme, xw.map_label(scheme, code).home) == code
    assert crosswalk.reverse(scheme, standard.load().category(home).id) == code


@pytest.mark.parametrize(("form", "behaviour"), FORMS.items())
def test_every_12321_form_comes_back_as_itself(form: str, behaviour: str) -> None:
    xw = crosswalk.load()

    assert xw.map_label("12321", form).behaviours == (behaviour,)
    assert xw.reverse_behaviour("12321", behaviour) == form


@pytest.mark.parametrize("subject", FTC_SUBJECTS)
def test_every_ftc_subject_comes_back_as_one_of_the_same_category(subject: str) -> None:
    xw = crosswalk.load()
    home = xw.map_label("ftc-dnc", subject).home

    back = xw.reverse("ftc", home)

    assert back in FTC_SUBJECTS
    assert xw.map_label("ftc", back).home == home


def test_every_word_comes_back_as_one_of_the_same_category() -> None:
    xw = crosswalk.load()

    for scheme in xw.schemes:
        for known in xw.meanings:
            if known.scheme == scheme and known.says_what:
                back = xw.reverse(scheme, known.home)
                assert back is not None
                assert xw.map_label(scheme, back).home == known.home


def test_every_label_that_is_known_has_weights_that_sum_to_one() -> None:
    xw = crosswalk.load()
    ids = set(standard.load().ids.tolist())

    for known in xw.meanings:
        assert sum(weight for _, weight in known.rows) == pytest.approx(1, abs=1e-9)
        assert all(category_id in ids and weight > 0 for category_id, weight in known.rows)
        assert len(known.relations) == len(known.rows)


def test_insurance_and_wealth_together_are_finance_and_never_insurance_alone() -> None:
    mapped = crosswalk.load().map_label("tencent", "52")

    assert mapped.rows == ((3100, 0.4), (3107, 0.35), (3102, 0.25))
    assert mapped.relations == ("broader", "narrower", "narrower")
    assert mapped.relation == "broader"


def test_an_agency_is_likely_but_not_surely_one_of_property() -> None:
    mapped = crosswalk.load().map_label("baidu", "4")

    assert mapped.home == 3200
    assert mapped.rows[0][1] < 1
    assert mapped.relation == "narrower"


def test_loans_and_wealth_of_12321_are_not_split() -> None:
    mapped = crosswalk.load().map_label("12321", "7")

    assert {category_id for category_id, _ in mapped.rows} == {3101, 3102, 3100}


def test_a_service_label_stands_for_services_alone() -> None:
    xw, std = crosswalk.load(), standard.load()

    for source, label in [("tencent", "55"), ("baidu", "7"), ("360", "快递送餐"), ("x", "taxi")]:
        ids = [category_id for category_id, _ in xw.map_label(source, label).rows]
        assert set(std.group_of_id[ids].tolist()) == {4}


@pytest.mark.parametrize(
    "label", ["Other", "No Subject Provided", "Dropped call or no message", ""]
)
def test_an_ftc_complaint_without_a_subject_is_nuisance_of_some_kind(label: str) -> None:
    mapped = crosswalk.load().map_label("ftc-dnc", label)

    assert mapped.scheme == "ftc"
    assert mapped.home == 2000
    assert len(mapped.rows) > 3


@pytest.mark.parametrize("subject", [*FTC_SUBJECTS, ""])
def test_a_robocall_of_the_ftc_says_how_and_leaves_the_subject_as_it_is(subject: str) -> None:
    xw = crosswalk.load()

    plain = xw.map_label("ftc-dnc", subject)
    flagged = xw.map_label("ftc-dnc", f"{subject}|robocall:Y")
    live = xw.map_label("ftc-dnc", f"{subject}|robocall:N")

    assert (flagged.rows, flagged.behaviours) == (plain.rows, ("B03",))
    assert (live.rows, live.behaviours) == (plain.rows, ())


@pytest.mark.parametrize("label", ["A3107", "a3107", " Ａ３１０７ ", "A 3107"])
@pytest.mark.parametrize("source", ["tencent", "12321", "nobody"])
def test_a_standard_code_needs_no_crosswalk(source: str, label: str) -> None:
    mapped = crosswalk.load().map_label(source, label)

    assert (mapped.rows, mapped.relation, mapped.scheme) == (((3107, 1.0),), "exact", "standard")


def test_every_category_and_group_is_a_label_of_its_own() -> None:
    xw = crosswalk.load()

    for category in standard.load().categories:
        assert xw.map_label("x", category.code.lower()).rows == ((category.id, 1.0),)
        assert xw.reverse("standard", category.id) == category.code


def test_every_behaviour_of_a_call_is_a_label_that_says_how() -> None:
    xw = crosswalk.load()

    # B20 speaks of the marks and not of the call, so nobody marks a call with it.
    codes = [b.code for b in standard.load().behaviours if b.severity is not None]

    assert codes
    for code in codes:
        assert xw.map_label("x", code).behaviours == (code,)


@pytest.mark.parametrize(
    "label", ["鬼知道", "", "  ", "\x00", "\ud800", "52", "A3108", "保" * (LABEL_LENGTH_LIMIT + 1)]
)
def test_what_nobody_knows_is_unclassified_and_unknown(label: str) -> None:
    mapped = crosswalk.load().map_label("x", label)

    assert mapped.rows == ((standard.UNCLASSIFIED_ID, 1.0),)
    assert (mapped.relation, mapped.scheme, mapped.behaviours) == ("unknown", "", ())


def test_a_code_that_a_vendor_does_not_use_is_unknown() -> None:
    assert crosswalk.load().map_label("baidu", "9").relation == "unknown"


@pytest.mark.parametrize(
    ("source", "scheme"),
    [
        ("tencent", "tencent"),
        ("Tencent", "tencent"),
        ("tencent-2026", "tencent"),
        ("tencent:handset", "tencent"),
        ("腾讯手机管家", "tencent"),
        ("ftc-dnc", "ftc"),
        ("12321", "12321"),
        ("12321举报中心", "12321"),
        ("百度", "baidu"),
        ("tencentmusic", "words"),
        ("my-tencent", "words"),
        ("360", "words"),
        ("", "words"),
    ],
)
def test_a_source_is_read_by_its_own_scheme_or_by_words(source: str, scheme: str) -> None:
    assert crosswalk.load().scheme_of(source) == scheme


def test_a_vendor_with_codes_may_also_send_words() -> None:
    mapped = crosswalk.load().map_label("tencent", "教育培训")

    assert (mapped.rows, mapped.scheme) == (((3600, 1.0),), "words")


def test_a_vendors_own_meaning_goes_before_the_free_word() -> None:
    xw = crosswalk.load()

    own = xw.map_label("12321", "房产中介")
    free = xw.map_label("360", "房产中介")

    assert (own.scheme, free.scheme) == ("12321", "words")


@pytest.mark.parametrize(
    ("label", "code"),
    [
        # Free text seen at vendors, china.md section 2.2.
        ("中介", "A3200"),
        ("房产中介", "A3200"),
        ("违规催收", "A2100"),
        ("快递物流", "A4100"),
        ("教育培训", "A3600"),
        ("股票证券", "A3104"),
        ("保险理财", "A3100"),
        ("涉诈电话", "A1100"),
        ("招聘猎头", "A3400"),
        ("保险推销", "A3107"),
        ("贷款理财", "A3101"),
        ("医疗卫生", "A3300"),
        ("送餐外卖", "A4110"),
        ("出租车", "A4120"),
        ("网约车", "A4120"),
        ("违法", "A1990"),
        ("淫秽色情", "A1500"),
        ("反动谣言", "A1600"),
        ("发票办证", "A1400"),
        ("客服热线", "A4200"),
        ("非应邀商业电话", "A3000"),
        ("商业营销", "A3000"),
        ("广告推销", "A3000"),
        ("旅游推广", "A3500"),
        ("食药推销", "A3310"),
        # 360's reports, the MIIT's list, China Mobile, the older 12321 app.
        ("响一声", "A2000"),
        ("诈骗", "A1100"),
        ("快递送餐", "A4100"),
        ("骚扰", "A2000"),
        ("保险营销", "A3107"),
        ("贷款推销", "A3101"),
        ("轰炸", "A2000"),
        ("色情", "A1500"),
        ("发票", "A1400"),
        ("赌博", "A1510"),
        ("违禁品", "A1520"),
        ("高利贷", "A1800"),
        ("反动", "A1600"),
        ("广告骚扰", "A3000"),
        ("中奖诈骗", "A1106"),
        ("金融类诈骗", "A1103"),
        ("冒充公检法", "A1101"),
        ("冒充领导", "A1107"),
        ("网购类诈骗", "A1102"),
        # English, and forms that fold to a known word.
        ("scam", "A1100"),
        ("Fraud", "A1100"),
        ("telemarketer", "A3000"),
        ("Debt Collector", "A2100"),
        ("delivery", "A4100"),
        ("taxi", "A4120"),
        ("SPAM", "A2000"),
        ("ｐｏｓ机推销", "A3103"),
        (" 快 递 ", "A4100"),
        ("ＡＰＰ推广", "A3720"),
        ("other", "A9000"),
    ],
)
def test_a_word_seen_at_vendors_is_known(label: str, code: str) -> None:
    mapped = crosswalk.load().map_label("some vendor", label)

    assert mapped.scheme == "words"
    assert mapped.home == standard.load().category(code).id


@pytest.mark.parametrize("label", ["推销", "骚扰电话", "房产中介", "诈骗电话", "金融理财", "违法"])
def test_a_coarse_word_is_never_one_category_alone(label: str) -> None:
    assert len(crosswalk.load().map_label("x", label).rows) > 1


@pytest.mark.parametrize(
    ("scheme", "code", "label"),
    [
        ("tencent", "A3107", "52"),  # the wider label that takes insurance in
        ("tencent", "A3101", "53"),  # 52 does not say loans; the advertising label takes all
        ("tencent", "A1101", "54"),
        ("tencent", "A2100", "50"),
        ("tencent", "A3", "53"),
        ("tencent", "A1500", None),  # nothing unlawful but fraud has a label
        ("tencent", "A4200", None),  # a service is never told as a nuisance
        ("baidu", "A4200", None),
        ("baidu", "A1200", "11"),
        ("baidu", "A3104", "3"),
        ("baidu", "A3201", "4"),
        ("12321", "A3302", "10"),
        ("12321", "A1104", "诈骗"),
        ("12321", "A4100", None),
        ("ftc", "A2", "Other"),
        ("ftc", "A3600", "Other"),
        ("ftc", "A1500", None),
        ("words", "A3107", "保险"),
    ],
)
def test_a_category_without_a_label_of_its_own_takes_a_wider_one_or_none(
    scheme: str, code: str, label: str | None
) -> None:
    assert crosswalk.reverse(scheme, standard.load().category(code).id) == label


def test_the_way_back_never_changes_a_service_or_a_crime_into_something_else() -> None:
    xw, std = crosswalk.load(), standard.load()

    for scheme in xw.schemes:
        for category in std.categories:
            back = xw.reverse(scheme, category.id)
            if back is not None and category.group in ("A1", "A4", "A9"):
                home = xw.map_label(scheme, back).home
                assert std.category_of_id(home).group == category.group


def test_a_scheme_or_category_that_does_not_exist_has_no_way_back() -> None:
    xw = crosswalk.load()

    with pytest.raises(InvalidArgument) as scheme:
        xw.reverse("nobody", 3107)
    with pytest.raises(InvalidArgument) as category:
        xw.reverse("tencent", 3108)

    assert scheme.value.reason == "SCHEME_UNKNOWN"
    assert category.value.reason == "CATEGORY_UNKNOWN"


def test_a_behaviour_that_no_label_says_alone_has_no_way_back() -> None:
    assert crosswalk.load().reverse_behaviour("tencent", "B01") is None


def test_a_column_of_labels_is_mapped_in_order() -> None:
    xw = crosswalk.load()
    column = ["52", "鬼知道", "54", "52"] * 1000

    mapped = xw.map_labels("tencent", column)
    places, answers = xw.map_column("tencent", column)

    assert mapped == [xw.map_label("tencent", label) for label in column]
    assert [answers[place] for place in places] == mapped
    assert len(answers) == 3
    assert places.dtype == np.int32


def test_the_same_label_is_worked_out_once() -> None:
    xw = crosswalk.load()

    assert xw.map_label("tencent", "保险 推销") is xw.map_label("tencent-x", "保险 推销")


@given(source=st.text(max_size=12), label=st.text(max_size=300))
def test_any_text_maps_to_categories_whose_weights_sum_to_one(source: str, label: str) -> None:
    mapped = crosswalk.load().map_label(source, label)

    assert sum(weight for _, weight in mapped.rows) == pytest.approx(1, abs=1e-9)
    assert len({category_id for category_id, _ in mapped.rows}) == len(mapped.rows)


def test_the_known_labels_are_words_and_never_codes() -> None:
    known = dict(crosswalk.load().known_labels())

    assert known["贷款"] == 3101
    assert known["淫秽色情"] == 1500
    assert not {"52", "type:1", "", "响一声", "其他"} & set(known)
