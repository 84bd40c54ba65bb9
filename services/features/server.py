"""zhengming.features.v1 over gRPC, and the job that builds every row."""

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from google.longrunning import operations_pb2

from services.common.clock import Clock
from services.common.operations import Operations
from services.common.store import Store
from services.common.wire import as_of_ms, check_batch, packed, sorted_keys
from services.features import blocks, domain, mark_queries, queries, signals
from services.features.alike import References
from services.features.columns import Aggregates, columns_of
from services.features.definitions import BLOCK_SIZES, FEATURES, NAMES, NEAR_SIZES, TEN
from services.features.signals.firing import fired, fired_on
from services.features.similar import server as similar
from services.features.similar.embedding import active, traits_of
from services.features.similar.neighbours import Neighbours
from services.features.touched import Wide, compute, days_of, volumes_of
from zhengming.features.v1 import features_pb2 as pb
from zhengming.features.v1 import features_pb2_grpc as pb_grpc
from zhengming.ingest.v1 import ingest_pb2, ingest_pb2_grpc

MAX_BATCH = 10_000
RECENT_MS = 10 * 60_000
"""Rows as of so little ago tell how a number calls now."""
WIDE_CHECKED_MS = 1_000
"""How long no newer run is looked for: asking takes as long as reading a number's rows."""
CHUNK = 100_000
"""Numbers whose rows are computed and written at once by the job."""

I64 = npt.NDArray[np.int64]


class FeaturesServicer(pb_grpc.FeaturesServiceServicer):
    """The same rows for touched numbers and for all."""

    def __init__(
        self,
        store: Store,
        ingest: ingest_pb2_grpc.IngestServiceStub,
        operations: Operations,
        clock: Clock,
        neighbours: Neighbours,
    ) -> None:
        self._store, self._ingest, self._neighbours = store, ingest, neighbours
        self._operations, self._clock = operations, clock
        self._wide: Wide | None = None
        self._wide_checked = (0, 0)  # when, and for which time

    def _wide_of(self, as_of: int) -> Wide:
        """The wide sums for a time, read once a run."""
        now, held = self._clock(), self._wide
        checked_ms, checked_as_of = self._wide_checked
        if held is not None and as_of >= checked_as_of and 0 <= now - checked_ms < WIDE_CHECKED_MS:
            return held
        run, run_as_of = queries.wide_run(self._store, as_of)
        if held is not None and held.run == run:
            wide = held
        else:
            wide = Wide.of(self._store, run, run_as_of)
        # Of the past, to learn from, all is asked anew: a newer run may be meant next.
        self._wide_checked = (now, as_of) if as_of > now - RECENT_MS else (0, 0)
        self._wide = wide
        return wide

    def BatchGetFeatures(
        self, request: pb.BatchGetFeaturesRequest, context: grpc.ServicerContext
    ) -> pb.BatchGetFeaturesResponse:
        """Compute the rows in the order asked."""
        check_batch(len(request.number_keys), MAX_BATCH, "number_keys")
        keys, place = sorted_keys(request.number_keys)
        excluded = np.array(request.excluded_mark_keys, dtype=np.uint64)
        as_of = as_of_ms(request, self._clock)
        fired: list[dict[str, Any]] = []

        def signals_of(days: Aggregates) -> None:
            fired.extend(fired_on(self._store, as_of, days, signals.load()).to_pylist())

        on_days = signals_of if request.with_signals else None
        rows = compute(self._store, as_of, keys, excluded, self._wide_of(as_of), on_days)
        if as_of > self._clock() - RECENT_MS:  # else of the past, to learn from
            self._neighbours.note(keys, rows)
        answer = pb.BatchGetFeaturesResponse(names=NAMES)
        if request.packed:
            answer.packed_values = packed(rows[place])
        else:
            answer.values.extend(rows[place].ravel().tolist())
        for key, of_number in _by_number(fired).items():
            _add(answer.signals.add(number_key=key), of_number)
        return answer

    def BatchGetSignals(
        self, request: pb.BatchGetSignalsRequest, context: grpc.ServicerContext
    ) -> pb.BatchGetSignalsResponse:
        """Apply the rules to the numbers, in the order asked."""
        check_batch(len(request.number_keys), MAX_BATCH, "number_keys")
        keys, _ = sorted_keys(request.number_keys)
        rules = signals.load()
        as_of = as_of_ms(request, self._clock)
        days = days_of(self._store, as_of, keys)
        fired = _by_number(fired_on(self._store, as_of, days, rules).to_pylist())
        answer = pb.BatchGetSignalsResponse(rules_version=rules.version)
        for key in request.number_keys:
            _add(answer.results.add(number_key=key), fired.get(key, []))
        return answer

    def ListFeatures(
        self, request: pb.ListFeaturesRequest, context: grpc.ServicerContext
    ) -> pb.ListFeaturesResponse:
        """Describe the columns."""
        return pb.ListFeaturesResponse(
            features=[
                pb.Feature(name=f.name, description=f.description, group=f.group) for f in FEATURES
            ]
        )

    def FindSimilarNumbers(
        self, request: pb.FindSimilarNumbersRequest, context: grpc.ServicerContext
    ) -> pb.FindSimilarNumbersResponse:
        """Search for numbers that call alike."""

        def row(number: int) -> npt.NDArray[np.float32]:
            now = self._clock()
            wide = self._wide_of(now)
            return compute(self._store, now, np.array([number]), wide=wide)[0]

        return similar.find_similar(self._store, self._neighbours, request, row)

    def ListCampaigns(
        self, request: pb.ListCampaignsRequest, context: grpc.ServicerContext
    ) -> pb.ListCampaignsResponse:
        """List numbers that seem to be worked together."""
        return similar.list_campaigns(self._store, self._neighbours, request)

    def BuildFeatures(
        self, request: pb.BuildFeaturesRequest, context: grpc.ServicerContext
    ) -> operations_pb2.Operation:
        """Start the job."""
        as_of_ms(request, self._clock)  # refused at once if it cannot be
        return self._operations.start("features", lambda: self._build(request))

    def _build(self, request: pb.BuildFeaturesRequest) -> pb.BuildFeaturesResponse:
        run = queries.next_run(self._store, self._clock())
        # The cursor is taken first: what comes later is done again by the incremental path.
        tail = self._ingest.ListChanges(
            ingest_pb2.ListChangesRequest(tail=True), timeout=30, wait_for_ready=True
        )
        as_of = as_of_ms(request, self._clock)
        count = build(self._store, run, as_of, tail.next_cursor, self._clock)
        self._wide_checked = (0, 0)
        self._neighbours.build(run, as_of)
        return pb.BuildFeaturesResponse(run_id=str(run), number_count=count)


