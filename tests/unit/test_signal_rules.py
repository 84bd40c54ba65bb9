"""The rules of signals as a file: what is shipped, and what is refused."""

import copy
from pathlib import Path

import pytest
import yaml

from services.common.errors import InvalidArgument
from services.features.signals import load
from services.features.signals.page import page
from services.features.signals.rules import FILE, parse

GIVEN = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SHIPPED = ["B01", "B02", "B03", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B13"]


def test_every_behaviour_that_calls_can_show_has_a_rule_with_its_source():
    rules = load().rules

    assert [rule.code for rule in rules] == SHIPPED
    assert all(len(rule.source) > 40 and rule.version >= 1 for rule in rules)


def test_the_page_is_written_from_the_rules():
    assert Path("docs/signals.md").read_text(encoding="utf-8") == "\n".join(page(load()))


def change(path, value):
    given = copy.deepcopy(GIVEN)
    at = given
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return given


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("rules", 0, "code"), "B99", "B99"),
        (("rules", 1, "code"), "B01", "rules"),
        (("rules", 0, "cases"), [], "B01"),
        (("rules", 0, "cases"), [{}], "B01"),
        (("rules", 0, "cases", 0), {"height": ">= 1"}, "B01"),
        (("rules", 0, "cases", 0), {"calls_out": "> 1"}, "B01"),
        (("rules", 0, "cases", 0), {"calls_out": ">= 1; DROP TABLE marks"}, "B01"),
        (("rules", 0, "kinds"), ["CN_PAGER"], "B01"),
        (("rules", 0, "outbound"), "allowed", "B01"),
        (("rules", 0), {"code": "B01"}, "file"),
        (("victim",), {}, "file"),
        (("window_days",), "a month", "file"),
        (("window_days",), 31, "window_days"),
        (("window_days",), 0, "window_days"),
    ],
)
def test_a_fault_names_the_rule(path, value, field):
    with pytest.raises(InvalidArgument) as caught:
        parse(change(path, value))

    assert caught.value.reason == "RULES_INVALID"
    assert caught.value.metadata["field"] == field
