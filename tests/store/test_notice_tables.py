"""The outbox of notices on both engines."""

from pathlib import Path

import numpy as np
import pytest

import services.arbitration
import services.ingest
import services.reputation
from services.arbitration.notices import queries
from services.arbitration.notices.notice import Attempt, Notice, Party, State, Target
from services.common.migrate import migrate

TARGET = Target("WT1", Party.HOLDER, "某'公司", 7, "https://a.example/?x=%(y)s", "olga", 5)


@pytest.fixture
def store(either):
    for service in (services.arbitration, services.ingest, services.reputation):
        folder = Path(service.__file__).parent
        migrate(either, folder.name, folder / "schema", clock=lambda: 0)
    return either


def made(name, target="WT1", created_ms=10):
    return Notice(name, target, "dispute.changed", '{"a":"\'{x}%"}', 3, created_ms)


def tried(name, attempt, state, due_ms=0, tries=None):
    return Attempt(name, "WT1", attempt, tries or attempt, state, 500, "HTTP_500", 50, due_ms)


def test_a_target_comes_back_as_it_was_written_until_it_is_removed(store):
    queries.insert_target(store, TARGET, False, 5)
    before = queries.targets(store)
    queries.insert_target(store, TARGET, True, 6)

    assert before == [TARGET]
    assert queries.targets(store) == []


def test_the_same_notice_twice_is_one(store):
    queries.insert_notices(store, [made("NT1"), made("NT2")])
    queries.insert_notices(store, [made("NT1")])

    found = queries.due(store, 100, 10, 10)

    assert sorted((n.notice_id, attempt, tries) for n, attempt, tries in found) == [
        ("NT1", 0, 0),
        ("NT2", 0, 0),
    ]
    assert found[0][0] in (made("NT1"), made("NT2"))


def test_the_newest_attempt_decides_what_is_due(store):
    queries.insert_notices(store, [made(f"NT{i}") for i in range(1, 6)])
    queries.insert_attempts(store, [tried("NT1", 1, State.WAITING, 90)])
    queries.insert_attempts(store, [tried("NT2", 1, State.WAITING, 300)])
    queries.insert_attempts(store, [tried("NT3", 1, State.WAITING, 90)])
    queries.insert_attempts(store, [tried("NT3", 2, State.DELIVERED)])
    queries.insert_attempts(store, [tried("NT4", 12, State.DEAD)])
    queries.insert_attempts(store, [tried("NT5", 1, State.DEAD), tried("NT5", 2, State.WAITING)])

    now = queries.due(store, 100, 10, 10)

    assert [(n.notice_id, attempt) for n, attempt, _ in now] == [("NT5", 2), ("NT1", 1)]
    assert queries.next_due(store) == 0
    assert queries.counts(store) == {"WT1": {1: 3, 2: 1, 3: 1}}
    assert [row["notice_id"] for row in queries.newest(store, "WT1", 3, 10)] == ["NT4"]
    assert len(queries.newest(store, "WT1", 0, 10)) == 5


def test_notices_that_nobody_has_tried_are_counted_and_shown_beside_the_others(store):
    queries.insert_notices(store, [made("NT1", created_ms=1), made("NT2", created_ms=2)])
    queries.insert_notices(store, [made("NT2", created_ms=2), made("NT3", created_ms=3)])
    queries.insert_attempts(store, [tried("NT1", 1, State.DELIVERED)])

    newest = queries.newest(store, "WT1", 0, 2)

    assert queries.counts(store) == {"WT1": {0: 2, 2: 1}}
    assert [(row["notice_id"], row["attempt"]) for row in newest] == [("NT3", 0), ("NT2", 0)]
    assert [row["state"] for row in queries.newest(store, "WT1", 0, 3)] == [0, 0, 2]


def test_one_target_cannot_crowd_out_the_others(store):
    queries.insert_notices(store, [made(f"NT{i:02d}", created_ms=i) for i in range(30)])
    queries.insert_notices(store, [made("NX", "WT2", 99)])

    found = [(n.target_id, n.notice_id) for n, _, _ in queries.due(store, 100, 2, 10)]

    assert found == [("WT1", "NT00"), ("WT1", "NT01"), ("WT2", "NX")]


def test_an_empty_outbox_has_nothing_due(store):
    assert queries.next_due(store) is None
    assert queries.due(store, 100, 10, 10) == []
    assert queries.place(store, "disputes") is None
    assert queries.last_version(store) == 0


def test_a_place_only_moves_on(store):
    queries.move(store, "disputes", 7, 0)
    queries.move(store, "disputes", 5, 1)
    queries.move(store, "published", 0, 1)

    assert queries.place(store, "disputes") == 7
    assert queries.place(store, "published") == 0


def test_changes_of_numbers_are_read_between_versions(store):
    for version, category in ((1, 1100), (2, 1100), (3, 0)):
        store.insert(
            "published",
            {
                "lineage": np.zeros(2, np.uint64),
                "number": np.array([7, 8], np.int64),
                "version": np.full(2, version, np.uint64),
                "category": np.full(2, category, np.uint16),
                "level": np.full(2, 4, np.uint8),
                "state": np.full(2, 3, np.uint8),
            },
        )
        if version < 3:
            store.insert("versions", {"lineage": [0], "version": [version]})

    rows = queries.published_between(store, [7], 1, 9)

    assert [(r["number"], r["version"], r["category"]) for r in rows] == [(7, 2, 1100)]
    assert queries.published_at(store, [7, 9], 9) == {7: (1100, 4, 3)}
    assert queries.last_version(store) == 2


def test_registrations_and_changes_of_hands_are_read_by_number(store):
    store.insert(
        "registry",
        {
            "number": np.array([7, 8, 0], np.int64),
            "prefix": ["", "", "4001"],
            "holder": ["某'公司", "别的", "某'公司"],
            "valid_from_ms": np.zeros(3, np.int64),
            "valid_until_ms": np.array([0, 0, 0], np.int64),
        },
    )
    store.insert(
        "lifecycle",
        {
            "number": np.array([7, 7, 7], np.int64),
            "occurred_ms": np.array([5, 9, 20], np.int64),
            "kind": np.array([1, 2, 3], np.uint8),
        },
    )

    assert queries.registered_numbers(store, ["某'公司"], 10) == {7: "某'公司"}
    assert queries.changed_hands(store, [7, 8]) == {7: 9}
