"""Bytes and messages made a little wrong, by a seeded generator. Pure."""

import random
from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message import Message

MAX_BYTES = 1 << 16

TEXTS = (
    "", " ", "\0", "x" * 300, "𠮷" * 70, "\u202e12", "é", "\ud7ff", "\ufeff", "\r\n",
    "+8613800138000", "13800138000", "+8695588", "10086", "010-62671188-8001", "+12025550123",
    "＋８６１３８００１３８０００", "+٨٦١٣٨٠٠١٣٨٠٠٠", "+861380013800O",
    "+86138****8000", "138001380001",
    "'; DROP TABLE marks; --", "' OR '1'='1", "\\'; SELECT 1 --", "%(name)s", "%s%d%", "{x:Type}",
    "`x`",
    "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1",
    "../../etc/passwd", "..", "/etc/passwd", "risk/../risk", "a\\..\\b", "C:\\x", ".", "~",
    "app-one", "app-two", "诈骗", "fraud", "A3101", "A3", "C04", "B999", "骚扰电话",
    "risk", "prior",
    "CN", "US", "XX", "0", "1", "-1", "18446744073709551616", "9" * 400, "1e309", "nan", "inf",
    "2026-09-01T00:00:00Z", "2026-09-01", "1756684800000", "9999-12-31T23:59:59Z", "0001-01-01",
    "http://127.0.0.1:1/", "https://[::1]:99999/", "javascript:1", "http://user:p@h/",
    "1-00000000", "true", "USER", "ASSIGNED", "ann", "vic", "public",
)  # fmt: skip
"""What has broken readers elsewhere: SQL, formulas, paths, homoglyphs, borders of numbers."""

INTEGERS = (
    0, 1, -1, 2, 3, 5, 10, 99, 127, 128, 255, 256, 1000, 10_000, 65_535, 65_536, 200_001,
    1 << 30, (1 << 31) - 1, -(1 << 31), (1 << 32) - 1, 1 << 32, (1 << 53) + 1,
    1_790_000_000, 1_790_000_000_000, 253_402_300_799, 253_402_300_800, -62_135_596_801,
    999_999_999, 1_000_000_000, (1 << 62), (1 << 63) - 1, -(1 << 63), (1 << 64) - 1,
)  # fmt: skip
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-300, 1e308, float("inf"), float("-inf"), float("nan"))

_RANGES = {
    Field.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    Field.CPPTYPE_ENUM: (-(1 << 31), (1 << 31) - 1),
    Field.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    Field.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    Field.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}


def mutated(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Content with one to four changes: bits, borders, pieces doubled, cut, or from others."""
    made = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        _CHANGES[rng.randrange(len(_CHANGES))](made, others, rng)
    return bytes(made[:MAX_BYTES])


def _flip(made: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    if made:
        made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)


def _set(made: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    if made:
        made[rng.randrange(len(made))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _cut(made: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    start, end = _span(made, rng)
    del made[start:end]


def _double(made: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    start, end = _span(made, rng)
    made[start:start] = made[start:end] * rng.choice((1, 1, 2, 16))


def _insert(made: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    at = rng.randrange(len(made) + 1)
    made[at:at] = rng.choice(TEXTS).encode("utf-8", "surrogatepass")


def _integer(made: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    size = rng.choice((1, 2, 4, 8))
    at = rng.randrange(len(made) + 1)
    value = rng.choice(INTEGERS) & ((1 << 8 * size) - 1)
    made[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))


def _splice(made: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    other = rng.choice(others) if others else b""
    start, end = _span(made, rng)
    from_, until = _span(other, rng)
    made[start:end] = other[from_:until]


def _truncate(made: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    del made[rng.randrange(len(made) + 1) :]


def _span(content: bytes | bytearray, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(content) + 1)
    longest = max(len(content) - start, 0)
    return start, start + rng.randrange(min(longest, 64) + 1)


_CHANGES = (_flip, _set, _cut, _double, _insert, _integer, _splice, _truncate)


def scrambled(message: Message, rng: random.Random, depth: int = 0) -> None:
    """Set some fields of a message to texts and values that have broken readers elsewhere."""
    fields = message.DESCRIPTOR.fields
    for field in rng.sample(list(fields), min(len(fields), rng.choice((1, 1, 2, 3, 6)))):
        if rng.random() < 0.1:
            message.ClearField(field.name)
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        elif field.is_repeated:
            _scramble_repeated(getattr(message, field.name), field, rng, depth)
        elif field.message_type is not None:
            if depth < 4:
                part = getattr(message, field.name)
                part.SetInParent()
                scrambled(part, rng, depth + 1)
        else:
            setattr(message, field.name, _value(field, rng))


def _scramble_repeated(values: Any, field: Field, rng: random.Random, depth: int) -> None:
    count = rng.choice((1, 1, 2, 3))
    if field.message_type is not None:
        if depth >= 4:
            return
        for _ in range(count):
            scrambled(
                rng.choice(values) if values and rng.random() < 0.7 else values.add(),
                rng,
                depth + 1,
            )
    elif values and rng.random() < 0.5:
        values[rng.randrange(len(values))] = _value(field, rng)
    elif values and rng.random() < 0.2:
        del values[rng.randrange(len(values))]
    else:
        values.extend(_value(field, rng) for _ in range(count))


def _value(field: Field, rng: random.Random) -> Any:
    kind = field.cpp_type
    if kind == Field.CPPTYPE_STRING:
        text = rng.choice(TEXTS)
        return text.encode("utf-8") if field.type == Field.TYPE_BYTES else text
    if kind == Field.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if kind in (Field.CPPTYPE_DOUBLE, Field.CPPTYPE_FLOAT):
        return rng.choice(FLOATS)
    if kind == Field.CPPTYPE_ENUM and rng.random() < 0.7:
        return rng.choice(field.enum_type.values).number
    lowest, highest = _RANGES[kind]
    return min(max(rng.choice(INTEGERS), lowest), highest)
