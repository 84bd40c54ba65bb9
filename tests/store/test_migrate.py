"""Schema files are applied once each, in order, and never changed."""

from pathlib import Path

import pytest

from services.common.errors import FailedPrecondition
from services.common.migrate import migrate, statements
from services.common.store import Store, StoreError

FIRST = """-- Marks, as they came.
CREATE TABLE marks (
    number Int64,  -- the key
    text String
) ENGINE = MergeTree ORDER BY number;

INSERT INTO marks (number, text)
SELECT 1, 'a; b -- c';
"""
SECOND = "ALTER TABLE marks ADD COLUMN weight Float64;\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_marks.sql").write_text(FIRST)
    (tmp_path / "0002_weight.sql").write_text(SECOND)
    return tmp_path


def test_files_are_applied_once_in_order_and_recorded(either: Store, folder: Path) -> None:
    first = migrate(either, "ingest", folder, clock=lambda: 1_700_000_000_000)
    again = migrate(either, "ingest", folder, clock=lambda: 1_700_000_000_001)

    assert first == ["0001_marks.sql", "0002_weight.sql"]
    assert again == []
    assert either.query("SELECT * FROM marks").to_pylist() == [
        {"number": 1, "text": "a; b -- c", "weight": 0.0}
    ]
    records = either.query(
        "SELECT DISTINCT service, name, applied_ms, length(sha256) AS digits"
        " FROM schema_migrations WHERE finished = 1 ORDER BY name"
    )
    assert records.to_pylist() == [
        {"service": "ingest", "name": name, "applied_ms": 1_700_000_000_000, "digits": 64}
        for name in first
    ]


def test_a_new_file_is_applied_alone(either: Store, folder: Path) -> None:
    migrate(either, "ingest", folder, clock=lambda: 1)
    (folder / "0003_more.sql").write_text("ALTER TABLE marks ADD COLUMN more UInt8;\n")

    applied = migrate(either, "ingest", folder, clock=lambda: 2)

    assert applied == ["0003_more.sql"]


def test_services_number_their_files_apart(either: Store, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "0001_marks.sql").write_text(FIRST.replace("marks", "others"))

    migrate(either, "ingest", folder, clock=lambda: 1)
    applied = migrate(either, "features", other, clock=lambda: 2)

    assert applied == ["0001_marks.sql"]


def test_another_database_is_created_and_used(either: Store, folder: Path) -> None:
    home = either.database

    applied = migrate(either, "ingest", folder, f"{home}_other", clock=lambda: 1)
    found = either.query("SELECT count() AS c FROM marks")["c"].to_pylist()

    either.use(home)
    either.execute(f"DROP DATABASE {home}_other")
    assert len(applied) == 2
    assert found == [1]


def test_a_changed_file_is_refused_before_anything_is_applied(either: Store, folder: Path) -> None:
    migrate(either, "ingest", folder, clock=lambda: 1)
    (folder / "0002_weight.sql").write_text(SECOND + "-- a remark\n")
    (folder / "0003_more.sql").write_text("CREATE TABLE more (x Int8) ENGINE = Memory;\n")

    with pytest.raises(FailedPrecondition) as caught:
        migrate(either, "ingest", folder, clock=lambda: 2)

    assert caught.value.reason == "MIGRATION_CHANGED"
    assert caught.value.metadata == {"service": "ingest", "migration": "0002_weight.sql"}
    with pytest.raises(StoreError):
        either.query("SELECT x FROM more")


def test_a_file_that_is_gone_or_comes_late_is_refused(either: Store, folder: Path) -> None:
    migrate(either, "ingest", folder, clock=lambda: 1)
    (folder / "0001_marks.sql").rename(folder / "0001_signs.sql")

    with pytest.raises(FailedPrecondition) as gone:
        migrate(either, "ingest", folder, clock=lambda: 2)
    (folder / "0001_signs.sql").rename(folder / "0001_marks.sql")
    (folder / "0000_late.sql").write_text("CREATE TABLE late (x Int8) ENGINE = Memory;\n")
    with pytest.raises(FailedPrecondition) as late:
        migrate(either, "ingest", folder, clock=lambda: 2)

    assert gone.value.metadata["migration"] == "0001_marks.sql"
    assert late.value.metadata["migration"] == "0000_late.sql"


