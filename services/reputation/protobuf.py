"""The wire format of Protocol Buffers, as far as answers are put together by hand. Pure.

Source: protobuf.dev, "Encoding". A field without a value is left out, as proto3 does.
"""

import struct

_DOUBLE = struct.Struct("<d")


def varint(value: int) -> bytes:
    """A base-128 varint of a value >= 0."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def integer(field: int, value: int) -> bytes:
    """An integer field."""
    return varint(field << 3) + varint(value) if value else b""


def head(field: int, size: int) -> bytes:
    """What stands before so many bytes of a field."""
    return varint(field << 3 | 2) + varint(size)


def message(field: int, content: bytes) -> bytes:
    """A field of bytes: a message."""
    return head(field, len(content)) + content


def text(field: int, value: str) -> bytes:
    """A text field."""
    return message(field, value.encode()) if value else b""


def double(field: int, value: float) -> bytes:
    """A field of a double."""
    return varint(field << 3 | 1) + _DOUBLE.pack(value) if value else b""


def timestamp(field: int, value_ms: int) -> bytes:
    """A google.protobuf.Timestamp, from epoch milliseconds."""
    seconds, rest = divmod(value_ms, 1000)
    return message(field, integer(1, seconds) + integer(2, rest * 1_000_000))
