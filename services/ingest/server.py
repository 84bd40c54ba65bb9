"""zhengming.ingest.v1 over gRPC: wire types in, validation, group commit, answers out."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from services.common import rpc
from services.common.clock import Clock
from services.common.errors import DomainError, InvalidArgument
from services.common.facts import COUNTS
from services.common.store import Store
from services.common.times import epoch_ms, seconds
from services.common.wire import page_limit, whole
from services.ingest import marks, queries, records, status
from services.ingest.commit import TOUCHES, Submission
from services.ingest.committing import Committing, from_wire
from services.ingest.digest import source_key
from zhengming.ingest.v1 import ingest_pb2 as pb
from zhengming.ingest.v1 import ingest_pb2_grpc as pb_grpc

TOUCHED_AT_ONCE = 50_000
MAX_BATCH = 10_000
MAX_COLUMN_ROWS = 200_000
MAX_CHANGES_PAGE = 100_000
DEFAULT_CHANGES_PAGE = 10_000
MAX_WAIT_S = 30.0


class IngestServicer(pb_grpc.IngestServiceServicer):
    """Answers when what was submitted is durable."""

    def __init__(self, store: Store, committer: Committing, clock: Clock, secret: bytes) -> None:
        self._store, self._committer = store, committer
        self._clock, self._secret = clock, secret

    def SubmitMarks(
        self, request: pb.SubmitMarksRequest, context: grpc.ServicerContext
    ) -> pb.SubmitMarksResponse:
        """Answer each mark in its place."""
        return pb.SubmitMarksResponse(results=self._submit_batch(request, _until(context)))

    def StreamMarks(
        self, requests: Iterator[pb.StreamMarksRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.StreamMarksResponse]:
        """Answer each batch once, in order."""
        for request in requests:
            yield pb.StreamMarksResponse(results=self._submit_batch(request.batch, _until(context)))

    def SubmitMarkColumns(
        self, request: pb.SubmitMarkColumnsRequest, context: grpc.ServicerContext
    ) -> pb.SubmitMarkColumnsResponse:
        """Name only the rejected."""
        count = len(request.numbers)
        marks.check_count(count, MAX_COLUMN_ROWS, "numbers")
        received = marks.ReceivedMarks(
            source=request.source,
            region=request.region,
            mark_ids=list(request.mark_ids),
            numbers=list(request.numbers),
            labels=list(request.labels),
            label_indexes=np.array(request.label_indexes, dtype=np.int64),
            occurred_ms=np.array(request.occurred_ms, dtype=np.int64),
            reporters=list(request.reporters) or None,
            call_ms=_column(request.call_ms, count, np.int64),
            kinds=_column(request.kinds, count, np.int64),
            withdrawn=_column(request.withdrawn, count, np.bool_),
            origins=list(request.origins) or None,
        )
        valid, new = self._submit_marks(received, _until(context))
        return pb.SubmitMarkColumnsResponse(
            committed_count=int(new.sum()),
            duplicate_count=int((~new).sum()),
            rejected=_rejected(valid.rejected),
        )

    def SubmitBehaviour(
        self, request: pb.SubmitBehaviourRequest, context: grpc.ServicerContext
    ) -> pb.SubmitBehaviourResponse:
        """Name only the rejected."""
        count = len(request.numbers)
        marks.check_count(count, MAX_COLUMN_ROWS, "numbers")
        valid = records.behaviour_rows(
            request.carrier,
            list(request.numbers),
            np.array(request.days, dtype=np.int32),
            {name: _column(getattr(request, name), count, np.int64) for name in COUNTS},
            _column(request.sequential_ratio, count, np.float64),
            self._clock(),
        )
        self._committer.submit(Submission("behaviour", valid.columns, until=_until(context)))
        return pb.SubmitBehaviourResponse(
            committed_count=len(valid.positions), rejected=_rejected(valid.rejected)
        )

    def SubmitLifecycle(
        self, request: pb.SubmitLifecycleRequest, context: grpc.ServicerContext
    ) -> pb.SubmitLifecycleResponse:
        """Answer each event in its place."""
        events = request.events
        marks.check_count(len(events), MAX_BATCH, "events")
        valid = records.lifecycle_rows(
            [event.number for event in events],
            np.array([event.kind for event in events], dtype=np.int64),
            np.array([epoch_ms(event.occurred_time) for event in events], dtype=np.int64),
            [event.carrier for event in events],
            self._clock(),
        )
        return pb.SubmitLifecycleResponse(
            results=self._commit("lifecycle", valid, len(events), _until(context))
        )

    def SubmitRegistry(
        self, request: pb.SubmitRegistryRequest, context: grpc.ServicerContext
    ) -> pb.SubmitRegistryResponse:
        """Answer each registration in its place."""
        marks.check_count(len(request.registrations), MAX_BATCH, "registrations")
        valid = records.registry_rows(
            [
                records.Registration(
                    number=row.number,
                    holder=row.holder,
                    identity=row.identity or "C04",
                    purpose=row.purpose,
                    outbound_allowed=int(row.outbound_allowed)
                    if row.HasField("outbound_allowed")
                    else 2,
                    valid_from_ms=epoch_ms(row.valid_from_time),
                    valid_until_ms=epoch_ms(row.valid_until_time),
                )
                for row in request.registrations
            ]
        )
        results = self._commit("registry", valid, len(request.registrations), _until(context))
        prefixes = [prefix for prefix in valid.columns["prefix"] if prefix]
        under = queries.numbers_under(self._store, prefixes)
        for start in range(0, len(under), TOUCHED_AT_ONCE):
            part = under[start : start + TOUCHED_AT_ONCE]
            self._committer.submit(Submission(TOUCHES, {"number": part}))
        return pb.SubmitRegistryResponse(results=results)

    def SubmitRefusals(
        self, request: pb.SubmitRefusalsRequest, context: grpc.ServicerContext
    ) -> pb.SubmitRefusalsResponse:
        """Answer each refusal in its place."""
        rows = request.refusals
        marks.check_count(len(rows), MAX_BATCH, "refusals")
        valid = records.refusal_rows(
            [row.number for row in rows],
            [row.callee for row in rows],
            np.array([epoch_ms(row.occurred_time) for row in rows], dtype=np.int64),
            [row.industry for row in rows],
            self._clock(),
            self._secret,
        )
        return pb.SubmitRefusalsResponse(
            results=self._commit("refusals", valid, len(rows), _until(context))
        )

    def ListChanges(
        self, request: pb.ListChangesRequest, context: grpc.ServicerContext
    ) -> pb.ListChangesResponse:
        """Answer what was committed after the cursor, waiting for it if asked to."""
        if request.tail:
            return pb.ListChangesResponse(next_cursor=str(self._committer.here.last_seq))
        seq, committer = _read_cursor(request.cursor), self._committer.here
        wait_s = min(seconds(request.wait), MAX_WAIT_S)
        if wait_s > 0:
            committer.wait_beyond(seq, wait_s)
        limit = page_limit(request.page_size, DEFAULT_CHANGES_PAGE, MAX_CHANGES_PAGE)
        found = queries.changes_after(self._store, seq, limit)
        answer = pb.ListChangesResponse(
            number_keys=found.numbers.tolist(),
            next_cursor=str(found.last_seq),
            more=found.last_seq < committer.last_seq,
        )
        if found.oldest_ms is not None:
            answer.oldest_commit_time.FromMilliseconds(found.oldest_ms)
        for trace, committed_ms in found.traced:
            submission = answer.traced_submissions.add(traceparent=trace)
            submission.commit_time.FromMilliseconds(committed_ms)
        return answer

    def TouchNumbers(
        self, request: pb.TouchNumbersRequest, context: grpc.ServicerContext
    ) -> pb.TouchNumbersResponse:
        """List numbers as changed."""
        marks.check_count(len(request.number_keys), MAX_BATCH, "number_keys")
        numbers = np.array(request.number_keys, dtype=np.int64)
        self._committer.submit(Submission(TOUCHES, {"number": numbers}))
        return pb.TouchNumbersResponse()

    def CommitRows(
        self, request: pb.CommitRowsRequest, context: grpc.ServicerContext
    ) -> pb.CommitRowsResponse:
        """Commit here, or not at all: what was passed on is not passed on again."""
        new = self._committer.here.submit(from_wire(request, _until(context)))
        return pb.CommitRowsResponse(new=np.packbits(new).tobytes())

    def GetMarkStatus(
        self, request: pb.GetMarkStatusRequest, context: grpc.ServicerContext
    ) -> pb.GetMarkStatusResponse:
        """Say what became of each mark, in its place."""
        return status.mark_statuses(self._store, request, self._clock())

    def _submit_batch(self, request: pb.SubmitMarksRequest, until: float) -> list[pb.ItemResult]:
        batch = request.marks
        marks.check_count(len(batch), MAX_BATCH, "marks")
        labels = {label: i for i, label in enumerate(dict.fromkeys(m.label for m in batch))}
        count = len(batch)
        received = marks.ReceivedMarks(
            source=request.source,
            region=request.region,
            mark_ids=[m.mark_id for m in batch],
            numbers=[m.number for m in batch],
            labels=list(labels),
            label_indexes=np.fromiter((labels[m.label] for m in batch), np.int64, count),
            occurred_ms=np.fromiter((epoch_ms(m.occurred_time) for m in batch), np.int64, count),
            reporters=[m.reporter for m in batch],
            call_ms=np.fromiter(
                (epoch_ms(m.call_time) if m.HasField("call_time") else 0 for m in batch),
                np.int64,
                count,
            ),
            kinds=np.fromiter((m.kind for m in batch), np.int64, count),
            withdrawn=np.fromiter((m.withdrawn for m in batch), np.bool_, count),
            origins=[m.origin for m in batch],
        )
        valid, new = self._submit_marks(received, until)
        return _results(count, valid.positions, new, valid.rejected)

    def _submit_marks(
        self, received: marks.ReceivedMarks, until: float
    ) -> tuple[marks.ValidMarks, npt.NDArray[np.bool_]]:
        valid = marks.validate(received, self._clock(), self._secret)
        key = source_key(received.source)
        names: list[tuple[str, tuple[object, ...]]] = [("sources", (key, received.source))]
        names += [("labels", (label, key, text)) for label, text in valid.labels]
        new = self._committer.submit(Submission("marks", valid.columns, names, until))
        return valid, new

    def _commit(
        self, table: str, valid: records.ValidRows, count: int, until: float
    ) -> list[pb.ItemResult]:
        new = self._committer.submit(Submission(table, valid.columns, until=until))
        return _results(count, valid.positions, new, valid.rejected)


def _until(context: grpc.ServicerContext) -> float:
    """When the caller's deadline passes, as time.monotonic()."""
    return time.monotonic() + rpc.time_left_s(context)


