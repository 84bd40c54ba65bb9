"""What holds for every number and every string."""

import io
import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.cli.normalise import normalise_stream
from services.common.errors import InvalidArgument
from services.common.numbering import (
    Cause,
    Kind,
    Number,
    countries_of,
    format_column,
    format_keys,
    from_key,
    kinds_of,
    parse,
    parse_column,
)
from services.common.numbering.keys import SATELLITE_3, SATELLITE_4, kind_of
from services.common.numbering.parser import number_of, resolve
from services.common.numbering.plan import MIIT, OBSERVED, load_plan
from services.common.numbering.segments import FIRST_SEGMENT, load_segments

REGIONS = ("CN", "US", "GB", "CA")
digits = st.text("0123456789", max_size=24)
# Writings near to numbers: each part is often one that a number begins or ends with.
near_numbers = st.builds(
    lambda *parts: "".join(parts),
    st.sampled_from(["", "+", "00", "+00", "0", "tel:", "sip:", "(", " ", "011", "＋"]),
    st.sampled_from(["", "86", "1", "852", "12593", "17951", "12520", "44", "8601"]),
    st.sampled_from(
        ["138", "1700", "10", "0571", "571", "400", "95", "96", "106", "700", "144", "205", "2"]
    ),
    st.sampled_from(["", "-", " ", ")", "."]),
    digits,
    st.sampled_from(["", "转12", "-8001", "x5", "@330000", ";ext=9", "#", "*", "_", "\0", "\r"]),
)
raws = st.one_of(
    near_numbers, digits, st.text(max_size=40), st.text("+0123456789-() .", max_size=20)
)


def valid_numbers() -> st.SearchStrategy[Number]:
    """Numbers of every kind."""
    return (
        st.one_of(
            st.from_regex(r"1[3-9]\d{9}", fullmatch=True),
            st.from_regex(r"0(10|2[0-9]|[3-9]\d\d)[2-8]\d{6,7}", fullmatch=True),
            st.from_regex(r"[48]00\d{7}", fullmatch=True),
            st.from_regex(r"14[0-4]\d{10}|1064\d{9}", fullmatch=True),
            st.from_regex(r"9(5[0-7]|6\d)\d{2,4}", fullmatch=True),
            st.from_regex(r"0571-96\d{3}|96\d{3}@(11|33|44)0000", fullmatch=True),
            st.from_regex(r"1(00|2[0-9])\d{2}|11[0249]|12[0-2]", fullmatch=True),
            st.from_regex(r"106[235689]\d{4,17}", fullmatch=True),
            st.from_regex(r"700\d{12}", fullmatch=True),
            st.from_regex(r"\+1[2-9]\d\d[2-9]\d{6}", fullmatch=True),
            st.from_regex(
                r"\+(852[2-9]\d{7}|44\d{10}|81\d{9,10}|65[689]\d{7}|39\d{6,11})", fullmatch=True
            ),
        )
        .map(number_or_none)
        .filter(lambda number: number is not None)
    )  # type: ignore[return-value]


def number_or_none(raw: str | bytes, region: str = "CN") -> Number | None:
    try:
        return parse(raw, region)
    except InvalidArgument as error:
        assert error.reason == "NUMBER_INVALID"
        assert error.metadata["cause"] in Cause.__members__
        return None


@given(st.text(), st.sampled_from(REGIONS))
@example("\ud800\udfff", "CN")
@example("9" * 2_000_000, "US")
@example("\0" * 100, "CN")
@example("ﷺ" * 128, "CN")
def test_no_text_raises_anything_but_the_typed_error(raw: str, region: str) -> None:
    found = number_or_none(raw, region)

    assert found is None or found.key > 0


@given(st.binary(), st.sampled_from(REGIONS))
@example(b"\xed\xa0\x80", "CN")
@example(b"\xff" * 1_000_000, "US")
def test_no_bytes_raise_anything_but_the_typed_error(raw: bytes, region: str) -> None:
    found = number_or_none(raw, region)

    assert found is None or found.key > 0


@given(near_numbers, st.sampled_from(REGIONS))
@settings(max_examples=400)
def test_nothing_near_a_number_raises_anything_but_the_typed_error(raw: str, region: str) -> None:
    found = number_or_none(raw, region)

    assert found is None or 0 < found.key < 1 << 63


@given(raws, st.sampled_from(REGIONS))
@settings(max_examples=400)
def test_normalising_is_idempotent(raw: str, region: str) -> None:
    found = number_or_none(raw, region)

    if found is not None:
        again = parse(found.number)
        assert (again.key, again.number, again.extension) == (found.key, found.number, "")
        assert parse(found.canonical).key == found.key


@given(valid_numbers())
def test_a_wire_form_with_plus_reads_alike_in_the_united_states(number: Number) -> None:
    # Ten digits after a plus are the one exception: the FTC writes national numbers so.
    if number.number.startswith("+") and len(number.number) != 11:
        assert parse(number.number, "US").key == number.key


