"""zhengming.arbitration.v1.LedgerService: the weekly sample, its review, what follows from it."""

import threading
from typing import Any

import grpc
import numpy as np

from services.arbitration.ledger import queries, sampling
from services.common.clock import Clock
from services.common.errors import InvalidArgument, NotFound, out_of_range
from services.common.intervals import upper_bound
from services.common.numbering import from_key, parse
from services.common.store import Store
from services.common.taxonomy import standard
from services.common.times import checked_ms
from services.common.wire import category_code
from zhengming.arbitration.v1 import dispute_pb2
from zhengming.arbitration.v1 import ledger_pb2 as pb
from zhengming.arbitration.v1 import ledger_pb2_grpc as pb_grpc

WEEK_MS = 7 * 86_400_000
DEFAULT_SIZE, LEAST_SIZE, MOST_SIZE = 200, 10, 5_000
DEFAULT_WEEKS, MOST_WEEKS = 13, 104
CLEARED, UNSURE = "CLEARED", "UNSURE"


class LedgerServicer(pb_grpc.LedgerServiceServicer):
    """Draws, keeps reviews, measures."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._drawing = threading.Lock()

    def DrawSample(self, request: pb.DrawSampleRequest, context: grpc.ServicerContext) -> pb.Sample:
        """Draw this week's sample once."""
        size = request.size or DEFAULT_SIZE
        _check_range("size", size, LEAST_SIZE, MOST_SIZE)
        week = sampling.week_ms(self._clock())
        with self._drawing:
            drawn = queries.samples(self._store, week, week + 1)
            if not drawn:
                labels = queries.labels(self._store)
                category = labels["shown"].to_numpy().astype(np.int64)
                # A secret seed would be better guarded, a known one can be checked by anybody.
                rows, weight = sampling.draw(category, size, seed=week)
                columns = {
                    "number": labels["number"].to_numpy()[rows],
                    "category": category[rows].astype(np.uint16),
                    "probability": labels["sure"].to_numpy()[rows].astype(np.float32),
                    "weight": weight,
                }
                if len(rows):
                    queries.insert_sample(self._store, week, len(category), columns)
                drawn = queries.samples(self._store, week, week + 1)
        return _to_wire(week, drawn)

    def GetSample(self, request: pb.GetSampleRequest, context: grpc.ServicerContext) -> pb.Sample:
        """List a week's sample."""
        week = sampling.week_ms(_time_ms(request, self._clock))
        return _to_wire(week, self._sample(week))

    def ReviewSample(
        self, request: pb.ReviewSampleRequest, context: grpc.ServicerContext
    ) -> pb.SampledLabel:
        """Keep a review."""
        for field in ("verdict", "reviewer"):
            if not getattr(request, field).strip():
                raise InvalidArgument("FIELD_REQUIRED", f"{field} is required", field=field)
        if request.verdict not in (CLEARED, UNSURE):
            standard.load().category(request.verdict)
        number = parse(request.number, "CN")
        week = sampling.week_ms(_time_ms(request, self._clock))
        if all(row["number"] != number.key for row in self._sample(week)):
            raise NotFound(
                "SAMPLE_NOT_FOUND", "the number is not in that week's sample", week_ms=week
            )
        queries.insert_review(
            self._store, week, number.key, request.verdict, request.reviewer, self._clock()
        )
        reviewed = next(r for r in self._sample(week) if r["number"] == number.key)
        return _label(reviewed)

    def GetAccuracy(
        self, request: pb.GetAccuracyRequest, context: grpc.ServicerContext
    ) -> pb.Accuracy:
        """Measure."""
        weeks = request.weeks or DEFAULT_WEEKS
        _check_range("weeks", weeks, 1, MOST_WEEKS)
        now_ms = self._clock()
        since = sampling.week_ms(now_ms) - (weeks - 1) * WEEK_MS
        rows = [
            row
            for row in queries.samples(self._store, since, now_ms + 1)
            if row["verdict"] not in ("", UNSURE)
        ]
        category = np.array([row["category"] for row in rows], dtype=np.int64)
        weight = np.array([row["weight"] for row in rows], dtype=np.float64)
        stated = np.array([row["probability"] for row in rows], dtype=np.float64)
        right = sampling.is_right(
            [category_code(row["category"]) for row in rows], [row["verdict"] for row in rows]
        )
        answer = pb.Accuracy()
        for found in sampling.measure(category, right, weight):
            answer.shares.add(
                category=category_code(found.category),
                reviewed_count=found.reviewed_count,
                share=found.share,
                lower=found.lower,
                upper=found.upper,
            )
        for said, was, count in sampling.reliability(stated, right, weight):
            answer.reliability.add(stated=said, found=was, reviewed_count=count)
        known, bad = queries.canaries(self._store, now_ms)
        answer.canary_count, answer.canary_bad_count = known, bad
        answer.canary_bad_upper = upper_bound(bad, known)
        answer.dispute_count, answer.overturned_count = queries.disputes(
            self._store,
            since,
            dispute_pb2.DISPUTE_OUTCOME_RELABELLED,
            dispute_pb2.DISPUTE_OUTCOME_CLEARED,
        )
        return answer

    def _sample(self, week: int) -> list[dict[str, Any]]:
        rows = queries.samples(self._store, week, week + 1)
        if not rows:
            raise NotFound("SAMPLE_NOT_FOUND", "no sample was drawn in that week", week_ms=week)
        return rows


def _check_range(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise out_of_range(field, value, f"{least} to {most}")


def _time_ms(request: Any, clock: Clock) -> int:
    return checked_ms(request.time, "time") if request.HasField("time") else clock()


def _to_wire(week: int, rows: list[dict[str, Any]]) -> pb.Sample:
    answer = pb.Sample(
        label_count=rows[0]["label_count"] if rows else 0, labels=[_label(row) for row in rows]
    )
    answer.week_time.FromMilliseconds(week)
    return answer


def _label(row: dict[str, Any]) -> pb.SampledLabel:
    message = pb.SampledLabel(
        number=from_key(row["number"]).number,
        category=category_code(row["category"]),
        probability=row["probability"],
        weight=row["weight"],
        verdict=row["verdict"],
        reviewer=row["reviewer"],
    )
    if row["verdict"]:
        message.review_time.FromMilliseconds(row["reviewed_ms"])
    return message


def register(server: grpc.Server, servicer: LedgerServicer) -> None:
    """Add the service to a server."""
    pb_grpc.add_LedgerServiceServicer_to_server(servicer, server)
