"""Reasons are words, in both languages."""

import pytest

from services.common import posterior
from services.features.definitions import NAMES
from services.reputation import texts
from services.reputation.feature_words import phrase


@pytest.mark.parametrize("feature", [*NAMES, *posterior.NAMES])
def test_every_feature_of_the_models_has_words(feature):
    found = phrase(feature)

    assert found is not None, f"add {feature} to services/reputation/feature_words.py"
    zh, en = found
    assert any("\u4e00" <= c <= "\u9fff" for c in zh)
    assert en.isascii()
    assert "_" not in zh + en


def test_features_of_one_family_are_told_apart():
    found = [phrase(name) for name in NAMES]

    said = {pair for pair in found if pair}
    assert len(said) == len(found)


def test_a_reason_says_what_raised_the_risk():
    assert texts.reason("night_ratio") == (
        "抬高风险：夜间拨出占比",
        "raises the risk: share of calls made at night",
    )
    assert texts.reason("near_10000_marks_mean")[1] == (
        "raises the risk: marks on each marked number among 10,000 neighbours"
    )


def test_a_feature_that_is_gone_is_still_shown():
    assert texts.reason("some_old_feature")[1] == "raises the risk: some old feature"
