"""The store that the pages are measured over: numbers, disputes, and what follows from them."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from loadtests import dispute_rows, page_rows
from services.application import ROOT
from services.arbitration.disputes import queries as dispute_queries
from services.arbitration.disputes.cases import Cases, OutboxSender
from services.arbitration.disputes.words import State as DisputeState
from services.arbitration.engine import Engine
from services.arbitration.notices import queries as notice_queries
from services.arbitration.notices.notice import DISPUTE_CHANGED, Attempt, Notice, State
from services.cli.session import Stubs, run_pipeline
from services.common.clock import wall_clock_ms
from services.common.migrate import migrate
from services.common.numbering import from_key
from services.common.store import Store, open_store
from services.configuration import NAMES, Configuration, environment, read_key
from services.console.accounts import Accounts, hashed
from tests.services_in_process import serving
from zhengming.arbitration.v1 import ledger_pb2, notice_pb2, referral_pb2

PASSWORD = "correct horse battery"
PEOPLE = (
    ("ann", "reviewer", ""),
    ("vic", "vendor", page_rows.SOURCES[0]),
    ("olga", "operator", ""),
    ("audrey", "auditor", ""),
    ("police", "authority", "公安部"),
)
DAY_MS = 86_400_000
NOTICES, CONSUMERS, RECEIPTS, MESSAGES, REVIEWED, REFERRED = 100_000, 30, 1_000, 5_000, 100, 10_000

Say = Callable[[str], None]


def variables(folder: Path) -> dict[str, str]:
    """Where the services keep everything under a folder; limits wide enough for one visitor."""
    return {
        "ZHENGMING_STORE": f"chdb:{folder / 'store'}",
        "ZHENGMING_ADDRESS": "127.0.0.1:0",
        "ZHENGMING_CONSOLE_RATE_SCALE": "100000",
        "ZHENGMING_PRIVATE_NOTICES": "1",
    }


def build(folder: Path, numbers: int, disputes: int, say: Say) -> None:
    """Fill the store of an empty folder."""
    configuration, now_ms = environment(variables(folder)), wall_clock_ms()
    store = open_store(configuration.store)
    for name in NAMES:
        migrate(store, name, ROOT / name / "schema", clock=wall_clock_ms)
    keys = page_rows.fill(store, numbers, now_ms)
    say(f"{len(keys):,} numbers with their facts")
    contested = np.random.default_rng(3).choice(keys, disputes, replace=False).tolist()
    cases = cases_of(store, configuration)
    events, ids = dispute_rows.write(store, cases, contested, now_ms)
    say(f"{len(ids):,} disputes, {events:,} events")
    store.close()
    with serving(configuration, wall_clock_ms, follow=False) as running:
        stubs = running.stubs
        run_pipeline(stubs, None, lambda step: say(f"pipeline: {step}"))
        _papers(stubs, say)
        target = _target(stubs)
    store = open_store(configuration.store)
    _told(store, target, ids, contested, now_ms)
    store.close()
    accounts = Accounts(configuration.accounts)
    for name, role, source in PEOPLE:
        accounts.put(hashed(name, role, source, PASSWORD))


def cases_of(store: Store, configuration: Configuration) -> Cases:
    """Disputes over a store that no service has open."""
    return Cases(
        store,
        Engine(store),
        wall_clock_ms,
        read_key(configuration.key_file),
        OutboxSender(store, wall_clock_ms),
        lambda numbers: None,
        secrets.randbelow,
    )


def _papers(stubs: Stubs, say: Say) -> None:
    """The week's sample and its review, referrals and what authorities answered."""
    drawn = stubs.ledger.DrawSample(ledger_pb2.DrawSampleRequest(), timeout=300)
    for label in drawn.labels[:REVIEWED]:
        stubs.ledger.ReviewSample(
            ledger_pb2.ReviewSampleRequest(
                number=label.number, verdict=label.category, reviewer="ann"
            ),
            timeout=60,
        )
    stubs.referrals.DrawReferrals(
        referral_pb2.DrawReferralsRequest(
            request_id="bench", drawn_by="ann", maximum_count=REFERRED
        ),
        timeout=300,
    )
    listed = stubs.referrals.ListReferrals(
        referral_pb2.ListReferralsRequest(reader="ann", page_size=1_000), timeout=300
    )
    request = referral_pb2.RecordFeedbackRequest(recorded_by="ann")
    for found in listed.referrals:
        item = request.feedback.add(referral_id=found.referral_id, disposition=1)
        item.dispose_time.FromMilliseconds(wall_clock_ms() - DAY_MS)
    if listed.referrals:
        stubs.referrals.RecordFeedback(request, timeout=300)
    say(f"a sample of {len(drawn.labels)} labels, {listed.total_count:,} referrals")


