"""Phone numbers: any writing to one typed key, and what a number says of itself.

`parse` reads one, `parse_column` a column; both give the same. `facts` tells carrier, province and
range; a carrier so told is the one that issued the number, and number portability breaks it.
"""

from services.common.numbering.columns import ParsedColumn, parse_column
from services.common.numbering.facts import Facts, carriers_of, countries_of, facts, places_of
from services.common.numbering.keys import format_column, format_keys, kinds_of
from services.common.numbering.kinds import Cause, Kind
from services.common.numbering.parser import Number, from_key, invalid, mobile_key, parse

__all__ = [
    "Cause",
    "Facts",
    "Kind",
    "Number",
    "ParsedColumn",
    "carriers_of",
    "countries_of",
    "facts",
    "format_column",
    "format_keys",
    "from_key",
    "invalid",
    "kinds_of",
    "mobile_key",
    "parse",
    "parse_column",
    "places_of",
]
