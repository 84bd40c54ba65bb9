"""Real services in a process of their own, and a real Chromium before their pages."""

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from services.cli.session import Stubs
from services.common import rpc
from services.console.accounts import Accounts, hashed
from tests.answers import lookup_when
from zhengming.arbitration.v1 import dispute_pb2
from zhengming.ingest.v1 import ingest_pb2

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "var" / "screenshots"
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PASSWORD = "correct horse battery"
PEOPLE = (
    ("ann", "reviewer", ""),
    ("bo", "reviewer", ""),
    ("cy", "reviewer", ""),
    ("di", "reviewer", ""),
    ("vic", "vendor", "app-one"),
    ("val", "vendor", "app-two"),
    ("olga", "operator", ""),
    ("audrey", "auditor", ""),
    ("police", "authority", "公安部"),
)
DAY_MS = 86_400_000
_digits = iter(range(13600000001, 13699999999, 7_919))


class World:
    """The running services and what tests do to them behind the pages."""

    def __init__(self, folder: Path) -> None:
        accounts = Accounts(folder / "accounts.json")
        for name, role, source in PEOPLE:
            accounts.put(hashed(name, role, source, PASSWORD))
        environment = {
            **os.environ,
            "ZHENGMING_STORE": f"chdb:{folder / 'store'}",
            "ZHENGMING_ADDRESS": "127.0.0.1:0",
            "ZHENGMING_CONSOLE_ADDRESS": "127.0.0.1:0",
            "ZHENGMING_CONSOLE_RATE_SCALE": "1000",
            "ZHENGMING_ACCOUNTS": str(folder / "accounts.json"),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().split()[-1]
        self.url = self.process.stdout.readline().split()[-1]
        self.channel = rpc.connect(self.address)
        self.stubs = Stubs.of(self.channel)

    def end(self) -> None:
        self.channel.close()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()

    def number(self) -> str:
        return f"+86{next(_digits)}"

    def mark(
        self, number: str, label: str, source: str = "app-one", count: int = 8, age_days: int = 2
    ) -> None:
        now_ms = time.time_ns() // 1_000_000
        marks = []
        for i in range(count):
            mark = ingest_pb2.Mark(
                mark_id=uuid.uuid4().hex, number=number, label=label, reporter=f"r{i}"
            )
            back_ms = age_days * DAY_MS + (i % 5) * 3 * DAY_MS
            mark.occurred_time.FromMilliseconds(now_ms - back_ms)
            marks.append(mark)
        self.stubs.ingest.SubmitMarks(ingest_pb2.SubmitMarksRequest(source=source, marks=marks))
        self.lookup_when(number, lambda r: r.mark_count >= count)

    def reassign(self, number: str) -> None:
        event = ingest_pb2.LifecycleEvent(number=number, kind=ingest_pb2.LIFECYCLE_KIND_ASSIGNED)
        event.occurred_time.FromMilliseconds(time.time_ns() // 1_000_000 - DAY_MS)
        self.stubs.ingest.SubmitLifecycle(ingest_pb2.SubmitLifecycleRequest(events=[event]))

    def lookup_when(self, number, condition):
        return lookup_when(self, number, condition)

    def code_of(self, dispute_id: str) -> str:
        box = self.stubs.disputes.ListOutboxMessages(
            dispute_pb2.ListOutboxMessagesRequest(reader="test")
        )
        text = next(m.text for m in box.messages if dispute_id in m.text)
        return re.search(r"：(\d{6})，", text)[1]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    running = World(tmp_path_factory.mktemp("world"))
    yield running
    running.end()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


class Visitor:
    """One person before a browser."""

    def __init__(self, world: World, page: Page) -> None:
        self.world, self.page = world, page

    def go(self, path: str) -> "Visitor":
        self.page.goto(self.world.url + path)
        return self

    def log_in(self, name: str) -> "Visitor":
        self.go("/login")
        self.page.fill("#name", name)
        self.page.fill("#password", PASSWORD)
        self.page.click("main button.main")
        self.page.wait_for_selector(".who .name")
        return self

    def shot(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    def file(self, number: str, ground: str, statement: str) -> str:
        """File a dispute; returns the case number."""
        self.go("/contest")
        self.page.fill("#number", number)
        self.page.check(f"input[name=ground][value='{ground}']")
        self.page.fill("#statement", statement)
        self.page.click("main button.main")
        return self.page.inner_text("#case-number").strip()

    def prove(self, case_number: str) -> None:
        """Have a code sent and give it."""
        self.page.click("form[action$='/case/code'] button")
        self.page.fill("#code", self.world.code_of(case_number.split("-")[0]))
        self.page.click("form[action$='/case/prove'] button")
        self.page.wait_for_selector(".flash")

    def follow(self, case_number: str) -> None:
        self.go("/case")
        if self.page.locator("#case_number").count():
            self.page.fill("#case_number", case_number)
            self.page.click("main button.main")

    def judge(self, dispute_id: str, outcome: str, reason: str, text: str) -> None:
        """Give an opinion or decide, whichever the page offers."""
        self.go(f"/disputes/{dispute_id}")
        self.page.select_option("#outcome", outcome)
        self.page.select_option("#reason", reason)
        self.page.fill("#reply", text)
        self.page.click("form:has(#outcome) button.main")
        self.page.wait_for_selector(".flash")


@pytest.fixture
def visit(world: World, browser: Browser):
    """Makes visitors, each with a browser profile of their own."""
    contexts = []

    def new(language: str = "zh-CN", scheme: str = "light", name: str = "") -> Visitor:
        context = browser.new_context(
            locale=language, color_scheme=scheme, viewport={"width": 1280, "height": 860}
        )
        context.set_default_timeout(20_000)
        contexts.append(context)
        visitor = Visitor(world, context.new_page())
        if name:
            visitor.log_in(name)
        return visitor

    yield new
    for context in contexts:
        context.close()
