"""Work on a schedule: python -m services job NAME, as a CronJob or cron starts it."""

import json
from collections.abc import Callable, Mapping

import grpc
from google.longrunning import operations_pb2_grpc

from services.common import operations
from services.common.store import Store
from services.keeping.retention import drop_expired, load
from zhengming.scoring.v1 import scoring_pb2, scoring_pb2_grpc

DAY_MS = 86_400_000
HORIZON_DAYS = 30
TIMEOUT_S = 60


def retrain(channel: grpc.Channel, now_ms: int) -> str:
    """Learn the risk model anew; it takes over if it is better in the newest 30 days.

    Returns:
        Version, whether it is active, and the comparison, as a line of JSON.

    Raises:
        DomainError: what the training failed with.
    """
    request = scoring_pb2.TrainModelRequest(
        name="risk", horizon_days=HORIZON_DAYS, only_if_better=True
    )
    request.as_of_time.FromMilliseconds(now_ms - HORIZON_DAYS * DAY_MS)
    learned = scoring_pb2.Model()
    scoring = scoring_pb2_grpc.ScoringServiceStub(channel)
    operations.wait(
        operations_pb2_grpc.OperationsStub(channel),
        scoring.TrainModel(request, timeout=TIMEOUT_S),
        learned,
    )
    comparison = json.loads(learned.card_json)["comparison"]
    return json.dumps(
        {"version": learned.version, "active": learned.active, "comparison": comparison}
    )


JOBS: Mapping[str, Callable[[grpc.Channel, int], str]] = {"retrain": retrain}
"""By name: given a channel to the scoring service and the time, what it answers."""


def retention(store: Store, now_ms: int) -> str:
    """Drop what is older than its term in services/keeping/terms.yaml.

    Returns:
        Rows dropped by table, as a line of JSON.
    """
    return json.dumps(drop_expired(store, load(), now_ms))


STORE_JOBS: Mapping[str, Callable[[Store, int], str]] = {"retention": retention}
"""Those that work on the store itself."""
