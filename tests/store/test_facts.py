"""Facts by number: they come back as their tables have them, and none is missing after a crash."""

import numpy as np
import pytest

from services.application import ROOT
from services.common import facts
from services.common.migrate import migrate
from services.common.numbering.keys import e164_key
from services.common.store import StoreError
from services.common.store.asking import FEW
from services.ingest import queries
from services.ingest.commit import Committer, Submission
from tests.store.facts import put

DAY_MS = 86_400_000
AS_OF = 1_790_000_000_000
TODAY = AS_OF // DAY_MS
FIRST = e164_key(8613800138000)
WIDEST = np.array([0, 1, 2**63 - 1, 2**63, 2**64 - 1], dtype=np.uint64)


@pytest.fixture
def store(either):
    migrate(either, "ingest", ROOT / "ingest" / "schema", clock=lambda: 0)
    return either


def rows_of(table, numbers, seed=0, seq=1):
    """A row of every column that the facts have, for each number."""
    rng, count = np.random.default_rng(seed), len(numbers)
    rows = {"number": numbers, "seq": np.arange(seq, seq + count, dtype=np.uint64)}
    for name, how in facts.KINDS[table].columns.items():
        rows[name] = {
            "i8": lambda: rng.integers(0, 100, count),
            "u8": lambda: rng.choice(WIDEST, count),
            "f8": lambda: rng.choice([0.0, 0.1, 1 / 3, 1e300, np.inf], count),
            "text": lambda: rng.choice(np.array(["", "CMCC", "联通"], dtype=object), count),
        }[how]()
    for name in ("withdrawn", "kind", "outbound_allowed"):
        if name in rows:
            rows[name] = rng.integers(1, 4, count).astype(np.uint8)
    if "origin" in rows:
        rows["origin"] = rng.integers(0, 400, count).astype(np.uint32)
    if "day" in rows:
        rows["day"] = (TODAY - rng.integers(0, 40, count)).astype(np.int32)
    if table == "marks":
        rows |= {"mark_key": rows["seq"] * np.uint64(2), "mark_check": rows["seq"]}
    return rows


def told(store, numbers, as_of=AS_OF, days=(0, TODAY + 1)):
    return facts.of_numbers(store, numbers, numbers, as_of, days)


def stored(store, condition="1"):
    """seq of every row, by code."""
    sql = f"SELECT row[1] AS code, seq FROM {facts.TABLE} WHERE {condition} ORDER BY code, seq"
    return [(row["code"], row["seq"]) for row in store.query(sql).to_pylist()]


@pytest.mark.parametrize("count", [1, FEW, FEW + 1, 500])
def test_rows_come_back_as_their_tables_have_them(store, count):
    numbers = FIRST + np.arange(count)
    rows = {table: rows_of(table, numbers, seed) for seed, table in enumerate(facts.KINDS)}
    for table, some in rows.items():
        put(store, table, some)

    found = told(store, numbers)

    for table, kind in facts.KINDS.items():
        order = np.argsort(found[table]["seq"])
        for name in kind.names:
            if kind.columns.get(name) != "text":
                np.testing.assert_array_equal(found[table][name][order], rows[table][name], name)
    texts = {}
    for text, digest in zip(
        rows["behaviour"]["carrier"], found["behaviour"]["carrier"][order], strict=True
    ):
        assert texts.setdefault(text, digest) == digest
    assert len(set(texts.values())) == len(texts)


def test_only_what_is_asked_for_comes(store):
    numbers = FIRST + np.arange(4)
    for table in facts.KINDS:
        put(store, table, rows_of(table, numbers))
    times = {"occurred_ms": np.array([0, AS_OF - 1, AS_OF, AS_OF + 1])}
    put(store, "marks", rows_of("marks", np.repeat(FIRST + 9, 4), seq=100) | times)
    days = {"day": (TODAY - np.array([5, 4, 1, 0])).astype(np.int32)}
    put(store, "behaviour", rows_of("behaviour", np.repeat(FIRST + 9, 4), seq=200) | days)

    found = facts.of_numbers(
        store, numbers[:1] + 9, np.append(numbers[:2], FIRST + 9), AS_OF, (TODAY - 4, TODAY)
    )

    assert sorted(found["marks"]["seq"].tolist()) == [1, 2, 100, 101, 102]
    assert sorted(found["lifecycle"]["number"].tolist()) == numbers[:2].tolist()
    assert sorted(found["registry"]["number"].tolist()) == numbers[:2].tolist()
    assert sorted(found["behaviour"]["seq"].tolist()) == [201, 202]
    nobody = facts.of_numbers(store, numbers[:0], numbers[:0], AS_OF, (0, TODAY))
    assert all(len(rows["number"]) == 0 for rows in nobody.values())


