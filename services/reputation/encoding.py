"""Reputations as the bytes of their messages, put together from pieces that many rows share.

Fields of a message may come in any order, so a message is a concatenation: what a row shares with
others is encoded once for its table, what is its own for all rows of a request at once.
"""

import struct
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from services.common.numbering import format_keys
from services.common.numbering.keys import CLASS_SHIFT, E164
from services.common.wire import category_code
from services.reputation import texts
from services.reputation.packets import NUMBERS
from services.reputation.protobuf import double, integer, message, text, timestamp
from services.reputation.published.packing import PROBABILITY_OF, SECOND_MS, SHARE_OF
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
_TIMES = np.dtype([("first", "<i8"), ("last", "<i8")])
_SHARE = np.dtype("V18")
"""An entry of a distribution whose category has four digits, as nearly all have."""

_NUMBER = np.dtype(
    [("head", "u1", (4,)), ("digits1", "<u4"), ("digits2", "<u4"), ("digits3", "<u4")]
)
"""Field 1 of a number of thirteen digits, such as all Chinese mobile numbers."""
_DOUBLES = struct.Struct("<BdBdBd")
_PROBABILITIES = PROBABILITY_OF.tolist()
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
    fields: npt.NDArray[np.uint8] | None = None,
    making: bool = True,
) -> bytes:
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
        return b"".join(
            chain.from_iterable(zip(*encoder_of(layer, making).many(fields, rows), strict=True))
        )
    results = np.full((len(keys), PIECES), b"", dtype=object)
    left = np.ones(len(keys), dtype=bool)
    for layer, which, rows in found:
        left[which] = False
        encoder = encoder_of(layer, making)
        if fields is not None:
            for at, column in enumerate(encoder.many(fields[which], rows)):
                results[which, at] = column
        else:
            names = format_keys(keys[which])
            for place, name, row in zip(which.tolist(), names, rows.tolist(), strict=True):
                results[place, 0] = _result(text(1, name) + encoder.one(row))
    left[list(errors)] = False
    unknown = np.flatnonzero(left)
    for place, name in zip(unknown.tolist(), format_keys(keys[unknown]), strict=True):
        results[place, 0] = b"%b\x0a%c%b%b" % (
            _unknown_head(len(name) + 2), len(name), name.encode(), UNKNOWN
        )  # fmt: skip
    for place, status in errors.items():
        results[place, 0] = message(1, message(2, status))
    return b"".join(results.ravel().tolist())


def _number_fields(keys: I64) -> npt.NDArray[np.uint8] | None:
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


