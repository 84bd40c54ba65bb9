"""Features are defined once, and the catalogue is written from there."""

from pathlib import Path

from services.features.definitions import FEATURES, GROUPS, NAMES
from services.features.page import page


def test_the_page_is_written_from_the_definitions():
    written = Path("docs/features.md").read_text(encoding="utf-8")

    assert written == "\n".join(page(GROUPS, FEATURES))


def test_every_feature_says_its_unit_and_formula_and_belongs_to_a_group():
    assert len(set(NAMES)) == len(FEATURES)
    assert {feature.group for feature in FEATURES} == {group.name for group in GROUPS}
    assert all(feature.unit and feature.description for feature in FEATURES)


def test_a_unit_agrees_with_the_suffix_of_the_name():
    for feature in FEATURES:
        if feature.name.endswith("_ratio") and feature.name != "marks_per_answered_ratio":
            assert feature.unit == "1", feature.name
        if feature.name.endswith("_days") and "volume" not in feature.name:
            assert feature.unit == "days", feature.name
        if feature.name.endswith("_bits"):
            assert feature.unit == "bits", feature.name