@given(valid_numbers())
@settings(max_examples=400)
def test_a_key_gives_back_its_number(number: Number) -> None:
    found = from_key(number.key)

    assert (found.key, found.number, found.kind) == (number.key, number.number, number.kind)
    assert found.country == number.country


@given(st.integers(-(1 << 63), (1 << 63) - 1))
@example(0)
@example(-1)
@example(1 << 60)
@example((1 << 60) + 86)
@example((2 << 60) + 95588 * 100 + 33)
@example((2 << 60) + 96110 * 100 + 33)
@example((3 << 60) + 4123456789)
@example((7 << 60) + 5)
def test_an_integer_is_a_key_or_is_refused(key: int) -> None:
    try:
        found = from_key(key)
    except InvalidArgument as error:
        assert error.reason == "NUMBER_INVALID"
    else:
        assert found.key == key


@given(valid_numbers(), valid_numbers())
def test_two_numbers_share_a_key_only_if_they_are_one(one: Number, other: Number) -> None:
    assert (one.key == other.key) == (one.number == other.number)


@given(st.lists(st.integers(13_000_000_000, 13_999_999_999), min_size=2, max_size=9, unique=True))
def test_keys_sort_as_the_numbers_of_a_kind_do(nationals: list[int]) -> None:
    numbers = [number for raw in nationals if (number := number_or_none(str(raw)))]

    by_key = sorted(numbers, key=lambda number: number.key)

    assert by_key == sorted(numbers, key=lambda number: number.number)


@given(valid_numbers(), st.data())
@settings(max_examples=400)
def test_spaces_dashes_and_full_width_never_change_the_key(
    number: Number, data: st.DataObject
) -> None:
    # A dash may set off an extension, but only where the digits alone are no number.
    decorated = "".join(
        data.draw(st.sampled_from([c, f" {c}", f"{c} ", f"-{c}", f"\u200b{c}", full_width(c)]))
        for c in number.number.partition("@")[0]
    )

    found = parse(decorated + number.number[len(number.number.partition("@")[0]) :])

    assert found.key == number.key


def full_width(character: str) -> str:
    return chr(ord(character) + 0xFEE0)


@given(st.lists(raws, max_size=30), st.sampled_from(REGIONS))
@settings(max_examples=300)
def test_a_column_reads_every_row_as_parse_does(column: list[str], region: str) -> None:
    parsed = parse_column(column, region)

    for raw, key, cause in zip(column, parsed.keys.tolist(), parsed.causes.tolist(), strict=True):
        assert (key, cause) == key_and_cause(raw, region)


def key_and_cause(raw: str | bytes, region: str) -> tuple[int, int]:
    try:
        return parse(raw, region).key, 0
    except InvalidArgument as error:
        return 0, Cause[error.metadata["cause"]]


COLUMN = ["13812345678", "0571-96188", "", "junk", "+86 10 62671188", "13812345678"]


@pytest.mark.parametrize(
    "column",
    [
        COLUMN,
        tuple(COLUMN),
        np.array(COLUMN, dtype=object),
        np.array(COLUMN),
        np.array([raw.encode() for raw in COLUMN]),
        pa.array(COLUMN),
        pa.array(COLUMN, pa.large_string()),
        pa.array([raw.encode() for raw in COLUMN]),
        pa.array(COLUMN).dictionary_encode(),
        pa.chunked_array([COLUMN[:2], [], COLUMN[2:]]),
        pa.array(["x", *COLUMN, "y"]).slice(1, len(COLUMN)),
    ],
    ids=str,
)
def test_every_container_of_a_column_gives_the_same_keys(column: object) -> None:
    parsed = parse_column(column)  # type: ignore[arg-type]

    assert format_keys(parsed.keys) == [
        "+8613812345678",
        "96188@330000",
        "",
        "",
        "+861062671188",
        "+8613812345678",
    ]
    assert parsed.causes.tolist() == [0, 0, Cause.EMPTY, Cause.NOT_A_NUMBER, 0, 0]
    assert (parsed.keys.dtype, parsed.causes.dtype) == (np.int64, np.uint8)


def test_integers_and_nulls_are_read_as_their_text_and_as_nothing() -> None:
    integers = parse_column(np.array([13812345678, 95588]))
    nulls = parse_column(pa.array(["95588", None]))
    dictionary = parse_column(pa.array(["95588", None]).dictionary_encode())

    assert format_keys(integers.keys) == ["+8613812345678", "95588"]
    assert nulls.causes.tolist() == dictionary.causes.tolist() == [0, Cause.EMPTY]


def test_an_empty_column_gives_empty_arrays() -> None:
    for column in ([], pa.array([], pa.string()), pa.chunked_array([], pa.string())):
        parsed = parse_column(column)
        assert len(parsed.keys) == len(parsed.causes) == 0


