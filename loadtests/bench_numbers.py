"""How fast numbers are normalised, and where and why we differ from `phonenumbers`.

    python -m loadtests.bench_numbers [--peer-sample N]

Reads cn_mobile_segments, cn_service_numbers and the two FTC sets from $ZHENGMING_DATA (default
../shared/data). One thread does the work; both sides run in the same process, one after the other.
"""

import argparse
import csv
import gzip
import io
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import phonenumbers
import pyarrow as pa

from services.cli.normalise import normalise_stream
from services.common.errors import InvalidArgument
from services.common.numbering import Cause, Kind, facts, parse, parse_column
from services.common.numbering.parser import resolve
from services.common.numbering.plan import load_plan

DATA = Path(os.environ.get("ZHENGMING_DATA", Path(__file__).parents[2] / "shared" / "data"))
# The acceptance check's own idea of a valid number in the FTC column.
FTC_VALID = re.compile(r"[2-9]\d\d[2-9]\d{6}", re.ASCII)
RIGHT_KINDS = {
    "intl": {Kind.FOREIGN, Kind.NANP, Kind.CN_FIXED, Kind.CN_MOBILE},
    "fixed": {Kind.CN_FIXED, Kind.CN_SHORT_95, Kind.CN_SHORT_96},
    "carrier_short": {Kind.CN_SHORT_10},
    "106_sms": {Kind.CN_SMS},
    "emergency_or_gov_short": {Kind.CN_SHORT_11, Kind.CN_SHORT_12},
    "400": {Kind.CN_400},
    "800": {Kind.CN_800},
    "95_short": {Kind.CN_SHORT_95},
    "96_short": {Kind.CN_SHORT_96},
    "other": {Kind.CN_SHORT_95, Kind.CN_SHORT_10, Kind.CN_SHORT_12},
}
# Numbers of another country's plan, written without its code: nothing here names the country.
NOT_OF_CHINA = {"6502530000", "6700"}


def columns_of(pattern: str, column: str) -> list[str]:
    values = []
    for path in sorted(DATA.glob(pattern)):
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8") as lines:
            values += [row[column] for row in csv.DictReader(lines)]
    if not values:
        raise SystemExit(f"nothing at {DATA / pattern}: set ZHENGMING_DATA to the data's folder")
    return values


