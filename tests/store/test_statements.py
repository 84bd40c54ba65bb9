"""Parameters and external tables, on both engines."""

import threading
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.common.store import Store, StoreError

TEXTS = [
    "",
    "'",
    "\\",
    "\\'",
    "%",
    "%%",
    "%(x)s",
    "{touched}",
    "a\0b\n\t\r\b\f\v\a",
    "正名 🙂",
    "--",
    ";",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_parameter_arrives_as_it_is(either: Store, text: str) -> None:
    read = either.query("SELECT %(text)s AS text", {"text": text})

    assert read["text"].to_pylist() == [text]


def test_any_text_and_any_integer_arrive_as_they_are(either: Store) -> None:
    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @example("x", -(2**63), 2**64 - 1)
    @given(st.text(), st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**64 - 1))
    def check(text: str, signed: int, unsigned: int) -> None:
        read = either.query(
            "SELECT %(text)s AS text, toInt64(%(signed)s) AS s, toUInt64(%(unsigned)s) AS u",
            {"text": text, "signed": signed, "unsigned": unsigned},
        )

        assert read.to_pylist() == [{"text": text, "s": signed, "u": unsigned}]

    check()


@pytest.mark.parametrize(
    ("keys", "count"),
    [
        ((), 0),
        ((3,), 1),
        ((3, 4, 99), 2),
        (np.array([3, 4], np.uint64), 2),
        (np.array([], np.int64), 0),
    ],
    ids=str,
)
def test_a_tuple_or_array_of_keys_selects_its_members(either: Store, keys: Any, count: int) -> None:
    read = either.query(
        "SELECT count() AS c FROM numbers(10) WHERE number IN %(keys)s", {"keys": keys}
    )

    assert read["c"].to_pylist() == [count]


def test_a_list_is_an_array_and_a_bool_is_a_number(either: Store) -> None:
    read = either.query(
        "SELECT arraySum(%(list)s) AS sum, %(yes)s AS yes, %(half)s AS half",
        {"list": [1, np.uint16(2)], "yes": True, "half": np.float64(0.5)},
    )

    assert read.to_pylist() == [{"sum": 3, "yes": 1, "half": 0.5}]


def test_percent_signs_and_braces_that_are_no_slots_stay(either: Store) -> None:
    read = either.query(
        "SELECT 'a%b' LIKE 'a%' AS is_like, 5 % 3 AS rest, '{other} {} %s' AS text, %(x)s AS x",
        {"x": 1},
        {"touched": {"number": [1]}},
    )

    assert read.to_pylist() == [{"is_like": 1, "rest": 2, "text": "{other} {} %s", "x": 1}]


def test_a_parameter_without_a_value_is_refused(either: Store) -> None:
    with pytest.raises(ValueError, match="'x' has no value"):
        either.query("SELECT %(x)s AS x", {"y": 1})


@pytest.mark.parametrize("key_count", [0, 1, 200_000])
def test_an_external_table_selects_by_its_keys(either: Store, key_count: int) -> None:
    keys = np.arange(key_count, dtype=np.int64) * 2

    read = either.query(
        "SELECT count() AS c, sum(number) AS s FROM numbers(300000)"
        " WHERE toInt64(number) IN (SELECT number FROM {touched})",
        tables={"touched": {"number": keys}},
    )

    present = keys[keys < 300_000]
    assert read.to_pylist() == [{"c": len(present), "s": int(present.sum())}]


def test_external_tables_join_and_may_be_several_and_named_twice(either: Store) -> None:
    read = either.query(
        "SELECT number, name, weight FROM"
        " (SELECT number, name FROM {names} WHERE number IN (SELECT number FROM {weights}))"
        " ANY LEFT JOIN (SELECT number, weight FROM {weights} WHERE weight > %(least)s)"
        " USING (number) ORDER BY number",
        {"least": 0.3},
        {
            "names": {"number": [1, 2, 3], "name": ["eins", "zwei'", "三"]},
            "weights": pa.table({"number": [2, 3], "weight": [0.25, 0.5]}),
        },
    )

    assert read.to_pylist() == [
        {"number": 2, "name": "zwei'", "weight": 0.0},
        {"number": 3, "name": "三", "weight": 0.5},
    ]


