"""Suggestions: which known labels an unknown one looks like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import InvalidArgument
from services.common.taxonomy import crosswalk, standard
from services.common.taxonomy.suggest import Suggester

KNOWN = crosswalk.load().known_labels()
SUGGESTER = Suggester(KNOWN)


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("贷款推广电话", "A3101"),
        ("保险推销员", "A3107"),
        ("疑似诈骗电话", "A1100"),
        ("快递小哥电话", "A4100"),
        ("卖房子的", "A3201"),
        ("考研培训班", "A3600"),
        ("网贷催收公司", "A2100"),
        ("银行信用卡中心", "A3103"),
        ("楼盘销售", "A3201"),
        ("股票老师", "A3104"),
        ("电信宽带升级", "A3710"),
        ("医美咨询", "A3302"),
        ("学而思课程顾问", "A3600"),
        ("insurance salesman", "A3107"),
        ("debt colector", "A2100"),
        ("food deliveries", "A4110"),
        ("Ｌｏａｎ offers!!", "A3101"),
    ],
)
def test_an_unseen_word_finds_the_category_a_reader_would_choose(label: str, code: str) -> None:
    expected = standard.load().category(code).id
    assert crosswalk.load().map_label("x", label).relation == "unknown"

    ids = [category_id for category_id, _, _ in SUGGESTER.suggest(label, k=3)]

    assert ids[0] == expected


def test_a_known_label_is_most_like_itself() -> None:
    for label, category_id in KNOWN:
        found = SUGGESTER.suggest(label, k=1)[0]
        assert found[0] == category_id
        assert found[2] == pytest.approx(1, abs=1e-6)


def test_each_category_is_suggested_once_and_the_likeliest_first() -> None:
    found = SUGGESTER.suggest("贷款诈骗推销公司", k=10)

    ids = [category_id for category_id, _, _ in found]
    similarities = [similarity for _, _, similarity in found]
    assert len(ids) == len(set(ids)) > 3
    assert similarities == sorted(similarities, reverse=True)
    assert all((label, category_id) in KNOWN for category_id, label, _ in found)


def test_a_word_that_shares_nothing_has_no_suggestion() -> None:
    assert SUGGESTER.suggest("ϟϟϟ") == []
    assert SUGGESTER.suggest("") == []
    assert SUGGESTER.suggest(" \t") == []


def test_what_is_unseen_in_a_label_lowers_the_similarity() -> None:
    near = SUGGESTER.suggest("贷款龘", k=1)[0]
    far = SUGGESTER.suggest("贷款龘靐齉爩鱻", k=1)[0]

    assert near[0] == far[0] == 3101
    assert 1 > near[2] > far[2] > 0


def test_one_known_label_is_enough() -> None:
    ((category_id, label, similarity),) = Suggester([("贷款", 3101)]).suggest("贷款")

    assert (category_id, label) == (3101, "贷款")
    assert similarity == pytest.approx(1)


def test_a_confirmed_label_is_suggested_for_words_like_it() -> None:
    with_more = Suggester([*KNOWN, ("学而思", 3600)])

    assert with_more.suggest("学而思网校", k=1)[0][:2] == (3600, "学而思")


def test_no_known_label_and_no_answers_are_refused() -> None:
    with pytest.raises(InvalidArgument) as empty:
        Suggester([])
    with pytest.raises(InvalidArgument) as count:
        SUGGESTER.suggest("贷款", k=0)

    assert empty.value.reason == "FIELD_REQUIRED"
    assert count.value.reason == "FIELD_OUT_OF_RANGE"


@given(label=st.text(max_size=40), k=st.integers(1, 8))
def test_any_text_gets_at_most_k_answers_between_0_and_1(label: str, k: int) -> None:
    found = SUGGESTER.suggest(label, k)

    assert len(found) <= k
    assert all(0 < similarity <= 1 for _, _, similarity in found)
