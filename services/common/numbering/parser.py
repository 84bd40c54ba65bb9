"""One number: from any string to its key, and from a key to what is known of it by itself."""

from dataclasses import dataclass

from services.common.errors import InvalidArgument
from services.common.numbering import china, keys, world
from services.common.numbering.kinds import Cause, Kind
from services.common.numbering.plan import Plan, load_plan
from services.common.numbering.segments import FIRST_SEGMENT
from services.common.numbering.text import Writing, decode, only_digits, read

_WIRE_MOBILE_CHARS = len("+8613800138000")
MAX_ECHO_CHARS = 64
"""How much of a refused string an error repeats."""

_SAID = {
    Cause.EMPTY: "is empty",
    Cause.ALL_ZERO: "has only zeros",
    Cause.BAD_LENGTH: "has a length that no such number has",
    Cause.UNALLOCATED_PREFIX: "begins with digits that nobody holds",
    Cause.PREFIX_ONLY: "is a prefix with nothing after it",
    Cause.NOT_A_NUMBER: "has signs that no number has",
    Cause.MASKED: "has hidden digits",
}


@dataclass(frozen=True, slots=True)
class Number:
    """A number under its one name.

    Attributes:
        key: positive int64, see `keys`.
        kind: what it is.
        number: wire form: E.164 with plus, or the digits of a short, SMS or relay number.
        canonical: text key, china.md 4.5.
        country: ISO 3166 code; `001` for global services, `ZZ` for an unassigned NANP area.
        extension: digits dialled after the answer; no part of the key.
    """

    key: int
    kind: Kind
    number: str
    canonical: str
    country: str
    extension: str = ""


def parse(raw: str | bytes, region: str = "CN") -> Number:
    """Read a number as people and switches send it.

    Args:
        raw: any text; bytes are taken as UTF-8.
        region: where it would be dialled, an ISO 3166 code. Matters only without `+` or `00`, but
            for one case: in region US, `+` and ten digits that form a NANP number are that number,
            as the FTC writes them, even where another country has such a number. A wire form is
            therefore to be read with the default.

    Raises:
        InvalidArgument: NUMBER_INVALID with `cause`, the name of a `Cause`; FIELD_OUT_OF_RANGE for
            a region that does not exist.
    """
    region = check_region(region)
    text = raw if isinstance(raw, str) else decode(raw)
    key = mobile_key(text)
    if key:
        return Number(key, keys.kind_of(key), text, f"e164:{text}", "CN")
    found, extension = resolve(load_plan(), text, region)
    if found < 0:
        raise invalid(text, Cause(-found))
    return number_of(found, extension)


def mobile_key(text: str) -> int:
    """Key of a Chinese mobile number in wire form, which is what lookups mostly ask; else 0."""
    if len(text) != _WIRE_MOBILE_CHARS or not text.startswith("+861") or not text.isascii():
        return 0
    if not text[1:].isdigit() or text[4] < "3":
        return 0
    if not load_plan().allocation[int(text[3:10]) - FIRST_SEGMENT]:
        return 0
    return keys.e164_key(int(text[1:]))


def from_key(key: int) -> Number:
    """The number of a key; InvalidArgument NUMBER_INVALID for an integer that is no key."""
    key = int(key)
    if 0 < key < 1 << 63:
        text = keys.wire(key)
        if text and resolve(load_plan(), text, "CN") == (key, ""):
            return number_of(key)
    raise invalid(f"key {key}", Cause.NOT_A_NUMBER)


def check_region(region: str) -> str:
    """The region in capitals; InvalidArgument FIELD_OUT_OF_RANGE if there is none such."""
    upper = region.upper()
    if not world.is_region(upper):
        raise InvalidArgument(
            "FIELD_OUT_OF_RANGE",
            f"region {region[:MAX_ECHO_CHARS]!r} is no ISO 3166 code with a numbering plan",
            field="region",
            value=region[:MAX_ECHO_CHARS],
            expected="ISO 3166-1 alpha-2",
        )
    return upper


def invalid(raw: str, cause: Cause) -> InvalidArgument:
    """The error for a string that is no number."""
    # A lone surrogate could not be sent on as text.
    echo = raw[:MAX_ECHO_CHARS].encode("utf-8", "replace").decode("utf-8")
    return InvalidArgument(
        "NUMBER_INVALID",
        f"number {echo!r} {_SAID[cause]} ({cause.name})",
        field="number",
        number=echo,
        cause=cause.name,
    )


def number_of(key: int, extension: str = "") -> Number:
    """Number of a key that is known to be valid."""
    kind = keys.kind_of(key)
    abroad = kind in (Kind.NANP, Kind.FOREIGN)
    return Number(
        key=key,
        kind=kind,
        number=keys.wire(key),
        canonical=keys.canonical(key),
        country=world.region_of(key & keys.VALUE_MASK) if abroad else "CN",
        extension=extension,
    )


def resolve(plan: Plan, text: str, region: str) -> tuple[int, str]:
    """Key and extension of a string, or the negated cause and nothing; never raises."""
    writing = read(text)
    if isinstance(writing, Cause):
        found, extension = -int(writing), ""
    else:
        found, extension = _resolve_writing(plan, writing, region)
    if found < 0 and region == "US":
        # The FTC's column is judged by its digits alone, whatever stands between them.
        digits = only_digits(text)
        key = world.nanp(digits)
        if key > 0:
            return key, ""
    return found, extension if found > 0 else ""


def _resolve_writing(plan: Plan, writing: Writing, region: str) -> tuple[int, str]:
    key = _resolve_digits(plan, writing, writing.digits, region)
    if key < 0 and writing.tail and not writing.extension:
        # 010-62671188-8001: what follows the last dash may be an extension of a line.
        head = writing.digits[: -len(writing.tail)]
        shorter = _resolve_digits(plan, writing, head, region) if head else key
        if shorter > 0 and china.is_fixed(shorter):
            return shorter, writing.tail
    return key, writing.extension


def _resolve_digits(plan: Plan, writing: Writing, digits: str, region: str) -> int:
    in_nanp = world.is_nanp_region(region)
    if in_nanp and (not writing.plus or (region == "US" and len(digits) == 10)):
        key = world.nanp(digits)
        if key > 0:
            return key
    international = _international(writing, digits, in_nanp)
    if international is not None:
        return _after_plus(plan, international)
    if region == "CN":
        return china.national(plan, digits, writing.province)
    return world.nanp(digits) if in_nanp else world.national(digits, region)


def _international(writing: Writing, digits: str, in_nanp: bool) -> str | None:
    """Digits after the international prefix, also one written twice (`+00 86`), or None."""
    if writing.plus:
        return digits[2:] if digits.startswith("00") else digits
    if in_nanp and digits.startswith("011"):
        return digits[3:]
    return digits[2:] if digits.startswith("00") else None


def _after_plus(plan: Plan, digits: str) -> int:
    if not digits:
        return -Cause.PREFIX_ONLY
    if digits[0] == "0":
        return -Cause.UNALLOCATED_PREFIX
    if digits.startswith("86"):
        return china.after_country_code(plan, digits[2:])
    return world.foreign(plan, digits)
