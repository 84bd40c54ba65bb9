"""Meanings that a reviewer confirmed: what they answer for, and those that are refused."""

from datetime import date

import pytest

from services.common.errors import InvalidArgument
from services.common.taxonomy import crosswalk
from services.common.taxonomy.meanings import Meaning


def meaning(scheme: str, label: str, *weighted: tuple[int, float]) -> Meaning:
    return Meaning(
        scheme=scheme,
        label=label,
        names=(),
        says_what=True,
        rows=weighted,
        relations=("narrower",) * len(weighted),
        behaviours=(),
        version="1.0.0",
        valid_from=date(2026, 11, 24),
        note="confirmed by a reviewer",
    )


def test_a_confirmed_mapping_answers_for_what_was_unknown() -> None:
    before = crosswalk.load()

    after = before.with_meanings([meaning("words", "学而思", (3600, 0.9), (3000, 0.1))])

    assert before.map_label("x", "学而思").relation == "unknown"
    assert after.map_label("x", "学而思").rows == ((3600, 0.9), (3000, 0.1))
    assert after.map_label("x", "保险") == before.map_label("x", "保险")


def test_a_confirmed_mapping_wins_over_the_table() -> None:
    after = crosswalk.load().with_meanings([meaning("tencent", "52", (3107, 1.0))])

    assert after.map_label("tencent", "保险理财").home == 3100
    assert after.map_label("tencent", "52").home == 3107


def test_a_confirmed_mapping_of_one_vendor_makes_its_scheme() -> None:
    after = crosswalk.load().with_meanings([meaning("teddy", "t9", (4100, 1.0))])

    assert after.map_label("teddy-2026", "T9").home == 4100
    assert after.map_label("360", "T9").relation == "unknown"
    assert after.map_label("teddy", "保险").home == 3107


@pytest.mark.parametrize(
    ("scheme", "weighted", "reason", "field"),
    [
        ("words", ((3600, 0.5),), "MAPPING_INVALID", "rows"),
        ("words", (), "MAPPING_INVALID", "rows"),
        ("words", ((3600, 0.4), (3000, 0.6)), "MAPPING_INVALID", "rows"),
        ("words", ((3600, 0.5), (3600, 0.5)), "MAPPING_INVALID", "rows"),
        ("words", ((3600, 1.5), (3000, -0.5)), "MAPPING_INVALID", "rows"),
        ("standard", ((3600, 1.0),), "MAPPING_INVALID", "scheme"),
        ("Teddy", ((3600, 1.0),), "MAPPING_INVALID", "scheme"),
        ("", ((3600, 1.0),), "MAPPING_INVALID", "scheme"),
        ("words", ((3608, 1.0),), "CATEGORY_UNKNOWN", "category"),
    ],
)
def test_a_confirmed_mapping_that_is_unsound_is_refused(
    scheme: str, weighted: tuple[tuple[int, float], ...], reason: str, field: str
) -> None:
    with pytest.raises(InvalidArgument, match=f"^{field}: ") as caught:
        crosswalk.load().with_meanings([meaning(scheme, "学而思", *weighted)])

    assert caught.value.reason == reason
