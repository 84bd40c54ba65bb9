"""Numbers outside China: the North American plan by its own shape, the rest by `phonenumbers`."""

import re
from functools import cache, lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

from services.common.numbering import keys
from services.common.numbering.kinds import Cause
from services.common.numbering.plan import Plan

# NPA-NXX-XXXX with both first digits from 2 to 9 (NANPA). Whether the area code is assigned is a
# fact about the number, not a reason to refuse it.
NANP = re.compile(r"1?([2-9]\d\d[2-9]\d{6})", re.ASCII)
UNKNOWN_REGION = "ZZ"
"""CLDR's code for a region that is not known."""
_MAX_REWRITES = 3


def nanp(digits: str) -> int:
    """Key of ten national digits, or of eleven with the leading 1; else the negated cause."""
    if found := NANP.fullmatch(digits):
        return keys.e164_key(int("1" + found[1]))
    right_length = len(digits) == 10 or (len(digits) == 11 and digits[0] == "1")
    return -(Cause.UNALLOCATED_PREFIX if right_length else Cause.BAD_LENGTH)


def foreign(plan: Plan, digits: str) -> int:
    """Key of an E.164 number outside China, given its digits with calling code."""
    if digits[0] == "1":
        return nanp(digits) if len(digits) == 11 else -Cause.BAD_LENGTH
    if len(digits) > keys.MAX_E164_DIGITS + 1:
        return -Cause.BAD_LENGTH
    for calling_code, pattern, _, _ in plan.foreign_short:
        if digits.startswith(calling_code) and pattern.fullmatch(digits, len(calling_code)):
            return keys.e164_key(int(digits))
    return _by_library("+" + digits, None)


def national(digits: str, region: str) -> int:
    """Key of a number as dialled within `region`, an ISO 3166 code other than CN and US."""
    return _by_library(digits, region)


def _by_library(text: str, region: str | None) -> int:
    # The library may take a trunk digit out of the number; repeat until it changes nothing, so that
    # the result reads as itself.
    for _ in range(_MAX_REWRITES):
        try:
            number = phonenumbers.parse(text, region)
        except NumberParseException as failure:
            too_short = failure.error_type in (
                NumberParseException.TOO_SHORT_NSN,
                NumberParseException.TOO_SHORT_AFTER_IDD,
                NumberParseException.TOO_LONG,
            )
            return -(Cause.BAD_LENGTH if too_short else Cause.UNALLOCATED_PREFIX)
        if number.country_code in (1, keys.CN):
            return -Cause.UNALLOCATED_PREFIX
        if not phonenumbers.is_valid_number(number):
            possible = phonenumbers.is_possible_number_with_reason(number)
            wrong_length = possible != ValidationResult.IS_POSSIBLE
            return -(Cause.BAD_LENGTH if wrong_length else Cause.UNALLOCATED_PREFIX)
        formatted = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        if len(formatted) > keys.MAX_E164_DIGITS + 1:
            return -Cause.BAD_LENGTH
        if formatted == text:
            return keys.e164_key(int(formatted[1:]))
        text, region = formatted, None
    return -Cause.UNALLOCATED_PREFIX


@lru_cache(maxsize=512)
def is_nanp_region(region: str) -> bool:
    """Whether the region dials by the North American plan."""
    return bool(phonenumbers.country_code_for_region(region) == 1)


def is_region(region: str) -> bool:
    """Whether `phonenumbers` knows this ISO 3166 code."""
    return region in phonenumbers.SUPPORTED_REGIONS


@cache
def _nanp_regions() -> tuple[str, ...]:
    """Region of each area code from 200 to 999; `ZZ` where the library knows none.

    A region's metadata accepts its own area codes only, whatever the last seven digits.
    """
    return tuple(_region_of(f"+1{npa}2345678") for npa in range(200, 1000))


def _region_of(text: str) -> str:
    region = phonenumbers.region_code_for_number(phonenumbers.parse(text))
    return region or UNKNOWN_REGION


@lru_cache(maxsize=65_536)
def region_of(e164_digits: int) -> str:
    """ISO 3166 code of a number outside China; `001` for global services, `ZZ` if not known."""
    if e164_digits // 10**10 == 1:
        return _nanp_regions()[e164_digits // 10**7 - 1200]
    text = f"+{e164_digits}"
    number = phonenumbers.parse(text)
    region = phonenumbers.region_code_for_number(number)
    return region or phonenumbers.region_code_for_country_code(number.country_code or 0)
