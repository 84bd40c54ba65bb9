"""zhengming.arbitration.v1 over gRPC."""

from collections.abc import Callable, Sequence

import grpc
import numpy as np
import numpy.typing as npt
from google.longrunning import operations_pb2

from services.arbitration import queries
from services.arbitration.disputes.queries import source_outcomes
from services.arbitration.engine import Engine
from services.arbitration.judging import Arbitrated
from services.arbitration.prior import Told
from services.common import rpc
from services.common.clock import Clock
from services.common.errors import DomainError, InvalidArgument, NotFound
from services.common.intervals import wilson
from services.common.numbering import parse
from services.common.operations import Operations
from services.common.store import Store
from services.common.taxonomy import standard
from services.common.times import checked_ms, epoch_ms
from services.common.wire import as_of_ms, category_code, category_id, check_batch, sorted_keys
from zhengming.arbitration.v1 import arbitration_pb2 as pb
from zhengming.arbitration.v1 import arbitration_pb2_grpc as pb_grpc

MAX_BATCH = 10_000
MIN_PROBABILITY = 0.01
MAX_EVIDENCE = 20

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
        names = self._engine.label_names()
        messages = [self._to_wire(found, i) for i in range(len(keys))]
        held = found.suspicions
        for row, key in zip(
            np.searchsorted(found.numbers, held["number"]).tolist(),
            held["mark_key"].tolist(),
            strict=True,
        ):
            messages[row].quarantined_mark_keys.append(key)
        evidence = found.evidence
        at = np.searchsorted(found.numbers, evidence["number"])
        for row in np.argsort(-np.abs(evidence["log_odds"]), kind="stable").tolist():
            message = messages[at[row]]
            if len(message.evidence) >= MAX_EVIDENCE:
                continue
            source, label = names[int(evidence["label"][row])]
            item = message.evidence.add(
                source=source,
                label=label,
                category=category_code(self._engine.meaning_of(int(evidence["label"][row]))),
                mark_count=int(evidence["mark_count"][row]),
                weight=float(evidence["weight"][row]),
                log_odds=float(evidence["log_odds"][row]),
            )
            item.last_mark_time.FromMilliseconds(int(evidence["last_mark_ms"][row]))
        return pb.BatchArbitrateResponse(
            posteriors=[messages[i] for i in place.tolist()],
            accuracy_run_id=str(run) if run else "",
        )

    def RunArbitration(
        self, request: pb.RunArbitrationRequest, context: grpc.ServicerContext
    ) -> operations_pb2.Operation:
        """Start a full pass."""
        if not request.run_id.isdigit():
            raise InvalidArgument("FIELD_REQUIRED", "run_id is required", field="run_id")
        as_of = as_of_ms(request, self._clock)

        def work() -> pb.RunArbitrationResponse:
            numbers, marks, iterations = self._engine.run(int(request.run_id), as_of, self._clock())
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

    def _to_wire(self, found: Arbitrated, i: int) -> pb.Posterior:
        counts = {name: int(column[i]) for name, column in found.counts.items()}
        message = pb.Posterior(
            number_key=int(found.numbers[i]),
            effective_sources=float(found.effective_sources[i]),
            reporter_count=counts["reporter_count"],
            mark_count=counts["mark_count"],
            former_mark_count=counts["former_mark_count"],
            quarantined_mark_count=counts["quarantined_count"],
            epoch=counts["epoch"],
        )
        for category, probability in zip(found.categories[i], found.probabilities[i], strict=True):
            if probability >= MIN_PROBABILITY:
                message.distribution.add(
                    category=category_code(int(category)), probability=float(probability)
                )
        for name in ("epoch_start", "first_mark", "last_mark"):
            if counts[f"{name}_ms"]:
                getattr(message, f"{name}_time").FromMilliseconds(counts[f"{name}_ms"])
        if found.decided_category[i] >= 0:
            message.decided_by = found.decided_by[i]
            message.decided_category = category_code(int(found.decided_category[i])) or "CLEARED"
        return message


def _told(request: pb.BatchArbitrateRequest, keys: npt.NDArray[np.int64]) -> Told | None:
    """What the request says of the behaviour of its numbers; None: nothing.

    Args:
        keys: the distinct numbers, ascending.

    Raises:
        InvalidArgument: COLUMN_LENGTH_MISMATCH.
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
    classes = tuple(category_id(code) for code in request.prior_classes)
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
