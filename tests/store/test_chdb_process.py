"""The embedded engine is one process's, one path at a time, and survives that process."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common.errors import FailedPrecondition
from services.common.store import open_store
from services.common.store.chdb import ChdbStore

ROOT = Path(__file__).resolve().parents[2]


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process of its own that may open a path of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output_of(script: str, *arguments: object) -> list[str]:
    process = start(script, *arguments)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out.splitlines()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has `tmp_path/held` open with one row written, until it is told to end."""
    process = start(
        """
        import sys
        from services.common.store import open_store
        store = open_store(f"chdb:{sys.argv[1]}")
        store.execute("CREATE TABLE kept (number Int64) ENGINE = MergeTree ORDER BY number")
        store.insert("kept", {"number": [8613800138000]})
        print("written", flush=True)
        sys.stdin.read()
        """,
        tmp_path / "held",
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    yield process
    process.kill()
    process.communicate()


OPEN = """
    import sys
    from services.common.errors import FailedPrecondition
    from services.common.store import open_store
    try:
        store = open_store(f"chdb:{sys.argv[1]}")
        print(store.query("SELECT number FROM kept")["number"].to_pylist())
    except FailedPrecondition as error:
        print(error.reason, error.metadata["path"], error)
    """


def test_a_path_that_another_process_holds_is_in_use(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    path = tmp_path / "held"

    lines = output_of(OPEN, path)

    expected = f"store: {path} is in use: another process has it open"
    assert lines == [f"STORE_IN_USE {path} {expected}"]


def test_a_row_written_before_sigkill_is_there_after_reopening(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    holder.kill()
    holder.wait()

    lines = output_of(OPEN, tmp_path / "held")

    assert lines == ["[8613800138000]"]


def test_a_second_path_in_one_process_is_in_use(chdb_store: ChdbStore, tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        open_store(f"chdb:{tmp_path}/second")

    assert caught.value.reason == "STORE_IN_USE"
    assert caught.value.metadata == {"path": f"{tmp_path}/second"}
    assert chdb_store.query("SELECT 1 AS x")["x"].to_pylist() == [1]


def test_the_same_path_opens_twice_in_one_process(chdb_store: ChdbStore, chdb_path: Path) -> None:
    chdb_store.execute("CREATE TABLE kept (number Int64) ENGINE = MergeTree ORDER BY number")
    second = open_store(f"chdb:{chdb_path}?database={chdb_store.database}")

    second.insert("kept", {"number": [1]})
    second.close()

    assert chdb_store.query("SELECT number FROM kept")["number"].to_pylist() == [1]


def test_a_path_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    lines = output_of(
        """
        import sys
        from services.common.errors import Unavailable
        from services.common.store import open_store
        try:
            open_store(f"chdb:{sys.argv[1]}")
        except Unavailable as error:
            print(error.reason, error)
        """,
        tmp_path / "file" / "below",
    )

    assert len(lines) == 1
    assert lines[0].startswith("STORE_UNAVAILABLE store: ")


def test_after_close_the_process_reopens_the_path_or_another(tmp_path: Path) -> None:
    lines = output_of(
        """
        import sys
        from services.common.store import open_store
        first, second = (f"chdb:{sys.argv[1]}/{name}" for name in ("first", "second"))
        for turn in range(3):
            for url in (first, second):
                store = open_store(url)
                store.execute(
                    "CREATE TABLE IF NOT EXISTS kept (number Int64)"
                    " ENGINE = MergeTree ORDER BY number"
                )
                store.insert("kept", {"number": [turn]})
                rows = store.query("SELECT number FROM kept ORDER BY number")
                print(rows["number"].to_pylist())
                store.close()
        """,
        tmp_path,
    )

    assert lines == ["[0]", "[0]", "[0, 1]", "[0, 1]", "[0, 1, 2]", "[0, 1, 2]"]


def test_large_results_and_external_tables_do_not_pile_up_in_memory(tmp_path: Path) -> None:
    (grown,) = output_of(
        """
        import os, sys
        from pathlib import Path
        import numpy as np
        from services.common.store import open_store
        store = open_store(f"chdb:{sys.argv[1]}")
        def resident():
            return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
        def turn():
            rows = store.query("SELECT number, number * 2 AS twice FROM numbers(2000000)")
            keys = {"number": rows["number"].to_numpy()[:500_000]}
            store.query("SELECT sum(number) AS s FROM {keys}", tables={"keys": keys})
        for _ in range(8):
            turn()
        before = resident()
        for _ in range(25):
            turn()
        print(resident() - before)
        """,
        tmp_path,
    )

    one_result = 2 * 8 * 2_000_000
    assert int(grown) < 5 * one_result


def test_an_embedded_table_can_ask_for_fsync(chdb_store: ChdbStore) -> None:
    chdb_store.execute(
        "CREATE TABLE kept (number Int64) ENGINE = MergeTree ORDER BY number"
        " SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
    )

    chdb_store.insert("kept", {"number": [1]})

    assert chdb_store.query("SELECT number FROM kept")["number"].to_pylist() == [1]
