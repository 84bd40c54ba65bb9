"""Jobs that outlast a call: google.longrunning Operations, kept by the process that runs them."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence

import grpc
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf.message import Message
from google.rpc import status_pb2

from services.common import errors, rpc
from services.common.office import Office, forward
from services.common.telemetry import OFF, Telemetry, names
from services.common.times import seconds

log = logging.getLogger(__name__)

OK, FAILED, INTERNAL = "ok", "failed", "internal"
"""Outcomes of jobs as metrics name them; failed: for a reason that whoever started it was told."""


class Operations(operations_pb2_grpc.OperationsServicer):  # type: ignore[misc] # untyped
    """Runs one job of a kind at a time, each in a thread of its own."""

    def __init__(self, telemetry: Telemetry = OFF) -> None:
        self._telemetry = telemetry
        self.offices: Sequence[Office] = ()
        """Whose owners are asked about a job that does not run here."""
        self._lock = threading.Lock()
        self._operations: dict[str, operations_pb2.Operation] = {}
        self._running: dict[str, threading.Thread] = {}
        self._done = threading.Condition(self._lock)

    def start(self, job: str, work: Callable[[], Message]) -> operations_pb2.Operation:
        """Start a job whose answer is a message.

        Raises:
            FailedPrecondition: JOB_RUNNING, if one of this kind runs.
        """
        name = f"operations/{job}-{uuid.uuid4().hex[:12]}"
        with self._lock:
            if job in self._running:
                raise errors.FailedPrecondition(
                    "JOB_RUNNING", f"a job {job} is running; wait for it", job=job
                )
            thread = threading.Thread(target=self._run, args=(name, job, work), name=job)
            self._operations[name] = operations_pb2.Operation(name=name)
            self._running[job] = thread
        for outcome in (OK, FAILED, INTERNAL):
            self._telemetry.expect(names.JOBS, job, outcome)
        thread.start()
        return self._get(name)

    def GetOperation(
        self, request: operations_pb2.GetOperationRequest, context: grpc.ServicerContext
    ) -> operations_pb2.Operation:
        """Answer how far a job is."""
        return self._elsewhere("GetOperation", request, context) or self._get(request.name)

    def WaitOperation(
        self, request: operations_pb2.WaitOperationRequest, context: grpc.ServicerContext
    ) -> operations_pb2.Operation:
        """Answer when a job is done, or after the timeout (at most 60 s), whichever is first."""
        if found := self._elsewhere("WaitOperation", request, context):
            return found
        self._get(request.name)
        timeout_s = seconds(request.timeout) or 60.0
        with self._done:
            self._done.wait_for(lambda: self._operations[request.name].done, min(timeout_s, 60.0))
        return self._get(request.name)

    def join(self) -> None:
        """Wait for every running job."""
        with self._lock:
            threads = list(self._running.values())
        for thread in threads:
            thread.join()

    def _elsewhere(
        self, method: str, request: Message, context: grpc.ServicerContext
    ) -> operations_pb2.Operation | None:
        """What an owner answers about a job that is unknown here; None without one that does."""
        if request.name in self._operations:  # type: ignore[attr-defined]
            return None
        path = f"/google.longrunning.Operations/{method}"
        for office in self.offices:
            try:
                channel = office.owner(0.0)
                if channel is not None:
                    answer = forward(office, channel, path, request.SerializeToString(), context)
                    return operations_pb2.Operation.FromString(answer)
            except (errors.NotFound, errors.Unavailable):
                continue
        return None

    def _get(self, name: str) -> operations_pb2.Operation:
        with self._lock:
            operation = self._operations.get(name)
            if operation is None:
                raise errors.NotFound(
                    "OPERATION_NOT_FOUND", f"no operation {name[:100]!r}", operation=name[:100]
                )
            answer = operations_pb2.Operation()
            answer.CopyFrom(operation)
            return answer

    def _run(self, name: str, job: str, work: Callable[[], Message]) -> None:
        result = operations_pb2.Operation(name=name, done=True)
        begun, outcome = time.monotonic(), OK
        try:
            result.response.Pack(work())
        except Exception as error:  # the caller must learn that the job is over
            told = error if isinstance(error, errors.DomainError) else rpc.not_ready(error)
            if told is not None:
                outcome, status = FAILED, rpc.to_status_proto(told)
                log.warning("job failed: %s: %s", told.reason, error, extra={"job": job})
            else:
                code = grpc.StatusCode.INTERNAL.value[0]
                outcome, status = INTERNAL, status_pb2.Status(code=code, message="internal error")
                log.exception("job failed", extra={"job": job})
            result.error.CopyFrom(status)
        self._telemetry.record(names.JOBS, time.monotonic() - begun, job, outcome)
        with self._done:
            self._operations[name] = result
            del self._running[job]
            self._done.notify_all()


JOB_SERVICES = {
    "features": "features",
    "arbitration": "arbitration",
    "priors": "scoring",
    "scoring": "scoring",
    "training": "scoring",
    "publishing": "reputation",
}
"""Which service runs the jobs of a kind."""


class Everywhere:
    """Operations of services apart, each asked of the service that runs it."""

    def __init__(self, stub_of: Callable[[str], operations_pb2_grpc.OperationsStub]) -> None:
        """Given the stub of a service by its name; "" for a job of none that is known."""
        self._stub_of = stub_of

    def GetOperation(
        self, request: operations_pb2.GetOperationRequest, timeout: float | None = None
    ) -> operations_pb2.Operation:
        """How far a job is."""
        return self._stub(request.name).GetOperation(request, timeout=timeout)

    def WaitOperation(
        self, request: operations_pb2.WaitOperationRequest, timeout: float | None = None
    ) -> operations_pb2.Operation:
        """How far a job is, when it is done or time is up."""
        return self._stub(request.name).WaitOperation(request, timeout=timeout)

    def _stub(self, name: str) -> operations_pb2_grpc.OperationsStub:
        job = name.removeprefix("operations/").rpartition("-")[0]
        return self._stub_of(JOB_SERVICES.get(job, ""))


def wait(
    stub: operations_pb2_grpc.OperationsStub, operation: operations_pb2.Operation, answer: Message
) -> None:
    """Wait for a job and read its answer into `answer`.

    Raises:
        DomainError: what the job failed with.
    """
    while not operation.done:
        request = operations_pb2.WaitOperationRequest(name=operation.name)
        request.timeout.seconds = 30
        operation = stub.WaitOperation(request, timeout=60)
    if operation.HasField("error"):
        failure = rpc.from_status_proto(operation.error)
        raise failure or errors.Unavailable("JOB_FAILED", operation.error.message)
    operation.response.Unpack(answer)
