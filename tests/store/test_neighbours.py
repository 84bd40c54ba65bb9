"""Neighbours and campaigns on both engines, made of the features of a run."""

import numpy as np
import pytest

from services.application import ROOT
from services.common.migrate import migrate
from services.common.numbering import parse
from services.features import server, touched
from services.features.similar import queries
from services.features.similar.hostile import hostile
from services.features.similar.neighbours import Neighbours
from tests.store.facts import put

DAY_MS = 86_400_000
AS_OF = 1_790_000_000_000
TODAY = (AS_OF + 8 * 3_600_000) // DAY_MS
FIRST = parse("13800130000", "CN").key
GANG = FIRST + np.arange(8)
CROWD = FIRST + 50_000_000 + np.arange(60) * 70_000
SOURCE, FRAUD, PARCEL = 7, 70, 71


@pytest.fixture
def store(either):
    for name in ("features", "ingest", "arbitration"):
        migrate(either, name, ROOT / name / "schema", clock=lambda: 0)
    either.insert("sources", {"source": np.array([SOURCE], np.uint64), "name": ["app-one"],
                              "first_seen_ms": [0]})  # fmt: skip
    either.insert("labels", {"label": np.array([FRAUD, PARCEL], np.uint64),
                             "source": np.array([SOURCE, SOURCE], np.uint64),
                             "text": ["诈骗", "快递"], "first_seen_ms": [0, 0]})  # fmt: skip
    return either


def behave(store, numbers, ago, calls_out, ring_only, **more):
    count = len(numbers)
    columns = {
        "calls_out": calls_out, "answered_out": calls_out - ring_only, "ring_only_out": ring_only,
        "distinct_callees": calls_out, "talk_s": (calls_out - ring_only) * 30, **more,
    }  # fmt: skip
    put(
        store,
        "behaviour",
        {
            "number": numbers,
            "day": np.full(count, TODAY - ago, dtype=np.int32),
            "carrier": ["c"] * count,
            "seq": np.arange(count, dtype=np.uint64),
            **{name: np.broadcast_to(np.asarray(column), count).astype(np.int64)
               for name, column in columns.items()},
        },
    )  # fmt: skip


def mark(store, numbers, label, ago=3, times=2, withdrawn=0):
    numbers = np.repeat(numbers, times)
    keys = np.arange(len(numbers), dtype=np.uint64) * 2 + np.uint64(label * 1_000_000 + ago)
    put(
        store,
        "marks",
        {
            "number": numbers,
            "occurred_ms": np.full(len(numbers), AS_OF - ago * DAY_MS),
            "source": np.full(len(numbers), SOURCE, np.uint64),
            "label": np.full(len(numbers), label, np.uint64),
            "withdrawn": np.full(len(numbers), withdrawn, np.uint8),
            "mark_key": keys,
            "seq": np.arange(len(numbers), dtype=np.uint64),
        },
    )


def town(store):
    """A gang of one block that rings once, and people who call each in their own way."""
    rng = np.random.default_rng(3)
    for ago in (1, 2, 4):
        behave(store, GANG, ago, rng.integers(480, 500, 8), 470)
        behave(store, CROWD, ago, rng.integers(1, 60, 60), 0, cell_count=rng.integers(1, 9, 60))
    mark(store, GANG, FRAUD)
    mark(store, CROWD[:20], PARCEL)


def built(store, tmp_path, run=11):
    server.build(store, run, AS_OF, "0", lambda: AS_OF)
    neighbours = Neighbours(store, tmp_path / "neighbours")
    neighbours.build(run, AS_OF)
    return neighbours


def row_of(store, number):
    return touched.compute(store, AS_OF, np.array([number]))[0]


def test_a_gang_is_a_campaign_and_people_of_good_report_are_none(store, tmp_path):
    town(store)

    built(store, tmp_path)

    members = queries.campaign_page(store, 11, 0, 10)
    assert sorted(members["number"].to_pylist()) == GANG.tolist()
    assert set(members["days"].to_pylist()) == {0b1011}
    assert set(members["hostile"].to_pylist()) == {2}
    assert {str(category)[:2] for category in members["category"].to_pylist()} == {"11"}
    assert queries.campaign_count(store, 11) == 1
    assert queries.campaigns_of(store, 11, np.array([GANG[0], CROWD[0]])) == {int(GANG[0]): 1}


def test_the_nearest_of_a_member_are_the_gang(store, tmp_path):
    town(store)
    neighbours = built(store, tmp_path)

    found = neighbours.search(int(GANG[0]), row_of(store, GANG[0]), 7)

    assert sorted(found.numbers.tolist()) == GANG[1:].tolist()


def test_a_restarted_process_takes_the_file_and_without_it_reads_the_run(store, tmp_path):
    town(store)
    row = row_of(store, GANG[0])
    before = built(store, tmp_path).search(int(GANG[0]), row, 5)

    from_file = Neighbours(store, tmp_path / "neighbours").search(int(GANG[0]), row, 5)
    from_store = Neighbours(store, tmp_path / "elsewhere").search(int(GANG[0]), row, 5)

    for after in (from_file, from_store):
        assert after.distances == pytest.approx(before.distances, abs=1e-4)


def test_the_newest_behaviour_that_was_noted_is_searched(store, tmp_path):
    town(store)
    neighbours = built(store, tmp_path)
    rows = touched.compute(store, AS_OF, np.array([*GANG[:2], *CROWD[:2]]))
    of_gang, of_crowd = rows[:2], rows[2:]
    nothing = touched.compute(store, AS_OF, np.array([GANG[-1] + 1000]))

    neighbours.note(CROWD[:2], of_crowd)
    neighbours.note(CROWD[:1], of_gang[:1])  # now it calls as the gang does
    neighbours.note(GANG[1:3], np.concatenate([nothing, of_gang[1:]]))  # one of them no more
    found = neighbours.search(int(GANG[0]), of_gang[0], 7)

    assert sorted(found.numbers.tolist()) == sorted([CROWD[0], *GANG[2:]])


def test_hostile_marks_are_those_of_thirty_days_that_say_something_bad(store):
    mark(store, GANG[:1], FRAUD, ago=2, times=3)
    mark(store, GANG[:1], PARCEL, ago=2, times=9)
    mark(store, GANG[1:2], FRAUD, ago=31)
    mark(store, GANG[2:3], FRAUD, ago=-1)
    mark(store, GANG[3:4], FRAUD, ago=5, withdrawn=1)

    count, category = hostile(store, AS_OF, GANG)

    assert count.tolist() == [3] + [0] * 7
    assert category[0] // 100 == 11
    assert not category[1:].any()


def test_campaigns_of_runs_no_longer_kept_are_dropped(store, tmp_path):
    town(store)
    for run in (11, 12, 13, 14):
        built(store, tmp_path, run)

    kept = store.query("SELECT DISTINCT run FROM campaigns ORDER BY run")["run"].to_pylist()

    assert kept == [13, 14]


def test_a_folder_that_cannot_be_written_costs_a_start_and_nothing_else(chdb_store, tmp_path):
    for name in ("features", "ingest", "arbitration"):
        migrate(chdb_store, name, ROOT / name / "schema", clock=lambda: 0)
    behave(chdb_store, GANG, 1, 480, 470)
    (tmp_path / "neighbours").write_text("a file where the folder should be")

    neighbours = built(chdb_store, tmp_path)

    found = neighbours.search(int(GANG[0]), row_of(chdb_store, GANG[0]), 3)
    assert len(found.numbers) == 3
