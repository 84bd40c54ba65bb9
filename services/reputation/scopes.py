"""Which fields of an answer a caller may see, by its scopes (DESIGN section 9). Pure."""

from collections.abc import Iterable

from services.common.identity.clients import Client
from services.common.wire import without_making
from zhengming.reputation.v1 import reputation_pb2 as pb
from zhengming.type.v1.evidence_pb2 import Evidence

JUDGING = frozenset({"reviewer", "auditor", "authority", "service"})
"""Scopes of those who judge."""


def sees_making(client: Client | None) -> bool:
    """Whether a caller sees what decided (wire.MAKING); without a guard anybody does."""
    return client is None or bool(client.scopes & JUDGING)


def cut(
    explained: pb.ExplainReputationResponse, client: Client | None
) -> pb.ExplainReputationResponse:
    """An explanation as a caller may see it.

    Others than judges are told what their own source says; of the others, what they say without
    their names, and not how much each is believed: a vendor sees its own only.
    """
    if client is None or sees_making(client):
        return explained
    without_making(explained.reputation)
    explained.ClearField("accuracy_run_id")
    own = [e for e in explained.evidence if e.source == client.acts_as]
    others = [e for e in explained.evidence if e.source != client.acts_as]
    explained.ClearField("evidence")
    explained.evidence.extend([*own, *_nameless(others)])
    return explained


def _nameless(evidence: Iterable[Evidence]) -> list[Evidence]:
    """Marks by category: neither who made them nor in whose words."""
    found: dict[str, Evidence] = {}
    for each in evidence:
        known = found.setdefault(each.category, Evidence(category=each.category))
        known.mark_count += each.mark_count
    return list(found.values())
