"""zhengming.features.v1 over gRPC, and the job that builds every row."""

from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from google.longrunning import operations_pb2

from services.common.clock import Clock
from services.common.operations import Operations
from services.common.store import Store
from services.common.wire import as_of_ms, check_batch, sorted_keys
from services.features import domain, queries
from services.features.definitions import BLOCK_SIZES, FEATURES, NAMES
from zhengming.features.v1 import features_pb2 as pb
from zhengming.features.v1 import features_pb2_grpc as pb_grpc
from zhengming.ingest.v1 import ingest_pb2, ingest_pb2_grpc

MAX_BATCH = 10_000
CHUNK = 200_000
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
    ) -> None:
        self._store, self._ingest = store, ingest
        self._operations, self._clock = operations, clock

    def BatchGetFeatures(
        self, request: pb.BatchGetFeaturesRequest, context: grpc.ServicerContext
    ) -> pb.BatchGetFeaturesResponse:
        """Compute the rows in the order asked."""
        check_batch(len(request.number_keys), MAX_BATCH, "number_keys")
        keys, place = sorted_keys(request.number_keys)
        rows = compute(self._store, as_of_ms(request, self._clock), keys)
        return pb.BatchGetFeaturesResponse(names=NAMES, values=rows[place].ravel().tolist())

    def ListFeatures(
        self, request: pb.ListFeaturesRequest, context: grpc.ServicerContext
    ) -> pb.ListFeaturesResponse:
        """Describe the columns."""
        return pb.ListFeaturesResponse(
            features=[
                pb.Feature(name=f.name, description=f.description, group=f.group) for f in FEATURES
            ]
        )

    def BuildFeatures(
        self, request: pb.BuildFeaturesRequest, context: grpc.ServicerContext
    ) -> operations_pb2.Operation:
        """Start the job."""
        as_of = as_of_ms(request, self._clock)
        return self._operations.start("features", lambda: self._build(as_of))

    def _build(self, as_of: int) -> pb.BuildFeaturesResponse:
        run = queries.next_run(self._store, self._clock())
        # The cursor is taken first: what comes later is done again by the incremental path.
        tail = self._ingest.ListChanges(ingest_pb2.ListChangesRequest(tail=True), timeout=30)
        aggregates = _Aggregates(self._store, as_of, None)
        numbers = aggregates.known_numbers()
        for start in range(0, len(numbers), CHUNK):
            chunk = numbers[start : start + CHUNK]
            queries.insert_rows(self._store, run, chunk, aggregates.rows(chunk))
        for size, blocks in aggregates.neighbourhoods.items():
            sizes = np.full(len(blocks["block"]), size, dtype=np.uint64)
            queries.insert_neighbourhoods(self._store, run, {"size": sizes, **blocks})
        queries.insert_day_volumes(self._store, run, aggregates.days, aggregates.day_marks)
        queries.finish_run(
            self._store, run, as_of, tail.next_cursor, NAMES, len(numbers), self._clock()
        )
        return pb.BuildFeaturesResponse(run_id=str(run), number_count=len(numbers))


def compute(store: Store, as_of: int, numbers: I64) -> npt.NDArray[np.float32]:
    """Rows of ascending numbers as of a time, float32 (n, features)."""
    return _Aggregates(store, as_of, numbers).rows(numbers)


class _Aggregates:
    """What the store says of some numbers, or of all, as of a time."""

    def __init__(self, store: Store, as_of: int, numbers: I64 | None) -> None:
        self._as_of = as_of
        self._marks = _columns(queries.mark_dynamics(store, as_of, numbers))
        self._origins = _columns(queries.same_origins(store, as_of, numbers))
        volumes = (
            queries.day_volumes(store, as_of)
            if numbers is None
            else queries.stored_day_volumes(store, as_of)
        )
        self.days = volumes["day"].to_numpy().astype(np.int64)
        self.day_marks = volumes["marks"].to_numpy().astype(np.int64)
        weights = domain.day_weights(self.day_marks)
        self._day_weighted = _columns(
            queries.day_weighted(store, as_of, numbers, self.days, weights)
        )
        self._epochs = _columns(queries.epochs(store, as_of, numbers))
        self._behaviour = _columns(queries.behaviour_sums(store, as_of, numbers))
        self._blocks = {
            size: _columns(
                queries.block_marks(
                    store, as_of, size, None if numbers is None else np.unique(numbers // size)
                )
            )
            for size in (10_000, 100)
        }
        # Neighbourhoods are wide and change slowly: the job sums them up for all numbers, and
        # touched numbers read the sums of the last job.
        self.neighbourhoods = (
            domain.neighbourhoods(as_of, self._marks)
            if numbers is None
            else {
                size: _columns(
                    queries.neighbourhoods(store, as_of, size, np.unique(numbers // size))
                )
                for size in BLOCK_SIZES
            }
        )
        widest = BLOCK_SIZES[-1]
        if numbers is None:
            sums = self.neighbourhoods[widest]
            returned, old = float(sums["returned"].sum()), float(sums["old"].sum())
        else:
            returned, old = queries.return_sums(store, as_of, widest)
        self._return_rate = returned / max(old, 1.0)
        self._decided = queries.decided_numbers(store, as_of) if numbers is None else None

    def known_numbers(self) -> I64:
        parts = [t["number"] for t in (self._marks, self._behaviour, self._epochs)]
        if self._decided is not None:
            parts.append(self._decided)
        return np.unique(np.concatenate(parts)).astype(np.int64)

    def rows(self, numbers: I64) -> npt.NDArray[np.float32]:
        return domain.rows(
            numbers,
            self._as_of,
            self._marks,
            self._epochs,
            self._behaviour,
            self._blocks,
            self.neighbourhoods,
            self._return_rate,
            self._origins,
            self._day_weighted,
        )


def _columns(table: pa.Table) -> dict[str, npt.NDArray[Any]]:
    return {name: table[name].to_numpy() for name in table.column_names}


def register(server: grpc.Server, servicer: FeaturesServicer) -> None:
    """Add the service to a server."""
    pb_grpc.add_FeaturesServiceServicer_to_server(servicer, server)
