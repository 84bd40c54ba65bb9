"""Referrals and enterprises as rows of a CSV file, for authorities and for the command line."""

import csv
import io
from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp

from services.common.taxonomy import standard
from zhengming.arbitration.v1 import referral_pb2 as pb

REFERRALS = (
    "referral_id", "authority", "number", "category", "category_name", "level", "adjudicated",
    "probability", "mark_count", "effective_sources", "first_mark_time", "last_mark_time",
    "draw_time", "disposition", "dispose_time", "text",
)  # fmt: skip
HOLDERS = (
    "holder", "offending_count", "registered_count", "illegal_count", "malicious_count",
    "marketing_count", "signalled_count", "referred_count",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def referral_row(found: pb.Referral) -> tuple[object, ...]:
    """A referral in the order of REFERRALS."""
    answer = found.feedback
    return (
        found.referral_id,
        found.authority,
        found.number,
        found.category,
        standard.load().category(found.category).name_zh,
        found.level,
        int(found.adjudicated),
        f"{found.probability:.3f}",
        found.mark_count,
        f"{found.effective_sources:.1f}",
        _time(found, "first_mark_time"),
        _time(found, "last_mark_time"),
        _time(found, "draw_time"),
        disposition_name(answer.disposition) if found.HasField("feedback") else "",
        _time(answer, "dispose_time"),
        plain(answer.text),
    )


def holder_row(found: pb.OffendingHolder) -> tuple[object, ...]:
    """An enterprise in the order of HOLDERS."""
    return (plain(found.holder), *(getattr(found, name) for name in HOLDERS[1:]))


def disposition_name(value: int) -> str:
    """PENALISED for DISPOSITION_PENALISED."""
    return pb.Disposition.Name(value).removeprefix("DISPOSITION_")


def plain(text: str) -> str:
    """A text that a spreadsheet does not take for a formula (OWASP, CSV injection)."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def csv_text(columns: Iterable[str], rows: Iterable[tuple[object, ...]]) -> str:
    """A CSV file; begins with a byte order mark, without which spreadsheets misread Chinese."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return "\ufeff" + file.getvalue()


def _time(message: pb.Referral | pb.Feedback, field: str) -> str:
    if not message.HasField(field):
        return ""
    moment: Timestamp = getattr(message, field)
    return moment.ToJsonString()
