"""Labels of several parts: what each says, and how their weights are shared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.taxonomy import crosswalk


def test_a_12321_report_says_what_and_how_in_one_label() -> None:
    xw = crosswalk.load()

    joint = xw.map_label("12321", "7|type:1")

    assert joint.rows == xw.map_label("12321", "7").rows
    assert joint.behaviours == ("B03",)
    assert xw.map_label("12321", "type:1").home == 2000


def test_a_joint_label_of_two_contents_shares_them_equally() -> None:
    mapped = crosswalk.load().map_label("x", "保险|快递")

    assert mapped.rows == ((3107, 0.5), (4100, 0.5))
    assert mapped.relations == ("narrower", "narrower")


def test_a_joint_label_of_two_equal_contents_keeps_their_relation() -> None:
    mapped = crosswalk.load().map_label("x", "保险|insurance")

    assert (mapped.rows, mapped.relation) == (((3107, 1.0),), "exact")


def test_an_unknown_content_keeps_the_behaviour_beside_it() -> None:
    mapped = crosswalk.load().map_label("x", "鬼知道|响一声")

    assert mapped.behaviours == ("B01",)


def test_a_joint_label_of_unknown_parts_is_unknown() -> None:
    assert crosswalk.load().map_label("x", "鬼知道|天晓得").relation == "unknown"


@given(
    parts=st.lists(
        st.sampled_from(["52", "快递", "响一声", "A1100", "鬼知道", "type:1", "", "中介"]),
        max_size=5,
    )
)
def test_any_joint_label_keeps_the_weights_whole(parts: list[str]) -> None:
    mapped = crosswalk.load().map_label("tencent", "|".join(parts))

    assert sum(weight for _, weight in mapped.rows) == pytest.approx(1, abs=1e-9)
    assert mapped.rows[0][1] == max(weight for _, weight in mapped.rows)
    assert mapped.relation == mapped.relations[0]
