"""What an id tells where it is a phone number: country, area, exchange, type, digit patterns."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import phonenumbers as pn

from services.scoring.tables.columns import Floats, Ints

READINGS = ("+", "CN", "US")
"""How bare digits may be meant: international without its +, or national in a region."""

SAMPLE_COUNT = 2000
"""Ids that are tried, evenly spaced."""

VALID_RATIO = 0.6
"""Share of valid numbers above which ids are taken for phone numbers; spoofed callers show
invalid ones too, and random digits of 7 to 12 places are valid in well under half the cases."""

NUMBER_FEATURES = (
    "number_country",
    "number_area",
    "number_exchange",
    "number_type",
    "number_length",
    "number_distinct_digits",
    "number_trailing_zeros",
)


@dataclass(frozen=True)
class Numbers:
    """Phone numbers taken apart, one entry an id; -1 where an id does not parse.

    Attributes:
        country: country calling code.
        area: leading digits of the national number: the geographical area code, the toll-free
            code, or the first three digits (a Chinese mobile segment).
        exchange: the digits after the area: three in +1 (NXX), otherwise four (HLR block).
        area_key: country and area in one integer.
        block_key: country, area and exchange in one integer.
        type: phonenumbers.PhoneNumberType, -1 for a number that is not valid.
        length: digits of the national number.
        distinct_digits: distinct digits among the last six.
        trailing_zeros: zeros at the end.
    """

    country: Ints
    area: Ints
    exchange: Ints
    area_key: Ints
    block_key: Ints
    type: Ints
    length: Ints
    distinct_digits: Ints
    trailing_zeros: Ints

    @property
    def toll_free(self) -> npt.NDArray[np.bool_]:
        """Whether the called party pays."""
        return np.asarray(self.type == pn.PhoneNumberType.TOLL_FREE)

    def take(self, rows: Ints) -> "Numbers":
        """Some of the numbers, in the order asked."""
        return Numbers(*(getattr(self, field.name)[rows] for field in fields(self)))

    def matrix(self) -> Floats:
        """The features NUMBER_FEATURES, shape (ids, 7), NaN where an id does not parse."""
        parts = (
            self.country,
            self.area,
            self.exchange,
            self.type,
            self.length,
            self.distinct_digits,
            self.trailing_zeros,
        )
        features = np.column_stack(parts).astype(np.float64)
        features[self.country < 0] = np.nan
        return features


def detect_reading(ids: Sequence[str]) -> str | None:
    """The reading under which most ids are valid phone numbers, None if they look like none."""
    if not ids:
        return None
    positions = np.unique(np.linspace(0, len(ids) - 1, min(len(ids), SAMPLE_COUNT)).astype(int))
    sample = [ids[position] for position in positions]
    valid = {
        reading: sum(_take_apart(reading, text)[5] >= 0 for text in sample) for reading in READINGS
    }
    best = max(READINGS, key=lambda reading: valid[reading])
    return best if valid[best] >= VALID_RATIO * len(sample) else None


def parse_numbers(ids: Sequence[str], reading: str) -> Numbers:
    """Take ids apart as phone numbers read as `reading`."""
    rows = [_take_apart(reading, text) for text in ids]
    columns = np.array(rows, dtype=np.int64).reshape(len(rows), 9)
    return Numbers(*(columns[:, place] for place in range(9)))


@lru_cache(maxsize=1 << 18)
def _take_apart(reading: str, text: str) -> tuple[int, ...]:
    nothing = (-1,) * 9
    digits = text.strip()
    if not 5 <= sum(char.isdigit() for char in digits) <= 17 or any(
        char.isalpha() for char in digits
    ):
        return nothing
    region = None if reading == "+" else reading
    prefixed = "+" + digits if reading == "+" and not digits.startswith("+") else digits
    try:
        number = pn.parse(prefixed, region)
    except pn.NumberParseException:
        return nothing
    national = pn.national_significant_number(number)
    country = number.country_code or 0
    kind = pn.number_type(number)
    is_valid = kind != pn.PhoneNumberType.UNKNOWN
    area_length = 3 if country == 1 else pn.length_of_geographical_area_code(number) or 3
    area = national[:area_length]
    exchange = national[area_length : area_length + (3 if country == 1 else 4)]
    # A leading 1 keeps areas that begin with zeros apart.
    return (
        country,
        int(area or 0),
        int(exchange or 0),
        int(f"{country}1{area}"),
        int(f"{country}1{area}{exchange}"),
        int(kind) if is_valid else -1,
        len(national),
        len(set(national[-6:])),
        len(national) - len(national.rstrip("0")),
    )
