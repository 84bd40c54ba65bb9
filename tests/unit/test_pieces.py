"""Pieces of messages: where they are, and how answers are put together from them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.reputation import encoding
from services.reputation.pieces import MOST, Displays, Pieces, put, put_pieces
from services.reputation.published.packing import rounded
from services.reputation.published.table import of_columns
from tests.unit.test_encoding import CATEGORIES, columns_of
from tests.unit.test_encoding import rows as any_rows
from zhengming.reputation.v1 import reputation_pb2 as pb

FIRST = (1 << 60) + 8613800138000

USUAL = [0, *(category for category in CATEGORIES if category >= 1000)]
usual = st.fixed_dictionaries(
    {
        "categories": st.lists(st.sampled_from(USUAL), min_size=5, max_size=5),
        "mark_count": st.integers(0, 300),
        "rule": st.sampled_from(["", "crowd@1", "r" * 60]),
        "reasons": st.sampled_from(["", "MARKS_AGREE", "x" * 100]),
        "first_mark_ms": st.just(1_700_000_000_000),
        "last_mark_ms": st.sampled_from([0, 1_800_000_000_000]),
    }
)
usual_rows = st.builds(dict.__or__, any_rows, usual)


@settings(deadline=None)
@given(st.lists(usual_rows, min_size=1, max_size=8), st.data())
def test_rows_put_together_at_once_are_those_made_one_by_one(rows, data):
    table = of_columns(rounded(columns_of({FIRST + i: row for i, row in enumerate(rows)})))
    encoder = encoding.encoder_of(table)
    asked = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=30)))
    numbers = [f"+{8613800138000 + at}".encode() for at in asked]
    fields = np.frombuffer(b"".join(b"\x0a\x0e" + n for n in numbers), np.uint8).reshape(-1, 16)

    content, ends = encoder.many(fields, asked)

    assert isinstance(content, memoryview), "made at once"
    bounds = [0, *ends.tolist()]
    assert bounds[-1] == len(content)
    for place, (number, row) in enumerate(zip(numbers, asked, strict=True)):
        entry = pb.BatchGetReputationsResponse.FromString(
            bytes(content[bounds[place] : bounds[place + 1]])
        )
        (result,) = entry.results
        assert result.reputation == pb.Reputation.FromString(
            b"\x0a\x0e" + number + encoder.one(int(row))
        )


pieces = st.binary(max_size=MOST + 10)
pieces_kept = st.binary(max_size=MOST)


@given(st.lists(st.lists(pieces, max_size=5), max_size=6))
def test_pieces_keep_their_places_as_more_come(parts):
    kept, whole = Pieces([]), []

    for part in parts:
        kept.add(part)
        whole += part

        assert kept.list == whole
        assert kept.sizes[: len(whole)].tolist() == [len(piece) for piece in whole]
        assert kept.padded.itemsize <= MOST
        for piece, padded in zip(whole, kept.padded.tolist(), strict=False):
            assert padded.ljust(MOST, b"\0") == piece[:MOST].ljust(MOST, b"\0")


def test_displays_are_made_once_and_keep_their_places():
    displays = Displays(2, lambda kind, marks: b"%d:%d" % (kind, marks))

    first = displays.places(np.array([1, 0, 1]), np.array([3, 700, 3]))
    displays.places(np.array([0]), np.array([4]))

    assert [displays.pieces.list[at] for at in first] == [b"1:3", b"0:700", b"1:3"]
    assert displays.one(0, 4) == b"0:4"
    assert len(displays) == 3


def test_where_values_overlap_the_later_stands():
    content = np.zeros(9, dtype=np.uint8)

    put(content, np.array([0, 2, 5]), np.array([b"aaaa", b"bbbb", b"cccc"]))

    assert content.tobytes() == b"aabbbcccc"


@given(st.data(), st.integers(0, 30))
def test_pieces_stand_one_after_the_other_whatever_their_sizes(data, after):
    kinds = [Pieces(data.draw(st.lists(pieces_kept, min_size=1, max_size=4))) for _ in range(3)]
    count = data.draw(st.integers(1, 8))
    which = [
        np.array(
            data.draw(st.lists(st.integers(0, len(k.list) - 1), min_size=count, max_size=count))
        )
        for k in kinds
    ]
    sizes = [k.sizes.take(at) for k, at in zip(kinds, which, strict=True)]
    whole = [
        b"".join(k.list[at[row]] for k, at in zip(kinds, which, strict=True))
        for row in range(count)
    ]
    places = np.cumsum([0] + [len(text) + after for text in whole])[:-1]
    content = np.zeros(places[-1] + len(whole[-1]) + MOST, dtype=np.uint8)

    put_pieces(
        content,
        places,
        [k.padded.take(at) for k, at in zip(kinds, which, strict=True)],
        sizes,
        after,
    )

    for place, text in zip(places, whole, strict=True):
        assert content[place : place + len(text)].tobytes() == text
