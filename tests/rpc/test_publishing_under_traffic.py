"""A full pass is published although numbers are touched all the while."""

import itertools
import threading

from services.application import store_of
from services.common import operations
from services.common.numbering import parse
from tests.dispute_calls import new_number
from zhengming.arbitration.v1 import arbitration_pb2
from zhengming.features.v1 import features_pb2
from zhengming.ingest.v1 import ingest_pb2
from zhengming.reputation.v1 import reputation_pb2 as pb
from zhengming.scoring.v1 import scoring_pb2

TRIES = 1_200
_ids = itertools.count()


def mark(services, number, reporter):
    batch = ingest_pb2.SubmitMarksRequest(source="app-one")
    entry = batch.marks.add(
        mark_id=f"t{next(_ids)}", number=number, label="骚扰电话", reporter=reporter
    )
    entry.occurred_time.FromMilliseconds(services.clock.now_ms - 1_000)
    assert not services.stubs.ingest.SubmitMarks(batch).results[0].HasField("error")


def marks_shown(services, number, count):
    request, pause = pb.GetReputationRequest(number=number), threading.Event()
    for _ in range(TRIES):
        if services.stubs.reputation.GetReputation(request).mark_count == count:
            return
        pause.wait(0.05)
    raise AssertionError(f"{number} never showed {count} marks")


def scored_run(services, as_of_ms=None):
    """A run that waits to be published; its id."""
    stubs = services.stubs

    def timed(request):
        if as_of_ms is not None:
            request.as_of_time.FromMilliseconds(as_of_ms)
        return request

    def wait(operation, answer):
        operations.wait(stubs.operations, operation, answer)
        return answer

    request = timed(features_pb2.BuildFeaturesRequest())
    run = wait(stubs.features.BuildFeatures(request), features_pb2.BuildFeaturesResponse()).run_id
    judge = timed(arbitration_pb2.RunArbitrationRequest(run_id=run))
    wait(stubs.arbitration.RunArbitration(judge), arbitration_pb2.RunArbitrationResponse())
    wait(
        stubs.scoring.RunScoring(scoring_pb2.RunScoringRequest(run_id=run)),
        scoring_pb2.RunScoringResponse(),
    )
    return run


def publish(services, run):
    answer = pb.PublishReputationsResponse()
    request = pb.PublishReputationsRequest(run_id=run, max_churn_ratio=1.0)
    operations.wait(
        services.stubs.operations, services.stubs.reputation.PublishReputations(request), answer
    )
    return answer


def live_version(services):
    return services.stubs.reputation.GetVersion(pb.GetVersionRequest()).version


def rows_in(services, version, number):
    found = store_of(services.application).query(
        "SELECT count() AS n FROM published WHERE version = %(v)s AND number = %(n)s",
        {"v": version, "n": parse(number).key},
    )
    return found["n"][0].as_py()


def test_a_pass_that_touched_numbers_overtook_is_published_and_takes_nothing_back(services):
    touched, moved, other = (new_number() for _ in range(3))
    for number in (touched, moved, other):
        mark(services, number, "r1")
        marks_shown(services, number, 1)
    publish(services, scored_run(services))
    services.clock.now_ms += 60_000
    mark(services, moved, "r2")
    marks_shown(services, moved, 2)
    run = scored_run(services)
    services.clock.now_ms += 60_000
    mark(services, touched, "r2")
    marks_shown(services, touched, 2)
    before = live_version(services)

    answer = publish(services, run)

    assert answer.version > before
    assert live_version(services) >= answer.version
    assert rows_in(services, answer.version, touched) == 0
    marks_shown(services, touched, 2)


def test_a_pass_over_the_past_is_kept_apart(services):
    number = new_number()
    mark(services, number, "r1")
    marks_shown(services, number, 1)
    run = scored_run(services, services.clock.now_ms - 25 * 3_600_000)
    before = live_version(services)

    answer = publish(services, run)

    assert answer.version > before
    assert live_version(services) == before


def test_an_older_pass_does_not_follow_a_newer_one(services):
    number = new_number()
    mark(services, number, "r1")
    marks_shown(services, number, 1)
    older = scored_run(services, services.clock.now_ms - 3_600_000)
    publish(services, scored_run(services))
    before = live_version(services)

    publish(services, older)

    assert live_version(services) == before
