"""What requests on disputes must look like."""

from enum import IntEnum
from typing import TypeVar

from services.arbitration.disputes import steps
from services.arbitration.disputes.dispute import View
from services.arbitration.disputes.words import Applicant, Ground, Outcome, Reason
from services.common.errors import InvalidArgument, out_of_range
from services.common.numbering import Number, parse
from services.common.taxonomy import standard
from services.common.wire import whole
from zhengming.arbitration.v1 import dispute_pb2 as pb

MAX_TEXT = 2_000
MAX_NAME = 100

E = TypeVar("E", bound=IntEnum)


def filing(request: pb.FileDisputeRequest) -> tuple[Number, steps.Filing]:
    """The number and the filing of a request.

    Raises:
        InvalidArgument: NUMBER_INVALID, FIELD_REQUIRED, FIELD_TOO_LONG or FIELD_OUT_OF_RANGE.
    """
    number = parse(request.number, request.region or "CN")
    applicant = choice(Applicant, request.applicant_kind, "applicant_kind")
    return number, steps.Filing(
        applicant=applicant,
        name=text(
            request.applicant_name,
            "applicant_name",
            MAX_NAME,
            required=applicant is Applicant.ENTERPRISE,
        ),
        ground=choice(Ground, request.ground, "ground"),
        statement=text(request.statement, "statement", MAX_TEXT),
        filer=text(request.filer or "public", "filer", MAX_NAME),
        request_id=text(request.request_id, "request_id", 64),
    )


def view(opinion: pb.Opinion, field: str) -> View:
    """The view of an opinion or decision.

    Raises:
        InvalidArgument: CATEGORY_UNKNOWN, or as `filing`.
    """
    category = standard.load().category(opinion.category).id if opinion.category else 0
    return View(
        outcome=choice(Outcome, opinion.outcome, f"{field}.outcome"),
        category=category,
        reason=choice(Reason, opinion.reason, f"{field}.reason"),
        text=text(opinion.text, f"{field}.text", MAX_TEXT),
    )


def choice(kind: type[E], value: int, field: str) -> E:
    """A value of a closed list.

    Raises:
        InvalidArgument: FIELD_REQUIRED for 0, FIELD_OUT_OF_RANGE for what is not in it.
    """
    if not value:
        raise InvalidArgument("FIELD_REQUIRED", f"{field} is required", field=field)
    try:
        return kind(value)
    except ValueError:
        names = ", ".join(member.name for member in kind)
        raise out_of_range(field, value, f"one of {names}") from None


def text(value: str, field: str, maximum: int, *, required: bool = True) -> str:
    """A text of at most so many characters, stripped.

    Raises:
        InvalidArgument: FIELD_REQUIRED or FIELD_TOO_LONG.
    """
    text = value.strip()
    if required and not text:
        raise InvalidArgument("FIELD_REQUIRED", f"{field} is required", field=field)
    if len(text) > maximum:
        raise InvalidArgument(
            "FIELD_TOO_LONG",
            f"{field} has {len(text)} characters, at most {maximum} are allowed",
            field=field,
            length=len(text),
            maximum=maximum,
        )
    return text


def page_token(token: str) -> tuple[int, str]:
    """Rank and id after which a page starts.

    Raises:
        InvalidArgument: PAGE_TOKEN_INVALID.
    """
    if not token:
        return -1, ""
    first, _, last = token.partition(":")
    rank = whole(first)
    if rank is None or not last:
        raise InvalidArgument(
            "PAGE_TOKEN_INVALID", "page_token was not issued here", field="page_token"
        )
    return rank, last