PIECES = 5
"""Pieces that `TableEncoder.many` gives for each row."""


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
        self._why = _Pieces(
            b"".join(text(8, code) for code in packed.texts[reasons].split(";"))
            + (text(20, packed.texts[rule]) if making else b"")
            for rule, reasons in packed.why.tolist()
        )
        self._issue = _Pieces(
            integer(16, version) + timestamp(17, update_ms) + timestamp(18, update_ms + EXPIRY_MS)
            + (text(19, packed.texts[model]) if making else b"")
            for version, update_ms, model in packed.issue.tolist()
        )  # fmt: skip
        self._displays: dict[int, bytes] = {}
        self._shares: tuple[npt.NDArray[Any], npt.NDArray[np.int64]] | None = None

    def one(self, row: int) -> bytes:
        """The message of a row, without its number."""
        packed = self._packed
        what, why, issue, kinds, marks, probability, risk, sources, first_s, last_s, shares = (
            packed.rows[row].item()
        )
        known = self._displays.get(what << 32 | marks)
        parts = [
            self._display_of(what, marks) if known is None else known,
            self._why.list[why],
            self._issue.list[issue],
            _DOUBLES.pack(
                0x21, _PROBABILITIES[risk], 0x31, _PROBABILITIES[probability], 0x49, sources
            ),
            integer(10, marks),
        ]
        for category, share in zip(packed.kinds[kinds].tolist(), shares, strict=True):
            if share:
                parts.append(_entries(category)[share])
        if last_s:
            parts += [_time(11, first_s), _time(12, last_s)]
        return b"".join(parts)

    def many(self, fields: npt.NDArray[np.uint8], rows: I64) -> list[list[bytes]]:
        """Entries of `results` in PIECES columns; `fields`, (n, size), are field 1 of each."""
        picked = self._packed.rows.take(rows)
        last, marks = picked["last_mark_s"], picked["mark_count"].astype(np.int64)
        why, issue = picked["why"], picked["issue"]
        displays = self._displays_of(picked["what"], marks)
        shares, sizes = self._distributions(picked)
        sizes += self._why.sizes.take(why)
        sizes += self._issue.sizes.take(issue)
        sizes += np.fromiter(map(len, displays), np.int64, len(rows))
        early = np.minimum(last, picked["first_mark_s"]) < _FIVE_BYTES_S
        is_odd = ((last > 0) & early).any()
        size, most = int(sizes.max(initial=0)), int(marks.max(initial=0))
        size += _own_dtype(fields.shape[1]).itemsize
        if is_odd or size >= _TWO_BYTES or most >= _THREE_BYTES:
            heads = [field.tobytes() for field in fields]
            whole = zip(heads, rows.tolist(), strict=True)
            entries = [_result(head + self.one(row)) for head, row in whole]
            return [entries, *[[b""] * len(rows)] * (PIECES - 1)]
        own = _own(picked, marks, fields, sizes)
        why_pieces, issue_pieces = self._why.all.take(why), self._issue.all.take(issue)
        return [own, displays, why_pieces.tolist(), issue_pieces.tolist(), shares]

    def _display(self, what: int, marks: int) -> bytes:
        code, state = self._says[what]
        by_marks = state not in (State.PROTECTED, State.ADJUDICATED)
        zh, en = texts.display(
            code, marks if by_marks else 0, disputed=state == int(State.DISPUTED)
        )
        return self._what[what] + text(13, zh) + text(14, en)

    def _display_of(self, what: int, marks: int) -> bytes:
        """The same from what was made before."""
        return self._displays_of(np.array([what]), np.array([marks]))[0]

    def _displays_of(self, what: npt.NDArray[Any], marks: I64) -> list[bytes]:
        known, wanted = self._displays, (what.astype(np.int64) << 32 | marks).tolist()
        try:
            return [known[key] for key in wanted]
        except KeyError:
            if len(known) > _DISPLAYS_KEPT:
                known = self._displays = {}
            for key in {*wanted} - known.keys():
                known[key] = self._display(key >> 32, key & 0xFFFFFFFF)
            return [known[key] for key in wanted]

    def _distributions(self, rows: npt.NDArray[Any]) -> tuple[list[bytes], I64]:
        """The distribution of each row, and its size."""
        if self._shares is None:
            self._shares = _share_table(self._packed.kinds)
        entries, slots = self._shares
        kinds, shares = self._packed.kinds.take(rows["kinds"], axis=0), rows["shares"]
        shown = (shares >= _FIRST_SHARE) & (kinds > 0)
        at = slots.take(kinds)
        if (at[shown] < 0).any():
            found = [
                b"".join(_entries(c)[s] for c, s in zip(row, own, strict=True))
                for row, own in zip(kinds.tolist(), shares.tolist(), strict=True)
            ]
            return found, np.fromiter(map(len, found), np.int64, len(found))
        content = entries.take((at + shares)[shown]).tobytes()
        sizes = shown.sum(axis=1) * _SHARE.itemsize
        return _cut(content, sizes), sizes


def _what(category: int, level: int, state: int, epoch: int) -> bytes:
    soon = state in (State.UNKNOWN, State.CONTESTED, State.DISPUTED)
    return (
        integer(2, state)
        + integer(3, level)
        + text(5, category_code(category))
        + integer(15, epoch)
        + integer(21, SHORT_AGE_S if soon else MAX_AGE_S)
    )