def build(store: Store, run: int, as_of: int, change_cursor: str, clock: Clock) -> int:
    """Write the rows of every known number as of a time, and what touched numbers read later.

    Returns:
        How many numbers.
    """
    days = queries.day_volumes(store, as_of)
    marks = columns_of(mark_queries.mark_dynamics(store, as_of, volumes_of(days)))
    behaviour = columns_of(queries.behaviour_sums(store, as_of))
    contributed = blocks.contributions(as_of, marks)
    near = blocks.neighbourhoods(contributed)
    tens = blocks.marks_of_tens(marks)
    wider = blocks.wider(tens)
    found = domain.Aggregated(
        marks=marks,
        epochs=columns_of(mark_queries.epochs(store, as_of)),
        withdrawals=columns_of(mark_queries.withdrawals(store, as_of)),
        behaviour=behaviour,
        registrations=columns_of(queries.registrations(store, as_of)),
        contributed=contributed,
        blocks=[
            blocks.Blocks((TEN,), tens, marks),
            blocks.Blocks(BLOCK_SIZES[1:], wider, marks),
        ],
        near=blocks.by_key(near, NEAR_SIZES, blocks.CONTRIBUTIONS),
        return_rate=blocks.common_return_rate(near),
        references=_references(behaviour),
    )
    known = [table["number"] for table in (marks, found.behaviour, found.epochs)]
    known.append(queries.decided_numbers(store, as_of))
    numbers = np.unique(np.concatenate(known)).astype(np.int64)
    for start in range(0, len(numbers), CHUNK):
        chunk = numbers[start : start + CHUNK]
        queries.insert_rows(store, run, chunk, domain.rows(chunk, as_of, found))
    queries.insert_block_sums(store, run, wider)
    for size, sums in near.items():
        sizes = np.full(len(sums["block"]), size, dtype=np.uint64)
        queries.insert_neighbourhoods(store, run, {"size": sizes, **sums})
    queries.insert_signals(store, run, fired(store, as_of, signals.load()))
    queries.insert_references(store, run, found.references)
    queries.insert_day_volumes(store, run, days)
    queries.finish_run(store, run, as_of, change_cursor, NAMES, len(numbers), clock())
    return len(numbers)


def _by_number(fired: Sequence[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    rows: dict[int, list[Mapping[str, Any]]] = {}
    for row in fired:
        rows.setdefault(row["number"], []).append(row)
    return rows


def _add(told: pb.NumberSignals, fired: Sequence[Mapping[str, Any]]) -> None:
    for row in fired:
        signal = told.signals.add(
            code=row["code"],
            version=row["version"],
            day_count=row["days"],
            is_victim=bool(row["victim"]),
        )
        # The last moment of the day in China.
        signal.last_day_time.FromSeconds((row["last_day"] + 1) * 86_400 - 8 * 3_600)


def _references(behaviour: Aggregates) -> References:
    """A sample of all numbers with behaviour."""
    numbers = np.asarray(behaviour["number"]).astype(np.int64)
    features = domain.behaviour_columns(numbers, behaviour)
    have = np.flatnonzero(active(features))
    return References.sample(numbers[have], traits_of(features, have))


def register(server: grpc.Server, servicer: FeaturesServicer) -> None:
    """Add the service to a server."""
    pb_grpc.add_FeaturesServiceServicer_to_server(servicer, server)
