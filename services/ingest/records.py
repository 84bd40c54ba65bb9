"""What makes behaviour, lifecycle, registry and refusals valid, and their rows in the store."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.errors import DomainError, InvalidArgument, out_of_range
from services.common.numbering import Cause, invalid, parse, parse_column
from services.common.taxonomy import standard
from services.common.times import NO_TIME_MS
from services.ingest import digest
from services.ingest.marks import (
    I64,
    Columns,
    check_region,
    check_source,
    time_error,
    time_is_valid,
)

DAY_MS = 86_400_000
MAX_HOLDER_CHARS = 200
MAX_CALLEE_CHARS = 128
NO_END_MS = 2**62
"""valid_until_ms of what does not end."""


@dataclass(frozen=True)
class ValidRows:
    """The rows of the valid items, and why the others are not.

    Attributes:
        positions: int64 (m,), places of the rows in the batch, ascending.
        columns: columns of the table but seq, m entries each.
        rejected: (place in the batch, error), ascending.
    """

    positions: I64
    columns: Columns
    rejected: list[tuple[int, DomainError]]


@dataclass(frozen=True)
class Registration:
    """One registration as received; times in epoch milliseconds, 0 where absent."""

    number: str
    holder: str
    identity: str
    purpose: str
    outbound_allowed: int
    valid_from_ms: int
    valid_until_ms: int


def behaviour_rows(
    carrier: str,
    numbers: Sequence[str],
    days: npt.NDArray[np.int32],
    counts: Mapping[str, I64],
    sequential_ratio: npt.NDArray[np.float64],
    now_ms: int,
) -> ValidRows:
    """Check days of behaviour; `counts` has the columns of COUNTS, n entries each.

    Raises:
        InvalidArgument: the carrier is wrong or a column has another length.
    """
    check_source(carrier, "carrier")
    count = len(numbers)
    columns_in: dict[str, npt.NDArray[Any]] = {"days": days, **counts}
    columns_in["sequential_ratio"] = sequential_ratio
    for name, column in columns_in.items():
        if len(column) != count:
            raise InvalidArgument(
                "COLUMN_LENGTH_MISMATCH",
                f"{name} has {len(column)} entries, numbers has {count}",
                field=name,
                length=len(column),
                expected=count,
            )
    faults: dict[int, DomainError] = {}
    parsed = parse_column(list(numbers), "CN")
    for i in np.flatnonzero(parsed.keys == 0).tolist():
        faults[i] = invalid(numbers[i], Cause(parsed.causes[i]))
    wrong_day = ~time_is_valid(days.astype(np.int64) * DAY_MS, now_ms + DAY_MS // 3)
    for i in np.flatnonzero(wrong_day).tolist():
        faults.setdefault(i, time_error("day", int(days[i]) * DAY_MS))
    for name, column in counts.items():
        for i in np.flatnonzero(column < 0).tolist():
            faults.setdefault(i, out_of_range(name, int(column[i]), ">= 0"))
    wrong_ratio = ~((sequential_ratio >= 0) & (sequential_ratio <= 1))
    for i in np.flatnonzero(wrong_ratio).tolist():
        error = out_of_range("sequential_ratio", float(sequential_ratio[i]), "in [0, 1]")
        faults.setdefault(i, error)
    columns: Columns = {
        "number": parsed.keys,
        "day": days,
        "carrier": np.full(count, carrier, dtype=object),
        **counts,
        "sequential_ratio": sequential_ratio,
    }
    return _keep(columns, faults, count)


def lifecycle_rows(
    numbers: Sequence[str],
    kinds: I64,
    occurred_ms: I64,
    carriers: Sequence[str],
    now_ms: int,
) -> ValidRows:
    """Check lifecycle events, n entries each."""
    faults: dict[int, DomainError] = {}
    keys = _keys(numbers, faults)
    for i in range(len(numbers)):
        if not 1 <= kinds[i] <= 3:
            error = out_of_range("kind", int(kinds[i]), "ASSIGNED, RELEASED or PORTED")
            faults.setdefault(i, error)
        if not time_is_valid(occurred_ms[i : i + 1], now_ms)[0]:
            faults.setdefault(i, time_error("occurred_time", int(occurred_ms[i])))
        if carriers[i]:
            _note(faults, i, lambda i=i: check_source(carriers[i], "carrier"))  # type: ignore[misc]
    columns: Columns = {
        "number": keys,
        "occurred_ms": occurred_ms,
        "kind": kinds.astype(np.uint8),
        "carrier": np.array(list(carriers), dtype=object),
    }
    return _keep(columns, faults, len(numbers))


def registry_rows(registrations: Sequence[Registration]) -> ValidRows:
    """Check registrations."""
    faults: dict[int, DomainError] = {}
    std = standard.load()
    identities = {identity.code for identity in std.identities}
    keys, prefixes = [], []
    for i, row in enumerate(registrations):
        key, prefix = 0, ""
        if row.number.endswith("*"):
            prefix = row.number[:-1].strip().removeprefix("+")
            if not (prefix.isascii() and prefix.isdigit() and len(prefix) <= 15):
                faults[i] = out_of_range("number", row.number[:64], "digits before '*'")
        else:
            try:
                key = parse(row.number, "CN").key
            except InvalidArgument as error:
                faults[i] = error
        if not row.holder:
            faults.setdefault(i, _missing("holder"))
        if len(row.holder) > MAX_HOLDER_CHARS:
            error_ = out_of_range("holder", len(row.holder), f"<= {MAX_HOLDER_CHARS} characters")
            faults.setdefault(i, error_)
        if row.identity not in identities:
            faults.setdefault(i, out_of_range("identity", row.identity[:16], "C01 to C09"))
        if row.purpose:
            _note(faults, i, lambda row=row: std.category(row.purpose))  # type: ignore[misc]
        for name, value_ms in (
            ("valid_from_time", row.valid_from_ms),
            ("valid_until_time", row.valid_until_ms),
        ):
            if value_ms == NO_TIME_MS:
                faults.setdefault(i, time_error(name, value_ms))
        if row.valid_until_ms and row.valid_until_ms <= row.valid_from_ms:
            faults.setdefault(i, time_error("valid_until_time", row.valid_until_ms))
        keys.append(key)
        prefixes.append(prefix)
    columns: Columns = {
        "number": np.array(keys, dtype=np.int64),
        "prefix": np.array(prefixes, dtype=object),
        "holder": np.array([r.holder for r in registrations], dtype=object),
        "identity": np.array([r.identity for r in registrations], dtype=object),
        "purpose": np.array([r.purpose for r in registrations], dtype=object),
        "outbound_allowed": np.array([r.outbound_allowed for r in registrations], dtype=np.uint8),
        "valid_from_ms": np.array([r.valid_from_ms for r in registrations], dtype=np.int64),
        "valid_until_ms": np.array(
            [r.valid_until_ms or NO_END_MS for r in registrations], dtype=np.int64
        ),
    }
    return _keep(columns, faults, len(registrations))


def refusal_rows(
    numbers: Sequence[str],
    callees: Sequence[str],
    occurred_ms: I64,
    industries: Sequence[str],
    now_ms: int,
    secret: bytes,
) -> ValidRows:
    """Check refusals, n entries each."""
    faults: dict[int, DomainError] = {}
    keys = _keys(numbers, faults)
    std = standard.load()
    industry_ids = np.zeros(len(numbers), dtype=np.uint16)
    for i in range(len(numbers)):
        if not callees[i]:
            faults.setdefault(i, _missing("callee"))
        if len(callees[i]) > MAX_CALLEE_CHARS:
            error = out_of_range("callee", len(callees[i]), f"<= {MAX_CALLEE_CHARS} characters")
            faults.setdefault(i, error)
        if not time_is_valid(occurred_ms[i : i + 1], now_ms)[0]:
            faults.setdefault(i, time_error("occurred_time", int(occurred_ms[i])))
        if industries[i]:
            try:
                industry_ids[i] = std.category(industries[i]).id
            except InvalidArgument as unknown:
                faults.setdefault(i, unknown)
    columns: Columns = {
        "number": keys,
        "occurred_ms": occurred_ms,
        "callee": digest.person_keys(secret, "callee", callees),
        "industry": industry_ids,
    }
    return _keep(columns, faults, len(numbers))


def _keys(numbers: Sequence[str], faults: dict[int, DomainError], region: str = "CN") -> I64:
    parsed = parse_column(list(numbers), check_region(region))
    for i in np.flatnonzero(parsed.keys == 0).tolist():
        faults[i] = invalid(numbers[i], Cause(parsed.causes[i]))
    return parsed.keys


def _keep(columns: Columns, faults: Mapping[int, DomainError], count: int) -> ValidRows:
    keep = np.ones(count, dtype=bool)
    keep[list(faults)] = False
    positions = np.flatnonzero(keep)
    return ValidRows(
        positions=positions,
        columns={name: column[positions] for name, column in columns.items()},
        rejected=sorted(faults.items(), key=lambda fault: fault[0]),
    )


def _note(faults: dict[int, DomainError], at: int, check: Callable[[], object]) -> None:
    try:
        check()
    except InvalidArgument as error:
        faults.setdefault(at, error)


def _missing(name: str) -> InvalidArgument:
    return InvalidArgument("FIELD_REQUIRED", f"{name} is required", field=name)
