"""Each vector of numbers.csv: what a writing stands for, and why."""

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from services.common.errors import InvalidArgument
from services.common.numbering import Cause, from_key, parse, parse_column

VECTORS = Path(__file__).parent / "vectors" / "numbers.csv"


def vectors() -> list[tuple[str, str, str, str]]:
    with VECTORS.open(encoding="utf-8", newline="") as lines:
        return [
            (unescape(row["raw"]), row["region"], row["expected"], row["why"])
            for row in csv.DictReader(lines)
        ]


def unescape(raw: str) -> str:
    """What cannot be seen stands in the file as four hexadecimal digits."""
    return re.sub(r"\\u([0-9a-f]{4})", lambda code: chr(int(code[1], 16)), raw)


def answer(raw: str | bytes, region: str) -> str:
    try:
        return parse(raw, region).canonical
    except InvalidArgument as error:
        assert error.reason == "NUMBER_INVALID"
        return error.metadata["cause"]


@pytest.mark.parametrize(("raw", "region", "expected", "why"), vectors())
def test_a_writing_gives_the_key_or_cause_of_its_vector(
    raw: str, region: str, expected: str, why: str
) -> None:
    found = answer(raw, region)

    assert found == expected, why


def test_there_are_at_least_400_vectors_each_once_and_each_with_its_reason() -> None:
    rows = vectors()

    assert len(rows) >= 400
    assert max(Counter((raw, region) for raw, region, _, _ in rows).values()) == 1
    assert all(why for _, _, _, why in rows)


def test_the_vectors_name_every_cause() -> None:
    expected = {row[2] for row in vectors()}

    assert {cause.name for cause in Cause if cause} <= expected


@pytest.mark.parametrize("region", sorted({row[1] for row in vectors()}))
def test_a_column_of_vectors_gives_the_same_as_each_alone(region: str) -> None:
    rows = [row for row in vectors() if row[1] == region]

    parsed = parse_column([row[0] for row in rows], region)

    for key, cause, row in zip(parsed.keys.tolist(), parsed.causes.tolist(), rows, strict=True):
        assert (from_key(key).canonical if key else Cause(cause).name) == row[2], row[3]


def test_bytes_are_read_as_utf_8() -> None:
    written = "１３８１２３４５６７８转12".encode()

    assert answer(written, "CN") == "e164:+8613812345678"


def test_bytes_that_are_no_utf_8_are_no_number() -> None:
    written = b"138\xff12345678"

    assert answer(written, "CN") == "NOT_A_NUMBER"


@pytest.mark.parametrize(
    ("raw", "extension"),
    [
        ("010-62671188转8001", "8001"),
        ("010-62671188-8001", "8001"),
        ("tel:+86-10-62671188;ext=12", "12"),
        ("400-888-8888,5", "5"),
        ("+1 205 555 0134 x77", "77"),
        ("13812345678", ""),
    ],
)
def test_an_extension_is_kept_apart_from_the_key(raw: str, extension: str) -> None:
    number = parse(raw)

    assert number.extension == extension
    assert from_key(number.key).extension == ""


def test_an_error_repeats_at_most_64_characters_and_no_lone_surrogate() -> None:
    raw = "\ud800" + "9" * 200

    with pytest.raises(InvalidArgument) as failure:
        parse(raw)

    assert failure.value.metadata["field"] == "number"
    assert failure.value.metadata["number"] == "?" + "9" * 63
    assert failure.value.metadata["cause"] == "BAD_LENGTH"


def test_a_region_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidArgument) as failure:
        parse("13812345678", "XX")

    assert failure.value.reason == "FIELD_OUT_OF_RANGE"
    assert failure.value.metadata["field"] == "region"


def test_a_region_may_be_in_small_letters() -> None:
    assert parse("(205) 555-0134", "us") == parse("+12055550134")
