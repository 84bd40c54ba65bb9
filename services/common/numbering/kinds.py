"""What a number can be, and why a string is none."""

from enum import IntEnum


class Kind(IntEnum):
    """Kind of a number, china.md section 4; stored as uint8, where 0 stands for no number.

    `CN_MOBILE_SATELLITE`, also `CN_SATELLITE`, are the eleven-digit mobile codes of satellite
    terminals (1349, 174, 1619). The values are features of trained models: add, never renumber.
    """

    UNKNOWN = 0
    CN_MOBILE = 1
    CN_FIXED = 2
    CN_400 = 3
    CN_800 = 4
    CN_IOT = 5
    CN_MOBILE_SATELLITE = 6
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
    """Why a string is no number, china.md section 4.5; stored as uint8, where 0: it is one."""

    NONE = 0
    EMPTY = 1
    """Nothing but spaces and separators."""
    ALL_ZERO = 2
    """Only zeros: a withheld or forged caller id."""
    BAD_LENGTH = 3
    """Too short or too long for what its first digits say, or a local number without area code."""
    UNALLOCATED_PREFIX = 4
    """The right length, but nobody holds such a number."""
    PREFIX_ONLY = 5
    """A dial prefix, an area code or a country code with nothing after it."""
    NOT_A_NUMBER = 6
    """Letters or signs that no number has."""
    MASKED = 7
    """Digits hidden by the sender (`*`, `_`, `X`)."""
