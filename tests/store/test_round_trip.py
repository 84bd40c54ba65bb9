"""What goes in comes out, with the same types on both engines."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.common.errors import InvalidArgument
from services.common.store import Store

COLUMNS = {
    "i64": ("Int64", pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "u64": ("UInt64", pa.uint64(), st.integers(0, 2**64 - 1)),
    "f64": ("Float64", pa.float64(), st.floats()),
    "f32": ("Float32", pa.float32(), st.floats(width=32)),
    "u8": ("UInt8", pa.uint8(), st.integers(0, 255)),
    "u16": ("UInt16", pa.uint16(), st.integers(0, 2**16 - 1)),
    "u32": ("UInt32", pa.uint32(), st.integers(0, 2**32 - 1)),
    "i32": ("Int32", pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "text": ("String", pa.string(), st.text()),
}
LISTS = {
    "u16s": ("Array(UInt16)", pa.list_(pa.uint16()), st.lists(st.integers(0, 2**16 - 1))),
    "f32s": ("Array(Float32)", pa.list_(pa.float32()), st.lists(st.floats(width=32))),
    "texts": ("Array(String)", pa.list_(pa.string()), st.lists(st.text())),
}


def rows_of(columns: dict[str, Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    row = st.fixed_dictionaries({name: values for name, (_, _, values) in columns.items()})
    return st.lists(row, min_size=1, max_size=30)


def create(store: Store, columns: dict[str, Any]) -> None:
    declared = ", ".join(f"{name} {engine}" for name, (engine, _, _) in columns.items())
    store.execute("DROP TABLE IF EXISTS kept")
    store.execute(f"CREATE TABLE kept (row UInt32, {declared}) ENGINE = MergeTree ORDER BY row")


def table_of(columns: dict[str, Any], rows: list[dict[str, Any]]) -> pa.Table:
    arrays = {"row": pa.array(range(len(rows)), pa.uint32())}
    for name, (_, arrow_type, _) in columns.items():
        arrays[name] = pa.array([row[name] for row in rows], arrow_type)
    return pa.table(arrays)


def same(left: pa.Table, right: pa.Table) -> bool:
    """Equal with NaN equal to NaN, and -0.0 apart from 0.0."""
    return left.schema.equals(right.schema) and repr(left.to_pylist()) == repr(right.to_pylist())


@pytest.mark.parametrize("columns", [COLUMNS, COLUMNS | LISTS], ids=["plain", "lists"])
def test_every_value_of_every_plain_type_comes_back(either: Store, columns: dict[str, Any]) -> None:
    create(either, columns)
    names = ", ".join(["row", *columns])

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @example(
        [dict.fromkeys(COLUMNS, 0) | {"text": "\0'\\%(x)s{y}\n正名"} | dict.fromkeys(LISTS, [])]
    )
    @given(rows_of(columns))
    def check(rows: list[dict[str, Any]]) -> None:
        either.execute("TRUNCATE TABLE kept")
        written = table_of(columns, rows)

        count = either.insert("kept", written)
        read = either.query(f"SELECT {names} FROM kept ORDER BY row")

        assert count == len(rows)
        assert same(read, written)

    check()


def test_numpy_columns_and_python_lists_are_taken(either: Store) -> None:
    create(either, {name: (COLUMNS | LISTS)[name] for name in ("i64", "f32", "text", "u16s", "u8")})

    either.insert(
        "kept",
        {
            "row": np.arange(2, dtype=np.uint32),
            "i64": [1, -1],
            "f32": np.array([1.5, np.nan], np.float32),
            "text": np.array(["a", "号"], dtype=object),
            "u16s": [[], [7]],
            "u8": [True, False],
        },
    )
    read = either.query("SELECT row, i64, f32, text, u16s, u8 FROM kept ORDER BY row")

    assert repr(read.to_pylist()) == repr(
        [
            {"row": 0, "i64": 1, "f32": 1.5, "text": "a", "u16s": [], "u8": 1},
            {"row": 1, "i64": -1, "f32": float("nan"), "text": "号", "u16s": [7], "u8": 0},
        ]
    )


def test_slices_and_chunks_of_nested_lists_come_back(either: Store) -> None:
    either.execute(
        "CREATE TABLE kept (row UInt32, nested Array(Array(UInt16)), texts Array(String))"
        " ENGINE = MergeTree ORDER BY row"
    )
    nested = pa.chunked_array(
        [[[[1]], [[2, 3], []]], [[], [[4], [5, 6]]]], pa.list_(pa.list_(pa.uint16()))
    )
    texts = pa.chunked_array([[["a"], []], [["b", "正"], [""]]], pa.list_(pa.string()))
    whole = pa.table({"row": pa.array(range(4), pa.uint32()), "nested": nested, "texts": texts})

    either.insert("kept", whole.slice(1, 3))
    read = either.query("SELECT row, nested, texts FROM kept ORDER BY row")

    assert same(read, whole.slice(1, 3))


def test_columns_not_named_take_their_defaults(either: Store) -> None:
    create(either, {name: (COLUMNS | LISTS)[name] for name in ("i64", "text", "u16s")})

    either.insert("kept", {"i64": [5]})

    assert either.query("SELECT * FROM kept").to_pylist() == [
        {"row": 0, "i64": 5, "text": "", "u16s": []}
    ]


def test_no_rows_are_no_insert(either: Store) -> None:
    create(either, {"i64": COLUMNS["i64"]})

    count = either.insert("kept", {"row": np.array([], np.uint32), "i64": []})

    assert count == 0
    assert either.query("SELECT i64 FROM kept").num_rows == 0


def test_an_empty_result_has_its_columns_and_types(either: Store) -> None:
    create(either, COLUMNS | LISTS)
    names = ", ".join(["row", *COLUMNS, *LISTS])

    read = either.query(f"SELECT {names} FROM kept")

    assert read.schema.equals(table_of(COLUMNS | LISTS, []).schema)


def test_computed_columns_have_the_same_types_on_both_engines(either: Store) -> None:
    read = either.query(
        "SELECT count() AS c, sum(number) AS s, avg(number) AS a, max(toInt64(number)) AS m,"
        " number > 1 AS more, groupArray(toUInt16(number)) AS list, argMax(number, number) AS am,"
        " any(toString(number)) AS t, quantile(0.5)(number) AS q FROM numbers(3) GROUP BY more"
        " ORDER BY more"
    )

    expected: dict[str, pa.DataType] = {
        "c": pa.uint64(),
        "s": pa.uint64(),
        "a": pa.float64(),
        "m": pa.int64(),
        "more": pa.uint8(),
        "list": pa.list_(pa.uint16()),
        "am": pa.uint64(),
        "t": pa.string(),
        "q": pa.float64(),
    }
    assert read.schema.equals(pa.schema(expected))
    assert read["more"].to_pylist() == [0, 1]


def test_a_million_and_a_half_rows_become_one_part_and_come_back(either: Store) -> None:
    rows = 1_500_000
    create(either, {name: COLUMNS[name] for name in ("i64", "f64", "text")})
    numbers = np.arange(rows, dtype=np.int64) * 7 - 10**15
    texts = pa.array(numbers % 1000).cast(pa.string())

    either.insert(
        "kept",
        {
            "row": np.arange(rows, dtype=np.uint32),
            "i64": numbers,
            "f64": numbers / 3,
            "text": texts,
        },
    )
    parts = either.query(
        "SELECT count() AS parts FROM system.parts"
        " WHERE database = %(database)s AND table = 'kept' AND active",
        {"database": either.database},
    )
    read = either.query("SELECT i64, f64, text FROM kept ORDER BY row")

    assert parts["parts"].to_pylist() == [1]
    assert np.array_equal(read["i64"].to_numpy(), numbers)
    assert np.array_equal(read["f64"].to_numpy(), numbers / 3)
    assert read["text"].combine_chunks().equals(texts)


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"i64": [1, None]}, "i64"),
        ({"i64": [1], "text": ["a", "b"]}, "i64,text"),
        ({"text": ["\ud800"]}, "text"),
        ({"i64": [2**64]}, "i64"),
        ({"i64": np.array(["2020-01-01"], "datetime64[ms]")}, "i64"),
        ({"i64": [{"a": 1}]}, "i64"),
    ],
    ids=["null", "lengths", "no Unicode", "too large", "time", "record"],
)
def test_a_column_that_cannot_be_kept_is_named(
    either: Store, columns: dict[str, Any], named: str
) -> None:
    create(either, {name: COLUMNS[name] for name in ("i64", "text")})

    with pytest.raises(InvalidArgument) as caught:
        either.insert("kept", columns)

    assert caught.value.reason == "STORE_COLUMNS_INVALID"
    assert caught.value.metadata == {"columns": named}
    assert either.query("SELECT row FROM kept").num_rows == 0


def test_a_result_type_that_differs_between_the_engines_is_refused(either: Store) -> None:
    with pytest.raises(ValueError, match="result column d has type .* convert it in SQL"):
        either.query("SELECT toDecimal64(1, 2) AS d")
