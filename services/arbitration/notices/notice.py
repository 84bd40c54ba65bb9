"""What is told to whom, how it is signed, and when it is tried again. Pure.

The form is that of Standard Webhooks 1.0 (standardwebhooks.com): headers webhook-id,
webhook-timestamp and webhook-signature, the last "v1," and the base64 of HMAC-SHA256 over
"id.timestamp.body". Receivers have libraries for it in most languages.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from services.arbitration.disputes.words import Kind

MAX_TRIES = 12
FIRST_DELAY_S = 10
MAX_DELAY_S = 6 * 3600
"""Twelve tries with doubling delays take 7 to 12 hours: a receiver's night without staff (ours)."""
GONE = 410
"""HTTP status of a receiver that wants no more."""

DISPUTE_CHANGED, NUMBER_CHANGED = "dispute.changed", "number.changed"

FOR_SOURCES = frozenset(
    {
        Kind.SOURCES_ASKED,
        Kind.REVIEW_OPENED,
        Kind.DECIDED,
        Kind.APPEALED,
        Kind.WITHDRAWN,
        Kind.CLOSED,
    }
)
"""Steps of a dispute over a source's marks that the source is told."""
FOR_APPLICANTS = FOR_SOURCES | {
    Kind.OWNERSHIP_PROVEN,
    Kind.EVIDENCE_REQUESTED,
    Kind.RESUMED,
}
"""Steps of the own dispute that the applicant is told."""


class Party(IntEnum):
    """The wire's NoticeParty."""

    SOURCE = 1
    APPLICANT = 2
    HOLDER = 3


class State(IntEnum):
    """The wire's NoticeState."""

    WAITING = 1
    DELIVERED = 2
    DEAD = 3


@dataclass(frozen=True)
class Target:
    """Where notices go.

    Attributes:
        name: the source, the dispute's id, or the registered holder.
        number: key of the dispute's number, else 0.
        created_ms: nothing from before is told.
    """

    target_id: str
    party: Party
    name: str
    number: int
    url: str
    created_by: str
    created_ms: int


@dataclass(frozen=True)
class Notice:
    """One thing told to one target; place: of it in its log, by which notices are in order."""

    notice_id: str
    target_id: str
    kind: str
    body: str
    place: int
    created_ms: int


@dataclass(frozen=True)
class Attempt:
    """What became of a try; see schema/0021_notices.sql."""

    notice_id: str
    target_id: str
    attempt: int
    tries: int
    state: State
    status: int
    cause: str
    attempted_ms: int
    due_ms: int


def target_id(secret: bytes, party: Party, name: str, url: str) -> str:
    """The id of a target: the same party and address again is the same target."""
    return "WT" + _letters(secret, f"target\0{int(party)}\0{name}\0{url}", 12)


def signing_key(secret: bytes, target: str) -> bytes:
    """Key of a target's signatures, 32 bytes; kept nowhere, for it follows from the target."""
    return hmac.new(secret, f"notice key\0{target}".encode(), hashlib.sha256).digest()


def shown_key(key: bytes) -> str:
    """A key as receivers enter it into a Standard Webhooks library."""
    return f"whsec_{base64.b64encode(key).decode()}"


def signed_headers(key: bytes, notice_id: str, time_s: int, body: bytes) -> dict[str, str]:
    """Headers by which the receiver knows who sent this, and when."""
    message = f"{notice_id}.{time_s}.".encode() + body
    signature = base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()
    return {
        "content-type": "application/json",
        "user-agent": "Zhengming-Notices/1",
        "webhook-id": notice_id,
        "webhook-timestamp": str(time_s),
        "webhook-signature": f"v1,{signature}",
    }


def notice(
    secret: bytes,
    target: Target,
    kind: str,
    place: int,
    occurred_ms: int,
    details: Mapping[str, Any],
) -> Notice:
    """A notice of what stands at a place of a log (seq of an event, version of a number)."""
    subject = f"{details.get('number', '')}"
    named = f"notice\0{target.target_id}\0{kind}\0{place}\0{subject}"
    name = "NT" + _letters(secret, named, 20)
    moment = datetime.fromtimestamp(occurred_ms / 1000, UTC).isoformat(timespec="milliseconds")
    body = {"id": name, "type": kind, "timestamp": moment, "data": details}
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Notice(name, target.target_id, kind, text, place, occurred_ms)


def after_try(
    found: Notice, attempt: int, tries: int, status: int, cause: str, now_ms: int, chance: float
) -> Attempt:
    """What a try made of a notice.

    Args:
        found: the notice.
        attempt, tries: of this try, from 1.
        status: HTTP status, 0 without an answer.
        cause: why there was none, "" with one.
        now_ms: the time.
        chance: random in [0, 1): waits lie between half and the whole of a doubling delay, so
            that receivers that fell together are not called together.
    """
    if 200 <= status < 300 and not cause:
        state, due_ms = State.DELIVERED, 0
    elif status == GONE or tries >= MAX_TRIES:
        state, due_ms = State.DEAD, 0
    else:
        delay_s = min(FIRST_DELAY_S * 2 ** (tries - 1), MAX_DELAY_S) * (0.5 + chance / 2)
        state, due_ms = State.WAITING, now_ms + int(delay_s * 1000)
    told = cause or ("" if state is State.DELIVERED else f"HTTP_{status}")
    return Attempt(
        found.notice_id, found.target_id, attempt, tries, state, status, told, now_ms, due_ms
    )


def _letters(secret: bytes, message: str, count: int) -> str:
    digest = hmac.new(secret, message.encode(errors="replace"), hashlib.sha256).digest()
    return base64.b32encode(digest).decode()[:count]
