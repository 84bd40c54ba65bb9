"""Runs over the past, as training makes them, beside the run that judges the present."""

import numpy as np
import pytest

from services.application import ROOT
from services.arbitration.engine import Engine
from services.common.migrate import migrate
from services.common.runs import kept_runs
from services.configuration import NAMES as SERVICES

DAY_MS = 86_400_000
AS_OF = 1_790_000_000_000
NUMBER = (1 << 60) + 8613800138000


@pytest.fixture
def store(either):
    for name in SERVICES:
        migrate(either, name, ROOT / name / "schema", clock=lambda: 0)
    one = np.array([7], dtype=np.uint64)
    either.insert("sources", {"source": one, "name": ["app"], "first_seen_ms": [0]})
    either.insert("labels", {"label": one, "source": one, "text": ["贷款"], "first_seen_ms": [0]})
    ages = np.arange(1, 100, 3)
    count = len(ages)
    either.insert(
        "marks",
        {
            "number": np.full(count, NUMBER),
            "occurred_ms": AS_OF - ages * DAY_MS,
            "source": np.full(count, 7, dtype=np.uint64),
            "label": np.full(count, 7, dtype=np.uint64),
            "reporter": ages.astype(np.uint64),
            "origin": np.zeros(count, dtype=np.uint32),
            "kind": np.ones(count, dtype=np.uint8),
            "withdrawn": np.zeros(count, dtype=np.uint8),
            "call_ms": np.zeros(count, dtype=np.int64),
            "mark_key": (ages * 2).astype(np.uint64),
            "mark_check": np.zeros(count, dtype=np.uint64),
            "seq": ages.astype(np.uint64),
            "received_ms": np.full(count, AS_OF),
        },
    )
    return either


def judged_by(engine):
    _, run = engine.arbitrate(np.array([NUMBER], dtype=np.int64), AS_OF)
    return run


def test_a_run_over_the_past_does_not_judge_the_present(store):
    engine = Engine(store)
    engine.run(10, AS_OF, AS_OF)

    for run in range(11, 15):
        engine.run(run, AS_OF - (20 - run) * DAY_MS, AS_OF)

    assert judged_by(engine) == 10
    assert judged_by(Engine(store)) == 10


def test_a_later_run_takes_over(store):
    engine = Engine(store)
    engine.run(10, AS_OF - DAY_MS, AS_OF)

    engine.run(11, AS_OF, AS_OF)

    assert judged_by(engine) == judged_by(Engine(store)) == 11


def test_what_is_kept_are_the_newest_runs_and_those_for_the_latest_times(store):
    engine = Engine(store)
    for run, age in ((10, 1), (11, 0), (12, 30), (13, 40), (14, 50)):
        engine.run(run, AS_OF - age * DAY_MS, AS_OF)

    stored = set(store.query("SELECT DISTINCT run FROM accuracies")["run"].to_pylist())

    assert stored == kept_runs(store, "arbitration_runs") == {10, 11, 13, 14}
