"""What a caller may see of a reputation."""

import pytest

from services.common.identity.clients import Client
from services.common.wire import MAKING
from services.reputation.scopes import cut, sees_making
from zhengming.reputation.v1 import reputation_pb2 as pb
from zhengming.type.v1.evidence_pb2 import Evidence


def client(*scopes):
    return Client("app-lan", frozenset(scopes), "app-lan")


def explained():
    answer = pb.ExplainReputationResponse(accuracy_run_id="7")
    answer.reputation.rule, answer.reputation.model_version = "crowd/2", "risk-3"
    answer.reputation.risk = 0.5
    answer.evidence.extend(
        [
            Evidence(source="app-mei", label="欺诈", category="A1000", mark_count=5, weight=3.0),
            Evidence(source="app-lan", label="诈骗", category="A1000", mark_count=2, weight=2.0),
            Evidence(source="12321", label="3", category="A1000", mark_count=1, log_odds=2.0),
            Evidence(source="12321", label="9", category="A3107", mark_count=4),
        ]
    )
    return answer


@pytest.mark.parametrize(
    ("scopes", "sees"),
    [
        (["vendor"], False),
        (["carrier"], False),
        (["operator"], False),
        ([], False),
        (["reviewer"], True),
        (["vendor", "auditor"], True),
        (["authority"], True),
        (["service"], True),
    ],
)
def test_what_decided_is_for_those_who_judge(scopes, sees):
    assert sees_making(client(*scopes)) is sees


def test_without_a_guard_everything_is_seen():
    assert sees_making(None)
    assert cut(explained(), None) == explained()


def test_a_judge_sees_the_whole_explanation():
    assert cut(explained(), client("reviewer")) == explained()


def test_a_vendor_sees_its_own_source_and_of_others_what_they_say():
    found = cut(explained(), client("vendor"))

    assert [(e.source, e.category, e.mark_count) for e in found.evidence] == [
        ("app-lan", "A1000", 2),
        ("", "A1000", 6),
        ("", "A3107", 4),
    ]
    assert found.evidence[0] == explained().evidence[1]
    assert not any(e.label or e.weight or e.log_odds for e in found.evidence[1:])


def test_a_vendor_is_not_told_what_decided():
    found = cut(explained(), client("vendor"))

    assert found.reputation.risk == 0.5
    assert not found.accuracy_run_id
    assert not any(getattr(found.reputation, field) for field in MAKING)
