"""Every page by axe-core: WCAG 2.2 A and AA, in both languages and themes."""

import pytest
from axe_playwright_python.sync_playwright import Axe

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
PUBLIC = ("/", "/contest", "/case", "/login", "/no-such-page")
STAFF = (
    (
        "ann",
        (
            "/queue",
            "/queue?show=all",
            "/numbers",
            "/sources",
            "/taxonomy",
            "/labels",
            "/health",
            "/sample",
            "/campaigns",
            "/consumers",
            "/referrals?show=all",
            "/holders",
        ),
    ),
    ("vic", ("/queue", "/sources")),
    ("olga", ("/outbox", "/health", "/notices")),
    ("audrey", ("/audit?verify=1",)),
)


def faults(page):
    found = Axe().run(page, options=RULES).response["violations"]
    return [
        (v["id"], v["impact"], [node["html"][:120] for node in v["nodes"]][:3])
        for v in found
        if v["impact"] in ("serious", "critical")
    ]


@pytest.fixture(scope="module")
def dispute(world, browser):
    """A dispute with marks, sources and a decision to be made, and its holder's case number."""
    from tests.browser.conftest import Visitor

    number = world.number()
    world.mark(number, "诈骗")
    world.mark(number, "快递", "app-two", 3)
    context = browser.new_context(locale="zh-CN")
    holder = Visitor(world, context.new_page())
    case_number = holder.file(number, "7", "不是我")
    holder.prove(case_number)
    context.close()
    return number, case_number


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_no_page_has_a_serious_fault(world, visit, dispute, language, scheme):
    number, case_number = dispute
    found = {}
    holder = visit(language, scheme)
    for path in PUBLIC:
        found[path] = faults(holder.go(path).page)
    holder.follow(case_number)
    found["case"] = faults(holder.page)
    holder.go("/")
    holder.page.fill("#number", number)
    holder.page.click("main button.main")
    found["lookup"] = faults(holder.page)
    for name, paths in STAFF:
        person = visit(language, scheme, name)
        for path in paths:
            found[f"{name} {path}"] = faults(person.go(path).page)
        if name in ("ann", "vic"):
            person.go(f"/disputes/{case_number.split('-')[0]}")
            found[f"{name} dispute"] = faults(person.page)
            person.shot(f"{name}-dispute-{scheme}-{language}")
        if name == "ann":
            person.go("/numbers")
            person.page.fill("main input[name=number]", number)
            person.page.click("main button.main")
            found["number"] = faults(person.page)

    assert {page: told for page, told in found.items() if told} == {}