def timed(action: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    action()
    return time.perf_counter() - started_s


def by_phonenumbers(raw: str, region: str) -> str:
    try:
        number = phonenumbers.parse(raw, region)
    except phonenumbers.NumberParseException:
        return "error"
    if not phonenumbers.is_possible_number(number):
        return "impossible"
    if not phonenumbers.is_valid_number(number):
        return "invalid"
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def measure(name: str, raws: list[str], region: str, sample_count: int) -> None:
    arrow = pa.array(raws, pa.large_string())
    stream = io.BytesIO("\n".join(raws).encode("utf-8"))
    column_s = timed(lambda: parse_column(arrow, region))
    stream_s = timed(lambda: normalise_stream(stream, io.BytesIO(), region))
    sample = raws[:: max(1, len(raws) // sample_count)]
    one_s = timed(lambda: [resolve(load_plan(), raw, region) for raw in sample])
    peer_s = timed(lambda: [by_phonenumbers(raw, region) for raw in sample])
    print(f"{name}: {len(raws):,} distinct numbers, region {region}")
    print(f"  parse_column            {len(raws) / column_s:>12,.0f} numbers/s")
    print(f"  normalise (JSON lines)  {len(raws) / stream_s:>12,.0f} numbers/s")
    print(f"  one by one, ours        {len(sample) / one_s:>12,.0f} numbers/s")
    print(f"  one by one, peer        {len(sample) / peer_s:>12,.0f} numbers/s (phonenumbers)")


def count_unequal(raws: Sequence[str], region: str) -> int:
    """Lines where the column and the single parse disagree in key or cause."""
    parsed = parse_column(raws, region)
    plan = load_plan()
    one = np.array([resolve(plan, raw, region)[0] for raw in raws], dtype=np.int64)
    many = np.where(parsed.keys > 0, parsed.keys, -parsed.causes.astype(np.int64))
    return int(np.count_nonzero(one != many))


def segment_numbers() -> list[str]:
    """One number in each segment of the list, its last four digits drawn with a fixed seed."""
    prefixes = columns_of("cn_mobile_segments/segments.csv.gz", "prefix7")
    lasts = np.random.default_rng(20231201).integers(0, 10_000, len(prefixes))
    return [f"{prefix}{last:04d}" for prefix, last in zip(prefixes, lasts, strict=True)]


def why_mobile(raw: str) -> str:
    if not facts(parse(raw)).is_allocated:
        return "no row in the MIIT table, but in the segment list"
    if parse(raw).kind == Kind.CN_SATELLITE:
        return "MIIT: satellite code"
    return "MIIT: allocated code"


def print_table(title: str, rows: Iterable[tuple[object, ...]]) -> None:
    print(f"\n{title}")
    for row in rows:
        print("  | " + " | ".join(str(cell) for cell in row) + " |")


def compare_segments(raws: list[str]) -> None:
    parsed = parse_column(raws)
    wrong = sum(key == 0 for key in parsed.keys.tolist())
    print(f"\ncn_mobile_segments: {len(raws):,} segments, {wrong} of them no number to us")
    differ: Counter[tuple[str, str, str]] = Counter()
    for raw, key in zip(raws, parsed.keys.tolist(), strict=True):
        theirs = by_phonenumbers(raw, "CN")
        if not key or theirs != f"+86{raw}":
            theirs = "valid" if theirs.startswith("+") else theirs
            differ[(raw[:3], why_mobile(raw) if key else "we refuse", theirs)] += 1
    print_table(
        "prefix | ours | phonenumbers | segments",
        ((*row, count) for row, count in sorted(differ.items())),
    )
    print(f"  differing: {sum(differ.values()):,}")


def compare_services() -> None:
    numbers = columns_of("cn_service_numbers/service_numbers.csv", "number")
    types = columns_of("cn_service_numbers/service_numbers.csv", "number_type")
    wrong = []
    differ: Counter[tuple[str, str, str]] = Counter()
    examples: dict[tuple[str, str, str], str] = {}
    for raw, number_type in zip(numbers, types, strict=True):
        try:
            number = parse(raw)
            ours, kind = number.number, number.kind
        except InvalidArgument as error:
            ours, kind = error.metadata["cause"], Kind.UNKNOWN
        if kind not in RIGHT_KINDS[number_type] and raw not in NOT_OF_CHINA:
            wrong.append((raw, number_type, kind.name))
        theirs = by_phonenumbers(raw, "CN")
        if theirs != ours:
            named = "+86 before a short number" if theirs.startswith("+") else theirs
            row = (number_type, kind.name, named)
            differ[row] += 1
            examples.setdefault(row, f"{raw}: {ours} / {theirs}")
    print(f"\ncn_service_numbers: {len(numbers)} numbers, of the wrong kind: {wrong or 'none'}")
    print_table(
        "list's type | our kind | phonenumbers | count | example (ours / theirs)",
        ((*row, count, examples[row]) for row, count in sorted(differ.items())),
    )


def check_ftc(raws: list[str]) -> None:
    parsed = parse_column(raws, "US")
    missed = extra = 0
    for raw, key in zip(raws, parsed.keys.tolist(), strict=True):
        digits = re.sub(r"\D", "", raw)
        national = digits[1:] if len(digits) == 11 and digits[0] == "1" else digits
        valid = bool(FTC_VALID.fullmatch(national))
        missed += valid and key != (1 << 60) + int("1" + national)
        extra += bool(key) and not valid
    causes = Counter(Cause(cause).name for cause in parsed.causes[parsed.keys == 0].tolist())
    print(f"\nFTC column: {missed} valid numbers missed, {extra} more accepted; refused: {causes}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--peer-sample", type=int, default=20_000)
    sample_count = options.parse_args().peer_sample
    pa.set_cpu_count(1)
    segments = segment_numbers()
    ftc = list(dict.fromkeys(columns_of("ftc_dnc*/complaints*.csv.gz", "company_phone_number")))
    services = columns_of("cn_service_numbers/service_numbers.csv", "number")
    parse("13800138000")
    measure("CN mobile", segments, "CN", sample_count)
    measure("FTC column", ftc, "US", sample_count)
    for name, raws, region in (
        ("CN mobile", segments, "CN"),
        ("FTC column", ftc, "US"),
        ("service numbers", services, "CN"),
    ):
        print(f"fast and slow path differ on {name}: {count_unequal(raws, region)} lines")
    check_ftc(ftc)
    compare_services()
    compare_segments(segments)


if __name__ == "__main__":
    main()
