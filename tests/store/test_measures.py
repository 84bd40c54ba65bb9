"""What gauges read from the tables, on both engines."""

from pathlib import Path

import numpy as np
import pytest

import services
from services.arbitration import measures
from services.arbitration import queries as arbitration
from services.arbitration.disputes import queries as disputes
from services.arbitration.notices import queries as notices
from services.arbitration.notices.notice import Attempt, Notice, State
from services.common.migrate import migrate
from services.common.store import StoreError
from services.common.store.chdb import ChdbStore
from services.common.telemetry import Settings, Value, names
from services.common.telemetry.provider import RunningTelemetry
from services.ingest import queries as ingest
from services.reputation import queries as reputation

ROOT = Path(services.__file__).parent
TRACE = f"00-{7:032x}-00f067aa0ba902b7-01"
OTHER = f"00-{8:032x}-00f067aa0ba902b7-01"
NOW_MS = 1_790_000_000_000


@pytest.fixture
def store(either):
    for name in ("ingest", "features", "arbitration", "scoring", "reputation"):
        migrate(either, name, ROOT / name / "schema", clock=lambda: 0)
    return either


def test_empty_tables_read_as_nothing(store):
    assert reputation.changes_beyond(store, 0) == (0, 0)
    assert reputation.last_run_ms(store) == 0
    assert disputes.clocks(store, NOW_MS) == {"open": 0, "overdue": 0, "paused": 0}
    assert notices.backlog(store) == (0, 0, 0)
    assert arbitration.source_weeks(store) == []
    assert ingest.changes_after(store, 0, 10).numbers.tolist() == []


def test_changes_keep_the_traces_they_came_with(store):
    ingest.insert_changes(store, None, 1, np.array([5, 6, 7]), 100, [TRACE, TRACE, OTHER])
    ingest.insert_changes(store, None, 4, np.array([6]), 90)

    found = ingest.changes_after(store, 0, 10)

    assert found.numbers.tolist() == [5, 6, 7]
    assert (found.last_seq, found.oldest_ms) == (4, 90)
    assert found.traced == ((TRACE, 100), (OTHER, 100))
    assert ingest.changes_after(store, 2, 10).traced == ((OTHER, 100),)


def test_at_most_so_many_traces_are_told(store):
    many = [f"00-{i:032x}-00f067aa0ba902b7-01" for i in range(1, 40)]
    ingest.insert_changes(store, None, 1, np.arange(39), 100, many)

    found = ingest.changes_after(store, 0, 100).traced

    assert [trace for trace, _ in found] == many[: ingest.MAX_TRACED]


def test_changes_beyond_a_cursor_are_counted_with_their_oldest(store):
    ingest.insert_changes(store, None, 1, np.array([5, 6]), 100)
    ingest.insert_changes(store, None, 3, np.array([7, 8, 9]), 200)

    assert reputation.changes_beyond(store, 2) == (3, 200)
    assert reputation.changes_beyond(store, 0) == (5, 100)
    assert reputation.changes_beyond(store, 5) == (0, 0)


def test_only_a_full_pass_to_consumers_counts_as_one(store):
    def versions(**columns):
        row = {"as_of_ms": 0, "number_count": 0, "changed_count": 0, "change_cursor": ""}
        store.insert("versions", {name: [value] for name, value in (row | columns).items()})

    versions(lineage=0, version=1, publish_ms=100, run=7)
    versions(lineage=2, version=2, publish_ms=200, run=8)
    versions(lineage=0, version=3, publish_ms=300, run=0)

    assert reputation.last_run_ms(store) == 100


def test_clocks_tell_open_overdue_and_paused_disputes(store):
    def dispute(name, deadline_ms, is_open=1, seq=1):
        store.insert(
            "disputes",
            {
                "dispute_id": [name],
                "seq": np.array([seq], np.uint64),
                "is_open": np.array([is_open], np.uint8),
                "deadline_ms": [deadline_ms],
            },
        )

    dispute("A", NOW_MS - 1)
    dispute("B", NOW_MS)
    dispute("C", 0)
    dispute("D", NOW_MS - 1)
    dispute("D", NOW_MS - 1, is_open=0, seq=2)

    assert disputes.clocks(store, NOW_MS) == {"open": 3, "overdue": 1, "paused": 1}


def test_the_backlog_is_what_waits_and_what_died(store):
    notices.insert_notices(
        store, [Notice(f"N{i}", "T", "kind", "{}", i, 10 * i) for i in range(1, 6)]
    )
    for name, state in (("N1", State.DELIVERED), ("N2", State.DEAD), ("N3", State.WAITING)):
        attempt = Attempt(name, "T", 1, 1, state, 500, "HTTP_500", 50, 0)
        notices.insert_attempts(store, [attempt])

    assert notices.backlog(store) == (3, 30, 1)


def test_weeks_of_sources_are_those_of_the_newest_run(store):
    for run, as_of_ms in ((1, 100), (2, 200)):
        store.insert("arbitration_runs", {"run": [run], "as_of_ms": [as_of_ms]})
        store.insert(
            "scorecards",
            {
                "run": np.array([run] * 3, np.uint64),
                "source": np.array([9] * 3, np.uint64),
                "category": np.array([0, 0, 3], np.uint16),
                "week_ms": [0, 70, 70],
                "marks": np.array([5] * 3, np.uint64),
                "told": [10.0 * run, 4.0 * run, 1.0],
                "right": [8.0 * run, 3.0 * run, 1.0],
            },
        )
    ingest.insert_names(store, "sources", [(9, "app-one")], 1)

    assert arbitration.source_weeks(store) == [("app-one", 8.0, 6.0)]


def test_drift_is_the_newest_telling_week_beside_those_before():
    weeks = [("app", 100.0, 90.0), ("app", 100.0, 70.0), ("app", 10.0, 0.0)]

    found = {v.instrument.name: v for v in measures.source_values(weeks)}

    assert found[names.SOURCE_DRIFT.name].value == pytest.approx(-0.2)
    assert found[names.SOURCE_ACCURACY.name].value == pytest.approx(160 / 210)


def test_a_source_that_calls_itself_like_a_number_is_not_named():
    found = list(measures.source_values([("app-13800138000", 100.0, 90.0)]))

    assert [value.attributes for value in found] == [("other",)]


def test_statements_are_counted_by_how_they_ended(chdb_store: ChdbStore):
    telemetry = RunningTelemetry(Settings(), "test")
    store = telemetry.store(chdb_store)

    store.query("SELECT 1 AS one")
    with pytest.raises(StoreError):
        store.query("SELECT nothing FROM nowhere")

    found = telemetry._durations[names.STATEMENTS].read(0)
    assert found is not None
    counted = {tuple(p.attributes.values()): p.count for p in found.data.data_points}
    assert counted[("query", "ok")] == counted[("query", "refused")] == 1
    assert counted[("insert", "ok")] == 0


def test_gauges_that_cannot_be_read_are_absent_and_counted():
    telemetry = RunningTelemetry(Settings(metrics_address="127.0.0.1:0"), "test")
    values = iter([1])
    telemetry.observe("broken", lambda: [Value(names.QUEUE_ROWS, next(values))], 5)

    telemetry.read()
    before = telemetry._readings.values(names.QUEUE_ROWS)
    telemetry.read()

    assert before == [(1, {})]
    assert telemetry._readings.values(names.QUEUE_ROWS) == []
    telemetry.stop()
