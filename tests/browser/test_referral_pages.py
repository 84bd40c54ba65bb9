"""Referrals, enterprises and notices, clicked, in both languages and themes."""

import time

import pytest

from tests.browser.test_accessibility import faults
from zhengming.arbitration.v1 import arbitration_pb2
from zhengming.ingest.v1 import ingest_pb2

DAY_MS = 86_400_000
LOOKS = [("zh-CN", "light"), ("zh-CN", "dark"), ("en", "light"), ("en", "dark")]


def decide(world, number, category):
    decision = arbitration_pb2.Decision(number=number, category=category, authority="反诈中心")
    decision.decided_time.FromMilliseconds(time.time_ns() // 1_000_000 - 1000)
    world.stubs.arbitration.SubmitDecisions(
        arbitration_pb2.SubmitDecisionsRequest(decisions=[decision])
    )
    world.lookup_when(number, lambda r: r.rule == "decided@1")


@pytest.fixture(scope="module")
def enterprise(world):
    numbers = [world.number() for _ in range(4)]
    rows = [
        ingest_pb2.Registration(number=n, holder="某某金融信息服务公司", identity="C03")
        for n in numbers
    ]
    for row in rows:
        row.valid_from_time.FromMilliseconds(time.time_ns() // 1_000_000 - DAY_MS)
    world.stubs.ingest.SubmitRegistry(ingest_pb2.SubmitRegistryRequest(registrations=rows))
    for at, number in enumerate(numbers):
        decide(world, number, "A1100" if at == 0 else "A3101")


@pytest.mark.parametrize(("language", "scheme"), LOOKS)
def test_a_number_is_referred_and_its_authority_answers(world, visit, enterprise, language, scheme):
    number = world.number()
    world.mark(number, "诈骗")
    decide(world, number, "A1100")
    ann = visit(language, scheme, "ann").go("/referrals")
    ann.page.click("form[action$='/referrals/draw'] button")
    row = ann.page.locator("tbody tr", has_text=number)
    row.wait_for()
    ann.shot(f"referrals-{scheme}-{language}")
    found = {"list": faults(ann.page)}
    police = visit(language, scheme, "police")
    police.page.locator("tbody tr", has_text=number).locator("a").first.click()
    police.page.select_option("#disposition", "5")
    police.page.fill("#text", "号码已关停 / number shut down")
    police.page.click("main button.main")
    police.page.wait_for_selector(".flash.done")
    police.shot(f"referral-{scheme}-{language}")
    found["one"] = faults(police.page)
    ann.go("/numbers")
    ann.page.fill("main input[name=number]", number)
    ann.page.click("main button.main")
    shown = ann.page.locator("section[aria-labelledby=referred]").inner_text()
    ann.shot(f"number-referred-{scheme}-{language}")
    found["number"] = faults(ann.page)
    ann.go("/holders")
    listed = ann.page.locator("main").inner_text()
    ann.shot(f"holders-{scheme}-{language}")
    found["holders"] = faults(ann.page)

    assert "number shut down" in shown
    assert "某某金融信息服务公司" in listed
    assert {page: told for page, told in found.items() if told} == {}


@pytest.mark.parametrize(("language", "scheme"), LOOKS)
def test_the_operator_adds_and_removes_an_address(visit, language, scheme):
    olga = visit(language, scheme, "olga").go("/notices")
    olga.page.fill("#name", "app-hook")
    olga.page.fill("#url", f"https://hooks.example/{language}/{scheme}")
    olga.page.click("section button.main")
    told = olga.page.inner_text(".flash.done")
    olga.shot(f"notices-{scheme}-{language}")
    found = {"list": faults(olga.page)}
    row = olga.page.locator("tbody tr", has_text=f"/{language}/{scheme}")
    row.locator("a").click()
    olga.shot(f"notice-target-{scheme}-{language}")
    found["target"] = faults(olga.page)
    olga.go("/notices")
    row.locator("button[value=remove]").click()
    olga.page.wait_for_selector(".flash.done")

    assert "whsec_" in told
    assert row.count() == 0
    assert {page: told for page, told in found.items() if told} == {}
