"""What holders, reviewers and vendors do, clicked."""

import pytest

from services.common.numbering import parse
from services.consumer.sync import Consumer

UPHELD, RELABELLED, CLEARED, REJECTED = "1", "2", "3", "4"
MARKS_UNFOUNDED, MARKS_FOUNDED = "3", "4"
REASSIGNED, OTHER = "1", "7"


@pytest.mark.parametrize(
    ("language", "shown", "cleared", "waiting"),
    [
        ("zh-CN", "清除标签", "经核查无不良", "尚未应用"),
        ("en", "Cleared", "Reviewed and cleared", "not yet"),
    ],
)
def test_a_recycled_number_is_cleared_at_once_and_looks_so_everywhere(
    world, visit, language, shown, cleared, waiting, tmp_path
):
    number = world.number()
    world.mark(number, "骚扰电话", age_days=20)
    carrier = Consumer(world.channel, tmp_path / "copy", name="carrier-of-the-test")
    before, _ = carrier.catch_up()
    world.reassign(number)
    holder = visit(language)

    case_number = holder.file(number, REASSIGNED, "本月新办的号码")
    holder.shot(f"case-filed-{language}")
    holder.prove(case_number)
    world.lookup_when(number, lambda r: r.rule == "decided_clear@1")
    holder.go("/case")
    not_yet = holder.page.inner_text("section[aria-labelledby=arrivals]")
    after, _ = carrier.catch_up()
    holder.go("/case")
    arrived = holder.page.inner_text("section[aria-labelledby=arrivals]")

    key = parse(number).key
    assert before.find(key)["category"] > 0
    assert after.find(key)["category"] == 0
    assert waiting in not_yet.split("carrier-of-the-test")[1].splitlines()[0]
    assert waiting not in arrived.split("carrier-of-the-test")[1].splitlines()[0]
    assert shown in holder.page.inner_text("#outcome")
    holder.shot(f"case-cleared-{language}")
    holder.go("/")
    holder.page.fill("#number", number)
    holder.page.click("main button.main")
    assert cleared in holder.page.inner_text("main")
    holder.shot(f"lookup-cleared-{language}")


@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_a_fraud_label_takes_two_blind_reviewers_who_differ_and_a_third(world, visit, language):
    number = world.number()
    world.mark(number, "诈骗", count=9)
    world.mark(number, "冒充客服", "app-two", 4, age_days=5)
    holder = visit(language)
    case_number = holder.file(number, OTHER, "我们是正规客服中心，从未诈骗。")
    dispute_id = case_number.split("-")[0]
    holder.prove(case_number)
    for name in ("vic", "val"):
        vendor = visit(language, name=name).go(f"/disputes/{dispute_id}")
        vendor.page.check("input[name=stance][value='1']")
        vendor.page.fill("#text", "多名用户举报，属实")
        vendor.page.click("main button.main")
        vendor.page.wait_for_selector(".flash.done")
    first, second = visit(language, name="ann"), visit(language, name="bo")
    third = visit(language, "dark", name="cy")

    first.judge(dispute_id, UPHELD, MARKS_FOUNDED, "录音与转账记录可以证明")
    second.go(f"/disputes/{dispute_id}")
    while_blind = second.page.inner_text("main")
    second.shot(f"dispute-{language}")
    second.judge(dispute_id, CLEARED, MARKS_UNFOUNDED, "未见实际损失")
    third.go(f"/disputes/{dispute_id}")
    for_the_third = third.page.inner_text("main")
    third.shot(f"dispute-dark-{language}")
    third.judge(dispute_id, UPHELD, MARKS_FOUNDED, "经复核，标记有事实依据。")

    assert "录音与转账记录" not in while_blind
    assert "录音与转账记录" in for_the_third
    assert "未见实际损失" in for_the_third
    found = world.lookup_when(number, lambda r: r.rule == "decided@1")
    assert found.level == 4
    holder.go("/case")
    told = holder.page.inner_text("main")
    assert "经复核，标记有事实依据。" in told
    assert "ann" not in told
    assert "未见实际损失" not in told
    holder.shot(f"case-upheld-{language}")


