"""A copy in formats that existing call blockers read: PhoneBlock's JSON, a CSV for SpamBlocker.

PhoneBlock: GET /blocklist of its API 1.6 answers {"numbers": [{"phone", "votes", "rating"}],
"version": N}; an entry of 0 votes is to be removed (its openapi file, read 2026-11). SpamBlocker's
workflow "parse CSV" wants a header and knows no quotes: it splits lines at commas (its Csv.kt).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from services.common.errors import InvalidArgument
from services.common.feed.head import read_version
from services.common.feed.rows import Rows
from services.common.numbering import format_keys
from services.common.numbering.keys import CLASS_SHIFT, E164
from services.common.taxonomy import standard
from services.consumer.copy import Copy
from zhengming.reputation.v1 import reputation_pb2 as pb

BLOCKED_LEVEL = 2
BLOCKED_STATES = (
    pb.ReputationState.REPUTATION_STATE_ESTABLISHED,
    pb.ReputationState.REPUTATION_STATE_ADJUDICATED,
)
"""A blocker blocks: what is provisional or contested is no ground for that."""
DECIDED_VOTES = 10
"""Votes of a number that an authority or a review decided upon, at least."""

_GAMBLE = ("A1106", "A1510")
_BY_GROUP = {"A1": "G_FRAUD", "A2": "B_MISSED", "A3": "E_ADVERTISING"}


def blocked(rows: Rows, minimum_level: int = BLOCKED_LEVEL) -> Rows:
    """Rows that a blocker may act upon: international numbers of an unwanted category."""
    unwanted = [c.id for c in standard.load().categories if c.is_nuisance]
    kept = rows["number"] >> CLASS_SHIFT == E164
    kept &= np.isin(rows["state"], BLOCKED_STATES) & (rows["level"] >= minimum_level)
    return np.asarray(rows[kept & np.isin(rows["category"], unwanted)])


def phoneblock(copy: Copy, before: Path | None, minimum_level: int = BLOCKED_LEVEL) -> str:
    """The whole blocklist, or what changed since a former one, as JSON.

    Args:
        copy: a verified copy.
        before: a file with a whole list, written by this function.
        minimum_level: of the numbers in it.

    Raises:
        InvalidArgument: FILE_UNREADABLE for `before`.
    """
    rows = blocked(copy.rows, minimum_level)
    listed = dict(zip(format_keys(rows["number"]), rows, strict=True))
    entries = {phone: _entry(phone, row) for phone, row in listed.items()}
    if before is not None:
        known = _read(before)
        gone = [{**entry, "votes": 0} for phone, entry in known.items() if phone not in entries]
        entries = {p: e for p, e in entries.items() if known.get(p) != e}
        entries |= {entry["phone"]: entry for entry in gone}
    version = read_version(copy.head.version, copy.head.filter) or 0
    return json.dumps({"numbers": list(entries.values()), "version": version}, indent=1) + "\n"


def spamblocker(copy: Copy, minimum_level: int = BLOCKED_LEVEL) -> str:
    """Lines of pattern,description; the description holds no comma."""
    rows = blocked(copy.rows, minimum_level)
    names = {c.id: c.name_zh.replace(",", "，") for c in standard.load().categories}
    lines = [
        f"{phone},{names[category]}"
        for phone, category in zip(
            format_keys(rows["number"]), rows["category"].tolist(), strict=True
        )
    ]
    return "\n".join(["pattern,description", *lines]) + "\n"


def _entry(phone: str, row: np.void) -> dict[str, Any]:
    category = standard.load().category_of_id(int(row["category"]))
    decided = row["state"] == pb.ReputationState.REPUTATION_STATE_ADJUDICATED
    return {
        "phone": phone,
        "votes": max(int(row["marks"]), DECIDED_VOTES if decided else 1),
        "rating": "F_GAMBLE" if category.code in _GAMBLE else _BY_GROUP[category.group],
    }


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(path.read_text())["numbers"]
        return {entry["phone"]: entry for entry in found if entry["votes"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidArgument(
            "FILE_UNREADABLE", f"{path} is no blocklist: {error}", file=path, cause=error
        ) from None
