"""Reputations as the bytes of their messages, put together from pieces that many rows share.

Fields of a message may come in any order, so a message is a concatenation: what a row shares with
others is encoded once for its table, what is its own for all rows of a request at once.
"""

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from services.common.numbering import format_keys
from services.common.numbering.keys import CLASS_SHIFT, E164
from services.common.wire import category_code
from services.reputation import texts
from services.reputation.packets import NUMBERS
from services.reputation.pieces import MOST, U8, Displays, Pieces, put, put_pieces
from services.reputation.protobuf import double, integer, message, text, timestamp
from services.reputation.published.packing import PROBABILITY_OF, SECOND_MS, SHARE_OF, TOP
from services.reputation.published.table import Table
from services.reputation.rules import State
from services.reputation.snapshot import Snapshot

I64 = npt.NDArray[np.int64]

MIN_SHARE = 0.01
"""Categories below it are left out of a distribution."""
EXPIRY_MS = 24 * 3_600_000
"""A published value should be asked for again after a day: marks age."""
_FIVE_BYTES_S = 1 << 28
"""From then on, in 1978, a varint of the seconds has five bytes."""
_SIX_BYTES_S = 1 << 35
_TWO_BYTES, _THREE_BYTES = 1 << 14, 1 << 21
"""Below them a varint has two and three bytes; a smaller one may be filled up with zeros."""
_VARINTS = np.array([n & 0x7F | 0x80 | n >> 7 << 8 for n in range(_TWO_BYTES)], dtype=np.uint16)
"""Varints of two bytes as little-endian integers."""
_DISPLAYS_KEPT = 50_000
_OWN = np.dtype(
    [
        # Tag and length of the result, and in it of the reputation.
        ("tag1", "u1"), ("size1", "<u2"), ("tag2", "u1"), ("size2", "<u2"),
        ("tag4", "u1"), ("risk", "<f8"),
        ("tag6", "u1"), ("probability", "<f8"),
        ("tag9", "u1"), ("effective_sources", "<f8"),
        ("mark_count", "<u4"),
    ]
)  # fmt: skip
"""What is a row's own, of one size."""
_HEADS = 6
"""Bytes of the two tags and lengths."""
_TIMES = np.dtype([("first", "<i8"), ("last", "<i8")])
_TIME_HEADS = np.array([[0x5A], [0x62]]) | 6 << 8 | 0x08 << 16
"""Tags and lengths of the times of the first and last mark, each (1,), and the tag of seconds."""
_SHARE = np.dtype("V18")
"""An entry of a distribution whose category has four digits, as all but groups have."""
_ONES = np.ones(TOP, dtype=np.uint8)

_NUMBER = np.dtype(
    [("head", "u1", (4,)), ("digits1", "<u4"), ("digits2", "<u4"), ("digits3", "<u4")]
)
"""Field 1 of a number of thirteen digits, such as all Chinese mobile numbers."""
_DOUBLES = struct.Struct("<BdBdBd")
_FOUR_DIGITS = np.frombuffer(b"".join(b"%04d" % n for n in range(10_000)), dtype="<u4")

MAX_AGE_S = 3_600
"""So long a client may keep an answer, but for those that may soon change."""
SHORT_AGE_S = 300
"""The same for an unknown number and a contested one. Safe Browsing v4 lets clients keep that
nothing is known for about as long (negativeCacheDuration)."""
UNKNOWN = integer(2, int(State.UNKNOWN)) + integer(21, SHORT_AGE_S)
"""A Reputation without its number, of a number that nothing is known of."""
_encoders: dict[bool, WeakKeyDictionary[Table, "TableEncoder"]] = {
    making: WeakKeyDictionary() for making in (False, True)
}


def encode_one(snapshot: Snapshot, key: int, number: str, making: bool = True) -> bytes:
    """The Reputation of a number, given in its canonical form and as key.

    Args:
        making: with the fields wire.MAKING.
    """
    found = snapshot.place(key)
    head = b"\x0a%c%b" % (len(number), number.encode())
    return head + (UNKNOWN if found is None else encoder_of(found[0], making).one(found[1]))


