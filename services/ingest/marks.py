"""What makes a mark valid, and its row in the store."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.errors import DomainError, InvalidArgument, out_of_range
from services.common.numbering import Cause, invalid, parse_column
from services.ingest import digest

EARLIEST_MS = 946_684_800_000
"""2000-01-01: nobody marked calls before."""

CLOCK_SKEW_MS = 5 * 60_000
"""How far a source's clock may be ahead of ours."""

MAX_MARK_ID_CHARS = 128
MAX_REPORTER_CHARS = 128
MAX_LABEL_CHARS = 200
MAX_ORIGIN_CHARS = 16
KINDS = 6
"""Values of the wire's MarkKind, 0 to 5."""

_SOURCE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_REGION = re.compile(r"[A-Z]{2}")

I64 = npt.NDArray[np.int64]
Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class ReceivedMarks:
    """Marks of one source as received, column by column, n entries each.

    Attributes:
        source: name of the source.
        region: country of numbers without country code, ISO 3166-1 alpha-2.
        mark_ids: ids, unique within the source.
        numbers: numbers as received.
        labels: the distinct labels.
        label_indexes: int64 (n,), places in `labels`.
        occurred_ms: int64 (n,), epoch milliseconds UTC.
        reporters: names, "" unknown; None: all unknown.
        call_ms: int64 (n,), 0 unknown.
        kinds: int64 (n,), the wire's MarkKind.
        withdrawn: bool (n,).
        origins: area codes, "" unknown; None: all unknown.
    """

    source: str
    region: str
    mark_ids: Sequence[str]
    numbers: Sequence[str]
    labels: Sequence[str]
    label_indexes: I64
    occurred_ms: I64
    reporters: Sequence[str] | None
    call_ms: I64
    kinds: I64
    withdrawn: npt.NDArray[np.bool_]
    origins: Sequence[str] | None


@dataclass(frozen=True)
class ValidMarks:
    """The rows of the valid marks and why the others are not.

    Attributes:
        positions: int64 (m,), places of the rows in the batch, ascending.
        columns: the columns of table `marks` but seq and received_ms, m entries each.
        labels: (label key, label) of every label that occurs.
        rejected: (place in the batch, error), ascending.
    """

    positions: I64
    columns: Columns
    labels: list[tuple[int, str]] = field(default_factory=list)
    rejected: list[tuple[int, DomainError]] = field(default_factory=list)


def check_source(name: str, what: str = "source") -> None:
    """Accept the name of a source or carrier.

    Raises:
        InvalidArgument: FIELD_REQUIRED if empty, FIELD_OUT_OF_RANGE if not of the allowed form.
    """
    if not name:
        raise InvalidArgument("FIELD_REQUIRED", f"{what} is required", field=what)
    if not _SOURCE.fullmatch(name):
        raise out_of_range(what, repr(name[:80]), "1 to 64 letters, digits, '-', '_' or '.'")


def check_region(region: str) -> str:
    """Return the region, "CN" for the empty one.

    Raises:
        InvalidArgument: FIELD_OUT_OF_RANGE if it is not two capital letters.
    """
    if region and not _REGION.fullmatch(region):
        raise out_of_range("region", repr(region[:16]), "two capital letters (ISO 3166-1)")
    return region or "CN"


def check_count(count: int, maximum: int, what: str) -> None:
    """Accept a batch of 1 to `maximum` items.

    Raises:
        InvalidArgument: BATCH_SIZE_INVALID.
    """
    if not 1 <= count <= maximum:
        raise InvalidArgument(
            "BATCH_SIZE_INVALID",
            f"{what} must have 1 to {maximum} items, not {count}",
            field=what,
            count=count,
            maximum=maximum,
        )


def origin_codes(origins: Sequence[str] | None, count: int) -> npt.NDArray[np.uint32]:
    """Area codes as integers, uint32 (n,): the digits, or with the top bit a digest of the text."""
    if origins is None:
        return np.zeros(count, dtype=np.uint32)
    codes = {"": 0}
    for origin in set(origins) - codes.keys():
        codes[origin] = (
            int(origin)
            if origin.isascii() and origin.isdigit() and len(origin) <= 9
            else digest.source_key(origin) & 0x7FFFFFFF | 0x80000000
        )
    return np.fromiter((codes[o] for o in origins), dtype=np.uint32, count=count)


def time_is_valid(times_ms: I64, now_ms: int) -> npt.NDArray[np.bool_]:
    """Whether each time is neither before 2000 nor ahead of now by more than the clock skew."""
    return (times_ms >= EARLIEST_MS) & (times_ms <= now_ms + CLOCK_SKEW_MS)


def time_error(name: str, value_ms: int) -> InvalidArgument:
    """Name a time that is not valid."""
    return InvalidArgument(
        "TIME_INVALID",
        f"{name} must lie between 2000 and now, not at {value_ms} ms since 1970",
        field=name,
        value=value_ms,
    )