def test_insert_select_reads_an_external_table(either: Store) -> None:
    either.execute(
        "CREATE TABLE kept (number Int64, twice Int64) ENGINE = MergeTree ORDER BY number"
    )

    either.execute(
        "INSERT INTO kept (number, twice) SELECT number, number * %(factor)s FROM {touched}",
        {"factor": 2},
        {"touched": {"number": [1, 5]}},
    )

    assert either.query("SELECT * FROM kept ORDER BY number").to_pylist() == [
        {"number": 1, "twice": 2},
        {"number": 5, "twice": 10},
    ]


def test_an_unknown_table_is_a_store_error_with_the_engines_code(either: Store) -> None:
    with pytest.raises(StoreError) as caught:
        either.query(
            "SELECT number FROM nowhere WHERE number = 8613800138000 OR 'secret text' = ''"
        )

    assert caught.value.code == 60
    assert "nowhere" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "8613800138000" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT toInt64('+8613800138000x') AS n",
        "SELECT number FROM numbers(2) WHERE number = 8613800138000 AND nowhere = 'secret text'",
        "SELECT FROM WHERE 8613800138000 'secret text'",
    ],
)
def test_a_refusal_repeats_no_value_of_the_statement(either: Store, statement: str) -> None:
    with pytest.raises(StoreError) as caught:
        either.query(statement)

    assert caught.value.code > 0
    assert "138000" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("row_count", [20, 2_000_000])
def test_a_failure_inside_a_result_leaves_the_next_ones_whole(
    either: Store, row_count: int
) -> None:
    failing = f"SELECT throwIf(number = {row_count - 1}) AS thrown FROM numbers({row_count})"

    with pytest.raises(StoreError) as caught:
        either.query(failing)
    results = [either.query("SELECT %(i)s AS i", {"i": i})["i"].to_pylist() for i in range(5)]

    assert caught.value.code == 395
    assert results == [[0], [1], [2], [3], [4]]


def test_an_insert_into_an_unknown_table_or_column_is_a_store_error(either: Store) -> None:
    either.execute("CREATE TABLE kept (number Int64) ENGINE = MergeTree ORDER BY number")

    with pytest.raises(StoreError) as no_table:
        either.insert("nowhere", {"number": [1]})
    with pytest.raises(StoreError) as no_column:
        either.insert("kept", {"other": [1]})
    either.insert("kept", {"number": [1]})

    assert no_table.value.code == 60
    assert no_column.value.code == 16
    assert either.query("SELECT number FROM kept")["number"].to_pylist() == [1]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO kept VALUES (1)",
        "insert into\nkept (number)\nvalues (1)",
        "INSERT INTO kept(number) FORMAT CSV",
    ],
)
def test_rows_inside_a_statement_are_refused(either: Store, statement: str) -> None:
    either.execute("CREATE TABLE kept (number Int64) ENGINE = MergeTree ORDER BY number")

    with pytest.raises(ValueError, match="use insert"):
        either.execute(statement)


def test_six_threads_insert_and_query_without_mixing(either: Store) -> None:
    either.execute(
        "CREATE TABLE kept (writer UInt8, number Int64) ENGINE = MergeTree ORDER BY number"
    )
    faults: list[str] = []

    def work(writer: int) -> None:
        try:
            for turn in range(15):
                mine = np.arange(20, dtype=np.int64) + writer * 10_000 + turn * 100
                either.insert("kept", {"writer": np.full(20, writer, np.uint8), "number": mine})
                read = either.query(
                    "SELECT number FROM kept WHERE writer = %(writer)s"
                    " AND number IN (SELECT number FROM {touched}) ORDER BY number",
                    {"writer": writer},
                    {"touched": {"number": mine}},
                )
                if read["number"].to_pylist() != mine.tolist():
                    faults.append(f"writer {writer} turn {turn} read {read['number'].to_pylist()}")
        except Exception as error:
            faults.append(f"writer {writer}: {error!r}")

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert faults == []
    counts = either.query("SELECT writer, count() AS c FROM kept GROUP BY writer ORDER BY writer")
    assert counts["c"].to_pylist() == [300] * 6


def test_after_close_every_call_is_unavailable(either: Store) -> None:
    other = type(either)(*_address(either))
    other.close()
    other.close()

    with pytest.raises(Exception) as caught:
        other.query("SELECT 1 AS x")

    assert getattr(caught.value, "reason", None) == "STORE_UNAVAILABLE"
    assert either.query("SELECT 1 AS x")["x"].to_pylist() == [1]


def _address(store: Any) -> tuple[Any, ...]:
    if hasattr(store, "_path"):
        return (store._path, store.database)
    return (*store._hosts.in_order()[0], store.database)