class _Pieces:
    """Encoded entries of a dictionary, and their sizes."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.list = made = list(pieces)
        self.all = np.empty(len(made), dtype=object)
        self.all[:] = made
        self.sizes = np.fromiter(map(len, made), np.int64, len(made))


def _time(field: int, time_s: int) -> bytes:
    """A Timestamp of whole seconds; the usual one without a call for each varint."""
    if not _FIVE_BYTES_S <= time_s < _SIX_BYTES_S:
        return timestamp(field, time_s * SECOND_MS)
    varint = time_s & 0x7F | (time_s & 0x3F80) << 1 | (time_s & 0x1FC000) << 2
    varint |= (time_s & 0xFE00000) << 3 | time_s >> 28 << 32 | 0x80808080
    return (field << 3 | 2 | 6 << 8 | 0x08 << 16 | varint << 24).to_bytes(8, "little")


def _result(reputation: bytes) -> bytes:
    return message(1, message(1, reputation))


def _own(
    rows: npt.NDArray[Any], marks: I64, fields: npt.NDArray[np.uint8], sizes: I64
) -> list[bytes]:
    """Heads of the results, and what is the rows' own; `sizes`: of what follows."""
    own = np.empty(len(rows), dtype=_own_dtype(fields.shape[1]))
    size_of_times = _TIMES.itemsize
    there = rows["last_mark_s"] > 0
    sizes = sizes + np.where(there, own.itemsize - 6, own.itemsize - 6 - size_of_times)
    own["tag1"], own["size1"] = 0x0A, _varint2(sizes + 3)
    own["tag2"], own["size2"] = 0x0A, _varint2(sizes)
    own["number"] = fields
    own["tag4"], own["tag6"], own["tag9"] = 0x21, 0x31, 0x49
    for name in ("risk", "probability"):
        own[name] = PROBABILITY_OF.take(rows[name])
    own["effective_sources"] = rows["effective_sources"]
    own["mark_count"] = 0x50 | (_varint2(marks & 0x3FFF) | 0x8000 | marks >> 14 << 16) << 8
    for tag, name in ((0x5A, "first"), (0x62, "last")):
        own[name] = tag | 6 << 8 | 0x08 << 16 | _varint5(rows[f"{name}_mark_s"]) << 24
    pieces: list[bytes] = own.view(f"V{own.itemsize}").tolist()
    if not there.all():
        for at in np.flatnonzero(~there).tolist():
            pieces[at] = pieces[at][:-size_of_times]
    return pieces


def _varint2(values: I64) -> I64:
    """Varints of two bytes as little-endian integers."""
    return values & 0x7F | 0x80 | values >> 7 << 8


def _varint5(seconds: npt.NDArray[Any]) -> I64:
    """Varints of five bytes as little-endian integers."""
    s = seconds.astype(np.int64)
    found = s & 0x7F | (s & 0x3F80) << 1 | (s & 0x1FC000) << 2 | (s & 0xFE00000) << 3
    return found | s >> 28 << 32 | 0x80808080


@lru_cache(maxsize=256)
def _own_dtype(size: int) -> np.dtype[Any]:
    own = np.dtype([("number", "u1", (size,))])
    return np.dtype([*_OWN.descr[:4], *own.descr, *_OWN.descr[4:], *_TIMES.descr])


def _cut(content: bytes, sizes: I64) -> list[bytes]:
    ends = np.cumsum(sizes).tolist()
    return [content[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@lru_cache(maxsize=1_000)
def _entries(category: int) -> tuple[bytes, ...]:
    """The entry of a distribution for each step of a share; nothing below MIN_SHARE."""
    code = text(1, category_code(category))
    return tuple(
        message(7, code + double(2, share)) if category and share >= MIN_SHARE else b""
        for share in SHARE_OF.astype(np.float64).tolist()
    )


_FIRST_SHARE = int(np.argmax(SHARE_OF >= MIN_SHARE))


def _share_table(kinds: npt.NDArray[np.uint16]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Entries of one size, and where those of each category begin; -1: of another size."""
    slots = np.full(1 << 16, -1, dtype=np.int64)
    content: list[bytes] = []
    for category in np.unique(kinds[kinds >= 1000]).tolist():
        slots[category] = len(content)
        content += [entry or bytes(_SHARE.itemsize) for entry in _entries(category)]
    return np.frombuffer(b"".join(content), dtype=_SHARE), slots
