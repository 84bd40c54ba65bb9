"""Stubs of all services, for those that call them from inside."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import grpc
from google.longrunning import operations_pb2_grpc

from services.common import operations, rpc
from services.common.errors import Unavailable
from services.common.telemetry import Telemetry
from services.configuration import Configuration
from zhengming.arbitration.v1 import (
    arbitration_pb2_grpc,
    dispute_pb2_grpc,
    ledger_pb2_grpc,
    notice_pb2_grpc,
    referral_pb2_grpc,
)
from zhengming.features.v1 import features_pb2_grpc
from zhengming.ingest.v1 import ingest_pb2, ingest_pb2_grpc, number_pb2_grpc, taxonomy_pb2_grpc
from zhengming.reputation.v1 import feed_pb2_grpc, reputation_pb2_grpc
from zhengming.scoring.v1 import scoring_pb2_grpc

TOUCHES = 10_000
TOUCH_TIMEOUT_S = 20


class Late:
    """An address that is known once the server listens."""

    value = ""


class Stubs:
    """Stubs of the services, to their own process or to this one; channels open on first use."""

    def __init__(self, configuration: Configuration, telemetry: Telemetry) -> None:
        self._peers = configuration.peers
        self._certificates = configuration.identity.own()
        self._telemetry = telemetry
        self._channels: dict[str, grpc.Channel] = {}
        self.own = Late()
        self.ingest: ingest_pb2_grpc.IngestServiceStub = self._lazy(
            "ingest", ingest_pb2_grpc.IngestServiceStub
        )
        self.features: features_pb2_grpc.FeaturesServiceStub = self._lazy(
            "features", features_pb2_grpc.FeaturesServiceStub
        )
        self.taxonomy: taxonomy_pb2_grpc.TaxonomyServiceStub = self._lazy(
            "ingest", taxonomy_pb2_grpc.TaxonomyServiceStub
        )
        self.numbers: number_pb2_grpc.NumberServiceStub = self._lazy(
            "ingest", number_pb2_grpc.NumberServiceStub
        )
        self.arbitration: arbitration_pb2_grpc.ArbitrationServiceStub = self._lazy(
            "arbitration", arbitration_pb2_grpc.ArbitrationServiceStub
        )
        self.disputes: dispute_pb2_grpc.DisputeServiceStub = self._lazy(
            "arbitration", dispute_pb2_grpc.DisputeServiceStub
        )
        self.ledger: ledger_pb2_grpc.LedgerServiceStub = self._lazy(
            "arbitration", ledger_pb2_grpc.LedgerServiceStub
        )
        self.referrals: referral_pb2_grpc.ReferralServiceStub = self._lazy(
            "arbitration", referral_pb2_grpc.ReferralServiceStub
        )
        self.notices: notice_pb2_grpc.NoticeServiceStub = self._lazy(
            "arbitration", notice_pb2_grpc.NoticeServiceStub
        )
        self.reputation: reputation_pb2_grpc.ReputationServiceStub = self._lazy(
            "reputation", reputation_pb2_grpc.ReputationServiceStub
        )
        self.feed: feed_pb2_grpc.FeedServiceStub = self._lazy(
            "reputation", feed_pb2_grpc.FeedServiceStub
        )
        self.scoring: scoring_pb2_grpc.ScoringServiceStub = self._lazy(
            "scoring", scoring_pb2_grpc.ScoringServiceStub
        )
        everywhere = operations.Everywhere(
            lambda name: operations_pb2_grpc.OperationsStub(self._channel(name))
        )
        self.operations = cast(operations_pb2_grpc.OperationsStub, everywhere)

    def _lazy(self, name: str, make: Callable[[grpc.Channel], object]) -> Any:
        return _LazyStub(lambda: make(self._channel(name)))

    def _channel(self, name: str) -> grpc.Channel:
        address = self._peers.get(name) or self.own.value
        if address not in self._channels:
            self._channels[address] = self.connect(address)
        return self._channels[address]

    def connect(self, address: str) -> grpc.Channel:
        """A channel to another process of ours; the caller closes it."""
        return self._telemetry.channel(rpc.connect(address, self._certificates))

    def touch(self, numbers: Sequence[int]) -> None:
        """Have numbers published anew.

        Raises:
            Unavailable: CALL_FAILED.
        """
        for start in range(0, len(numbers), TOUCHES):
            part = ingest_pb2.TouchNumbersRequest(number_keys=numbers[start : start + TOUCHES])
            try:
                self.ingest.TouchNumbers(part, timeout=TOUCH_TIMEOUT_S)
            except grpc.RpcError as error:
                raise rpc.to_domain_error(error) or Unavailable(
                    "NOT_READY", "ingest does not answer", service="ingest"
                ) from error

    def close(self) -> None:
        """Close the channels."""
        for channel in self._channels.values():
            channel.close()


class _LazyStub:
    """A stub made at its first call: the port is known only once the server listens."""

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> object:
        stub = self.__dict__.setdefault("_stub", None) or self._make()
        self.__dict__["_stub"] = stub
        return getattr(stub, name)
