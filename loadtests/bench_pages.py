"""How long the console's pages take over a country's store: python -m loadtests.bench_pages.

All services run in one process over the embedded store. A page's time is from its request to the
last byte of its answer, on loopback: the server's time and a little more. Every request asks for
another number or dispute where the page is of one. Beside it stands the processor time that all
services took, which other work on the machine does not stretch.
"""

import argparse
import re
import socket
import statistics
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from loadtests import bars, page_rows, page_store
from loadtests.servers import resident_mib, started
from loadtests.visitor import Visitor

BAR_MS = 200
WAIT_S = 120
MARK_IDS = [f"m{i}" for i in range(100)]


@dataclass(frozen=True)
class Page:
    """What is asked for, and what the answer must have in it; both know which round it is."""

    name: str
    ask: Callable[[int], tuple[float, str]]
    shows: Callable[[int], str]


def pages(
    url: str, people: dict[str, Visitor], cases: list[tuple[str, str, str]], referrals: list[str]
) -> Iterator[Page]:
    """Every page, for a role that may see it."""
    ann, vic, olga = people["ann"], people["vic"], people["olga"]
    audrey, police, holder = people["audrey"], people["police"], people["holder"]

    def at(place: int) -> Callable[[int], str]:
        return lambda i: cases[i % len(cases)][place]

    dispute, case, number = at(0), at(1), at(2)

    def page(name: str, who: Visitor, path: str, shows: str) -> Page:
        return Page(name, lambda i: who.ask(path), lambda i: shows)

    def follow(i: int) -> tuple[float, str]:
        holder.ask("/case", {"case_number": case(i)})
        return holder.ask("/case")

    for show in ("open", "review", "sources", "unproven", "decided", "all"):
        yield page(f"queue: {show}", ann, f"/queue?show={show}", "/disputes/ZM")
    for filters in ("grave=1", "overdue=1", f"source={page_rows.SOURCES[1]}"):
        yield page(f"queue: {filters}", ann, f"/queue?show=all&{filters}", "/disputes/ZM")
    yield Page(
        "queue: a number",
        lambda i: ann.ask(f"/queue?show=all&number={urllib.parse.quote(number(i))}"),
        dispute,
    )
    _, first = ann.ask("/queue?show=all")
    later = re.findall(r'href="(/queue\?[^"]*page=[^"]+)"', first)[0].replace("&amp;", "&")
    yield page("queue: second page", ann, later, "/disputes/ZM")
    yield page("queue of a vendor", vic, "/queue?show=all", "/disputes/ZM")
    yield Page("a dispute", lambda i: ann.ask(f"/disputes/{dispute(i)}"), dispute)
    yield Page("a number", lambda i: ann.ask("/numbers", {"number": number(i)}), dispute)
    yield page("sources", ann, "/sources", page_rows.SOURCES[1])
    yield page("sources of a vendor", vic, "/sources", page_rows.SOURCES[0])
    yield page("a scorecard", vic, f"/sources/{page_rows.SOURCES[0]}", page_rows.SOURCES[0])
    yield page("the weekly sample", ann, "/sample", 'name="number" value="+86')
    yield page("consumers", olga, "/consumers", "carrier-7")
    yield page("taxonomy", ann, "/taxonomy", "A3107")
    yield page("unknown labels", ann, "/labels", page_rows.STRANGE[0])
    yield page("referrals", ann, "/referrals", "/referrals/")
    yield page("referrals: all", ann, "/referrals?show=all", "/referrals/")
    yield page("referrals of an authority", police, "/referrals", "公安部")
    yield Page(
        "a referral",
        lambda i: ann.ask(f"/referrals/{referrals[i % len(referrals)]}"),
        lambda i: referrals[i % len(referrals)],
    )
    yield page("enterprises that offend", ann, "/holders", "号公司")
    yield page("campaigns", ann, "/campaigns", "+86")
    yield page("notices", vic, "/notices", "127.0.0.1:9")
    _, listed = vic.ask("/notices")
    found = re.search(r"/notices/([A-Za-z0-9]+)", listed)
    assert found is not None
    yield page("notices of a target", vic, f"/notices/{found[1]}", "n99999")
    yield page("notices, the operator's", olga, "/notices", "127.0.0.1:9")
    yield page("outbox", olga, "/outbox", "验证码")
    yield page("health", olga, "/health", "reputation")
    yield page("audit", audrey, "/audit", "ann")
    yield page("public: home", holder, "/", "/number")
    yield Page("public: a number", lambda i: holder.ask("/number", {"number": number(i)}), number)
    yield page("public: contest", holder, "/contest", "statement")
    yield Page("public: a case", follow, case)
    yield Page("API: a reputation", lambda i: holder.call(f"/reputations/{number(i)}"), number)
    yield Page("API: a number", lambda i: holder.call(f"/numbers/{number(i)}"), lambda i: "kind")
    batch = {"numbers": [found for _, _, found in cases]}
    yield Page(
        f"API: {len(cases)} reputations",
        lambda i: holder.call("/reputations:batchGet", batch, "vic"),
        number,
    )
    yield Page(
        "API: a case", lambda i: holder.call("/disputes:get", {"case_number": case(i)}), dispute
    )
    yield Page(
        f"API: status of {len(MARK_IDS)} marks",
        lambda i: holder.call("/marks:getStatus", {"mark_ids": MARK_IDS}, "vic"),
        lambda i: MARK_IDS[-1],
    )
    yield Page("API: description", lambda i: holder.call("/openapi.json"), lambda i: "openapi")


