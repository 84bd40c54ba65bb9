"""Each metric that an alert or a dashboard names is told by a running process."""

import signal
import threading
import time
import urllib.request
from datetime import datetime, timedelta, timezone

import pytest

from services.cli import importing
from services.cli.demo import FILES
from services.cli.kinds import KINDS
from services.cli.session import run_pipeline
from services.common.telemetry import names
from services.simulator.city import simulate
from tests.e2e.conftest import Services
from tests.unit.test_alerts import expressions, named
from zhengming.arbitration.v1 import ledger_pb2
from zhengming.ingest.v1 import ingest_pb2
from zhengming.reputation.v1 import reputation_pb2

DEADLINE_S = 200
CHINA = timezone(timedelta(hours=8))


pytestmark = pytest.mark.timeout(600)  # a city goes the whole way, then gauges take a minute


@pytest.fixture
def services(tmp_path):
    running = Services(
        f"chdb:{tmp_path / 'store'}", tmp_path, ZHENGMING_METRICS_ADDRESS="127.0.0.1:0"
    )
    yield running
    if running.process.poll() is None:
        running.end(signal.SIGTERM)


def until(condition):
    """The first true answer."""
    end, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while not (found := condition()):
        assert time.monotonic() < end
        pause.wait(0.5)
    return found


def test_what_alerts_and_dashboards_name_is_told_by_a_running_process(services, tmp_path):
    lines = [services.process.stdout.readline().split()[-1] for _ in range(2)]
    metrics, console = f"http://127.0.0.1:{lines[0]}/metrics", lines[1]
    live_through(services, tmp_path, console)
    used = set().union(*map(named, expressions()))

    def missing():
        with urllib.request.urlopen(metrics) as answer:
            text = answer.read().decode()
        rows = [row for row in text.splitlines() if not row.startswith("#")]
        return used - {row.split("{")[0].split()[0] for row in rows}

    try:
        until(lambda: not missing())
    except AssertionError:
        assert missing() == set()
    assert names.MODEL_DRIFT.text_name in used


def live_through(services, folder, console):
    """A city from its marks to reviewed labels, and a page."""
    simulate(3000, 30, 3, folder / "city", datetime.now(CHINA).date())
    for kind, name in FILES:
        for line, table in importing.read_tables(folder / "city" / name):
            path = folder / "city" / name
            KINDS[kind](services.stubs, path, line, table, {}, importing.Tally())
    tail = services.stubs.ingest.ListChanges(ingest_pb2.ListChangesRequest(tail=True)).next_cursor
    asked = reputation_pb2.GetVersionRequest()
    until(lambda: services.stubs.reputation.GetVersion(asked).change_cursor == tail)
    run_pipeline(services.stubs, None, lambda step: None)
    for label in services.stubs.ledger.DrawSample(ledger_pb2.DrawSampleRequest(size=80)).labels:
        services.stubs.ledger.ReviewSample(
            ledger_pb2.ReviewSampleRequest(
                number=label.number, verdict=label.category, reviewer="auditor"
            )
        )
    with urllib.request.urlopen(console) as answer:
        assert answer.status == 200


def test_metrics_stop_with_the_process(services):
    port = services.process.stdout.readline().split()[-1]

    code = services.end(signal.SIGTERM)

    assert code == 0
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics")