def test_a_mark_from_before_1970_is_a_mark(store):
    put(store, "marks", rows_of("marks", FIRST + np.arange(1)) | {"occurred_ms": np.array([-7])})

    assert told(store, FIRST + np.arange(1))["marks"]["occurred_ms"].tolist() == [-7]


def test_registrations_of_prefixes_are_of_no_number(store):
    put(store, "registry", rows_of("registry", np.array([0, FIRST, 0])))

    assert stored(store) == [(facts.REGISTRATION, 2)]


def test_of_rows_with_a_key_in_common_the_newest_is_taken():
    rows = {
        "number": np.array([7, 5, 7, 5, 7]),
        "day": np.array([1, 2, 1, 2, 2]),
        "seq": np.array([3, 9, 8, 4, 1], dtype=np.uint64),
    }

    found = facts.newest(rows, "number", "day")

    assert {name: column.tolist() for name, column in found.items()} == {
        "number": [5, 7, 7],
        "day": [2, 1, 2],
        "seq": [9, 8, 1],
    }
    assert len(facts.newest({name: c[:0] for name, c in rows.items()}, "number")["seq"]) == 0


def test_what_an_earlier_release_stored_is_completed_some_at_a_time(store, monkeypatch):
    monkeypatch.setattr(facts, "AT_ONCE", 7)
    numbers = FIRST + np.arange(40)
    wanted, seq = [], 1
    for table, kind in facts.KINDS.items():
        rows = rows_of(table, numbers, seq=seq)
        received = {"received_ms": np.zeros(40, np.int64)} if table == "marks" else {}
        store.insert(table, rows | received)
        wanted += [(kind.code, at) for at in range(seq, seq + 40)]
        seq += 40

    facts.complete(store, None, last_seq=seq - 1)
    facts.complete(store, None, last_seq=seq - 1)

    assert stored(store) == wanted


def test_a_completion_that_was_cut_short_goes_on(store, monkeypatch):
    monkeypatch.setattr(facts, "AT_ONCE", 10)
    rows = rows_of("marks", FIRST + np.arange(40))
    store.insert("marks", rows | {"received_ms": np.zeros(40, np.int64)})
    appended = []

    def append(*given):
        if len(appended) == 2:
            raise KeyboardInterrupt
        appended.append(whole(*given))

    whole = facts.append
    monkeypatch.setattr(facts, "append", append)
    with pytest.raises(KeyboardInterrupt):
        facts.complete(store, None, last_seq=40)
    assert 0 < len(stored(store)) < 40
    monkeypatch.setattr(facts, "append", whole)

    facts.complete(store, None, last_seq=40)

    assert stored(store) == [(facts.MARK, seq) for seq in range(1, 41)]


def test_what_a_power_failure_took_of_the_last_rows_is_completed(store, monkeypatch):
    monkeypatch.setattr(facts, "AT_ONCE", 10)
    rows = rows_of("marks", FIRST + np.arange(40))
    store.insert("marks", rows | {"received_ms": np.zeros(40, np.int64)})
    kept = ~np.isin(rows["seq"], [31, 34, 39])
    facts.append(store, None, "marks", {name: column[kept] for name, column in rows.items()})

    facts.complete(store, None, last_seq=40)

    assert stored(store) == [(facts.MARK, seq) for seq in range(1, 41)]


def submission(first):
    rows = rows_of("marks", FIRST + np.arange(first, first + 3))
    keys = np.arange(first, first + 3, dtype=np.uint64) * np.uint64(2)
    rows |= {"mark_key": keys, "mark_check": keys}
    return Submission("marks", {name: c for name, c in rows.items() if name != "seq"})


@pytest.mark.parametrize("restarted", [False, True])
def test_a_block_that_broke_off_between_the_tables_is_completed(store, monkeypatch, restarted):
    committer = Committer(store, clock=lambda: AS_OF)
    committer.submit(submission(10))

    def broken(*given):
        raise StoreError(0, "gone")

    with monkeypatch.context() as patch:
        patch.setattr(queries.facts, "append", broken)
        with pytest.raises(Exception, match="send it again"):
            committer.submit(submission(20))
    assert len(stored(store)) == 3
    if restarted:
        committer.close()
        committer = Committer(store, clock=lambda: AS_OF)

    again, other = committer.submit(submission(20)), committer.submit(submission(30))
    committer.close()

    assert (again.tolist(), other.tolist()) == ([False] * 3, [True] * 3)
    assert stored(store) == [(facts.MARK, seq) for seq in range(1, 10)]
    seqs = store.query("SELECT seq FROM marks ORDER BY seq")["seq"].to_pylist()
    assert seqs == [seq for _, seq in stored(store)]
