"""The integer form of a number: bits 60 to 62 hold its class, the low 60 bits its value.

Class 1 is an E.164 number (its digits), 2 a short number (digits x 100 + first two digits of the
province code, 0 if none), 3 an SMS access code (the digits after 106), 4 a relay number (all
fifteen digits).
Within a class keys sort as the numbers do. 0 is no number.
"""

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from services.common.numbering.kinds import Kind

E164, SHORT, SMS, RELAY = 1, 2, 3, 4
CLASS_SHIFT = 60
VALUE_MASK = (1 << CLASS_SHIFT) - 1
CN = 86
CN_10, CN_11, CN_13 = CN * 10**10, CN * 10**11, CN * 10**13
MAX_E164_DIGITS = 15
# Shared with plan_cn.yaml's `satellite`; a test holds the two together.
SATELLITE_3, SATELLITE_4 = (174,), (1349, 1619)


_KIND_OF_SHORT = {
    "95": Kind.CN_SHORT_95,
    "96": Kind.CN_SHORT_96,
    "10": Kind.CN_SHORT_10,
    "11": Kind.CN_SHORT_11,
    "12": Kind.CN_SHORT_12,
}


def e164_key(digits: int) -> int:
    """Key of an E.164 number given as the integer of its digits, calling code included."""
    return (E164 << CLASS_SHIFT) | digits


def short_key(digits: int, province: int = 0) -> int:
    """Key of a short number; `province` is the first two digits of its GB/T 2260 code, or 0."""
    return (SHORT << CLASS_SHIFT) | (digits * 100 + province)


def sms_key(digits_after_106: int) -> int:
    """Key of an SMS access code, given what follows 106 (never a leading zero)."""
    return (SMS << CLASS_SHIFT) | digits_after_106


def relay_key(digits: int) -> int:
    """Key of a fifteen-digit 700 relay number."""
    return (RELAY << CLASS_SHIFT) | digits


def wire(key: int) -> str:
    """Wire form of one key: `+8613800138000`, `95588`, `96188@330000`; empty for 0."""
    key_class, value = key >> CLASS_SHIFT, key & VALUE_MASK
    if key_class == E164:
        return f"+{value}"
    if key_class == SHORT:
        digits, province = divmod(value, 100)
        return f"{digits}@{province}0000" if province else str(digits)
    if key_class == SMS:
        return f"106{value}"
    return str(value) if key_class == RELAY else ""


def canonical(key: int) -> str:
    """Text key of china.md 4.5; `e164:` for China, `intl:` for the rest, empty for 0."""
    key_class, value = key >> CLASS_SHIFT, key & VALUE_MASK
    if key_class == E164:
        text = str(value)
        return f"{'e164' if text.startswith('86') else 'intl'}:+{text}"
    scheme = {SHORT: "cn-short:", SMS: "cn-sms:", RELAY: "cn-relay:"}.get(key_class, "")
    return scheme + wire(key)


