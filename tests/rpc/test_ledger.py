"""LedgerService and scorecards over a small city that went the whole way."""

from datetime import UTC, date, datetime

import pytest

from services.cli import scorecards
from services.cli.session import run_pipeline
from services.simulator.city import simulate
from tests.answers import failure
from tests.services_in_process import SetClock, import_city, in_process
from zhengming.arbitration.v1 import arbitration_pb2
from zhengming.arbitration.v1 import ledger_pb2 as pb

WEEK_MS = 7 * 86_400_000


@pytest.fixture(scope="module")
def services(chdb_engine, chdb_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ledger")
    simulate(numbers=800, days=30, seed=3, out=folder / "city", end=date(2026, 6, 30))
    clock = SetClock()
    clock.now_ms = int(datetime(2026, 6, 30, tzinfo=UTC).timestamp() * 1000)
    with in_process(chdb_path, folder, "ledger", clock, follow=False) as running:
        import_city(running, folder / "city")
        run_pipeline(running.stubs, clock.now_ms, lambda step: None)
        yield running


def test_no_sample_before_one_was_drawn(services):
    request = pb.GetSampleRequest()
    request.time.FromMilliseconds(services.clock.now_ms - 3 * WEEK_MS)

    assert failure(lambda: services.stubs.ledger.GetSample(request)) == "SAMPLE_NOT_FOUND"


def test_a_week_has_one_sample(services):
    drawn = services.stubs.ledger.DrawSample(pb.DrawSampleRequest(size=60))

    assert services.stubs.ledger.DrawSample(pb.DrawSampleRequest(size=90)) == drawn
    assert services.stubs.ledger.GetSample(pb.GetSampleRequest()) == drawn
    assert sum(label.weight for label in drawn.labels) == pytest.approx(drawn.label_count)
    assert all(label.category for label in drawn.labels)


def test_reviews_measure_how_right_the_labels_are(services):
    drawn = services.stubs.ledger.DrawSample(pb.DrawSampleRequest()).labels
    for at, label in enumerate(drawn):
        verdict = "CLEARED" if at % 4 == 0 else "UNSURE" if at % 4 == 1 else label.category
        services.stubs.ledger.ReviewSample(
            pb.ReviewSampleRequest(number=label.number, verdict=verdict, reviewer="ann")
        )

    found = services.stubs.ledger.GetAccuracy(pb.GetAccuracyRequest())

    sure = [at for at in range(len(drawn)) if at % 4 != 1]
    right = sum(drawn[at].weight for at in sure if at % 4)
    assert found.shares[0].category == ""
    assert found.shares[0].reviewed_count == len(sure)
    assert found.shares[0].share == pytest.approx(right / sum(drawn[at].weight for at in sure))
    assert sum(b.reviewed_count for b in found.reliability) == len(sure)
    assert found.canary_count > 0
    assert found.canary_bad_upper > found.canary_bad_count / found.canary_count


def test_the_later_review_holds(services):
    number = services.stubs.ledger.DrawSample(pb.DrawSampleRequest()).labels[0].number
    for verdict in ("A1100", "CLEARED"):
        services.clock.now_ms += 1
        review = pb.ReviewSampleRequest(number=number, verdict=verdict, reviewer="bob")
        assert services.stubs.ledger.ReviewSample(review).verdict == verdict

    labels = services.stubs.ledger.GetSample(pb.GetSampleRequest()).labels

    assert next(label.verdict for label in labels if label.number == number) == "CLEARED"


@pytest.mark.parametrize(
    ("number", "verdict", "reviewer", "reason"),
    [
        ("13800138000", "A1100", "ann", "SAMPLE_NOT_FOUND"),
        ("drawn", "A9999", "ann", "CATEGORY_UNKNOWN"),
        ("drawn", "", "ann", "FIELD_REQUIRED"),
        ("drawn", "A1100", " ", "FIELD_REQUIRED"),
        ("x", "A1100", "ann", "NUMBER_INVALID"),
    ],
)
def test_a_wrong_review_is_refused_with_its_reason(services, number, verdict, reviewer, reason):
    if number == "drawn":
        number = services.stubs.ledger.DrawSample(pb.DrawSampleRequest()).labels[0].number
    request = pb.ReviewSampleRequest(number=number, verdict=verdict, reviewer=reviewer)

    assert failure(lambda: services.stubs.ledger.ReviewSample(request)) == reason


def test_a_sample_of_a_silly_size_is_refused(services):
    request = pb.DrawSampleRequest(size=5)

    assert failure(lambda: services.stubs.ledger.DrawSample(request)) == "FIELD_OUT_OF_RANGE"


def test_a_scorecard_adds_up(services):
    stub = services.stubs.arbitration
    listed = stub.ListSources(arbitration_pb2.ListSourcesRequest()).sources

    cards = [
        stub.GetScorecard(arbitration_pb2.GetScorecardRequest(source=source.name))
        for source in listed
    ]

    for card in cards:
        assert sum(row.mark_count for row in card.categories) == card.overall.mark_count
        assert 0 <= card.coverage <= 1
        assert card.overall.accuracy_lower <= card.overall.accuracy <= card.overall.accuracy_upper
    by_name = {card.source: card for card in cards}
    assert by_name["app-he"].overall.accuracy > by_name["app-shan"].overall.accuracy
    assert by_name["app-lan"].median_delay_s > 0
    assert len(by_name["app-lan"].weeks) >= 4


def test_scorecards_are_written_as_csv(services, tmp_path):
    request = arbitration_pb2.GetScorecardRequest(source="app-lan")
    card = services.stubs.arbitration.GetScorecard(request)

    count = scorecards.write([card], tmp_path / "cards.csv")

    lines = (tmp_path / "cards.csv").read_text().splitlines()
    assert lines[0] == ",".join(scorecards.COLUMNS)
    assert len(lines) == count + 1 == len(card.categories) + len(card.weeks) + 2


def test_an_unknown_source_has_no_scorecard(services):
    request = arbitration_pb2.GetScorecardRequest(source="nobody")

    assert failure(lambda: services.stubs.arbitration.GetScorecard(request)) == "SOURCE_NOT_FOUND"
