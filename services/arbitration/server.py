"""zhengming.arbitration.v1 over gRPC."""

from collections.abc import Callable, Sequence

import grpc
import numpy as np
import numpy.typing as npt
from google.longrunning import operations_pb2

from services.arbitration import queries
from services.arbitration.disputes.queries import source_outcomes
from services.arbitration.engine import Engine
from services.arbitration.posterior_wire import posterior_columns, posteriors
from services.arbitration.prior import Told
from services.common import rpc
from services.common.clock import Clock
from services.common.errors import DomainError, InvalidArgument, NotFound, out_of_range
from services.common.intervals import wilson
from services.common.numbering import parse
from services.common.operations import Operations
from services.common.store import Store
from services.common.taxonomy import standard
from services.common.times import checked_ms, epoch_ms
from services.common.wire import (
    as_of_ms,
    category_code,
    check_batch,
    run_of,
    sorted_keys,
)
from zhengming.arbitration.v1 import arbitration_pb2 as pb
from zhengming.arbitration.v1 import arbitration_pb2_grpc as pb_grpc

MAX_BATCH = 10_000

Touch = Callable[[Sequence[int]], None]
"""Has numbers published anew; raises Unavailable when that could not be told."""


class ArbitrationServicer(pb_grpc.ArbitrationServiceServicer):
    """Full runs as jobs, touched numbers at once."""

    def __init__(
        self, store: Store, engine: Engine, operations: Operations, clock: Clock, touch: Touch
    ) -> None:
        self._store, self._engine = store, engine
        self._operations, self._clock, self._touch = operations, clock, touch

    def BatchArbitrate(
        self, request: pb.BatchArbitrateRequest, context: grpc.ServicerContext
    ) -> pb.BatchArbitrateResponse:
        """Judge the numbers in the order asked."""
        check_batch(len(request.number_keys), MAX_BATCH, "number_keys")
        keys, place = sorted_keys(request.number_keys)
        told = _told(request, keys)
        found, run = self._engine.arbitrate(keys, as_of_ms(request, self._clock), told)
        answer = pb.BatchArbitrateResponse(accuracy_run_id=str(run) if run else "")
        if request.as_columns:
            answer.columns.CopyFrom(posterior_columns(found, place))
        else:
            names = self._engine.label_names()
            messages = posteriors(found, names, self._engine.meaning_of)
            answer.posteriors.extend(messages[i] for i in place.tolist())
        return answer

    def RunArbitration(
        self, request: pb.RunArbitrationRequest, context: grpc.ServicerContext
    ) -> operations_pb2.Operation:
        """Start a full pass."""
        run = run_of(request.run_id)
        as_of = as_of_ms(request, self._clock)

        def work() -> pb.RunArbitrationResponse:
            numbers, marks, iterations = self._engine.run(run, as_of, self._clock())
            return pb.RunArbitrationResponse(
                number_count=numbers, mark_count=marks, iteration_count=iterations
            )

        return self._operations.start("arbitration", work)

    def ListSources(
        self, request: pb.ListSourcesRequest, context: grpc.ServicerContext
    ) -> pb.ListSourcesResponse:
        """Accuracy of each source by what the others say, Wilson interval (1927)."""
        run, cards = self._engine.cards()
        answer = pb.ListSourcesResponse(run_id=str(run) if run else "")
        for card in cards:
            row = _row(card.marks, card.told, card.right)
            answer.sources.add(
                name=card.name,
                mark_count=card.marks,
                accuracy=row.accuracy,
                accuracy_lower=row.accuracy_lower,
                accuracy_upper=row.accuracy_upper,
            )
        return answer

    def ListHalfLives(
        self, request: pb.ListHalfLivesRequest, context: grpc.ServicerContext
    ) -> pb.ListHalfLivesResponse:
        """Half-lives of the newest run."""
        run, lives = self._engine.half_lives()
        answer = pb.ListHalfLivesResponse(run_id=str(run) if run else "")
        for category, days, standard_days, pairs in zip(
            lives.category.tolist(), lives.days, lives.standard_days, lives.pairs, strict=True
        ):
            answer.half_lives.add(
                category=category_code(category),
                days=days,
                standard_days=standard_days,
                pair_count=pairs,
            )
        return answer

    def GetScorecard(
        self, request: pb.GetScorecardRequest, context: grpc.ServicerContext
    ) -> pb.Scorecard:
        """Say how right one source is."""
        run, cards = self._engine.cards()
        card = next((card for card in cards if card.name == request.source), None)
        if card is None:
            raise NotFound(
                "SOURCE_NOT_FOUND",
                f"nothing was judged of source {request.source[:64]!r}",
                source=request.source[:64],
            )
        answer = pb.Scorecard(
            source=card.name,
            run_id=str(run),
            mark_count=card.marks,
            quarantined_mark_count=card.quarantined,
            number_count=card.numbers,
            coverage=card.numbers / max(card.all_numbers, 1),
            call_ratio=min(card.called / max(card.marks, 1), 1.0),
            median_delay_s=card.delay_s,
            overall=_row(sum(row[1] for row in card.by_category), card.told, card.right),
        )
        for category, marks, told, right in sorted(card.by_category, key=lambda row: -row[1]):
            answer.categories.append(_row(marks, told, right))
            answer.categories[-1].category = category_code(category)
        for week_ms, marks, told, right in card.by_week:
            answer.weeks.append(_row(marks, told, right))
            answer.weeks[-1].week_time.FromMilliseconds(week_ms)
        for name, share in card.copies:
            answer.copies.add(source=name, share=share)
        for outcome in source_outcomes(self._store, card.name):
            answer.decided_count = outcome["decided"]
            answer.overturned_count = outcome["overturned"]
        return answer

    def SubmitDecisions(
        self, request: pb.SubmitDecisionsRequest, context: grpc.ServicerContext
    ) -> pb.SubmitDecisionsResponse:
        """Take decisions, each answered in its place."""
        check_batch(len(request.decisions), MAX_BATCH, "decisions")
        now_ms = self._clock()
        rows: list[tuple[object, ...]] = []
        results = []
        for decision in request.decisions:
            result = pb.DecisionResult()
            try:
                rows.append((*_decision_row(decision, request.region or "CN", now_ms), now_ms))
            except DomainError as error:
                result.error.CopyFrom(rpc.to_status_proto(error))
            results.append(result)
        if rows:
            names = (
                "number", "decided_ms", "category", "valid_until_ms", "authority", "received_ms",
            )  # fmt: skip
            columns = [list(column) for column in zip(*rows, strict=True)]
            queries.insert_decisions(self._store, dict(zip(names, columns, strict=True)))
            self._touch([int(number) for number in columns[0]])
        return pb.SubmitDecisionsResponse(results=results)


