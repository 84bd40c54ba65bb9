"""Numbers of each kind in the ranges that MIIT has allotted, and the ways people write them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOBILE, MVNO, FIXED, N95, N400, SHORT = range(6)
CARRIERS = ("CMCC", "CTCC", "CUCC", "CBN")
CMCC, CTCC, CUCC, CBN = range(4)

# MIIT's allotment of public mobile network codes, end of March 2023 (china.md section 4.1);
# 134 leaves out 1349, 170 is split by the fourth digit, satellite and IoT codes are left out.
MOBILE_PREFIXES: dict[int, tuple[str, ...]] = {
    CMCC: (
        *(f"134{digit}" for digit in range(9)),
        "135", "136", "137", "138", "139", "147", "148", "150", "151", "152", "157", "158", "159",
        "172", "178", "182", "183", "184", "187", "188", "195", "197", "198",
    ),
    CTCC: ("133", "149", "153", "173", "177", "180", "181", "189", "190", "191", "193", "199"),
    CUCC: ("130", "131", "132", "145", "146", "155", "156", "166", "175", "176", "185", "186",
           "196"),
    CBN: ("192",),
}  # fmt: skip
MVNO_PREFIXES: dict[int, tuple[str, ...]] = {
    CMCC: ("165", "1703", "1705", "1706"),
    CTCC: ("162", "1700", "1701", "1702"),
    CUCC: ("167", "171", "1704", "1707", "1708", "1709"),
}
_MOBILE_SHARES = (0.52, 0.23, 0.21, 0.04)
_MVNO_SHARES = (0.35, 0.25, 0.40)
# Area codes with the length of their local numbers (china.md section 4.2; lengths: memory).
_AREAS = (
    *((area, 8) for area in ("10", "21", "22", "23", "24", "25", "27", "28", "29", "311", "371",
                             "411", "431", "451", "512", "531", "532", "551", "571", "574", "591",
                             "592", "731", "755", "757", "769", "791", "871", "898")),
    *((area, 7) for area in ("351", "771", "931", "951", "971", "991")),
)  # fmt: skip
_PREFIXES_400 = {"0": CUCC, "6": CUCC, "1": CMCC, "7": CMCC, "8": CTCC, "9": CTCC}
# 950/953/955/956 as five digits and 951/952/957 as six, so that none is the start of another;
# 95110 (coast guard) is never drawn (china.md section 4.3).
_LINES_95 = (
    *(f"{head}{tail:02d}" for head in (953, 955, 956, 950) for tail in range(100)),
    *(f"{head}{tail:03d}" for head in (951, 952, 957) for tail in range(100, 1000)
      if not (head == 951 and 100 <= tail < 110)),
)  # fmt: skip
PUBLIC_LINES = ("12345", "12315", "12329", "12333", "12366", "12348")


@dataclass(frozen=True)
class Numbers:
    """Distinct numbers, index by index: national form (as dialled), kind and home carrier."""

    national: list[str]
    kind: NDArray[np.int8]
    carrier: NDArray[np.int8]

    @property
    def wire(self) -> list[str]:
        """Canonical form: +86 and the number without trunk zero, short numbers as they are."""
        return [
            number if kind in (N95, SHORT) else "+86" + number.removeprefix("0")
            for number, kind in zip(self.national, self.kind.tolist(), strict=True)
        ]


def draw_numbers(
    rng: np.random.Generator, kinds: NDArray[np.int8], blocks: NDArray[np.int64]
) -> Numbers:
    """Draws one distinct number per entry.

    Args:
        rng: source of chance.
        kinds: kind of each number, shape (n,).
        blocks: numbers of one non-negative block id share their first seven digits if they are of
            the same kind (a gang buys its cards together); -1 for none.
    """
    national: list[str] = []
    carriers = np.zeros(len(kinds), np.int8)
    seen: set[str] = set()
    segments: dict[tuple[int, int], tuple[str, int]] = {}
    lines_95 = [_LINES_95[index] for index in rng.permutation(len(_LINES_95))]
    public = list(PUBLIC_LINES)
    mobile_carriers = rng.choice(4, size=len(kinds), p=_MOBILE_SHARES)
    mvno_carriers = rng.choice(3, size=len(kinds), p=_MVNO_SHARES)
    draws = rng.integers(0, 10**9, size=(len(kinds), 2))
    for index, (kind, block) in enumerate(zip(kinds.tolist(), blocks.tolist(), strict=True)):
        first, second = int(draws[index, 0]), int(draws[index, 1])
        while True:
            carrier = int((mvno_carriers if kind == MVNO else mobile_carriers)[index])
            if kind in (MOBILE, MVNO):
                prefixes = (MVNO_PREFIXES if kind == MVNO else MOBILE_PREFIXES)[carrier]
                head = prefixes[first % len(prefixes)]
                segment = head + f"{first // 100 % 10 ** (7 - len(head)):0{7 - len(head)}d}"
                if block >= 0:
                    segment, carrier = segments.setdefault((block, kind), (segment, carrier))
                number = segment + f"{second % 10_000:04d}"
            elif kind == FIXED:
                area, length = _AREAS[first % len(_AREAS)]
                local = 2 * 10 ** (length - 1) + second % (7 * 10 ** (length - 1))
                number, carrier = f"0{area}{local}", first % 3
            elif kind == N400:
                digit = "016789"[first % 6]
                number, carrier = f"400{digit}{second % 10**6:06d}", _PREFIXES_400[digit]
            elif kind == N95:
                number, carrier = lines_95.pop(), first % 3
            else:
                number, carrier = public.pop(0), first % 3
            if number not in seen:
                break
            first, second = (int(draw) for draw in rng.integers(0, 10**9, size=2))
        seen.add(number)
        national.append(number)
        carriers[index] = carrier
    return Numbers(national, kinds, carriers)


def capacity_95() -> int:
    """How many 95 numbers can be drawn."""
    return len(_LINES_95)


_FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")


def written_forms(
    rng: np.random.Generator, national: list[str], kinds: NDArray[np.int8], odd_ratio: float
) -> list[str]:
    """Numbers as a source sends them: most plain, `odd_ratio` of them in some other writing."""
    odd = np.flatnonzero(rng.random(len(national)) < odd_ratio)
    styles = rng.integers(0, 7, len(odd))
    written = list(national)
    for index, style in zip(odd.tolist(), styles.tolist(), strict=True):
        written[index] = _write(national[index], int(kinds[index]), style)
    return written


def _write(number: str, kind: int, style: int) -> str:
    if kind in (N95, SHORT):
        return number.translate(_FULL_WIDTH) if style == 0 else number
    bare = number.removeprefix("0") if kind == FIXED else number
    if kind == FIXED:
        cut = len(bare) - (8 if bare[0] in "12" else len(bare) - 3)
        parts = ("0" + bare[:cut], bare[cut:])
    elif kind == N400:
        parts = (bare[:3], f"{bare[3:6]}-{bare[6:]}")
    else:
        parts = (bare[:3], f"{bare[3:7]}-{bare[7:]}")
    grouped = "-".join(parts)
    match style:
        case 0:
            return number.translate(_FULL_WIDTH)
        case 1 | 2 if kind != N400:
            return ("+86" if style == 1 else "0086") + bare
        case 3:
            return grouped.replace("-", " ")
        case 4 if kind != N400:
            return "+86 " + grouped.removeprefix("0")
        case 5 if kind == FIXED:
            return f"({parts[0]}){parts[1]}"
        case _:
            return grouped
