"""Referrals, feedback and counts as their messages."""

from collections.abc import Iterable, Mapping
from typing import Any

from services.arbitration.referrals.holders import OffendingHolder
from services.arbitration.referrals.referral import OPEN
from services.common.errors import InvalidArgument
from services.common.numbering import from_key
from services.common.taxonomy import standard
from services.common.wire import category_code, whole
from zhengming.arbitration.v1 import referral_pb2 as pb


def english(authority: str) -> str:
    """English name of an authority; its own where a later standard no longer has it."""
    found = standard.load().authorities.get(authority)
    return found.name_en if found else authority


def referral(row: Mapping[str, Any]) -> pb.Referral:
    """A referral with the feedback that holds."""
    in_charge = standard.load().category_of_id(row["category"]).authority
    message = pb.Referral(
        referral_id=row["referral_id"],
        request_id=row["request_id"],
        number=from_key(row["number"]).number,
        epoch=row["epoch"],
        category=category_code(row["category"]),
        authority=row["authority"],
        authority_en=english(row["authority"]),
        other_authorities=[name for name in in_charge if name != row["authority"]],
        level=row["level"],
        adjudicated=bool(row["adjudicated"]),
        probability=row["probability"],
        mark_count=row["mark_count"],
        effective_sources=row["effective_sources"],
        version=row["version"],
    )
    if row["first_mark_ms"] > 0:
        message.first_mark_time.FromMilliseconds(row["first_mark_ms"])
    if row["last_mark_ms"] > 0:
        message.last_mark_time.FromMilliseconds(row["last_mark_ms"])
    message.draw_time.FromMilliseconds(row["drawn_ms"])
    if row["disposition"]:
        message.feedback.CopyFrom(feedback(row))
    return message


def feedback(row: Mapping[str, Any]) -> pb.Feedback:
    """What an authority answered."""
    message = pb.Feedback(
        referral_id=row["referral_id"],
        disposition=row["disposition"],
        text=row["text"],
        recorded_by=row["recorded_by"],
    )
    message.dispose_time.FromMilliseconds(row["disposed_ms"])
    message.record_time.FromMilliseconds(row["recorded_ms"])
    return message


def counts(rows: Iterable[Mapping[str, Any]]) -> list[pb.AuthorityCount]:
    """Counts by authority from counts by authority and disposition, the most first."""
    found: dict[str, pb.AuthorityCount] = {}
    for row in rows:
        name, disposition, count = row["authority"], row["disposition"], row["referrals"]
        message = found.setdefault(
            name, pb.AuthorityCount(authority=name, authority_en=english(name))
        )
        message.referral_count += count
        message.open_count += count * (disposition in OPEN)
        if disposition:
            message.dispositions.add(disposition=disposition, referral_count=count)
    return sorted(found.values(), key=lambda m: (-m.referral_count, m.authority))


def holder(found: OffendingHolder) -> pb.OffendingHolder:
    """An enterprise."""
    return pb.OffendingHolder(
        holder=found.holder,
        offending_count=found.offending_count,
        registered_count=found.registered_count,
        illegal_count=found.by_group[1],
        malicious_count=found.by_group[2],
        marketing_count=found.by_group[3],
        signalled_count=found.by_group[0],
        referred_count=found.referred_count,
    )


def page_token(row: Mapping[str, Any]) -> str:
    """The place after a row."""
    return f"{row['drawn_ms']}:{row['level']}:{row['referral_id']}"


def page_place(token: str) -> tuple[int, int, str] | None:
    """drawn_ms, level and id after which a page starts; None at the start.

    Raises:
        InvalidArgument: PAGE_TOKEN_INVALID.
    """
    if not token:
        return None
    first, _, rest = token.partition(":")
    second, _, last = rest.partition(":")
    drawn, level = whole(first), whole(second)
    if drawn is None or level is None or not last:
        raise InvalidArgument(
            "PAGE_TOKEN_INVALID", "page_token was not issued here", field="page_token"
        )
    return drawn, level, last
