"""The weekly sample and the scorecards, clicked."""

import pytest


@pytest.mark.parametrize(("language", "word"), [("zh-CN", "已复核"), ("en", "Reviewed")])
def test_a_reviewer_draws_the_sample_and_says_what_is_true(world, visit, language, word):
    number = world.number()
    for app in ("app-one", "app-two"):
        world.mark(number, "贷款", app, 5)
    world.lookup_when(number, lambda found: bool(found.category))
    ann = visit(language, "light", "ann").go("/sample")
    draw = ann.page.locator("form:has(input[value=draw]) button")
    if draw.count():
        draw.click()
    row = ann.page.locator("tbody tr:has(select)").first
    drawn = row.locator("td").first.inner_text()
    row.locator("select").select_option(index=1)
    row.locator("button").click()
    ann.shot(f"sample-{language}")

    again = ann.page.locator("tbody tr:has(select)", has_text=drawn)

    assert again.locator("select").input_value().startswith("A")
    assert word in ann.page.locator("main").inner_text()
    assert ann.page.locator("svg.plot circle").count() >= 1


def test_a_vendor_opens_its_own_scorecard_and_no_other(world, visit):
    vic = visit("en", "light", "vic")

    other = vic.go("/sources/app-two").page.locator("main").inner_text()

    assert "Your role may not see this" in other
