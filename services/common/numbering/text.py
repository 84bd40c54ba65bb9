"""How a number is written: from any string to digits, a plus sign, an extension and a province."""

import re
import unicodedata
from dataclasses import dataclass

from services.common.numbering.kinds import Cause

MAX_RAW_CHARS = 128
"""Longer strings are refused unread; the longest honest form seen has under 40 characters."""

# Longest first: E.164 has 15 digits, 00 and a dial prefix add 7, an SMS code has 21.
MAX_DIGITS = 32

_SCHEME = re.compile(r"\s*(?:tel|sips?|callto|e164|intl|cn-short|cn-sms|cn-relay):(?://)?", re.I)
_PHONE_CONTEXT = re.compile(r";phone-context=(\+\d{1,15})", re.I | re.ASCII)
_EXT_PARAMETER = re.compile(r";ext=(\d{1,10})", re.I | re.ASCII)
_EXTENSION = re.compile(
    r"(?:转接?|轉接?|分机号?|分機號?|extension|ext\.?|(?<!x)x|[,;#pw]+)[\s:.=\-]*(\d{1,10})#?\s*$",
    re.I | re.ASCII,
)
_PROVINCE = re.compile(r"((?:[^@\d]*\d){5,8}[^@\d]*)@\s*(\d{2})0000\s*$", re.ASCII)
_TAIL = re.compile(r"\d[\s)]*[\s\-‐-―]+(\d{1,6})\s*$", re.ASCII)
_MASK = re.compile(r"[*_xX×•●█?]")
_QUOTES = "\"'`=“”‘’\0"
# Dashes and separators that Unicode does not put under Pd, Z or Cf.
_SEPARATORS = frozenset("()[]{}<>./\\~·・‧−ー\t\n\r\x0b\x0c\x85")
_ASCII_SEPARATORS = {ord(c): None for c in _SEPARATORS | {" ", "-"} if c.isascii()}


@dataclass(frozen=True, slots=True)
class Writing:
    """A number as written, freed of its decoration.

    Attributes:
        digits: ASCII digits, 1 to 32 of them.
        plus: whether a plus sign stood before them.
        extension: digits to dial after the answer, or empty.
        province: first two digits of the province code after `@`, or 0.
        tail: the last one to six digits, if a dash or a space sets them off; they may prove to be
            an extension when the whole is too long to be a number.
    """

    digits: str
    plus: bool
    extension: str = ""
    province: int = 0
    tail: str = ""


def decode(raw: bytes) -> str:
    """Text of any bytes: UTF-8, lone surrogates kept, anything else replaced."""
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace")


def read(raw: str) -> Writing | Cause:
    """Take a string apart, or say why it holds no number (china.md 4.5: the first three steps)."""
    if len(raw) > MAX_RAW_CHARS:
        return Cause.BAD_LENGTH
    if raw.isascii() and raw.isdigit():
        return _writing(raw, False, "", 0, "")
    text = unicodedata.normalize("NFKC", raw)
    if not text.isascii():
        text = "".join(map(_ascii_digit, text))
    text = text.strip().strip(_QUOTES).strip()
    text, extension = _undress(text)
    province = 0
    if found := _PROVINCE.match(text):
        text, province = found[1], int(found[2])
    elif (
        not extension
        and (found := _EXTENSION.search(text))
        and any(map(str.isdigit, text[: found.start()]))
    ):
        text, extension = text[: found.start()], found[1]
    text = text.rstrip("#;,")
    tail = _TAIL.search(text)
    if text.isascii():
        digits = text.translate(_ASCII_SEPARATORS)
    else:
        digits = "".join(c for c in text if not _is_separator(c))
    plus = digits.startswith("+")
    digits = digits.lstrip("+")
    if not digits:
        return Cause.EMPTY
    if not (digits.isascii() and digits.isdigit()):
        return _why_not_digits(digits)
    return _writing(digits, plus, extension, province, tail[1] if tail else "")


def _writing(digits: str, plus: bool, extension: str, province: int, tail: str) -> Writing | Cause:
    if not digits.strip("0"):
        return Cause.ALL_ZERO
    if len(digits) > MAX_DIGITS:
        return Cause.BAD_LENGTH
    return Writing(digits, plus, extension, province, tail)


def only_digits(raw: str) -> str:
    """Every ASCII digit of a string in order; empty for a string over `MAX_RAW_CHARS`."""
    return "".join(c for c in raw if "0" <= c <= "9") if len(raw) <= MAX_RAW_CHARS else ""


def _undress(text: str) -> tuple[str, str]:
    """Take off a URI's scheme, host and parameters, RFC 3966 and RFC 3261; return its extension."""
    scheme = _SCHEME.match(text)
    if not scheme:
        return text, ""
    text = text[scheme.end() :]
    if scheme[0].lower().lstrip().startswith("sip"):
        text = text.partition("@")[0]
    extension = found[1] if (found := _EXT_PARAMETER.search(text)) else ""
    context = found[1] if (found := _PHONE_CONTEXT.search(text)) else ""
    if extension or context or "=" in text:
        text = text.partition(";")[0]
    return (text if text.lstrip().startswith("+") else context + text), extension


def _ascii_digit(character: str) -> str:
    value = unicodedata.decimal(character, None)
    return character if value is None else str(value)


def _is_separator(character: str) -> bool:
    if character in _SEPARATORS:
        return True
    category = unicodedata.category(character)
    return category[0] == "Z" or category in ("Pd", "Cf")


def _why_not_digits(text: str) -> Cause:
    rest = _MASK.sub("", text)
    if rest != text and rest.isascii() and (not rest or rest.isdigit()):
        return Cause.MASKED
    return Cause.NOT_A_NUMBER
