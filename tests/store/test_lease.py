"""A lease has one owner at a time, and what a former owner writes is refused."""

import threading

import pytest

from services.common.errors import Unavailable
from services.common.lease import TABLE, Lease, insert
from services.common.store import open_store

TTL_S = 10.0


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture(params=["server", "cluster"])
def store(request, tmp_path):
    name = f"lease_{request.node.name.partition('[')[0][-20:]}"
    fixture = "cluster" if request.param == "cluster" else "clickhouse_server"
    opened = open_store(request.getfixturevalue(fixture).url(name))
    opened.execute(TABLE)
    opened.execute(
        "CREATE TABLE written (number Int64, text String, parts Array(UInt16)) "
        "ENGINE = MergeTree ORDER BY number"
    )
    yield opened
    opened.close()


def lease(store, address, now):
    return Lease(store, "work", address, lambda: 0, TTL_S, now)


def written(store):
    return sorted(store.query("SELECT number FROM written")["number"].to_pylist())


def test_who_comes_first_is_the_owner_and_the_other_knows_where_it_is(store):
    now = Time()
    first, second = lease(store, "a:1", now), lease(store, "b:2", now)

    held = [first.step(), second.step(), first.step(), second.step()]

    assert held == [True, False, True, False]
    assert second.owner_address == "a:1"
    assert first.owner_address == ""


def test_an_owner_without_a_sign_of_life_is_followed_after_its_time_alone(store):
    now = Time()
    first, second = lease(store, "a:1", now), lease(store, "b:2", now)
    first.step()
    second.step()

    now.s += TTL_S - 1
    before = second.step()
    now.s += 2
    after = second.step()

    assert (before, after) == (False, True)
    assert not first.is_held
    assert not first.step()


def test_a_lease_that_is_given_up_is_taken_at_once(store):
    now = Time()
    first, second = lease(store, "a:1", now), lease(store, "b:2", now)
    first.step()
    second.step()

    first.release()

    assert second.step()
    assert not first.is_held


def test_a_process_at_the_address_of_the_owner_takes_its_place(store):
    now = Time()
    lease(store, "a:1", now).step()

    assert lease(store, "a:1", now).step()


def test_what_a_former_owner_writes_is_refused(store):
    now = Time()
    first, second = lease(store, "a:1", now), lease(store, "b:2", now)
    first.step()
    former = first.fence
    assert former is not None
    rows = {"number": [1], "text": ["a"], "p0": [7], "p1": [8]}
    values = {"number": "number", "text": "text", "parts": "[p0, p1]"}
    former.insert(store, "written", rows, values)
    second.step()
    now.s += TTL_S + 1
    second.step()

    with pytest.raises(Unavailable) as caught:
        insert(store, former, "written", {"number": [2], "text": ["b"]})
    insert(store, second.fence, "written", {"number": [3], "text": ["c"]})

    assert caught.value.reason == "LEASE_LOST"
    assert written(store) == [1, 3]
    assert store.query("SELECT parts FROM written WHERE number = 1")["parts"].to_pylist() == [
        [7, 8]
    ]


def test_of_many_that_claim_at_once_one_is_the_owner(store):
    now = Time()
    leases = [lease(store, f"host-{i}:1", now) for i in range(8)]
    start = threading.Barrier(len(leases))
    held = [False] * len(leases)

    def claim(i):
        start.wait()
        held[i] = leases[i].step()

    threads = [threading.Thread(target=claim, args=(i,)) for i in range(len(leases))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(held) == 1
    owner = leases[held.index(True)]
    others = [other for other in leases if other is not owner]
    assert [other.step() for other in others] == [False] * len(others)
    assert owner.step()


def test_a_new_owner_waits_for_what_the_former_one_has_under_way(store):
    now = Time()
    first, second = lease(store, "a:1", now), lease(store, "b:2", now)
    first.step()
    second.step()
    began, done = threading.Event(), threading.Event()

    def write_slowly():
        began.set()
        # A second a row, two rows: within it the lease goes over.
        store.execute(
            "INSERT INTO written (number) SELECT toInt64(number + 10 + sleepEachRow(1)) AS number "
            "FROM (SELECT number FROM system.numbers LIMIT 2) WHERE NOT ignore(throwIf("
            "(SELECT max(term) FROM leases WHERE name = 'work') != 1))"
        )
        done.set()

    writer = threading.Thread(target=write_slowly)
    writer.start()
    began.wait()
    while not store.running("leases WHERE name = 'work'"):
        assert writer.is_alive()
    now.s += TTL_S + 1

    assert second.step()
    assert written(store) == [10, 11]
    writer.join()
    assert done.is_set()


def test_a_store_of_one_process_needs_no_fence(chdb_store):
    alone = Lease(chdb_store, "work", "a:1", lambda: 0)

    assert alone.step()
    assert alone.fence is None
