"""A number that a service cannot judge holds up nobody else."""

import threading

import pytest

from services.common.numbering import parse
from services.features.server import FeaturesServicer
from tests.services_in_process import in_process
from zhengming.ingest.v1 import ingest_pb2
from zhengming.reputation.v1 import reputation_pb2 as pb

POISON = "13900139000"
GOOD = [f"1390013900{i}" for i in range(1, 6)]
TRIES = 600


@pytest.fixture
def bug():
    """Set while features has the bug."""
    there = threading.Event()
    there.set()
    return there


@pytest.fixture
def services(chdb_engine, chdb_path, tmp_path, monkeypatch, bug):
    """Services of which features fails whenever it is asked about one number."""
    answer = FeaturesServicer.BatchGetFeatures
    poison = parse(POISON).key

    def poisoned(self, request, context):
        if bug.is_set() and poison in request.number_keys:
            raise ZeroDivisionError("a bug that one number meets")
        return answer(self, request, context)

    monkeypatch.setattr(FeaturesServicer, "BatchGetFeatures", poisoned)
    with in_process(chdb_path, tmp_path) as running:
        yield running


def mark(services, numbers, reporter):
    batch = ingest_pb2.SubmitMarksRequest(source="app-one")
    for number in numbers:
        entry = batch.marks.add(
            mark_id=f"{number}-{reporter}", number=number, label="骚扰电话", reporter=reporter
        )
        entry.occurred_time.FromMilliseconds(services.clock.now_ms - 1_000)
    answer = services.stubs.ingest.SubmitMarks(batch)
    assert not any(result.HasField("error") for result in answer.results)


def counts(services, numbers):
    request = pb.BatchGetReputationsRequest(numbers=numbers)
    answer = services.stubs.reputation.BatchGetReputations(request)
    return [result.reputation.mark_count for result in answer.results]


def shown(services, numbers, wanted):
    pause = threading.Event()
    for _ in range(TRIES):
        if counts(services, numbers) == wanted:
            return
        pause.wait(0.05)
    raise AssertionError(f"{counts(services, numbers)} are shown")


def test_the_others_of_its_batch_are_published_and_so_is_what_comes_later(services, bug):
    mark(services, [POISON, *GOOD], "r1")
    shown(services, GOOD, [1] * 5)
    assert counts(services, [POISON]) == [0]

    mark(services, [POISON], "r2")  # a batch of nothing else
    mark(services, GOOD, "r3")
    shown(services, GOOD, [2] * 5)
    assert counts(services, [POISON]) == [0]

    bug.clear()
    mark(services, [POISON], "r4")
    shown(services, [POISON], [3])
