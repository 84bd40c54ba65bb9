"""Where a command's calls go: a running server, or services started here over an embedded store."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import cast

import grpc
from google.longrunning import operations_pb2_grpc
from google.protobuf.message import Message

from services.cli.target import Target, connect
from services.common import allocation, operations, rpc
from services.configuration import NAMES, environment
from zhengming.arbitration.v1 import (
    arbitration_pb2,
    arbitration_pb2_grpc,
    dispute_pb2_grpc,
    ledger_pb2_grpc,
    notice_pb2_grpc,
    referral_pb2_grpc,
)
from zhengming.features.v1 import features_pb2, features_pb2_grpc
from zhengming.ingest.v1 import ingest_pb2_grpc, number_pb2_grpc, taxonomy_pb2_grpc
from zhengming.reputation.v1 import feed_pb2_grpc, reputation_pb2, reputation_pb2_grpc
from zhengming.scoring.v1 import scoring_pb2, scoring_pb2_grpc

Step = Callable[[str], None]
"""Told the name of each step as it begins."""


@dataclass(frozen=True)
class Stubs:
    """The services that a command calls."""

    ingest: ingest_pb2_grpc.IngestServiceStub
    taxonomy: taxonomy_pb2_grpc.TaxonomyServiceStub
    numbers: number_pb2_grpc.NumberServiceStub
    features: features_pb2_grpc.FeaturesServiceStub
    arbitration: arbitration_pb2_grpc.ArbitrationServiceStub
    disputes: dispute_pb2_grpc.DisputeServiceStub
    ledger: ledger_pb2_grpc.LedgerServiceStub
    referrals: referral_pb2_grpc.ReferralServiceStub
    notices: notice_pb2_grpc.NoticeServiceStub
    scoring: scoring_pb2_grpc.ScoringServiceStub
    reputation: reputation_pb2_grpc.ReputationServiceStub
    feed: feed_pb2_grpc.FeedServiceStub
    operations: operations_pb2_grpc.OperationsStub

    @classmethod
    def of(cls, channel: grpc.Channel) -> "Stubs":
        """Stubs over one channel."""
        return cls._over(dict.fromkeys(NAMES, channel), operations_pb2_grpc.OperationsStub(channel))

    @classmethod
    def apart(cls, channels: Mapping[str, grpc.Channel]) -> "Stubs":
        """Stubs over a channel for each service."""
        waiting = operations.Everywhere(
            lambda name: operations_pb2_grpc.OperationsStub(channels[name])
        )
        return cls._over(channels, cast(operations_pb2_grpc.OperationsStub, waiting))

    @classmethod
    def _over(
        cls, channels: Mapping[str, grpc.Channel], waiting: operations_pb2_grpc.OperationsStub
    ) -> "Stubs":
        return cls(
            ingest_pb2_grpc.IngestServiceStub(channels["ingest"]),
            taxonomy_pb2_grpc.TaxonomyServiceStub(channels["ingest"]),
            number_pb2_grpc.NumberServiceStub(channels["ingest"]),
            features_pb2_grpc.FeaturesServiceStub(channels["features"]),
            arbitration_pb2_grpc.ArbitrationServiceStub(channels["arbitration"]),
            dispute_pb2_grpc.DisputeServiceStub(channels["arbitration"]),
            ledger_pb2_grpc.LedgerServiceStub(channels["arbitration"]),
            referral_pb2_grpc.ReferralServiceStub(channels["arbitration"]),
            notice_pb2_grpc.NoticeServiceStub(channels["arbitration"]),
            scoring_pb2_grpc.ScoringServiceStub(channels["scoring"]),
            reputation_pb2_grpc.ReputationServiceStub(channels["reputation"]),
            feed_pb2_grpc.FeedServiceStub(channels["reputation"]),
            waiting,
        )


@contextmanager
def connected(store: str, server: str) -> Iterator[Stubs]:
    """Stubs to `server`, or to services started over `store` for as long as the block runs.

    Raises:
        DomainError: what a call failed with, in the words of the service.
    """
    if server:
        with connect(server) as channel:
            yield from _translated(Stubs.of(channel))
        return
    if all(Target.peers.get(name) for name in NAMES):
        with ExitStack() as open_channels:
            channels = {
                name: open_channels.enter_context(connect(Target.peers[name])) for name in NAMES
            }
            yield from _translated(Stubs.apart(channels))
        return
    allocation.keep_little(allocation.COMMAND_ARRAY_BYTES)
    from services.application import Application  # all services: seconds that others need not wait

    configuration = environment({"ZHENGMING_STORE": store, "ZHENGMING_ADDRESS": "127.0.0.1:0"})
    if not store.startswith("chdb:"):  # a server may be writing the folder of the published state
        configuration = dataclasses.replace(configuration, published=None)
    application = Application(configuration)
    try:
        with rpc.connect(application.address) as channel:
            yield from _translated(Stubs.of(channel))
    finally:
        application.stop()


def _translated(stubs: Stubs) -> Iterator[Stubs]:
    try:
        yield stubs
    except grpc.RpcError as error:
        raise rpc.translated(error) from None


def run_pipeline(
    stubs: Stubs, as_of_ms: int | None, step: Step, max_churn: float | None = None
) -> reputation_pb2.PublishReputationsResponse:
    """Features, priors, arbitration, scoring, publishing, one after the other."""

    def timed(request: Message) -> Message:
        if as_of_ms is not None:
            request.as_of_time.FromMilliseconds(as_of_ms)  # type: ignore[attr-defined]
        return request

    step("features")
    built = features_pb2.BuildFeaturesResponse()
    request = timed(features_pb2.BuildFeaturesRequest())
    operations.wait(stubs.operations, stubs.features.BuildFeatures(request, timeout=60), built)
    step("priors")
    operations.wait(
        stubs.operations,
        stubs.scoring.RunPriors(scoring_pb2.RunPriorsRequest(run_id=built.run_id), timeout=60),
        scoring_pb2.RunPriorsResponse(),
    )
    step("arbitration")
    judge = timed(arbitration_pb2.RunArbitrationRequest(run_id=built.run_id))
    judged = arbitration_pb2.RunArbitrationResponse()
    operations.wait(stubs.operations, stubs.arbitration.RunArbitration(judge, timeout=60), judged)
    step("scoring")
    operations.wait(
        stubs.operations,
        stubs.scoring.RunScoring(scoring_pb2.RunScoringRequest(run_id=built.run_id), timeout=60),
        scoring_pb2.RunScoringResponse(),
    )
    step("publishing")
    published = reputation_pb2.PublishReputationsResponse()
    publish = reputation_pb2.PublishReputationsRequest(
        run_id=built.run_id, max_churn_ratio=max_churn
    )
    operations.wait(
        stubs.operations, stubs.reputation.PublishReputations(publish, timeout=60), published
    )
    return published
