"""China's numbering plan, read from `plan_cn.yaml` into tables that scalars and arrays share."""

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from services.common.numbering.kinds import Kind
from services.common.numbering.segments import FIRST_SEGMENT, SEGMENT_COUNT, read_segments

MIIT, OBSERVED = 1, 2
"""Allocation of a segment: by the MIIT table, or only seen in use in the package `phone`."""

_CARRIER_OF_PHONE_CODE = {
    1: "CHINA_MOBILE",
    2: "CHINA_UNICOM",
    3: "CHINA_TELECOM",
    4: "CHINA_TELECOM",
    5: "CHINA_UNICOM",
    6: "CHINA_MOBILE",
    7: "CHINA_BROADNET",
    8: "CHINA_BROADNET",
}


@dataclass(frozen=True, slots=True)
class Service:
    """One row of short numbers; see the comments of `plan_cn.yaml`."""

    prefix: str
    lengths: frozenset[int]
    kind: Kind
    zh: str
    en: str
    via_area: bool = False
    provincial: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan as tables.

    Attributes:
        version: of `plan_cn.yaml`.
        allocation: uint8 by segment - 1300000: 0 nobody's, `MIIT`, `OBSERVED`.
        carrier: uint8 by segment - 1300000, index into `carriers` (0 is no carrier).
        mvno: bool by segment - 1300000, by the MIIT prefix alone.
        carriers: (code, Chinese name, English name); entry 0 is empty.
        province_of_area: uint8 (1000,) by area code without trunk 0, two-digit province; 0 none.
        provinces: two-digit province -> Chinese name.
        services: first two digits -> rows, longest prefix first.
        sms_ranges: first four digits of an SMS access code -> (Chinese, English).
        sms_lengths: how many digits an SMS access code may have.
        dial_prefix: matches a dial prefix at the start.
        iot_prefix: matches the start of a thirteen-digit number of a thing.
        satellite: mobile prefixes that end at a satellite terminal.
        foreign_short: (calling code, pattern of the rest, Chinese, English).
    """

    version: str
    allocation: NDArray[np.uint8]
    carrier: NDArray[np.uint8]
    mvno: NDArray[np.bool_]
    carriers: tuple[tuple[str, str, str], ...]
    province_of_area: NDArray[np.uint8]
    provinces: dict[int, str]
    services: dict[str, tuple[Service, ...]]
    sms_ranges: dict[str, tuple[str, str]]
    sms_lengths: range
    dial_prefix: re.Pattern[str]
    iot_prefix: re.Pattern[str]
    satellite: tuple[str, ...]
    foreign_short: tuple[tuple[str, re.Pattern[str], str, str], ...]

    def service(self, digits: str) -> Service | None:
        """Row with the longest prefix that fits these digits, or None."""
        for row in self.services.get(digits[:2], ()):
            if len(digits) in row.lengths and digits.startswith(row.prefix):
                return row
        return None


def expand(prefixes: list[str]) -> list[str]:
    """`["130-132", "147"]` -> `["130", "131", "132", "147"]`."""
    expanded = []
    for item in prefixes:
        first, _, last = item.partition("-")
        expanded += [str(code) for code in range(int(first), int(last or first) + 1)]
    return expanded


def _slice(prefix: str) -> slice:
    width = 10 ** (7 - len(prefix))
    first = int(prefix) * width - FIRST_SEGMENT
    return slice(first, first + width)


def _mobile_tables(
    document: dict[str, Any], codes: list[str]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]:
    allocation = np.zeros(SEGMENT_COUNT, dtype=np.uint8)
    carrier = np.zeros(SEGMENT_COUNT, dtype=np.uint8)
    for code, prefixes in document["mobile"].items():
        for prefix in expand(prefixes):
            allocation[_slice(prefix)] = MIIT
            carrier[_slice(prefix)] = codes.index(code)
    # Segments in use outside the MIIT table (about 0.6 % of those listed): a mark may name one,
    # so they are numbers, but `facts` says that nobody is known to hold the prefix.
    seen = read_segments()
    observed = (allocation == 0) & (seen.place >= 0)
    allocation[observed] = OBSERVED
    by_phone = np.zeros(256, dtype=np.uint8)
    for phone_code, name in _CARRIER_OF_PHONE_CODE.items():
        by_phone[phone_code] = codes.index(name)
    carrier[observed] = by_phone[seen.carrier[observed]]
    mvno = np.zeros(SEGMENT_COUNT, dtype=bool)
    for prefix in expand(document["mvno"]):
        mvno[_slice(prefix)] = True
    return allocation, carrier, mvno


def _services(rows: list[dict[str, Any]]) -> dict[str, tuple[Service, ...]]:
    grouped: dict[str, list[Service]] = {}
    for row in rows:
        service = Service(
            prefix=row["prefix"],
            lengths=frozenset(row["lengths"]),
            kind=Kind[row["kind"]],
            zh=row["zh"],
            en=row["en"],
            via_area=row.get("via_area", False),
            provincial=row.get("provincial", False),
        )
        grouped.setdefault(service.prefix[:2], []).append(service)
    return {
        head: tuple(sorted(group, key=lambda service: -len(service.prefix)))
        for head, group in grouped.items()
    }


@cache
def load_plan() -> Plan:
    """Read and index the plan once."""
    text = resources.files(__package__).joinpath("plan_cn.yaml").read_text("utf-8")
    document = yaml.safe_load(text)
    carriers = (("", "", ""),) + tuple(
        (code, name["zh"], name["en"]) for code, name in document["carriers"].items()
    )
    allocation, carrier, mvno = _mobile_tables(document, [code for code, _, _ in carriers])
    province_of_area = np.zeros(1000, dtype=np.uint8)
    provinces = {}
    for code, row in document["areas"].items():
        provinces[int(code) // 10_000] = row["zh"]
        province_of_area[[int(area) for area in expand(row["codes"])]] = int(code) // 10_000
    dial = "|".join(prefix.replace("?", r"\d") for prefix in document["dial_prefixes"])
    return Plan(
        version=document["version"],
        allocation=allocation,
        carrier=carrier,
        mvno=mvno,
        carriers=carriers,
        province_of_area=province_of_area,
        provinces=provinces,
        services=_services(document["services"]),
        sms_ranges={
            prefix: (name["zh"], name["en"]) for prefix, name in document["sms"]["ranges"].items()
        },
        sms_lengths=range(document["sms"]["min_length"], document["sms"]["max_length"] + 1),
        dial_prefix=re.compile(dial, re.ASCII),
        iot_prefix=re.compile("|".join(expand(document["iot"]["prefixes"]))),
        satellite=tuple(document["satellite"]),
        foreign_short=tuple(
            (row["calling_code"], re.compile(row["pattern"], re.ASCII), row["zh"], row["en"])
            for row in document["foreign_short"]
        ),
    )