def test_an_older_release_starts_beside_a_newer_schema(either: Store, folder: Path) -> None:
    migrate(either, "ingest", folder, clock=lambda: 1)
    (folder / "0002_weight.sql").unlink()

    applied = migrate(either, "ingest", folder, clock=lambda: 2)

    assert applied == []


def test_a_file_that_failed_halfway_is_taken_up_where_it_stopped(
    either: Store, tmp_path: Path
) -> None:
    (tmp_path / "0001_two.sql").write_text(
        "CREATE TABLE one (x Int64) ENGINE = MergeTree ORDER BY x;\n"
        "INSERT INTO one (x) SELECT 1;\n"
        "INSERT INTO missing (x) SELECT 2;\n"
        "INSERT INTO one (x) SELECT 3;\n"
    )

    with pytest.raises(StoreError):
        migrate(either, "ingest", tmp_path, clock=lambda: 1)
    either.execute("CREATE TABLE missing (x Int64) ENGINE = MergeTree ORDER BY x")
    applied = migrate(either, "ingest", tmp_path, clock=lambda: 2)

    assert applied == ["0001_two.sql"]
    assert either.query("SELECT x FROM one ORDER BY x")["x"].to_pylist() == [1, 3]
    assert either.query("SELECT x FROM missing")["x"].to_pylist() == [2]


def test_a_statement_done_but_not_recorded_is_recognised(either: Store, folder: Path) -> None:
    migrate(either, "ingest", folder, clock=lambda: 1)
    records = either.query("SELECT * FROM schema_migrations WHERE statements_done = 0")
    either.execute("TRUNCATE TABLE schema_migrations")
    either.execute("TRUNCATE TABLE marks")
    either.insert("schema_migrations", records)

    applied = migrate(either, "ingest", folder, clock=lambda: 2)

    assert applied == ["0001_marks.sql", "0002_weight.sql"]
    assert either.query("SELECT number FROM marks")["number"].to_pylist() == [1]


def test_a_gated_statement_holds_only_for_its_engines(either: Store, tmp_path: Path) -> None:
    (tmp_path / "0001_gated.sql").write_text(
        "CREATE TABLE kept (x Int64) ENGINE = MergeTree ORDER BY x;\n"
        "-- engine >= 21.0\n"
        "ALTER TABLE kept MODIFY SETTING fsync_after_insert = 1;\n"
        "-- engine < 21.0\n"
        "INSERT INTO kept (x) SELECT 18;\n"
        "-- engine >= 21.0\n"
        "INSERT INTO kept (x) SELECT 21;\n"
    )

    migrate(either, "ingest", tmp_path, clock=lambda: 1)

    expected = [21] if either.engine_version >= (21, 0) else [18]
    assert either.query("SELECT x FROM kept")["x"].to_pylist() == expected


@pytest.mark.parametrize(
    ("engine_version", "expected"),
    [((18, 16), ["A", "D"]), ((20, 1), ["A", "B", "D"]), ((21, 0), ["A", "C", "D"])],
)
def test_gates_compare_versions_and_end_with_their_statement(
    engine_version: tuple[int, int], expected: list[str]
) -> None:
    text = "A;\n-- engine >= 20.1\n-- engine < 21.0\nB;\n-- engine >= 21.0\n-- why\nC;\n\nD"

    assert statements(text, engine_version) == expected


@pytest.mark.parametrize("name", ["1_marks.sql", "0002-weight.sql", "0001_again.sql"])
def test_a_file_without_a_number_of_its_own_is_refused(
    either: Store, folder: Path, name: str
) -> None:
    (folder / name).write_text("SELECT 1;\n")

    with pytest.raises(ValueError, match=r"\.sql"):
        migrate(either, "ingest", folder, clock=lambda: 1)