def encode_batch(
    snapshot: Snapshot,
    keys: I64,
    errors: dict[int, bytes],
    fields: U8 | None = None,
    making: bool = True,
) -> bytes | memoryview:
    """The results of a BatchGetReputationsResponse, in the order asked.

    Args:
        keys: (n,); 0 where there is an error.
        errors: by place, a google.rpc.Status instead of a reputation.
        fields: (n, size), field 1 of each Reputation, where the caller has it already.
        making: with the fields wire.MAKING.
    """
    found = snapshot.places(keys)
    fields = _number_fields(keys) if fields is None else fields
    if fields is not None and len(found) == 1 and len(found[0][1]) == len(keys):
        layer, _, rows = found[0]
        return encoder_of(layer, making).many(fields, rows)[0]
    results = np.full(len(keys), b"", dtype=object)
    left = np.ones(len(keys), dtype=bool)
    for layer, which, rows in found:
        left[which] = False
        encoder = encoder_of(layer, making)
        same = _fields_by_size(keys[which]) if fields is None else [(slice(None), fields[which])]
        for some, heads in same:
            content, ends = encoder.many(heads, rows[some])
            whole, bounds = bytes(content), [0, *ends.tolist()]
            results[which[some]] = [whole[a:b] for a, b in pairwise(bounds)]
    left[list(errors)] = False
    unknown = np.flatnonzero(left)
    for place, name in zip(unknown.tolist(), format_keys(keys[unknown]), strict=True):
        results[place] = b"%b\x0a%c%b%b" % (
            _unknown_head(len(name) + 2), len(name), name.encode(), UNKNOWN
        )  # fmt: skip
    for place, status in errors.items():
        results[place] = message(1, message(2, status))
    return b"".join(results.tolist())


def _number_fields(keys: I64) -> U8 | None:
    """Field 1 of each Reputation, (n, 16), where all have thirteen digits; else None."""
    digits = keys - (E164 << CLASS_SHIFT)
    if not ((digits >= 10**12) & (digits < 10**13)).all():
        return None
    first, rest = np.divmod(digits, 10**8)
    fields = np.empty(len(keys), dtype=_NUMBER)
    fields["head"] = (NUMBERS, 14, ord("+"), ord("0"))
    first_digit, fields["digits1"] = np.divmod(first, 10**4)
    fields["head"][:, 3] += first_digit.astype(np.uint8)
    fields["digits2"], fields["digits3"] = np.divmod(rest, 10**4)
    for name in ("digits1", "digits2", "digits3"):
        fields[name] = _FOUR_DIGITS.take(fields[name])
    return fields.view(np.uint8).reshape(len(keys), _NUMBER.itemsize)


def _fields_by_size(keys: I64) -> Iterator[tuple[I64, U8]]:
    """Field 1 of each Reputation: which have one size, (m,), and those, (m, size)."""
    names = format_keys(keys)
    sizes = np.fromiter(map(len, names), np.int64, len(names))
    for size in np.unique(sizes).tolist():
        some = np.flatnonzero(sizes == size)
        content = "".join([names[place] for place in some.tolist()]).encode()
        fields = np.empty((len(some), size + 2), dtype=np.uint8)
        fields[:, :2] = NUMBERS, size
        fields[:, 2:] = np.frombuffer(content, dtype=np.uint8).reshape(len(some), size)
        yield some, fields


@lru_cache(maxsize=256)
def _unknown_head(size: int) -> bytes:
    whole = _result(bytes(size) + UNKNOWN)
    return whole[: len(whole) - size - len(UNKNOWN)]


def encoder_of(table: Table, making: bool = True) -> "TableEncoder":
    """The encoder of a table; two threads may make it twice, which does no harm."""
    known = _encoders[making].get(table)
    if known is None:
        known = _encoders[making][table] = TableEncoder(table, making)
    return known


