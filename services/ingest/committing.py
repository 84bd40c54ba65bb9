"""Where a submission is committed: by this process while it is the owner, else by the owner."""

import math
import time
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.common.clock import Clock
from services.common.errors import InvalidArgument
from services.common.lease import Fence, lost
from services.common.office import Office
from services.common.store import Store
from services.common.telemetry import OFF, Telemetry, Value
from services.ingest.commit import TOUCHES, Committer, Submission
from services.ingest.queries import FACT_TABLES
from zhengming.ingest.v1 import ingest_pb2 as pb
from zhengming.ingest.v1 import ingest_pb2_grpc as pb_grpc

COMMIT_TIMEOUT_S = 60.0


class Committing:
    """What every process of ingest has; validation is done in each, one of them commits."""

    def __init__(self, store: Store, clock: Clock, telemetry: Telemetry = OFF) -> None:
        self._store, self._clock, self._telemetry = store, clock, telemetry
        self._local: Committer | None = None
        self.office: Office | None = None
        """Knows the owner; None: it is this process."""

    def take_up(self, fence: Fence | None) -> None:
        """Commit here from now on."""
        self._local = Committer(self._store, self._clock, fence, self._telemetry)

    def lay_down(self) -> None:
        """Commit what waits, then no more."""
        local, self._local = self._local, None
        if local is not None:
            local.close()

    def values(self) -> list[Value]:
        """Gauges of the queue; none where another process commits."""
        local = self._local
        return [] if local is None else local.values()

    @property
    def here(self) -> Committer:
        """The committer of this process.

        Raises:
            Unavailable: LEASE_LOST: it has none.
        """
        local = self._local
        if local is None:
            raise lost("ingest")
        return local

    def submit(self, submission: Submission) -> npt.NDArray[np.bool_]:
        """Wait until the rows are durable. Returns whether each is new, bool (n,).

        Raises:
            ResourceExhausted: QUEUE_FULL.
            Unavailable: STORE_UNAVAILABLE, LEASE_LOST, NOT_READY, CALL_FAILED; the rows may or may
                not be there: send them again.
        """
        if submission.row_count == 0:
            return np.zeros(0, dtype=bool)
        office = self.office
        channel = None if office is None else office.owner(2 * office.lease.ttl_s)
        if office is None or channel is None:
            return self.here.submit(submission)
        try:
            answer = pb_grpc.IngestServiceStub(channel).CommitRows(
                to_wire(submission), timeout=_timeout_s(submission)
            )
        except grpc.RpcError as error:
            raise office.failed(channel, error) from error
        return np.unpackbits(
            np.frombuffer(answer.new, np.uint8), count=submission.row_count
        ).astype(bool)


def _timeout_s(submission: Submission) -> float:
    return min(COMMIT_TIMEOUT_S, max(submission.until - time.monotonic(), 0.0))


def to_wire(submission: Submission) -> pb.CommitRowsRequest:
    """A submission as another process takes it."""
    table = pa.table({name: pa.array(column) for name, column in submission.columns.items()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    request = pb.CommitRowsRequest(table=submission.table, rows=sink.getvalue().to_pybytes())
    for name, row in submission.names:
        if name == "sources":
            request.names.add(key=row[0], text=row[1])
        else:
            request.names.add(key=row[0], source=row[1], text=row[2])
    return request


def from_wire(request: pb.CommitRowsRequest, until: float = math.inf) -> Submission:
    """A submission of another process, which waits for it until that time.monotonic().

    Raises:
        InvalidArgument: FIELD_OUT_OF_RANGE.
    """
    if request.table not in (*FACT_TABLES, TOUCHES):
        raise InvalidArgument(
            "FIELD_OUT_OF_RANGE", "no such table of facts", field="table", value="", expected=""
        )
    try:
        with pa.ipc.open_stream(request.rows) as reader:
            table = reader.read_all()
        columns: dict[str, npt.NDArray[Any]] = {
            name: table[name].to_numpy() for name in table.column_names
        }
        names: list[tuple[str, tuple[object, ...]]] = [
            ("labels", (name.key, name.source, name.text))
            if name.source
            else ("sources", (name.key, name.text))
            for name in request.names
        ]
        return Submission(request.table, columns, names, until)
    except (pa.ArrowException, KeyError) as error:
        raise InvalidArgument(
            "FIELD_OUT_OF_RANGE", "rows are no columns", field="rows", value="", expected=""
        ) from error
