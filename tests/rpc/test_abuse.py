"""What clients must not do is refused, changes nothing, and leaves its trace in the log."""

import logging

import grpc
import numpy as np
import pytest

from services.application import store_of
from services.cli.session import Stubs
from services.common import rpc
from services.common.identity.caller import BEHALF
from services.common.numbering import parse
from tests.rpc.test_identity import NUMBER, marks, secured, stored_marks, token
from zhengming.arbitration.v1 import arbitration_pb2, dispute_pb2
from zhengming.ingest.v1 import ingest_pb2
from zhengming.reputation.v1 import feed_pb2, reputation_pb2
from zhengming.scoring.v1 import scoring_pb2

__all__ = ["secured"]

GUARD = "services.common.identity.guard"


def refusal(caplog, client, call):
    """The error of a call that is refused, after a look at its trace."""
    caplog.clear()
    with caplog.at_level(logging.WARNING, GUARD), pytest.raises(grpc.RpcError) as refused:
        call()
    error = rpc.to_domain_error(refused.value)
    traces = [record for record in caplog.records if record.name == GUARD]
    assert [(t.client, t.reason) for t in traces] == [(client, error.reason)]
    return error


DENIED = {
    "another's scorecard": (
        "app-lan",
        lambda s: s.arbitration.GetScorecard(arbitration_pb2.GetScorecardRequest(source="app-sun")),
    ),
    "everybody's accuracy": (
        "app-lan",
        lambda s: s.arbitration.ListSources(arbitration_pb2.ListSourcesRequest()),
    ),
    "what became of another's marks": (
        "app-lan",
        lambda s: s.ingest.GetMarkStatus(
            ingest_pb2.GetMarkStatusRequest(source="app-sun", mark_ids=["1"])
        ),
    ),
    "marks in another's name": (
        "app-lan",
        lambda s: s.ingest.SubmitMarks(marks("app-sun", "x")),
    ),
    "another's receipt": (
        "app-lan",
        lambda s: s.feed.ReportApplied(feed_pb2.ReportAppliedRequest(consumer="cmcc")),
    ),
    "rows past every check": (
        "app-lan",
        lambda s: s.ingest.CommitRows(ingest_pb2.CommitRowsRequest(table="marks")),
    ),
    "another model": (
        "app-lan",
        lambda s: s.scoring.RollbackModel(scoring_pb2.RollbackModelRequest(name="risk")),
    ),
    "a decision": (
        "cmcc",
        lambda s: s.arbitration.SubmitDecisions(arbitration_pb2.SubmitDecisionsRequest()),
    ),
    "somebody's papers": (
        "ops",
        lambda s: s.disputes.GetDispute(dispute_pb2.GetDisputeRequest(case_number="1")),
    ),
    "a call as if passed on for another": (
        "app-lan",
        lambda s: s.ingest.ListChanges(
            ingest_pb2.ListChangesRequest(),
            metadata=((BEHALF, b"zhengming"), ("zhengming-forwarded", "1")),
        ),
    ),
}


@pytest.mark.parametrize(("client", "call"), DENIED.values(), ids=DENIED)
def test_what_is_not_for_a_client_is_denied_and_leaves_a_trace(secured, caplog, client, call):
    before = stored_marks(secured)

    with secured.as_client(client) as channel:
        error = refusal(caplog, client, lambda: call(Stubs.of(channel)))

    assert error.reason == "PERMISSION_DENIED"
    assert stored_marks(secured) == before


def test_numbers_cannot_be_told_one_after_the_other(secured, caplog):
    keys = np.arange(6, dtype="<i8") + parse(NUMBER, "CN").key
    request = reputation_pb2.LookupColumnsRequest(number_keys=keys.tobytes())
    secured.clock.now_ms += 60_000

    with secured.as_client("hasty") as channel:
        stub = Stubs.of(channel).reputation
        stub.LookupColumns(request)  # as many as it has, and no more
        error = refusal(caplog, "hasty", lambda: stub.LookupColumns(request))

    assert error.reason == "RATE_LIMITED"


def test_more_connections_are_no_larger_quota(secured, caplog):
    request = reputation_pb2.GetReputationRequest(number=NUMBER)
    secured.clock.now_ms += 60_000
    for _ in range(5):
        with secured.as_client("hasty") as channel:
            Stubs.of(channel).reputation.GetReputation(request)

    with secured.as_client("hasty") as channel:
        stub = Stubs.of(channel).reputation
        error = refusal(caplog, "hasty", lambda: stub.GetReputation(request))

    assert error.reason == "RATE_LIMITED"


def test_a_batch_sent_again_counts_once(secured):
    with secured.as_client("app-lan") as channel:
        ingest = Stubs.of(channel).ingest
        first = ingest.SubmitMarks(marks("app-lan", "replayed"))
        before = stored_marks(secured)
        again = ingest.SubmitMarks(marks("app-lan", "replayed"))

    assert stored_marks(secured) == before
    assert first.results[0].outcome == ingest_pb2.ITEM_OUTCOME_COMMITTED
    assert again.results[0].outcome == ingest_pb2.ITEM_OUTCOME_DUPLICATE


def test_the_name_of_another_source_s_reporter_is_a_reporter_of_one_s_own(secured):
    for client in ("app-lan", "hasty"):
        with secured.as_client(client) as channel:
            Stubs.of(channel).ingest.SubmitMarks(marks(client, f"stolen-{client}"))

    found = store_of(secured.application).query(
        "SELECT uniqExact(source) AS sources, uniqExact(reporter) AS reporters FROM marks"
    )
    assert found.to_pylist() == [{"sources": 2, "reporters": 2}]


def test_a_stolen_or_stale_token_is_refused_and_leaves_a_trace(secured, caplog):
    request = reputation_pb2.GetReputationRequest(number=NUMBER)

    with secured.with_token(token(sub="nobody")) as channel:
        stub = Stubs.of(channel).reputation
        error = refusal(caplog, "", lambda: stub.GetReputation(request))

    assert error.reason == "UNAUTHENTICATED"