def test_an_appeal_goes_to_another_reviewer(world, visit):
    number = world.number()
    world.mark(number, "贷款")
    holder = visit()
    case_number = holder.file(number, OTHER, "不是贷款推销")
    dispute_id = case_number.split("-")[0]
    holder.prove(case_number)
    vendor = visit(name="vic").go(f"/disputes/{dispute_id}")
    vendor.page.check("input[name=stance][value='3']")
    vendor.page.click("main button.main")
    first = visit(name="ann")
    first.judge(dispute_id, UPHELD, MARKS_FOUNDED, "标记有依据")

    holder.go("/case")
    holder.page.fill("#appeal ~ form textarea", "请再看一次通话记录")
    holder.page.click("form[action$='/case/appeal'] button")
    first.go(f"/disputes/{dispute_id}")
    kept_out = first.page.locator("#outcome").count() == 0
    visit(name="bo").judge(dispute_id, CLEARED, MARKS_UNFOUNDED, "申诉成立")

    assert kept_out
    world.lookup_when(number, lambda r: r.rule == "decided_clear@1")
    holder.go("/case")
    assert "申诉成立" in holder.page.inner_text("main")
    assert holder.page.locator("#appeal").count() == 0
    holder.shot("case-appealed")


def test_a_vendor_sees_its_own_scorecard_and_cases_and_no_others(world, visit):
    number = world.number()
    world.mark(number, "保险", "app-two")
    holder = visit()
    case_number = holder.file(number, OTHER, "不是推销")
    holder.prove(case_number)
    vendor = visit(name="vic")

    vendor.go("/sources")
    cards = vendor.page.inner_text("main table")
    vendor.shot("scorecard-vendor")
    other = vendor.page.goto(f"{world.url}/sources?source=app-two")
    case = vendor.page.goto(f"{world.url}/disputes/{case_number.split('-')[0]}")
    pages = [vendor.page.goto(world.url + path) for path in ("/audit", "/outbox", "/numbers")]

    assert "app-one" in cards
    assert "app-two" not in cards
    assert [other.status, case.status] == [403, 403]
    assert [page.status for page in pages] == [403, 403, 403]


def test_a_label_is_withheld_while_contested_and_back_when_withdrawn(world, visit):
    number = world.number()
    world.mark(number, "贷款")
    holder = visit("en")
    case_number = holder.file(number, OTHER, "Not me")
    holder.prove(case_number)
    withheld = world.lookup_when(number, lambda r: r.rule == "disputed@1")

    holder.go("/case")
    holder.page.click("form[action$='/case/withdraw'] button")

    assert withheld.category == ""
    world.lookup_when(number, lambda r: r.category == "A3101")
    assert "Withdrawn" in holder.page.inner_text("main")


def test_the_operator_finds_the_code_to_send(world, visit):
    number = world.number()
    holder = visit()
    case_number = holder.file(number, OTHER, "想了解情况")
    holder.page.click("form[action$='/case/code'] button")

    operator = visit(name="olga").go("/outbox")

    assert world.code_of(case_number.split("-")[0]) in operator.page.inner_text("main")
    operator.shot("outbox")


def test_the_auditor_proves_the_chain(world, visit):
    auditor = visit(name="audrey").go("/audit")

    auditor.page.click("main button.main")

    assert "完整" in auditor.page.inner_text(".flash.done")
    auditor.shot("audit")


def test_the_queue_is_worked_by_keyboard(world, visit):
    number = world.number()
    world.mark(number, "推销")
    holder = visit()
    holder.prove(holder.file(number, OTHER, "不是推销"))
    reviewer = visit("en", name="di").go("/queue?show=all")
    reviewer.shot("queue-en")

    reviewer.page.keyboard.press("j")
    reviewer.page.keyboard.press("Enter")
    reviewer.page.wait_for_url("**/disputes/*")

    assert reviewer.page.locator("h1").count() == 1


def test_a_number_page_shows_marks_by_source(world, visit):
    number = world.number()
    world.mark(number, "推销", "app-one", 5)
    world.mark(number, "快递", "app-two", 2)
    reviewer = visit(name="ann").go("/numbers")

    reviewer.page.fill("main input[name=number]", number)
    reviewer.page.click("main button.main")

    lanes = reviewer.page.locator("svg.plot .lane").all_text_contents()
    assert sorted(lanes) == ["app-one", "app-two"]
    reviewer.shot("number")