def test_a_lone_surrogate_spoils_its_own_row_only() -> None:
    parsed = parse_column(["13812345678", "\ud800", "95588"])

    assert parsed.causes.tolist() == [0, Cause.NOT_A_NUMBER, 0]


@given(st.lists(valid_numbers(), min_size=1, max_size=20))
def test_arrays_of_keys_say_what_single_numbers_say(numbers: list[Number]) -> None:
    keys = np.array([number.key for number in numbers], dtype=np.int64)

    countries, country_names = countries_of(keys)

    assert kinds_of(keys).tolist() == [number.kind for number in numbers]
    assert format_keys(keys) == [number.number for number in numbers]
    assert format_column(keys, with_scheme=True).to_pylist() == [n.canonical for n in numbers]
    assert [country_names[i] for i in countries] == [number.country for number in numbers]


def test_key_zero_is_no_number_in_every_array_function() -> None:
    keys = np.zeros(2, dtype=np.int64)

    assert kinds_of(keys).tolist() == [Kind.UNKNOWN, Kind.UNKNOWN]
    assert format_keys(keys) == ["", ""]
    assert countries_of(keys)[0].tolist() == [0, 0]


@given(st.lists(st.one_of(st.binary(max_size=30), near_numbers.map(str.encode)), max_size=12))
def test_each_line_of_any_bytes_becomes_one_json_line_equal_to_its_parse(
    lines: list[bytes],
) -> None:
    text = b"\n".join(lines)
    out = io.BytesIO()

    normalise_stream(io.BytesIO(text), out)

    ended = text if text.endswith(b"\n") or not text else text + b"\n"
    expected = ended.replace(b"\r\n", b"\n").split(b"\n")
    if not expected[-1]:
        expected.pop()
    answers = [json.loads(line) for line in out.getvalue().decode("utf-8").split("\n")[:-1]]
    assert len(answers) == len(expected)
    for raw, said in zip(expected, answers, strict=True):
        key, cause = key_and_cause(raw, "CN")
        assert said["raw"] == raw.decode("utf-8", "replace")
        assert said["error"] == (Cause(cause).name if cause else None)
        number = from_key(key) if key else None
        assert said["number"] == (number.number if number else None)
        assert said["key"] == (number.canonical if number else f"invalid:{Cause(cause).name}")
        assert said["kind"] == (number.kind.name if number else None)
        assert said["country"] == (number.country if number else None)


def test_a_stream_is_cut_into_blocks_without_losing_a_line() -> None:
    class Dripping(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            return super().read(7)

    lines = [f"138{i:08d}".encode() for i in range(200)] + [b"9" * 200_000]
    out = io.BytesIO()

    count = normalise_stream(Dripping(b"\r\n".join(lines)), out)

    answers = [json.loads(line) for line in out.getvalue().splitlines()]
    assert count == 200
    assert [said["number"] for said in answers[:200]] == [f"+86138{i:08d}" for i in range(200)]
    assert answers[200]["error"] == "BAD_LENGTH"


def test_every_segment_in_use_is_a_mobile_number_by_table_or_by_sight() -> None:
    segments = np.flatnonzero(load_segments().place >= 0) + FIRST_SEGMENT
    raws_of_segments = [f"{segment}{segment % 10_000:04d}" for segment in segments.tolist()]

    parsed = parse_column(raws_of_segments)

    satellite = np.array([raw.startswith(("1349", "174", "1619")) for raw in raws_of_segments])
    assert len(segments) > 490_000
    assert (parsed.keys > 0).all()
    assert (kinds_of(parsed.keys) == np.where(satellite, Kind.CN_SATELLITE, Kind.CN_MOBILE)).all()


def test_segments_known_by_sight_only_are_few() -> None:
    allocation = load_plan().allocation

    assert (
        0 < np.count_nonzero(allocation == OBSERVED) < 0.01 * np.count_nonzero(allocation == MIIT)
    )


def test_satellite_codes_of_the_plan_are_those_of_the_keys() -> None:
    assert sorted(load_plan().satellite) == sorted(map(str, SATELLITE_3 + SATELLITE_4))


def test_service_rows_have_the_kind_that_their_keys_tell() -> None:
    rows = [row for group in load_plan().services.values() for row in group]

    for row in rows:
        number = from_key((2 << 60) + int(row.prefix.ljust(min(row.lengths), "0")) * 100)
        assert number.kind == kind_of(number.key) == row.kind


@given(st.from_regex(r"\+861[0-9]{10}", fullmatch=True), st.sampled_from(REGIONS))
@example("+8610000000000", "CN")
@example("+8613８00138000", "CN")
@settings(max_examples=400)
def test_the_short_way_of_a_mobile_wire_form_gives_what_the_long_one_does(raw, region) -> None:
    key, extension = resolve(load_plan(), raw, region)

    found = number_or_none(raw, region)

    assert found == (number_of(key, extension) if key > 0 else None)