def _told(request: pb.BatchArbitrateRequest, keys: npt.NDArray[np.int64]) -> Told | None:
    """What the request says of the behaviour of its numbers; None: nothing.

    Args:
        keys: the distinct numbers, ascending.

    Raises:
        InvalidArgument: COLUMN_LENGTH_MISMATCH, FIELD_OUT_OF_RANGE, CATEGORY_UNKNOWN.
    """
    width, count = len(request.prior_classes), len(request.number_keys)
    if len(request.prior_log_ratios) != width * count:
        raise InvalidArgument(
            "COLUMN_LENGTH_MISMATCH",
            f"prior_log_ratios has {len(request.prior_log_ratios)} entries, "
            f"not {width} for each of {count} numbers",
            field="prior_log_ratios",
            length=len(request.prior_log_ratios),
            expected=width * count,
        )
    if not width:
        return None
    values = np.array(request.prior_log_ratios, dtype=np.float32).reshape(count, width)
    first = np.unique(np.array(request.number_keys, dtype=np.int64), return_index=True)[1]
    if not np.isfinite(values).all():
        raise out_of_range("prior_log_ratios", "NaN or infinite", "finite")
    known = standard.load()
    classes = tuple(known.category(code).id if code else 0 for code in request.prior_classes)
    return Told(classes, keys, values[first])


def _row(marks: int, told: float, right: float) -> pb.ScorecardRow:
    accuracy = right / told if told else 0.0
    lower, upper = wilson(accuracy, told)
    return pb.ScorecardRow(
        mark_count=marks,
        told_count=told,
        accuracy=accuracy,
        accuracy_lower=lower,
        accuracy_upper=upper,
    )


def _decision_row(decision: pb.Decision, region: str, now_ms: int) -> tuple[object, ...]:
    number = parse(decision.number, region)
    category = 0
    if decision.category != "CLEARED":
        category = standard.load().category(decision.category).id
    decided_ms = epoch_ms(decision.decided_time)
    if not 946_684_800_000 <= decided_ms <= now_ms + 300_000:
        raise InvalidArgument(
            "TIME_INVALID",
            f"decided_time must lie between 2000 and now, not at {decided_ms} ms since 1970",
            field="decided_time",
            value=decided_ms,
        )
    if len(decision.authority) > 100:
        raise InvalidArgument(
            "FIELD_TOO_LONG",
            f"authority has {len(decision.authority)} characters, at most 100 are allowed",
            field="authority",
            length=len(decision.authority),
            maximum=100,
        )
    until_ms = 0
    if decision.HasField("valid_until_time"):
        until_ms = checked_ms(decision.valid_until_time, "valid_until_time")
    return number.key, decided_ms, category, until_ms, decision.authority or "CAICT"


def register(server: grpc.Server, servicer: ArbitrationServicer) -> None:
    """Add the service to a server."""
    pb_grpc.add_ArbitrationServiceServicer_to_server(servicer, server)
