"""A reviewer places a label that nobody knew, and the number changes."""

import uuid

import pytest


@pytest.mark.parametrize(
    ("language", "told"), [("zh-CN", "已确认，1 个号码将重新评定"), ("en", "Confirmed; 1 numbers")]
)
def test_a_reviewer_maps_an_unknown_label_and_the_effect_appears(world, visit, language, told):
    number, label = world.number(), f"贷款推广-{uuid.uuid4().hex[:8]}"
    world.mark(number, label)
    assert world.lookup_when(number, lambda found: found.version > 0).category != "A3101"
    ann = visit(language, "light", "ann").go("/labels")
    row = ann.page.locator("tr", has_text=label)
    row.locator("select").select_option("A3101")
    ann.shot(f"labels-{language}")
    row.locator("button").click()

    shown = ann.page.locator(".flash").inner_text()

    assert told in shown
    assert label in ann.page.locator("table").last.inner_text()
    world.lookup_when(number, lambda found: found.category == "A3101")
