"""What is recorded of models while they score, on both engines."""

from dataclasses import replace

import numpy as np
import pytest

from services.application import ROOT
from services.common.migrate import migrate
from services.scoring import watch_queries as queries
from services.scoring.watch_queries import Outcome, Shadowed
from services.scoring.watching import DAY_MS, judge_due

AS_OF = 1_790_000_000_000
NUMBERS = (1 << 60) + 8613800138000 + np.arange(4)
SHADOWED = Shadowed(
    run=7,
    as_of_ms=AS_OF,
    version="new",
    active_version="old",
    number_count=40,
    mean_absolute=0.02,
    rank_correlation=0.9,
    flipped_ratio=0.1,
    positive_marks=2,
    horizon_days=30,
    is_kept=1,
    finished_ms=AS_OF,
)
OUTCOME = Outcome(7, AS_OF, "new", "old", 4, 1, 0.2, 0.3, -0.1, -0.2, 0.0, AS_OF)


@pytest.fixture
def store(either):
    for name in ("ingest", "scoring"):
        migrate(either, name, ROOT / name / "schema", clock=lambda: 0)
    return either


def keep(store, run=7):
    risk = np.array([0.9, 0.1, 0.1, 0.1], dtype=np.float32)
    old = np.full(4, 0.5, dtype=np.float32)
    weight = np.array([1, 1, 1, 10], dtype=np.float32)
    queries.insert_shadow_scores(store, run, NUMBERS, old, risk, weight)


def add_marks(store, *marks):
    numbers, times = zip(*marks, strict=True)
    store.insert(
        "marks",
        {
            "mark_key": np.arange(len(marks), dtype=np.uint64),
            "number": np.array(numbers, dtype=np.int64),
            "occurred_ms": np.array(times, dtype=np.int64),
        },
    )


def test_the_newest_run_that_a_model_scored_tells_its_drift_most_drifted_first(store):
    names = ("a", "b", "")
    queries.insert_drift(store, 6, "v", names, np.array([9.0, 9.0, 9.0]), AS_OF)
    queries.insert_drift(store, 8, "w", names, np.array([7.0, 7.0, 7.0]), AS_OF)
    queries.insert_drift(store, 7, "v", names, np.array([0.1, 0.1, 0.1]), AS_OF)
    queries.insert_drift(store, 7, "v", names, np.array([0.1, 0.3, 0.2]), AS_OF + 1)  # again

    found = queries.newest_drift(store, "v")

    assert found == {
        "run": 7,
        "found_ms": AS_OF + 1,
        "names": ["b", "", "a"],
        "indices": [0.3, 0.2, 0.1],
    }
    assert queries.newest_drift(store, "x") is None


def test_what_is_recorded_of_a_shadow_is_read_and_the_last_of_a_run_counts(store):
    again = replace(SHADOWED, mean_absolute=0.5, finished_ms=AS_OF + 1)
    for found in (SHADOWED, again, replace(SHADOWED, run=8, is_kept=0, version="other")):
        queries.insert_shadowed(store, found)

    assert queries.shadowed(store, "new") == again
    assert queries.unjudged(store) == [again]
    assert queries.shadowed(store, "x") is None


def test_a_run_with_an_outcome_is_not_judged_again(store):
    queries.insert_shadowed(store, SHADOWED)
    queries.insert_outcome(store, OUTCOME)

    assert queries.unjudged(store) == []
    assert queries.outcome(store, "new") == OUTCOME
    assert queries.outcome(store, "x") is None


def test_scores_are_kept_until_they_are_dropped(store):
    keep(store, 7)
    keep(store, 8)

    queries.drop_shadow_scores(store, 7)

    assert len(queries.shadow_scores(store, 7)["number"]) == 0
    kept = queries.shadow_scores(store, 8)
    assert kept["number"].tolist() == NUMBERS.tolist()
    assert kept["weight"].tolist() == [1, 1, 1, 10]


def test_a_run_is_judged_when_its_horizon_is_over_and_by_the_marks_within_it(store):
    keep(store)
    queries.insert_shadowed(store, SHADOWED)
    end = AS_OF + 30 * DAY_MS
    add_marks(
        store,
        *((NUMBERS[0], AS_OF + 1), (NUMBERS[0], end)),  # two within: bad
        *((NUMBERS[1], AS_OF), (NUMBERS[1], end)),  # one before: not
        *((NUMBERS[2], end), (NUMBERS[2], end + 1)),  # one after: not
    )

    early = judge_due(store, lambda: end - 1)
    due = judge_due(store, lambda: end)

    found = queries.outcome(store, "new")
    assert (early, due) == (0, 1)
    assert (found.row_count, found.positive_count) == (4, 1)
    assert found.log_loss == pytest.approx(-np.log(0.9))  # right by 0.9 of each
    assert found.active_log_loss == pytest.approx(np.log(2))
    assert len(queries.shadow_scores(store, 7)["number"]) == 0
    assert judge_due(store, lambda: end) == 0