def validate(marks: ReceivedMarks, now_ms: int, secret: bytes) -> ValidMarks:
    """Check every mark; the first fault of a mark is the one that is named.

    Raises:
        InvalidArgument: the source or region is wrong, or a column has another length.
    """
    check_source(marks.source)
    region = check_region(marks.region)
    count = len(marks.numbers)
    for name in ("mark_ids", "label_indexes", "occurred_ms", "call_ms", "kinds", "withdrawn"):
        _check_length(name, len(getattr(marks, name)), count)
    for name in ("reporters", "origins"):
        if getattr(marks, name) is not None:
            _check_length(name, len(getattr(marks, name)), count)

    faults: dict[int, DomainError] = {}

    def note(wrong: npt.NDArray[np.bool_], error: Callable[[Any], DomainError]) -> None:
        for i in np.flatnonzero(wrong).tolist():
            if i not in faults:
                faults[i] = error(i)

    lengths = _lengths(marks.mark_ids)
    note(lengths == 0, lambda i: _required("mark_id"))
    note(lengths > MAX_MARK_ID_CHARS, lambda i: _long("mark_id", lengths[i], MAX_MARK_ID_CHARS))
    parsed = parse_column(marks.numbers, region)
    note(parsed.keys == 0, lambda i: invalid(marks.numbers[i], Cause(parsed.causes[i])))
    note(
        (marks.label_indexes < 0) | (marks.label_indexes >= len(marks.labels)),
        lambda i: out_of_range(
            "label_index", marks.label_indexes[i], f"0 to {len(marks.labels) - 1}"
        ),
    )
    label_lengths = np.append(_lengths(marks.labels), 0)
    at = np.where(marks.label_indexes < len(marks.labels), marks.label_indexes, -1)
    note(
        label_lengths[at] > MAX_LABEL_CHARS,
        lambda i: _long("label", label_lengths[at[i]], MAX_LABEL_CHARS),
    )
    note(
        ~time_is_valid(marks.occurred_ms, now_ms),
        lambda i: time_error("occurred_time", marks.occurred_ms[i]),
    )
    note(
        ~time_is_valid(marks.call_ms, now_ms) & (marks.call_ms != 0),
        lambda i: time_error("call_time", marks.call_ms[i]),
    )
    note(
        (marks.kinds < 0) | (marks.kinds >= KINDS),
        lambda i: out_of_range("kind", marks.kinds[i], "a value of MarkKind"),
    )
    if marks.reporters is not None:
        reporter_lengths = _lengths(marks.reporters)
        note(
            reporter_lengths > MAX_REPORTER_CHARS,
            lambda i: _long("reporter", reporter_lengths[i], MAX_REPORTER_CHARS),
        )
    if marks.origins is not None:
        origin_lengths = _lengths(marks.origins)
        note(
            origin_lengths > MAX_ORIGIN_CHARS,
            lambda i: _long("origin", origin_lengths[i], MAX_ORIGIN_CHARS),
        )

    keep = np.ones(count, dtype=bool)
    keep[list(faults)] = False
    positions = np.flatnonzero(keep)
    columns, used = _rows(marks, parsed.keys, secret)
    return ValidMarks(
        positions=positions,
        columns={name: column[positions] for name, column in columns.items()},
        labels=used,
        rejected=sorted(faults.items(), key=lambda fault: fault[0]),
    )


def _rows(
    marks: ReceivedMarks, numbers: I64, secret: bytes
) -> tuple[Columns, list[tuple[int, str]]]:
    count = len(numbers)
    labels = [digest.label_key(marks.source, label) for label in marks.labels]
    label_keys = np.array([*labels, 0], dtype=np.uint64)
    at = np.where(
        (marks.label_indexes >= 0) & (marks.label_indexes < len(labels)), marks.label_indexes, -1
    )
    mark_key, mark_check = digest.mark_keys(marks.source, marks.mark_ids, marks.withdrawn)
    reporter = (
        np.zeros(count, dtype=np.uint64)
        if marks.reporters is None
        else digest.person_keys(secret, marks.source, marks.reporters)
    )
    columns: Columns = {
        "number": numbers,
        "occurred_ms": marks.occurred_ms,
        "source": np.full(count, digest.source_key(marks.source), dtype=np.uint64),
        "label": label_keys[at],
        "reporter": reporter,
        "origin": origin_codes(marks.origins, count),
        "kind": marks.kinds.astype(np.uint8),
        "withdrawn": marks.withdrawn.astype(np.uint8),
        "call_ms": marks.call_ms,
        "mark_key": mark_key,
        "mark_check": mark_check,
    }
    return columns, list(zip(labels, marks.labels, strict=True))


def _lengths(texts: Sequence[str]) -> I64:
    return np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))


def _check_length(name: str, length: int, expected: int) -> None:
    if length != expected:
        raise InvalidArgument(
            "COLUMN_LENGTH_MISMATCH",
            f"{name} has {length} entries, numbers has {expected}",
            field=name,
            length=length,
            expected=expected,
        )


def _required(name: str) -> InvalidArgument:
    return InvalidArgument("FIELD_REQUIRED", f"{name} is required", field=name)


def _long(name: str, length: int, maximum: int) -> InvalidArgument:
    return InvalidArgument(
        "FIELD_TOO_LONG",
        f"{name} has {length} characters, at most {maximum} are allowed",
        field=name,
        length=length,
        maximum=maximum,
    )
