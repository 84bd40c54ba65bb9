"""Neighbours and campaigns as messages."""

from collections import Counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.common.numbering.keys import wire
from services.common.wire import category_code
from services.features.queries import DAY_MS
from services.features.similar import embedding, queries
from services.features.similar.index import NeighbourIndex
from zhengming.features.v1 import features_pb2 as pb

F32 = npt.NDArray[np.float32]
SHOWN_NUMBERS = 50
SHOWN_CATEGORIES = 3
SHOWN_BLOCKS = 5
BLOCK_DIGITS = 4


def campaign_id(run: int, campaign: int) -> str:
    """Name of a campaign: runs number theirs anew."""
    return f"{run}-{campaign}"


def shared_traits(scale: embedding.Scale, first: F32, second: F32) -> list[pb.SharedTrait]:
    """What two points share, with the traits' values."""
    values = np.expm1(np.stack([first, second]) * scale.deviation + scale.mean)
    return [
        pb.SharedTrait(
            feature=embedding.TRAITS[i],
            value=values[0, i],
            other_value=values[1, i],
            deviation=deviation,
        )
        for i, deviation in embedding.shared(first, second)
    ]


def campaigns(run: int, as_of_ms: int, table: pa.Table, index: NeighbourIndex) -> list[pb.Campaign]:
    """Campaigns of a page of members, in the table's order."""
    today = (as_of_ms + queries.CHINA_MS) // DAY_MS
    members: dict[int, list[dict[str, int]]] = {}
    for row in table.to_pylist():
        members.setdefault(row["campaign"], []).append(row)
    return [_campaign(run, campaign, rows, today, index) for campaign, rows in members.items()]


def _campaign(
    run: int,
    campaign: int,
    rows: list[dict[str, int]],
    today: int,
    index: NeighbourIndex,
) -> pb.Campaign:
    said = Counter(category_code(row["category"]) for row in rows if row["category"])
    written = [wire(row["number"]) for row in rows]
    blocks = Counter(text[:-BLOCK_DIGITS] for text in written if text.startswith("+"))
    days = int(np.bitwise_or.reduce([row["days"] for row in rows]))
    answer = pb.Campaign(
        campaign_id=campaign_id(run, campaign),
        number_count=len(rows),
        numbers=written[:SHOWN_NUMBERS],
        mark_count=sum(row["hostile"] for row in rows),
        categories=[code for code, _ in said.most_common(SHOWN_CATEGORIES)],
        blocks=[block for block, times in blocks.most_common(SHOWN_BLOCKS) if times > 1],
    )
    # Bit i: i + 1 days before; days begin at 16:00 UTC of the day before.
    for time, back in (
        (answer.first_active_time, days.bit_length()),
        (answer.last_active_time, (days & -days).bit_length()),
    ):
        time.FromMilliseconds((today - back) * DAY_MS - queries.CHINA_MS)
    points = index.points_there(np.array([row["number"] for row in rows], dtype=np.int64))
    if len(points):
        mean = points.mean(axis=0)
        scale = index.scale
        values = np.expm1(mean * scale.deviation + scale.mean)
        usual = np.expm1(scale.mean)
        answer.traits.extend(
            pb.SharedTrait(
                feature=embedding.TRAITS[i],
                value=values[i],
                other_value=usual[i],
                deviation=deviation,
            )
            for i, deviation in embedding.shared(mean, mean)
        )
    return answer
