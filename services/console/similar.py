"""Numbers that call alike, and campaigns, as pages show them to reviewers."""

from dataclasses import dataclass
from typing import Any

import grpc

from services.console import web
from services.console.web import CALL_S, site
from zhengming.features.v1 import features_pb2 as pb
from zhengming.reputation.v1 import reputation_pb2

SHOWN = 8
PAGE = 20
NOT_THERE = ("NO_BEHAVIOUR", "JOB_NOT_RUN")
"""Reasons for which there is nothing to show, and nothing is wrong."""


@dataclass(frozen=True)
class Alike:
    """One number like the one asked about, and what is published of it."""

    number: pb.SimilarNumber
    published: reputation_pb2.Reputation


@dataclass(frozen=True)
class Similar:
    """Numbers like one, nearest first, and the campaign that it is in, if any."""

    numbers: tuple[Alike, ...]
    campaign: pb.Campaign | None


def asking(number: str) -> Any:
    """Ask for the numbers like one; `answered` waits for the answer."""
    request = pb.FindSimilarNumbersRequest(number=number, max_results=SHOWN)
    return site().upstream.features.FindSimilarNumbers.future(request, timeout=CALL_S)


def answered(call: Any, number: str) -> Similar | None:
    """The numbers like one; None if no carrier tells how it calls or no run was made yet."""
    try:
        found = call.result()
    except grpc.RpcError as error:
        if web.translated(error).reason in NOT_THERE:
            return None
        raise
    campaign = None
    if found.campaign_id:
        request = pb.ListCampaignsRequest(number=number)
        listed = site().upstream.features.ListCampaigns(request, timeout=CALL_S).campaigns
        campaign = listed[0] if listed else None
    published = _published([other.number for other in found.numbers])
    return Similar(
        tuple(Alike(other, published[other.number]) for other in found.numbers), campaign
    )


def campaigns(token: str) -> Any:
    """A page of campaigns."""
    request = pb.ListCampaignsRequest(page_size=PAGE, page_token=token)
    return site().upstream.features.ListCampaigns(request, timeout=CALL_S)


def _published(numbers: list[str]) -> dict[str, reputation_pb2.Reputation]:
    if not numbers:
        return {}
    request = reputation_pb2.BatchGetReputationsRequest(numbers=numbers)
    answer = site().upstream.reputation.BatchGetReputations(request, timeout=CALL_S)
    return {n: result.reputation for n, result in zip(numbers, answer.results, strict=True)}
