"""Having features, priors and posteriors computed as of a past time."""

from collections.abc import Callable

from google.longrunning import operations_pb2_grpc

from services.common import operations as jobs
from zhengming.arbitration.v1 import arbitration_pb2, arbitration_pb2_grpc
from zhengming.features.v1 import features_pb2, features_pb2_grpc


def prepare(
    features: features_pb2_grpc.FeaturesServiceStub,
    arbitration: arbitration_pb2_grpc.ArbitrationServiceStub,
    waiting: operations_pb2_grpc.OperationsStub,
    as_of: int,
    priors: Callable[[int], object] | None = None,
    judge: bool = True,
) -> int:
    """Run the jobs as of a time; the run's id.

    Args:
        priors: writes the priors of a run, before it is judged; None: judged by marks alone.
        judge: whether to have the marks judged.
    """
    request = features_pb2.BuildFeaturesRequest()
    request.as_of_time.FromMilliseconds(as_of)
    built = features_pb2.BuildFeaturesResponse()
    jobs.wait(waiting, features.BuildFeatures(request, timeout=60, wait_for_ready=True), built)
    run = int(built.run_id)
    if priors is not None:
        priors(run)
    if judge:
        ask = arbitration_pb2.RunArbitrationRequest(run_id=built.run_id)
        ask.as_of_time.FromMilliseconds(as_of)
        judged = arbitration_pb2.RunArbitrationResponse()
        jobs.wait(waiting, arbitration.RunArbitration(ask, timeout=60, wait_for_ready=True), judged)
    return run
