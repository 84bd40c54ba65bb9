"""Which number of China a string of digits is, by the plan and in the order of china.md 4.5.

Every function returns a key, or the negated `Cause`.
"""

import re

from services.common.numbering import keys
from services.common.numbering.kinds import Cause, Kind
from services.common.numbering.plan import Plan, Service
from services.common.numbering.segments import FIRST_SEGMENT

_RELAY = re.compile(r"700\d{12}", re.ASCII)
# A CN number with an area code: two digits and eight, or three and seven or eight; local numbers
# begin with 2 to 8 (china.md 4.2).
_FIXED = re.compile(r"(?:(1\d|2\d)([2-8]\d{7})|([3-9]\d\d)([2-8]\d{6,7}))", re.ASCII)
_LOCAL_DIGITS = (7, 8)


def subscriber(plan: Plan, digits: str) -> int:
    """Mobile, fixed line with area code, 400, 800 or number of a thing, without trunk 0."""
    length = len(digits)
    if length == 11 and digits[0] == "1" and digits[1] >= "3":
        if plan.allocation[int(digits[:7]) - FIRST_SEGMENT]:
            return keys.e164_key(keys.CN_11 + int(digits))
        return -Cause.UNALLOCATED_PREFIX
    if length == 13:
        if plan.iot_prefix.match(digits):
            return keys.e164_key(keys.CN_13 + int(digits))
        return -Cause.BAD_LENGTH
    if length == 10 and digits[:3] in ("400", "800"):
        return keys.e164_key(keys.CN_10 + int(digits))
    if found := _FIXED.fullmatch(digits):
        area = int(found[1] or found[3])
        if plan.province_of_area[area]:
            return keys.e164_key(keys.CN * 10**length + int(digits))
        return -Cause.UNALLOCATED_PREFIX
    # A whole area code is two digits from 10 to 29 or three from 300, so ten or eleven digits that
    # are no fixed line have the right length and a wrong beginning.
    return -(Cause.UNALLOCATED_PREFIX if length in (10, 11) else Cause.BAD_LENGTH)


def service(plan: Plan, digits: str, province: int = 0) -> int:
    """Short number, with its province where the digits alone do not name the holder."""
    row = plan.service(digits)
    if row:
        if province and province not in plan.provinces:
            return -Cause.UNALLOCATED_PREFIX
        return _service_key(row, digits, province)
    known = plan.services.get(digits[:2], ())
    fits = any(len(digits) in row.lengths for row in known)
    return -(Cause.UNALLOCATED_PREFIX if fits else Cause.BAD_LENGTH)


def _service_key(row: Service, digits: str, province: int) -> int:
    return keys.short_key(int(digits), province if row.provincial else 0)


def sms(plan: Plan, digits: str) -> int:
    """SMS access code or, at thirteen digits of 1064, the number of a thing."""
    if digits.startswith("1064") and len(digits) == 13:
        return subscriber(plan, digits)
    if digits[:4] not in plan.sms_ranges:
        return -Cause.UNALLOCATED_PREFIX
    if len(digits) not in plan.sms_lengths:
        return -Cause.BAD_LENGTH
    return keys.sms_key(int(digits[3:]))


def after_trunk(plan: Plan, digits: str) -> int:
    """What may follow a trunk 0: a subscriber, or an area code and a short number."""
    key = subscriber(plan, digits)
    if key > 0 or digits.startswith("0"):
        return key
    width = 2 if digits[:1] in ("1", "2") else 3
    area = int(digits[:width] or 0)
    province = int(plan.province_of_area[area])
    rest = digits[width:]
    if not province:
        # "0400" or "0999" is nobody's area; "010" cut short is a matter of length.
        return key if key == -Cause.UNALLOCATED_PREFIX else -Cause.BAD_LENGTH
    if not rest:
        return -Cause.PREFIX_ONLY
    row = plan.service(rest)
    if row and row.via_area:
        return _service_key(row, rest, province)
    return key


def after_country_code(plan: Plan, digits: str) -> int:
    """What may follow +86 or 0086."""
    if not digits:
        return -Cause.PREFIX_ONLY
    if digits[0] == "0":
        return after_trunk(plan, digits[1:])
    # +86 10 6xxx xxxx is a line in Beijing, though the same ten digits alone are a 106 code.
    if (key := subscriber(plan, digits)) > 0:
        return key
    if _RELAY.fullmatch(digits):
        return keys.relay_key(int(digits))
    if digits.startswith("106"):
        if (code := sms(plan, digits)) > 0:
            return code
    elif (short := service(plan, digits)) > 0:
        return short
    if (dialled := after_dial_prefix(plan, digits)) > 0:
        return dialled
    return key


def after_dial_prefix(plan: Plan, digits: str) -> int:
    """Number behind 1252x, 12593, 1258x or 179xx, only if it is complete; else why not."""
    prefix = plan.dial_prefix.match(digits)
    if not prefix:
        return -Cause.BAD_LENGTH
    rest = digits[prefix.end() :]
    if not rest:
        return -Cause.PREFIX_ONLY
    if rest.startswith("0086") or rest.startswith("86"):
        key = subscriber(plan, rest[rest.index("86") + 2 :])
        if key > 0:
            return key
    key = subscriber(plan, rest[1:] if rest[0] == "0" else rest)
    return key if key > 0 else -Cause.BAD_LENGTH


def national(plan: Plan, digits: str, province: int = 0) -> int:
    """What a string of digits without international prefix means when dialled within China."""
    if digits[0] == "0":
        key = after_trunk(plan, digits[1:])
        if key > 0:
            return key
        dialled = after_dial_prefix(plan, digits[1:])
        return dialled if dialled > 0 else key
    if digits.startswith("106"):
        return sms(plan, digits)
    if _RELAY.fullmatch(digits):
        return keys.relay_key(int(digits))
    if plan.dial_prefix.fullmatch(digits):
        return -Cause.PREFIX_ONLY
    if (short := service(plan, digits, province)) > 0:
        return short
    if (key := subscriber(plan, digits)) > 0:
        return key
    if digits.startswith("86"):
        if len(digits) == 2:
            return -Cause.PREFIX_ONLY
        # Only a complete number proves that 86 is the country code: 8695588 may be a local number.
        rest = digits[2:]
        if (stripped := subscriber(plan, rest[1:] if rest[0] == "0" else rest)) > 0:
            return stripped
    if (dialled := after_dial_prefix(plan, digits)) > 0:
        return dialled
    if len(digits) in _LOCAL_DIGITS:
        # A fixed line cannot be told apart without its area code (china.md 4.2).
        return -Cause.BAD_LENGTH
    return max(short, key, key=lambda cause: cause == -Cause.UNALLOCATED_PREFIX)


def is_fixed(key: int) -> bool:
    """Whether a line that may have extensions: a fixed line, a 400 or an 800 number."""
    return keys.kind_of(key) in (Kind.CN_FIXED, Kind.CN_400, Kind.CN_800)
