"""Where each seven-digit mobile segment and each area code lies, from the package `phone`."""

import struct
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

FIRST_SEGMENT, LAST_SEGMENT = 1_300_000, 1_999_999
SEGMENT_COUNT = LAST_SEGMENT - FIRST_SEGMENT + 1
_ROW = np.dtype([("segment", "<i4"), ("offset", "<i4"), ("carrier", "u1")])


@dataclass(frozen=True, slots=True)
class Segments:
    """What `phone.dat` says, indexed by segment - 1300000.

    Attributes:
        version: the file's own version, e.g. 2312 for December 2023.
        place: int16, index into `places`, -1 where the file has no such segment.
        carrier: uint8, the file's code: 1 Mobile, 2 Unicom, 3 Telecom, 7 Broadnet, 4/5/6/8 their
            resellers (Telecom, Unicom, Mobile, Broadnet), 0 none. Its reseller flags are incomplete
            (china.md 4.5), so they serve as a fallback only.
        places: (province, city), Chinese names.
        area_places: area code without trunk 0 -> index into `places` of its largest city.
    """

    version: str
    place: NDArray[np.int16]
    carrier: NDArray[np.uint8]
    places: tuple[tuple[str, str], ...]
    area_places: dict[int, int]


@cache
def load_segments() -> Segments:
    """What the file says, read once and kept: 2 MB."""
    return read_segments()


def read_segments() -> Segments:
    """Read the package's file; about 30 ms."""
    buffer = resources.files("phone").joinpath("phone.dat").read_bytes()
    version, first_row = struct.unpack_from("<4si", buffer)
    row_count = (len(buffer) - first_row) // _ROW.itemsize
    rows = np.frombuffer(buffer, dtype=_ROW, count=row_count, offset=first_row)
    rows = rows[(rows["segment"] >= FIRST_SEGMENT) & (rows["segment"] <= LAST_SEGMENT)]
    offsets, which, counts = np.unique(rows["offset"], return_inverse=True, return_counts=True)
    places: dict[tuple[str, str], int] = {}
    by_area: dict[int, Counter[int]] = {}
    place_of_offset = np.zeros(len(offsets), dtype=np.int16)
    for i, offset in enumerate(offsets.tolist()):
        record = buffer[offset : buffer.index(b"\0", offset)].decode("utf-8")
        province, city, _, area = record.split("|")
        place = places.setdefault((province, city), len(places))
        place_of_offset[i] = place
        # One record spells its area code 00479.
        by_area.setdefault(int(area), Counter())[place] += int(counts[i])
    place_of_segment = np.full(SEGMENT_COUNT, -1, dtype=np.int16)
    carrier = np.zeros(SEGMENT_COUNT, dtype=np.uint8)
    index = rows["segment"] - FIRST_SEGMENT
    place_of_segment[index] = place_of_offset[which]
    carrier[index] = rows["carrier"]
    return Segments(
        version=version.decode("ascii", "replace"),
        place=place_of_segment,
        carrier=carrier,
        places=tuple(places),
        area_places={area: found.most_common(1)[0][0] for area, found in by_area.items()},
    )
