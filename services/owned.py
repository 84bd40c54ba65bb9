"""Which calls only the owner of a service's lease answers; other processes pass them on."""

from collections.abc import Mapping

from services.common.office import Office
from zhengming.arbitration.v1 import dispute_pb2, ledger_pb2, notice_pb2, referral_pb2

_WHOLE = {
    "arbitration": (
        dispute_pb2.DESCRIPTOR.services_by_name["DisputeService"],
        ledger_pb2.DESCRIPTOR.services_by_name["LedgerService"],
        referral_pb2.DESCRIPTOR.services_by_name["ReferralService"],
        notice_pb2.DESCRIPTOR.services_by_name["NoticeService"],
    )
}
"""Services whose tables have one writer, which knows where they are."""
_METHODS = {
    "ingest": ("/zhengming.ingest.v1.IngestService/ListChanges",),
    "features": ("/zhengming.features.v1.FeaturesService/BuildFeatures",),
    "scoring": tuple(
        f"/zhengming.scoring.v1.ScoringService/{name}"
        for name in ("RunScoring", "RunPriors", "TrainModel")
    ),
    "arbitration": tuple(
        f"/zhengming.arbitration.v1.ArbitrationService/{name}"
        for name in ("RunArbitration", "SubmitDecisions")
    ),
    "reputation": ("/zhengming.reputation.v1.ReputationService/PublishReputations",),
}
"""Single calls, of jobs above all: one of a kind runs at a time."""


def owned(offices: Mapping[str, Office]) -> dict[str, Office]:
    """The offices by the methods that only their owners answer."""
    found = {
        f"/{service.full_name}/{method.name}": offices[name]
        for name, services in _WHOLE.items()
        if name in offices
        for service in services
        for method in service.methods
    }
    for name, methods in _METHODS.items():
        if name in offices:
            found |= dict.fromkeys(methods, offices[name])
    return found
