"""Who is referred to whom, and which enterprises have many offending numbers."""

from services.arbitration.referrals.holders import offending_holders
from services.arbitration.referrals.referral import (
    authority_of_id,
    is_referred,
    referral_id,
)
from services.common.numbering import parse
from services.common.taxonomy import standard


def test_the_illegal_class_and_grave_nuisance_are_referred_and_marketing_is_not():
    std = standard.load()

    assert is_referred(std.category("A1100"))
    assert is_referred(std.category("A2100"))
    assert not is_referred(std.category("A3101"))
    assert not is_referred(std.category("A4100"))
    assert authority_of_id(std)[1103] == "公安部"
    assert authority_of_id(std)[1710] == "市场监管总局"
    assert set(authority_of_id(std).values()) <= set(std.authorities)


def test_an_id_is_its_numbers_epochs_and_categorys_alone():
    one = referral_id(b"k", 7, 0, 1100)

    assert one == referral_id(b"k", 7, 0, 1100)
    others = [(b"l", 7, 0, 1100), (b"k", 8, 0, 1100), (b"k", 7, 1, 1100), (b"k", 7, 0, 1101)]
    assert one not in {referral_id(*other) for other in others}


def test_holders_are_named_from_the_floor_on_and_a_numbers_own_registration_decides():
    keys = [parse(f"4001234{i:03d}", "CN").key for i in range(5)]
    registrations = [(0, "4001", "某中心"), (0, "40012349", "别的公司"), (keys[0], "", "某公司")]
    offending = [(key, 1 if i == 1 else 3, i == 1) for i, key in enumerate(keys)]

    found = offending_holders(registrations, offending, floor=3)

    (holder,) = found
    assert holder.holder == "某中心"
    assert holder.offending_count == 4
    assert holder.by_group == {1: 1, 3: 3}
    assert holder.referred_count == 1
    assert holder.registered_count == 0
    assert [h.holder for h in offending_holders(registrations, offending, floor=1)] == [
        "某中心",
        "某公司",
    ]


def test_numbers_that_nobody_registered_have_no_holder():
    assert offending_holders([], [(7, 1, False)], floor=1) == []
