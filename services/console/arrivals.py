"""Which consumers have what a dispute decided."""

from services.console.web import CALL_S, site
from zhengming.arbitration.v1 import dispute_pb2
from zhengming.reputation.v1 import feed_pb2


def arrivals(dispute: dispute_pb2.Dispute) -> feed_pb2.Propagation | None:
    """How far the change after the newest decision has come; None before any decision."""
    if not dispute.HasField("decide_time"):
        return None
    request = feed_pb2.GetPropagationRequest(number=dispute.number, since_time=dispute.decide_time)
    return site().upstream.feed.GetPropagation(request, timeout=CALL_S)
