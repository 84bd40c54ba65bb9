"""From what was received to one number: the slow path that decides."""

import re
import unicodedata

import phonenumbers

from services.common.errors import InvalidArgument
from services.common.numbering import key, plan
from services.common.numbering.key import Cause, Number

MAX_CHARS = 64
"""Longer texts are no numbers."""

_EXTENSION = re.compile(r"(?:转|;ext=|,|;|#|ext\.?|x)(\d{0,10})\D*$", re.IGNORECASE)
_DROPPED = re.compile(r"[\s\-‐-―－().·/]+")
_PROVINCE = re.compile(r"(96\d{3,4})@(\d{2})0000")


class _Not(Exception):
    def __init__(self, cause: Cause) -> None:
        self.cause = cause


def parse(raw: str, region: str = "CN") -> Number:
    """Normalise a number as received.

    Args:
        raw: any text.
        region: country of numbers without country code, ISO 3166-1 alpha-2.

    Raises:
        InvalidArgument: NUMBER_INVALID, with the cause.
    """
    try:
        return _parse(raw, region)
    except _Not as failure:
        shown = raw[:MAX_CHARS]
        raise InvalidArgument(
            "NUMBER_INVALID",
            f"number is no telephone number ({failure.cause.name}): {shown!r}",
            field="number",
            number=shown,
            cause=failure.cause.name,
        ) from None


def cause_of(raw: str, region: str) -> tuple[int, Cause]:
    """Key and cause of a text: (key, NONE) or (0, why)."""
    try:
        return _parse(raw, region).key, Cause.NONE
    except _Not as failure:
        return 0, failure.cause


def _parse(raw: str, region: str) -> Number:
    if len(raw) > MAX_CHARS:
        raise _Not(Cause.BAD_LENGTH)
    text = unicodedata.normalize("NFKC", raw).strip().lower().removeprefix("tel:")
    province = _PROVINCE.fullmatch(text)
    if province:
        return key.of_short(province[1], int(province[2]))
    extension = ""
    found = _EXTENSION.search(text)
    if found:
        text, extension = text[: found.start()], found[1]
    text = _DROPPED.sub("", text)
    if not text:
        raise _Not(Cause.EMPTY)
    plus = text.startswith("+")
    digits = text[1:] if plus else text
    if not (digits.isascii() and digits.isdigit()):
        raise _Not(Cause.NOT_DIGITS if digits else Cause.EMPTY)
    if not digits.strip("0"):
        raise _Not(Cause.ALL_ZERO)
    if region == "US":
        # The FTC's files write a plus before ten national digits.
        national = digits[1:] if len(digits) == 11 and digits[0] == "1" else digits
        if plan.NANP.fullmatch(national):
            return key.of_e164("1" + national, "", extension)
    if plus or digits.startswith("00"):
        digits = digits.lstrip("0") if digits.startswith("00") else digits
        if digits.startswith("86"):
            return _chinese(digits[2:], extension, whole=True)
        return _foreign("+" + digits, None, extension)
    if region != "CN":
        return _foreign(digits, region, extension)
    if digits.startswith("86") and len(digits) > 9:
        try:
            return _chinese(digits[2:], extension, whole=True)
        except _Not:
            pass
    return _chinese(digits, extension)


def _chinese(digits: str, extension: str, whole: bool = False) -> Number:
    """Classify a national number by its longest prefix and exact length.

    Args:
        digits: the national number, with or without trunk 0.
        extension: digits after it.
        whole: an area code stands first if it is a fixed line: 10 6226 0946 after +86 or a
            trunk 0 is Beijing, alone it is an SMS access number.
    """
    if digits.startswith("0"):
        digits, whole = digits[1:], True
        if not plan.FIXED.fullmatch(digits) and not _is_mobile(digits):
            raise _Not(Cause.BAD_LENGTH if len(digits) < 9 else Cause.UNALLOCATED_PREFIX)
    if plan.RELAY.fullmatch(digits):
        return key.of_relay(digits)
    if whole and plan.FIXED.fullmatch(digits):
        return key.of_e164("86" + digits, "CN", extension)
    if plan.SERVICE_400_800.fullmatch(digits) or _is_mobile(digits) or plan.IOT.fullmatch(digits):
        return key.of_e164("86" + digits, "CN", extension)
    if plan.SMS.fullmatch(digits):
        return key.of_sms(digits)
    if plan.SHORT.fullmatch(digits):
        return key.of_short(digits)
    if plan.FIXED.fullmatch(digits):
        return key.of_e164("86" + digits, "CN", extension)
    prefix = plan.DIAL_PREFIX.match(digits)
    if prefix:
        return _chinese(digits[prefix.end() :], extension)
    if re.fullmatch(r"179\d{2}|1252\d|12593", digits):
        raise _Not(Cause.PREFIX_ONLY)
    if len(digits) == 11 and digits[0] == "1":
        raise _Not(Cause.UNALLOCATED_PREFIX)
    raise _Not(Cause.BAD_LENGTH)


def _is_mobile(digits: str) -> bool:
    if len(digits) != 11 or digits[0] != "1":
        return False
    if digits[:3] in plan.MOBILE_CODES:
        return True
    return digits[:4] in plan.SATELLITE_CODES and (digits[:4] != "1741" or digits[4] in "012")


def _foreign(text: str, region: str | None, extension: str) -> Number:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as error:
        too_short = error.error_type in (2, 3, 4)
        raise _Not(Cause.BAD_LENGTH if too_short else Cause.UNALLOCATED_PREFIX) from None
    if not phonenumbers.is_possible_number(number):
        raise _Not(Cause.BAD_LENGTH)
    digits = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:]
    if digits.startswith("86"):
        return _chinese(digits[2:], extension)
    if not 7 <= len(digits) <= 15:
        raise _Not(Cause.BAD_LENGTH)
    return key.of_e164(digits, phonenumbers.region_code_for_number(number) or "", extension)
