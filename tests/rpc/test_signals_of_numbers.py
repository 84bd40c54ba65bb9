"""BatchGetSignals, and the same signals with the features of numbers."""

import pytest

from services.common.numbering import parse
from tests.services_in_process import BEGAN_MS, in_process
from zhengming.features.v1 import features_pb2 as pb
from zhengming.ingest.v1 import ingest_pb2

DAY_MS = 86_400_000
TODAY = (BEGAN_MS + 8 * 3_600_000) // DAY_MS
REFUSED, QUIET, ODD, UNKNOWN = (
    parse(f"1380013800{last}", "CN").key for last in range(4)
)  # by key, ascending


@pytest.fixture(scope="module")
def services(chdb_engine, chdb_path, tmp_path_factory):
    with in_process(chdb_path, tmp_path_factory.mktemp("services"), follow=False) as running:
        days = [("13800138000", 1, 1, 0), ("13800138000", 3, 2, 0), ("13800138001", 1, 0, 0),
                ("13800138002", 2, 1, 0), ("13800138002", 2, 1, 30)]  # fmt: skip
        numbers, ago, after, callee = zip(*days, strict=True)
        request = ingest_pb2.SubmitBehaviourRequest(
            carrier="CMCC",
            numbers=numbers,
            days=[TODAY - one for one in ago],
            calls_out=[40] * len(days),
            after_refusal_calls=after,
            max_calls_per_callee=callee,
        )
        assert running.stubs.ingest.SubmitBehaviour(request).committed_count == len(days)
        yield running


def told(results):
    return {
        result.number_key: [(s.code, s.version, s.day_count, s.is_victim) for s in result.signals]
        for result in results
    }


def test_each_number_is_answered_in_its_place(services):
    request = pb.BatchGetSignalsRequest(number_keys=[ODD, UNKNOWN, QUIET, REFUSED])

    answer = services.stubs.features.BatchGetSignals(request)

    assert [result.number_key for result in answer.results] == list(request.number_keys)
    found = told(answer.results)
    assert found[QUIET] == found[UNKNOWN] == []
    assert found[REFUSED] == [("B06", 1, 2, False)]
    assert found[ODD] == [("B02", 1, 1, False), ("B06", 1, 1, False)]
    last = answer.results[3].signals[0].last_day_time
    assert last.ToMilliseconds() == TODAY * DAY_MS - 8 * 3_600_000  # yesterday ended


def test_features_bring_the_signals_of_the_same_days(services):
    keys = [ODD, UNKNOWN, QUIET, REFUSED]
    alone = services.stubs.features.BatchGetSignals(pb.BatchGetSignalsRequest(number_keys=keys))

    request = pb.BatchGetFeaturesRequest(number_keys=keys, with_signals=True)
    with_them = services.stubs.features.BatchGetFeatures(request)
    request.with_signals = False
    without = services.stubs.features.BatchGetFeatures(request)

    fired = {key: signals for key, signals in told(alone.results).items() if signals}
    assert told(with_them.signals) == fired
    assert [one.number_key for one in with_them.signals] == [REFUSED, ODD]
    assert list(without.signals) == []
    assert len(with_them.values) == len(without.values) == 4 * len(with_them.names)