def _target(stubs: Stubs) -> str:
    made = stubs.notices.CreateNoticeTarget(
        notice_pb2.CreateNoticeTargetRequest(
            source=page_rows.SOURCES[0], url="http://127.0.0.1:9/notices", created_by="vic"
        ),
        timeout=60,
    )
    return str(made.target_id)


def _told(store: Store, target: str, ids: list[str], contested: list[int], now_ms: int) -> None:
    """Notices that were brought, what consumers reported, messages to send."""
    for start in range(0, NOTICES, 20_000):
        rows = range(start, start + 20_000)
        times = [now_ms - (NOTICES - i) * 60_000 for i in rows]
        body = '{"dispute_id":"%s","event":"DECIDED"}'
        notice_queries.insert_notices(
            store,
            [
                Notice(f"n{i}", target, DISPUTE_CHANGED, body % ids[i % len(ids)], i, time)
                for i, time in zip(rows, times, strict=True)
            ],
        )
        notice_queries.insert_attempts(
            store,
            [
                Attempt(f"n{i}", target, 1, 1, State.DELIVERED, 200, "", time, 0)
                for i, time in zip(rows, times, strict=True)
            ],
        )
    count = CONSUMERS * RECEIPTS
    receipts: dict[str, Any] = {
        "consumer": [f"carrier-{i % CONSUMERS}" for i in range(count)],
        "version": np.ones(count, dtype=np.uint64),
        "filter": [""] * count,
        "received_ms": now_ms - np.arange(count) * 60_000,
    }
    store.insert("receipts", receipts)
    for i in range(0, MESSAGES, 100):  # as many statements as the table takes well
        number = contested[i % len(contested)]
        text = f"【正名】异议 {ids[i % len(ids)]} 的验证码：000000，10分钟内有效。"
        dispute_queries.write_message(store, number, text, now_ms - i * 1_000)


def proven(folder: Path) -> str:
    """What a reading of the audit's whole chain says.

    Raises:
        RuntimeError: it is broken.
    """
    configuration = environment(variables(folder))
    store = open_store(configuration.store)
    proof = cases_of(store, configuration).verify()
    states = store.query(
        "SELECT state, count() AS disputes FROM disputes FINAL GROUP BY state ORDER BY state"
    ).to_pylist()
    store.close()
    if proof.fault:
        raise RuntimeError(f"the chain is broken at {proof.broken_seq}: {proof.fault}")
    by_state = ", ".join(f"{r['disputes']:,} {DisputeState(r['state']).name}" for r in states)
    return f"the chain of {proof.event_count:,} events is whole; disputes: {by_state}"


def sample_of(folder: Path, count: int) -> tuple[list[tuple[str, str, str]], list[str]]:
    """(dispute's id, case number, number) of some disputes of all states, and referrals' ids."""
    configuration = environment(variables(folder))
    store = open_store(configuration.store)
    cases = cases_of(store, configuration)
    found = store.query(
        """
        SELECT state, dispute_id, number, sources FROM disputes FINAL
        ORDER BY intHash64(toUInt64(seq)) LIMIT 1000
        """
    ).to_pylist()
    states = sorted({row["state"] for row in found})
    chosen = [
        next(row for row in found[i:] + found if row["state"] == states[i % len(states)])
        for i in range(count)
    ]
    referrals = store.query("SELECT referral_id FROM referrals LIMIT 20")
    store.close()
    return [
        (row["dispute_id"], cases.case_number(row["dispute_id"]), from_key(row["number"]).number)
        for row in chosen
    ], referrals["referral_id"].to_pylist()