class TableEncoder:
    """The pieces of one table's rows."""

    def __init__(self, table: Table, making: bool = True) -> None:
        packed = self._packed = table.packed
        self._says = [
            (category_code(category), state) for category, _, state, _, _ in packed.what.tolist()
        ]
        self._what = [
            _what(category, level, state, epoch)
            for category, level, state, epoch, _ in packed.what.tolist()
        ]
        self._why = Pieces(
            b"".join(text(8, code) for code in packed.texts[reasons].split(";"))
            + (text(20, packed.texts[rule]) if making else b"")
            for rule, reasons in packed.why.tolist()
        )
        self._issue = Pieces(
            integer(16, version) + timestamp(17, update_ms) + timestamp(18, update_ms + EXPIRY_MS)
            + (text(19, packed.texts[model]) if making else b"")
            for version, update_ms, model in packed.issue.tolist()
        )  # fmt: skip
        self._displays = Displays(len(self._what), self._display)
        self._shares: tuple[npt.NDArray[Any], npt.NDArray[np.int32]] | None = None

    def one(self, row: int) -> bytes:
        """The message of a row, without its number."""
        packed = self._packed
        what, why, issue, kinds, marks, probability, risk, sources, first_s, last_s, shares = (
            packed.rows[row].item()
        )
        parts = [
            self._shown().one(what, marks),
            self._why.list[why],
            self._issue.list[issue],
            _DOUBLES.pack(
                0x21, PROBABILITY_OF[risk], 0x31, PROBABILITY_OF[probability], 0x49, sources
            ),
            integer(10, marks),
        ]
        for category, share in zip(packed.kinds[kinds].tolist(), shares, strict=True):
            if share:
                parts.append(_entries(category)[share])
        if last_s:
            parts += [_time(11, first_s), _time(12, last_s)]
        return b"".join(parts)

    def many(self, fields: U8, rows: I64) -> tuple[bytes | memoryview, I64]:
        """The entries of `results` of rows, one after the other, and where each ends, (n,).

        Args:
            fields: (n, size), field 1 of each Reputation.
        """
        picked, displays = self._packed.rows.take(rows), self._shown()
        marks = picked["mark_count"].astype(np.int64)
        display = displays.places(picked["what"], marks)
        kinds = (
            (displays.pieces, display),
            (self._why, picked["why"]),
            (self._issue, picked["issue"]),
        )
        pieces = [of_kind.padded.take(places) for of_kind, places in kinds]
        sizes = [of_kind.sizes.take(places) for of_kind, places in kinds]
        timed, times, first_s = _times(picked)
        shares, counts = self._distributions(picked)
        is_odd = (
            not len(rows)
            or first_s < _FIVE_BYTES_S
            or int(marks.max()) >= _THREE_BYTES
            or any(k.is_any_cut and s.max() > MOST for (k, _), s in zip(kinds, sizes, strict=True))
        )
        if shares is None or is_odd:
            each = zip(fields, rows.tolist(), strict=True)
            found = [_result(field.tobytes() + self.one(row)) for field, row in each]
            return b"".join(found), np.fromiter(map(len, found), np.int64, len(found)).cumsum()
        rest = sum(sizes, counts * _SHARE.itemsize)
        rest[timed] += times.itemsize
        own = _own(picked, marks, fields, rest)
        ends = (rest + own.itemsize).cumsum()
        content = _together(own, ends, (timed, times), (pieces, sizes), (shares, counts))
        return content, ends

    def _shown(self) -> Displays:
        if len(self._displays) > _DISPLAYS_KEPT:
            self._displays = Displays(len(self._what), self._display)
        return self._displays

    def _display(self, what: int, marks: int) -> bytes:
        code, state = self._says[what]
        by_marks = state not in (State.PROTECTED, State.ADJUDICATED)
        zh, en = texts.display(
            code, marks if by_marks else 0, disputed=state == int(State.DISPUTED)
        )
        return self._what[what] + text(13, zh) + text(14, en)

    def _distributions(self, rows: npt.NDArray[Any]) -> tuple[npt.NDArray[Any] | None, I64]:
        """The entries of the rows' distributions, and how many each has; None: of other sizes."""
        if self._shares is None:
            self._shares = _share_table(self._packed.kinds)
        entries, slots = self._shares
        shares, slot = rows["shares"], slots.take(rows["kinds"], axis=0)
        shown = (shares >= _FIRST_SHARE) & (slot != _NO_CATEGORY)
        at = np.flatnonzero(shown)
        first = slot.ravel().take(at)
        counts = shown.view(np.uint8) @ _ONES  # a sum over rows so short takes four times as long
        if first.min(initial=0) < 0:
            return None, counts
        return entries.take(first + shares.ravel().take(at)), counts.astype(np.int64)


def _what(category: int, level: int, state: int, epoch: int) -> bytes:
    soon = state in (State.UNKNOWN, State.CONTESTED, State.DISPUTED)
    return (
        integer(2, state)
        + integer(3, level)
        + text(5, category_code(category))
        + integer(15, epoch)
        + integer(21, SHORT_AGE_S if soon else MAX_AGE_S)
    )


def _time(field: int, time_s: int) -> bytes:
    """A Timestamp of whole seconds; the usual one without a call for each varint."""
    if not _FIVE_BYTES_S <= time_s < _SIX_BYTES_S:
        return timestamp(field, time_s * SECOND_MS)
    varint = time_s & 0x7F | (time_s & 0x3F80) << 1 | (time_s & 0x1FC000) << 2
    varint |= (time_s & 0xFE00000) << 3 | time_s >> 28 << 32 | 0x80808080
    return (field << 3 | 2 | 6 << 8 | 0x08 << 16 | varint << 24).to_bytes(8, "little")


def _result(reputation: bytes) -> bytes:
    return message(1, message(1, reputation))


