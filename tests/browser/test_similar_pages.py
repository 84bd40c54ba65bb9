"""Numbers that call alike and campaigns, clicked."""

import time

import pytest

from services.common import operations
from tests.browser.conftest import DAY_MS
from tests.browser.test_accessibility import faults
from zhengming.features.v1 import features_pb2
from zhengming.ingest.v1 import ingest_pb2

GANG = [f"+861361234{i:04d}" for i in range(100, 114)]
PEOPLE = [f"+86137{i * 7_919_111 % 10**8:08d}" for i in range(1, 40)]


@pytest.fixture(scope="module")
def gang(world):
    """Numbers of one block that ring once and are marked, among people who call as people do."""
    today = (time.time_ns() // 1_000_000 + 8 * 3_600_000) // DAY_MS
    for ago in (1, 2, 3):
        calls = [400 + i for i in range(len(GANG))] + [3 + i % 30 for i in range(len(PEOPLE))]
        answered = [5] * len(GANG) + [2 + i % 20 for i in range(len(PEOPLE))]
        world.stubs.ingest.SubmitBehaviour(
            ingest_pb2.SubmitBehaviourRequest(
                carrier="CMCC",
                numbers=GANG + PEOPLE,
                days=[today - ago] * len(calls),
                calls_out=calls,
                answered_out=answered,
                distinct_callees=calls,
                ring_only_out=[c - 10 for c in calls[: len(GANG)]] + [0] * len(PEOPLE),
                talk_s=[a * 40 for a in answered],
                cell_count=[1] * len(GANG) + [2 + i % 7 for i in range(len(PEOPLE))],
            )
        )
    for number in GANG[:4]:
        world.mark(number, "响一声")
    started = world.stubs.features.BuildFeatures(features_pb2.BuildFeaturesRequest())
    operations.wait(world.stubs.operations, started, features_pb2.BuildFeaturesResponse())
    return GANG


@pytest.mark.parametrize(
    ("language", "heading", "trait"),
    [
        ("zh-CN", "呼叫行为相似的号码", "响铃即挂占比"),
        ("en", "Numbers that call alike", "rung only"),
    ],
)
def test_a_reviewer_goes_from_a_campaign_to_a_member_and_to_the_next(
    world, visit, gang, language, heading, trait
):
    ann = visit(language, "light", "ann").go("/numbers")
    ann.page.click("main a.button")
    ann.shot(f"campaigns-{language}")
    told = faults(ann.page)
    card = ann.page.locator("section.card", has_text=gang[0]).first
    card.get_by_role("button", name=gang[0]).click()
    similar = ann.page.locator("section:has(#similar)")
    ann.shot(f"similar-{language}")
    told += faults(ann.page)

    assert told == []
    assert (
        "+861361234****" in ann.page.locator("section:has(#similar) p", has_text="14").inner_text()
    )
    assert heading in similar.inner_text()
    assert trait in similar.inner_text()
    rows = similar.locator("tbody tr")
    first = rows.first.get_by_role("button").inner_text()
    rows.first.get_by_role("button").click()

    assert first in gang
    assert rows.count() == 8
    assert first in ann.page.locator("#now").inner_text()


def test_a_number_of_which_no_carrier_tells_says_so(world, visit):
    ann = visit("en", "light", "ann").go("/numbers")

    ann.page.fill("main input[name=number]", "+8615912345678")
    ann.page.click("main button.main")

    assert "No carrier tells" in ann.page.locator("section:has(#similar)").inner_text()


def test_the_dispute_page_shows_numbers_that_call_alike(world, visit, gang):
    holder = visit("zh-CN")
    case_number = holder.file(gang[1], "7", "不是我")
    holder.prove(case_number)
    ann = visit("zh-CN", "dark", "ann")

    ann.go(f"/disputes/{case_number.split('-')[0]}")
    ann.shot("similar-dispute-zh-CN")

    assert faults(ann.page) == []
    listed = ann.page.locator("section:has(#similar) tbody tr")
    assert listed.count() == 8
    assert "团伙线索" in ann.page.locator("section:has(#similar)").inner_text()


@pytest.mark.parametrize("name", ["vic", "olga"])
def test_vendors_and_operators_see_no_campaigns(world, visit, name):
    person = visit("en", "light", name)

    shown = person.go("/campaigns").page.locator("main").inner_text()

    assert "Your role may not see this" in shown
