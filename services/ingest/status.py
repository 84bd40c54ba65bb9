"""What became of marks: whether they count, and what is published of their numbers."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from services.common.numbering import Kind, from_key
from services.common.store import Store
from services.common.taxonomy import crosswalk, standard
from services.common.wire import category_code
from services.ingest import digest, queries
from services.ingest.marks import check_count, check_source
from zhengming.ingest.v1 import ingest_pb2 as pb

MAX_MARKS = 1_000
DISPUTED, ADJUDICATED = 5, 6
"""Values of the wire's ReputationState."""


@dataclass(frozen=True)
class Published:
    """What is published of a number.

    Attributes:
        category: id, 0 none.
        state: the wire's ReputationState.
        update_ms: when it was computed.
    """

    category: int
    state: int
    version: int
    update_ms: int


def standing(mark: dict[str, Any], kind: Kind, epoch_start_ms: int) -> "pb.MarkStanding":
    """Whether a mark counts; `mark` has withdrawn, superseded, suspected and occurred_ms."""
    if mark["withdrawn"]:
        return pb.MARK_STANDING_WITHDRAWN
    if kind is Kind.CN_RELAY:
        return pb.MARK_STANDING_QUARANTINED
    if mark["occurred_ms"] < epoch_start_ms:
        return pb.MARK_STANDING_FORMER_HOLDER
    if mark["superseded"]:
        return pb.MARK_STANDING_SUPERSEDED
    if mark["suspected"]:
        return pb.MARK_STANDING_SUSPECTED
    return pb.MARK_STANDING_COUNTED


def outcome(meant: int, received_ms: int, found: Published | None) -> "pb.MarkOutcome":
    """What is published, against the category that a mark means."""
    if found is None or found.update_ms < received_ms:
        return pb.MARK_OUTCOME_PENDING
    if found.state == DISPUTED:
        return pb.MARK_OUTCOME_DISPUTED
    std = standard.load()
    mine = std.category_of_id(meant)
    same = found.category > 0 and std.category_of_id(found.category).group == mine.group
    if found.state == ADJUDICATED:
        cleared = found.category == 0 and not mine.is_nuisance
        return pb.MARK_OUTCOME_CONFIRMED if same or cleared else pb.MARK_OUTCOME_OVERTURNED
    if found.category == 0:
        return pb.MARK_OUTCOME_NO_LABEL
    return pb.MARK_OUTCOME_SAME_CLASS if same else pb.MARK_OUTCOME_OTHER_CLASS


def mark_statuses(
    store: Store, request: pb.GetMarkStatusRequest, now_ms: int
) -> pb.GetMarkStatusResponse:
    """Answer each mark in its place."""
    check_source(request.source)
    check_count(len(request.mark_ids), MAX_MARKS, "mark_ids")
    none = np.zeros(len(request.mark_ids), dtype=np.bool_)
    keys, checks = digest.mark_keys(request.source, request.mark_ids, none)
    found = {(row["mark_key"], row["mark_check"]): row for row in queries.marks_of(store, keys)}
    numbers = sorted({row["number"] for row in found.values()})
    epochs = queries.epoch_starts(store, numbers, now_ms)
    published = {
        row["number"]: Published(row["category"], row["state"], row["version"], row["update"])
        for row in queries.published(store, numbers)
    }
    suspected = queries.suspected(store, numbers)
    for row in found.values():
        row["suspected"] = row["mark_key"] in suspected
    answer = pb.GetMarkStatusResponse()
    for mark_id, key, check in zip(request.mark_ids, keys.tolist(), checks.tolist(), strict=True):
        status = answer.statuses.add(mark_id=mark_id)
        mark = found.get((key, check))
        if mark is None:
            status.standing = pb.MARK_STANDING_NOT_FOUND
        else:
            number = from_key(mark["number"])
            shown = published.get(mark["number"])
            mapped = crosswalk.load().map_label(request.source, mark["text"]).rows
            meant = max(mapped, key=lambda row: row[1])[0]
            status.number = number.number
            status.standing = standing(mark, number.kind, epochs.get(mark["number"], 0))
            status.outcome = outcome(meant, mark["received_ms"], shown)
            status.occurred_time.FromMilliseconds(mark["occurred_ms"])
            status.receive_time.FromMilliseconds(mark["received_ms"])
            if shown is not None:
                status.published_category = category_code(shown.category)
                status.published_version = shown.version
        status.reply_zh, status.reply_en = reply(status.standing, status.outcome)
    return answer


_STANDING = {
    pb.MARK_STANDING_NOT_FOUND: ("未收到该标记。", "This mark was not received."),
    pb.MARK_STANDING_COUNTED: ("您的标记已计入。", "Your mark counts."),
    pb.MARK_STANDING_QUARANTINED: (
        "该号码为隐私保护中间号，由多人使用，标记已留存但不计入。",
        "The number is a relay that many people share: the mark is kept and does not count.",
    ),
    pb.MARK_STANDING_SUSPECTED: (
        "该标记的作出方式异常（如未见通话、短时集中），已留存待查，暂不计入。",
        "The way this mark was made is unusual (no call seen, many in the same minutes): it is "
        "kept for review and does not count for now.",
    ),
    pb.MARK_STANDING_SUPERSEDED: (
        "您之后再次标记了该号码，以最新一次为准。",
        "You marked the number again later; the newer mark counts.",
    ),
    pb.MARK_STANDING_WITHDRAWN: ("该标记已撤回。", "The mark was taken back."),
    pb.MARK_STANDING_FORMER_HOLDER: (
        "该号码已更换使用人，对前任使用人的标记不再计入。",
        "The number has a new holder; marks about a former one no longer count.",
    ),
}
_OUTCOME = {
    pb.MARK_OUTCOME_PENDING: ("正在处理。", "It is being processed."),
    pb.MARK_OUTCOME_SAME_CLASS: (
        "综合各来源，号码已按同类标签提示。",
        "Together with other sources the number is now labelled in the same class.",
    ),
    pb.MARK_OUTCOME_OTHER_CLASS: (
        "综合各来源，号码目前按其他类别提示。",
        "Together with other sources the number is now labelled in another class.",
    ),
    pb.MARK_OUTCOME_NO_LABEL: (
        "目前证据不足，号码暂不提示标签。",
        "There is too little evidence so far; the number carries no label.",
    ),
    pb.MARK_OUTCOME_CONFIRMED: (
        "经主管机构或人工复核，与您的标记一致。感谢您的举报。",
        "An authority or a review found the same. Thank you for reporting.",
    ),
    pb.MARK_OUTCOME_OVERTURNED: (
        "经主管机构或人工复核，认定与您的标记不同。",
        "An authority or a review found otherwise.",
    ),
    pb.MARK_OUTCOME_DISPUTED: (
        "号码使用人已提出异议，正在核查。",
        "The holder contests the label; it is being checked.",
    ),
}


def reply(standing_: int, outcome_: int) -> tuple[str, str]:
    """A reply that can be passed on to a reporter, Chinese and English."""
    zh, en = _STANDING[standing_]  # type: ignore[index] # enum values are ints on the wire
    if outcome_:
        more_zh, more_en = _OUTCOME[outcome_]  # type: ignore[index]
        return zh + more_zh, f"{en} {more_en}"
    return zh, en
