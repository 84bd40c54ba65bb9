"""A backup of one engine restores on the other, row for row; records go when their term is over,
and the audit never does."""

import json

import numpy as np
import pytest

from services.application import ROOT
from services.arbitration.disputes import queries as disputes
from services.arbitration.disputes.events import START, Step, prove, seal
from services.arbitration.disputes.words import Kind, Role
from services.common import facts
from services.common.errors import FailedPrecondition, InvalidArgument
from services.common.feed.rows import Digest
from services.common.migrate import migrate_services
from services.configuration import NAMES
from services.keeping import backup
from services.keeping.backup import restore_backup, write_backup
from services.keeping.retention import Term, drop_expired, load
from services.reputation import queries as reputation
from services.reputation.filters import to_rows
from tests.published_rows import key, published
from tests.store.facts import put
from tests.store.test_cluster import marks

DAY_MS = 86_400_000


def quiet(name, rows):
    """A progress that nobody sees."""


def migrated(store):
    migrate_services(store, ROOT, NAMES, clock=lambda: 0)
    return store


def filled(store):
    migrated(store)
    put(store, "marks", marks(1_000))
    numbers = np.arange(50, dtype=np.int64) + key(8613800138000)
    store.insert(
        "changes",
        {"seq": np.arange(50, dtype=np.uint64), "number": numbers, "committed_ms": numbers * 0},
    )
    store.insert("sources", {"source": [1], "name": ["应用一'; --"], "first_seen_ms": [5]})
    rows = published(dict.fromkeys(numbers.tolist(), (3107, 2, 3, 4)), version=1)
    rows["categories"][:, 0] = 3107
    reputation.insert_version(store, None, 0, 1, 10, 11, len(numbers), "50", 0, rows)
    steps = [("", 0, Step(Kind.READ, Role.READER, f"r{i}", text="看")) for i in range(3)]
    disputes.insert_events(store, None, seal(steps, 0, START, 7))
    return store


def contents(store):
    found = {}
    for name in backup._tables(store):
        if name not in backup.LEFT_OUT:
            found[name] = sorted(map(repr, store.query(f"SELECT * FROM {name}").to_pylist()))
    return found


def state_digest(store):
    rows, shown = to_rows(reputation.state_at(store, 0, 1))
    return Digest.of(rows[shown]).sha256


@pytest.fixture(params=["chdb to server", "server to chdb"])
def stores(request):
    names = [f"{n.replace('server', 'clickhouse')}_store" for n in request.param.split(" to ")]
    return [request.getfixturevalue(name) for name in names]


def test_a_restored_store_has_every_row_and_the_same_state(stores, tmp_path, monkeypatch):
    monkeypatch.setattr(backup, "ROWS", 300)  # so that tables are read in ranges
    before, after = filled(stores[0]), migrated(stores[1])

    written = write_backup(before, tmp_path / "b", 5, quiet)
    restored = restore_backup(after, tmp_path / "b", quiet)

    assert written == restored
    assert written["marks"] == 1_000
    assert len(list((tmp_path / "b").glob("marks-*.parquet"))) > 2
    assert contents(after) == contents(before)
    assert state_digest(after) == state_digest(before)
    assert not prove(disputes.all_events(after)).fault


def test_a_damaged_or_unfit_backup_restores_nothing(either, tmp_path):
    store, folder = filled(either), tmp_path / "b"
    write_backup(store, folder, 5, quiet)

    def refused():
        with pytest.raises(FailedPrecondition) as caught:
            restore_backup(store, folder, quiet)
        assert caught.value.reason == "BACKUP_UNFIT"
        return caught.value.metadata["cause"]

    assert refused() == "the store has rows of it"
    store.execute(f"DROP DATABASE {store.database}")
    store.use(store.database)
    migrated(store)
    part = folder / "marks-00000.parquet"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    assert refused() == "a file of it is missing or damaged"
    said = json.loads((folder / "manifest.json").read_text())
    said["migrations"]["ingest/0001_marks.sql"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(said))
    assert "another release" in refused()
    (folder / "manifest.json").unlink()
    assert "manifest" in refused()
    assert store.query("SELECT count() AS n FROM marks")["n"].to_pylist() == [0]


def wait_until(store, table, count):
    """The engine drops rows in the background."""
    while store.query(f"SELECT count() AS n FROM {table}")["n"][0].as_py() != count:
        pass


def test_what_is_older_than_its_term_goes_and_the_rest_stays(either):
    store = filled(either)  # marks of the first second of 1970, a millisecond apart
    late = {**marks(10, first_key=100_000), "occurred_ms": np.full(10, 2_000 * DAY_MS)}
    put(store, "marks", late)
    now_ms = 2_001 * DAY_MS

    dropped = drop_expired(store, load(), now_ms)

    assert (dropped["marks"], dropped["changes"]) == (1_000, 49)
    wait_until(store, "marks", 10)
    wait_until(store, "facts_by_number", 10)
    wait_until(store, "changes", 1)  # the newest stays: from it the next one is counted
    assert store.query("SELECT seq FROM changes")["seq"].to_pylist() == [49]
    assert store.query("SELECT count() AS n FROM dispute_events")["n"].to_pylist() == [3]
    assert drop_expired(store, load(), now_ms)["marks"] == 0


def test_facts_by_number_go_with_the_rows_they_are_of(either):
    store, day = migrated(either), 2_000
    now_ms, number = day * DAY_MS, np.full(3, key(8613800138000))
    seq = np.arange(3, dtype=np.uint64)
    days = (day - np.array([500, 399, 1])).astype(np.int32)
    put(store, "behaviour", {"number": number, "seq": seq, "day": days, "carrier": ["c"] * 3})
    at = now_ms - np.array([1_200, 1_000, 1]) * DAY_MS
    for table, column in (("lifecycle", "occurred_ms"), ("registry", "valid_from_ms")):
        put(store, table, {"number": number, "seq": seq, column: at})
    put(store, "marks", {**marks(3), "number": number, "seq": seq, "occurred_ms": at})

    dropped = drop_expired(store, load(), now_ms)

    assert (dropped["facts_by_number"], dropped["marks"], dropped["behaviour"]) == (2, 1, 1)
    wait_until(store, "facts_by_number", 10)
    told = facts.of_numbers(store, number[:1], number[:1], now_ms, (0, day))
    assert {table: sorted(rows["seq"].tolist()) for table, rows in told.items()} == {
        "marks": [1, 2],
        "lifecycle": [0, 1, 2],
        "registry": [0, 1, 2],
        "behaviour": [1, 2],
    }


@pytest.mark.parametrize("table", ["dispute_events", "decisions"])
def test_no_term_is_accepted_for_the_audit(table):
    with pytest.raises(InvalidArgument) as caught:
        Term(table, "occurred_ms", 10_000)

    assert caught.value.reason == "RULES_INVALID"


def test_a_manifest_that_names_other_tables_runs_no_statement_of_its_own(either, tmp_path):
    store, folder = filled(either), tmp_path / "b"
    write_backup(store, folder, 5, quiet)
    for name in ("marks WHERE 1 = 0 --", "url('http://127.0.0.1:1/')", "system.tables", ""):
        said = json.loads((folder / backup.MANIFEST).read_text())
        said["tables"][0] = name
        (folder / "hostile").mkdir(exist_ok=True)
        (folder / "hostile" / backup.MANIFEST).write_text(json.dumps(said))

        with pytest.raises(FailedPrecondition) as caught:
            restore_backup(store, folder / "hostile", quiet)

        assert "names a table" in str(caught.value)
