"""FindSimilarNumbers and ListCampaigns; a part of FeaturesService."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidArgument, out_of_range
from services.common.numbering import parse
from services.common.numbering.keys import wire
from services.common.store import Store
from services.common.wire import page_limit, whole
from services.features.similar import queries
from services.features.similar import wire as messages
from services.features.similar.campaigns import blocks_of
from services.features.similar.neighbours import Neighbours
from zhengming.features.v1 import features_pb2 as pb

MAX_RESULTS, DEFAULT_RESULTS = 100, 10
MAX_PAGE, DEFAULT_PAGE = 100, 20

Row = Callable[[int], npt.NDArray[np.float32]]
"""The features of a number now, (features,)."""


def find_similar(
    store: Store, neighbours: Neighbours, request: pb.FindSimilarNumbersRequest, row: Row
) -> pb.FindSimilarNumbersResponse:
    """Search, and say what the found ones share with the number.

    Raises:
        InvalidArgument: NUMBER_INVALID, FIELD_OUT_OF_RANGE.
        NotFound: NO_BEHAVIOUR.
        FailedPrecondition: JOB_NOT_RUN.
    """
    if not 0 <= request.max_results <= MAX_RESULTS:
        raise out_of_range("max_results", request.max_results, f"from 1 to {MAX_RESULTS}")
    number = parse(request.number, "CN").key
    count = request.max_results or DEFAULT_RESULTS
    found = neighbours.search(number, row(number), count)
    index = found.index
    campaigns = queries.campaigns_of(store, index.run, np.append(found.numbers, number))

    def campaign(key: int) -> str:
        return messages.campaign_id(index.run, campaigns[key]) if key in campaigns else ""

    answer = pb.FindSimilarNumbersResponse(indexed_count=len(index), campaign_id=campaign(number))
    answer.as_of_time.FromMilliseconds(index.as_of_ms)
    blocks = blocks_of(np.append(found.numbers, number))
    columns = (
        found.numbers.tolist(),
        found.distances.tolist(),
        (blocks[:-1] == blocks[-1]).tolist(),
    )
    for key, distance, same, point in zip(*columns, found.points, strict=True):
        answer.numbers.add(
            number=wire(key),
            distance=distance,
            shared_traits=messages.shared_traits(index.scale, found.point, point),
            same_block=same,
            campaign_id=campaign(key),
        )
    return answer


def list_campaigns(
    store: Store, neighbours: Neighbours, request: pb.ListCampaignsRequest
) -> pb.ListCampaignsResponse:
    """A page of campaigns of the newest run.

    Raises:
        InvalidArgument: NUMBER_INVALID, PAGE_TOKEN_INVALID.
    """
    number = parse(request.number, "CN").key if request.number else 0
    newest = queries.newest_run(store)
    if newest is None:
        return pb.ListCampaignsResponse()
    run, as_of_ms = newest
    after = _after(request.page_token, run)
    limit = page_limit(request.page_size, DEFAULT_PAGE, MAX_PAGE)
    total = queries.campaign_count(store, run)
    if number:
        of = queries.campaigns_of(store, run, np.array([number])).get(number)
        after, limit, total = ((of or 1) - 1, 1, 1) if of else (0, 0, 0)
    table = queries.campaign_page(store, run, after, limit)
    index = neighbours.current()
    answer = pb.ListCampaignsResponse(
        campaigns=messages.campaigns(run, as_of_ms, table, index),
        next_page_token=f"{run}-{after + limit}" if not number and after + limit < total else "",
        total_count=total,
    )
    answer.as_of_time.FromMilliseconds(as_of_ms)
    return answer


def _after(token: str, run: int) -> int:
    """The campaign after which a page starts."""
    if not token:
        return 0
    of_run, _, text = token.partition("-")
    after = whole(text)
    if of_run != str(run) or after is None:
        raise InvalidArgument(
            "PAGE_TOKEN_INVALID",
            "page_token was not issued here, or campaigns have been found anew since",
            field="page_token",
        )
    return after