def _together(
    own: npt.NDArray[Any],
    ends: I64,
    timed: tuple[I64, npt.NDArray[Any]],
    shared: tuple[Sequence[npt.NDArray[Any]], Sequence[I64]],
    shares: tuple[npt.NDArray[Any], I64],
) -> memoryview:
    """Entries of what is the rows' own, their times, shared pieces and shares, in this order.

    Args:
        own: (n,), of each row.
        ends: (n,), where each entry ends.
        timed: rows that have times, ascending, and those.
        shared: pieces of each kind, (n,), filled up, and their sizes without.
        shares: of all rows, and how many each row has.
    """
    (with_times, times), (pieces, sizes), (entries, counts) = timed, shared, shares
    starts = np.append(0, ends[:-1])
    longest = max(of_kind.itemsize for of_kind in pieces)
    content = np.empty(int(ends[-1]) + longest, dtype=np.uint8)
    places = starts + own.itemsize
    places[with_times] += times.itemsize
    put_pieces(content, places, pieces, sizes, own.itemsize)
    before = ends - counts.cumsum() * entries.itemsize
    put(content, before.repeat(counts) + np.arange(len(entries)) * entries.itemsize, entries)
    put(content, starts, own)
    put(content, starts.take(with_times) + own.itemsize, times)
    return content[: ends[-1]].data


def _times(rows: npt.NDArray[Any]) -> tuple[I64, npt.NDArray[Any], int]:
    """The rows that have times, those, and the earliest of them in seconds."""
    last = rows["last_mark_s"]
    timed = np.flatnonzero(last)
    times_s = np.empty((2, len(timed)), dtype=np.int64)
    times_s[0], times_s[1] = rows["first_mark_s"].take(timed), last.take(timed)
    fields = _varint5(times_s)
    fields <<= 24
    fields |= _TIME_HEADS
    both = np.ascontiguousarray(fields.T).view(_TIMES).ravel()
    return timed, both, int(times_s.min(initial=_SIX_BYTES_S))


def _own(rows: npt.NDArray[Any], marks: I64, fields: U8, sizes: I64) -> npt.NDArray[Any]:
    """Heads of the results with what is the rows' own; `sizes`: of the rest."""
    own = _own_template(fields.shape[1]).repeat(len(rows))
    sizes = sizes + (own.itemsize - _HEADS)
    own["size2"], own["size1"] = _VARINTS.take(sizes), _VARINTS.take(sizes + _HEADS // 2)
    own["number"] = fields
    for name in ("risk", "probability"):
        own[name] = PROBABILITY_OF.take(rows[name])
    own["effective_sources"] = rows["effective_sources"]
    own["mark_count"] = 0x50 | (_VARINTS.take(marks & 0x3FFF) | 0x8000 | marks >> 14 << 16) << 8
    return own


def _varint5(seconds: I64) -> I64:
    """Varints of five bytes as little-endian integers."""
    found = seconds & 0x7F | 0x80808080
    for mask, shift in ((0x3F80, 1), (0x1FC000, 2), (0xFE00000, 3)):
        found |= (seconds & mask) << shift
    found |= seconds >> 28 << 32
    return found


@lru_cache(maxsize=256)
def _own_template(size: int) -> npt.NDArray[Any]:
    """What is own of a row, (1,), with field 1 of so many bytes, and all its tags."""
    number = np.dtype([("number", "u1", (size,))])
    own = np.zeros(1, dtype=[*_OWN.descr[:4], *number.descr, *_OWN.descr[4:]])
    own["tag1"] = own["tag2"] = 0x0A
    own["tag4"], own["tag6"], own["tag9"] = 0x21, 0x31, 0x49
    return own


@lru_cache(maxsize=1_000)
def _entries(category: int) -> tuple[bytes, ...]:
    """The entry of a distribution for each step of a share; nothing below MIN_SHARE."""
    code = text(1, category_code(category))
    return tuple(
        message(7, code + double(2, share)) if category and share >= MIN_SHARE else b""
        for share in SHARE_OF.astype(np.float64).tolist()
    )


_FIRST_SHARE = int(np.argmax(SHARE_OF >= MIN_SHARE))
_NO_CATEGORY, _OTHER_SIZE = -1, -2
"""Instead of where entries begin: of none, and of one whose entries have another size."""


def _share_table(kinds: npt.NDArray[np.uint16]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32]]:
    """Entries of one size, and where those of each of the `kinds` begin, (k, TOP)."""
    slots = np.full(1 << 16, _OTHER_SIZE, dtype=np.int32)
    slots[0] = _NO_CATEGORY
    content: list[bytes] = []
    for category in np.unique(kinds[kinds >= 1000]).tolist():
        slots[category] = len(content)
        content += [entry or bytes(_SHARE.itemsize) for entry in _entries(category)]
    return np.frombuffer(b"".join(content), dtype=_SHARE), slots[kinds]
