"""What a job that fails answers, and a job whose dependency comes late."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.longrunning import operations_pb2
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.common import operations, rpc
from services.common.errors import InvalidArgument, Unavailable
from services.common.operations import Operations
from tests.clickhouse_server import free_ports

NOWHERE = "dns://127.0.0.1:1/no-such-service:50051"


def failure_of(work):
    """The error of a job, as whoever waits for it gets it."""
    jobs = Operations()
    begun = jobs.start("features", work)
    request = operations_pb2.WaitOperationRequest(name=begun.name)
    done = jobs.WaitOperation(request, None)
    with pytest.raises(Exception) as failed:
        operations.wait(None, done, StringValue())
    return failed.value


def checks():
    made = health.HealthServicer()
    made.set("", health_pb2.HealthCheckResponse.SERVING)
    return made


def check(address, **options):
    with rpc.connect(address) as channel:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), **options)
    return StringValue(value="answered")


@pytest.mark.parametrize("address", [NOWHERE, "127.0.0.1:1"])
def test_a_job_says_that_a_service_it_needs_does_not_answer(address):
    failure = failure_of(lambda: check(address, timeout=30))

    assert isinstance(failure, Unavailable)
    assert failure.reason == "NOT_READY"
    assert "does not answer" in str(failure)


def test_a_job_says_what_the_domain_says():
    def work():
        raise InvalidArgument("TIME_IN_FUTURE", "as_of_time is in the future", field="as_of_time")

    failure = failure_of(work)

    assert (type(failure), failure.reason) == (InvalidArgument, "TIME_IN_FUTURE")
    assert failure.metadata == {"field": "as_of_time"}


def test_a_bug_in_a_job_is_told_without_its_words():
    failure = failure_of(lambda: {}["secret"])

    assert (failure.reason, str(failure)) == ("JOB_FAILED", "internal error")


def test_a_job_that_waits_outlasts_a_service_that_comes_late():
    (port,) = free_ports(1)
    jobs = Operations()
    begun = jobs.start(
        "features", lambda: check(f"127.0.0.1:{port}", timeout=60, wait_for_ready=True)
    )
    threading.Event().wait(1.0)
    asked = operations_pb2.GetOperationRequest(name=begun.name)
    assert not jobs.GetOperation(asked, None).done

    server = grpc.server(ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(checks(), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    request = operations_pb2.WaitOperationRequest(name=begun.name)
    answer = StringValue()
    operations.wait(None, jobs.WaitOperation(request, None), answer)
    server.stop(None)

    assert answer.value == "answered"
