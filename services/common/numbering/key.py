"""Keys of numbers: one positive 64-bit integer each, reversible, sorted within its class."""

from dataclasses import dataclass
from enum import IntEnum

from services.common.errors import InvalidArgument
from services.common.numbering import plan

CLASS_BITS = 60
"""Bits 60 to 62 of a key are its class, the lower ones its value."""

E164, SHORT, SMS, RELAY = 1, 2, 3, 4
"""Classes. Values: E.164 digits; digits * 100 + province; digits after 106; the 15 digits."""

_VALUE = (1 << CLASS_BITS) - 1


class Kind(IntEnum):
    """What a number is in its numbering plan."""

    UNKNOWN = 0
    CN_MOBILE = 1
    CN_FIXED = 2
    CN_400 = 3
    CN_800 = 4
    CN_IOT = 5
    CN_SATELLITE = 6
    CN_SHORT_95 = 7
    CN_SHORT_96 = 8
    CN_SHORT_10 = 9
    CN_SHORT_12 = 10
    CN_SHORT_11 = 11
    CN_SMS = 12
    CN_RELAY = 13
    NANP = 14
    FOREIGN = 15


class Cause(IntEnum):
    """Why a text is no number."""

    NONE = 0
    EMPTY = 1
    ALL_ZERO = 2
    BAD_LENGTH = 3
    UNALLOCATED_PREFIX = 4
    PREFIX_ONLY = 5
    NOT_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Number:
    """A number under its one name.

    Attributes:
        key: the integer form.
        kind: what it is.
        number: the wire form: "+8613800138000", "95588", "96110@330000".
        canonical: the text key, such as "e164:+8613800138000" or "cn-short:95588".
        country: ISO 3166-1 alpha-2; "" where a calling code has several.
        extension: digits after the number proper, "" without.
    """

    key: int
    kind: Kind
    number: str
    canonical: str
    country: str
    extension: str = ""


def e164_kind(digits: str) -> Kind:
    """Kind of an E.164 number from its digits without plus."""
    if digits.startswith("1") and len(digits) == 11:
        return Kind.NANP
    if not digits.startswith("86"):
        return Kind.FOREIGN
    national = digits[2:]
    if len(national) == 13:
        return Kind.CN_IOT
    if plan.SERVICE_400_800.fullmatch(national):
        return Kind.CN_400 if national[0] == "4" else Kind.CN_800
    if national[0] == "1" and len(national) == 11:
        return Kind.CN_SATELLITE if national[:4] in plan.SATELLITE_CODES else Kind.CN_MOBILE
    return Kind.CN_FIXED


def short_kind(digits: str) -> Kind:
    """Kind of a short service number."""
    if digits.startswith("95"):
        return Kind.CN_SHORT_95
    if digits.startswith("96"):
        return Kind.CN_SHORT_96
    if digits.startswith("10"):
        return Kind.CN_SHORT_10
    return Kind.CN_SHORT_12 if digits.startswith("12") else Kind.CN_SHORT_11


def of_e164(digits: str, country: str, extension: str = "") -> Number:
    """Name an E.164 number by its digits without plus."""
    kind = e164_kind(digits)
    scheme = "intl" if kind is Kind.FOREIGN else "e164"
    return Number(
        E164 << CLASS_BITS | int(digits),
        kind,
        f"+{digits}",
        f"{scheme}:+{digits}",
        country,
        extension,
    )


def of_short(digits: str, province: int = 0) -> Number:
    """Name a short number; province: first two digits of GB/T 2260, 0 nationwide."""
    wire = f"{digits}@{province:02d}0000" if province else digits
    key = SHORT << CLASS_BITS | (int(digits) * 100 + province)
    return Number(key, short_kind(digits), wire, f"cn-short:{wire}", "CN")


def of_sms(digits: str) -> Number:
    """Name an SMS access number, 106…"""
    return Number(
        SMS << CLASS_BITS | int(digits[3:]), Kind.CN_SMS, digits, f"cn-sms:{digits}", "CN"
    )


def of_relay(digits: str) -> Number:
    """Name a relay number, 700 and twelve digits."""
    return Number(
        RELAY << CLASS_BITS | int(digits), Kind.CN_RELAY, digits, f"cn-relay:{digits}", "CN"
    )


def from_key(key: int) -> Number:
    """Name the number of a key.

    Raises:
        InvalidArgument: NUMBER_INVALID, if no number has this key.
    """
    kind, value = key >> CLASS_BITS, key & _VALUE
    if kind == E164 and 10**6 <= value < 10**15:
        digits = str(value)
        country = "CN" if digits.startswith("86") else ""
        return of_e164(digits, country)
    if kind == SHORT and value >= 100_00:
        return of_short(str(value // 100), value % 100)
    if kind == SMS:
        return of_sms(f"106{value}")
    if kind == RELAY:
        return of_relay(str(value))
    raise InvalidArgument(
        "NUMBER_INVALID", f"no number has the key {key}", field="key", number=key, cause="BAD_KEY"
    )
