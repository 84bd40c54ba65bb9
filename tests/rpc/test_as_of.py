"""What a lookup would have answered at a time, over a real channel."""

import threading
import time

from tests.answers import failure
from zhengming.arbitration.v1 import arbitration_pb2
from zhengming.reputation.v1 import reputation_pb2 as pb

DEADLINE_S = 60
DAY_MS = 86_400_000
NUMBER = "+8613600000001"


def decide(services, category, number=NUMBER):
    request = arbitration_pb2.SubmitDecisionsRequest()
    decision = request.decisions.add(number=number, category=category)
    decision.decided_time.FromMilliseconds(services.clock.now_ms)
    services.stubs.arbitration.SubmitDecisions(request)
    until, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while time.monotonic() < until:
        found = services.stubs.reputation.GetReputation(pb.GetReputationRequest(number=number))
        if found.category == category:
            return found
        pause.wait(0.02)
    raise AssertionError("never published")


def as_of(services, at_ms, number=NUMBER):
    request = pb.GetReputationAsOfRequest(number=number)
    request.as_of_time.FromMilliseconds(at_ms)
    return services.stubs.reputation.GetReputationAsOf(request)


def test_a_number_is_answered_as_it_was(services):
    began_ms = services.clock.now_ms
    first = decide(services, "A3101")
    services.clock.now_ms += DAY_MS
    decide(services, "A1100")

    before, after = as_of(services, began_ms), as_of(services, services.clock.now_ms)

    first.ClearField("max_age_s")
    assert before.reputation == first
    assert before.publish_time.ToMilliseconds() == began_ms
    assert after.reputation.category == "A1100"
    assert after.version > before.version
    unknown = as_of(services, services.clock.now_ms, "+8613600000999").reputation
    assert unknown.state == pb.REPUTATION_STATE_UNKNOWN


def test_before_the_first_version_there_is_no_answer(services):
    decide(services, "A3101", "+8613600000002")

    assert failure(lambda: as_of(services, 1_000_000_000_000)) == "VERSION_NOT_FOUND"


def test_a_time_is_needed(services):
    request = pb.GetReputationAsOfRequest(number=NUMBER)

    call = services.stubs.reputation.GetReputationAsOf
    assert failure(lambda: call(request)) == "FIELD_REQUIRED"
    assert failure(lambda: as_of(services, 1_000)) == "TIME_INVALID"
    assert failure(lambda: as_of(services, 1_790_000_000_000, "12")) == "NUMBER_INVALID"


def test_every_answer_says_how_long_it_may_be_kept(services):
    known = decide(services, "A3101", "+8613600000003")
    unknown = services.stubs.reputation.GetReputation(
        pb.GetReputationRequest(number="+8613600000998")
    )

    assert known.max_age_s > unknown.max_age_s > 0