def measure(page: Page, rounds: int, process: psutil.Process) -> tuple[float, float, float]:
    """Median and most of the rounds after the first, ms, and the server's processor time of one.

    Raises:
        RuntimeError: an answer is not what the page is for.
    """
    times, used_s = [], 0.0
    for i in range(rounds + 1):
        if i == 1:
            used_s = _used_s(process)
        taken, text = page.ask(i)
        if page.shows(i) not in text:
            raise RuntimeError(f"{page.name}: has no {page.shows(i)!r} in it")
        times.append(taken)
    each_ms = (_used_s(process) - used_s) * 1000 / rounds
    return statistics.median(times[1:]), max(times[1:]), each_ms


def _used_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def console(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The services over the store: the address of their pages, and their process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    chosen = {**page_store.variables(folder), "ZHENGMING_CONSOLE_ADDRESS": address}
    with started(["-m", "services"], chosen) as (process, _):
        until = time.monotonic() + WAIT_S
        while True:
            try:
                urllib.request.urlopen(f"http://{address}/", timeout=WAIT_S).close()
                break
            except urllib.error.URLError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
        yield f"http://{address}", process


def run(folder: Path, rounds: int, only: str) -> int:
    """Measure, print; how many pages failed or have a median above the bar."""
    cases, referrals = page_store.sample_of(folder, 20)
    with console(folder) as (url, process):
        people = {name: Visitor(url, name, page_store.PASSWORD) for name, _, _ in page_store.PEOPLE}
        people["holder"] = Visitor(url, password=page_store.PASSWORD)
        slow = 0
        print(f"{'page':34} {'p50':>9} {'max':>9} {'processor':>10}   bar {BAR_MS} ms", flush=True)
        for page in pages(url, people, cases, referrals):
            if only not in page.name:
                continue
            try:
                p50, most, used = measure(page, rounds, process)
            except RuntimeError as error:
                print(f"{page.name:34} failed: {error}", flush=True)
                slow += 1
                continue
            slow += not bars.at_most(f"page {page.name}, p50 in ms", p50, BAR_MS)
            over = "" if most <= BAR_MS else "  max above" if p50 <= BAR_MS else "  above"
            print(f"{page.name:34} {p50:6.0f} ms {most:6.0f} ms {used:7.0f} ms{over}", flush=True)
        print(f"resident memory of the services: {resident_mib(process):,.0f} MiB")
    return slow


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numbers", type=int, default=1_000_000)
    parser.add_argument("--disputes", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=11, help="timed requests of each page")
    parser.add_argument("--only", default="", help="pages with this in their name")
    parser.add_argument("--folder", type=Path, help="keep the store there, or use the one kept")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = chosen.folder or Path(made)
        began = time.monotonic()

        def say(text: str) -> None:
            print(f"{time.monotonic() - began:6.0f} s  {text}", file=sys.stderr, flush=True)

        if not (folder / "store").exists():
            page_store.build(folder, chosen.numbers, chosen.disputes, say)
        say(page_store.proven(folder))
        return int(run(folder, chosen.rounds, chosen.only) > 0)


if __name__ == "__main__":
    sys.exit(main())
