"""Whether the parts of a table fit each other, so that no question to it can fail. Pure.

A checksum says that a file is as it was written, not that it was written by us.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from services.reputation.hashes import BUCKETS, HashBuckets, blocks
from services.reputation.published import packing
from services.reputation.published.packing import ISSUE, TOP, WHAT, WHY

Sections = Mapping[str, npt.NDArray[Any]]

_TYPES: dict[str, tuple[Any, ...]] = {
    "shift": ("<i8",), "first": ("<i8",), "offset": ("<i8",), "starts": ("<u4",),
    "low": ("<u2", "<u4", "<u8"), "what": (WHAT,), "why": (WHY,), "issue": (ISSUE,),
    "kinds": ("<u2",), "texts": ("|u1",), "heads": ("<u2",), "hash_low": ("<u2",),
    "hash_high": ("|u1",), "hash_starts": ("<u4",),
}  # fmt: skip
_CODE_TYPES = ("|u1", "<u2", "<u4")
_MAX_SHIFT = 62


def fault(read: Sections, texts: Any) -> str:
    """What is wrong with the sections of a table, "" where nothing is."""
    return (
        _types(read)
        or _index(read, len(read["rows"]))
        or _codes(read, texts)
        or _hashes(read, len(read["rows"]))
    )


def _types(read: Sections) -> str:
    for name, kinds in _TYPES.items():
        if name not in read or read[name].dtype not in [np.dtype(kind) for kind in kinds]:
            return f"section {name} is absent or of another type"
    found = read["rows"].dtype if "rows" in read else np.dtype("V1")
    wanted = packing.row_dtype({name: np.zeros(0) for name in packing.CODES}, 0)
    if found.names != wanted.names:
        return "section rows is absent or of another type"
    free = {**dict.fromkeys(packing.CODES, _CODE_TYPES), "mark_count": ("<u2", "<u4")}
    for name in wanted.names or ():
        kinds = free.get(name, (wanted[name],))
        if found[name] not in [np.dtype(kind) for kind in kinds]:
            return f"{name} of section rows is of another type"
    return ""


def _index(read: Sections, count: int) -> str:
    first, offset, starts, low = (read[name] for name in ("first", "offset", "starts", "low"))
    if len(read["shift"]) != 1 or not 0 <= int(read["shift"][0]) <= _MAX_SHIFT:
        return "the shift is out of range"
    shift = int(read["shift"][0])
    if len(low) != count or 8 * low.dtype.itemsize < shift:
        return "low bits and rows do not agree"
    if len(offset) != len(first) + 1 or offset[0] != 0 or (np.diff(offset) <= 0).any():
        return "the zones are not in order"
    if len(starts) != offset[-1] + 1 or starts[0] != 0 or starts[-1] != count:
        return "the directory does not cover the rows"
    if (starts[1:] < starts[:-1]).any():
        return "the directory is not in order"
    if len(first):
        # Python's integers, for what a hostile file names may not fit 64 bits.
        last = int(first[-1]) + int(offset[-1]) - int(offset[-2])
        if (np.diff(first) <= 0).any() or first[0] < 0 or last > 1 << (63 - shift):
            return "the zones are out of range"
    return ""


def _codes(read: Sections, texts: Any) -> str:
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return "the texts are none"
    if read["kinds"].size % TOP:
        return "the distributions are cut"
    sizes = {name: len(read[name]) for name in ("what", "why", "issue")}
    sizes["kinds"] = read["kinds"].size // TOP
    rows = read["rows"]
    for name, size in sizes.items():
        if len(rows) and int(rows[name].max()) >= size:
            return f"rows name {name} that is not there"
    for name, fields in (("why", ("rule", "reasons")), ("issue", ("model_version",))):
        for field in fields:
            if len(read[name]) and int(read[name][field].max()) >= len(texts):
                return f"{field} names a text that is not there"
    return ""


def _hashes(read: Sections, count: int) -> str:
    heads, low, high, starts = (
        read[name] for name in ("heads", "hash_low", "hash_high", "hash_starts")
    )
    if not len(starts):
        covers = len(heads) == count and not len(low) and not len(high)
        return "" if covers else "the hashes do not cover the rows"
    if len(starts) != BUCKETS + 1 or len(low) != count or starts[0] != 0 or starts[-1] != count:
        return "the hashes do not cover the rows"
    if (starts[1:] < starts[:-1]).any():
        return "the hashes are out of order"
    zeros = blocks(count)
    if len(high) != (count + BUCKETS * zeros + 7) // 8:
        return "the hashes do not cover the rows"
    return "" if HashBuckets(heads, low, high, starts).is_sound() else "the hashes are out of range"
