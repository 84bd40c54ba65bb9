"""Raw numbers in, one JSON line each out."""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from services.common.numbering import (
    Cause,
    Kind,
    carriers_of,
    countries_of,
    format_column,
    kinds_of,
    parse_column,
    places_of,
)

BLOCK_BYTES = 1 << 22
MAX_LINE_BYTES = 1 << 16
"""A longer line that spans blocks is cut to this; it is no number anyway."""

_KIND_COUNT = 1 + max(Kind)
_SCHEMES = {
    Kind.CN_SHORT_95: "cn-short:",
    Kind.CN_SHORT_96: "cn-short:",
    Kind.CN_SHORT_10: "cn-short:",
    Kind.CN_SHORT_11: "cn-short:",
    Kind.CN_SHORT_12: "cn-short:",
    Kind.CN_SMS: "cn-sms:",
    Kind.CN_RELAY: "cn-relay:",
    Kind.NANP: "intl:",
    Kind.FOREIGN: "intl:",
}
_PLAIN = np.ones(256, dtype=bool)
_PLAIN[:32] = _PLAIN[127:] = False
_PLAIN[[ord('"'), ord("\\")]] = False


def normalise_stream(inp: BinaryIO, out: BinaryIO, region: str = "CN", facts: bool = True) -> int:
    """Write {"raw","key","kind","number","country","carrier","region","error"} for each line.

    `key` is the text key of china.md 4.5, `invalid:` and the cause for what is no number; `carrier`
    is the issuing one, `region` its province and city in Chinese. What is not known is null.

    Args:
        inp: raw numbers, one a line, any bytes; bytes that are no UTF-8 come back replaced.
        out: gets UTF-8 JSON lines.
        region: where the numbers would be dialled, see `parse`.
        facts: whether to fill `carrier` and `region`.

    Returns:
        How many lines were numbers.

    Raises:
        InvalidArgument: FIELD_OUT_OF_RANGE for a region that does not exist.
    """
    number_count = 0
    parse_column([], region)
    for block in _line_blocks(inp):
        lines = _split(block)
        parsed = parse_column(lines, region)
        out.write(_json_lines(lines, parsed.keys, parsed.causes, facts))
        number_count += int(np.count_nonzero(parsed.keys))
    return number_count


def _line_blocks(inp: BinaryIO) -> Iterator[bytes]:
    """Blocks of whole lines, each line ended by one newline."""
    read = getattr(inp, "read1", inp.read)
    carry = b""
    while block := read(BLOCK_BYTES):
        text = carry + block
        cut = text.rfind(b"\n") + 1
        carry = text[cut:] if len(text) - cut <= MAX_LINE_BYTES else text[cut:][:MAX_LINE_BYTES]
        if cut:
            yield text[:cut]
    if carry:
        yield carry + b"\n"


def _split(block: bytes) -> pa.LargeBinaryArray:
    """Lines without their ends, as an array over one buffer."""
    block = block.replace(b"\r\n", b"\n")
    ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n"))
    offsets = np.zeros(len(ends) + 1, dtype=np.int64)
    offsets[1:] = ends - np.arange(len(ends))
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(block.replace(b"\n", b""))]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(ends), buffers)


def _json_lines(
    lines: pa.LargeBinaryArray, keys: NDArray[np.int64], causes: NDArray[np.uint8], facts: bool
) -> Any:
    """The answers as one buffer: four texts a line, picked by code, round raw and number."""
    kinds = kinds_of(keys)
    state = np.where(keys > 0, kinds, _KIND_COUNT + causes).astype(np.int32)
    number = format_column(keys).cast(pa.large_string())
    heads, middles = _state_texts()
    joined = pc.binary_join_element_wise(
        pa.scalar('{"raw":"', pa.large_string()),
        _escaped(lines),
        heads.take(pa.array(state)),
        number,
        middles.take(pa.array(state)),
        number,
        _tails(keys, causes, facts),
        pa.scalar("", pa.large_string()),
    )
    return joined.buffers()[2]


def _state_texts() -> tuple[pa.Array, pa.Array]:
    """What stands before the key's digits and before the number's, by kind, then by cause."""
    heads, middles = [""] * _KIND_COUNT, [""] * _KIND_COUNT
    for kind in Kind:
        heads[kind] = f'","key":"{_SCHEMES.get(kind, "e164:")}'
        middles[kind] = f'","kind":"{kind.name}","number":"'
    for cause in Cause:
        heads.append(f'","key":"invalid:{cause.name}')
        middles.append('","kind":null,"number":null')
    return pa.array(heads, pa.large_string()), pa.array(middles, pa.large_string())


def _tails(keys: NDArray[np.int64], causes: NDArray[np.uint8], facts: bool) -> pa.Array:
    """The rest of each line after the number."""
    countries, country_names = countries_of(keys)
    code = countries.astype(np.int64)
    carriers: NDArray[Any] = np.zeros(len(keys), dtype=np.int64)
    places: NDArray[Any] = np.full(len(keys), -1, dtype=np.int64)
    carrier_names: tuple[str, ...] = ("",)
    place_names: tuple[tuple[str, str], ...] = ()
    if facts:
        carriers, carrier_names = carriers_of(keys)
        places, place_names = places_of(keys)
    code = (code << 32) | (carriers.astype(np.int64) << 24) | (places.astype(np.int64) + 1 << 8)
    encoded = pc.dictionary_encode(pa.array(code | causes))
    texts = []
    for one in encoded.dictionary.to_pylist():
        country, carrier = country_names[one >> 32], carrier_names[one >> 24 & 0xFF]
        place, cause = (one >> 8 & 0xFFFF) - 1, one & 0xFF
        province, city = place_names[place] if place >= 0 else ("", "")
        named = {
            "country": country or None,
            "carrier": carrier or None,
            "region": (province if city in ("", province) else f"{province} {city}") or None,
            "error": Cause(cause).name if cause else None,
        }
        body = json.dumps(named, ensure_ascii=False, separators=(",", ":"))[1:]
        texts.append(("," if cause else '",') + body + "\n")
    return pa.array(texts, pa.large_string()).take(encoded.indices)


def _escaped(lines: pa.LargeBinaryArray) -> pa.Array:
    """Each line as the inside of a JSON string."""
    _, offset_buffer, value_buffer = lines.buffers()
    values = np.frombuffer(value_buffer, dtype=np.uint8)
    plain = _PLAIN[values]
    if plain.all():
        return lines.cast(pa.large_string())
    offsets = np.frombuffer(offset_buffer, dtype=np.int64)
    before = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(~plain, out=before[1:])
    odd = np.flatnonzero(np.diff(before[offsets]))
    inside = {
        row: json.dumps(lines[row].as_py().decode("utf-8", "replace"), ensure_ascii=False)[1:-1]
        for row in odd.tolist()
    }
    mask = np.zeros(len(lines), dtype=bool)
    mask[odd] = True
    answer = pc.replace_with_mask(
        lines,
        pa.array(mask),
        pa.array([text.encode() for text in inside.values()], pa.large_binary()),
    )
    return answer.cast(pa.large_string())