def _column(values: Sequence[object], count: int, dtype: type) -> npt.NDArray[Any]:
    """An optional packed column: zeros where it was left out."""
    return np.array(values, dtype=dtype) if len(values) else np.zeros(count, dtype=dtype)


def _results(
    count: int,
    positions: npt.NDArray[np.int64],
    new: npt.NDArray[np.bool_],
    rejected: Sequence[tuple[int, DomainError]],
) -> list[pb.ItemResult]:
    committed = pb.ItemResult(outcome=pb.ITEM_OUTCOME_COMMITTED)
    duplicate = pb.ItemResult(outcome=pb.ITEM_OUTCOME_DUPLICATE)
    results = [duplicate] * count
    for position in positions[new].tolist():
        results[position] = committed
    for position, error in rejected:
        results[position] = pb.ItemResult(
            outcome=pb.ITEM_OUTCOME_REJECTED, error=rpc.to_status_proto(error)
        )
    return results


def _rejected(rejected: Sequence[tuple[int, DomainError]]) -> list[pb.RejectedItem]:
    return [pb.RejectedItem(index=i, error=rpc.to_status_proto(error)) for i, error in rejected]


def _read_cursor(cursor: str) -> int:
    read = whole(cursor or "0")
    if read is None:
        raise InvalidArgument("CURSOR_INVALID", "cursor was not issued here", field="cursor")
    return read


def register(server: grpc.Server, servicer: IngestServicer) -> None:
    """Add the service to a server."""
    pb_grpc.add_IngestServiceServicer_to_server(servicer, server)
