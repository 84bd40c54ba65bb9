"""One name for one number: what people and switches send, as a canonical typed key."""

from services.common.numbering.columns import ParsedColumn, format_keys, kinds_of, parse_column
from services.common.numbering.key import Cause, Kind, Number, from_key
from services.common.numbering.normaliser import parse

__all__ = [
    "Cause",
    "Kind",
    "Number",
    "ParsedColumn",
    "format_keys",
    "from_key",
    "kinds_of",
    "parse",
    "parse_column",
]