def mobile_places(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """How far behind 13000000000 each CN mobile number is, and which keys are of such, (n,) each.

    Where a key is of something else, its place is 0.
    """
    after = keys - e164_key(CN_11 + 13 * 10**9)
    is_mobile = after.view(np.uint64) < 7 * 10**9
    return np.where(is_mobile, after, 0), is_mobile


def kinds_of(keys: NDArray[Any]) -> NDArray[np.uint8]:
    """`Kind` of each key, uint8; 0 where the key is 0. The keys must come from this package."""
    keys = np.asarray(keys, dtype=np.int64)
    places, is_mobile = mobile_places(keys)
    kinds = _kinds_of_codes()[places // 10**7]
    if not is_mobile.all():
        kinds[~is_mobile] = _other_kinds(keys[~is_mobile])
    return kinds


@cache
def _kinds_of_codes() -> NDArray[np.uint8]:
    """`Kind` of mobile numbers by their first four digits less 1300, (700,)."""
    codes = np.arange(1300, 2000)
    satellite = np.isin(codes // 10, SATELLITE_3) | np.isin(codes, SATELLITE_4)
    return np.where(satellite, Kind.CN_MOBILE_SATELLITE, Kind.CN_MOBILE).astype(np.uint8)


def _other_kinds(keys: NDArray[np.int64]) -> NDArray[np.uint8]:
    """`kinds_of` keys of anything but CN mobile numbers."""
    key_class = keys >> CLASS_SHIFT
    value = keys & VALUE_MASK
    kinds = np.zeros(keys.shape, dtype=np.uint8)
    e164 = key_class == E164
    kinds[e164] = Kind.FOREIGN
    kinds[e164 & (value // 10**10 == 1)] = Kind.NANP
    ten = e164 & (value // 10**10 == CN)
    code = value // 10**7 - CN * 1000
    kinds[ten] = Kind.CN_FIXED
    kinds[ten & (code == 400)] = Kind.CN_400
    kinds[ten & (code == 800)] = Kind.CN_800
    kinds[e164 & (value // 10**11 == CN)] = Kind.CN_FIXED
    kinds[e164 & (value // 10**13 == CN)] = Kind.CN_IOT
    short = key_class == SHORT
    if short.any():
        kinds[short] = _short_kinds(value[short] // 100)
    kinds[key_class == SMS] = Kind.CN_SMS
    kinds[key_class == RELAY] = Kind.CN_RELAY
    return kinds


def kind_of(key: int) -> Kind:
    """`Kind` of one key, as `kinds_of`: an array of one would cost ten times the arithmetic."""
    key_class, value = key >> CLASS_SHIFT, key & VALUE_MASK
    if key_class == E164:
        return _e164_kind(value)
    if key_class == SHORT:
        return _KIND_OF_SHORT.get(str(value // 100)[:2], Kind.UNKNOWN)
    return {SMS: Kind.CN_SMS, RELAY: Kind.CN_RELAY}.get(key_class, Kind.UNKNOWN)


def _e164_kind(value: int) -> Kind:
    if value // 10**11 == CN:
        national = value - CN_11
        if national >= 2 * 10**10:
            return Kind.CN_FIXED
        satellite = national // 10**8 in SATELLITE_3 or national // 10**7 in SATELLITE_4
        return Kind.CN_MOBILE_SATELLITE if satellite else Kind.CN_MOBILE
    if value // 10**10 == CN:
        code = value // 10**7 - CN * 1000
        return {400: Kind.CN_400, 800: Kind.CN_800}.get(code, Kind.CN_FIXED)
    if value // 10**13 == CN:
        return Kind.CN_IOT
    return Kind.NANP if value // 10**10 == 1 else Kind.FOREIGN


def _short_kinds(digits: NDArray[np.int64]) -> NDArray[np.uint8]:
    head = digits.copy()
    while (large := head >= 100).any():
        head[large] //= 10
    kinds = np.zeros(digits.shape, dtype=np.uint8)
    for first_two, kind in (
        (95, Kind.CN_SHORT_95),
        (96, Kind.CN_SHORT_96),
        (10, Kind.CN_SHORT_10),
        (11, Kind.CN_SHORT_11),
        (12, Kind.CN_SHORT_12),
    ):
        kinds[head == first_two] = kind
    return kinds


def format_column(keys: NDArray[Any], with_scheme: bool = False) -> pa.StringArray:
    """Wire form of many keys as an Arrow string array; with `with_scheme`, the text key instead."""
    keys = np.asarray(keys, dtype=np.int64)
    key_class = keys >> CLASS_SHIFT
    value = keys & VALUE_MASK
    short = key_class == SHORT
    number = np.where(short, value // 100, value)
    prefix = np.take(np.array([0, 1, 0, 2, 0, 0, 0, 0]), key_class)
    prefixes = ["", "+", "106"]
    if with_scheme:
        cn = np.zeros(keys.shape, dtype=bool)
        for digits in (10, 11, 13):
            cn |= value // 10**digits == CN
        prefix = np.take(np.array([0, 2, 3, 4, 5, 0, 0, 0]), key_class)
        prefix = np.where((key_class == E164) & cn, 1, prefix)
        prefixes = ["", "e164:+", "intl:+", "cn-short:", "cn-sms:106", "cn-relay:"]
    heads = pc.take(pa.array(prefixes), pa.array(prefix))
    digits_text = pa.array(number).cast(pa.string())
    if (keys == 0).any():
        digits_text = pc.if_else(pa.array(keys == 0), "", digits_text)
    parts = [heads, digits_text]
    province = np.where(short, value % 100, 0)
    if province.any():
        tails = [""] + [f"@{code}0000" for code in range(1, 100)]
        parts.append(pc.take(pa.array(tails), pa.array(province)))
    return pc.binary_join_element_wise(*parts, "")


def format_keys(keys: NDArray[Any]) -> list[str]:
    """Wire form of many keys in the same order; empty for 0."""
    # Through numpy: three times as fast as `to_pylist`.
    texts: list[str] = format_column(keys).to_numpy(zero_copy_only=False).tolist()
    return texts
