"""zhengming.features.v1 over gRPC, and the job that builds every row."""

from collections.abc import Mapping
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
from services.features import domain, queries, signals
from services.features.definitions import BLOCK_SIZES, FEATURES, NAMES
from services.features.signals.firing import fired
from services.features.similar import server as similar
from services.features.similar.neighbours import Neighbours
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
        neighbours: Neighbours,
    ) -> None:
        self._store, self._ingest, self._neighbours = store, ingest, neighbours
        self._operations, self._clock = operations, clock

    def BatchGetFeatures(
        self, request: pb.BatchGetFeaturesRequest, context: grpc.ServicerContext
    ) -> pb.BatchGetFeaturesResponse:
        """Compute the rows in the order asked."""
        check_batch(len(request.number_keys), MAX_BATCH, "number_keys")
        keys, place = sorted_keys(request.number_keys)
        excluded = np.array(request.excluded_mark_keys, dtype=np.uint64)
        rows = compute(self._store, as_of_ms(request, self._clock), keys, excluded)
        if not request.HasField("as_of_time"):
            self._neighbours.note(keys, rows)
        return pb.BatchGetFeaturesResponse(names=NAMES, values=rows[place].ravel().tolist())

    def BatchGetSignals(
        self, request: pb.BatchGetSignalsRequest, context: grpc.ServicerContext
    ) -> pb.BatchGetSignalsResponse:
        """Apply the rules to the numbers, in the order asked."""
        check_batch(len(request.number_keys), MAX_BATCH, "number_keys")
        keys, _ = sorted_keys(request.number_keys)
        rules = signals.load()
        rows: dict[int, list[dict[str, Any]]] = {}
        for row in fired(self._store, as_of_ms(request, self._clock), keys, rules).to_pylist():
            rows.setdefault(row["number"], []).append(row)
        answer = pb.BatchGetSignalsResponse(rules_version=rules.version)
        for key in request.number_keys:
            result = answer.results.add(number_key=key)
            for row in rows.get(key, []):
                signal = result.signals.add(
                    code=row["code"],
                    version=row["version"],
                    day_count=row["days"],
                    is_victim=bool(row["victim"]),
                )
                # The last moment of the day in China.
                signal.last_day_time.FromSeconds((row["last_day"] + 1) * 86_400 - 8 * 3_600)
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
            return compute(self._store, self._clock(), np.array([number]))[0]

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
        as_of = as_of_ms(request, self._clock)
        return self._operations.start("features", lambda: self._build(as_of))

    def _build(self, as_of: int) -> pb.BuildFeaturesResponse:
        run = queries.next_run(self._store, self._clock())
        # The cursor is taken first: what comes later is done again by the incremental path.
        tail = self._ingest.ListChanges(ingest_pb2.ListChangesRequest(tail=True), timeout=30)
        count = build(self._store, run, as_of, tail.next_cursor, self._clock)
        self._neighbours.build(run, as_of)
        return pb.BuildFeaturesResponse(run_id=str(run), number_count=count)


def build(store: Store, run: int, as_of: int, change_cursor: str, clock: Clock) -> int:
    """Write the rows of every known number as of a time, and what touched numbers read later.

    Returns:
        How many numbers.
    """
    marks = _columns(queries.mark_dynamics(store, as_of, None))
    near = domain.neighbourhoods(as_of, marks)
    widest = near[BLOCK_SIZES[-1]]
    volumes = _columns(queries.day_volumes(store, as_of))
    found = _aggregated(
        store, as_of, None, marks, near, volumes, widest["returned"].sum(), widest["old"].sum()
    )
    known = [table["number"] for table in (marks, found.behaviour, found.epochs)]
    known.append(queries.decided_numbers(store, as_of))
    numbers = np.unique(np.concatenate(known)).astype(np.int64)
    for start in range(0, len(numbers), CHUNK):
        chunk = numbers[start : start + CHUNK]
        queries.insert_rows(store, run, chunk, domain.rows(chunk, as_of, found))
    for size, blocks in near.items():
        sizes = np.full(len(blocks["block"]), size, dtype=np.uint64)
        queries.insert_neighbourhoods(store, run, {"size": sizes, **blocks})
    queries.insert_signals(store, run, fired(store, as_of, None, signals.load()))
    queries.insert_day_volumes(store, run, volumes["day"], volumes["marks"])
    queries.finish_run(store, run, as_of, change_cursor, NAMES, len(numbers), clock())
    return len(numbers)


def compute(
    store: Store, as_of: int, numbers: I64, excluded: npt.NDArray[np.uint64] | None = None
) -> npt.NDArray[np.float32]:
    """Rows of ascending numbers as of a time, float32 (n, features).

    Marks of the `excluded` keys do not count. Neighbourhoods and day volumes are wide and change
    slowly: they are those of the last `build`
    for that time or before.
    """
    near = {
        size: _columns(queries.neighbourhoods(store, as_of, size, np.unique(numbers // size)))
        for size in BLOCK_SIZES
    }
    returned, old = queries.return_sums(store, as_of, BLOCK_SIZES[-1])
    if excluded is not None and not len(excluded):
        excluded = None
    marks = _columns(queries.mark_dynamics(store, as_of, numbers, excluded))
    volumes = _columns(queries.stored_day_volumes(store, as_of))
    return domain.rows(
        numbers,
        as_of,
        _aggregated(store, as_of, numbers, marks, near, volumes, returned, old, excluded),
    )


def _aggregated(
    store: Store,
    as_of: int,
    numbers: I64 | None,
    marks: domain.Aggregates,
    near: Mapping[int, domain.Aggregates],
    volumes: domain.Aggregates,
    returned: float,
    old: float,
    excluded: npt.NDArray[np.uint64] | None = None,
) -> domain.Aggregated:
    """What the store says of some numbers, or of all, besides what is given."""
    weights = domain.day_weights(volumes["marks"])
    return domain.Aggregated(
        marks=marks,
        epochs=_columns(queries.epochs(store, as_of, numbers)),
        behaviour=_columns(queries.behaviour_sums(store, as_of, numbers)),
        origins=_columns(queries.same_origins(store, as_of, numbers, excluded)),
        day_weighted=_columns(
            queries.day_weighted(store, as_of, numbers, volumes["day"], weights, excluded)
        ),
        blocks={
            size: _columns(
                queries.block_marks(
                    store, as_of, size, None if numbers is None else np.unique(numbers // size)
                )
            )
            for size in (10_000, 100)
        },
        near=near,
        return_rate=returned / max(old, 1.0),
    )


def _columns(table: pa.Table) -> dict[str, npt.NDArray[Any]]:
    return {name: table[name].to_numpy() for name in table.column_names}


def register(server: grpc.Server, servicer: FeaturesServicer) -> None:
    """Add the service to a server."""
    pb_grpc.add_FeaturesServiceServicer_to_server(servicer, server)
